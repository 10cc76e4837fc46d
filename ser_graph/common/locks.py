"""Locks on folders: one process holds a folder, other processes get its name, and a dead process holds nothing.

The lock is the `flock` of the system: it ends with the process, and the containers of one machine share it.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ser_graph.errors import InputError, one_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""The file in a locked folder; it names the process that holds the lock."""

_PATIENCE = 3.0  # seconds to wait for a lock: children of a killed process end within one second


@contextlib.contextmanager
def lock(folder: Path, shown: Path | None = None) -> Iterator[None]:
    """Lock a folder until the block or the process ends. A missing folder is created; a message calls it `shown`.

    Raises:
        InputError: another process, or another thread of this process, holds the lock; the message names it.
    """
    path = folder / LOCK
    fd = _acquire(path, shown or folder)
    os.ftruncate(fd, 0)
    os.write(fd, _who().encode())
    try:
        yield
    finally:
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


@contextlib.contextmanager
def lock_if_free(path: Path) -> Iterator[bool]:
    """Lock a file without waiting, until the block or the process ends; the file stays. False if it is locked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield try_lock(fd) is not False
    finally:
        os.close(fd)


def _who() -> str:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv else ""
    shown = f" ({command[:120]})" if command else ""
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M')}{shown}"


def _acquire(path: Path, shown: Path) -> int:
    deadline = time.monotonic() + _PATIENCE
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the holder has just removed the folder
            continue
        if try_lock(fd) is not False and _is_there(fd, path):
            return fd
        os.close(fd)
        if time.monotonic() > deadline:
            with contextlib.suppress(OSError):
                who = one_line(path.read_text("utf-8", "replace"))
                raise InputError(f"{shown} is in use by {who}; wait until it ends, or choose another folder")
        time.sleep(0.1)


def _is_there(fd: int, path: Path) -> bool:
    """Whether the locked file is still the file at this path."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat())
    return False
