"""Files and folders that appear whole or not at all, whenever the process is killed.

What is not whole yet lies in a hidden folder beside its place, `.NAME.ser-graph-XXXX-XXXXXXXX.part`, which its
process holds as long as it lives. `sweep` removes those of dead processes.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ser_graph.common.hashing import content_hash
from ser_graph.common.locks import LOCK, machine, try_lock
from ser_graph.errors import InputError, shorten

_UMASK = os.umask(0o022)  # it can only be read by setting it
os.umask(_UMASK)

_OF_THE_SYSTEM = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # put into folders that are looked at

_PART = re.compile(r"\.(?P<name>.+)\.ser-graph-(?P<machine>[0-9a-f]{4})-\w{8}\.part")
_REPLACED = ".replaced"  # in a part: the folder whose place it takes
_ABANDONED = 24 * 3600  # seconds after which the part of another machine, whose locks may be unknown here, is left
_SWEPT: set[Path] = set()  # folders that this process has swept


@contextlib.contextmanager
def full_disk_named(path: str | Path) -> Iterator[None]:
    """Turn what libraries say when the disk is full, each in its own words, into one `OSError` with the path."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if shutil.disk_usage(Path(path).parent).free < 2**20 or "No space left" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def named(path: str | Path) -> Path:
    """A path that has a name beside which others can be put: links followed, `~` and `.` written out.

    Raises:
        InputError: it is the root of all folders.
    """
    whole = Path(path).expanduser().resolve()
    if not whole.name:
        raise InputError(f"Bad path {str(path)!r}, expected the name of a file or folder")
    return whole


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Write a file that is there whole or not at all.

    Yields a temporary path beside `path`; when the block ends without an error it takes the place of
    `path` in one step, otherwise it is removed and `path` is left as it was. A pipe or a device is written to at
    the end, as nothing can take its place.

    Raises:
        InputError: a folder is there.

    Examples:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_file(folder / "note.txt") as part:
        ...     _ = part.write_text("whole")
        >>> [file.name for file in folder.iterdir()]
        ['note.txt']
    """
    given = Path(path).expanduser()
    if given.is_dir():
        raise InputError(f"{path} is a folder, expected the name of a file")
    if _is_stream(given):
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / given.name
            yield part
            with part.open("rb") as written, given.open("ab") as target:
                shutil.copyfileobj(written, target)
        return
    whole = named(path)
    with _part(whole) as part:
        yield part
        part.chmod(0o666 & ~_UMASK)
        part.replace(whole)


@contextlib.contextmanager
def atomic_folder(path: str | Path, mark: str) -> Iterator[Path]:
    """Write a folder that is there whole or not at all; an older one of its kind is replaced at the end.

    Args:
        path: the folder.
        mark: the file that every folder of its kind holds.

    Raises:
        InputError: see `check_replaceable`.
    """
    check_replaceable(path, mark)
    whole = named(path)
    with _part(whole) as part:
        part.mkdir()
        yield part
        _let_others_read(part)
        if whole.exists():
            whole.replace(part.with_name(_REPLACED))  # killed after this: `_remove_part` gives it back
        part.replace(whole)


def sweep(folder: Path, *, held: bool = False) -> None:
    """Remove what killed processes have left unfinished, and give back the folder that one was about to replace.

    Args:
        folder: where the parts lie.
        held: no other process works in the folder, see `lock`: all that is inside is swept, of whatever machine.
    """
    _SWEPT.add(folder)
    for place, folders, _ in os.walk(folder):
        parts = [name for name in folders if _PART.fullmatch(name)]
        folders[:] = [name for name in folders if name not in parts] if held else []
        for name in parts:
            with _held(Path(place) / name) as locked:
                if _is_left(Path(place) / name, locked, held):
                    _remove_part(Path(place) / name)


@contextlib.contextmanager
def _part(whole: Path) -> Iterator[Path]:
    """A path of the same name in a hidden folder beside, which this process holds."""
    _make_parent(whole)
    if whole.parent not in _SWEPT:
        sweep(whole.parent)
    prefix = f".{whole.name}.ser-graph-{_machine_tag()}-"
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=".part", dir=whole.parent))
            if stack.enter_context(_held(folder)) is not False and folder.exists():
                break  # not swept by another process before it could be held
        try:
            with full_disk_named(whole):
                yield folder / whole.name
        finally:
            _remove_part(folder)


@contextlib.contextmanager
def _held(part: Path) -> Iterator[bool | None]:
    """Hold a part, if no living process does; see `try_lock`. False too where it is gone."""
    try:
        fd = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    except OSError:  # a system that opens no folders
        yield None
        return
    try:
        yield try_lock(fd)
    finally:
        os.close(fd)


def _is_left(part: Path, locked: bool | None, held: bool) -> bool:
    """Whether the process that made a part is dead."""
    if locked is False:
        return False
    if held:
        return True
    of_this_machine = f"-{_machine_tag()}-" in part.name
    return (locked is True and of_this_machine) or time.time() - part.stat().st_mtime > _ABANDONED


def _remove_part(part: Path) -> None:
    name = _PART.fullmatch(part.name)
    assert name is not None
    replaced, whole = part / _REPLACED, part.with_name(name["name"])
    if replaced.exists() and not whole.exists():
        replaced.replace(whole)
    shutil.rmtree(part, ignore_errors=True)


def _machine_tag() -> str:
    return content_hash(machine())[:4]


def check_replaceable(path: str | Path, mark: str) -> None:
    """Refuse to put a folder where something else is; better asked before hours of work than after.

    Args:
        path: the folder that is to be written.
        mark: the file that every folder of its kind holds.

    Raises:
        InputError: a file is there, or a folder with contents but without `mark`.
    """
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{path} is a file, expected the name of a folder")
    if not folder.is_dir() or (folder / mark).exists():
        return
    if folder.resolve() == Path.cwd():
        raise InputError(f"{path} is the folder that you are in; give the name of a new one")
    if found := foreign_names(folder):
        raise InputError(
            f"{path} holds other things ({shorten(found)}), which would be lost; give the name of a new folder"
        )


def foreign_names(folder: Path) -> list[str]:
    """What lies in a folder that is neither the system's nor left by a killed process of ours."""
    names = {inside.name for inside in folder.iterdir()} - _OF_THE_SYSTEM - {LOCK}
    return sorted(name for name in names if not _PART.fullmatch(name))


def _let_others_read(folder: Path) -> None:
    """The rights that new files and folders usually have: mkdtemp and safetensors keep others from reading."""
    folder.chmod(0o777 & ~_UMASK)
    for path in folder.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~_UMASK)


def check_readable(*paths: Path) -> None:
    """Say so where files are there and may not be read; some libraries call them missing or damaged.

    Raises:
        PermissionError: names the first.
    """
    for path in paths:
        if path.exists() and not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _is_stream(path: Path) -> bool:
    """Whether it is a pipe or a device, or another name of an open file, as /dev/stdout is."""
    names_of_open_files = ("/dev", "/dev/fd", "/proc/self/fd")
    return str(path.absolute().parent) in names_of_open_files or (path.exists() and not path.is_file())


def _make_parent(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically; NaN is refused, as no other program could read it."""
    with atomic_file(path) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a missing or broken one is an `InputError` that names it."""
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"No file {path}") from None
    except ValueError as error:
        raise InputError(f"{path} is not readable JSON ({error}); make it anew") from None
