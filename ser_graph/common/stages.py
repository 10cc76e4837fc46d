"""Stages: results that are known by what was asked for.

One rule for everything that is stored. What was asked for is plain values: settings with all of their defaults, and
hashes of what goes in. It is kept whole beside the result, so that a result of anything else is refused by the
first value that differs. A changed default is another value: it never passes an old result as finished.

    NAME/           the result, there whole or not at all, `stage.json` last
    .NAME.work/     what is under way for what was asked: checkpoints; removed when the result is there
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ser_graph.common.files import atomic_folder, check_replaceable, named, read_json, sweep, write_json
from ser_graph.common.locks import LOCK, lock
from ser_graph.errors import InputError

MARK = "stage.json"

_MISSING = object()
_LONGEST = 60  # characters of a value in a message


class Stage:
    """A folder whose content follows from what was asked for.

    Args:
        folder: of the result.
        asked: everything that decides it, as JSON values.
        way_out: what a refusal advises.

    Examples:
        >>> import tempfile
        >>> stage = Stage(Path(tempfile.mkdtemp()) / "sum", {"terms": [1, 2]})
        >>> stage.is_finished()
        False
        >>> with stage.work() as work, stage.write() as part:
        ...     _ = (part / "sum.txt").write_text("3")
        >>> stage.is_finished()
        True
        >>> Stage(stage.folder, {"terms": [1, 3]}).is_finished()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ser_graph.errors.InputError: ...sum holds the result of other settings or inputs (terms: [1, 2] before, ...
    """

    def __init__(
        self,
        folder: str | Path,
        asked: Mapping[str, Any],
        *,
        way_out: str = "choose another folder with --out, or delete this one (and what was made from it) to make "
        "it anew",
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.asked = plain(asked)
        self._way_out = way_out

    def is_finished(self) -> bool:
        """Whether the result is there; what killed processes left of it is put right first.

        Raises:
            InputError: the folder holds the result of something else, or no result.
        """
        if self.folder.parent.is_dir():
            sweep(self.folder.parent)
        check_replaceable(self.folder, MARK)
        if not (self.folder / MARK).exists():
            return False
        refuse_difference(self.folder, asked_of(self.folder), self.asked, self._way_out)
        if self._work_folder().exists() and _is_first():
            with self.work():  # a process was killed before it had removed what was under way
                pass
        return True

    @contextlib.contextmanager
    def work(self) -> Iterator[Path]:
        """Hold the folder for what is under way, see `working`; it is gone when the result has been written."""
        with working(self._work_folder(), self.asked, shown=self.folder) as folder:
            yield folder
            if _is_first() and (self.folder / MARK).exists():
                _empty(folder)

    def _work_folder(self) -> Path:
        whole = named(self.folder)
        return whole.with_name(f".{whole.name}.work")

    @contextlib.contextmanager
    def write(self) -> Iterator[Path]:
        """Write the result, whole or not at all; yields the folder to write into.

        Raises:
            InputError: the folder holds other things.
        """
        with atomic_folder(self.folder, MARK) as part:
            yield part
            write_json(part / MARK, {"asked": self.asked})


@contextlib.contextmanager
def working(folder: Path, asked: Mapping[str, Any], *, shown: Path | None = None) -> Iterator[Path]:
    """Hold a folder for what is under way: it belongs to what was asked for alone; another's is emptied.

    Of several processes that work together the first one holds it, for all. Where nothing was begun, nothing stays.

    Args:
        folder: made where it is missing.
        asked: everything that decides what is under way, as JSON values.
        shown: what a message calls it.

    Raises:
        InputError: it holds other things, or another process holds it.
    """
    check_replaceable(folder, MARK)
    if not _is_first():
        yield folder
        return
    try:
        with lock(folder, shown):
            _claim(folder, {"asked": plain(asked)})
            try:
                yield folder
            finally:
                if {path.name for path in folder.iterdir()} <= {LOCK, MARK}:
                    (folder / MARK).unlink(missing_ok=True)
    finally:
        with contextlib.suppress(OSError):  # there is something in it, or it is another's
            folder.rmdir()


def _claim(folder: Path, wanted: dict[str, Any]) -> None:
    sweep(folder, held=True)
    mark = folder / MARK
    if not mark.exists() or read_json(mark) != wanted:
        write_json(mark, {"asked": None})  # nobody's: whoever is killed in here has begun nothing
        _empty(folder)
        write_json(mark, wanted)


def asked_of(folder: Path) -> dict[str, Any]:
    """What the result in a folder was asked for."""
    stored = read_json(folder / MARK)
    return stored.get("asked") or {} if isinstance(stored, dict) else {}


def plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are read again from JSON: lists for tuples, text for keys."""
    return json.loads(json.dumps(asked, allow_nan=False))


def refuse_difference(folder: Path, before: Any, now: Any, way_out: str) -> None:
    """Refuse a result of other values.

    Args:
        folder: of the result.
        before: nested values that it was made with.
        now: those that are asked for.
        way_out: what to do about it.

    Raises:
        InputError: names the first that differs, and both values.
    """
    difference = _first_difference(before, now)
    if difference is None:
        return
    key, *values = difference
    old, new = ("missing" if value is _MISSING else _shown(value) for value in values)
    raise InputError(
        f"{folder} holds the result of other settings or inputs ({key}: {old} before, {new} now); {way_out}"
    )


def _first_difference(before: Any, now: Any, key: str = "") -> tuple[str, Any, Any] | None:
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return None if before == now else (key, before, now)
    for name in [*now, *(name for name in before if name not in now)]:
        inner = f"{key}.{name}" if key else name
        found = _first_difference(before.get(name, _MISSING), now.get(name, _MISSING), inner)
        if found is not None:
            return found
    return None


def _is_first() -> bool:
    from ser_graph.common.distributed import is_first  # torch takes seconds to load

    return is_first()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name in (LOCK, MARK):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
