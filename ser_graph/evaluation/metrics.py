"""Predictions -> accuracy and UAR, with intervals for clips that depend on one another within a speaker."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix as _confusion_matrix, recall_score

from ser_graph.common.csv_files import unprotected
from ser_graph.common.warning import warn
from ser_graph.errors import InputError, shorten

TAILS = (0.025, 0.975)
"""The quantiles that bound an interval of 95 %."""


def evaluate(predictions: pd.DataFrame, *, n_resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Accuracy and UAR of predictions, with 95 % confidence intervals from a bootstrap over speakers.

    Args:
        predictions: a table with `emotion`, `predicted` and `speaker`. Clips without an emotion are left out.
        n_resamples: number of bootstrap resamples.
        seed: random seed of the bootstrap.

    Returns:
        `accuracy`, `accuracy_low`, `accuracy_high`, `uar`, `uar_low`, `uar_high`, `uar_batchwise`, `n_test`,
        `n_test_speakers`. The bounds are None with fewer than two speakers; a warning then says so.

    Raises:
        InputError: a column is missing, or no clip has a known emotion.
    """
    known = _labelled(predictions, "emotion", "predicted", "speaker")
    mixed = known.sample(frac=1, random_state=seed)  # in file order, a batch would contain few classes
    bounds = bootstrap(known, n_resamples=n_resamples, seed=seed)
    if bounds["uar"]["uar_low"] is None:
        warn(
            f"No interval: all {len(known):,} clips are of one speaker, and the interval is drawn over speakers; "
            "test on clips of at least two speakers"
        )
    scored = point_scores(known)
    return {
        "accuracy": scored["accuracy"],
        **bounds["accuracy"],
        "uar": scored["uar"],
        **bounds["uar"],
        "uar_batchwise": uar_batchwise(mixed["emotion"], mixed["predicted"]),
        "n_test": len(known),
        "n_test_speakers": int(known["speaker"].nunique()),
    }


def point_scores(predictions: pd.DataFrame) -> dict[str, float]:
    """`accuracy` and `uar` of the clips with an emotion, without intervals."""
    known = predictions[predictions["emotion"].notna()]
    true, predicted = known["emotion"], known["predicted"]
    return {"accuracy": float(accuracy_score(true, predicted)), "uar": uar(true, predicted)}


def uar(true: Sequence[Any] | pd.Series, predicted: Sequence[Any] | pd.Series) -> float:
    """Unweighted average recall: the recall of each class of the test set, averaged over the classes.

    Examples:
        >>> uar(["anger", "anger", "anger", "fear"], ["anger", "anger", "fear", "fear"])
        0.8333333333333333
    """
    classes = sorted(set(true))
    return float(recall_score(true, predicted, labels=classes, average="macro", zero_division=0))


def uar_batchwise(
    true: Sequence[Any] | pd.Series, predicted: Sequence[Any] | pd.Series, *, batch_size: int = 16
) -> float:
    """The number that the paper's code calls UAR, for comparison with its Table 3; it is lower than the UAR.

    The recalls are averaged within each batch of 16 clips. A class that is absent from a batch counts as 0. The
    result is the mean over batches.

    Examples:
        >>> uar_batchwise(["anger", "anger", "fear"], ["anger", "anger", "fear"], batch_size=2)
        0.5
    """
    classes = sorted(set(true))
    predictions, targets = np.asarray(predicted, dtype=object), np.asarray(true, dtype=object)
    recalls = [
        recall_score(
            targets[start : start + batch_size],
            predictions[start : start + batch_size],
            labels=classes,
            average="macro",
            zero_division=0,
        )
        for start in range(0, len(targets), batch_size)
    ]
    return float(np.mean(recalls))


def confusion_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """Counts of clips by true emotion (rows) and predicted emotion (columns). Clips without emotion are left out.

    Raises:
        InputError: no column `emotion` or `predicted`, or no clip has a known emotion.
    """
    known = _labelled(predictions, "emotion", "predicted")
    classes = sorted(set(known["emotion"]) | set(known["predicted"]))
    counts = _confusion_matrix(known["emotion"], known["predicted"], labels=classes)
    return pd.DataFrame(
        counts, index=pd.Index(classes, name="emotion"), columns=pd.Index(classes, name="predicted")
    )


