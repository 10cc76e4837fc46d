from itertools import permutations

import networkx as nx
import numpy as np
import pytest

from ser_graph.analysis import communities, community_statistics, to_networkx
from ser_graph.analysis.communities import modularity

CLIQUES = [*permutations(range(5), 2), *permutations(range(5, 9), 2), (0, 5)]


def test_two_cliques_are_two_communities(make_graph):
    found = communities(make_graph(CLIQUES, "aaaaabbbbc"))
    assert found.tolist() == [0] * 5 + [1] * 4  # the larger first; the isolated clip belongs to none
    assert found.index.tolist() == [f"{clip}.wav" for clip in range(9)]


def test_labels_are_compared_with_them(make_graph):
    data = make_graph(CLIQUES, "aaaaabbbb_", speaker="xyxyxyxyxy", gender="________ff")
    table = community_statistics(data)
    same, speaker, gender = (table.loc[column] for column in ("emotion", "speaker", "gender"))
    assert same[["clips", "values", "communities", "nmi", "ari"]].tolist() == [9, 2, 2, 1, 1]
    assert same["modularity_values"] == same["modularity_communities"] > 0.4
    assert abs(speaker["ari"]) < 0.2 and speaker["modularity_values"] < 0 < speaker["modularity_communities"]
    assert gender[["clips", "values", "communities"]].tolist() == [1, 1, 1]
    assert np.isnan(gender["modularity_values"])
    assert table.equals(community_statistics(data, found=communities(data)))


def test_modularity_is_that_of_networkx(random_graph):
    graph = to_networkx(random_graph).to_undirected()
    groups = np.random.default_rng(0).integers(4, size=40)
    parts = [set(np.flatnonzero(groups == group).tolist()) for group in range(4)]
    expected = nx.community.modularity(graph, parts, weight=None)
    assert modularity(np.array(graph.edges), groups) == pytest.approx(expected)


def test_modularity_of_the_table_is_that_of_networkx(random_graph):
    found = communities(random_graph, seed=5)
    row = community_statistics(random_graph, ["emotion"], seed=5).loc["emotion"]
    graph = to_networkx(random_graph).to_undirected()
    known = [clip for clip in graph if graph.degree(clip) and random_graph.y[clip] >= 0]
    assert row["clips"] == len(known) < len(found)
    groups = {name: {clip for clip in known if graph.nodes[clip]["emotion"] == name} for name in "abc"}
    expected = nx.community.modularity(graph.subgraph(known), groups.values(), weight=None)
    assert row["modularity_values"] == pytest.approx(expected)
