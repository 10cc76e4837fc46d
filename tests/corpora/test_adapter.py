import numpy as np
import pandas as pd
import pytest

from ser_graph.corpora import ADAPTERS, COLUMNS
from ser_graph.corpora.adapter import as_clip_table, clip_table, read_durations, scan_corpus, scan_names
from ser_graph.errors import InputError

CLIP = "f1/rab-f1-b1.wav"


def refusal(root, adapter=ADAPTERS["emovo"]) -> str:
    with pytest.raises(InputError) as caught:
        scan_corpus(adapter, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "f1/", "EMOVO/f1/"])
def test_flat_and_nested_layouts_are_found(make_clips, prefix):
    root = make_clips(f"{prefix}rab-f1-b1.wav")
    assert list(scan_corpus(ADAPTERS["emovo"], root).records) == [f"{prefix}rab-f1-b1.wav"]


@pytest.mark.parametrize("suffix", ["wav", "WAV", "flac", "ogg", "mp3"])
def test_formats(make_clips, suffix):
    root = make_clips(f"rab-f1-b1.{suffix}")
    assert len(scan_corpus(ADAPTERS["emovo"], root).records) == 1
    assert read_durations(root, [f"rab-f1-b1.{suffix}"]) == pytest.approx(0.2, abs=0.05)


def test_hidden_files_are_ignored(make_clips):
    root = make_clips(CLIP, "f1/._rab-f1-b1.wav", ".cache/tri-f1-b1.wav")
    scan = scan_corpus(ADAPTERS["emovo"], root)
    assert (list(scan.records), scan.unparsed) == ([CLIP], [])


def test_other_audio_is_listed_and_other_files_are_not(make_clips):
    root = make_clips(CLIP, "f1/noise.wav")
    (root / "readme.txt").write_text("hello")
    assert scan_corpus(ADAPTERS["emovo"], root).unparsed == ["f1/noise.wav"]


def test_song_and_video_are_skipped_and_counted():
    names = ["03-01-01-01-01-01-01.wav", "03-02-01-01-01-01-01.wav", "01-01-01-01-01-01-01.mp4", "a.wav"]
    scan = scan_names(ADAPTERS["ravdess"], names)
    assert len(scan.records) == 1
    assert scan.skipped == {"song": 1, "video": 1}
    assert scan.unparsed == ["a.wav"]


def test_one_clip_in_two_formats_or_places():
    names = ["f1/rab-f1-b1.wav", "f1/rab-f1-b1.flac", "EMOVO/f1/rab-f1-b1.wav", "f1/rab-f1-b2.wav"]
    scan = scan_names(ADAPTERS["emovo"], names)
    assert scan.duplicates == [
        ("EMOVO/f1/rab-f1-b1.wav", "f1/rab-f1-b1.flac"),
        ("EMOVO/f1/rab-f1-b1.wav", "f1/rab-f1-b1.wav"),
    ]
    assert len(scan.records) == 2


def test_a_missing_folder_a_file_and_an_empty_folder(tmp_path):
    assert "No folder" in refusal(tmp_path / "nowhere")
    (tmp_path / "file.wav").write_bytes(b"")
    assert "is a file" in refusal(tmp_path / "file.wav")
    (tmp_path / "empty").mkdir()
    assert "found no audio files" in refusal(tmp_path / "empty")


def test_a_folder_of_something_else_names_folder_pattern_and_files(make_clips, tmp_path):
    make_clips("other/a.wav", "other/b.wav", "other/c.wav", "other/d.wav")
    message = refusal(tmp_path / "other")
    for part in (str(tmp_path / "other"), ADAPTERS["emovo"].pattern, "a.wav, b.wav, c.wav and 1 more"):
        assert part in message


def test_too_high_suggests_the_folder_below(make_clips, tmp_path):
    make_clips(f"data/speech/emovo/{CLIP}", "data/speech/emovo/m1/rab-m1-b1.wav")
    assert refusal(tmp_path).endswith(f"did you mean {tmp_path / 'data/speech/emovo'}?")


def test_beside_suggests_the_right_folder(make_clips, tmp_path):
    make_clips(f"emovo/{CLIP}", "emovo/m1/rab-m1-b1.wav")
    (tmp_path / "docs").mkdir()
    assert refusal(tmp_path / "docs").endswith(f"did you mean {tmp_path / 'emovo'}?")
    (tmp_path / "emovo/docs").mkdir()
    assert refusal(tmp_path / "emovo/docs").endswith(f"did you mean {tmp_path / 'emovo'}?")


def test_the_table_has_its_columns_in_order(tmp_path):
    table = clip_table(ADAPTERS["emovo"], scan_names(ADAPTERS["emovo"], ["m1/tri-m1-b1.wav", CLIP]), tmp_path)
    assert list(table.columns) == [*COLUMNS, "sentence", "language"]
    assert list(table.index) == [CLIP, "m1/tri-m1-b1.wav"]
    assert table.index.name == "file"
    assert table.attrs == {"corpus": "emovo", "root": str(tmp_path), "unparsed": [], "skipped": {}}


def test_a_clip_table_keeps_text_text_and_numbers_numbers():
    table = as_clip_table(pd.DataFrame({"age": ["27", ""], "note": [1, None], "speaker": ["03", ""]}, ["b", "a"]))
    assert table.loc["b", "age"] == 27.0
    assert table.loc["b", "speaker"] == "03"
    assert table.loc["a"].isna().all()
    with pytest.raises(InputError, match="Bad age 'old' of b"):
        as_clip_table(pd.DataFrame({"age": ["old"]}, index=["b"]))


def test_durations_of_broken_and_missing_files_are_nan(make_clips):
    root = make_clips("good.wav")
    (root / "bad.wav").write_text("version https://git-lfs.github.com/spec/v1")
    durations = read_durations(root, ["good.wav", "bad.wav", "none.wav"])
    assert durations[0] == pytest.approx(0.2)
    assert np.isnan(durations[1:]).all()
