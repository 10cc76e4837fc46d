"""Files that appear whole or not at all, and the record of what made them."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from ser_graph.errors import InputError, shorten

_UMASK = os.umask(0o022)  # it can only be read by setting it
os.umask(_UMASK)

_OF_THE_SYSTEM = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # put into folders that are looked at

_RECORDED_PACKAGES = (
    "ser-graph",
    "torch",
    "torchaudio",
    "torch-geometric",
    "transformers",
    "pynndescent",
    "numpy",
    "pandas",
    "scikit-learn",
    "soundfile",
)


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
    _make_parent(whole)
    part = whole.with_name(f".{whole.name}.{os.getpid()}.part")
    try:
        with full_disk_named(whole):
            yield part
        part.chmod(0o666 & ~_UMASK)
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)


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
    _make_parent(whole)
    part = Path(tempfile.mkdtemp(prefix=f".{whole.name}.", suffix=".part", dir=whole.parent))
    try:
        with full_disk_named(whole):
            yield part
        _let_others_read(part)
        if whole.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{whole.name}.", suffix=".old", dir=whole.parent))
            try:
                whole.replace(old / whole.name)
                part.replace(whole)
            except BaseException:
                if not whole.exists():
                    (old / whole.name).replace(whole)
                raise
            finally:
                shutil.rmtree(old)
        else:
            part.replace(whole)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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
    if found := sorted({inside.name for inside in folder.iterdir()} - _OF_THE_SYSTEM):
        raise InputError(
            f"{path} holds other things ({shorten(found)}), which would be lost; give the name of a new folder"
        )


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


def content_hash(*parts: object) -> str:
    """A short stable hash of JSON-like values and bytes, for fingerprints of stages and data.

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


def environment() -> dict[str, Any]:
    """What a result was made with: versions, machine, threads.

    Examples:
        >>> sorted(environment())
        ['cpu', 'packages', 'platform', 'python', 'threads']
    """
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in _RECORDED_PACKAGES},
    }


@functools.cache  # reading it takes milliseconds, and it stays
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
