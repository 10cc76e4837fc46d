"""benchmarks/adapted_students.py: hidden labels, adapted spaces and smoothed labels of one fold."""

import math

import numpy as np
import pytest
import torch

import ser_graph as sg
from ser_graph.downstream import TrainingSettings, labelled_nodes, teacher, training
from ser_graph.downstream.labels import training_nodes

SETTINGS = TrainingSettings(method="distil+regress", width=0.125, epochs=2, epoch_steps=3)


@pytest.fixture(scope="module")
def adapted(load_benchmark):
    """benchmarks/adapted_students.py as a module."""
    return load_benchmark("adapted_students")


@pytest.fixture
def joint(joint_graph):
    """The other corpus is at another place in the teacher's space."""
    theirs = torch.tensor((joint_graph.table["corpus"] == "other").tolist())
    joint_graph.emb[theirs] = 3 * joint_graph.emb[theirs] + 1
    return joint_graph


def view_of(make, data, **changes):
    """What a training with this view would see."""
    settings = SETTINGS.replace(center="none", **changes)
    return make(data, training_nodes(data, "clean"), labelled_nodes(data, settings), settings)


def test_the_target_is_the_corpus_of_the_test_clips(adapted, joint):
    assert adapted.target_of(joint).tolist() == (joint.table["corpus"] == "target").tolist()


def test_without_target_labels_the_other_corpus_teaches(adapted, joint):
    hidden = adapted.with_source_labels(joint, "other", 0.0)
    theirs = torch.tensor((joint.table["corpus"] == "other").tolist())
    assert hidden.emotions == joint.emotions
    assert ((hidden.y >= 0) & hidden.train_mask).tolist() == theirs.tolist()
    assert hidden.y[theirs].tolist() == joint.other_y[theirs].tolist()
    tested = hidden.val_mask | hidden.test_mask
    assert hidden.y[tested].tolist() == joint.y[tested].tolist()
    assert (hidden.other_y == -1).all()


def test_labels_of_two_corpora_are_a_share_of_the_targets_and_all_of_the_others(adapted, joint):
    found = adapted.with_source_labels(joint, "other", 0.5)
    theirs, ours = (torch.tensor((joint.table["corpus"] == name).tolist()) for name in ("other", "target"))
    known = (found.y >= 0) & found.train_mask
    assert torch.equal(known & ours, labelled_nodes(joint, label_fraction=0.5))
    assert torch.equal(known & theirs, theirs & joint.train_mask)
    assert torch.equal(labelled_nodes(found), known)
    everything = adapted.with_source_labels(joint, "other", 1.0)
    assert ((everything.y >= 0) == (joint.y >= 0) | theirs).all()


def test_coral_brings_the_other_corpus_to_the_target(adapted, joint):
    theirs, ours = (torch.tensor((joint.table["corpus"] == name).tolist()) for name in ("other", "target"))
    ours &= joint.train_mask
    before, after = (view_of(make, joint).teacher for make in (teacher.training_view, adapted.aligned))

    def apart(emb):
        return float((emb[theirs].mean(0) - emb[ours].mean(0)).norm() / emb[ours].std())

    assert apart(after) < 0.01 < 0.1 * apart(before)
    assert (after[~joint.train_mask] == 0).all()


def test_each_other_corpus_is_moved_by_itself(adapted, joint):
    number = np.arange(120)
    corpus = joint.table["corpus"].where((number % 4 != 1) | (joint.table["corpus"] == "target"), "third")
    joint.table = joint.table.assign(corpus=corpus)
    found = view_of(adapted.aligned, joint).teacher
    ours = found[joint.train_mask & torch.from_numpy((corpus == "target").to_numpy())]
    for name in ("other", "third"):
        theirs = found[torch.from_numpy((corpus == name).to_numpy())]
        torch.testing.assert_close(theirs.mean(0), ours.mean(0), atol=1e-3, rtol=0)


def test_smoothed_labels_are_probabilities_that_know_the_labels(adapted, joint):
    plain, found = (
        view_of(make, joint, label_fraction=0.5).teacher_log_probs
        for make in (teacher.training_view, adapted.with_smoothed_labels)
    )
    ours = adapted.target_of(joint) & joint.train_mask
    torch.testing.assert_close(found[ours].exp().sum(1), torch.ones(int(ours.sum())))
    torch.testing.assert_close(found[~ours], plain[~ours], equal_nan=True)
    assert not torch.equal(found[ours], plain[ours])
    known = labelled_nodes(joint, label_fraction=0.5)
    assert found[known].argmax(1).tolist() == joint.y[known].tolist()


def test_flat_scores_become_as_sure_as_others(adapted):
    scores = torch.tensor([[0.5, 0.4, 0.4], [0.2, 0.3, 0.0]])
    other = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1]])
    found = adapted.as_sure_as(scores, other)
    torch.testing.assert_close(found.sum(1), torch.ones(2))
    assert found.max(1).values.mean().item() == pytest.approx(0.8, abs=1e-4)
    assert found.argsort(1).tolist()[1] == [2, 0, 1] and found[0, 1] == found[0, 2]


def test_a_copy_has_the_smoothed_label_of_its_original(adapted, joint):
    table, files = joint.table, joint.table.index
    ours = np.flatnonzero((adapted.target_of(joint) & joint.train_mask).numpy())
    joint.table = table.assign(copy_of=np.where(np.arange(120) == ours[0], files[ours[3]], None))
    found = view_of(adapted.with_smoothed_labels, joint).teacher_log_probs
    assert torch.equal(found[ours[0]], found[ours[3]])


@pytest.mark.parametrize("view", ["aligned", "mapped_view", "with_smoothed_labels"])
def test_a_training_with_an_adapted_teacher(adapted, joint, view, monkeypatch):
    plain = sg.train(joint, SETTINGS, progress=False).info["history"][-1]
    monkeypatch.setattr(training, "training_view", getattr(adapted, view))
    one, two = (sg.train(joint, SETTINGS, progress=False).info["history"][-1] for _ in range(2))
    assert math.isfinite(one["loss"]) and one["loss"] == two["loss"]
    assert one["distil+regress_loss"] != plain["distil+regress_loss"]
