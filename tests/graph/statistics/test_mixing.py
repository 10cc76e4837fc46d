import pandas as pd
import pytest

from ser_graph.graph.statistics import mixing_matrix


def test_mixing_matrix_by_hand(four_clips):
    counts = mixing_matrix(four_clips)
    assert list(counts.index) == list(counts.columns) == ["anger", "fear", "sadness"]
    assert (counts.index.name, counts.columns.name) == ("emotion", "neighbour")
    assert counts.to_numpy().tolist() == [[1, 2, 0], [1, 0, 0], [0, 0, 0]]  # rows are seeds


@pytest.mark.parametrize("column", ["emotion", "speaker", "gender"])
def test_mixing_matrix_is_a_cross_table(toy_graph, column):
    values = toy_graph.table[column].to_numpy()
    source, target = toy_graph.edge_index.numpy()
    names = toy_graph.meta["names"][column]
    expected = pd.crosstab(values[target], values[source]).reindex(index=names, columns=names, fill_value=0)
    assert mixing_matrix(toy_graph, column).to_numpy().tolist() == expected.to_numpy().tolist()
