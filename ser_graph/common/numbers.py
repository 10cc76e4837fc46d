"""Whole numbers of files and of users: 63 bits and a sign, as in TOML. Python could not even print the longest."""

from typing import Any

_MOST = 2**63
_TOO_LONG = "a whole number has more than 63 bits"


def whole_number(text: str) -> int:
    """The number that some digits stand for.

    Raises:
        ValueError: it has more than 63 bits.

    Examples:
        >>> whole_number("-17")
        -17
    """
    number = int(text) if len(text) <= 20 else _MOST
    check_whole_numbers(number)
    return number


def check_whole_numbers(value: Any) -> None:
    """Refuse a number of more than 63 bits, also inside lists and dictionaries.

    Raises:
        ValueError: there is one.
    """
    if isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            check_whole_numbers(one)
    elif isinstance(value, int) and not -_MOST <= value < _MOST:
        raise ValueError(_TOO_LONG)
