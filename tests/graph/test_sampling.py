import os
from itertools import chain

import numpy as np
import pytest
import torch
import torch_geometric.loader
from hypothesis import given, settings, strategies as st
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import GraphConv
from torch_geometric.sampler import NodeSamplerInput
from torch_geometric.utils import to_undirected

from ser_graph.errors import InputError
from ser_graph.graph import NeighborLoader, TopNeighborSampler, sampling


def top_edges(data, node, count):
    """The oracle: numbers of a node's in-edges by descending weight, equal ones in the graph's order."""
    target = data.edge_index[1].numpy()
    weight = data.edge_weight.numpy()
    edges = sorted(np.flatnonzero(target == node).tolist(), key=lambda edge: -weight[edge])
    return edges if count < 0 else edges[:count]


def expected_edges(data, seeds, counts):
    """(edge number, place of its target) of every edge that is sampled, hop by hop, and the nodes reached."""
    nodes, frontier, edges = list(seeds), list(enumerate(seeds)), []
    for count in counts:
        reached = []
        for place, node in frontier:
            for edge in top_edges(data, node, count):
                source = int(data.edge_index[0, edge])
                edges.append((edge, place))
                if source not in nodes:
                    reached.append((len(nodes), source))
                    nodes.append(source)
        frontier = reached
    return edges, nodes


def sample(data, counts, seeds):
    sampler = TopNeighborSampler(data, counts)
    out = sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=torch.tensor(seeds)))
    return out, sampler.edge_permutation[out.edge]


@st.composite
def graphs(draw):
    """Random graphs in any edge order, with equal weights and isolated nodes, and some seeds, also repeated."""
    n, seed = draw(st.integers(2, 12)), draw(st.integers(0, 999))
    generator = np.random.default_rng(seed)
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b and generator.random() < 0.4]
    generator.shuffle(pairs)
    edge_index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous()
    weight = torch.from_numpy(generator.integers(1, 6, len(pairs)) / 8).float()
    data = Data(edge_index=edge_index, edge_weight=weight, num_nodes=n)
    seeds = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6))
    return data, seeds


@settings(deadline=None, max_examples=80)
@given(graphs(), st.sampled_from([[2], [1], [-1], [0], [2, 2], [-1, 1], [1, -1, 3], [0, 2]]))
def test_sampling_is_the_brute_force_oracle(drawn, counts):
    data, seeds = drawn
    out, edge = sample(data, counts, seeds)
    expected, nodes = expected_edges(data, seeds, counts)
    assert out.node[: len(seeds)].tolist() == seeds
    assert out.node.tolist() == nodes
    assert list(zip(edge.tolist(), out.col.tolist(), strict=True)) == expected
    source, target = data.edge_index[:, edge]
    assert torch.equal(out.node[out.row], source)
    assert torch.equal(out.node[out.col], target)
    assert sum(out.num_sampled_nodes) == len(nodes)
    assert sum(out.num_sampled_edges) == len(expected)
    assert len(out.num_sampled_nodes) == len(counts) + 1


@settings(deadline=None, max_examples=60)
@given(graphs(), st.sampled_from([[2], [-1], [0], [2, 2], [1, -1, 3]]))
def test_disjoint_subgraphs_are_those_of_each_seed_alone(drawn, counts):
    data, seeds = drawn
    sampler = TopNeighborSampler(data, counts, disjoint=True)
    out = sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=torch.tensor(seeds)))
    assert out.node[: len(seeds)].tolist() == seeds and out.batch[: len(seeds)].tolist() == [*range(len(seeds))]
    for place, seed in enumerate(seeds):
        alone, edges = sample(data, counts, [seed])
        own, own_edges = out.batch == place, out.batch[out.col] == place
        assert sorted(out.node[own].tolist()) == sorted(alone.node.tolist())
        assert sorted(sampler.edge_permutation[out.edge[own_edges]].tolist()) == sorted(edges.tolist())
        assert torch.equal(out.batch[out.row[own_edges]], out.batch[out.col[own_edges]])
        source, target = data.edge_index[:, sampler.edge_permutation[out.edge]]
        assert torch.equal(out.node[out.row], source) and torch.equal(out.node[out.col], target)


