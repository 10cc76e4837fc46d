"""Folders that one process holds."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from ser_graph.common import locks
from ser_graph.common.locks import LOCK, lock
from ser_graph.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from ser_graph.common.locks import lock

with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.2)
    monkeypatch.setattr(locks, "_LISTEN", 0.6)
    monkeypatch.setattr(locks, "_BEAT", 0.1)


@pytest.fixture
def holder(tmp_path):
    """A process that holds a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_nothing_is_left_and_the_folder_is_made(tmp_path):
    with lock(tmp_path / "new" / "run"):
        assert [path.name for path in (tmp_path / "new" / "run").iterdir()] == [LOCK]
    assert list((tmp_path / "new" / "run").iterdir()) == []
    with lock(tmp_path / "new" / "run"):
        pass


def test_the_second_is_told_who_holds_it(tmp_path, holder):
    words = rf"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()} since \d{{4}}-.*; wait until"
    with pytest.raises(InputError, match=words) as caught, lock(tmp_path):
        pytest.fail("held twice")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"^the run is in use by"), lock(tmp_path, shown="the run"):
        pytest.fail("held twice")


def test_a_thread_of_the_same_process_is_another(tmp_path):
    with lock(tmp_path), pytest.raises(InputError, match=f"by process {os.getpid()} "), lock(tmp_path):
        pytest.fail("held twice")


def test_a_killed_process_holds_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    began = time.monotonic()
    with lock(tmp_path):
        pass
    assert time.monotonic() - began < locks._LISTEN  # there was nothing to listen for


def test_a_stopped_process_holds_what_it_has(tmp_path, holder):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(InputError, match="is in use by"), lock(tmp_path):
        pytest.fail("held twice")


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("system", ["locks of its own", "no locks"])
def test_a_process_whose_lock_is_not_seen_from_here_is_listened_for(tmp_path, monkeypatch, alive, system):
    """As on another machine that shares the folder but not its locks, or where the file system has none."""
    with monkeypatch.context() as patch:
        patch.setattr(locks, "machine", lambda: "another")
        there = lock(tmp_path)
        there.__enter__()
    try:
        if not alive:
            beat = (tmp_path / LOCK).read_text()
            there.__exit__(None, None, None)
            (tmp_path / LOCK).write_text(beat)
        monkeypatch.setattr(locks, "try_lock", lambda _: True if system == "locks of its own" else None)
        if alive:
            with pytest.raises(InputError, match="is in use by"), lock(tmp_path):
                pytest.fail("held twice")
        else:
            with lock(tmp_path):
                pass
    finally:
        if alive:
            there.__exit__(None, None, None)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_process_that_was_killed_before_it_could_say_who_it_is(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with lock(tmp_path):
        record = json.loads((tmp_path / LOCK).read_text())
        assert record["pid"] == os.getpid()


def test_a_lock_that_its_holder_removes_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    """Otherwise two would hold a folder: one by the old file, which has no name any more, one by the new."""
    try_lock, tried = locks.try_lock, []

    def after_it_is_released(fd):
        tried.append(fd)
        if len(tried) == 1:
            (tmp_path / LOCK).unlink()
        return try_lock(fd)

    monkeypatch.setattr(locks, "try_lock", after_it_is_released)
    with lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert len(tried) == 2
