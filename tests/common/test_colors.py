import numpy as np
import pandas as pd
import pytest

from ser_graph.common.colors import EMOTION_COLORS, UNKNOWN_COLOR, value_colors
from ser_graph.corpora.vocabulary import EMOTIONS

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
VISIONS = {
    "trichromat": np.eye(3),
    "protanope": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranope": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanope": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# sRGB to XYZ under D65, IEC 61966-2-1.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color):
    srgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def cielab(rgb):
    relative = np.clip(rgb, 0, 1) @ TO_XYZ.T / TO_XYZ.sum(1)
    f = np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def least_difference(colors, vision):
    seen = cielab(np.stack([linear(color) for color in colors]) @ VISIONS[vision].T)
    between = np.linalg.norm(seen[:, None] - seen, axis=2)
    return between[np.triu_indices(len(seen), 1)].min()


def contrast(color, other):
    """WCAG 2 contrast ratio."""
    dark, light = sorted(linear(each) @ TO_XYZ[1] + 0.05 for each in (color, other))
    return light / dark


def test_the_measure_of_difference_by_known_values():
    np.testing.assert_allclose(cielab(linear("#FF0000")[None])[0], [53.24, 80.09, 67.20], atol=0.05)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert least_difference(["#CC0000", "#777700"], "trichromat") > 60
    assert least_difference(["#C62828", "#6B6B00"], "deuteranope") < 15  # the textbook's red and olive


@pytest.mark.parametrize("vision", VISIONS)
def test_emotions_differ_for_every_reader(vision):
    common = [color for emotion, color in EMOTION_COLORS.items() if emotion not in ("boredom", "guilt")]
    assert least_difference(common, vision) > 21
    assert least_difference(EMOTION_COLORS.values(), vision) > 19
    seven = [color for emotion, color in EMOTION_COLORS.items() if emotion not in ("boredom", "calm", "guilt")]
    assert least_difference([*seven, UNKNOWN_COLOR], vision) > 13


@pytest.mark.parametrize("ground", ["#ffffff", "#111418"])
def test_emotions_are_legible_on_white_and_black(ground):
    assert min(contrast(color, ground) for color in EMOTION_COLORS.values()) > 1.9


def test_every_emotion_has_a_colour():
    assert tuple(EMOTION_COLORS) == EMOTIONS
    assert value_colors("emotion", EMOTIONS) == EMOTION_COLORS
    assert value_colors("predicted", EMOTIONS) == EMOTION_COLORS


def test_emotions_outside_the_vocabulary():
    colors = value_colors("emotion", ["pride", "anger", "contempt"])
    assert list(colors) == ["anger", "contempt", "pride"]
    assert colors["anger"] == EMOTION_COLORS["anger"]
    assert len({*EMOTION_COLORS.values(), colors["contempt"], colors["pride"], UNKNOWN_COLOR}) == 13


def test_other_columns_cycle_in_sorted_order_and_leave_out_what_is_missing():
    speakers = [f"s{number:02d}" for number in range(23)]
    colors = value_colors("speaker", [*reversed(speakers), None, np.nan])
    assert list(colors) == speakers
    assert len(set(colors.values())) == 10
    assert colors["s00"] == colors["s10"] == colors["s20"]
    assert value_colors("speaker", speakers * 2) == colors
    assert UNKNOWN_COLOR not in colors.values()
    assert value_colors("speaker", []) == {}
    assert value_colors("age", [3, 1]) == value_colors("age", ["1", "3"])
    assert list(value_colors("gender", pd.Series(["male", pd.NA, "female"]).dropna())) == ["female", "male"]
