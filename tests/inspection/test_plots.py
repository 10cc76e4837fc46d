import numpy as np
import pytest
from matplotlib.axes import Axes

from ser_graph.errors import InputError
from ser_graph.evaluation.figures import new_axes
from ser_graph.inspection.plots import plot_degrees, plot_mixing, plot_similarities

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("column", ["emotion", "speaker", "gender"])
def test_plot_mixing(toy_graph, column):
    ax = plot_mixing(toy_graph, column)
    ax.figure.canvas.draw()
    names = toy_graph.meta.names[column]
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    assert len(ax.texts) == len(names) ** 2


def test_multiples_of_chance_by_hand(four_clips):
    shown = [text.get_text() for text in plot_mixing(four_clips).texts]
    # Of 4 edges, 3 end at angry clips, and 2 start at angry, 2 at fearful ones: 1 / (3 * 2 / 4), 2 / (3 * 2 / 4)...
    assert shown == ["0.7", "1.3", "-", "2.0", "0.0", "-", "-", "-", "-"]


def test_mixing_of_more_values_than_there_is_room_for_numbers(toy_graph):
    toy_graph.table["clip"] = [f"c{number:03d}" for number in range(120)]
    ax = plot_mixing(toy_graph, "clip")
    ax.figure.canvas.draw()
    assert len(ax.get_yticklabels()) == 120
    assert not ax.texts


def test_plot_degrees(toy_graph):
    ax = plot_degrees(toy_graph)
    ax.figure.canvas.draw()
    inside = toy_graph.train_mask
    for patch, end in zip(ax.patches, (1, 0), strict=True):
        values, edges, _ = patch.get_data()
        degrees = toy_graph.edge_index[end].bincount(minlength=120)[inside].tolist()
        expected, _ = np.histogram(degrees, edges)
        assert values.tolist() == expected.tolist()
        assert values.sum() == 75
    most = int(toy_graph.edge_index[0].bincount().max())
    assert f"most: {most})" in ax.get_legend().get_texts()[1].get_text()


def test_degrees_without_edges(toy_graph):
    toy_graph.edge_index = toy_graph.edge_index[:, :0]
    ax = plot_degrees(toy_graph)
    ax.figure.canvas.draw()
    assert [patch.get_data()[0].tolist() for patch in ax.patches] == [[75], [75]]
    assert "none: 100%, most: 0" in ax.get_legend().get_texts()[0].get_text()
    toy_graph.train_mask[:] = False
    ax = plot_degrees(toy_graph)
    ax.figure.canvas.draw()
    assert [patch.get_data()[0].tolist() for patch in ax.patches] == [[0], [0]]


def test_plot_similarities(toy_graph):
    ax = plot_similarities(toy_graph)
    ax.figure.canvas.draw()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    coverage = toy_graph.meta.measured.coverage
    kept = f"epsilon 0.96: {coverage:.0%} of clips have a neighbour"
    assert labels == ["random pairs", "nearest 4 neighbours", kept]
    for patch in ax.patches:  # densities: both have the same area
        values, edges, _ = patch.get_data()
        assert (values * np.diff(edges)).sum() == pytest.approx(1)
    assert ax.lines[0].get_xdata() == [0.96, 0.96]
    toy_graph.meta = toy_graph.meta.replace(measured=toy_graph.meta.measured.replace(epsilon=None))
    own = new_axes(3, 2)
    assert plot_similarities(toy_graph, own) is own
    assert isinstance(own, Axes)
    assert not own.lines


def test_a_graph_without_pairs_is_refused(toy_graph):
    toy_graph.meta = toy_graph.meta.replace(measured=toy_graph.meta.measured.replace(similarity_histogram=None))
    with pytest.raises(InputError, match="fewer than two clips"):
        plot_similarities(toy_graph)
