import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgba

from ser_graph.common.colors import EMOTION_COLORS, UNKNOWN_COLOR, value_colors
from ser_graph.errors import InputError
from ser_graph.evaluation.figures import new_axes
from ser_graph.graph import build_graph
from ser_graph.inspection import map as module
from ser_graph.inspection.layout import graph_layout
from ser_graph.inspection.map import plot_map

pytestmark = pytest.mark.filterwarnings("error")


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


def clips_of(ax):
    """The scatter of each split: all but the edges."""
    return ax.collections[1:]


def color_of_clips(data, ax):
    """The colour of every clip, found by where it is drawn."""
    places = {tuple(place): node for node, place in enumerate(graph_layout(data).tolist())}
    colors = [None] * data.num_nodes
    for scatter in clips_of(ax):
        for place, color in zip(scatter.get_offsets().tolist(), scatter.get_facecolors(), strict=True):
            colors[places[tuple(place)]] = tuple(color)
    return colors


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_clip_has_its_place_and_its_emotions_colour(toy_graph):
    ax = drawn(plot_map(toy_graph))
    assert color_of_clips(toy_graph, ax) == [to_rgba(EMOTION_COLORS[name]) for name in toy_graph.table["emotion"]]
    expected = ["anger (40)", "fear (40)", "sadness (40)", "train (75)", "dev (15)", "test (30)"]
    assert legend_of(ax) == expected


def test_splits_have_markers_of_their_own(toy_graph):
    toy_graph.train_mask[:2] = False
    ax = drawn(plot_map(toy_graph, "gender"))
    assert [len(scatter.get_offsets()) for scatter in clips_of(ax)] == [73, 15, 30, 2]
    assert len({scatter.get_paths()[0].vertices.tobytes() for scatter in clips_of(ax)}) == 4
    assert legend_of(ax)[-1] == "no split (2)"


def test_edges_join_clips(toy_graph):
    edges, *above = drawn(plot_map(toy_graph)).collections
    assert all(edges.get_zorder() < each.get_zorder() for each in above)
    places = graph_layout(toy_graph)
    pairs = {tuple(sorted(pair)) for pair in toy_graph.edge_index.T.tolist()}
    segments = {frozenset(map(tuple, segment.tolist())) for segment in edges.get_segments()}
    assert segments == {frozenset(tuple(places[node].tolist()) for node in pair) for pair in pairs}


def test_of_too_many_edges_a_sample_is_drawn(toy_graph, monkeypatch):
    monkeypatch.setattr(module, "_MOST_EDGES", 10)
    ax = drawn(plot_map(toy_graph))
    assert len(ax.collections[0].get_segments()) == 10
    n = len({tuple(sorted(pair)) for pair in toy_graph.edge_index.T.tolist()})
    assert ax.get_xlabel() == f"10 of {n:,} edges drawn"


def test_numbers_of_a_series_are_matched_by_file(toy_graph):
    files = toy_graph.table.index
    numbers = pd.Series(np.arange(120.0), index=files, name="score")
    shuffled = numbers.sample(frac=1, random_state=0).drop(files[7])
    ax = drawn(plot_map(toy_graph, shuffled))
    colors = color_of_clips(toy_graph, ax)
    assert colors[7] == to_rgba(UNKNOWN_COLOR)
    luminance = [np.dot(color[:3], [0.2126, 0.7152, 0.0722]) for color in colors]
    inner = [node for node in range(4, 116) if node != 7]
    assert (np.diff([luminance[node] for node in inner]) >= 0).all()  # viridis rises from dark to light
    assert luminance[115] - luminance[4] > 0.5
    bar = next(each for each in ax.figure.axes if each is not ax)
    assert bar.get_xlabel() == "score"
    assert "unknown (1)" in legend_of(ax)


