"""The map of a graph, coloured by a column or any other values of the clips."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgba_array
from matplotlib.lines import Line2D

from ser_graph.analysis import column_codes, text_columns
from ser_graph.common.colors import UNKNOWN_COLOR, value_colors
from ser_graph.errors import InputError, bad_value
from ser_graph.evaluation.figures import new_axes
from ser_graph.graph import ClipGraph
from ser_graph.inspection.layout import graph_layout

_MOST_EDGES = 20_000
_MOST_ENTRIES = 12
_MARKERS = {"train": "o", "dev": "^", "test": "s", "no split": "X"}

Entries = list[tuple[Artist, str]]
"""The lines of a legend."""


def plot_map(data: ClipGraph, by: str | pd.Series = "emotion", ax: Axes | None = None, *, seed: int = 0) -> Axes:
    """A map of the clips, see `graph_layout`: similar clips are close together, over the edges of the graph.

    Circles are training clips, triangles dev, squares test. If there are very many edges, the picture shows a
    random sample and says so.

    Args:
        data: the graph.
        by: the column of the clip table that gives the colour, or a Series indexed by file, e.g. a column of
            `score_clips`, ``predictions["predicted"]`` or ``communities(data).astype(str)``. Its rows are matched
            by file. Clips without a value are grey. Numbers get a colour scale, from the 2nd to the 98th
            percentile. Text gets one colour per value; emotions have fixed colours.
        ax: axes to draw on; a new figure by default.
        seed: random seed of the layout, of the drawing order of clips, and of the sample of edges.

    Raises:
        InputError: no such column, or a Series with a file twice or with a file that is not in the graph.
    """
    values = _values(data, by)
    places = graph_layout(data, seed)
    ax = ax or new_axes(7.4, 5.4)
    ax.set(xticks=[], yticks=[], aspect="equal", anchor="W", xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
    ax.spines[:].set_color("#cccccc")
    ax.set_title(f"{data.num_nodes:,} clips by {values.name}: near means similar", fontsize=10, parse_math=False)
    _draw_edges(data, places, ax, seed)
    if pd.api.types.is_float_dtype(values):
        colors, entries = _number_colors(values, ax)
    else:
        colors, entries = _name_colors(values)
    entries += _draw_clips(data, places, colors, values.notna().to_numpy(), ax, seed)
    _add_legend(ax, entries)
    return ax


def _values(data: ClipGraph, by: str | pd.Series) -> pd.Series:
    """One value per clip in the order of the clip table, float64 or text; the name is that of the column."""
    files = data.table.index
    if isinstance(by, pd.Series):
        values = _matched(by, files)
    elif by not in data.table:
        raise bad_value("column", by, data.table.columns)
    elif by in text_columns(data):
        names, codes = column_codes(data, by)
        texts = [names[code] if code >= 0 else None for code in codes.tolist()]
        return pd.Series(texts, index=files, name=by, dtype=object)
    else:
        values = data.table[by]
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.astype("Float64").astype("float64")
        return numbers.where(np.isfinite(numbers))
    return values.astype(object).where(values.isna(), values.astype(str))


def _matched(given: pd.Series, files: pd.Index) -> pd.Series:
    if given.index.has_duplicates:
        twice = given.index[given.index.duplicated()][0]
        raise InputError(f"The Series to colour by has two values for {twice}; keep one for each file")
    unknown = given.index.difference(files)
    if len(unknown):
        raise InputError(
            f"The Series to colour by has {len(unknown)} entries that are not in the graph, e.g. {unknown[0]}; "
            f"index it by file like the clip table (e.g. {files[0]})"
        )
    return given.reindex(files).rename("value" if given.name is None else str(given.name))


def _draw_edges(data: ClipGraph, places: np.ndarray, ax: Axes, seed: int) -> None:
    """Edges as faint lines; a pair with edges in both directions gets one line."""
    pairs = np.unique(np.sort(data.edge_index.numpy(), axis=0), axis=1).T
    n = len(pairs)
    if n > _MOST_EDGES:
        pairs = pairs[np.random.default_rng(seed).choice(n, _MOST_EDGES, replace=False)]
        ax.set_xlabel(f"{_MOST_EDGES:,} of {n:,} edges drawn", fontsize=8)
    alpha = float(np.clip(600 / max(len(pairs), 1), 0.06, 0.4))
    ax.add_collection(
        LineCollection(list(places[pairs]), colors="#666666", linewidths=0.5, alpha=alpha, zorder=0.5)
    )


def _name_colors(values: pd.Series) -> tuple[np.ndarray, Entries]:
    """[N, 4] colours of text, and their legend: the first values by name, then the number of the others."""
    counts = values.value_counts().sort_index()
    colors = value_colors(str(values.name), counts.index)
    entries: Entries = [
        (_entry("o", colors[name]), f"{name} ({counts[name]:,})") for name in counts.index[:_MOST_ENTRIES]
    ]
    if len(counts) > _MOST_ENTRIES:
        repeated = ", colours repeat" if len(set(colors.values())) < len(colors) else ""
        entries.append((_entry("", "none"), f"and {len(counts) - _MOST_ENTRIES} more{repeated}"))
    return to_rgba_array([colors.get(value, UNKNOWN_COLOR) for value in values]), entries + _unknown_entry(values)


def _number_colors(values: pd.Series, ax: Axes) -> tuple[np.ndarray, Entries]:
    """[N, 4] colours of numbers, with a colour bar. Extreme values do not stretch the scale."""
    known = values.notna().to_numpy()
    colors = np.tile(to_rgba_array(UNKNOWN_COLOR), (len(values), 1))
    if known.any():
        scale = ScalarMappable(Normalize(*values.quantile([0.02, 0.98])), "viridis")
        colors[known] = scale.to_rgba(values.to_numpy()[known])
        style: dict[str, Any] = {"location": "bottom", "anchor": (0, 1), "panchor": False, "pad": 0.02}
        bar = ax.figure.colorbar(scale, ax=ax, extend="both", shrink=0.6, aspect=40, **style)
        bar.ax.set_xlabel(str(values.name), parse_math=False)
    return colors, _unknown_entry(values)


def _draw_clips(
    data: ClipGraph, places: np.ndarray, colors: np.ndarray, known: np.ndarray, ax: Axes, seed: int
) -> Entries:
    """Draw the clips, with a marker per split, in random order over small unknown ones; returns the legend."""
    order = np.random.default_rng(seed).permutation(data.num_nodes)
    order = order[known[order].argsort(kind="stable")]
    size = float(np.clip(12_000 / max(data.num_nodes, 1), 4, 30))
    sizes = np.where(known, size, 0.4 * size)
    splits = data.table["split"].astype(object).where(data.table["split"].isin(list(_MARKERS)), "no split")
    entries: Entries = []
    for name, marker in _MARKERS.items():
        rows = order[(splits == name).to_numpy()[order]]
        if len(rows):
            x, y = places[rows].T
            ax.scatter(x, y, sizes[rows], colors[rows], marker=marker, edgecolors="white", linewidths=0.2)
            entries.append((_entry(marker, "none", edge="black"), f"{name} ({len(rows):,})"))
    return entries


def _add_legend(ax: Axes, entries: Entries) -> None:
    legend = ax.legend(
        handles=[handle for handle, _ in entries],
        labels=["-"] * len(entries),
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        frameon=False,
        fontsize=8,
    )
    for text, (_, name) in zip(legend.get_texts(), entries, strict=True):
        text.set(text=name, parse_math=False)  # labels of a legend cannot begin with "_", and interpret "$"


def _entry(marker: str, color: str, edge: str = "none") -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, markerfacecolor=color, markeredgecolor=edge, markersize=6
    )


def _unknown_entry(values: pd.Series) -> Entries:
    n = int(values.isna().sum())
    return [(_entry("o", UNKNOWN_COLOR), f"unknown ({n:,})")] if n else []