def test_numbers_of_numpy_and_torch(toy_graph):
    how = {"input_nodes": toy_graph.train_mask}
    plain = list(NeighborLoader(toy_graph, [2], batch_size=8, **how))
    foreign = list(
        NeighborLoader(toy_graph, np.array([2]), batch_size=np.int64(8), num_workers=torch.tensor(0), **how)
    )
    assert [batch.n_id.tolist() for batch in foreign] == [batch.n_id.tolist() for batch in plain]


@pytest.mark.parametrize("workers", [0, 1])
def test_spectrograms_that_are_not_finite_are_not_sampled(toy_graph, workers):
    data = toy_graph.clone()
    data.x = data.x.clone()
    data.x[3, 0, 0] = torch.nan
    loader = NeighborLoader(data, [2], batch_size=8, input_nodes=torch.tensor([1, 3]), num_workers=workers)
    with pytest.raises(InputError, match=r"^The spectrogram of clip 3 holds NaN.*$"):
        list(loader)


def test_what_a_disjoint_batch_holds(toy_graph):
    loader = NeighborLoader(toy_graph, [2], batch_size=4, input_nodes=toy_graph.train_mask, disjoint=True)
    batch = next(iter(loader))
    assert torch.equal(batch.x, toy_graph.x[batch.n_id])
    assert torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]])
    assert batch.batch[:4].tolist() == [0, 1, 2, 3]


def test_both_ways(toy_graph):
    """Each edge of the directional batch and its reverse; the weights are those of the edges in the graph."""
    how = {"batch_size": 8, "input_nodes": toy_graph.train_mask}
    one = next(iter(NeighborLoader(toy_graph, [2], **how)))
    both = next(iter(NeighborLoader(toy_graph, [2], subgraph_type="bidirectional", **how)))
    pairs = {tuple(pair) for pair in one.edge_index.T.tolist()}
    assert {tuple(pair) for pair in both.edge_index.T.tolist()} == pairs | {(b, a) for a, b in pairs}
    assert torch.equal(both.n_id, one.n_id)
    weight = {tuple(pair): value for pair, value in zip(one.edge_index.T.tolist(), one.edge_weight, strict=True)}
    for (a, b), value in zip(both.edge_index.T.tolist(), both.edge_weight, strict=True):
        assert value in (weight.get((a, b)), weight.get((b, a)))


def test_weights_of_another_name(toy_graph):
    toy_graph.strength = -toy_graph.edge_weight
    seeds = {"batch_size": 8, "input_nodes": toy_graph.train_mask}
    weakest = next(iter(NeighborLoader(toy_graph, [1], weight_attr="strength", **seeds)))
    for seed, n in enumerate(weakest.n_id[:8].tolist()):
        weights = toy_graph.edge_weight[toy_graph.edge_index[1] == n]
        found = weakest.edge_weight[weakest.edge_index[1] == seed]
        assert found.tolist() == ([float(weights.min())] if len(weights) else [])
    with pytest.raises(InputError, match="Bad weight_attr 'strong', expected one of"):
        NeighborLoader(toy_graph, [1], weight_attr="strong", **seeds)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"replace": True}, "^replace is not for this loader"),
        ({"time_attr": "duration"}, "^time_attr is not for this loader"),
        ({"input_time": torch.arange(3)}, "^input_time is not for this loader"),
        ({"temporal_strategy": "last"}, "^temporal_strategy is not for this loader"),
        ({"subgraph_type": "induced"}, "^Bad subgraph_type 'induced', expected 'directional' or 'bidirectional'"),
    ],
)
def test_options_that_do_not_apply_are_refused(toy_graph, option, said):
    with pytest.raises(InputError, match=said):
        NeighborLoader(toy_graph, [1], **option)


def test_other_kinds_of_graphs_are_refused(toy_graph):
    for other in (HeteroData(), (toy_graph, toy_graph)):
        with pytest.raises(InputError, match=r"^Bad data of type .*, expected one graph of clips"):
            NeighborLoader(other, [1])


