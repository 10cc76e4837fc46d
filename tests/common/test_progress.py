"""Progress in a log: few lines, and never long without one."""

import io
import re
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from tqdm.auto import tqdm

from ser_graph.common import progress
from ser_graph.common.progress import ProgressLines, progress_bar

PACKAGE = Path(progress.__file__).parents[1]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Log(io.StringIO):
    """A file that knows when each line was written."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.times = clock, []

    def write(self, text: str) -> int:
        if text.strip():
            self.times.append(self.clock() - 100)
        return super().write(text)


def work(seconds: float, n: int, **settings) -> tuple[list[str], list[float]]:
    """The lines of `n` items that take `seconds` each, and when they were written."""
    clock = Clock()
    log = Log(clock)
    with ProgressLines(desc="cooking", unit="egg", file=log, clock=clock, **settings) as bar:
        for _ in range(n):
            clock.now += seconds
            bar.update()
    return log.getvalue().splitlines(), log.times


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1, 3, 7, 25])
def test_lines_are_at_most_one_in_ten_seconds_and_never_long_apart(seconds: float) -> None:
    lines, times = work(seconds, n=round(100 / seconds), total=round(100 / seconds))
    assert 2 <= times[0] < 2 + max(seconds, 0.1)
    gaps = [after - before for before, after in pairwise(times)]
    assert all(gap >= 9.99 for gap in gaps[:-1])  # the last line comes at the end, whenever that is
    assert max(gaps) <= 10 + seconds + 0.01  # an item that is not finished has nothing to say
    assert lines[-1] == f"cooking: {round(100 / seconds):,}/{round(100 / seconds):,} eggs, {times[-1]:.0f} s"
    assert len(lines) == len(set(lines)) == len(times)


def test_a_long_item_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"_FIRST": 0.2, "_BETWEEN": 0.3, "_TICK": 0.05}.items():
        monkeypatch.setattr(progress, name, seconds)
    log = io.StringIO()
    with ProgressLines(desc="cooking", total=2, unit="egg", file=log):
        time.sleep(1.5)
    lines = log.getvalue().splitlines()
    assert 3 <= len(lines) <= 6 and lines[0].startswith("cooking: 0/2 eggs, "), lines


def test_an_abandoned_bar_ends_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_TICK", 0.02)
    before = set(threading.enumerate())  # the threads of other tests may end at any time
    bar = ProgressLines(total=2, file=io.StringIO())
    (thread,) = set(threading.enumerate()) - before
    del bar
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_short_work_prints_nothing() -> None:
    assert work(0.1, n=19, total=19) == ([], [])


def test_work_that_fails_says_how_far_it_came() -> None:
    clock = Clock()
    log = Log(clock)
    with pytest.raises(KeyError), ProgressLines(desc="reading", total=3, unit="file", file=log, clock=clock) as bar:
        bar.update()
        clock.now += 5
        raise KeyError
    assert log.getvalue() == "reading: 1/3 files, 5 s\n"


def test_iteration_gives_every_item_and_counts() -> None:
    clock = Clock()
    log = Log(clock)
    bar = ProgressLines(["a", "b", "c"], "reading", unit="file", file=log, clock=clock)
    for item, expected in zip(bar, "abc", strict=True):
        assert item == expected
        clock.now += 3
    assert log.getvalue().splitlines() == ["reading: 1/3 files, 3 s", "reading: 3/3 files, 9 s"]


def test_postfix_name_and_earlier_items() -> None:
    clock = Clock()
    log = Log(clock)
    bar = ProgressLines(desc="?", total=30, unit="epoch", initial=11, file=log, clock=clock)
    bar.set_description("training resnet9 x 0.25 nsl", refresh=False)
    bar.set_postfix_str("loss 0.52", refresh=False)
    clock.now += 41
    bar.update()
    bar.close()
    assert log.getvalue() == "training resnet9 x 0.25 nsl: 12/30 epochs, 41 s, loss 0.52\n"


def test_reset_starts_again() -> None:
    clock = Clock()
    log = Log(clock)
    bar = ProgressLines(desc="fine-tuning", unit="step", file=log, clock=clock)
    clock.now += 60
    bar.reset(90)
    bar.update(30)
    clock.now += 2
    bar.update()
    assert log.getvalue() == "fine-tuning: 31/90 steps, 2 s\n"


def test_unknown_total_and_long_work() -> None:
    assert work(60, n=1)[0] == ["cooking: 1 egg, 60 s"]
    assert work(600, n=1)[0] == ["cooking: 1 egg, 10 min"]
    assert work(9000, n=2)[0][-1] == "cooking: 2 eggs, 5.0 h"


def test_disabled_prints_nothing() -> None:
    assert work(60, n=3, disable=True) == ([], [])


def test_a_terminal_gets_the_bar_and_a_file_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(total=3, desc="cooking", unit="egg") as bar:
        assert type(bar) is tqdm
        bar.update(3)
    assert "\rcooking: 100%" in sys.stderr.getvalue()  # type: ignore[union-attr]
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(progress_bar(total=3)) is ProgressLines


def test_no_standard_error_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert list(progress_bar(range(3))) == [0, 1, 2]


def test_all_bars_come_from_here() -> None:
    users = [path for path in PACKAGE.rglob("*.py") if re.search(r"(from|import) tqdm", path.read_text("utf-8"))]
    assert users == [PACKAGE / "common" / "progress.py"]
