"""The progress of long work: a bar in a terminal and in notebooks, a plain line now and then in a log."""

import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TextIO

from tqdm.auto import tqdm

_FIRST = 2.0  # seconds before the first line: shorter work prints nothing
_BETWEEN = 10.0  # seconds between two lines
_TICK = 0.5  # seconds between two looks at the clock while an item takes long


def progress_bar(
    items: Iterable[Any] | None = None,
    desc: str | None = None,
    *,
    total: int | None = None,
    unit: str = "it",
    initial: int = 0,
    disable: bool = False,
    delay: float = 0,
    leave: bool = True,
) -> "tqdm[Any] | ProgressLines":
    """Show the progress of work: tqdm's bar, or lines where standard error is neither a terminal nor a notebook.

    Args:
        items: what to iterate over; without it, call ``update()`` for each finished item.
        desc: name of the work.
        total: number of items; default: the length of `items`, if it has one.
        unit: what an item is, in the singular.
        initial: number of items that are finished before.
        disable: show nothing.
        delay: of a bar: seconds before it appears.
        leave: of a bar: keep it after the end.
    """
    if _shows_bars():
        return tqdm(items, desc, total, leave, unit=unit, initial=initial, disable=disable, delay=delay)
    return ProgressLines(items, desc, total, unit=unit, initial=initial, disable=disable)


def _shows_bars() -> bool:
    """Whether something redraws a line: a terminal, or the page of a notebook."""
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


class ProgressLines:
    """Lines of progress, with the methods of tqdm that the library uses; see `progress_bar`.

    The first line appears after 2 s, further lines after 10 s each, also within a long item, and a last line at the
    end. Work that ends within 2 s prints nothing. The lines go to `file`, by default standard error; `clock` gives
    the time in seconds.

    Examples:
        >>> import sys
        >>> seconds = iter([0, 1, 4, 9, 14])
        >>> with ProgressLines(None, "cooking", 3, unit="egg", file=sys.stdout, clock=lambda: next(seconds)) as bar:
        ...     for _ in range(3):
        ...         bar.update()
        cooking: 2/3 eggs, 4 s
        cooking: 3/3 eggs, 14 s
    """

    def __init__(
        self,
        items: Iterable[Any] | None = None,
        desc: str | None = None,
        total: int | None = None,
        *,
        unit: str = "it",
        initial: int = 0,
        disable: bool = False,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.items, self.desc, self.unit = items, desc, unit
        self.total = len(items) if total is None and hasattr(items, "__len__") else total  # type: ignore[arg-type]
        self.n, self.postfix = initial, ""
        self._file, self._clock = file or sys.stderr, clock
        self._is_open = not disable and self._file is not None
        self._start = clock()
        self._next = self._start + _FIRST
        self._shown: int | None = None  # the count of the last line
        self._lock, self._done = threading.Lock(), threading.Event()
        if self._is_open:
            # A weak reference: work that failed leaves its bar, and nothing may go on to print it.
            threading.Thread(target=_print_when_due, args=(weakref.ref(self), self._done), daemon=True).start()

    def __iter__(self) -> Iterator[Any]:
        with self:
            for item in self.items or ():
                yield item
                self.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """Count items that are finished, and print a line if it is time for one."""
        self.n += n
        self.print_when_due()

    def print_when_due(self) -> None:
        """Print a line if it is time for one."""
        with self._lock:
            if self._is_open and (now := self._clock()) >= self._next:
                self._next = now + _BETWEEN
                self._print(now)

    def set_description(self, desc: str, refresh: bool = True) -> None:
        """Give the work another name."""
        self.desc = desc

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Set a text that ends each line."""
        self.postfix = text

    def reset(self, total: int | None = None) -> None:
        """Start again, with another number of items."""
        self.n, self.total, self._shown, self._start = 0, total, None, self._clock()
        self._next = self._start + _FIRST

    def close(self) -> None:
        """Print the last line, if the work was long enough for one."""
        if not self._is_open:
            return
        self._done.set()
        with self._lock:
            self._is_open = False
        if (now := self._clock()) >= self._start + _FIRST and self.n != self._shown:
            self._print(now)

    def _print(self, now: float) -> None:
        self._shown = self.n
        many = self.total if self.total is not None else self.n
        count = f"{self.n:,}" if self.total is None else f"{self.n:,}/{self.total:,}"
        unit = self.unit if many == 1 else f"{self.unit}s"
        parts = [f"{count} {unit}", _time(now - self._start), self.postfix]
        text = ", ".join(filter(None, parts))
        print(f"{self.desc}: {text}" if self.desc else text, file=self._file, flush=True)


def _print_when_due(reference: "weakref.ref[ProgressLines]", done: threading.Event) -> None:
    """Print the lines of an item that takes long; ends with the work, or with its last reference."""
    while not done.wait(_TICK):
        if (bar := reference()) is None:
            return
        bar.print_when_due()
        del bar


def _time(seconds: float) -> str:
    """A duration: seconds up to two minutes, minutes up to two hours, else hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
