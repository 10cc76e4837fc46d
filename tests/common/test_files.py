import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from ser_graph.common import files
from ser_graph.common.files import (
    absolute_path,
    atomic_file,
    atomic_folder,
    check_replaceable,
    foreign_names,
    read_json,
    sweep,
    write_json,
)
from ser_graph.errors import InputError

MARK = "meta.json"
INTERRUPTIONS = [RuntimeError, KeyboardInterrupt, SystemExit]


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_in_a_folder_made_for_it(tmp_path):
    with atomic_file(tmp_path / "new" / "folder" / "a.txt") as part:
        part.write_text("whole")
        assert part.name == "a.txt"
        assert [name.startswith(".a.txt.") for name in names(tmp_path / "new" / "folder")] == [True]
    assert names(tmp_path / "new" / "folder") == ["a.txt"]
    assert (tmp_path / "new" / "folder" / "a.txt").read_text() == "whole"


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
@pytest.mark.parametrize("old", [None, "old"])
def test_an_interrupted_file_leaves_what_was_there(tmp_path, interruption, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with pytest.raises(interruption), atomic_file(path) as part:
        part.write_text("ha")
        raise interruption
    assert names(tmp_path) == (["a.txt"] if old else [])
    assert not old or path.read_text() == old


def test_a_block_that_writes_nothing_is_an_error_and_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_text() == "old"


def test_readers_see_the_old_file_or_the_new_one_and_nothing_between(tmp_path):
    path, seen, stop = tmp_path / "a.txt", set(), threading.Event()
    path.write_text("0" * 50_000)

    def read():
        while not stop.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for digit in "123456789" * 5:
            with atomic_file(path) as part:
                part.write_text(digit * 50_000)
    finally:
        stop.set()
        reader.join()
    assert seen <= {digit * 50_000 for digit in "0123456789"}


@pytest.mark.parametrize("kind", ["pipe", "device", "/dev/stdout"])
def test_what_is_no_file_is_written_to_and_stays(tmp_path, kind, capfd):
    path = tmp_path / "pipe"
    if kind == "pipe":
        os.mkfifo(path)
        heard = []
        reader = threading.Thread(target=lambda: heard.append(path.read_text()))
        reader.start()
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        path = Path(kind)
    with atomic_file(path) as part:
        part.write_text("whole")
    assert not path.is_file() or kind == "/dev/stdout"
    if kind == "pipe":
        reader.join()
        assert heard == ["whole"]
    elif kind == "device":
        assert path.resolve() == Path("/dev/null").resolve()
    else:
        assert path.is_symlink() and capfd.readouterr().out.endswith("whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_error_of_a_full_device_names_it():
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"), atomic_file("/dev/full") as part:
        part.write_text("whole")


def test_a_link_is_followed_and_home_is_found(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to("real.txt")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, text in [(tmp_path / "link", "one"), ("~/link", "two")]:
        with atomic_file(name) as part:
            part.write_text(text)
        assert (tmp_path / "real.txt").read_text() == text
    assert (tmp_path / "link").is_symlink()
    monkeypatch.chdir(tmp_path)
    assert absolute_path(".") == tmp_path.resolve()


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path):
    for name in (tmp_path, "/", "."):
        with pytest.raises(InputError, match="is a folder, expected the name of a file"), atomic_file(name):
            pytest.fail("asked too late")
    with pytest.raises(InputError, match="Bad path '/'"):
        absolute_path("/")


def test_a_folder_that_cannot_be_written_to_is_named_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)  # root may write everywhere
    with pytest.raises(PermissionError) as caught, atomic_file(tmp_path / "a.txt"):
        pytest.fail("asked too late")
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_a_folder_replaces_the_whole_of_an_older_one_of_its_kind(tmp_path):
    path = tmp_path / "made" / "graph"
    for name in ("old.txt", "new.txt"):
        with atomic_folder(path, MARK) as part:
            (part / MARK).touch()
            (part / name).write_text(name)
    assert names(path) == [MARK, "new.txt"]
    assert names(path.parent) == ["graph"]
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
@pytest.mark.parametrize("old", [False, True])
def test_an_interrupted_folder_leaves_what_was_there(tmp_path, interruption, old):
    path = tmp_path / "graph"
    if old:
        path.mkdir()
        (path / MARK).write_text("old")
    with pytest.raises(interruption), atomic_folder(path, MARK) as part:
        (part / "new.txt").write_text("new")
        raise interruption
    assert names(tmp_path) == (["graph"] if old else [])
    assert not old or names(path) == [MARK]


def test_a_folder_of_other_things_is_left_alone(tmp_path, monkeypatch):
    precious = tmp_path / "precious"
    precious.mkdir()
    with atomic_folder(precious, MARK) as part:  # an empty one holds nothing to lose
        (part / "thesis.txt").touch()
    for name in "abc":
        (precious / name).touch()
    words = r"precious holds other things \(a, b, c and 1 more\), which would be lost; give the name of a new"
    with pytest.raises(InputError, match=words), atomic_folder(precious, MARK):
        pytest.fail("asked too late")
    with pytest.raises(InputError, match=r"thesis\.txt is a file, expected the name of a folder"):
        check_replaceable(precious / "thesis.txt", MARK)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is the current folder"):
        check_replaceable(".", MARK)
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / ".DS_Store").touch()
    check_replaceable("seen", MARK)  # looked at by a file manager, and empty
    shutil.rmtree("seen")
    (tmp_path / "killed").mkdir()
    for name in (".lock", ".a.ser-graph-abcdefgh.part"):
        (tmp_path / "killed" / name).mkdir()
    check_replaceable("killed", MARK)  # a process of ours began in it, and was killed
    assert foreign_names(tmp_path / "killed") == []
    shutil.rmtree("killed")
    assert names(precious) == ["a", "b", "c", "thesis.txt"]
    assert names(tmp_path) == ["precious"]
    check_replaceable(tmp_path / "new", MARK)


