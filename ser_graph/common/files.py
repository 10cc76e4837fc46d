"""Files and folders that appear complete or not at all, even if the process is killed.

An incomplete file is in a hidden folder beside its final path, `.NAME.ser-graph-XXXXXXXX.part`, called a part.
A process locks its parts as long as it runs. `sweep` removes the parts of dead processes.
"""

import contextlib
import errno
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ser_graph.common.locks import LOCK, try_lock
from ser_graph.common.numbers import whole_number
from ser_graph.errors import InputError, shorten

_UMASK = os.umask(0o022)  # reading it is only possible by setting it
os.umask(_UMASK)

_OF_THE_SYSTEM = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # file managers put them into folders

_PART = re.compile(r"\.(?P<name>.+)\.ser-graph-\w{8}\.part")
_REPLACED = ".replaced"  # in a part: the older folder that the new one replaces
_ABANDONED = 24 * 3600  # seconds after which a part is deleted, where the system has no locks
_DEEPEST = 100  # levels of a JSON value
_SWEPT: set[Path] = set()  # folders that this process has swept


@contextlib.contextmanager
def naming_full_disk(path: str | Path) -> Iterator[None]:
    """Turn the errors of libraries on a full disk into one `OSError` with the path."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if shutil.disk_usage(Path(path).parent).free < 2**20 or "No space left" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


@contextlib.contextmanager
def naming_os_errors(name: str | Path) -> Iterator[None]:
    """Add the name of a file to an error of the system that has none, e.g. of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(name)) from error
        raise


def absolute_path(path: str | Path) -> Path:
    """The absolute path, with links, `~` and `.` resolved; it always has a name.

    Raises:
        InputError: the path is the root of the file system, which has no name.
    """
    whole = Path(path).expanduser().resolve()
    if not whole.name:
        raise InputError(f"Bad path {str(path)!r}, expected the name of a file or folder")
    return whole


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Write a file completely or not at all.

    Yields a temporary path beside `path`. If the block ends without an error, this file replaces `path` in one
    step; otherwise it is removed, and `path` does not change. A pipe or a device cannot be replaced: the content is
    written to it at the end.

    Raises:
        InputError: `path` is a folder.

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
            with naming_os_errors(given), part.open("rb") as written, given.open("ab") as target:
                shutil.copyfileobj(written, target)
        return
    whole = absolute_path(path)
    with _part(whole) as part:
        yield part
        part.chmod(0o666 & ~_UMASK)
        part.replace(whole)


@contextlib.contextmanager
def atomic_folder(path: str | Path, mark: str) -> Iterator[Path]:
    """Write a folder completely or not at all; at the end, it replaces an older folder with the file `mark`.

    Raises:
        InputError: see `check_replaceable`.
    """
    check_replaceable(path, mark)
    whole = absolute_path(path)
    with _part(whole) as part:
        part.mkdir()
        yield part
        _let_others_read(part)
        if whole.exists():
            whole.replace(part.with_name(_REPLACED))  # if killed after this line, `_remove_part` restores it
        part.replace(whole)


