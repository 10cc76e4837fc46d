"""Pictures of a whole graph: its similarities, its degrees, and which clips it joins."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ser_graph.analysis import column_codes, degree_distribution, mixing_table
from ser_graph.errors import InputError
from ser_graph.evaluation.figures import name_ticks, new_axes, write_cells
from ser_graph.graph import ClipGraph

_MOST_NUMBERS = 26  # largest matrix with numbers in its cells


def plot_similarities(data: ClipGraph, ax: Axes | None = None) -> Axes:
    """Similarities of nearest neighbours and of random pairs, with a line at epsilon.

    Args:
        data: the graph.
        ax: axes to draw on; a new figure by default.
    """
    ax = ax or new_axes(6.0, 3.4)
    measured, histogram = data.meta.measured, data.meta.measured.similarity_histogram
    if histogram is None:
        raise InputError("No similarities to plot: the graph has fewer than two clips in scope")
    edges = np.linspace(histogram.low, histogram.high, len(histogram.nearest) + 1)
    width = edges[1] - edges[0]
    nearest = f"nearest {data.meta.settings.n_neighbors} neighbours"
    for values, label in ((histogram.pairs, "random pairs"), (histogram.nearest, nearest)):
        counts = np.asarray(values, dtype=float)
        ax.stairs(counts / counts.sum() / width, edges, fill=True, alpha=0.55, label=label)
    if measured.epsilon is not None:
        kept = f"epsilon {measured.epsilon:g}: {measured.coverage:.0%} of clips have a neighbour"
        ax.axvline(measured.epsilon, color="black", linestyle="--", linewidth=1, label=kept)
    ax.set_xlabel("cosine similarity of embeddings")
    ax.set_ylabel("density")
    ax.legend(fontsize=8)
    return ax


def plot_degrees(data: ClipGraph, ax: Axes | None = None) -> Axes:
    """How many neighbours the clips in scope have, and how often they are a neighbour.

    `n_neighbors` limits the number of neighbours. Nothing limits how often a clip is a neighbour: a long tail to
    the right means hubs, and a high bar at 0 means many clips that are never a neighbour.

    Args:
        data: the graph.
        ax: axes to draw on; a new figure by default.
    """
    ax = ax or new_axes(6.0, 3.4)
    degrees = degree_distribution(data)
    edges = np.arange(len(degrees) + 1) - 0.5
    labels = {"in_degree": "neighbours of a clip", "out_degree": "times that a clip is a neighbour"}
    for name, label in labels.items():
        counts = degrees[name]
        alone = f"{label} (none: {counts[0] / max(counts.sum(), 1):.0%}, most: {counts[counts > 0].index.max()})"
        ax.stairs(counts, edges, fill=True, alpha=0.55, label=alone if counts.any() else label)
    # On a logarithmic axis, the few hubs are visible beside the many other clips.
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(0, 10 * max(degrees.to_numpy().max(), 1))  # room for the legend
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("degree")
    ax.set_ylabel("clips in scope")
    ax.legend(fontsize=8)
    return ax


def plot_mixing(data: ClipGraph, by: str = "emotion", ax: Axes | None = None) -> Axes:
    """How often clips of one value have neighbours of another: observed over expected edges of `mixing_table`.

    Grey cells have no expected edges: no edge leads to clips of that value, or none comes from them.

    Args:
        data: the graph.
        by: a text column of the clip table, see `column_codes`.
        ax: axes to draw on; a new figure by default.

    Raises:
        InputError: no such column, or a column with too many values for a table of pairs.
    """
    names, _ = column_codes(data, by)
    size = min(0.45 * len(names), 12)
    ax = ax or new_axes(2.2 + size, 1.8 + size)
    cells = mixing_table(data, by, n_permutations=0)["ratio"]
    ratio = cells.to_numpy().reshape(len(names), len(names))
    strength = np.log2(ratio.clip(1 / 8, 8))
    image = ax.imshow(strength, cmap="RdBu_r", vmin=-3, vmax=3)
    ax.set_facecolor("#dddddd")  # where there is nothing to compare
    if len(names) <= _MOST_NUMBERS:
        texts = [["-" if np.isnan(value) else f"{value:.1f}" for value in row] for row in ratio]
        write_cells(ax, texts, np.abs(strength) > 1.8)
    name_ticks(ax.xaxis, by, names)
    name_ticks(ax.yaxis, by, names)
    ax.set_xlabel("neighbour")
    ax.set_ylabel("clip")
    ax.set_title("edges as a multiple of chance")
    bar = ax.figure.colorbar(image, ax=ax, ticks=[-3, 0, 3])
    bar.set_ticklabels(["1/8", "1", "8"])
    return ax
