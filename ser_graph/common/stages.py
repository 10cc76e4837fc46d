"""Stages: stored results, each with the request that it answers.

Every stored result follows one rule. The request consists of plain values: settings with all of their defaults, and
hashes of the inputs. It is stored beside the result. A stage refuses the result of another request, and names the
first value that differs. A changed default is a different value: an old result then does not count as finished.

    NAME/           the result, complete or not there; `stage.json` is written last
    .NAME.work/     unfinished work of a request, e.g. checkpoints; removed when the result is complete
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from ser_graph.common.files import absolute_path, atomic_folder, check_replaceable, read_json, sweep, write_json
from ser_graph.common.locks import LOCK, lock
from ser_graph.common.processes import is_first
from ser_graph.common.settings import Record, read_record
from ser_graph.errors import InputError

MARK = "stage.json"

_MISSING = object()
_LONGEST = 60  # characters of a value in a message


class StageMark(Record):
    """The content of `stage.json`.

    Attributes:
        asked: the request that the folder answers; None while unfinished work is being removed.
    """

    asked: dict[str, Any] | None = Field(description="values by name or None")


class Stage:
    """A folder with the result of a request.

    Args:
        folder: the folder of the result.
        asked: the request: everything that decides the result, as JSON values.
        way_out: the advice in the message of a refusal.

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
        ser_graph_runtime.errors.InputError: ...sum holds the result of other settings or inputs (terms: [1, 2] ...
    """

    def __init__(
        self,
        folder: str | Path,
        asked: Mapping[str, Any],
        *,
        way_out: str = "choose another folder with --out, or delete this one (and the results made from it) to "
        "make it again",
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.asked = plain(asked)
        self._way_out = way_out

    def is_finished(self) -> bool:
        """Whether the result is complete. The function first cleans up after killed processes.

        Raises:
            InputError: the folder holds the result of another request, or other things.
        """
        if self.folder.parent.is_dir():
            sweep(self.folder.parent)
        if not self.has_result():
            return False
        if self.work_folder.exists() and is_first():
            with self.work():  # a process was killed before it removed its unfinished work
                pass
        return True

    def has_result(self) -> bool:
        """As `is_finished`, without the clean-up, which lists the whole parent folder: for thousands of stages.

        Raises:
            InputError: see `is_finished`.
        """
        check_replaceable(self.folder, MARK)
        if not (self.folder / MARK).exists():
            return False
        refuse_difference(self.folder, asked_of(self.folder), self.asked, self._way_out)
        return True

    @contextlib.contextmanager
    def work(self) -> Iterator[Path]:
        """Hold the folder of unfinished work, see `working`; it is removed after the result is written."""
        with working(self.work_folder, self.asked, shown=self.folder) as folder:
            yield folder
            if is_first() and (self.folder / MARK).exists():
                _empty(folder)

    def begin(self) -> None:
        """Claim the folder of unfinished work for other processes; each of them then holds a stage inside it."""
        folder = self.work_folder
        check_replaceable(folder, MARK)
        with lock(folder, self.folder):
            _claim(folder, {"asked": self.asked})

    @property
    def work_folder(self) -> Path:
        """The folder of unfinished work."""
        whole = absolute_path(self.folder)
        return whole.with_name(f".{whole.name}.work")

    @contextlib.contextmanager
    def write(self) -> Iterator[Path]:
        """Write the result completely or not at all; yields the folder to write into.

        Raises:
            InputError: the folder holds other things.
        """
        with atomic_folder(self.folder, MARK) as part:
            yield part
            write_json(part / MARK, {"asked": self.asked})


@contextlib.contextmanager
def working(folder: Path, asked: Mapping[str, Any], *, shown: Path | None = None) -> Iterator[Path]:
    """Hold a folder of unfinished work. The work belongs to one request; work of another request is deleted.

    If several processes work together, the first process holds the folder for all. An empty folder is removed. A
    message calls the folder `shown`.

    Raises:
        InputError: the folder holds other things, or another process holds it.
    """
    check_replaceable(folder, MARK)
    if not is_first():
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
        with contextlib.suppress(OSError):  # the folder is not empty, or another process holds it
            folder.rmdir()


def _claim(folder: Path, wanted: dict[str, Any]) -> None:
    sweep(folder, held=True)
    mark = folder / MARK
    if not mark.exists() or asked_of(folder) != wanted["asked"]:
        write_json(mark, {"asked": None})  # no request: if the process is killed here, no work counts as begun
        _empty(folder)
        write_json(mark, wanted)


def asked_of(folder: Path) -> dict[str, Any]:
    """The request of the result in a folder."""
    way_out = f"delete {folder} to make its result again"
    return read_record(StageMark, read_json(folder / MARK), folder / MARK, way_out).asked or {}


def plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The values after a round trip through JSON: tuples become lists, keys become text."""
    return json.loads(json.dumps(asked, allow_nan=False))


def refuse_difference(folder: Path, before: Any, now: Any, way_out: str) -> None:
    """Refuse the result of another request: `before` are its nested values, `now` the requested ones.

    Raises:
        InputError: a value differs; the message names the first one, both values, and the way out.
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
