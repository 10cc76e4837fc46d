import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.loader import ClusterLoader

from ser_graph.errors import InputError
from ser_graph.graph import ClusterData, partition


@given(
    n=st.integers(1, 30),
    n_edges=st.integers(0, 80),
    part_size=st.integers(1, 12),
    seed=st.integers(0, 5),
)
@settings(max_examples=100, deadline=None)
def test_every_node_is_in_one_full_part(n, n_edges, part_size, seed):
    edge_index = torch.randint(0, n, (2, n_edges), generator=torch.Generator().manual_seed(seed))
    part = partition(edge_index, n, part_size, seed=seed)
    counts = part.bincount()
    assert len(part) == n and counts.sum() == n
    assert (counts[:-1] == part_size).all() and 0 < counts[-1] <= part_size
    assert torch.equal(part, partition(edge_index, n, part_size, seed=seed))
    assert torch.equal(part, partition(edge_index.flip(0), n, part_size, seed=seed))


@pytest.mark.parametrize("seed", range(5))
def test_cliques_stay_whole(seed):
    """8 cliques of 5, scattered over the numbers, and one weak edge from each to the next."""
    pairs = [(8 * a + k, 8 * b + k) for k in range(8) for a in range(5) for b in range(5) if a != b]
    bridges = [(k, (k + 1) % 8) for k in range(8)]
    edge_index = torch.tensor(pairs + bridges).T
    weight = torch.tensor([0.9] * len(pairs) + [0.8] * len(bridges))
    part = partition(edge_index, 40, 5, weight, seed=seed)
    assert all(len(part[clique::8].unique()) == 1 for clique in range(8))


def test_the_strongest_tie_leads():
    """Node 0 is tied to 1 weakly, to 2 strongly, whoever comes first."""
    edge_index, weight = torch.tensor([[1, 2], [0, 0]]), torch.tensor([0.1, 0.9])
    parts = [partition(edge_index, 3, 2, weight, seed=seed) for seed in range(20)]
    assert any(part[0] == part[2] for part in parts)
    assert all(part[0] == part[2] or part[0] == part[1] == 0 for part in parts)  # 1 came first and took 0


def test_pygs_cluster_loader_takes_it():
    edge_index = torch.tensor([[0, 2, 4, 1, 3, 5], [2, 4, 0, 3, 5, 1]])
    data = Data(edge_index=edge_index, x=torch.arange(6.0)[:, None], num_nodes=6)
    clusters = ClusterData(data, 2)
    assert {tuple(sorted(clusters[number].x[:, 0].tolist())) for number in range(2)} == {(0, 2, 4), (1, 3, 5)}
    batches = list(ClusterLoader(clusters, batch_size=1))
    assert [batch.edge_index.shape[1] for batch in batches] == [3, 3]


@pytest.mark.parametrize("n_parts", [1, 7, 30, 59, 60])
def test_pygs_clusters_are_as_many_as_asked_and_none_is_empty(n_parts):
    edge_index = torch.randint(60, (2, 150), generator=torch.Generator().manual_seed(0))
    clusters = ClusterData(Data(edge_index=edge_index, num_nodes=60, x=torch.zeros(60, 1)), n_parts)
    sizes = clusters.partition.partptr.diff().tolist()
    assert len(sizes) == n_parts and sum(sizes) == 60 and max(sizes) - min(sizes) <= 1
    with pytest.raises(InputError, match=r"Bad num_parts 61, expected 1 to 60, the number of clips"):
        ClusterData(Data(edge_index=edge_index, num_nodes=60), 61)


def test_a_part_has_clips():
    with pytest.raises(InputError, match=r"^Bad part_size 0, expected at least 1$"):
        partition(torch.empty(2, 0, dtype=torch.int64), 3, 0)
