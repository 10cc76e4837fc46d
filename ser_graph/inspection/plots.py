"""Pictures of a graph."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ser_graph.errors import InputError
from ser_graph.evaluation.figures import new_axes
from ser_graph.graph import ClipGraph
from ser_graph.graph.statistics import mixing_matrix, nodes_in_scope


def plot_similarities(data: ClipGraph, ax: Axes | None = None) -> Axes:
    """Similarities of nearest neighbours beside those of random pairs, and where epsilon cuts.

    Args:
        data: the graph.
        ax: where to draw; a new figure by default.
    """
    ax = ax or new_axes(6.0, 3.4)
    graph = data.meta["graph"]
    histogram = graph["similarity_histogram"]
    if not histogram:
        raise InputError("No similarities to plot: the graph has fewer than two clips in scope")
    edges = np.linspace(histogram["low"], histogram["high"], len(histogram["nearest"]) + 1)
    width = edges[1] - edges[0]
    for key, label in (("pairs", "random pairs"), ("nearest", f"nearest {graph['n_neighbors']} neighbours")):
        counts = np.asarray(histogram[key], dtype=float)
        ax.stairs(counts / counts.sum() / width, edges, fill=True, alpha=0.55, label=label)
    if graph["epsilon"] is not None:
        kept = f"epsilon {graph['epsilon']:g}: {graph['coverage']:.0%} of clips have a neighbour"
        ax.axvline(graph["epsilon"], color="black", linestyle="--", linewidth=1, label=kept)
    ax.set_xlabel("cosine similarity of embeddings")
    ax.set_ylabel("density")
    ax.legend(fontsize=8)
    return ax


def plot_mixing(data: ClipGraph, column: str = "emotion", ax: Axes | None = None) -> Axes:
    """How often clips of one value have neighbours of another, as a multiple of what chance would give.

    Args:
        data: the graph.
        column: `emotion`, `speaker` or `gender`.
        ax: where to draw; a new figure by default.
    """
    counts = mixing_matrix(data, column)
    ax = ax or new_axes(2.2 + 0.45 * len(counts), 1.8 + 0.42 * len(counts))
    inside = data.table[column][nodes_in_scope(data).numpy()]
    chance = inside.value_counts(normalize=True).reindex(counts.columns).fillna(0.0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    ratio = shares.div(chance.clip(lower=1e-9), axis=1)
    image = ax.imshow(np.log2(ratio.clip(1 / 8, 8)), cmap="RdBu_r", vmin=-3, vmax=3)
    for (row, place), value in np.ndenumerate(ratio.to_numpy()):
        strong = abs(np.log2(min(max(value, 1 / 8), 8))) > 1.8
        text_color = "white" if strong else "black"
        ax.text(place, row, f"{value:.1f}", ha="center", va="center", fontsize=8, color=text_color)
    ax.set_xticks(range(len(counts)), labels=list(counts.columns), rotation=45, ha="right")
    ax.set_yticks(range(len(counts)), labels=list(counts.index))
    ax.set_xlabel("neighbour")
    ax.set_ylabel("clip")
    ax.set_title("edges as a multiple of chance")
    bar = ax.figure.colorbar(image, ax=ax, ticks=[-3, 0, 3])
    bar.set_ticklabels(["1/8", "1", "8"])
    return ax
