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

from ser_graph.errors import InputError

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
    except Exception as error:
        if shutil.disk_usage(Path(path).parent).free < 2**20 or "No space left" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Write a file that is there whole or not at all.

    Yields a temporary path beside `path`; when the block ends without an error it takes the place of
    `path` in one step, otherwise it is removed and `path` is left as it was.

    Examples:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_file(folder / "note.txt") as part:
        ...     _ = part.write_text("whole")
        >>> [file.name for file in folder.iterdir()]
        ['note.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with full_disk_named(path):
            yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Write a folder that is there whole or not at all; an older one of that name is replaced at the end."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        with full_disk_named(path):
            yield part
        part.chmod(0o755)  # mkdtemp makes folders that only their owner can read
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
            try:
                path.replace(old / path.name)
                part.replace(path)
            except BaseException:
                if not path.exists():
                    (old / path.name).replace(path)
                raise
            finally:
                shutil.rmtree(old)
        else:
            part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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
