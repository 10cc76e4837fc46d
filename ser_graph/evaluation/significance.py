"""Is a student better than its baseline, or is it chance? Tests and intervals of a difference.

In all functions, `a` is the baseline and `b` the other student; a positive difference means that `b` is better.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ser_graph.errors import InputError, bad_value, shorten
from ser_graph.evaluation.metrics import TAILS, resampled_scores, scores, speaker_confusions

METRICS = ("uar", "accuracy")


class ZTest(NamedTuple):
    """Result of `two_proportion_z`."""

    z: float
    p_value: float


class McNemar(NamedTuple):
    """Result of `mcnemar`: numbers of clips that only one of the two classifies correctly, and the two-sided p."""

    only_a: int
    only_b: int
    p_value: float


class Difference(NamedTuple):
    """Result of `bootstrap_difference`; bounds and p are NaN with fewer than two speakers."""

    difference: float
    low: float
    high: float
    p_value: float
    n_speakers: int


def two_proportion_z(correct_a: float, n_a: int, correct_b: float, n_b: int) -> ZTest:
    """The paper's test: a one-tailed z-test of two proportions with pooled variance.

    The test assumes that clips are independent of each other, and that the two results are independent. Neither
    holds for two students on the same clips of a few speakers. Use this test only to compare with published
    p-values, and trust `bootstrap_difference` more.

    Args:
        correct_a: number of clips that the baseline classifies correctly; the paper uses UAR times `n_a`.
        n_a: number of test clips of the baseline.
        correct_b: the same number for the other student.
        n_b: number of its test clips.

    Returns:
        z, positive if `b` is better, and the p-value of "`b` is not better". If both are completely right or
        completely wrong, z is 0.

    Raises:
        InputError: no clips, or more correct clips than clips.

    Examples:
        The paper's CNN-6, UAR 73.1 % and 77.0 % on 2,326 clips:

        >>> two_proportion_z(0.731 * 2326, 2326, 0.770 * 2326, 2326)
        ZTest(z=3.07..., p_value=0.0010...)
    """
    for correct, n in ((correct_a, n_a), (correct_b, n_b)):
        if not (n > 0 and 0 <= correct <= n):
            raise InputError(f"{correct} of {n} clips right, expected at least one clip and from 0 to all of them")
    pooled = (correct_a + correct_b) / (n_a + n_b)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    difference = correct_b / n_b - correct_a / n_a
    z = float(difference / deviation) if deviation > 0 else 0.0
    return ZTest(z, float(stats.norm.sf(z)))


def mcnemar(predictions_a: pd.DataFrame, predictions_b: pd.DataFrame) -> McNemar:
    """McNemar's exact test on the clips that only one of two students classifies correctly.

    The test respects that both students use the same clips, but it assumes that the clips are independent.

    Args:
        predictions_a: predictions of the baseline, with `emotion` and `predicted` by file.
        predictions_b: predictions of the other student for the same files, in any order; clips without an emotion
            are left out.

    Returns:
        The counts and the two-sided p-value of the binomial test; 1 if the two students never differ.

    Raises:
        InputError: other files, or other labels.

    Examples:
        >>> files = pd.Index(["1.wav", "2.wav", "3.wav"], name="file")
        >>> a = pd.DataFrame({"emotion": "fear", "predicted": ["fear", "anger", "anger"]}, index=files)
        >>> mcnemar(a, a.assign(predicted="fear"))
        McNemar(only_a=0, only_b=2, p_value=0.5)
    """
    a, b = _paired(predictions_a, predictions_b)
    right_a, right_b = (table["predicted"] == table["emotion"] for table in (a, b))
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    differing = only_a + only_b
    p_value = float(stats.binomtest(only_b, differing).pvalue) if differing else 1.0
    return McNemar(only_a, only_b, p_value)


def bootstrap_difference(
    predictions_a: pd.DataFrame | Sequence[pd.DataFrame],
    predictions_b: pd.DataFrame | Sequence[pd.DataFrame],
    metric: str = "uar",
    *,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Difference of two students with its 95 % interval; the bootstrap draws whole speakers with replacement.

    The clips of a speaker are not independent. Therefore the bootstrap draws speakers, the same speakers for both
    students. Two speakers can be drawn in only three ways, and n speakers in few ways: below about ten speakers,
    the interval is coarse and too narrow. The p-value is never below ``2 ** (1 - n_speakers)``, the smallest value
    that n speakers can show (sign test: all favour one student). With two speakers, it is at least 0.5.

    Args:
        predictions_a: predictions of the baseline, with `emotion`, `speaker` and `predicted` by file; or a list of
            such tables, one per seed. The difference is then that of the means over seeds.
        predictions_b: predictions of the other student for the same files; as many tables.
        metric: ``"uar"`` or ``"accuracy"``.
        n_resamples: number of bootstrap resamples.
        seed: random seed of the bootstrap.

    Returns:
        The difference as a share (0.01 is one percentage point), its bounds, the two-sided p-value of no difference
        (twice the smaller share of resamples on one side of 0, with the limit above), and the number of speakers.

    Raises:
        InputError: another metric, other files or labels, or different numbers of tables.

    Examples:
        >>> table = pd.DataFrame({"emotion": "fear", "speaker": ["f1", "m1"], "predicted": ["fear", "joy"]})
        >>> bootstrap_difference(table, table.assign(predicted="fear"), "accuracy")
        Difference(difference=0.5, low=0.0, high=1.0, p_value=0.5..., n_speakers=2)
    """
    if metric not in METRICS:
        raise bad_value("metric", metric, METRICS)
    tables_a, tables_b = _tables(predictions_a), _tables(predictions_b)
    if len(tables_a) != len(tables_b) or not tables_a:
        raise InputError(f"{len(tables_a)} tables against {len(tables_b)}, expected equally many, one per seed")
    pairs = [_paired(*pair) for pair in zip(tables_a, tables_b, strict=True)]
    pairs = [(a, b.assign(speaker=a["speaker"])) for a, b in pairs]
    for a, _ in pairs[1:]:
        _paired(pairs[0][0], a)
    classes = sorted(
        {name for pair in pairs for table in pair for name in [*table["emotion"], *table["predicted"]]}
    )
    matrices = [[speaker_confusions(table, classes) for table in pair] for pair in pairs]
    difference = float(np.mean([scores(b.sum(0))[metric] - scores(a.sum(0))[metric] for a, b in matrices]))
    n_speakers = len(matrices[0][0])
    if n_speakers < 2:
        return Difference(difference, np.nan, np.nan, np.nan, n_speakers)
    # The same seed draws the same speakers for all tables.
    values = np.mean(
        [
            resampled_scores(b, n_resamples, seed)[metric] - resampled_scores(a, n_resamples, seed)[metric]
            for a, b in matrices
        ],
        axis=0,
    )
    low, high = np.quantile(values, TAILS)
    # Adding 1 above and below keeps the p-value above 0: no number of resamples can prove 0.
    at_most, at_least = ((values <= 1e-12).sum(), (values >= -1e-12).sum())
    p_value = min(1.0, 2 * (1 + min(at_most, at_least)) / (1 + n_resamples))
    # If few speakers all favour one student, so does every resample: that is no evidence beyond their number.
    p_value = max(p_value, 2.0 ** (1 - n_speakers))
    return Difference(difference, float(low), float(high), float(p_value), n_speakers)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's correction for several p-values; it is valid for any dependence between them.

    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.

    Args:
        p_values: [n]; NaN (no test was possible) stays NaN and does not count.

    Returns:
        [n] float64, the corrected p-values in the same order, not smaller than the given ones and at most 1.

    Examples:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=float)
    tested = np.flatnonzero(~np.isnan(p_values))
    wrong = p_values[tested][(p_values[tested] < 0) | (p_values[tested] > 1)]
    if len(wrong):
        raise InputError(f"Bad p-value {wrong[0]}, expected 0 to 1")
    order = tested[np.argsort(p_values[tested], kind="stable")]
    corrected = np.full(len(p_values), np.nan)
    steps = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * steps), 1)
    return corrected


def _tables(given: pd.DataFrame | Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    return [given] if isinstance(given, pd.DataFrame) else list(given)


def _paired(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The clips with an emotion in two tables of predictions, in the same order."""
    a, b = (table[table["emotion"].notna()] for table in (a, b))
    if not len(a):
        raise InputError("No clip with a known emotion to compare")
    for table in (a, b):
        if table.index.has_duplicates:
            raise InputError(f"The clip {table.index[table.index.duplicated()][0]} has two predictions; keep one")
    different = a.index.symmetric_difference(b.index)
    if len(different):
        raise InputError(
            f"Predictions for different clips cannot be compared; only one table has {shorten(different.tolist())}"
        )
    b = b.loc[a.index]
    relabelled = a.index[a["emotion"].astype(str) != b["emotion"].astype(str)]
    if len(relabelled):
        raise InputError(f"Predictions with different labels cannot be compared, e.g. {relabelled[0]}")
    return a, b
