"""Folders that one process holds."""

import os
import shutil
import signal
import socket
import subprocess
import sys

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
    with lock(tmp_path):
        pass


def test_containers_of_a_machine_share_the_lock(tmp_path, monkeypatch):
    """A process with numbers, mounts and a host name of its own, as in a container; `kill-child` ends it."""
    apart = ["unshare", "--fork", "--pid", "--mount", "--uts", "--ipc", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("needs unshare, and the right to use it")
    command = [*apart, sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            with pytest.raises(InputError, match=r"is in use by process 1 on "), lock(tmp_path):
                pytest.fail("held twice")
        finally:
            process.kill()
    monkeypatch.setattr(locks, "_PATIENCE", 30.0)  # the process inside ends a moment later
    with lock(tmp_path):
        pass


def test_a_stopped_process_holds_what_it_has(tmp_path, holder):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(InputError, match="is in use by"), lock(tmp_path):
        pytest.fail("held twice")


@pytest.mark.parametrize("text", ["", "process 1 on another since 2020", "process " * 100])
def test_a_process_that_was_killed_before_it_could_say_who_it_is(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with lock(tmp_path):
        assert f"process {os.getpid()} on {socket.gethostname()} since 20" in (tmp_path / LOCK).read_text()
        assert text not in (tmp_path / LOCK).read_text() or not text


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
        assert f"process {os.getpid()} " in (tmp_path / LOCK).read_text()
    assert len(tried) == 2
