"""Names of files as they are on the disk, for names that a table spells in another way."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path, PurePath

from ser_graph.common.text import fault_of
from ser_graph.errors import InputError


def as_on_disk(paths: Sequence[Path]) -> list[Path]:
    r"""The paths; a path of no file is replaced by the only one that differs in Unicode's form or in its suffix.

    Macs decompose the letters in names (``e`` and an accent), tables compose them. Recorders write ``.WAV``.

    Args:
        paths: absolute paths.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "Zoe\u0308.WAV").touch()
        >>> as_on_disk([folder / "Zo\u00eb.wav"]) == [folder / "Zoe\u0308.WAV"]
        True
    """

    @cache
    def names_in(folder: Path) -> dict[str, list[str]]:
        try:
            names = os.listdir(folder)  # noqa: PTH208  (names, also in a folder of a million files)
        except (OSError, ValueError):
            return {}
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(_key(name), []).append(name)
        return found

    @cache
    def found_at(path: Path) -> Path:
        if path == path.parent or os.path.lexists(path):
            return path
        folder = found_at(path.parent)
        near = names_in(folder).get(_key(path.name), [])
        return folder / (near[0] if len(near) == 1 else path.name)

    return [found_at(path) for path in paths]


def check_names(files: Iterable[object]) -> None:
    """Refuse names of files that no table can hold.

    Raises:
        InputError: a name is not UTF-8 or holds a control character; the message shows the first.
    """
    for file in files:
        if fault := fault_of(str(file)):
            raise InputError(f"The name of the file {fault}; rename the file")


def _key(name: str) -> str:
    """What equal names share."""
    path = PurePath(unicodedata.normalize("NFC", name))
    return f"{path.stem}{path.suffix.lower()}"
