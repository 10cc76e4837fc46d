"""What was asked, what is finished, what is resumed, what is refused."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings as examples, strategies as st

from ser_graph.common import stages
from ser_graph.common.locks import LOCK
from ser_graph.common.stages import MARK, Stage, refuse_difference, working
from ser_graph.errors import InputError

ASKED = {"settings": {"epochs": 3, "layers": (1, 2)}, "clips": {"a.wav": "1f"}, "init": None}


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def finish(folder, asked=ASKED) -> Stage:
    stage = Stage(folder, asked)
    assert not stage.is_finished()
    with stage.work() as work, stage.write() as part:
        (work / "half.txt").write_text("half")
        (part / "whole.txt").write_text("whole")
    return stage


def test_a_finished_stage_is_known_by_what_was_asked(tmp_path):
    stage = finish(tmp_path / "new" / "graph")
    assert stage.is_finished()
    assert Stage(stage.folder, json.loads(json.dumps(ASKED))).is_finished()
    assert names(stage.folder) == [MARK, "whole.txt"]
    assert names(stage.folder.parent) == ["graph"]  # what was under way is gone
    stored = json.loads((stage.folder / MARK).read_text())
    assert stored == {"asked": json.loads(json.dumps(ASKED))}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": {"epochs": 4, "layers": [1, 2]}}, "settings.epochs: 3 before, 4 now"),
        ({"settings": {"epochs": 3, "layers": [1]}}, r"settings.layers: \[1, 2\] before, \[1\] now"),
        ({"settings": {"epochs": 3, "layers": [1, 2], "rate": 0.5}}, "settings.rate: missing before, 0.5 now"),
        ({"settings": {"epochs": 3}}, r"settings.layers: \[1, 2\] before, missing now"),
        ({"clips": {"a.wav": "2f"}}, "clips.a.wav: '1f' before, '2f' now"),
        ({"clips": {}}, "clips.a.wav: '1f' before, missing now"),
        ({"init": {"x": "y" * 100}}, r"init: None before, \{'x': 'y+\.\.\. now"),
    ],
)
def test_the_first_value_that_differs_is_named(tmp_path, changes, said):
    folder = finish(tmp_path / "graph").folder
    words = rf"graph holds the result of other settings or inputs \({said}\); choose another folder with --out, or"
    with pytest.raises(InputError, match=words) as caught:
        Stage(folder, {**ASKED, **changes}).is_finished()
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"now\); give another$"):
        Stage(folder, {**ASKED, **changes}, way_out="give another").is_finished()


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@examples(deadline=None)
@given(before=st.dictionaries(st.text(max_size=2), JSON), now=st.dictionaries(st.text(max_size=2), JSON))
def test_whatever_differs_is_refused_and_nothing_else(before, now):
    if before == now:
        refuse_difference("folder", before, now, "")
        return
    with pytest.raises(InputError, match=r"before, .* now"):
        refuse_difference("folder", before, now, "")


def test_other_things_are_not_taken_for_a_result(tmp_path):
    (tmp_path / "thesis.txt").touch()
    for use in (Stage.is_finished, lambda stage: stage.write().__enter__()):
        with pytest.raises(InputError, match=r"holds other things \(thesis.txt\)"):
            use(Stage(tmp_path, ASKED))
    with pytest.raises(InputError, match=r"holds other things \(thesis.txt\)"), working(tmp_path, ASKED):
        pytest.fail("asked too late")
    assert names(tmp_path) == ["thesis.txt"]


class KilledError(Exception):
    pass


def killed(stage: Stage, name: str = "half.txt") -> None:
    with pytest.raises(KilledError), stage.work() as work:
        (work / "deep").mkdir(exist_ok=True)
        (work / "deep" / name).write_text("half")
        raise KilledError


def test_what_is_under_way_belongs_to_what_was_asked(tmp_path):
    stage = Stage(tmp_path / "graph", ASKED)
    killed(stage, "one.txt")
    killed(Stage(tmp_path / "graph", ASKED), "two.txt")
    assert names(tmp_path) == [".graph.work"]
    with stage.work() as work:
        assert names(work / "deep") == ["one.txt", "two.txt"]
    with Stage(tmp_path / "graph", {**ASKED, "init": "0"}).work() as work:
        assert names(work) == [LOCK, MARK]
    with stage.work() as work:
        assert names(work) == [LOCK, MARK]
    assert names(tmp_path) == []  # nothing was begun
    with pytest.raises(KilledError), stage.work():
        raise KilledError
    assert names(tmp_path) == []


@pytest.mark.parametrize("at", ["mark", "emptying"])
def test_killed_while_another_s_is_removed(tmp_path, monkeypatch, at):
    """Neither of the two takes over what is half removed, and neither is refused."""
    stage, other = Stage(tmp_path / "graph", ASKED), Stage(tmp_path / "graph", {})
    killed(stage)

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(stages, {"mark": "write_json", "emptying": "_empty"}[at], die)
        with pytest.raises(KilledError), other.work():
            pytest.fail("killed too late")
    for one in (stage, other):
        with one.work() as work:
            found = names(work)
            assert ("deep" in found) == (at == "mark" and one is stage)


def test_what_a_killed_process_had_not_yet_removed(tmp_path):
    stage = finish(tmp_path / "graph")
    (tmp_path / ".graph.work").mkdir()
    (tmp_path / ".graph.work" / LOCK).touch()
    assert stage.is_finished()
    assert names(tmp_path) == ["graph"]


def test_two_at_once_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("ser_graph.common.locks._PATIENCE", 0.1)
    stage = Stage(tmp_path / "graph", ASKED)
    with stage.work(), pytest.raises(InputError, match=rf"^{tmp_path}/graph is in use by process"), stage.work():
        pytest.fail("held twice")


def test_a_killed_exchange_is_put_right_before_it_is_asked_for(tmp_path):
    """The result is back at its place where a process was killed between two renamings."""
    stage = finish(tmp_path / "graph")
    script = f"""
import os, signal
from pathlib import Path
from ser_graph.common.stages import Stage
stage, replace = Stage({str(stage.folder)!r}, {{}}), Path.replace
def killed(self, target):
    replace(self, target)
    os.kill(os.getpid(), signal.SIGKILL)
with stage.write() as part:
    (part / "other.txt").touch()
    keep_marks = lambda self, target: (replace if self.name == "stage.json" else killed)(self, target)
    type(part).replace = keep_marks
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert not stage.folder.exists()
    assert stage.is_finished()
    assert names(tmp_path) == ["graph"]
    assert names(stage.folder) == [MARK, "whole.txt"]


def test_of_several_processes_the_first_one_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    for rank, found in (("1", []), ("0", [".graph.work"])):
        monkeypatch.setenv("RANK", rank)
        with Stage(tmp_path / "graph", ASKED).work() as work:
            assert work == tmp_path / ".graph.work"
            assert names(tmp_path) == found
