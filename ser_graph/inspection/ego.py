"""A picture of a clip and its neighbours."""

import math
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ser_graph.evaluation.figures import new_axes
from ser_graph.graph import ClipGraph
from ser_graph.inspection.clips import clip_color, clip_node, describe, neighbours_of, why_alone

_MOST_SEEDS = 10
_NEAREST, _FURTHEST, _LABELS = 0.35, 1.0, 1.2  # distances from the centre


def plot_ego(data: ClipGraph, clip: str | int, ax: Axes | None = None) -> Axes:
    """A clip in the middle, with its neighbours and the clips that have it as a neighbour. Close means similar.

    Filled circles on solid lines are neighbours of the clip. Rings on dashed lines are clips that have the clip as
    a neighbour and are not its neighbours; if there are many, only the nearest are shown.

    Args:
        data: the graph.
        clip: a file of the clip table, or the number of a node.
        ax: axes to draw on; a new figure by default.

    Raises:
        InputError: no such clip.
    """
    node = clip_node(data, clip)
    ax = ax or new_axes(7.4, 5.6)
    neighbours, similarities = neighbours_of(data, node)
    pairs = [
        pair for pair in zip(*neighbours_of(data, node, reverse=True), strict=True) if pair[0] not in neighbours
    ]
    around = list(zip(neighbours, similarities, strict=True)) + pairs[:_MOST_SEEDS]
    radii = _radii([similarity for _, similarity in around])
    for place, ((other, similarity), radius) in enumerate(zip(around, radii, strict=True)):
        angle = math.pi / 2 - 2 * math.pi * (place + 0.5) / len(around)  # clockwise; no clip is straight up
        _draw_clip(data, other, similarity, radius, angle, ax, mine=place < len(neighbours))
    ax.scatter(0, 0, s=260, color=clip_color(data, node), edgecolors="black", zorder=3)
    ax.set(xlim=(-2.3, 2.3), ylim=(-1.55, 1.4), aspect="equal")
    ax.set_axis_off()
    ax.set_title(describe(data, node), fontsize=10, parse_math=False)
    _add_legend(ax, len(neighbours), len(pairs))
    if not neighbours:
        ax.text(0, -0.3, why_alone(data, node), ha="center", fontsize=9)
    return ax


def _radii(similarities: list[float]) -> np.ndarray:
    """Distances from the centre: the most similar clip is nearest; differences are in proportion."""
    distances = 1 - np.asarray(similarities)
    if len(distances) == 0 or np.ptp(distances) == 0:
        return np.full(len(distances), (_NEAREST + _FURTHEST) / 2)
    return _NEAREST + (_FURTHEST - _NEAREST) * (distances - distances.min()) / np.ptp(distances)


def _draw_clip(
    data: ClipGraph, node: int, similarity: float, radius: float, angle: float, ax: Axes, *, mine: bool
) -> None:
    direction = np.array([math.cos(angle), math.sin(angle)])
    (x, y), (x_label, y_label) = radius * direction, _LABELS * direction
    color = clip_color(data, node)
    ax.plot([0, x], [0, y], color="#444444", linewidth=1.2, linestyle="-" if mine else "--", zorder=1)
    ax.plot([x, x_label], [y, y_label], color="#cccccc", linewidth=0.6, zorder=0)
    ax.scatter(x, y, s=110, facecolors=color if mine else "white", edgecolors=color, linewidths=2, zorder=2)
    code = int(data.y[node])
    stem = PurePosixPath(str(data.table.index[node])).stem
    label = f"{stem}\n{data.emotions[code] if code >= 0 else 'unknown'} {similarity:.3f}"
    side = "center" if abs(direction[0]) < 0.05 else "left" if direction[0] > 0 else "right"
    ax.text(x_label, y_label, label, ha=side, va="center", fontsize=7, parse_math=False)


def _add_legend(ax: Axes, n_own: int, n_seeds: int) -> None:
    style: dict[str, Any] = {"color": "#444444", "marker": "o", "markersize": 7}
    entries = []
    if n_own:
        entries.append(Line2D([], [], label=f"its {n_own} neighbours", **style))
    if n_seeds:
        shown = f", {_MOST_SEEDS} drawn" if n_seeds > _MOST_SEEDS else ""
        label = f"has it as a neighbour ({n_seeds}{shown})"
        entries.append(Line2D([], [], linestyle="--", markerfacecolor="white", label=label, **style))
    if entries:
        ax.legend(handles=entries, loc="lower center", ncols=2, frameon=False, fontsize=8)
