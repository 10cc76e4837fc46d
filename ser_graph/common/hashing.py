"""Hashes of settings, of tensors and of the contents of files."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_RACY = 2 * 10**9  # nanoseconds: a file system with a coarse clock gives two changes this close one time

_Signature = tuple[int, int, int, int]
_KNOWN: dict[str, tuple[_Signature, str]] = {}  # by path: the signature of a hashed file, and its hash


def content_hash(*parts: object) -> str:
    """A short stable hash of JSON-like values and bytes, for fingerprints of settings and data.

    Examples:
        >>> content_hash({"b": 1, "a": [2]}) == content_hash({"a": [2], "b": 1})
        True
        >>> content_hash(b"ab", b"c") == content_hash(b"a", b"bc")
        False
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, bytes | bytearray | memoryview):
            data = bytes(part)
        else:
            data = json.dumps(part, sort_keys=True, ensure_ascii=False, default=str).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def file_contents(paths: Iterable[Path]) -> list[str | None]:
    """The hash of what each file holds, None for a missing one.

    The function reads a file again unless its size, its inode, its modification time and its change time are the
    same as at the last hash. Only the system can set the change time. In doubt, the function reads the file, so the
    hash is never wrong.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # reading and hashing both release the interpreter's lock
        return list(pool.map(_file_content, paths))


def _file_content(path: Path) -> str | None:
    key = str(path.absolute())
    try:
        before = _signature(path)
        known = _KNOWN.get(key)
        if known is not None and known[0] == before:
            return known[1]
        now = time.time_ns()
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        if _signature(path) == before and before[3] < now - _RACY and os.name == "posix":
            _KNOWN[key] = before, found
    except (FileNotFoundError, IsADirectoryError):
        return None
    return found


def _signature(path: Path) -> _Signature:
    stat = path.stat()
    return stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns


def known_contents(paths: Iterable[Path]) -> dict[str, list[Any]]:
    """The hashes of some files that `file_contents` remembers, as JSON values for `remember_contents`."""
    keys = [str(path.absolute()) for path in paths]
    return {key: [list(_KNOWN[key][0]), _KNOWN[key][1]] for key in keys if key in _KNOWN}


def remember_contents(known: dict[str, list[Any]]) -> None:
    """Take over the result of `known_contents` of an earlier process; changed files are read again."""
    for key, (signature, found) in known.items():
        size, inode, changed, set_by_system = signature
        _KNOWN.setdefault(key, ((size, inode, changed, set_by_system), found))
