import json

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import CDSView, GlyphRenderer, Segment

from ser_graph.inspection.page.drawing import page_maps

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def xy():
    return np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)


def document_of(item):
    """The drawing as Bokeh reads it back."""
    return Document.from_json(json.loads(json.dumps(item, allow_nan=False))["doc"])


def test_the_parts_that_the_page_looks_for_are_there(xy):
    item = page_maps(xy)
    document = document_of(item)
    assert [element for _, element in item["roots"]] == ["drawing"]
    assert document.get_model_by_name("plot").id == item["roots"][0][0]
    names = ("everywhere", "clips", "edges", "edges_of_chosen", "neighbours", "chosen", "shown")
    assert all(document.get_model_by_name(name) for name in (*names, "points", "neighbours_ring", "chosen_ring"))


def test_nothing_is_drawn_before_the_page_says_what(xy):
    document = document_of(page_maps(xy))
    sources = [part.data_source for part in document.select({"type": GlyphRenderer})]
    assert len(sources) >= 5 and all(len(values) == 0 for source in sources for values in source.data.values())
    points = document.get_model_by_name("points")
    assert isinstance(points.view, CDSView) and points.view.filter is document.get_model_by_name("shown")
    assert points.data_source is document.get_model_by_name("clips")


def test_edges_are_drawn_below_the_clips(xy):
    document = document_of(page_maps(xy))
    edges = [part for part in document.select({"type": GlyphRenderer}) if isinstance(part.glyph, Segment)]
    assert {part.data_source.name for part in edges} == {"edges", "edges_of_chosen"}
    assert {part.level for part in edges} == {"underlay"}


def test_only_clips_can_be_selected(xy):
    document = document_of(page_maps(xy))
    tools = [tool for tool in document.get_model_by_name("plot").tools if "Select" in type(tool).__name__]
    assert [tool.renderers for tool in tools] == [[document.get_model_by_name("points")]] * 2


def test_two_maps_share_clips_selection_and_filter(xy):
    item = page_maps(xy, 3 * xy)
    document = document_of(item)
    assert [element for _, element in item["roots"]] == ["drawing", "student-drawing"]
    plots = [document.get_model_by_name(name) for name in ("plot", "student_plot")]
    assert [plot.id for plot in plots] == [root for root, _ in item["roots"]]
    points = [document.get_model_by_name(name) for name in ("points", "student_points")]
    assert points[0].data_source is points[1].data_source is document.get_model_by_name("clips")
    assert points[0].view.filter is points[1].view.filter is document.get_model_by_name("shown")
    assert [(one.glyph.x.field, one.glyph.y.field) for one in points] == [("x", "y"), ("student_x", "student_y")]
    assert plots[1].x_range.end > xy[:, 0].max() * 3 and plots[0].x_range.end < xy[:, 0].max() * 3
    for name in ("everywhere", "edges", "edges_of_chosen", "neighbours", "chosen"):
        assert document.get_model_by_name(name) is not document.get_model_by_name(f"student_{name}") is not None


@pytest.mark.parametrize("places", [[[0.3, 0.3]], [[0, 0], [1, 0]], [[-1, 5], [-1, 5]], [[-1, -1], [1, 0.2]]])
def test_all_clips_are_in_view(places):
    places = np.array(places, dtype=np.float32)
    plot = document_of(page_maps(places)).get_model_by_name("plot")
    for axis, seen in enumerate((plot.x_range, plot.y_range)):
        assert seen.start < places[:, axis].min() and places[:, axis].max() < seen.end


def test_the_same_drawing_again(xy):
    first, again = page_maps(xy), page_maps(xy)
    assert first == again
    assert first != page_maps(xy + 1)  # the ranges
