"""Tests of significance, against published p-values, counting by hand, brute force and SciPy."""

from itertools import combinations_with_replacement
from math import comb, factorial, prod

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from ser_graph.errors import InputError
from ser_graph.evaluation import bootstrap_difference, holm, mcnemar, two_proportion_z


def table(true, predicted, speaker="s"):
    index = pd.Index([f"{clip:04d}.wav" for clip in range(len(true))], name="file")
    return pd.DataFrame({"emotion": true, "speaker": speaker, "predicted": predicted}, index=index)


def two_students(n=90, n_speakers=4, seed=0):
    """Predictions of the same clips, the second better."""
    rng = np.random.default_rng(seed)
    true = rng.choice(["anger", "fear", "joy"], n)
    speaker = rng.integers(n_speakers, size=n).astype(str)
    said = [np.where(rng.random(n) < share, true, rng.choice(["anger", "fear", "calm"], n)) for share in (0.4, 0.7)]
    return [table(true, predicted, speaker) for predicted in said]


@pytest.mark.parametrize(
    ("a", "b", "z", "p"),
    [
        (77.2, 78.9, 1.40, 0.081),
        (74.6, 76.3, 1.35, 0.089),
        (73.1, 77.0, 3.07, 0.0011),
        (74.0, 78.9, 3.94, 4.1e-5),
        (75.2, 77.0, 1.44, 0.075),
    ],
)
def test_the_papers_p_values(a, b, z, p):
    result = two_proportion_z(a / 100 * 2326, 2326, b / 100 * 2326, 2326)
    assert result.z == pytest.approx(z, abs=0.005)
    assert result.p_value == pytest.approx(p, rel=0.04)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_z_is_the_root_of_chi_square(n_a, n_b, data):
    a, b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    result, reverse = two_proportion_z(a, n_a, b, n_b), two_proportion_z(b, n_b, a, n_a)
    assert result.z == pytest.approx(-reverse.z)
    assert result.p_value + reverse.p_value == pytest.approx(1)
    if 0 < a + b < n_a + n_b:
        counts = [[a, n_a - a], [b, n_b - b]]
        assert result.z**2 == pytest.approx(stats.chi2_contingency(counts, correction=False).statistic)
    else:
        assert result == (0.0, 0.5)


