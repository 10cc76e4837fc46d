import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ser_graph.common.colors import EMOTION_COLORS
from ser_graph.evaluation import plot_confusion_matrix, plot_history, plot_sensitivity, plot_students

pytestmark = pytest.mark.filterwarnings("error")
COUNTS = pd.DataFrame([[1500, 2], [0, 0]], index=["anger", "fear"], columns=["anger", "fear"])


def drawn(ax):
    assert isinstance(ax, Axes)
    ax.figure.canvas.draw()
    return ax


def test_confusion_matrix():
    ax = drawn(plot_confusion_matrix(COUNTS, title="cnn6"))
    assert [text.get_text() for text in ax.texts] == ["1,500", "2", "0", "0"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["anger", "fear"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["anger", "fear"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("predicted", "true", "cnn6")
    np.testing.assert_allclose(ax.images[0].get_array(), [[1500 / 1502, 2 / 1502], [0, 0]])


def test_emotions_have_their_colours():
    ax = drawn(plot_confusion_matrix(COUNTS))
    for axis in (ax.xaxis, ax.yaxis):
        colors = [tick.tick1line.get_markeredgecolor() for tick in axis.get_major_ticks()]
        assert colors == [EMOTION_COLORS["anger"], EMOTION_COLORS["fear"]]


def test_names_are_drawn_as_they_are():
    odd = ["$x^$", "_y"]  # half a formula, and what matplotlib hides
    ax = drawn(plot_confusion_matrix(COUNTS.set_axis(odd).set_axis(odd, axis=1)))
    assert [label.get_text() for label in ax.get_xticklabels()] == odd


HISTORY = [
    {"epoch": 1, "dev_uar": 0.3, "supervised_loss": 2.0},
    {"epoch": 2, "dev_uar": 0.5, "supervised_loss": 1.0},
]


def test_history():
    ax = drawn(plot_history({"baseline": HISTORY, "nsl": HISTORY[:1]}))
    assert ax.get_ylabel() == "UAR on dev"
    assert [line.get_label() for line in ax.lines] == ["baseline", "nsl"]
    assert ax.lines[0].get_xydata().tolist() == [[1, 0.3], [2, 0.5]]
    # Dev is looked at now and then only: at the epochs of one student, at others of another.
    seldom = [
        {key: value for key, value in row.items() if key != "dev_uar" or row["epoch"] == 2} for row in HISTORY
    ]
    ax = drawn(plot_history({"baseline": HISTORY, "nsl": seldom}))
    assert ax.get_ylabel() == "UAR on dev"
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[1, 0.3], [2, 0.5]], [[2, 0.5]]]
    assert all(line.get_marker() == "." for line in ax.lines)  # a single point is seen
    without_dev = [{"epoch": row["epoch"], "supervised_loss": row["supervised_loss"]} for row in HISTORY]
    for others in ({}, {"clean": HISTORY}):  # one measure for all
        ax = drawn(plot_history({"paper": without_dev, **others}))
        assert ax.get_ylabel() == "cross entropy on training clips"
        assert [line.get_ydata().tolist() for line in ax.lines] == [[2.0, 1.0]] * (1 + len(others))


def test_students():
    table = pd.DataFrame(
        {"uar": [0.6, 0.5], "uar_low": [0.55, None], "uar_high": [0.7, None]}, index=["cnn6", "resnet9"]
    )
    ax = drawn(plot_students(table, chance=0.25))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cnn6", "resnet9"]
    (bars,) = ax.containers
    ends = [segment.tolist() for segment in bars[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[[0.55, 1], [0.7, 1]], [[0.5, 0], [0.5, 0]]])
    assert ax.texts[0].get_text() == "chance"
    assert not drawn(plot_students(table)).texts


def test_sensitivity():
    values = pd.DataFrame(
        {"alpha": [0.1, 1.0, 0.1], "n_neighbors": [6, 3, 3], "mean": [0.7, 0.5, 0.6], "sd": [0.1, None, 0.05]}
    )
    ax = drawn(plot_sensitivity(values, baseline=0.4, title="fc2"))
    assert [bars.get_label() for bars in ax.containers] == ["alpha 0.1", "alpha 1"]
    assert [bars[0].get_xydata().tolist() for bars in ax.containers] == [[[3, 0.6], [6, 0.7]], [[3, 0.5]]]
    ends = [segment.tolist() for segment in ax.containers[0][2][0].get_segments()]
    np.testing.assert_allclose(ends, [[[3, 0.55], [3, 0.65]], [[6, 0.6], [6, 0.8]]])
    assert set(ax.lines[-1].get_ydata()) == {0.4} and ax.get_xticks().tolist() == [3, 6]
    assert ax.get_title() == "fc2"


def test_all_neighbours_stand_after_any_number_of_them():
    values = pd.DataFrame({"alpha": 1.0, "n_neighbors": [0, 3, 6], "mean": [0.7, 0.5, 0.6], "sd": None})
    ax = drawn(plot_sensitivity(values.astype({"sd": float})))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["3", "6", "all"]
    assert ax.containers[0][0].get_ydata().tolist() == [0.5, 0.6, 0.7]
    assert sorted(ax.containers[0][0].get_xdata()) == ax.get_xticks().tolist()
    ax = drawn(plot_sensitivity(values[:1].astype({"sd": float})))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["all"]


def test_on_axes_of_ones_own():
    ax = Figure().subplots()
    assert plot_confusion_matrix(COUNTS, ax) is ax
    assert plot_history({"a": HISTORY}, Figure().subplots()).lines
    assert not plt.get_fignums()
