"""Pictures of results: confusion matrices and learning curves."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ser_graph.common.colors import UNKNOWN_COLOR, value_colors


def plot_confusion_matrix(counts: pd.DataFrame, ax: Axes | None = None, title: str = "") -> Axes:
    """A confusion matrix: true emotions in rows, predicted in columns; colour is recall, numbers are counts.

    Args:
        counts: result of `confusion_matrix`.
        ax: axes to draw on; a new figure by default.
        title: title of the axes.
    """
    ax = ax or new_axes(5.4, 4.8)
    values = counts.to_numpy()
    shares = values / np.maximum(values.sum(1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    write_cells(ax, [[f"{count:,}" for count in row] for row in values], shares > 0.55)
    name_ticks(ax.xaxis, "emotion", counts.columns)
    name_ticks(ax.yaxis, "emotion", counts.index)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.set_title(title)
    return ax


def plot_history(histories: Mapping[str, Sequence[Mapping[str, Any]]], ax: Axes | None = None) -> Axes:
    """UAR on dev by epoch, one line per student. For a student without dev, the cross entropy on training clips.

    Epochs without an evaluation on dev are left out.

    Args:
        histories: name of a student -> its ``info["history"]``.
        ax: axes to draw on; a new figure by default.
    """
    ax = ax or new_axes(6.0, 3.6)
    with_dev = all(any("dev_uar" in row for row in rows) for rows in histories.values())
    key = "dev_uar" if with_dev else "supervised_loss"
    for name, rows in histories.items():
        points = [(row["epoch"], row[key]) for row in rows if key in row]
        ax.plot(*zip(*points, strict=True), marker=".", label=name)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("UAR on dev" if with_dev else "cross entropy on training clips")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))  # beside the axes: it covers no line
    return ax


def plot_students(table: pd.DataFrame, ax: Axes | None = None, chance: float | None = None) -> Axes:
    """UAR of students with confidence intervals.

    Args:
        table: one row per student with `uar`, `uar_low` and `uar_high`; the index contains the names.
        ax: axes to draw on; a new figure by default.
        chance: UAR of guessing, drawn as a line.
    """
    ax = ax or new_axes(6.0, 0.9 + 0.45 * len(table))
    places = np.arange(len(table))[::-1]
    low = table["uar"] - table["uar_low"].astype(float).fillna(table["uar"])
    high = table["uar_high"].astype(float).fillna(table["uar"]) - table["uar"]
    ax.errorbar(table["uar"], places, xerr=[low.clip(lower=0), high.clip(lower=0)], fmt="o", capsize=4)
    ax.set_yticks(places, labels=list(table.index))
    ax.set_ylim(-0.6, len(table) - 0.4)
    if chance is not None:
        ax.axvline(chance, linestyle=":", color="grey")
        beside: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
        ax.annotate("chance", (chance, -0.45), color="grey", fontsize=8, **beside)
    ax.set_xlabel("UAR on test, 95 % interval over speakers")
    ax.grid(alpha=0.3, axis="x")
    return ax


def plot_sensitivity(
    values: pd.DataFrame, ax: Axes | None = None, baseline: float | None = None, title: str = ""
) -> Axes:
    """A metric by number of neighbours, one line per alpha; bars show one standard deviation over seeds.

    Args:
        values: one row per setting, with `alpha`, `n_neighbors` (0 means all, drawn last), `mean` and `sd` (NaN for
            one seed).
        ax: axes to draw on; a new figure by default.
        baseline: the metric without a graph, drawn as a line.
        title: title of the axes.
    """
    ax = ax or new_axes(4.0, 3.2)
    every = values["n_neighbors"].max() + 1
    values = values.assign(place=values["n_neighbors"].replace(0, every)).sort_values("place")
    for alpha, rows in values.groupby("alpha"):
        label = f"alpha {alpha:g}"
        ax.errorbar(rows["place"], rows["mean"], rows["sd"].fillna(0), marker="o", capsize=3, label=label)
    if baseline is not None:
        ax.axhline(baseline, linestyle=":", color="grey", label="baseline")
    places = sorted(set(values["place"]))
    ax.set_xticks(places, labels=["all" if place == every else f"{place:g}" for place in places])
    ax.set_xlabel("neighbours")
    ax.set_title(title)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return ax


def write_cells(ax: Axes, texts: Sequence[Sequence[str]], dark: np.ndarray) -> None:
    """Write a text into each cell of a matrix that is drawn; on dark cells in white."""
    for (row, column), on_dark in np.ndenumerate(dark):
        color = "white" if on_dark else "black"
        ax.text(column, row, texts[row][column], ha="center", va="center", fontsize=8, color=color)


def new_axes(width: float, height: float) -> Axes:
    """Axes of a new figure (size in inches), without a change of pyplot's state."""
    return Figure(figsize=(width, height), layout="constrained", dpi=150).subplots()


def name_ticks(axis: Axis, column: str, names: Iterable[str]) -> None:
    """Label the places 0, 1, ... of an axis with values of a column, each with a patch of its colour.

    The values are drawn unchanged, whatever they contain.
    """
    names = list(names)
    axis.set_ticks(range(len(names)), labels=names)
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if isinstance(axis, XAxis) else {}
    for label in axis.get_ticklabels():
        label.set(parse_math=False, **slanted)
    axis.set_tick_params(length=6, width=6, pad=3)
    colors = value_colors(column, names)
    for tick, name in zip(axis.get_major_ticks(), names, strict=True):
        tick.tick1line.set_markeredgecolor(colors.get(name, UNKNOWN_COLOR))