def test_repeated_seeds_by_hand():
    # 0 <- 2 (0.9), 0 <- 1 (0.5), 2 <- 0 (0.9); seed 0 stands twice, and its neighbour 2 is a seed as well.
    data = Data(
        edge_index=torch.tensor([[1, 2, 0], [0, 0, 2]]), edge_weight=torch.tensor([0.5, 0.9, 0.9]), num_nodes=4
    )
    out, edge = sample(data, [1], [0, 2, 0, 3])
    assert out.node.tolist() == [0, 2, 0, 3]
    assert edge.tolist() == [1, 2, 1]
    assert out.row.tolist() == [1, 0, 1]
    assert out.col.tolist() == [0, 1, 2]


def test_without_weights_the_order_of_the_graph_counts():
    data = Data(edge_index=torch.tensor([[3, 1, 2], [0, 0, 0]]), num_nodes=4)
    out, edge = sample(data, [2], [0])
    assert edge.tolist() == [0, 1]
    assert out.node.tolist() == [0, 3, 1]


@pytest.mark.parametrize(
    "counts", [[], [-2], [3, -5], 0, None, "x", [2.5], ["x"], [None], [True], [2**40], {("a", "to", "b"): [1]}]
)
def test_bad_num_neighbors(toy_graph, counts):
    for loader in (TopNeighborSampler, NeighborLoader):
        with pytest.raises(InputError, match=r"^Bad num_neighbors "):
            loader(toy_graph, counts)


N = "expected a mask of 120 nodes, or numbers from 0 to 119$"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        *(({"batch_size": value}, "^Bad batch_size ") for value in (0, -1, "x", 2.5, None, True)),
        ({"batch_size": 10**30}, "^Bad batch_size: a whole number has more than 63 bits$"),
        *(({"num_workers": value}, "^Bad num_workers ") for value in (-1, "x", 10**6)),
        ({"input_nodes": torch.tensor([0, 120])}, f"^Bad input_nodes from 0 to 120, {N}"),
        ({"input_nodes": [-1]}, f"^Bad input_nodes from -1 to -1, {N}"),
        ({"input_nodes": np.array([0.5])}, f"^Bad input_nodes of float64, {N}"),
        ({"input_nodes": torch.ones(119, dtype=torch.bool)}, rf"^Bad input_nodes of shape \(119,\), {N}"),
        ({"input_nodes": torch.zeros(2, 2, dtype=torch.int64)}, rf"^Bad input_nodes of shape \(2, 2\), {N}"),
        ({"input_nodes": "train"}, f"^Bad input_nodes 'train', {N}"),
        ({"input_nodes": ("paper", torch.tensor([0]))}, "^Bad input_nodes .'paper'"),
        ({"input_nodes": 3}, "^Bad input_nodes 3"),
        ({"input_id": torch.arange(3)}, "^Bad input_id "),
        ({"input_nodes": [1, 2], "input_id": torch.arange(3)}, "^Bad input_id "),
        ({"banana": 1}, "^Bad argument of NeighborLoader 'banana', expected one of"),
        ({"batchsize": 1}, "did you mean 'batch_size'"),
        ({"shuffle": "yes"}, "^Bad shuffle 'yes', expected True or False"),
        ({"drop_last": 1}, "^Bad drop_last 1"),
        ({"generator": 3}, "^Bad generator 3, expected a torch.Generator"),
        ({"transform": 3}, "^Bad transform 3, expected a function"),
        ({"transform_sampler_output": "x"}, "^Bad transform_sampler_output 'x'"),
        ({"neighbor_sampler": 3}, "^Bad neighbor_sampler 3"),
        ({"filter_per_worker": 3}, "^Bad filter_per_worker 3"),
        ({"sampler": 3}, "^Bad sampler 3"),
        ({"timeout": -1}, "^Bad timeout -1"),
        ({"prefetch_factor": 2}, "^NeighborLoader cannot be made of these arguments: prefetch_factor"),
        ({"persistent_workers": True}, "^NeighborLoader cannot be made of these arguments: persistent_workers"),
        ({"sampler": [0], "shuffle": True}, "^NeighborLoader cannot be made of these arguments: sampler"),
        ({"disjoint": "x"}, "^Bad disjoint 'x'"),
        ({"subgraph_type": "x"}, "^Bad subgraph_type 'x', expected 'directional' or 'bidirectional';"),
        ({"subgraph_type": 3}, "^Bad subgraph_type 3"),
        ({"weight_attr": 3}, "^Bad weight_attr 3"),
        ({"weight_attr": "emb"}, "^Bad emb of the graph, expected a finite weight for each of"),
        ({"directed": False}, "^Bad directed False"),
        ({"custom_cls": HeteroData}, "^custom_cls is not for this loader"),
    ],
)
def test_bad_arguments_are_one_line(toy_graph, arguments, said):
    with pytest.raises(InputError, match=said) as caught:
        NeighborLoader(toy_graph, [2], **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("edge_index", torch.tensor([[0, 120], [1, 2]]), "edge_index of the graph runs from 0 to 120"),
        ("edge_index", torch.tensor([[0, -1], [1, 2]]), "edge_index of the graph runs from -1 to 2"),
        ("edge_index", torch.tensor([[0.0], [1.0]]), "^Bad edge_index "),
        ("edge_index", torch.tensor([0, 1]), "^Bad edge_index "),
        ("edge_weight", torch.ones(3), "^Bad edge_weight of the graph, expected a finite weight"),
        ("edge_weight", "nan", "^Bad edge_weight of the graph, expected a finite weight"),
    ],
)
def test_edges_that_lead_nowhere_are_refused(toy_graph, name, value, said):
    data = toy_graph.clone()
    data[name] = torch.full_like(data.edge_weight, torch.nan) if isinstance(value, str) else value
    with pytest.raises(InputError, match=said):
        TopNeighborSampler(data, [2])