@pytest.mark.parametrize("counts", [(0, 0, 0, 1), (3, 2, 0, 1), (-1, 2, 0, 1), (float("nan"), 2, 0, 1)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(InputError, match=r"of .* clips right, expected"):
        two_proportion_z(*counts)


def test_mcnemar_counts_by_hand():
    true = ["joy"] * 12
    a = table(true, ["joy"] * 4 + ["fear"] * 8)
    b = table(true, ["joy"] * 3 + ["fear"] + ["joy"] * 7 + ["fear"])
    # Eight clips differ; the chance that at least seven of eight coins fall the same way.
    expected = 2 * (comb(8, 7) + comb(8, 8)) / 2**8
    assert mcnemar(a, b) == (1, 7, pytest.approx(expected))
    assert mcnemar(b, a) == (7, 1, pytest.approx(expected))
    assert mcnemar(a, a) == (0, 0, 1.0)


def test_clips_are_matched_by_file():
    a, b = two_students()
    mixed = b.sample(frac=1, random_state=3)
    assert mcnemar(a, mixed) == mcnemar(a, b)
    assert bootstrap_difference(a, mixed, n_resamples=50) == bootstrap_difference(a, b, n_resamples=50)
    unlabelled = table([None] * 2, ["joy"] * 2).rename(index="x{}".format)
    assert mcnemar(pd.concat([a, unlabelled]), b) == mcnemar(a, b)


@pytest.mark.parametrize("compare", [mcnemar, bootstrap_difference])
def test_what_cannot_be_compared_is_refused(compare):
    a, b = two_students()
    with pytest.raises(InputError, match=r"different clips.*only one table has 0000\.wav, 0001\.wav"):
        compare(a, b.iloc[2:])
    with pytest.raises(InputError, match=r"different labels.*0005\.wav"):
        compare(a, b.assign(emotion=b["emotion"].where(b.index != "0005.wav", "boredom")))
    with pytest.raises(InputError, match=r"0003\.wav has two predictions; keep one"):
        compare(a, pd.concat([b, b.iloc[[3]]]))
    with pytest.raises(InputError, match="No clip with a known emotion"):
        compare(a.assign(emotion=None), b)


@pytest.mark.parametrize(("metric", "score"), [("uar", balanced_accuracy_score), ("accuracy", accuracy_score)])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_the_bootstrap_is_that_of_all_draws_of_speakers(metric, score):
    """Four speakers can be drawn in 256 ways, 35 but for order: all of them, against many random ones."""
    a, b = two_students()
    people = [a.index[a["speaker"] == speaker] for speaker in sorted(set(a["speaker"]))]
    differences = []
    for drawn in combinations_with_replacement(people, 4):
        files = [file for person in drawn for file in person]
        values = [score(one.loc[files, "emotion"], one.loc[files, "predicted"]) for one in (a, b)]
        orders = factorial(4) // prod(factorial(sum(one is person for one in drawn)) for person in people)
        differences += [values[1] - values[0]] * orders
    assert len(differences) == 4**4
    found = bootstrap_difference(a, b, metric, n_resamples=40_000)
    overall = [score(one["emotion"], one["predicted"]) for one in (a, b)]
    assert found.difference == pytest.approx(overall[1] - overall[0])
    assert found.low == pytest.approx(np.quantile(differences, 0.025), abs=0.01)
    assert found.high == pytest.approx(np.quantile(differences, 0.975), abs=0.01)
    p_value = 2 * min(np.mean(np.array(differences) <= 0), np.mean(np.array(differences) >= 0))
    assert found.p_value == pytest.approx(max(p_value, 1 / 8), abs=0.005)
    assert found.n_speakers == 4
    assert found == bootstrap_difference(a, b, metric, n_resamples=40_000)
    swapped = bootstrap_difference(b, a, metric, n_resamples=40_000)
    np.testing.assert_allclose(swapped[:4], [-found.difference, -found.high, -found.low, found.p_value], atol=1e-12)


def test_students_that_say_the_same_do_not_differ():
    a, _ = two_students()
    assert bootstrap_difference(a, a, n_resamples=100) == (0.0, 0.0, 0.0, 1.0, 4)


def test_a_difference_that_one_speaker_makes_is_uncertain():
    """Ten clips more right: all of one speaker, or two of each of five."""
    true, speaker = ["joy"] * 50, np.repeat(list("abcde"), 10)
    a = table(true, ["fear"] * 50, speaker)
    one = a.assign(predicted=np.where(np.arange(50) < 10, "joy", "fear"))
    each = a.assign(predicted=np.where(np.arange(50) % 10 < 2, "joy", "fear"))
    assert mcnemar(a, one) == mcnemar(a, each)  # who cannot see it
    one, each = (bootstrap_difference(a, b, "accuracy") for b in (one, each))
    assert one.difference == each.difference == pytest.approx(0.2)
    assert (each.low, each.high) == (pytest.approx(0.2), pytest.approx(0.2))
    assert one.low == 0 and one.high >= 0.4 and one.p_value > 0.5 and each.p_value == 1 / 16


@pytest.mark.parametrize("n_speakers", [2, 3, 8, 14])
def test_few_speakers_cannot_show_more_than_their_number(n_speakers):
    """All speakers favour one student: the sign test over speakers gives the least p there can be."""
    a = table(
        ["joy", "fear"] * n_speakers, ["fear"] * 2 * n_speakers, np.repeat(np.arange(n_speakers).astype(str), 2)
    )
    better = a.assign(predicted=a["emotion"])
    sign_test = stats.binomtest(n_speakers, n_speakers).pvalue
    least = 2 / (1 + 2000)  # what so many resamples can show
    assert bootstrap_difference(a, better, n_resamples=2000).p_value == pytest.approx(max(sign_test, least))


def test_seeds_are_averaged_and_share_their_speakers():
    a, b = two_students()
    twice = bootstrap_difference([a, a], [b, b], n_resamples=200)
    assert twice == pytest.approx(bootstrap_difference(a, b, n_resamples=200))
    both = bootstrap_difference([a, b], [b, a], n_resamples=200)  # for and against: nothing is left
    assert both == pytest.approx((0, 0, 0, 1, 4), abs=1e-12)


def test_one_speaker_gives_no_interval():
    a, b = (one.assign(speaker="s") for one in two_students())
    found = bootstrap_difference(a, b)
    assert found.difference > 0 and found.n_speakers == 1
    assert np.isnan([found.low, found.high, found.p_value]).all()


def test_mistakes_name_what_was_expected():
    a, b = two_students()
    with pytest.raises(InputError, match=r"Bad metric 'f1', expected one of \['accuracy', 'uar'\]"):
        bootstrap_difference(a, b, "f1")
    with pytest.raises(InputError, match="2 tables against 1"):
        bootstrap_difference([a, a], [b])
    with pytest.raises(InputError, match="0 tables against 0"):
        bootstrap_difference([], [])


def rejected_one_by_one(p_values, level):
    """Holm's procedure as it is written: the smallest first, each against level / (those left)."""
    left, rejected = list(range(len(p_values))), set()
    while left:
        smallest = min(left, key=lambda number: p_values[number])
        if p_values[smallest] > level / len(left):
            break
        rejected.add(smallest)
        left.remove(smallest)
    return rejected


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.001, 0.2))
def test_holm_rejects_what_the_procedure_rejects(p_values, level):
    corrected = holm(p_values)
    # At the threshold itself rounding may decide; just beside it, it must not.
    assert {*np.flatnonzero(corrected <= level * (1 - 1e-9))} <= rejected_one_by_one(p_values, level)
    assert rejected_one_by_one(p_values, level) <= {*np.flatnonzero(corrected <= level * (1 + 1e-9))}
    assert (corrected >= p_values).all() and (corrected <= 1).all()


def test_holm_leaves_out_what_was_not_tested():
    np.testing.assert_allclose(holm([np.nan, 0.02, np.nan, 0.01]), [np.nan, 0.02, np.nan, 0.02])
    assert len(holm([])) == 0
    with pytest.raises(InputError, match=r"Bad p-value 1\.5"):
        holm([0.1, 1.5])
