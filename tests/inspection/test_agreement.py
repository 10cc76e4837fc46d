from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from ser_graph.analysis import mixing_table
from ser_graph.errors import InputError
from ser_graph.inspection.agreement import matrix_correlation, plot_confusions_beside_mixing

pytestmark = pytest.mark.filterwarnings("error")


def square(values):
    names = [f"n{number}" for number in range(len(values))]
    return pd.DataFrame(values, index=names, columns=names)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_correlation_by_brute_force(n):
    rng = np.random.default_rng(n)
    a, b = rng.integers(0, 5, size=(2, n, n)).astype(float)  # with ties
    b += 0.5 * a
    off = ~np.eye(n, dtype=bool)
    every = [spearmanr(a[off], b[np.ix_(order, order)][off])[0] for order in permutations(range(n))]
    found, p_value = matrix_correlation(square(a), square(b))
    assert found == pytest.approx(every[0])
    assert p_value == pytest.approx(np.mean(np.array(every) >= every[0] - 1e-9))


def test_the_diagonal_does_not_count():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 6, 6))
    before = matrix_correlation(square(a), square(b))
    assert matrix_correlation(square(a + 9 * np.eye(6)), square(b - np.eye(6))) == before


def test_many_names_are_sampled_the_same_each_time():
    rng = np.random.default_rng(0)
    a, noise = rng.random((2, 9, 9))
    assert matrix_correlation(square(a), square(a)) == (pytest.approx(1), 1 / 10_000)
    assert 0.05 < matrix_correlation(square(a), square(noise))[1] <= 1
    assert matrix_correlation(square(a), square(noise)) == matrix_correlation(square(a), square(noise))


def test_empty_rows_are_left_out_and_too_little_is_nan():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 5, 5))
    holed = a.copy()
    holed[2] = np.nan
    rest = np.ix_([0, 1, 3, 4], [0, 1, 3, 4])
    assert matrix_correlation(square(holed), square(b)) == matrix_correlation(square(a[rest]), square(b[rest]))
    assert np.isnan(matrix_correlation(square(a[:2, :2]), square(b[:2, :2]))).all()
    assert np.isnan(matrix_correlation(square(a[:0, :0]), square(b[:0, :0]))).all()
    assert np.isnan(matrix_correlation(square(np.ones((4, 4))), square(a[:4, :4]))).all()


@pytest.fixture
def predictions(toy_graph):
    """Of the 30 test clips: fear is taken for anger once, the others are right."""
    table = toy_graph.table[toy_graph.table["split"] == "test"][["emotion", "speaker"]].copy()
    table["predicted"] = table["emotion"]
    table.loc[table.index[table["emotion"] == "fear"][0], "predicted"] = "anger"
    return table


def test_both_matrices_as_shares_of_rows_in_the_same_order(toy_graph, predictions):
    student, graph = plot_confusions_beside_mixing(toy_graph, predictions)
    student.figure.canvas.draw()
    np.testing.assert_allclose(student.images[0].get_array(), [[1, 0, 0], [0.1, 0.9, 0], [0, 0, 1]])
    counts = mixing_table(toy_graph, n_permutations=0)["edges"].to_numpy().reshape(3, 3)
    np.testing.assert_allclose(graph.images[0].get_array(), counts / counts.sum(1, keepdims=True))
    for ax in (student, graph):
        assert [label.get_text() for label in ax.get_yticklabels()] == ["anger", "fear", "sadness"]
    assert [text.get_text() for text in student.texts] == ["100", "0", "0", "10", "90", "0", "0", "0", "100"]
    assert student.images[0].get_clim() == graph.images[0].get_clim()
    assert student.figure.get_suptitle() == "nothing to compare off the diagonal"  # in this graph, all 0


def test_the_title_says_whether_confusions_follow_the_graph(toy_graph, predictions):
    # Fearful clips have angry neighbours; of the 3! ways to name three emotions only this one agrees.
    toy_graph.edge_index = torch.tensor([[3, 0, 4, 5], [0, 1, 1, 2]])
    axes = plot_confusions_beside_mixing(toy_graph, predictions)
    expected = "rank correlation of the cells off the diagonal 1.00, p = 0.17 (Mantel test)"
    assert axes[0].figure.get_suptitle() == expected


def test_what_never_occurs_is_an_empty_row(four_clips, predictions):
    predictions = predictions[predictions["emotion"] != "anger"]
    student, graph = plot_confusions_beside_mixing(four_clips, predictions)
    student.figure.canvas.draw()
    assert [text.get_text() for text in student.texts[:3]] == ["-", "-", "-"]
    assert [text.get_text() for text in graph.texts[6:]] == ["-", "-", "-"]
    assert student.figure.get_suptitle() == "nothing to compare off the diagonal"


def test_refused(toy_graph, predictions):
    with pytest.raises(InputError, match="have no column 'predicted'"):
        plot_confusions_beside_mixing(toy_graph, predictions[["emotion"]])
    with pytest.raises(InputError, match=r"30 of 30 predictions are for clips that are not in the graph, e.g. 0"):
        plot_confusions_beside_mixing(toy_graph, predictions.reset_index(drop=True))
    with pytest.raises(InputError, match="Bad emotion in the predictions 'joy', expected one of"):
        plot_confusions_beside_mixing(toy_graph, predictions.assign(predicted="joy"))
    with pytest.raises(InputError, match="No clip with a known emotion"):
        plot_confusions_beside_mixing(toy_graph, predictions.assign(emotion=None))
