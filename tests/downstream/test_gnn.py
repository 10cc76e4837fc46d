"""The GNN that teaches: what it learns from neighbours, and from whom it does not learn."""

import copy

import pytest
import torch

from ser_graph.downstream import TrainingSettings, train
from ser_graph.downstream.gnn import gnn_log_probs
from ser_graph.downstream.labels import labelled_nodes
from ser_graph.downstream.teacher import probe_log_probs, training_view
from ser_graph.errors import InputError

N, LABELLED = 300, 100
GNN = {"method": "distil", "teacher": "gnn"}


@pytest.fixture
def told_by_neighbours():
    """Embeddings that say nothing about their own clip: its label is the sign of its four neighbours."""
    generator = torch.Generator().manual_seed(0)
    emb = torch.randn(N, 8, generator=generator)
    emb[:, 0] = torch.randint(0, 2, (N,), generator=generator) * 2.0 - 1
    y = torch.randint(0, 2, (N,), generator=generator)
    of_sign = [(emb[:, 0] == sign).nonzero()[:, 0] for sign in (-1, 1)]
    candidates = [of_sign[label] for label in y.tolist()]
    neighbours = torch.stack([one[torch.randperm(len(one), generator=generator)[:4]] for one in candidates])
    edges = torch.stack([neighbours.reshape(-1), torch.arange(N).repeat_interleave(4)])
    known = torch.where(torch.arange(N) < LABELLED, y, -1)
    return emb, edges, y, known


def test_the_gnn_knows_what_only_neighbours_tell(told_by_neighbours):
    emb, edges, y, known = told_by_neighbours
    hidden = known < 0
    from_graph = gnn_log_probs(emb, edges, known, 2, seed=0).argmax(1)
    from_probe = probe_log_probs(emb, known, torch.ones_like(hidden), 2).argmax(1)
    assert (from_graph == y)[hidden].float().mean() > 0.9
    assert (from_probe == y)[hidden].float().mean() < 0.6
    turned = gnn_log_probs(emb, edges.flip(0), known, 2, seed=0).argmax(1)  # from clips to neighbours
    assert (turned == y)[hidden].float().mean() < 0.75


def test_the_same_seed_gives_the_same_teacher(told_by_neighbours):
    emb, edges, _, known = told_by_neighbours
    state = torch.get_rng_state()
    one, same, other = (gnn_log_probs(emb, edges, known, 2, seed) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_classes_without_a_label_have_no_probability(told_by_neighbours):
    emb, edges, _, known = told_by_neighbours
    found = gnn_log_probs(emb, edges, torch.where(known == 1, 3, known), 5, seed=0).exp()
    assert not found[:, [1, 2, 4]].any()
    torch.testing.assert_close(found.sum(1), torch.ones(N))


def test_clips_outside_the_training_teach_nothing(toy_graph, relabel):
    """Neither by their embeddings, nor by their labels, nor by edges that join them."""
    settings = TrainingSettings(**GNN, label_fraction=0.4)
    labelled, rows = labelled_nodes(toy_graph, settings), toy_graph.train_mask
    found = training_view(toy_graph, rows, labelled, settings).teacher_log_probs
    assert torch.equal(~found.isnan().any(1), rows)
    assert (found.argmax(1) == toy_graph.y)[rows].float().mean() > 0.9
    changed = copy.deepcopy(toy_graph)
    changed.emb[~rows] = 9
    relabel(changed, ~rows, 0)
    outside = torch.tensor([[100, 0], [0, 100]])
    changed.edge_index = torch.cat([changed.edge_index, outside], 1)
    other = training_view(changed, rows, labelled, settings).teacher_log_probs
    assert torch.equal(other.nan_to_num(7), found.nan_to_num(7))


def test_a_student_learns_from_the_gnn(toy_graph):
    quick = {"epochs": 2, "epoch_steps": 1, "width": 0.25, "precision": "float32", "label_fraction": 0.4}
    students = [
        train(toy_graph, **quick, method="distil", teacher=teacher, device="cpu", progress=False)
        for teacher in ("gnn", "gnn", "probe")
    ]
    losses = [student.info["history"][-1]["distil_loss"] for student in students]
    assert losses[0] == losses[1] != losses[2]
    assert not students[0].needs_teacher


def test_a_graph_that_joins_test_clips_is_refused(toy_graph):
    toy_graph.edge_index[0, 0] = 110
    with pytest.raises(InputError, match="edges join training clips to other clips"):
        train(toy_graph, **GNN, progress=False)
