"""Folders that one process holds: the others are told by whom, and a dead process holds nothing.

The lock is the system's (`flock`): it ends with the process, however that ends, and containers of one machine share
it. Machines that share a folder share its locks too, but not on every file system. So whoever takes over a lock
from another machine first listens whether its holder is still heard of.
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
"""The file in a folder that is held; it says by whom."""

_PATIENCE = 3.0  # seconds: children of a killed process leave within one
_BEAT = 5.0  # seconds between two signs of life
_LISTEN = 15.0  # seconds without a sign of life after which a process of another machine counts as dead
_RECORD = 2048  # bytes: a record is written at once, over the one before


@contextlib.contextmanager
def lock(folder: Path, shown: Path | None = None) -> Iterator[None]:
    """Hold a folder, made where it is missing, until the block or the process ends.

    Args:
        folder: where the lock is kept.
        shown: what a message calls it, by default `folder`.

    Raises:
        InputError: another process, or another thread of this one, holds it; says which.
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
            path.unlink()  # before it is released: whoever opened this file sees that it is no more
        os.close(fd)


def try_lock(fd: int) -> bool | None:
    """Lock an open file or folder until it is closed: False where another holds it, None where nobody can tell."""
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
    """What names this machine since its last start: the same in all of its containers."""
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
        except FileNotFoundError:  # whoever held it has just removed the folder
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
    """Whether the file that was locked is still the one of that name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat())
    return False


def _is_heard(path: Path, record: dict[str, Any] | None, locked: bool) -> bool:
    """Whether a holder that no lock of this machine speaks for gives a sign of life."""
    if record is None or (locked and record["machine"] == machine()):
        return False
    deadline = time.monotonic() + _LISTEN
    while time.monotonic() < deadline:
        time.sleep(_BEAT / 10)
        now = _read(path)  # opened anew: a shared file system then asks the others
        if now != record:
            return now is not None
    return False


def _beat(fd: int, record: dict[str, Any], ended: threading.Event) -> None:
    number = 0
    while not ended.wait(_BEAT):
        number += 1
        with contextlib.suppress(OSError):  # a full disk: the lock itself holds
            _write(fd, record, number)


def _write(fd: int, record: dict[str, Any], beat: int) -> None:
    text = json.dumps({**record, "beat": beat}).encode()
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, text.ljust(_RECORD - 1) + b"\n")
    with contextlib.suppress(OSError):
        os.fsync(fd)  # so that other machines see it


def _read(path: Path) -> dict[str, Any] | None:
    """Who holds it; None where it does not say: it was killed before it could."""
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
