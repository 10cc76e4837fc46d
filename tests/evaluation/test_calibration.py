"""Calibration against cases computed by hand, and against students whose temperature is known."""

import numpy as np
import pandas as pd
import pytest

from ser_graph.errors import InputError
from ser_graph.evaluation import (
    abstention,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    with_temperature,
)

EMOTIONS = ["anger", "fear", "joy"]


def of_two(confidences, right):
    """Clips of which a student says anger with some confidence, rightly or not."""
    p = np.array(confidences)
    emotion = np.where(right, "anger", "fear")
    return pd.DataFrame({"emotion": emotion, "p_anger": p, "p_fear": 1 - p})


def drawn(n, temperature, seed=0):
    """Emotions drawn from softmax(logits), and a student that says softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 3))
    truth = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    emotion = [EMOTIONS[code] for code in (truth.cumsum(1) < rng.random((n, 1))).sum(1)]
    said = np.exp(logits / temperature)
    said /= said.sum(1, keepdims=True)
    return pd.DataFrame({"emotion": emotion, **{f"p_{name}": said[:, k] for k, name in enumerate(EMOTIONS)}})


@pytest.mark.parametrize("temperature", [0.25, 0.5, 1.0, 2.0])
def test_a_known_temperature_is_found_and_taken_back(temperature):
    told = drawn(20_000, temperature)
    found = fit_temperature(told)
    assert found == pytest.approx(1 / temperature, rel=0.05)
    after = expected_calibration_error(with_temperature(told, found))
    assert after < 0.015
    if temperature != 1:
        assert expected_calibration_error(told) > 5 * after


def test_the_temperature_of_two_classes_by_hand():
    """3 of 4 clips are right, all told with 0.9: the likelihood is highest where 0.9 becomes 0.75."""
    told = of_two([0.9] * 4, [True, True, True, False])
    temperature = fit_temperature(told)
    assert temperature == pytest.approx(np.log(9) / np.log(3), rel=1e-4)
    np.testing.assert_allclose(with_temperature(told, temperature)["p_anger"], 0.75, atol=1e-4)


def test_a_temperature_changes_no_decision_and_one_changes_nothing():
    told = drawn(200, 0.5)
    names = [f"p_{name}" for name in EMOTIONS]
    np.testing.assert_allclose(with_temperature(told, 1.0)[names], told[names], atol=1e-12)
    cooled = with_temperature(told, 3.0)
    assert (cooled[names].idxmax(axis=1) == told[names].idxmax(axis=1)).all()
    np.testing.assert_allclose(cooled[names].sum(axis=1), 1)


def test_probabilities_that_became_zero_stay_finite():
    told = pd.DataFrame({"emotion": ["fear", "anger"], "p_anger": [1.0, 1.0], "p_fear": [0.0, 0.0]})
    assert np.isfinite(fit_temperature(told)) and np.isfinite(with_temperature(told, 2.0)["p_fear"]).all()


def test_the_calibration_error_by_hand():
    """Of 15 bins, 0.52 and 0.53 are in one, 0.55 in the next, and 1 in the last."""
    told = of_two([0.52, 0.53, 0.55, 1.0, 1.0], [True, False, True, True, False])
    by_hand = (abs(1 - 1.05) + abs(1 - 0.55) + abs(1 - 2.0)) / 5
    assert expected_calibration_error(told) == pytest.approx(by_hand)
    assert expected_calibration_error(told, n_bins=1) == pytest.approx(abs(3 - 3.6) / 5)


def test_an_edge_belongs_to_the_bin_below():
    """Right at 0.6 = 9 / 15 and wrong at 0.61: in one bin, the errors would cancel out."""
    told = of_two([0.6, 0.61], [True, False])
    assert expected_calibration_error(told) == pytest.approx((0.4 + 0.61) / 2)


def test_thresholds_by_hand():
    told = of_two([0.95, 0.9, 0.8, 0.7, 0.6], [True, True, False, True, False])
    assert abstention(told, 0.0) == {"abstentions": 0.0, "accuracy": pytest.approx(0.6)}
    assert abstention(told, 0.8) == {"abstentions": pytest.approx(0.4), "accuracy": pytest.approx(2 / 3)}
    assert abstention(told, 0.99) == {"abstentions": 1.0, "accuracy": None}
    assert choose_threshold(told, accuracy=1.0) == 0.9
    assert choose_threshold(told, accuracy=0.7) == 0.7  # three of four, while two of three are too few
    assert choose_threshold(told, accuracy=0.6) == 0.6
    for share, threshold in [(0.0, 0.6), (0.2, 0.7), (0.39, 0.7), (0.4, 0.8), (0.99, 0.95)]:
        assert choose_threshold(told, abstentions=share) == threshold
        assert abstention(told, threshold)["abstentions"] <= share + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_are_those_of_brute_force(seed):
    told = drawn(60, 0.5, seed).round(1)  # many clips are equally sure
    rows = [(t, abstention(told, t)) for t in sorted(set(told.filter(like="p_").max(axis=1)))]
    for wanted in (0.5, 0.7, 0.8):
        reached = [t for t, row in rows if row["accuracy"] >= wanted]
        assert choose_threshold(told, accuracy=wanted) == min(reached)
    for share in (0.0, 0.1, 0.5):
        assert choose_threshold(told, abstentions=share) == max(t for t, row in rows if row["abstentions"] <= share)


def test_clips_without_an_emotion_count_nowhere():
    told = drawn(300, 0.5)
    more = pd.concat([told, told.assign(emotion=None)])
    assert fit_temperature(more) == fit_temperature(told)
    assert expected_calibration_error(more) == expected_calibration_error(told)
    assert abstention(more, 0.5) == abstention(told, 0.5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_temperature(of_two([0.9], [True]).drop(columns="emotion")), "need the column emotion"),
        (lambda: fit_temperature(pd.DataFrame({"emotion": ["anger"]})), "a probability of each emotion"),
        (lambda: fit_temperature(of_two([0.9], [True]).assign(emotion=None)), "No clip with a known emotion"),
        (lambda: fit_temperature(of_two([0.9], [True]).assign(emotion="joy")), "no probability of joy; they have"),
        (lambda: choose_threshold(of_two([0.9], [True])), "Give one of accuracy and abstentions"),
        (lambda: choose_threshold(of_two([0.9], [True]), accuracy=1, abstentions=0), "Give one of"),
        (lambda: choose_threshold(of_two([0.9], [True]), accuracy=1.2), "Bad accuracy 1.2"),
        (lambda: choose_threshold(of_two([0.9], [True]), abstentions=1.0), "Bad abstentions 1.0"),
        (
            lambda: choose_threshold(of_two([0.9, 0.8], [False, True]), accuracy=0.9),
            "No threshold reaches an accuracy of 0.9 on these clips; the best is 0.500",
        ),
    ],
)
def test_mistakes_are_one_line(call, words):
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
