import math

import numpy as np
import pytest
import torch

from ser_graph.graph import graph_statistics
from ser_graph.graph.statistics import chance_homophily, edge_homophily, nodes_in_scope


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
    figures = graph_statistics(toy_graph)
    same = [
        (toy_graph.y[a] == toy_graph.y[b], toy_graph.speaker[a] == toy_graph.speaker[b])
        for a, b in toy_graph.edge_index.T
    ]
    assert figures["n_clips"] == 120
    assert figures["n_edges"] == len(same)
    assert figures["homophily"] == pytest.approx(np.mean([emotion for emotion, _ in same]))
    assert figures["same_speaker"] == pytest.approx(np.mean([speaker for _, speaker in same]))
    # 75 clips in scope, 25 of each emotion and 15 of each speaker: chance of drawing another of the same.
    assert figures["homophily_chance"] == pytest.approx(24 / 74)
    assert figures["same_speaker_chance"] == pytest.approx(14 / 74)
    assert figures["coverage"] == toy_graph.edge_index[1].unique().numel() / 75
    assert figures["recall"] == 1.0
    assert list(figures.index)[:3] == ["n_clips", "n_edges", "coverage"]


@pytest.mark.parametrize(("scope", "n"), [("train", 75), ("train+dev", 90), ("all", 120)])
def test_nodes_in_scope(toy_graph, scope, n):
    toy_graph.meta["graph"]["scope"] = scope
    inside = nodes_in_scope(toy_graph)
    assert inside.dtype == torch.bool
    assert int(inside.sum()) == n
    assert inside[:n].all()
