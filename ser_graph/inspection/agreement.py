"""A student's confusions beside the graph's edges: does the student confuse emotions that the graph joins?"""

import math
from itertools import islice, permutations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy.stats import rankdata

from ser_graph.analysis import mixing_table
from ser_graph.errors import InputError, bad_value
from ser_graph.evaluation import confusion_matrix
from ser_graph.evaluation.figures import name_ticks, write_cells
from ser_graph.graph import ClipGraph

_MOST_PERMUTATIONS = 10_000


def plot_confusions_beside_mixing(data: ClipGraph, predictions: pd.DataFrame) -> np.ndarray:
    """The confusion matrix of a student beside the edges of `mixing_table`, both as shares of rows.

    The title gives the similarity of both off the diagonal: Spearman's rank correlation, and the share of
    permutations of the emotions with at least this correlation; see `matrix_correlation`.

    Args:
        data: the graph.
        predictions: result of `predict` for clips of the graph: `emotion` and `predicted` by file.

    Returns:
        [2] axes of a new figure: confusions, mixing.

    Raises:
        InputError: no predictions with a known emotion, or predictions for other clips or emotions.
    """
    confusions = _shares(_confusions(data, predictions))
    edges = mixing_table(data, n_permutations=0)["edges"].to_numpy().reshape(confusions.shape)
    mixing = _shares(pd.DataFrame(edges, data.emotions, data.emotions))
    size = 2.0 + 0.45 * len(mixing)
    figure = Figure(figsize=(2 * size + 1, size + 0.6), layout="constrained", dpi=150)
    axes = figure.subplots(1, 2)
    highest = float(np.nanmax([*confusions.to_numpy().flat, *mixing.to_numpy().flat, 0.01]))
    image = _draw(confusions, axes[0], highest)
    _draw(mixing, axes[1], highest)
    axes[0].set(title="the student says", xlabel="predicted", ylabel="true")
    axes[1].set(title="the graph joins", xlabel="neighbour", ylabel="clip")
    figure.colorbar(image, ax=list(axes), label="share of the row", shrink=0.8, format="{x:.0%}")
    figure.suptitle(_verdict(*matrix_correlation(confusions, mixing)), fontsize=10)
    return axes


def matrix_correlation(a: pd.DataFrame, b: pd.DataFrame, *, seed: int = 0) -> tuple[float, float]:
    """The similarity of two square tables over the same names off the diagonal, and its p-value.

    The cells of a row depend on one another, so a plain test of correlation is significant too often. This is
    Mantel's test (1967), also known as QAP: it permutes the names of one table, rows and columns together.

    Args:
        a: [C, C]; names whose row contains NaN in either table are left out.
        b: [C, C], with the same names.
        seed: random seed of the permutations, if there are too many to try all (C > 7).

    Returns:
        Spearman's correlation of the cells, and the share of permutations, including the given order, with at least
        this correlation. NaN if fewer than three names remain or all cells of a table are equal.
    """
    complete = (a.notna() & b.notna()).all(axis=1).to_numpy()
    n = int(complete.sum())
    off = ~np.eye(n, dtype=bool)
    ranks = []
    for table in (a, b):
        cells = table.to_numpy(float)[complete][:, complete]
        square = np.zeros((n, n))
        square[off] = rankdata(cells[off].round(12))
        square[off] -= square[off].mean() if n > 1 else 0
        ranks.append(square)
    scale = math.sqrt(float((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    if n < 3 or scale == 0:
        return float("nan"), float("nan")
    orders = _orders(n, seed)
    permuted = ranks[1][orders[:, :, None], orders[:, None, :]]
    correlations = (ranks[0] * permuted).sum(axis=(1, 2)) / scale  # the first is that of the given order
    return float(correlations[0]), float((correlations >= correlations[0] - 1e-12).mean())


def _orders(n: int, seed: int) -> np.ndarray:
    """[P, n] all permutations, or a random sample of them, with the identity first."""
    if math.factorial(n) <= _MOST_PERMUTATIONS:
        return np.array(list(islice(permutations(range(n)), _MOST_PERMUTATIONS)))
    given = np.tile(np.arange(n), (_MOST_PERMUTATIONS, 1))
    given[1:] = np.random.default_rng(seed).permuted(given[1:], axis=1)
    return given


def _confusions(data: ClipGraph, predictions: pd.DataFrame) -> pd.DataFrame:
    counts = confusion_matrix(predictions)
    strange = predictions.index.difference(data.table.index)
    if len(strange):
        raise InputError(
            f"{len(strange)} of {len(predictions)} predictions are for clips that are not in the graph, "
            f"e.g. {strange[0]}; give the predictions for this graph"
        )
    unknown = {*predictions["emotion"].dropna(), *predictions["predicted"]} - set(data.emotions)
    if unknown:
        raise bad_value("emotion in the predictions", min(unknown, key=str), data.emotions)
    return counts.reindex(index=data.emotions, columns=data.emotions, fill_value=0)


def _shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Each row divided by its sum; NaN for a row without counts."""
    return counts.div(counts.sum(axis=1).replace(0, np.nan), axis=0)


def _draw(shares: pd.DataFrame, ax: Axes, highest: float) -> AxesImage:
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=highest)
    texts = [["-" if np.isnan(share) else f"{100 * share:.0f}" for share in row] for row in shares.to_numpy()]
    write_cells(ax, texts, shares.to_numpy() > 0.55 * highest)
    name_ticks(ax.xaxis, "emotion", shares.columns)
    name_ticks(ax.yaxis, "emotion", shares.index)
    return image


def _verdict(correlation: float, p_value: float) -> str:
    if np.isnan(correlation):
        return "nothing to compare off the diagonal"
    return f"rank correlation of the cells off the diagonal {correlation:.2f}, p = {p_value:.2g} (Mantel test)"
