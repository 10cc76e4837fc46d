"""The tables that benchmarks/count_tables.py makes from counts, by hand."""

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def tables(load_benchmark):
    """benchmarks/count_tables.py as a module."""
    return load_benchmark("count_tables")


def counts(arm, seed, n_right, dev=5):
    """Ten clips of each of two emotions and four speakers; so many of each ten right on test, and on dev."""
    rows = [
        {"split": split, "fold": 0, "speaker": speaker, "emotion": emotion, "predicted": said, "clips": n}
        for split, right in (("test", n_right), ("dev", dev))
        for speaker in "abcd"
        for emotion, other in (("anger", "fear"), ("fear", "anger"))
        for said, n in ((emotion, right), (other, 10 - right))
    ]
    return pd.DataFrame(rows).assign(arm=arm, seed=seed)


def rows_of(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_numbers_of_two_arms_by_hand(tables):
    parts = [counts("nsl", 0, 7, dev=8), counts("baseline", 0, 4), counts("baseline", 1, 6, dev=7)]
    head, _, base, nsl = rows_of(tables.table(pd.concat(parts), probe=90.0))
    assert head == ["arm", "seeds", "UAR, dev", "UAR, test", "difference [95 %]", "p", "p, Holm", "gap closed"]
    assert base == ["baseline", "2", "60.0", "50.0 ± 14.1", "", "", "", ""]
    # Only the first seed is compared: 70 against 40, of a gap of 50. Four speakers cannot show less than 1/8.
    assert nsl == ["nsl", "1", "80.0", "70.0", "30.0 [30.0, 30.0]", "0.125", "0.125", "60.0"]


def test_another_arm_can_be_the_base(tables):
    parts = [counts("baseline", 0, 4), counts("nsl", 0, 7), counts("graph", 1, 9)]
    _, _, first, second = rows_of(tables.table(pd.concat(parts), base="nsl"))
    assert [first[0], second[0]] == ["nsl", "baseline"]  # graph has no seed of the base
    assert second[4] == "-30.0 [-30.0, -30.0]"
