import networkx as nx
import pytest

from ser_graph.analysis import mixing_matrix, subgraph_statistics, to_networkx


def test_each_subgraph_is_what_networkx_says(random_graph):
    table = subgraph_statistics(random_graph)
    counts = mixing_matrix(random_graph)
    graph = to_networkx(random_graph)
    for emotion, row in table.iterrows():
        part = graph.subgraph(node for node, name in graph.nodes(data="emotion") if name == emotion)
        assert (row["clips"], row["edges"]) == (len(part), part.number_of_edges())
        assert row["density"] == pytest.approx(nx.density(part))
        assert row["components"] == nx.number_weakly_connected_components(part)
        assert row["clustering"] == pytest.approx(nx.average_clustering(part.to_undirected()))
        assert row["internal_share"] == pytest.approx(counts.loc[emotion, emotion] / counts.loc[emotion].sum())
        assert row["coverage"] == sum(degree > 0 for _, degree in graph.in_degree(part)) / len(part)
    assert table.index.name == "emotion"


def test_by_hand(make_graph):
    # b's only edge comes from an unknown clip: covered, but nothing is known of where from.
    table = subgraph_statistics(make_graph([(1, 0), (2, 0), (4, 3)], "aaab_"))
    assert table.loc["a", ["clips", "edges", "components"]].tolist() == [3, 2, 1]
    assert table.loc["a", ["coverage", "internal_share", "internal_chance"]].tolist() == pytest.approx(
        [1 / 3, 1, 2 / 3]
    )
    assert table.loc["b", ["clips", "edges", "components", "coverage"]].tolist() == [1, 0, 1, 1]
    assert table.loc["b", ["density", "internal_share"]].isna().all()
    assert table.loc["b", "internal_chance"] == 0
