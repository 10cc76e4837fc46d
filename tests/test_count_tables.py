"""The tables that benchmarks/count_tables.py makes from counts, by hand."""

import numpy as np
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


def words(tables, parts, **how):
    """The table as text: its head, and its rows."""
    found = tables.words_of(tables.numbers(pd.concat(parts), **how))
    return [list(found), *found.to_numpy().tolist()]


def test_numbers_of_two_arms_by_hand(tables):
    parts = [counts("nsl", 0, 7, dev=8), counts("baseline", 0, 4), counts("baseline", 1, 6, dev=7)]
    head, base, nsl = words(tables, parts, probe=0.9)
    assert head == ["arm", "seeds", "UAR, dev", "UAR, test", "difference [95 %]", "p", "p, Holm", "gap closed"]
    assert base == ["baseline", "2", "60.0", "50.0 ± 14.1", "", "", "", ""]
    # Only the first seed is compared: 70 against 40, of a gap of 50. Four speakers cannot show less than 1/8.
    assert nsl == ["nsl", "1", "80.0", "70.0", "30.0 [30.0, 30.0]", "0.125", "0.125", "60.0"]


def test_another_arm_can_be_the_base(tables):
    parts = [counts("baseline", 0, 4), counts("nsl", 0, 7), counts("graph", 1, 9)]
    _, first, second = words(tables, parts, base="nsl")
    assert [first[0], second[0]] == ["nsl", "baseline"]  # graph has no seed of the base
    assert second[4] == "-30.0 [-30.0, -30.0]"


def test_dev_chooses_fold_by_fold(tables):
    """By the mean over the seeds, among arms that have all of them; Holm does not count what dev chose."""
    parts = [counts("baseline", 0, 4, dev=6), counts("baseline", 1, 4, dev=6), counts("late", 0, 9, dev=9)]
    parts += [counts("nsl", seed, 7 + seed, dev=dev).assign(fold=1) for seed, dev in ((0, 5), (1, 8))]
    parts += [counts("nsl", seed, 1, dev=dev) for seed, dev in ((0, 9), (1, 2))]
    parts += [counts("baseline", seed, 2, dev=6).assign(fold=1) for seed in (0, 1)]
    parts += [counts("late", 0, 9, dev=9).assign(fold=1)]
    found, names = tables.chosen_on_dev(pd.concat(parts), ["baseline", "late", "nsl"])
    assert names == ["baseline", "nsl"]
    assert tables.choices(names) == "Chosen on dev: baseline in 1 of 2 folds, nsl in 1 of 2 folds."
    right = found[found["emotion"] == found["predicted"]].groupby(["seed", "fold"])["clips"].sum()
    assert right.to_dict() == {(0, 0): 32, (0, 1): 56, (1, 0): 32, (1, 1): 64}
    with_choice = tables.numbers(pd.concat([*parts, found])).set_index("arm")
    assert np.isnan(with_choice.loc[tables.CHOSEN, "p_holm"]) and with_choice.loc["nsl", "p_holm"] > 0
