"""The files of onnxruntime-web, which run a student in a browser. They come from its npm package."""

import base64
import hashlib
import logging
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ser_graph.common.extras import optional_package
from ser_graph.common.files import atomic_folder, read_json
from ser_graph.errors import InputError

VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # the smallest build: on the CPU only
_LICENCES = ("LICENSE", "ThirdPartyNotices.txt")
_MARK = "package.json"  # of an npm package
_PACKAGE = f"onnxruntime-web@{VERSION}"
_BY_HAND = (
    f"run 'npm pack {_PACKAGE}' on a machine with npm, unpack the file, and give the folder with "
    "--onnxruntime-web FOLDER"
)

logger = logging.getLogger(__name__)


def runtime_files(folder: str | Path | None = None) -> list[Path]:
    """The files of onnxruntime-web that a page needs, and its licences, from a folder (the unpacked npm package).

    Without a folder, they come from the cache of this user. If the cache is empty, npm fetches the package with the
    user's own configuration, and the function checks it against `INTEGRITY`.

    Raises:
        InputError: a folder of something else or of another version; npm is not installed or fails; or the package
            that npm fetched is not the expected one.
    """
    package = _given(Path(folder).expanduser()) if folder is not None else _cached()
    # The npm package has no licence file; the Python package of the same project has both.
    licences = Path(optional_package("onnxruntime").__file__).parent
    return [package / "dist" / name for name in FILES] + [licences / name for name in _LICENCES]


def _given(folder: Path) -> Path:
    package = folder / "package" if (folder / "package" / _MARK).is_file() else folder
    if not (package / _MARK).is_file():
        raise InputError(f"{folder} is no npm package (no {_MARK}); {_BY_HAND}")
    said = read_json(package / _MARK)
    found = f"{said.get('name')} {said.get('version')}" if isinstance(said, dict) else "something else"
    if found != f"onnxruntime-web {VERSION}":
        raise InputError(f"{folder} holds {found}, expected onnxruntime-web {VERSION}; {_BY_HAND}")
    if missing := [name for name in FILES if not (package / "dist" / name).is_file()]:
        raise InputError(f"{folder} has no dist/{missing[0]}; {_BY_HAND}")
    return package


def _cached() -> Path:
    cache = Path(optional_package("platformdirs").user_cache_dir("ser_graph")) / f"onnxruntime-web-{VERSION}"
    if not (cache / _MARK).is_file():
        with tempfile.TemporaryDirectory() as folder:
            archive = _fetched(Path(folder))
            with atomic_folder(cache, _MARK) as part:
                _unpack(archive, part)
    return cache


def _fetched(folder: Path) -> Path:
    """The package as npm delivers it."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"The page needs {_PACKAGE}, but npm is not installed; {_BY_HAND}")
    logger.info("Fetching %s with npm", _PACKAGE)
    command = [npm, "pack", _PACKAGE, "--pack-destination", str(folder), "--silent"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        reason = " ".join((done.stderr or done.stdout).split())[:160]
        raise InputError(f"'npm pack {_PACKAGE}' failed ({reason or 'no message'}); {_BY_HAND}")
    _check_integrity(archives[0])
    return archives[0]


def _check_integrity(archive: Path) -> None:
    with archive.open("rb") as file:
        found = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if f"sha512-{found}" != INTEGRITY:
        raise InputError(
            f"npm fetched another {_PACKAGE} than expected (sha512-{found[:12]}... and not {INTEGRITY[:19]}...); "
            "check where npm fetches its packages from"
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Only the files that the page needs."""
    (folder / "dist").mkdir()
    with tarfile.open(archive) as package:
        for name in (_MARK, *(f"dist/{name}" for name in FILES)):
            file = package.extractfile(f"package/{name}")
            assert file is not None  # the integrity is checked
            with file, (folder / name).open("wb") as out:
                shutil.copyfileobj(file, out)
