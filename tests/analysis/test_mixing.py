from itertools import product

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from ser_graph.analysis import mixing, mixing_table, to_networkx
from ser_graph.errors import InputError


def test_edges_by_hand(four_clips):
    counts = mixing_table(four_clips, n_permutations=0)["edges"]
    assert counts.index.tolist() == list(product(["anger", "fear", "sadness"], repeat=2))  # seeds, neighbours
    assert counts.index.names == ["emotion", "neighbour"]
    assert counts.tolist() == [1, 2, 0, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("column", ["emotion", "speaker", "gender"])
def test_edges_are_a_cross_table(toy_graph, column):
    values = toy_graph.table[column].to_numpy()
    source, target = toy_graph.edge_index.numpy()
    names = toy_graph.meta.names[column]
    expected = pd.crosstab(values[target], values[source]).reindex(index=names, columns=names, fill_value=0)
    assert (
        mixing_table(toy_graph, column, n_permutations=0)["edges"].tolist() == expected.to_numpy().ravel().tolist()
    )


def test_mixing_table_by_hand(make_graph):
    # Edges from a to a, a to a, b to a, a to b; c has none, and the unknown clip's does not count.
    data = make_graph([(1, 0), (0, 1), (2, 0), (0, 2), (5, 4), (1, 5)], "aabcc_")
    table = mixing_table(data, n_permutations=0)
    assert table.index.names == ["emotion", "neighbour"]
    assert table["edges"].tolist() == [2, 1, 0, 1, 0, 0, 0, 0, 0]
    assert table.loc[("a", "a")].tolist()[:4] == pytest.approx([2, 2 / 3, 3 * 3 / 4, 2 / (9 / 4)])
    assert table.loc[("a", "b")].tolist()[:4] == pytest.approx([1, 1 / 3, 3 * 1 / 4, 1 / (3 / 4)])
    assert table.loc[("b", "a")].tolist()[:4] == pytest.approx([1, 1, 1 * 3 / 4, 4 / 3])
    assert table.loc[("b", "b")].tolist()[:4] == pytest.approx([0, 0, 1 / 4, 0])
    assert table.loc[("c", "a"), ["share", "ratio"]].isna().all()
    assert table["p_value"].isna().all()


def test_expected_edges_are_those_of_rewired_graphs(make_graph):
    """Deal the ends of the edges out anew, which keeps every clip's degrees: the configuration model."""
    rng = np.random.default_rng(0)
    edges = rng.integers(30, size=(90, 2))
    emotion = "".join(rng.choice(list("aabc"), 30))
    data = make_graph(edges, emotion)
    expected = mixing_table(data, n_permutations=0)["expected"]
    rewired = []
    for _ in range(300):
        data.edge_index[0] = data.edge_index[0, torch.from_numpy(rng.permutation(90))]
        rewired.append(mixing_table(data, n_permutations=0)["edges"].to_numpy())
    error = np.std(rewired, axis=0) / 300**0.5
    assert (np.abs(np.mean(rewired, axis=0) - expected) < 5 * error).all()


def test_the_expected_makes_modularity(random_graph):
    """Observed less expected edges within values, over all: networkx's modularity of the directed graph."""
    clips = (random_graph.y >= 0).nonzero()[:, 0].tolist()
    table = mixing_table(random_graph, n_permutations=0)
    within = table[[seed == neighbour for seed, neighbour in table.index]]
    graph = to_networkx(random_graph).subgraph(clips)
    parts = [{clip for clip in clips if random_graph.y[clip] == code} for code in range(3)]
    expected = nx.community.modularity(graph, parts, weight=None)
    assert (within["edges"] - within["expected"]).sum() / table["edges"].sum() == pytest.approx(expected)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_counts_sum_to_edges_whatever_the_values_are_called(make_graph, drawn):
    n = drawn.draw(st.integers(2, 8))
    clips = st.integers(0, n - 1)
    edges = drawn.draw(st.lists(st.tuples(clips, clips), max_size=20))
    emotion = drawn.draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    table = mixing_table(make_graph(edges, emotion), n_permutations=20)
    assert table["edges"].sum() == len(edges)
    assert table["expected"].sum() == pytest.approx(len(edges))
    shares = table["share"].groupby("emotion").sum(min_count=1).dropna()
    assert shares.to_numpy() == pytest.approx(np.ones(len(shares)))
    renamed = mixing_table(
        make_graph(edges, [{"a": "z", "b": "y", "c": "x"}[name] for name in emotion]), n_permutations=0
    )
    for (seed, neighbour), row in table.iterrows():
        other = renamed.loc[tuple({"a": "z", "b": "y", "c": "x"}[name] for name in (seed, neighbour))]
        assert other[["edges", "expected"]].tolist() == pytest.approx(row[["edges", "expected"]].tolist())


def test_p_values_are_rarely_small_where_labels_mean_nothing(make_graph):
    rng = np.random.default_rng(0)
    edges = rng.integers(60, size=(200, 2))
    small = []
    for seed in range(60):
        table = mixing_table(make_graph(edges, rng.permutation(list("aaabbc") * 10)), n_permutations=99, seed=seed)
        small.append((table["p_value"] <= 0.1).mean())
    assert 0.03 < np.mean(small) < 0.17  # a tenth, and the cells of a table depend on each other


def test_p_values_are_small_where_a_preference_is_planted(make_graph):
    rng = np.random.default_rng(0)
    edges = [(a, b) for a, b in rng.integers(60, size=(900, 2)) if (a < 30) == (b < 30)]
    table = mixing_table(make_graph(edges, "a" * 30 + "b" * 30), n_permutations=499)
    assert (table["p_value"] == 2 / 500).all()  # no shuffling comes near
    assert table.loc[("a", "a"), "ratio"] > 1.5 and table.loc[("a", "b"), "edges"] == 0


def test_a_table_of_too_many_pairs_is_refused(toy_graph, monkeypatch):
    monkeypatch.setattr(mixing, "MOST_VALUES", 7)
    with pytest.raises(InputError, match="speaker has 8 values, too many"):
        mixing_table(toy_graph, "speaker")
