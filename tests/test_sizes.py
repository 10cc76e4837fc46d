"""The benchmark of sizes: what it computes, by hand; it trains in a process of its own, which no test does."""

import numpy as np
import pandas as pd
import pytest

from ser_graph.downstream import make_backbone
from ser_graph.errors import InputError


@pytest.fixture(scope="module")
def sizes(load_benchmark):
    """benchmarks/sizes.py as a module."""
    return load_benchmark("sizes")


def said(n_right):
    """Ten clips of each of two emotions and four speakers; so many of each ten right."""
    clips = np.arange(80)
    emotion = np.where(clips % 20 < 10, "anger", "fear")
    other = np.where(emotion == "anger", "fear", "anger")
    return pd.DataFrame(
        {
            "emotion": emotion,
            "speaker": [f"s{clip // 20}" for clip in clips],
            "predicted": np.where(clips % 10 < n_right, emotion, other),
        },
        index=pd.Index([f"{clip:02d}.wav" for clip in clips], name="file"),
    )


def test_gains_of_the_larger_and_the_smaller_half_by_hand(sizes):
    # By falling size, baseline and NSL: gains of 10, 20, (any), 40 and 50 points; the middle one is in no half.
    pairs = [(5, 6), (4, 6), (1, 9), (3, 7), (2, 7)]
    table = pd.DataFrame(
        {
            "kb": [900.0, 700, 500, 300, 100],
            "seeds": [2, 1, 1, 1, 1],
            "tables": [[[said(base), said(0)], [said(nsl), said(0)]] for base, nsl in pairs],
        }
    )
    larger, smaller, both = sizes.small_against_large(table)
    # All speakers alike: no interval.
    assert larger == "The larger 2 (700 to 900 kB): NSL - baseline +15.0 [+15.0, +15.0]"
    assert smaller == "The smaller 2 (100 to 300 kB): NSL - baseline +45.0 [+45.0, +45.0]"
    assert both == "Gain of the smaller half less that of the larger: +30.0 [+30.0, +30.0]"


def test_bytes_of_a_student_by_hand(sizes):
    backbone = make_backbone("cnn6", 7, 0.125)  # channels 8, 16, 32, 64, fc1 32
    weights = 25 * (8 + 8 * 16 + 16 * 32 + 32 * 64) + 64 * 32 + 32 * 7
    assert sizes.int8_kb(backbone) == pytest.approx((weights + 8 * (8 + 16 + 32 + 64 + 32 + 7)) / 1000)


def test_kinds_of_students(sizes):
    assert str(sizes.Kind.parse("resnet9:0.25")) == "resnet9 x 0.25"
    assert sizes.Kind.parse("cnn6") == sizes.Kind("cnn6", 1.0)
    for text, message in {
        "resnet9:thin": "Bad student 'resnet9:thin', expected BACKBONE:WIDTH",
        "resnet9:9": "Bad width 9.0",
        "cnn7:1": "Bad backbone 'cnn7'",
    }.items():
        with pytest.raises(InputError, match=message):
            sizes.Kind.parse(text)