# What PyG promises of its loader, beside what other tests here show.


def test_a_batch_of_given_seeds(toy_graph):
    loader = NeighborLoader(toy_graph, [2], batch_size=20)
    assert str(loader) == "NeighborLoader()" and len(loader) == 6
    batch = loader([3, 0])
    assert batch.n_id[:2].tolist() == [3, 0] and batch.batch_size == 2
    assert batch.input_id.tolist() == [3, 0]


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
@pytest.mark.parametrize("per_worker", [True, False])
def test_edges_of_any_whole_numbers(toy_graph, kind, per_worker):
    data = Data(x=torch.arange(120), edge_index=toy_graph.edge_index.to(kind), edge_attr=torch.arange(162))
    for number, batch in enumerate(NeighborLoader(data, [5, 5], batch_size=20, filter_per_worker=per_worker)):
        assert torch.equal(batch.x, batch.n_id)
        assert torch.equal(batch.x[:20], torch.arange(20 * number, 20 * number + 20))
        assert torch.equal(batch.x[batch.edge_index.long()], data.edge_index[:, batch.e_id].long())
        assert torch.equal(batch.edge_attr, batch.e_id)


@pytest.mark.parametrize("kind", ["directional", "bidirectional"])
def test_two_hops_of_all_neighbours_give_a_gnn_what_the_graph_gives(kind):
    torch.manual_seed(0)
    index, weight = to_undirected(torch.randint(300, (2, 500)), torch.rand(500))
    data = Data(x=torch.randn(300, 8), edge_index=index, edge_weight=weight)
    first, second = GraphConv(8, 8), GraphConv(8, 3)

    def of(graph):
        return second(
            first(graph.x, graph.edge_index, graph.edge_weight).relu(), graph.edge_index, graph.edge_weight
        )

    (batch,) = NeighborLoader(data, [-1, -1], batch_size=3, input_nodes=[5, 6, 7], subgraph_type=kind)
    torch.testing.assert_close(of(batch)[:3], of(data)[5:8])