@pytest.mark.parametrize("interruption", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("step", [1, 2])
def test_an_exchange_of_folders_that_fails_leaves_the_old_one(tmp_path, monkeypatch, interruption, step):
    path = tmp_path / "graph"
    path.mkdir()
    (path / MARK).write_text("old")
    replace, calls = type(path).replace, []

    def fail_once(self, target):
        calls.append(target)
        if len(calls) == step:
            raise interruption
        return replace(self, target)

    monkeypatch.setattr(type(path), "replace", fail_once)
    with pytest.raises(interruption), atomic_folder(path, MARK) as part:
        (part / "new.txt").write_text("new")
    assert names(tmp_path) == ["graph"]
    assert names(path) == [MARK]


def test_json_is_read_as_it_was_written(tmp_path):
    content = {"emotion": "fröhlich", "n": [1, None, 0.1, True], "deep": {"a": {}}}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert "fröhlich" in (tmp_path / "a.json").read_text("utf-8")
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", [float("nan"), float("inf"), {"a": object()}])
def test_what_no_other_program_could_read_is_not_written(tmp_path, content):
    write_json(tmp_path / "a.json", "old")
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == "old"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe\x00bad", b"<html>", rb'["\ud800"]'])
def test_broken_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json is not readable JSON") as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_missing_json_is_named(tmp_path):
    with pytest.raises(InputError, match=r"No file .*none\.json"):
        read_json(tmp_path / "none.json")


def in_a_process_that_is_killed(work) -> None:
    """Call a function in a process of its own, which ends by SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_while_writing(path: Path, write, step: str) -> None:
    """Killed while a block writes, or right after the first or second renaming that follows it."""

    def work() -> None:
        replace, calls = type(path).replace, []

        def counted(self, target):
            replace(self, target)
            calls.append(target)
            if len(calls) == {"block": 0, "first": 1, "second": 2}[step]:
                die()

        type(path).replace = counted
        write(path, die if step == "block" else lambda: None)

    in_a_process_that_is_killed(work)


def write_folder(path: Path, then) -> None:
    with atomic_folder(path, MARK) as part:
        (part / MARK).write_text("new")
        then()


def write_file(path: Path, then) -> None:
    with atomic_file(path) as part:
        part.write_text("new")
        then()


@pytest.mark.parametrize(("step", "found"), [("block", "old"), ("first", "old"), ("second", "new")])
def test_a_process_killed_while_it_replaces_a_folder_loses_nothing(tmp_path, step, found):
    path = tmp_path / "graph"
    path.mkdir()
    (path / MARK).write_text("old")
    killed_while_writing(path, write_folder, step)
    assert path.exists() == (step != "first")
    assert len(names(tmp_path)) == 1 + (step != "first")
    sweep(tmp_path)
    assert names(tmp_path) == ["graph"]
    assert (path / MARK).read_text() == found


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_parts_of_dead_processes_are_swept_by_the_next_one_that_writes_beside_them(tmp_path, write, monkeypatch):
    killed_while_writing(tmp_path / "one", write, "block")
    (tmp_path / ".movie.abcdefgh.part").mkdir()  # another program's
    assert len(names(tmp_path)) == 2
    monkeypatch.setattr(files, "_SWEPT", set())
    write_json(tmp_path / "two", 2)
    assert names(tmp_path) == [".movie.abcdefgh.part", "two"]


def test_parts_of_living_processes_are_left_alone(tmp_path):
    with atomic_file(tmp_path / "a.txt") as part:
        part.write_text("whole")
        for held in (False, True):
            sweep(tmp_path, held=held)
        assert part.read_text() == "whole"
    assert names(tmp_path) == ["a.txt"]


def test_where_the_system_has_no_locks_parts_are_swept_when_they_are_old_or_the_folder_is_held(
    tmp_path, monkeypatch
):
    """Their processes may live."""
    monkeypatch.setattr(files, "try_lock", lambda fd: None)
    part = tmp_path / "deep" / ".a.ser-graph-abcdefgh.part"
    part.mkdir(parents=True)
    sweep(part.parent)
    assert part.exists()
    sweep(tmp_path, held=True)
    assert not part.exists()
    part.mkdir()
    os.utime(part, (0, 0))
    sweep(part.parent)
    assert not part.exists()


def test_json_of_half_characters_is_not_written(tmp_path):
    with pytest.raises(InputError, match=r"a\.json cannot be written \(a text in it ends or begins within"):
        write_json(tmp_path / "a.json", {"root": "/data/gr\udcfc"})
    assert not (tmp_path / "a.json").exists()
    write_json(tmp_path / "a.json", {"root": r"a literal \ud800"})
    assert read_json(tmp_path / "a.json") == {"root": r"a literal \ud800"}
