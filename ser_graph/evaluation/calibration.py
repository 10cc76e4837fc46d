"""Calibration: probabilities that mean what they say, and a threshold below which an answer is unsure.

After long training, a student is too sure of itself. Temperature scaling (Guo, Pleiss, Sun and Weinberger, ICML
2017) divides its logits by one number, the temperature. The predicted emotions do not change. Fit the temperature
and choose the threshold on dev clips, never on test clips.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from ser_graph.errors import InputError

_LEAST, _MOST = 0.05, 20.0  # temperatures; at both ends, the student is nearly certain or nearly guesses
N_BINS = 15  # as in the paper


def fit_temperature(predictions: pd.DataFrame) -> float:
    """The temperature that minimises the negative log-likelihood of the true emotions.

    Args:
        predictions: a table with `emotion` and the probability of each emotion, ``p_anger`` and so on. Clips
            without an emotion are left out.

    Raises:
        InputError: no clip has a known emotion, or one has an emotion without a probability.
    """
    log_p, true, _ = _known(predictions)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(log_p / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(true)), true].mean())

    found = minimize_scalar(loss, bounds=(np.log(_LEAST), np.log(_MOST)), method="bounded")
    return float(np.exp(found.x))


def with_temperature(predictions: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """The same predictions with their logits divided by a temperature.

    Examples:
        >>> table = pd.DataFrame({"emotion": ["anger"], "p_anger": [0.8], "p_fear": [0.2]})
        >>> with_temperature(table, 2.0).round(3)
          emotion  p_anger  p_fear
        0   anger    0.667   0.333
    """
    names = _probabilities(predictions)
    shares = softmax(_logarithms(predictions[names]) / temperature, axis=1)
    return predictions.assign(**{name: shares[:, place] for place, name in enumerate(names)})


def expected_calibration_error(predictions: pd.DataFrame, *, n_bins: int = N_BINS) -> float:
    """The mean distance of confidence and accuracy, over bins of equal width of the confidence.

    Args:
        predictions: as for `fit_temperature`. The confidence is the highest probability of a clip.
        n_bins: number of bins; a bin counts by its number of clips.

    Examples:
        >>> table = pd.DataFrame({"emotion": ["anger", "fear"], "p_anger": [0.9, 0.9], "p_fear": [0.1, 0.1]})
        >>> round(expected_calibration_error(table), 3)  # 90 % sure, and right in half of the clips
        0.4
    """
    log_p, true, confidence = _known(predictions)
    right = log_p.argmax(axis=1) == true
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, right - confidence, n_bins)  # number of clips x (accuracy - confidence)
    return float(np.abs(gaps).sum() / len(true))


def abstention(predictions: pd.DataFrame, threshold: float) -> dict[str, float | None]:
    """What a threshold costs and what it gains.

    Args:
        predictions: as for `fit_temperature`.
        threshold: answers with a lower confidence are abstentions.

    Returns:
        `abstentions`, the share of clips without an answer, and `accuracy` of the other clips; None without any.
    """
    log_p, true, confidence = _known(predictions)
    answered = confidence >= threshold
    right = (log_p.argmax(axis=1) == true)[answered]
    return {
        "abstentions": float(1 - answered.mean()),
        "accuracy": float(right.mean()) if len(right) else None,
    }


def choose_threshold(
    predictions: pd.DataFrame, *, accuracy: float | None = None, abstentions: float | None = None
) -> float:
    """The threshold for a wanted accuracy of the answers, or for a wanted share of abstentions.

    Args:
        predictions: as for `fit_temperature`, after `with_temperature`.
        accuracy: wanted; the result is the lowest threshold that reaches it on these clips.
        abstentions: the largest share of these clips that may get no answer, at least 0 and below 1.

    Raises:
        InputError: both or none given, a number out of range, or no threshold reaches the accuracy.
    """
    if (accuracy is None) == (abstentions is None):
        raise InputError("Give one of accuracy and abstentions to choose a threshold by")
    log_p, true, confidence = _known(predictions)
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    if abstentions is not None:
        if not 0 <= abstentions < 1:
            raise InputError(f"Bad abstentions {abstentions!r}, expected a share of at least 0 and below 1")
        return float(sorted_confidence[::-1][int(abstentions * len(true))])
    if accuracy is None or not 0 < accuracy <= 1:
        raise InputError(f"Bad accuracy {accuracy!r}, expected a share above 0 and at most 1")
    right = (log_p.argmax(axis=1) == true)[order]
    reached = np.cumsum(right) / np.arange(1, len(true) + 1)
    is_last_of_ties = np.append(np.diff(sorted_confidence) != 0, True)
    places = np.flatnonzero(is_last_of_ties & (reached >= accuracy))
    if not len(places):
        best = reached[is_last_of_ties].max()
        raise InputError(f"No threshold reaches an accuracy of {accuracy:g} on these clips; the best is {best:.3f}")
    return float(sorted_confidence[places[-1]])


def _known(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[M, K] logarithms of probabilities, [M] codes of emotions and [M] confidences of clips with an emotion."""
    names = _probabilities(predictions)
    if "emotion" not in predictions or not names:
        raise InputError("Predictions need the column emotion and a probability of each emotion, p_anger and so on")
    known = predictions[predictions["emotion"].notna()]
    if not len(known):
        raise InputError("No clip with a known emotion to calibrate on")
    emotions = [name.removeprefix("p_") for name in names]
    if unknown := sorted(set(known["emotion"]) - set(emotions)):
        raise InputError(f"The predictions have no probability of {unknown[0]}; they have {', '.join(emotions)}")
    true = np.array([emotions.index(emotion) for emotion in known["emotion"]])
    return _logarithms(known[names]), true, known[names].to_numpy(float).max(axis=1)


def _probabilities(predictions: pd.DataFrame) -> list[str]:
    return [str(name) for name in predictions.columns if str(name).startswith("p_")]


def _logarithms(probabilities: pd.DataFrame) -> np.ndarray:
    return np.log(np.maximum(probabilities.to_numpy(float), np.finfo(np.float32).tiny))  # float32 may have become 0