@pytest.mark.parametrize("workers", [0, 2])
def test_features_mapped_by_numpy(toy_graph, tmp_path, workers):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(120, 32)).astype(np.float32))
    data = Data(x=np.load(tmp_path / "x.npy", mmap_mode="r"), edge_index=toy_graph.edge_index)
    for batch in NeighborLoader(data, [2], batch_size=60, num_workers=workers):
        np.testing.assert_array_equal(batch.x.numpy(), data.x[batch.n_id.numpy()])


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not show it")
def test_workers_may_stay_on_one_core(toy_graph):
    loader = NeighborLoader(toy_graph, [1], batch_size=60, num_workers=1)
    core = min(os.sched_getaffinity(0))
    with loader.enable_cpu_affinity([core]):
        iterator = iter(loader)
        next(iterator)
        assert os.sched_getaffinity(iterator.iterator._workers[0].pid) == {core}


def test_numbers_of_sampled_nodes_and_edges():
    """0 <- 2 <- 4 and 1 <- 3 <- 4: the last hop reaches one node by two edges."""
    data = Data(edge_index=torch.tensor([[2, 3, 4, 4], [0, 1, 2, 3]]), num_nodes=5)
    batch = next(iter(NeighborLoader(data, [1, 1], batch_size=2)))
    assert batch.num_sampled_nodes == [2, 2, 1] and batch.num_sampled_edges == [2, 2]


def test_a_graph_without_edges():
    data = Data(x=torch.randn(3, 2))
    (batch,) = NeighborLoader(data, [-1], batch_size=3)
    assert torch.equal(batch.x, data.x)


def test_links_are_refused(toy_graph):
    with pytest.raises(InputError, match="samples around nodes"):
        TopNeighborSampler(toy_graph, [1]).sample_from_edges(None)


def loaders(data, **settings):
    """Ours, and PyG's two with our sampler."""
    sampler = TopNeighborSampler(data, [3])
    return {
        "ours": NeighborLoader(data, [3], **settings),
        "neighbor": torch_geometric.loader.NeighborLoader(data, [3], neighbor_sampler=sampler, **settings),
        "node": torch_geometric.loader.NodeLoader(data, node_sampler=sampler, **settings),
    }


@pytest.mark.parametrize("kind", ["ours", "neighbor", "node"])
def test_what_a_batch_holds(toy_graph, kind):
    loader = loaders(toy_graph, batch_size=20, input_nodes=toy_graph.train_mask)[kind]
    weights = dict(zip(map(tuple, toy_graph.edge_index.T.tolist()), toy_graph.edge_weight.tolist(), strict=True))
    seen = []
    for batch in loader:
        seeds = batch.n_id[: batch.batch_size]
        seen += seeds.tolist()
        assert len(batch.n_id.unique()) == len(batch.n_id) == batch.num_nodes
        for name in ("x", "emb", "y", "speaker", "train_mask"):
            assert torch.equal(batch[name], toy_graph[name][batch.n_id])
        ends = batch.n_id[batch.edge_index]
        assert torch.equal(toy_graph.edge_index[:, batch.e_id], ends)
        assert batch.edge_weight.tolist() == [weights[tuple(pair)] for pair in ends.T.tolist()]
        assert (batch.edge_index[1] < batch.batch_size).all()
        of_seeds = toy_graph.degrees()[seeds].clamp_max(3)
        assert torch.equal(batch.edge_index[1].bincount(minlength=batch.batch_size), of_seeds)
    assert seen == toy_graph.train_mask.nonzero()[:, 0].tolist()


def test_the_three_loaders_agree(toy_graph):
    how = {"batch_size": 16, "input_nodes": toy_graph.train_mask}
    for batches in zip(*loaders(toy_graph, **how).values(), strict=True):
        for other in batches[1:]:
            for name in ("n_id", "edge_index", "edge_weight", "e_id", "x"):
                assert torch.equal(batches[0][name], other[name])


def seeds_of(loader):
    return [batch.n_id[: batch.batch_size].tolist() for batch in loader]


def test_shuffling_is_seeded_and_visits_each_seed_once(toy_graph):
    def epoch(seed):
        generator = torch.Generator().manual_seed(seed)
        how = {"batch_size": 16, "shuffle": True, "generator": generator, "input_nodes": toy_graph.train_mask}
        return seeds_of(NeighborLoader(toy_graph, [2], **how))

    first, again, other = epoch(1), epoch(1), epoch(2)
    assert first == again
    assert first != other
    assert [len(batch) for batch in first] == [16, 16, 16, 16, 11]
    assert sorted(chain(*first)) == sorted(chain(*other)) == list(range(75))