def test_a_column_of_numbers_has_a_scale(toy_graph):
    toy_graph.table["arousal"] = [np.nan, np.inf, *np.linspace(0, 1, 118)]
    ax = drawn(plot_map(toy_graph, "arousal"))
    assert len(ax.figure.axes) == 2
    assert color_of_clips(toy_graph, ax)[:2] == [to_rgba(UNKNOWN_COLOR)] * 2
    toy_graph.table["arousal"] = np.nan
    assert len(drawn(plot_map(toy_graph, "arousal")).figure.axes) == 1
    assert len(drawn(plot_map(toy_graph, "duration")).figure.axes) == 2  # all equal


def test_predictions_have_the_emotions_colours(toy_graph):
    predicted = pd.Series(["fear", "guilt"], index=toy_graph.table.index[[9, 3]], name="predicted")
    colors = color_of_clips(toy_graph, drawn(plot_map(toy_graph, predicted)))
    assert (colors[9], colors[3]) == (to_rgba(EMOTION_COLORS["fear"]), to_rgba(EMOTION_COLORS["guilt"]))
    assert colors.count(to_rgba(UNKNOWN_COLOR)) == 118


def test_clips_without_a_value_are_grey_and_undermost(toy_graph):
    toy_graph.y[[0, 50]] = -1
    ax = drawn(plot_map(toy_graph))
    colors = color_of_clips(toy_graph, ax)
    assert colors[0] == colors[50] == to_rgba(UNKNOWN_COLOR)
    assert tuple(clips_of(ax)[0].get_facecolors()[1]) == to_rgba(UNKNOWN_COLOR)  # of 75 training clips two
    sizes = clips_of(ax)[0].get_sizes()
    assert sizes[:2].max() < sizes[2:].min()
    assert legend_of(ax)[3] == "unknown (2)"


def test_a_long_legend_is_cut(toy_graph):
    toy_graph.table["sentence"] = [f"s{number % 20:02d}" for number in range(120)]
    ax = drawn(plot_map(toy_graph, "sentence"))
    assert legend_of(ax)[:13] == [*(f"s{n:02d} (6)" for n in range(12)), "and 8 more, colours repeat"]
    expected = value_colors("sentence", toy_graph.table["sentence"])
    assert color_of_clips(toy_graph, ax) == [to_rgba(expected[name]) for name in toy_graph.table["sentence"]]


def test_names_are_drawn_as_they_are(toy_graph):
    toy_graph.table["sentence"] = ["$x^$", "_y", "\\frac{"] * 40
    ax = drawn(plot_map(toy_graph, "sentence"))
    assert legend_of(ax)[:3] == ["$x^$ (40)", "\\frac{ (40)", "_y (40)"]
    drawn(plot_map(toy_graph, toy_graph.table["duration"].rename("$x^$")))


def test_graphs_with_nothing_in_them(toy_graph):
    toy_graph.edge_index = toy_graph.edge_index[:, :0]
    assert not len(drawn(plot_map(toy_graph)).collections[0].get_segments())
    one = build_graph(
        toy_graph.table.iloc[:1], emb=torch.ones(1, 4), x=torch.zeros(1, 373, 64), epsilon=None, scope="all"
    )
    ax = drawn(plot_map(one))
    assert color_of_clips(one, ax) == [to_rgba(EMOTION_COLORS["anger"])]


def test_on_axes_of_ones_own(toy_graph):
    ax = new_axes(3, 3)
    assert plot_map(toy_graph, "speaker", ax) is ax


def test_refused(toy_graph):
    files = toy_graph.table.index
    with pytest.raises(InputError, match="Bad column 'mood', expected one of"):
        plot_map(toy_graph, "mood")
    with pytest.raises(InputError, match=f"two values for {files[0]}"):
        plot_map(toy_graph, pd.Series([1.0, 2.0], index=files[[0, 0]]))
    with pytest.raises(InputError, match=r"120 entries that are not in the graph, e.g. 0; index it by file"):
        plot_map(toy_graph, pd.Series(np.arange(120.0)))
