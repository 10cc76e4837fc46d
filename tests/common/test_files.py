import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.common.files import (
    atomic_file,
    atomic_folder,
    check_replaceable,
    content_hash,
    environment,
    named,
    read_json,
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
        assert names(part.parent) == [part.name]
        assert part.name != "a.txt"
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


def test_a_link_is_followed_and_home_is_found(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to("real.txt")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, text in [(tmp_path / "link", "one"), ("~/link", "two")]:
        with atomic_file(name) as part:
            part.write_text(text)
        assert (tmp_path / "real.txt").read_text() == text
    assert (tmp_path / "link").is_symlink()
    monkeypatch.chdir(tmp_path)
    assert named(".") == tmp_path.resolve()


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path):
    for name in (tmp_path, "/", "."):
        with pytest.raises(InputError, match="is a folder, expected the name of a file"), atomic_file(name):
            pytest.fail("asked too late")
    with pytest.raises(InputError, match="Bad path '/'"):
        named("/")


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
    with pytest.raises(InputError, match="is the folder that you are in"):
        check_replaceable(".", MARK)
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / ".DS_Store").touch()
    check_replaceable("seen", MARK)  # looked at by a file manager, and empty
    shutil.rmtree("seen")
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


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe\x00bad", b"<html>"])
def test_broken_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json is not readable JSON") as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_missing_json_is_named(tmp_path):
    with pytest.raises(InputError, match=r"No file .*none\.json"):
        read_json(tmp_path / "none.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(one=st.lists(st.binary(max_size=3), max_size=4), other=st.lists(st.binary(max_size=3), max_size=4))
def test_the_hash_of_bytes_knows_where_one_part_ends(one, other):
    assert (content_hash(*one) == content_hash(*other)) == (one == other)


@settings(deadline=None)
@given(pieces=st.lists(st.binary(max_size=5), min_size=2, max_size=4))
def test_joined_parts_are_another_content(pieces):
    assert content_hash(*pieces) != content_hash(b"".join(pieces))


@settings(deadline=None)
@given(one=JSON, other=JSON)
def test_values_of_equal_hash_are_the_same_json(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (content_hash(one) == content_hash(other)) == same


@settings(deadline=None)
@given(value=st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_the_order_of_keys_does_not_matter(value):
    assert content_hash(value) == content_hash(dict(reversed(value.items())))


def test_hashes_are_the_same_in_every_process_and_forever():
    parts = "{'b': 1, 'a': ['é', None]}, b'bytes', 0.1"
    code = f"from ser_graph.common.files import content_hash; print(content_hash({parts}))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = content_hash({"b": 1, "a": ["é", None]}, b"bytes", 0.1)
    assert there.stdout.strip() == here == "580a5825e39e889e5cde34f8175dd262"


def test_arrays_are_hashed_by_their_bytes():
    array = np.arange(6, dtype=np.float32)
    assert content_hash(array.data) == content_hash(array.tobytes()) == content_hash(bytearray(array.tobytes()))


def test_the_environment_is_json_and_names_the_versions_in_use(tmp_path):
    write_json(tmp_path / "a.json", environment())
    stored = read_json(tmp_path / "a.json")
    assert stored["packages"]["torch"] == torch.__version__
    assert stored["packages"]["numpy"] == np.__version__
    assert stored["threads"] == torch.get_num_threads()
