import networkx as nx

from ser_graph.analysis import mixing_table, to_networkx
from ser_graph.analysis.convert import undirected


def test_networkx_gets_names_and_edges_and_nothing_else(toy_graph):
    graph = to_networkx(toy_graph)
    assert list(graph) == list(range(120))
    assert set(graph.edges) == {tuple(edge) for edge in toy_graph.edge_index.T.tolist()}
    for node, row in zip(graph, toy_graph.table.itertuples(), strict=True):
        expected = {"file": row.Index, "emotion": row.emotion, "speaker": row.speaker}
        assert graph.nodes[node] == {**expected, "gender": row.gender, "split": row.split}
    weights = nx.get_edge_attributes(graph, "weight")
    for edge, weight in zip(toy_graph.edge_index.T.tolist(), toy_graph.edge_weight.tolist(), strict=True):
        assert weights[tuple(edge)] == weight


def test_an_unknown_value_is_no_attribute(make_graph):
    data = make_graph([(1, 0), (2, 0), (3, 0), (0, 2), (5, 4), (0, 4)], "aabb__")
    graph = to_networkx(data, ["emotion"])
    assert "emotion" not in graph.nodes[4]
    assert graph.nodes[0]["emotion"] == "a"
    theirs = nx.attribute_mixing_matrix(
        graph.subgraph(node for node in graph if "emotion" in graph.nodes[node]),
        "emotion",
        mapping={"a": 0, "b": 1},
        normalized=False,
    )
    ours = mixing_table(data, n_permutations=0)["edges"]
    assert theirs.T.ravel().tolist() == ours.tolist()  # networkx has the edge's start in the rows


def test_opposite_edges_are_one_without_directions(make_graph):
    data = make_graph([(0, 1), (1, 0), (2, 1), (3, 0)], "aaab")
    graph = undirected(data, data.y == 0)
    assert {frozenset(edge) for edge in graph.edges} == {frozenset({0, 1}), frozenset({1, 2})}
    assert sorted(graph) == [0, 1, 2]
