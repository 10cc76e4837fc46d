"""What all fuzz tests share: trials that count and measure, and mutations of JSON and of bytes.

Each reader gets damaged inputs, and four times as many with ``FUZZ=1 pytest tests/fuzz``. For each one it gives
a result or an `InputError` of one line, and it needs little memory. All inputs follow from a seed.
"""

import copy
import json
import os
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ser_graph.errors import InputError

_LONGEST = 5_000  # letters of a message
_DEPTH = 100_000  # of nested lists, far more than Python's own limit


class Trials:
    """Calls a reader, and keeps what goes wrong until the end of the test.

    Attributes:
        read: number of inputs that gave a result.
        refused: number of inputs that gave an `InputError` of one line.
        failures: what else happened, with the input's name.
    """

    def __init__(self) -> None:
        self.read = self.refused = 0
        self.failures: list[str] = []

    def __call__(self, name: object, reader: Callable[[], Any], *, most_bytes: int, naming: str = "") -> Any:
        """The result of the reader, or None if it refuses the input.

        Args:
            name: the input, for the message.
            reader: a function without arguments.
            most_bytes: memory that the reader may need at most, as Python and NumPy count it.
            naming: text that a refusal must contain, e.g. the file's name.
        """
        tracemalloc.reset_peak()
        before, result = tracemalloc.get_traced_memory()[0], None
        try:
            result = reader()
            self.read += 1
        except InputError as error:
            message = str(error)
            self.refused += 1
            if len(message.splitlines()) != 1 or len(message) > _LONGEST or naming not in message:
                self.failures.append(f"{name}: bad message {message[:300]!r}")
        except BaseException as error:
            self.failures.append(f"{name}: {type(error).__name__} {str(error)[:200]!r}")
        if (peak := tracemalloc.get_traced_memory()[1] - before) > most_bytes:
            self.failures.append(f"{name}: {peak:,} bytes, expected at most {most_bytes:,}")
        return result

    def numbers(self, most: int) -> range:
        """The numbers of the inputs: a quarter of them, which finds most faults, or all if the caller has time."""
        return range(most if os.environ.get("FUZZ") else most // 4)

    def expect(self, name: object, is_right: bool) -> None:
        """Note a wrong result."""
        if not is_right:
            self.failures.append(f"{name}: a wrong result")


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Iterator[Trials]:
    """Trials of one test; the test fails if any of them failed. ``pytest -s`` prints the counts."""
    found = Trials()
    tracemalloc.start()
    try:
        yield found
    finally:
        tracemalloc.stop()
    print(f"\n{request.node.name}: {found.read} read, {found.refused} refused, {len(found.failures)} failures")
    assert found.read and found.refused, "the inputs are too much alike"
    assert not found.failures, "\n".join(found.failures[:20])


_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 2_000_000_000, 1e9, 10**30, -(2**63), 0.5, 1e308, -0.0, 1e-320),
    *("", " ", "x", "x" * 3_000, "\ud800", "a\nb", "\x1b[31m", "=1+1", "é", "e\u0301"),
    *([], [None], [0], ["a", "a"], ["a", 3], [[["a"]]], list(range(2_000)), {}, {"a": None}, {"": {"": []}}),
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [place for key, one in inside for place in _places(one, (*path, key))]
    return [*([path] if path else []), *below]


@pytest.fixture(scope="session")
def mutated() -> Callable[[random.Random, Any], Any]:
    """A copy of a JSON value with one to three changes: other types, other sizes, keys that are missing or new."""

    def mutate(rng: random.Random, value: Any) -> Any:
        value = copy.deepcopy(value)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            places = _places(value)
            if not places:
                return rng.choice(_VALUES)
            *path, last = rng.choice(places)
            holder = value
            for key in path:
                holder = holder[key]
            match rng.randrange(8):
                case 0:
                    del holder[last]
                case 1 if isinstance(holder, dict):
                    holder[f"{last}_"] = holder.pop(last)
                case 1:
                    holder.append(holder[last])
                case _:
                    holder[last] = copy.deepcopy(rng.choice(_VALUES))
        return value

    return mutate


@pytest.fixture(scope="session")
def mutated_json(mutated: Callable[..., Any]) -> Callable[[random.Random, Any], bytes]:
    """The bytes of a JSON value with changes of the values or of the text."""

    def mutate(rng: random.Random, value: Any) -> bytes:
        whole = json.dumps(value)
        match rng.randrange(12):
            case 0:
                return _damaged(rng, whole.encode())
            case 1:
                return rng.choice(["", "null", "[]", "3", '"x"', "[" * _DEPTH, '{"a":' * _DEPTH]).encode()
            case 2:
                return json.dumps({**value, "more": "§"}, ensure_ascii=False).encode(
                    rng.choice(["latin-1", "utf-16"])
                )
            case 3:
                place = rng.choice([at for at, letter in enumerate(whole) if letter == ":"]) + 1
                end = place + min(at for at in (whole[place:].find(mark) for mark in ",}") if at >= 0)
                odd = rng.choice(["NaN", "-Infinity", "1e999", "9" * 10_000, "[" * 900 + "]" * 900])
                return f"{whole[:place]}{odd}{whole[end:]}".encode()
            case 4:
                return json.dumps(rng.choice(_VALUES)).encode()
        return json.dumps(mutate_values(rng, value)).encode()

    mutate_values = mutated
    return mutate


def _damaged(rng: random.Random, whole: bytes) -> bytes:
    changed = bytearray(whole)
    match rng.randrange(4):
        case 0:
            return whole[: rng.randrange(len(whole))]
        case 1:
            start = rng.randrange(len(whole))
            del changed[start : start + rng.randint(1, 16)]
        case 2:
            start = rng.randrange(len(whole))
            changed[start:start] = rng.randbytes(rng.randint(1, 16))
        case _:
            for _ in range(rng.choice([1, 1, 4, 16])):
                changed[rng.randrange(len(changed))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(changed)


@pytest.fixture(scope="session")
def damaged() -> Callable[[random.Random, bytes], bytes]:
    """The bytes of a file, cut, with bytes missing, with more bytes, or with other bytes."""
    return _damaged


@pytest.fixture(scope="session")
def formats() -> Path:
    """The folder with a small example of each stored format."""
    return Path(__file__).parents[1] / "formats"
