"""Text of a corpus that a terminal cannot obey and that every file can hold."""

import re

from ser_graph.errors import shown

# Controls of a terminal without tab and newline, separators of lines, and what turns the direction of a line.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def without_controls(text: str) -> str:
    r"""The text with its control characters shown, e.g. the start of an escape sequence; tab and newline stay.

    Examples:
        >>> without_controls("\x1b[31manna\r\nben")
        '\\x1b[31manna\nben'
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))


def fault_of(text: str) -> str:
    r"""Why no table can hold a name; empty if one can.

    Examples:
        >>> fault_of("anna"), fault_of("\x1b[31manna"), fault_of("\udcfc")
        ('', "'\\x1b[31manna' holds a control character", "'\\udcfc' is not UTF-8")
    """
    if text.isascii() and text.isprintable():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"{shown(text)} is not UTF-8"
    return f"{shown(text)} holds a control character" if _CONTROLS.search(text) else ""


def printable(text: str) -> str:
    """The text in UTF-8; half characters are shown."""
    return text.encode("utf-8", "backslashreplace").decode()
