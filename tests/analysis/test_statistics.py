import math
from collections import Counter

import networkx as nx
import numpy as np
import pytest
import torch

from ser_graph.analysis import (
    chance_homophily,
    degree_distribution,
    edge_homophily,
    graph_statistics,
    nodes_in_scope,
    to_networkx,
)


def test_edge_homophily_by_hand():
    edge_index = torch.tensor([[0, 1, 2, 3, 4], [1, 0, 0, 2, 0]])
    assert edge_homophily(edge_index, torch.tensor([0, 0, 1, 1, 0])) == pytest.approx(4 / 5)
    # Clip 3 is unknown: its edge does not count. Two unknown clips are not alike.
    assert edge_homophily(edge_index, torch.tensor([0, 0, 1, -1, 0])) == pytest.approx(3 / 4)
    assert edge_homophily(edge_index, torch.tensor([0, 0, -1, -1, 0])) == 1.0


def test_nothing_to_count_is_nan():
    nothing = torch.empty(2, 0, dtype=torch.int64)
    assert math.isnan(edge_homophily(nothing, torch.tensor([0, 1])))
    assert math.isnan(edge_homophily(torch.tensor([[0], [1]]), torch.tensor([-1, 1])))
    assert math.isnan(chance_homophily(torch.tensor([-1, 2])))
    assert math.isnan(chance_homophily(torch.tensor([], dtype=torch.int64)))


def test_chance_is_the_mean_over_permutations(toy_graph):
    codes = torch.from_numpy(np.random.default_rng(0).choice(4, 75, p=[0.6, 0.2, 0.15, 0.05]))
    codes[70:] = -1
    edge_index = toy_graph.edge_index
    generator = torch.Generator().manual_seed(0)
    shuffled = [edge_homophily(edge_index, codes[torch.randperm(75, generator=generator)]) for _ in range(3000)]
    assert chance_homophily(codes) == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) / 3000**0.5)
    assert chance_homophily(torch.tensor([0, 0, 0, 1])) == pytest.approx(6 / 12)


def test_statistics_of_a_graph(toy_graph):
    statistics = graph_statistics(toy_graph)
    same = [
        (toy_graph.y[a] == toy_graph.y[b], toy_graph.speaker[a] == toy_graph.speaker[b])
        for a, b in toy_graph.edge_index.T
    ]
    assert statistics["n_clips"] == 120
    assert statistics["n_edges"] == len(same)
    assert statistics["homophily"] == pytest.approx(np.mean([emotion for emotion, _ in same]))
    assert statistics["same_speaker"] == pytest.approx(np.mean([speaker for _, speaker in same]))
    # 75 clips in scope, 25 of each emotion and 15 of each speaker: chance of drawing another of the same.
    assert statistics["homophily_chance"] == pytest.approx(24 / 74)
    assert statistics["same_speaker_chance"] == pytest.approx(14 / 74)
    assert statistics["coverage"] == toy_graph.edge_index[1].unique().numel() / 75
    assert statistics["recall"] == 1.0
    assert list(statistics.index)[:3] == ["n_clips", "n_edges", "coverage"]


@pytest.mark.parametrize(("scope", "n"), [("train", 75), ("train+dev", 90), ("all", 120)])
def test_nodes_in_scope(toy_graph, scope, n):
    toy_graph.meta = toy_graph.meta.replace(settings=toy_graph.meta.settings.replace(scope=scope))
    inside = nodes_in_scope(toy_graph)
    assert inside.dtype == torch.bool
    assert int(inside.sum()) == n
    assert inside[:n].all()


def test_structure_is_what_networkx_says(random_graph):
    statistics = graph_statistics(random_graph)
    graph = to_networkx(random_graph)
    joined = graph.to_undirected()
    assert statistics["density"] == pytest.approx(nx.density(graph))
    assert statistics["reciprocity"] == pytest.approx(nx.overall_reciprocity(graph))
    assert 0 < statistics["reciprocity"] < 1
    assert statistics["clustering"] == pytest.approx(nx.average_clustering(joined))
    assert statistics["components"] == nx.number_weakly_connected_components(graph)
    assert statistics["largest_component"] == len(max(nx.connected_components(joined), key=len)) / 40
    assert statistics["isolated"] == nx.number_of_isolates(graph) >= 6
    assert statistics["in_degree_max"] == max(degree for _, degree in graph.in_degree)
    assert statistics["out_degree_max"] == max(degree for _, degree in graph.out_degree)
    assert statistics["never_neighbour"] == sum(degree == 0 for _, degree in graph.out_degree)
    assert statistics["degree_mean"] == pytest.approx(graph.number_of_edges() / 40)


def test_hubness_by_hand(make_graph):
    # Clip 0 is the neighbour of the three others, which are nobody's: k-occurrences 3, 0, 0, 0.
    statistics = graph_statistics(make_graph([(0, 1), (0, 2), (0, 3)], "aaaa"))
    deviations = np.array([3, 0, 0, 0]) - 0.75
    assert statistics["hubness"] == pytest.approx((deviations**3).mean() / (deviations**2).mean() ** 1.5)
    assert statistics["never_neighbour"] == 3
    assert statistics["isolated"] == 0


def test_clips_out_of_scope_do_not_count(make_graph):
    edges = [(0, 1), (1, 0)]
    inside = graph_statistics(make_graph(edges, "aab"))
    wider = make_graph(edges, "aabbb", split=["train"] * 3 + ["test"] * 2, scope="train")
    statistics = graph_statistics(wider)
    assert (statistics["n_clips"], statistics["n_in_scope"]) == (5, 3)
    same = [name for name in statistics.index if name not in ("n_clips", "coverage")]
    assert statistics[same].equals(inside[same])


def test_degree_distribution_counts_clips(random_graph):
    table = degree_distribution(random_graph)
    graph = to_networkx(random_graph)
    for column, degrees in (("in_degree", graph.in_degree), ("out_degree", graph.out_degree)):
        counted = Counter(degree for _, degree in degrees)
        assert {degree: n for degree, n in table[column].items() if n} == dict(counted)
    assert table.index.tolist() == list(range(len(table)))
    assert table.iloc[-1].sum() > 0
