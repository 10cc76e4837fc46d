"""The colour of each emotion, the same in every picture and on every page.

The colours come from the schemes of Paul Tol for readers with a colour vision deficiency ("Colour Schemes",
technical note SRON/EPS/TN/09-002, 2021, https://personal.sron.nl/~pault/). The closest two of the ten colours are
as far apart as these schemes allow: at least 19 in CIELAB for trichromats, protanopes, deuteranopes and
tritanopes. All are legible on white and on black. Pale colours are too faint for text: write names in the colour
of the text, beside a patch of the emotion's colour.
"""

from collections.abc import Iterable

EMOTION_COLORS: dict[str, str] = {
    "anger": "#CC3311",
    "boredom": "#4E79C5",
    "calm": "#AE76A3",
    "disgust": "#90C987",
    "fear": "#882255",
    "guilt": "#CC6677",
    "happiness": "#DDAA33",
    "neutral": "#BBBBBB",
    "sadness": "#004488",
    "surprise": "#33BBEE",
}
"""Emotion of the vocabulary -> ``#RRGGBB``."""

UNKNOWN_COLOR = "#888888"
"""The colour of clips without a value."""

# The same colours; the colours that differ most come first, grey comes last.
_VALUE_COLORS = (
    *("#004488", "#DDAA33", "#CC3311", "#33BBEE", "#882255"),
    *("#90C987", "#CC6677", "#4E79C5", "#AE76A3", "#BBBBBB"),
)
_EMOTION_COLUMNS = ("emotion", "predicted")
_OTHER_EMOTIONS = ("#228833", "#999933", "#882E72", "#EE8866")  # colours of Tol, far from the ten


def value_colors(column: str, values: Iterable[object]) -> dict[str, str]:
    """A colour for every value of a column, independent of the order and the number of the values.

    Args:
        column: name of the column. Emotions (columns `emotion` and `predicted`) have the colours of
            `EMOTION_COLORS`. Emotions outside the vocabulary and values of other columns get colours in sorted
            order; if there are more values than colours, the colours repeat.
        values: the values; None and NaN get no colour, use `UNKNOWN_COLOR` for them.

    Returns:
        Value as text -> ``#RRGGBB``, sorted by value.

    Examples:
        >>> value_colors("emotion", ["fear", "anger", "fear"])
        {'anger': '#CC3311', 'fear': '#882255'}
        >>> value_colors("gender", ["male", None, "female"])
        {'female': '#004488', 'male': '#DDAA33'}
    """
    # Only NaN differs from itself. No pandas here, so that every module can import this one.
    names = sorted({str(value) for value in values if value is not None and value == value})
    fixed = EMOTION_COLORS if column in _EMOTION_COLUMNS else {}
    spare = _OTHER_EMOTIONS if column in _EMOTION_COLUMNS else _VALUE_COLORS
    others = [name for name in names if name not in fixed]
    colors = {name: spare[place % len(spare)] for place, name in enumerate(others)}
    return {name: fixed.get(name) or colors[name] for name in names}
