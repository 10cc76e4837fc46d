import copy

import pytest
import torch
from hypothesis import given, settings as examples, strategies as st
from torch import nn
from torch_geometric.data import Data
from torch_geometric.utils import coalesce

from ser_graph.downstream import TrainingSettings, train
from ser_graph.downstream.backbones import Output
from ser_graph.downstream.labels import labelled_nodes
from ser_graph.downstream.strategies import MemoryBank
from ser_graph.downstream.training import _Run
from ser_graph.errors import InputError
from ser_graph.graph import NeighborLoader, TopNeighborSampler

QUICK = {
    "epochs": 2,
    "epoch_steps": 1,
    "batch_size": 16,
    "width": 0.25,
    "normalise": "corpus",
    "precision": "float32",
    "progress": False,
    "device": "cpu",
}
# So that the gradients of a step are of nothing but the loss.
PLAIN = {"augment": "none", "normalise": "corpus", "width": 0.25, "epoch_steps": 1, "precision": "float32"}


def mutual(data):
    """The graph with every edge in both directions."""
    edge_index = torch.cat([data.edge_index, data.edge_index.flip(0)], 1)
    weight = torch.cat([data.edge_weight, data.edge_weight])
    data.edge_index, data.edge_weight = coalesce(edge_index, weight, data.num_nodes, reduce="max")
    return data


def gradients(data, strategy, nodes=None, **changes):
    """Of one step from the first weights on, with some of the training clips as seeds, by default all."""
    settings = TrainingSettings(strategy=strategy, n_neighbors=None, **{**PLAIN, "alpha": 2.0, **changes})
    run = _Run(data, data.train_mask, labelled_nodes(data, settings), settings, torch.device("cpu"))
    run.student.train()
    nodes = data.train_mask.nonzero()[:, 0] if nodes is None else nodes
    count = -1 if run.method.samples_neighbours else 0
    (batch,) = NeighborLoader(data, [count], batch_size=len(nodes), input_nodes=nodes)
    numbers = run._step(batch)
    return {name: value.grad for name, value in run.student.named_parameters()}, numbers, run


def differ(one, other):
    """The largest difference of two gradients, as a share of the largest gradient."""
    largest = max(float(value.abs().max()) for value in one.values())
    return max(float((one[name] - other[name]).abs().max()) for name in one) / largest


@pytest.mark.parametrize("layer", ["fc1", "fc2", "projection"])
def test_in_a_batch_of_all_clips_of_a_mutual_graph_both_strategies_are_exact(toy_graph, layer):
    data = mutual(toy_graph)
    exact, said, _ = gradients(data, "forward", layer=layer)
    cheap, also, run = gradients(data, "memory_bank", layer=layer)
    assert differ(exact, cheap) < 1e-4
    assert differ(exact, gradients(data, "forward", alpha=0.0)[0]) > 0.01
    assert run.method.strategy.factor == 2  # half of the gradient comes from the seeds' side
    assert also["nsl_loss"] == pytest.approx(2 * said["nsl_loss"], rel=1e-5)
    assert also["loss"] == pytest.approx(also["supervised_loss"] + 2.0 * also["nsl_loss"], rel=1e-5)


def test_on_edges_that_one_end_lists_a_remembered_side_is_not_exact(toy_graph):
    one_way = toy_graph.edge_index[0] < toy_graph.edge_index[1]
    toy_graph.edge_index, toy_graph.edge_weight = toy_graph.edge_index[:, one_way], toy_graph.edge_weight[one_way]
    exact, cheap = (gradients(toy_graph, strategy)[0] for strategy in ("forward", "memory_bank"))
    assert differ(exact, cheap) > 0.01


class Echo(nn.Module):
    """A student whose output is its input."""

    needs_teacher = False

    def forward(self, x, emb=None, voice=None):
        """Both layers at once."""
        return Output(x, x)


@st.composite
def graphs_and_batches(draw):
    """A random graph of up to 8 nodes without double edges, and batches of its nodes."""
    n = draw(st.integers(2, 8))
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20))
    batches = draw(
        st.lists(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True), min_size=1, max_size=6)
    )
    edge_index = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    weight = torch.rand(len(edges), generator=torch.Generator().manual_seed(len(edges)))
    return Data(edge_index=edge_index, edge_weight=weight, num_nodes=n), batches


def batch_of(nodes, step):
    """Features that tell node and step apart."""
    x = torch.tensor([[float(node), float(step)] for node in nodes])
    return Data(x=x, n_id=torch.tensor(nodes), batch_size=len(nodes))