def test_seeds_as_mask_or_as_index(toy_graph):
    index = toy_graph.val_mask.nonzero()[:, 0]
    by_mask = seeds_of(NeighborLoader(toy_graph, [2], batch_size=8, input_nodes=toy_graph.val_mask))
    by_index = seeds_of(NeighborLoader(toy_graph, [2], batch_size=8, input_nodes=index))
    assert by_mask == by_index
    assert list(chain(*by_mask)) == index.tolist()
    repeated = torch.tensor([5, 5, 3])
    (batch,) = NeighborLoader(toy_graph, [2], batch_size=3, input_nodes=repeated)
    assert batch.n_id[:3].tolist() == [5, 5, 3]
    assert torch.equal(batch.x[0], batch.x[1])


def test_no_neighbours_at_all(toy_graph):
    (batch,) = NeighborLoader(toy_graph, [0], batch_size=75, input_nodes=toy_graph.train_mask)
    assert batch.num_nodes == 75
    assert batch.edge_index.shape == (2, 0)
    assert batch.edge_weight.shape == (0,)


def test_all_neighbours_are_the_graph(toy_graph):
    (batch,) = NeighborLoader(toy_graph, [-1], batch_size=120)
    assert batch.n_id.tolist() == list(range(120))
    assert torch.equal(batch.edge_index, toy_graph.edge_index)


def test_a_worker_samples_the_same(toy_graph):
    how = {"num_neighbors": [2], "batch_size": 40, "input_nodes": toy_graph.train_mask}
    with_worker = list(NeighborLoader(toy_graph, num_workers=1, **how))
    for one, other in zip(NeighborLoader(toy_graph, **how), with_worker, strict=True):
        for name in ("n_id", "edge_index", "edge_weight", "x"):
            assert torch.equal(one[name], other[name])


@pytest.mark.parametrize("count", [-1, 0, 1, 2])
def test_neighbours_without_a_batch_are_those_of_the_first_hop(toy_graph, count):
    sampler = TopNeighborSampler(toy_graph, [count])
    nodes = torch.tensor([7, 3, 40])
    (neighbour, seed), edge = sampler.neighbors_of(nodes)
    expected = [
        (number, place) for place, node in enumerate(nodes.tolist()) for number in top_edges(toy_graph, node, count)
    ]
    assert list(zip(edge.tolist(), seed.tolist(), strict=True)) == expected
    assert torch.equal(neighbour, toy_graph.edge_index[0, edge])
    assert torch.equal(nodes[seed], toy_graph.edge_index[1, edge])


def test_the_disk_is_asked_for_each_batch_while_the_one_before_is_at_work(toy_graph, monkeypatch):
    events = []
    monkeypatch.setattr(sampling, "will_need", lambda x, rows: events.append(("asked", rows.tolist())))
    how = {"num_neighbors": [2], "batch_size": 30, "input_nodes": toy_graph.train_mask, "shuffle": True}
    loader = NeighborLoader(toy_graph, generator=torch.Generator().manual_seed(0), **how)
    for _ in range(2):
        events.clear()
        for batch in loader:
            events.append(("got", batch.n_id.tolist()))
            assert torch.equal(batch.x, toy_graph.x[batch.n_id])
        asked, got = ([nodes for what, nodes in events if what == kind] for kind in ("asked", "got"))
        assert asked == got
        assert [what for what, _ in events] == ["asked", "asked", "got", "asked", "got", "got"]


def test_a_loader_of_worker_processes_gives_the_same_batches(toy_graph):
    how = {"num_neighbors": [2], "batch_size": 30, "input_nodes": toy_graph.train_mask}
    alone, helped = NeighborLoader(toy_graph, **how), NeighborLoader(toy_graph, num_workers=1, **how)
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.n_id, other.n_id)
        assert torch.equal(one.x, other.x)
