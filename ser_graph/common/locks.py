"""Locks on folders: one process holds a folder, other processes get its name, and a dead process holds nothing.

The lock is the `flock` of the system: it ends with the process, and the containers of one machine share it.
Machines that share a folder also share its locks, but not on every file system. So a process that finds the lock of
another machine first waits for a sign of life of the holder.
"""

import contextlib
import functools
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ser_graph.errors import InputError, one_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""The file in a locked folder; it names the process that holds the lock."""

_PATIENCE = 3.0  # seconds to wait for a lock: children of a killed process end within one second
_BEAT = 5.0  # seconds between two signs of life
_LISTEN = 15.0  # seconds without a sign of life after which a process of another machine counts as dead
_RECORD = 2048  # bytes: one write replaces the record before


@contextlib.contextmanager
def lock(folder: Path, shown: Path | None = None) -> Iterator[None]:
    """Lock a folder until the block or the process ends. A missing folder is created.

    Args:
        folder: the folder of the lock.
        shown: the name of the folder in a message, by default `folder`.

    Raises:
        InputError: another process, or another thread of this process, holds the lock; the message names it.
    """
    path = folder / LOCK
    fd = _acquire(path, shown or folder)
    ended = threading.Event()
    record = {"machine": machine(), "host": socket.gethostname(), "pid": os.getpid(), **_who()}
    _write(fd, record, 0)
    beats = threading.Thread(target=_beat, args=(fd, record, ended), daemon=True)
    beats.start()
    try:
        yield
    finally:
        ended.set()
        beats.join()
        with contextlib.suppress(OSError):
            path.unlink()  # before the release: a process that has opened this file then sees that it is gone
        os.close(fd)


def try_lock(fd: int) -> bool | None:
    """Lock an open file or folder until it is closed: False if it is locked, None if the system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


@functools.cache
def machine() -> str:
    """A name of this machine since its last start, the same in all of its containers."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    return f"{uuid.getnode():x}"


def _who() -> dict[str, Any]:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv else ""
    return {"since": time.strftime("%Y-%m-%d %H:%M"), "command": command[:120]}


def _acquire(path: Path, shown: Path) -> int:
    deadline = time.monotonic() + _PATIENCE
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the holder has just removed the folder
            continue
        locked = try_lock(fd)
        record = _read(path)
        if locked is not False and _is_there(fd, path) and not _is_heard(path, record, bool(locked)):
            return fd
        os.close(fd)
        if time.monotonic() > deadline:
            raise InputError(_who_holds_it(shown, record))
        time.sleep(0.1)


def _is_there(fd: int, path: Path) -> bool:
    """Whether the locked file is still the file at this path."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat())
    return False


def _is_heard(path: Path, record: dict[str, Any] | None, locked: bool) -> bool:
    """Whether a holder on another machine, or without a visible lock, gives a sign of life."""
    if record is None or (locked and record["machine"] == machine()):
        return False
    deadline = time.monotonic() + _LISTEN
    while time.monotonic() < deadline:
        time.sleep(_BEAT / 10)
        now = _read(path)  # opened again: a shared file system then fetches the new content
        if now != record:
            return now is not None
    return False


def _beat(fd: int, record: dict[str, Any], ended: threading.Event) -> None:
    number = 0
    while not ended.wait(_BEAT):
        number += 1
        with contextlib.suppress(OSError):  # a full disk: the lock itself stays
            _write(fd, record, number)


def _write(fd: int, record: dict[str, Any], beat: int) -> None:
    text = json.dumps({**record, "beat": beat}).encode()
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, text.ljust(_RECORD - 1) + b"\n")
    with contextlib.suppress(OSError):
        os.fsync(fd)  # so that other machines see it


def _read(path: Path) -> dict[str, Any] | None:
    """The record of the holder; None if there is none: the holder was killed before it wrote one."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "machine" in record else None


def _who_holds_it(shown: Path, record: dict[str, Any] | None) -> str:
    who = "another process"
    if record is not None:
        who = f"process {record.get('pid')} on {record.get('host')} since {record.get('since')}"
        who += f" ({one_line(record['command'])})" if record.get("command") else ""
    return f"{shown} is in use by {who}; wait until it ends, or choose another folder"
