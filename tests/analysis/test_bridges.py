import networkx as nx
import numpy as np
import pytest

from ser_graph.analysis import bridge_clips, bridge_pairs, mixing_table, to_networkx


def test_pairs_add_both_directions(random_graph):
    cells = mixing_table(random_graph, n_permutations=0)
    pairs = bridge_pairs(random_graph)
    assert sorted(pairs.index) == [("a", "b"), ("a", "c"), ("b", "c")]
    for (one, other), row in pairs.iterrows():
        both = cells.loc[[(one, other), (other, one)]].sum()
        assert row["edges"] == both["edges"]
        assert row["expected"] == pytest.approx(both["expected"])
        assert row["ratio"] == pytest.approx(both["edges"] / both["expected"])
    assert pairs["edges"].is_monotonic_decreasing
    assert pairs["edges"].iloc[0] > 0


def test_the_clip_between_two_groups_is_the_bridge(make_graph):
    """Two triangles, a and b, that share clip 2; clip 5 (b) is joined to a alone, clip 6 is unknown."""
    edges = [(0, 1), (1, 0), (1, 2), (2, 0), (2, 3), (3, 4), (4, 2), (0, 5), (6, 0)]
    table = bridge_clips(make_graph(edges, "aaabbb_"), n_sources=99)
    assert table.index[0] == "2.wav"
    assert table.loc["2.wav", ["emotion", "own", "others", "towards", "paths"]].tolist() == ["a", 2, 2, "b", 4]
    assert table.loc["5.wav", ["own", "others", "paths"]].tolist() == [0, 1, 0]
    assert table.loc["1.wav", ["own", "others", "paths"]].tolist() == [2, 0, 0]  # opposite edges join once
    assert table["towards"].isna().to_dict()["1.wav"]
    assert "6.wav" not in table.index


def test_betweenness_is_that_of_networkx(random_graph):
    graph = to_networkx(random_graph).to_undirected()
    exact = bridge_clips(random_graph, n_sources=99)
    expected = nx.betweenness_centrality(graph)
    files = nx.get_node_attributes(graph, "file")
    assert exact.attrs == {"betweenness_sources": 40}
    for clip, value in expected.items():
        if files[clip] in exact.index:
            assert exact.loc[files[clip], "betweenness"] == pytest.approx(value)
    assert len(exact) == int((random_graph.y >= 0).sum())


def test_a_sample_says_so_and_is_repeatable(random_graph):
    sampled = bridge_clips(random_graph, n_sources=10, seed=1)
    assert sampled.attrs == {"betweenness_sources": 10}
    assert sampled.equals(bridge_clips(random_graph, n_sources=10, seed=1))
    exact = bridge_clips(random_graph, n_sources=99)["betweenness"]
    mean = np.mean(
        [bridge_clips(random_graph, n_sources=10, seed=s)["betweenness"][exact.index] for s in range(50)], 0
    )
    assert np.corrcoef(mean, exact)[0, 1] > 0.95
    assert bridge_clips(random_graph, n_sources=0)["betweenness"].isna().all()
