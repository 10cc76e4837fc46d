import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from ser_graph.common.colors import EMOTION_COLORS, UNKNOWN_COLOR
from ser_graph.errors import InputError
from ser_graph.evaluation.figures import new_axes
from ser_graph.inspection.ego import plot_ego

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def small(four_clips):
    """Clip 0 has the neighbours 1, 2 and 3, and is one of 2 and 4."""
    four_clips.edge_weight = torch.tensor([0.99, 0.98, 0.97, 0.98, 0.5, 0.96])
    return four_clips


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


def around(ax):
    """Distance from the middle, fill and edge of every clip that is drawn, the one in the middle last."""
    return [
        (
            float(np.hypot(*scatter.get_offsets()[0])),
            to_hex(scatter.get_facecolors()[0]).upper(),
            to_hex(scatter.get_edgecolors()[0]).upper(),
        )
        for scatter in ax.collections
    ]


def test_nearer_is_more_similar(small):
    ax = drawn(plot_ego(small, 0))
    distances = [distance for distance, _, _ in around(ax)]
    # 0.35 for the most similar, 0.99, and 1 for the least similar, 0.96; in proportion between them.
    assert distances == pytest.approx([0.35, 0.35 + 0.65 / 3, 0.35 + 1.3 / 3, 1.0, 0.0], abs=1e-5)
    labels = [text.get_text() for text in ax.texts]
    assert labels == ["001\nanger 0.990", "002\nfear 0.980", "003\nfear 0.970", "004\nunknown 0.960"]


def test_neighbours_and_clips_that_it_is_a_neighbour_of_look_different(small):
    ax = drawn(plot_ego(small, "s0/000.wav"))
    anger, fear = EMOTION_COLORS["anger"], EMOTION_COLORS["fear"]
    assert [(fill, edge) for _, fill, edge in around(ax)] == [
        (anger, anger),
        (fear, fear),
        (fear, fear),
        ("#FFFFFF", UNKNOWN_COLOR),
        (anger, "#000000"),
    ]
    assert [line.get_linestyle() for line in ax.lines[::2]] == ["-", "-", "-", "--"]
    assert ax.get_title() == "anger, s0, 000.wav"
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["its 3 neighbours", "has it as a neighbour (1)"]


def test_of_a_hub_the_nearest_are_drawn(small):
    others = torch.arange(20, 40)
    small.edge_index = torch.stack([torch.zeros(20, dtype=torch.int64), others])
    small.edge_weight = torch.linspace(0.9, 0.99, 20)
    ax = drawn(plot_ego(small, 0))
    assert [text.get_text()[:3] for text in ax.texts[:10]] == [f"0{number}" for number in range(39, 29, -1)]
    assert len(around(ax)) == 11
    assert ax.get_legend().get_texts()[0].get_text() == "has it as a neighbour (20, 10 drawn)"


def test_equally_similar_clips_lie_on_a_circle(small):
    small.edge_weight[:] = 0.9
    assert {round(distance, 6) for distance, _, _ in around(plot_ego(small, 0))} == {0.675, 0.0}


def test_a_clip_without_edges_says_why(small):
    (text,) = drawn(plot_ego(small, 119)).texts
    assert text.get_text() == "no neighbours: only train clips have edges"
    (text,) = drawn(plot_ego(small, 7)).texts
    assert text.get_text() == "no neighbours: no clip is more similar than epsilon 0.96"


def test_names_are_drawn_as_they_are(small):
    small.table = small.table.set_axis([f"$x^{number}$$.wav" for number in range(120)])
    ax = drawn(plot_ego(small, "$x^0$$.wav"))
    assert ax.get_title() == "anger, s0, $x^0$$.wav"


def test_on_axes_of_ones_own_and_refused(small):
    ax = new_axes(3, 3)
    assert plot_ego(small, 0, ax) is ax
    with pytest.raises(InputError, match=r"No clip 's0/00.wav' in the graph; similar names are"):
        plot_ego(small, "s0/00.wav")
    with pytest.raises(InputError, match="No clip 120 in the graph, expected a file or a number from 0 to 119"):
        plot_ego(small, 120)
    with pytest.raises(InputError, match="No clip -1"):
        plot_ego(small, -1)