def shown(outputs):
    return outputs.fc1


def found(step, nodes):
    """(what the neighbour's side shows, seed, weight) of every edge of a step."""
    side = step.outputs.fc1 if step.neighbours is None else step.neighbours
    return sorted(
        (*side[neighbour].tolist(), nodes[seed], round(float(weight), 6))
        for neighbour, seed, weight in zip(*step.edge_index.tolist(), step.edge_weight, strict=True)
    )


@given(graphs_and_batches())
@examples(max_examples=100, deadline=None)
def test_the_memory_bank_remembers_what_a_dictionary_does(case):
    data, batches = case
    bank = MemoryBank(TopNeighborSampler(data, [-1]), data.edge_weight, data.num_nodes, 2)
    edges = list(zip(*data.edge_index.tolist(), data.edge_weight.tolist(), strict=True))
    memory = {}
    for number, nodes in enumerate(batches):
        step = bank(Echo(), batch_of(nodes, number), shown)
        memory.update(dict.fromkeys(nodes, number))
        into = [(source, target, weight) for source, target, weight in edges if target in nodes]
        known = [edge for edge in into if edge[0] in memory]
        expected = [(float(s), float(memory[s]), t, round(weight, 6)) for s, t, weight in known]
        assert found(step, nodes) == sorted(expected)
        staleness = sum(number - memory[source] for source, _, _ in known)
        assert step.numbers == {"edges": len(into), "edges_used": len(known), "staleness": staleness}


def test_only_the_strongest_neighbours_count(toy_graph):
    histories = [
        train(toy_graph, strategy="memory_bank", n_neighbors=n, **QUICK).info["history"][-1] for n in (1, None)
    ]
    assert histories[0]["staleness"] != histories[1]["staleness"]
    settings = TrainingSettings(strategy="memory_bank", n_neighbors=1, **PLAIN)
    run = _Run(toy_graph, toy_graph.train_mask, labelled_nodes(toy_graph, settings), settings, torch.device("cpu"))
    (_, seed), _ = run.method.strategy.sampler.neighbors_of(torch.arange(75))
    assert seed.bincount().max() == 1


def test_a_training_repeats_and_says_what_it_compared(toy_graph, weights_equal):
    first, second = (train(toy_graph, strategy="memory_bank", **QUICK) for _ in range(2))
    assert weights_equal(first, second)
    rows = first.info["history"]
    assert all(row["nsl_loss"] > 0 and 0 < row["edge_coverage"] <= 1 for row in rows)
    # 75 seeds in 5 steps; all have been visited when the second epoch begins
    assert 0 < rows[0]["edges_used"] < rows[1]["edges_used"] == 1
    assert 0 < rows[0]["staleness"] < rows[1]["staleness"] < 10


def test_a_killed_training_ends_as_it_would_have(toy_graph, tmp_path, monkeypatch, weights_equal):
    whole = train(toy_graph, strategy="memory_bank", **{**QUICK, "epochs": 3})
    epoch = _Run.epoch

    def killed(run):
        if len(run.history) == 2:
            raise KeyboardInterrupt
        return epoch(run)

    monkeypatch.setattr(_Run, "epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(toy_graph, strategy="memory_bank", checkpoint=tmp_path / "c", **{**QUICK, "epochs": 3})
    monkeypatch.setattr(_Run, "epoch", epoch)
    again = train(toy_graph, strategy="memory_bank", checkpoint=tmp_path / "c", **{**QUICK, "epochs": 3})
    assert weights_equal(again, whole)


def test_without_alpha_the_strategy_is_of_no_account(toy_graph, weights_equal):
    baseline = train(toy_graph, alpha=0, **QUICK)
    assert weights_equal(train(copy.copy(toy_graph), alpha=0, strategy="memory_bank", **QUICK), baseline)


def test_few_labels_and_a_memory_bank(toy_graph):
    """Unlabelled clips are remembered like the others."""
    rows = train(toy_graph, strategy="memory_bank", label_fraction=0.2, **QUICK).info["history"]
    assert 0 < rows[0]["edges_used"] <= rows[1]["edges_used"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"strategy": "bank"},
            r"^Bad strategy 'bank', expected one of \['forward', 'memory_bank'\]$",
        ),
        (
            {"strategy": "memory_bank", "semantics": "official"},
            "^semantics='official' needs strategy 'forward', not 'memory_bank'",
        ),
    ],
)
def test_bad_settings(toy_graph, changes, message):
    with pytest.raises(InputError, match=message):
        train(toy_graph, progress=False, **changes)
