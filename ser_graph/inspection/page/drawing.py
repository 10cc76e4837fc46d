"""The Bokeh drawing of a page: its shapes and styles. The script of the page fills in the places."""

import re
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.models import BoxSelectTool, CDSView, ColumnDataSource, IndexFilter, LassoSelectTool, WheelZoomTool
from bokeh.plotting import figure

# Canvas, not WebGL: it works everywhere, and without a graphics card it is much faster than WebGL in software.
_BACKEND = "canvas"
PREFIXES = ("", "student_")  # of the names of the models of each map
ELEMENTS = ("drawing", "student-drawing")
_MARGIN = 0.06  # of the width, around the outermost points


def page_maps(*places: np.ndarray) -> Any:
    """The drawing as Bokeh's JSON: a map in each of the elements ``drawing`` and ``student-drawing`` of the page.

    The maps are empty; they show at first the places [M, 2] of all clips. The script of the page fills their
    sources, which have names (`everywhere`, `edges`, `edges_of_chosen`, `neighbours`, `chosen`; for the second map,
    with ``student_`` before them). The maps share the source `clips`, so that they share the selection, and the
    filter `shown`. So everything is drawn once, in its colour.
    """
    prefixes = PREFIXES[: len(places)]
    axes = [f"{prefix}{axis}" for prefix in prefixes for axis in "xy"]
    clips = ColumnDataSource({name: [] for name in (*axes, "color", "size", "marker")}, name="clips")
    shown = IndexFilter([], name="shown")
    document, roots = Document(), []
    for prefix, element, xy in zip(prefixes, ELEMENTS, places, strict=False):
        plot = _map(xy, prefix, clips, shown)
        document.add_root(plot)
        roots.append([plot.id, element])
    return _renumbered({"doc": document.to_json(deferred=False), "roots": roots}, {})


def _map(xy: np.ndarray, prefix: str, clips: ColumnDataSource, shown: IndexFilter) -> Any:
    plot = _empty_plot(xy, f"{prefix}plot")
    everywhere = ColumnDataSource({"x": [], "y": []}, name=f"{prefix}everywhere")
    plot.scatter("x", "y", source=everywhere, size=2, color="#888888", alpha=0.35, level="image")
    _edges(plot, f"{prefix}edges", level="underlay", line_color="#888888", line_alpha=0.35, line_width=0.8)
    chosen: dict[str, Any] = {"line_color": "color", "line_alpha": 0.9, "line_width": "width"}
    _edges(plot, f"{prefix}edges_of_chosen", level="underlay", **chosen)
    points = plot.scatter(
        f"{prefix}x",
        f"{prefix}y",
        source=clips,
        view=CDSView(filter=shown),
        size="size",
        marker="marker",
        fill_color="color",
        fill_alpha=0.9,
        line_color="#888888",
        line_alpha=0.6,
        line_width=0.5,
        nonselection_fill_alpha=0.12,
        nonselection_line_alpha=0.08,
        name=f"{prefix}points",
    )
    for name, size in (("neighbours", 14), ("chosen", 20)):
        source = ColumnDataSource({"x": [], "y": []}, name=f"{prefix}{name}")
        line = 3 if name == "chosen" else 1.5
        ring = plot.scatter(
            "x", "y", source=source, size=size, fill_color=None, line_width=line, name=f"{prefix}{name}_ring"
        )
        ring.glyph.line_color = "#888888"
    for tool in plot.select({"type": BoxSelectTool}) + plot.select({"type": LassoSelectTool}):
        tool.renderers = [points]
    return plot


def _renumbered(item: Any, ids: dict[str, str]) -> Any:
    """The same JSON with Bokeh's ids counted from 0; Bokeh itself continues to count from drawing to drawing.

    The JSON contains no text of the clips that could look like an id.
    """
    if isinstance(item, dict):
        return {name: _renumbered(value, ids) for name, value in item.items()}
    if isinstance(item, list):
        return [_renumbered(value, ids) for value in item]
    if isinstance(item, str) and re.fullmatch(r"p\d+", item):
        return ids.setdefault(item, f"p{len(ids)}")
    return item


def _empty_plot(xy: np.ndarray, name: str) -> Any:
    low, high = (xy.min(0), xy.max(0)) if len(xy) else (np.zeros(2), np.ones(2))
    margin = max(float((high - low).max()) * _MARGIN, 1e-3)
    plot = figure(
        name=name,
        output_backend=_BACKEND,
        sizing_mode="stretch_both",
        tools="pan,wheel_zoom,box_select,lasso_select,reset",
        x_range=(float(low[0]) - margin, float(high[0]) + margin),
        y_range=(float(low[1]) - margin, float(high[1]) + margin),
        toolbar_location="above",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
    )
    plot.axis.visible = False
    plot.grid.visible = False
    plot.toolbar.logo = None
    plot.toolbar.active_scroll = plot.select_one({"type": WheelZoomTool})
    return plot


def _edges(plot: Any, name: str, **style: Any) -> None:
    columns = ("x0", "y0", "x1", "y1", "color", "width")
    source = ColumnDataSource({column: [] for column in columns}, name=name)
    plot.segment("x0", "y0", "x1", "y1", source=source, **style)