def _labelled(predictions: pd.DataFrame, *wanted: str) -> pd.DataFrame:
    """The predictions with an emotion; refuses a table without some columns, or without an emotion."""
    for column in wanted:
        if column not in predictions:
            raise InputError(
                f"The predictions have no column {column!r}, only {shorten(predictions.columns, 6)}; give the "
                "table that `predict` returns for a graph or a clip table"
            )
    known = predictions[predictions["emotion"].notna()]
    if not len(known):
        raise InputError("No clip with a known emotion to evaluate on")
    return known


def bootstrap(
    predictions: pd.DataFrame, *, n_resamples: int = 2000, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """95 % percentile intervals of accuracy and UAR; the bootstrap draws whole speakers with replacement.

    The UAR of a resample uses the classes that occur in the resample. Clips without an emotion are left out.

    Returns:
        For `accuracy` and `uar`: `..._low` and `..._high`; None with fewer than two speakers.
    """
    matrices = speaker_confusions(predictions[predictions["emotion"].notna()])
    if len(matrices) < 2:
        return {name: {f"{name}_low": None, f"{name}_high": None} for name in ("accuracy", "uar")}
    values = resampled_scores(matrices, n_resamples, seed)
    bounds = {name: np.quantile(value, TAILS) for name, value in values.items()}
    return {name: {f"{name}_low": float(low), f"{name}_high": float(high)} for name, (low, high) in bounds.items()}


def speaker_confusions(predictions: pd.DataFrame, classes: Sequence[str] | None = None) -> np.ndarray:
    """[n_speakers, n_classes, n_classes] confusion matrix of each speaker, in the order of their names."""
    classes = classes or sorted(set(predictions["emotion"]) | set(predictions["predicted"]))
    # A clip without a speaker counts as a speaker.
    speakers = predictions["speaker"].where(predictions["speaker"].notna(), predictions.index.to_series())
    return np.stack(
        [
            _confusion_matrix(part["emotion"], part["predicted"], labels=classes)
            for _, part in predictions.groupby(speakers, sort=True)
        ]
    )


def resampled_scores(matrices: np.ndarray, n_resamples: int, seed: int) -> dict[str, np.ndarray]:
    """[n_resamples] `accuracy` and `uar` of resamples; each draws as many speakers as there are, with replacement.

    `matrices` come from `speaker_confusions`. With the same number of speakers, the same seed draws the same
    speakers.
    """
    n = len(matrices)
    # Number of draws of each speaker -> the summed confusion matrix of each resample.
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    return scores(np.einsum("rs,sij->rij", drawn, matrices))


def scores(confusions: np.ndarray) -> dict[str, np.ndarray]:
    """[...] `accuracy` and `uar` of [..., n_classes, n_classes] confusion matrices; UAR over occurring classes."""
    correct = np.einsum("...ii->...i", confusions)
    support = confusions.sum(-1)
    with np.errstate(invalid="ignore"):
        return {
            "accuracy": correct.sum(-1) / support.sum(-1),
            "uar": np.nanmean(correct / np.where(support > 0, support, np.nan), axis=-1),
        }


def read_predictions(path: Path) -> pd.DataFrame:
    """Read stored predictions, exact to the last bit; an emotion or a speaker may have the name NA."""
    rows = pd.read_csv(path, index_col="file", dtype=str, keep_default_na=False, na_values=[""])
    shares = [str(name) for name in rows if str(name).startswith("p_")]
    for name in rows.columns.difference(shares):
        rows[name] = rows[name].map(unprotected, na_action="ignore")
    rows.index = rows.index.map(unprotected)
    return rows.astype({**dict.fromkeys(shares, float), **({"fold": int} if "fold" in rows else {})})
