import math
from pathlib import Path

import pandas as pd
import pytest

from ser_graph.audio.clips import clip_paths, clip_speeds
from ser_graph.errors import InputError


def clips(*files: str, root: Path | None = None) -> pd.DataFrame:
    table = pd.DataFrame({"emotion": "fear"}, index=pd.Index(files, name="file"))
    if root is not None:
        table.attrs["root"] = str(root)
    return table


def test_paths_follow_the_order_of_the_table(make_clips, tmp_path):
    root = make_clips("s1/a.wav", "b.wav")
    expected = [root / "s1" / "a.wav", root / "b.wav", root / "s1" / "a.wav"]
    assert clip_paths(clips("s1/a.wav", "b.wav", "s1/a.wav", root=root)) == expected
    assert clip_paths(clips("s1/a.wav", "b.wav", "s1/a.wav", root=tmp_path / "moved"), root) == expected
    assert clip_paths(clips(root=root)) == []


def test_a_home_folder_is_found(make_clips, monkeypatch):
    root = make_clips("speech/a.wav")
    monkeypatch.setenv("HOME", str(root))
    assert clip_paths(clips("a.wav"), "~/speech") == [root / "speech" / "a.wav"]


def test_a_lost_folder_is_asked_for(make_clips, tmp_path, monkeypatch):
    root = make_clips("corpus/a.wav") / "corpus"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"No clip .*a\.wav; give the folder .* as root="):
        clip_paths(clips("a.wav"))
    with pytest.raises(InputError, match=r"No clip .*gone.a\.wav"):
        clip_paths(clips("a.wav", root=tmp_path / "gone"))
    monkeypatch.chdir(root)
    assert clip_paths(clips("a.wav"))[0].samefile(root / "a.wav")


def test_speeds_are_those_of_copies_alone():
    assert clip_speeds(pd.DataFrame({"emotion": ["fear", "joy"]})) == [1.0, 1.0]
    assert clip_speeds(pd.DataFrame({"speed": ["slow", "fast"]})) == [1.0, 1.0]  # a corpus says how was spoken
    copies = pd.DataFrame({"copy_of": [None, "a.wav", None], "speed": [1.0, 0.9, math.nan]})
    assert clip_speeds(copies) == [1.0, 0.9, 1.0]
