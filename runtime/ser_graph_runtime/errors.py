"""`InputError`, the exception for mistakes of the user: one line that says what was given and what to do."""

import difflib
from collections.abc import Iterable

_SHOWN = 200  # letters of a value in a message
_LONGEST = 2_000  # letters of a message; what to do stands at its end


class InputError(ValueError):
    """The user gave something that cannot be used.

    The message is one line: what was given, what was expected, what to do. The command line prints it
    without a traceback. Control characters are shown (see `one_line`), and a very long message loses its middle.
    """

    def __init__(self, message: object = "") -> None:
        text = one_line(message)
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST - 500]} ... {text[-495:]}"
        super().__init__(text)


class ModelError(InputError):
    """The model cannot be used, whatever the sound is."""


def bad_value(what: str, given: object, expected: Iterable[object], *, or_else: str = "") -> InputError:
    """An `InputError` for a name that is not in a closed list.

    Args:
        what: the kind of thing, e.g. ``"backbone"``.
        given: what the user gave.
        expected: all accepted values.
        or_else: what is accepted besides, e.g. ``"a file"``.

    Examples:
        >>> raise bad_value("backbone", "cnn7", ["vgg15", "cnn6"])
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: Bad backbone 'cnn7', expected one of ['cnn6', 'vgg15']; did you mean
        'cnn6'?
    """
    accepted = sorted(expected, key=str)
    besides = f"{or_else} or " if or_else else ""
    names = [one for one in accepted if isinstance(one, str)] if isinstance(given, str) else []
    near = difflib.get_close_matches(str(given)[:_SHOWN], names, n=1, cutoff=0.7) if names else []
    question = f"; did you mean {near[0]!r}?" if near else ""
    return InputError(f"Bad {what} {shown(given)}, expected {besides}one of {accepted}{question}")


def shown(value: object, most: int = _SHOWN) -> str:
    """A value for a message; a long one loses its end.

    Examples:
        >>> shown("cnn7"), shown([0] * 100, most=9), shown(10**5000)
        ("'cnn7'", '[0, 0, 0,...', 'a huge number')
    """
    try:
        text = repr(value)
    except ValueError:  # Python's limit of digits
        return "a huge number"
    return text if len(text) <= most else f"{text[:most]}..."


def one_line(text: object) -> str:
    r"""A message as one line without control characters, which file names can contain.

    Examples:
        >>> one_line("No file talk\n\x1b[31m.wav")
        'No file talk \\x1b[31m.wav'
    """
    return visible(" ".join(str(text).split()))


def visible(text: object) -> str:
    r"""A text of several lines in which control characters are shown: a terminal would obey them.

    Examples:
        >>> print(visible("speaker \x1b[31manna\nspeaker ben"))
        speaker \x1b[31manna
        speaker ben
    """
    shown = str(text)
    if shown.replace("\n", " ").isprintable():
        return shown
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in shown)


def shorten(names: Iterable[object], limit: int = 3) -> str:
    """The first names of a long list, for a message of one line.

    Examples:
        >>> shorten(["a.wav", "b.wav", "c.wav", "d.wav"])
        'a.wav, b.wav, c.wav and 1 more'
    """
    listed = [str(name) for name in names]
    rest = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {rest} more" if rest > 0 else "")