def sweep(folder: Path, *, held: bool = False) -> None:
    """Remove the parts of killed processes, and restore a folder that a killed process was replacing.

    If no other process works in the folder (`held`, see `lock`), this includes parts in subfolders.
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
    """A path of the same name in a new part, which this process locks."""
    _make_parent(whole)
    if whole.parent not in _SWEPT:
        sweep(whole.parent)
    prefix = f".{whole.name}.ser-graph-"
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=".part", dir=whole.parent))
            if stack.enter_context(_held(folder)) is not False and folder.exists():
                break  # no other process removed the part before this one locked it
        try:
            with naming_full_disk(whole):
                yield folder / whole.name
        finally:
            _remove_part(folder)


@contextlib.contextmanager
def _held(part: Path) -> Iterator[bool | None]:
    """Lock a part, if no living process holds it; see `try_lock`. False also if the part is gone."""
    try:
        fd = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    except OSError:  # a system that cannot open folders
        yield None
        return
    try:
        yield try_lock(fd)
    finally:
        os.close(fd)


def _is_left(part: Path, locked: bool | None, held: bool) -> bool:
    """Whether the process that made a part is dead."""
    if locked is None and not held:
        return time.time() - part.stat().st_mtime > _ABANDONED
    return locked is not False


def _remove_part(part: Path) -> None:
    name = _PART.fullmatch(part.name)
    assert name is not None
    replaced, whole = part / _REPLACED, part.with_name(name["name"])
    if replaced.exists() and not whole.exists():
        replaced.replace(whole)
    shutil.rmtree(part, ignore_errors=True)


def check_replaceable(path: str | Path, mark: str) -> None:
    """Refuse to write a folder over something else. Call this before hours of work, not after.

    Raises:
        InputError: `path` is a file, or a folder with contents but without `mark`, the file of every folder of its
        kind.
    """
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{path} is a file, expected the name of a folder")
    if not folder.is_dir() or (folder / mark).exists():
        return
    if folder.resolve() == Path.cwd():
        raise InputError(f"{path} is the current folder; give the name of a new folder")
    if found := foreign_names(folder):
        raise InputError(
            f"{path} holds other things ({shorten(found)}), which would be lost; give the name of a new folder"
        )


def foreign_names(folder: Path) -> list[str]:
    """The names in a folder, without files of the system, locks and parts."""
    names = {inside.name for inside in folder.iterdir()} - _OF_THE_SYSTEM - {LOCK}
    return sorted(name for name in names if not _PART.fullmatch(name))


def _let_others_read(folder: Path) -> None:
    """Set the usual access rights of new files: mkdtemp and safetensors let only the owner read."""
    folder.chmod(0o777 & ~_UMASK)
    for path in folder.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~_UMASK)


def check_readable(*paths: Path) -> None:
    """Refuse files that exist but may not be read; some libraries call such files missing or damaged.

    Raises:
        PermissionError: a file may not be read; the message names the first.
    """
    for path in paths:
        if path.exists() and not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _is_stream(path: Path) -> bool:
    """Whether a path is a pipe, a device or the name of an open file, e.g. /dev/stdout."""
    names_of_open_files = ("/dev", "/dev/fd", "/proc/self/fd")
    return str(path.absolute().parent) in names_of_open_files or (path.exists() and not path.is_file())


def _make_parent(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN is refused, because other programs cannot read it.

    Raises:
        InputError: a text in it is not UTF-8, e.g. the name of a folder.
    """
    text = json_text(content)
    if "\\ud" in text:
        try:
            parse_json(text)
        except ValueError as error:
            raise InputError(f"{path} cannot be written ({error}); rename what is not UTF-8") from None
    with atomic_file(path) as part:
        part.write_text(text + "\n", "utf-8")


def json_text(content: Any) -> str:
    r"""A value as indented JSON; what a terminal would obey is written as an escape of JSON, which changes nothing.

    Examples:
        >>> json_text("anna\x9b31m")
        '"anna\\u009b31m"'
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    if text.replace("\n", " ").isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def read_json(path: str | Path, way_out: str = "create it again") -> Any:
    """Read a JSON file; a missing or damaged file raises an `InputError` with its path, and with what to do."""
    try:
        return parse_json(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"No file {path}") from None
    except ValueError as error:
        raise InputError(f"{path} is not readable JSON ({error}); {way_out}") from None


def parse_json(text: str) -> Any:
    """The value of a JSON text; `ValueError` for all that is no JSON, NaN, deep nesting and half characters."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=whole_number)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    _check_depth(value)
    if "\\ud" in text.lower():  # half a character, as in "\\ud800", which no file can store
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a text in it ends or begins within a character") from None
    return value


def _check_depth(value: Any) -> None:
    level: list[Any] = [[value]]
    for _ in range(_DEEPEST):
        inside = (one.values() if isinstance(one, dict) else one for one in level)
        level = [inner for one in inside for inner in one if isinstance(inner, dict | list)]
        if not level:
            return
    raise ValueError("its values are nested too deeply")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large")
    return number
