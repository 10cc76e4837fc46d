import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ser_graph.common import hashing
from ser_graph.common.hashing import content_hash, file_contents, known_contents, remember_contents

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
    code = f"from ser_graph.common.hashing import content_hash; print(content_hash({parts}))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = content_hash({"b": 1, "a": ["é", None]}, b"bytes", 0.1)
    assert there.stdout.strip() == here == "580a5825e39e889e5cde34f8175dd262"


def test_arrays_are_hashed_by_their_bytes():
    array = np.arange(6, dtype=np.float32)
    assert content_hash(array.data) == content_hash(array.tobytes()) == content_hash(bytearray(array.tobytes()))


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """A file that no clock takes for one that is being written, and nothing known of any."""
    monkeypatch.setattr(hashing, "_KNOWN", {})
    monkeypatch.setattr(hashing, "_RACY", -(10**12))
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    return path


@pytest.fixture
def read(monkeypatch):
    """The files that are read."""
    paths, open_ = [], type(hashing.Path()).open

    def watched(self, *arguments):
        paths.append(self.name)
        return open_(self, *arguments)

    monkeypatch.setattr(type(hashing.Path()), "open", watched)
    return paths


def test_contents_of_files_are_those_of_their_bytes(clip, tmp_path):
    shutil.copy(clip, tmp_path / "b.wav")
    one, two, none, folder = file_contents([clip, tmp_path / "b.wav", tmp_path / "c.wav", tmp_path])
    assert one == two and none is None and folder is None
    (tmp_path / "b.wav").write_bytes(b"two")
    assert file_contents([tmp_path / "b.wav"]) != [one]


def test_a_change_is_seen_at_the_same_size_and_time(clip, read):
    """As by a tool that keeps times: the one that the system sets gives it away."""
    (before,) = file_contents([clip])
    stat = clip.stat()
    time.sleep(0.02)  # a tick of the file system's clock
    with clip.open("r+b") as file:  # in place, so not even the inode differs
        file.write(b"two")
    os.utime(clip, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    now = clip.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    assert file_contents([clip]) != [before]


def test_what_has_not_changed_is_not_read_again(clip, read):
    (before,) = file_contents([clip])
    assert file_contents([clip]) == [before]
    assert len(read) == 1
    known = json.loads(json.dumps(known_contents([clip, clip.with_name("none")])))
    assert len(known) == 1
    hashing._KNOWN.clear()
    remember_contents(known)
    assert file_contents([clip]) == [before]
    assert len(read) == 1
    clip.touch()  # another time, the same content
    assert file_contents([clip]) == [before]
    assert len(read) == 2


def test_a_file_of_just_now_is_read_again(clip, read, monkeypatch):
    """It may still change within one tick of the clock."""
    monkeypatch.setattr(hashing, "_RACY", 2 * 10**9)
    assert file_contents([clip]) == file_contents([clip])
    assert len(read) == 2
