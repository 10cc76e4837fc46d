import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.labels import labelled_nodes
from ser_graph.downstream.settings import METHODS_BESIDE
from ser_graph.downstream.teacher import (
    log_probs_of,
    teacher_embeddings,
    training_view,
    unit_variance,
)
from ser_graph.errors import InputError
from ser_graph.graph.alignment import aligned
from ser_graph.graph.estimators import fit_probe as fit_arrays


def fit_probe(emb, y, other, share):
    return fit_arrays(emb.double().numpy(), y.numpy(), other.numpy(), share)


def test_speaker_means_are_those_of_the_training_clips(toy_graph):
    emb, speaker = toy_graph.emb.double().numpy(), toy_graph.speaker.numpy()
    found = teacher_embeddings(toy_graph, toy_graph.train_mask, "speaker")
    for code in range(5):
        rows = speaker == code
        np.testing.assert_allclose(found[rows], emb[rows] - emb[rows].mean(0), atol=1e-6)
    assert not found[75:].any()
    assert torch.equal(teacher_embeddings(toy_graph, toy_graph.train_mask, "none")[:75], toy_graph.emb[:75])
    changed = copy.deepcopy(toy_graph)
    changed.emb[75:] = 7
    assert torch.equal(teacher_embeddings(changed, toy_graph.train_mask, "speaker"), found)


def test_centering_that_is_not_possible_names_its_setting(toy_graph):
    toy_graph.table = toy_graph.table.assign(speaker=toy_graph.table["speaker"].where(np.arange(120) != 3))
    with pytest.raises(InputError, match=r"^Bad center 'speaker': ") as caught:
        teacher_embeddings(toy_graph, toy_graph.train_mask, "speaker")
    assert "\n" not in str(caught.value)


def test_other_corpora_are_aligned_without_dev_test_and_labels(joint_graph):
    rows, theirs = joint_graph.train_mask, torch.tensor(joint_graph.table["corpus"].eq("other").tolist())
    found = teacher_embeddings(joint_graph, rows, "speaker", "target")
    plain = teacher_embeddings(joint_graph, rows, "speaker")
    np.testing.assert_allclose(found[rows], aligned(plain[rows], joint_graph.table[rows.numpy()], "target"))
    assert torch.equal(found[~theirs], plain[~theirs]) and not torch.allclose(found[theirs], plain[theirs])
    changed = copy.deepcopy(joint_graph)
    changed.emb[~rows] = 7
    changed.table = changed.table.assign(emotion=None, other_emotion=None)
    assert torch.equal(teacher_embeddings(changed, rows, "speaker", "target"), found)


@pytest.mark.parametrize("method", ["distil", "regress", "graph"])
def test_alignment_reaches_what_a_method_is_told(joint_graph, method):
    settings = TrainingSettings(method=method)
    rows, labelled = joint_graph.train_mask, labelled_nodes(joint_graph, settings)
    views = [training_view(joint_graph, rows, labelled, settings.replace(align=name)) for name in (None, "target")]
    key = "teacher_log_probs" if method == "distil" else "teacher"
    before, after = (view[key][rows] for view in views)
    assert not torch.allclose(before, after)
    with pytest.raises(InputError, match="Bad align 'emovo', expected one of"):
        training_view(joint_graph, rows, labelled, settings.replace(align="emovo"))


def test_unit_variance_keeps_the_shape_of_the_space(toy_graph):
    found = unit_variance(3 * toy_graph.emb + 1, toy_graph.train_mask).double().numpy()
    emb = toy_graph.emb.double().numpy()[:75]
    assert found[:75].mean(0) == pytest.approx(np.zeros(16), abs=1e-6)
    assert (found[:75] ** 2).mean() == pytest.approx(1, rel=1e-6)
    ratio = np.linalg.norm(found[0] - found[1:75], axis=1) / np.linalg.norm(emb[0] - emb[1:], axis=1)
    assert np.ptp(ratio) < 1e-5
    same = unit_variance(torch.ones(4, 3), torch.ones(4, dtype=torch.bool))
    assert not same.any()


def test_class_probabilities_are_a_probe_of_the_known_labels(toy_graph):
    rows = toy_graph.train_mask
    known = torch.zeros_like(rows).index_fill_(0, torch.arange(0, 40), True)
    y = torch.where(known, toy_graph.y, -1)
    none = torch.full_like(y, -1)
    found = log_probs_of(fit_probe(toy_graph.emb, y, none, 0.1), toy_graph.emb[rows], 3)
    emb = toy_graph.emb.double().numpy()
    scaled = (emb - emb[:40].mean(0)) / emb[:40].std(0)
    probe = LogisticRegression(max_iter=1000, tol=1e-8).fit(scaled[:40], toy_graph.y[:40].numpy())
    np.testing.assert_allclose(found.exp(), probe.predict_proba(scaled[:75]), atol=0.01)
    # Classes without a label have no probability, the others sum to 1.
    two = fit_probe(toy_graph.emb, torch.where(y == 1, -1, y), none, 0.1)
    of_two = log_probs_of(two, toy_graph.emb[rows], 4).exp()
    assert not of_two[:, [1, 3]].any()
    torch.testing.assert_close(of_two.sum(1), torch.ones(75))


def test_labels_of_other_corpora_weigh_as_much_as_some_of_the_target(toy_graph):
    emb, y = toy_graph.emb, toy_graph.y
    known, other = y.where(torch.arange(120) < 30, -1), y.where(torch.arange(120) >= 60, -1)
    found = fit_probe(emb, known, other, 15)
    rows = np.r_[0:30, 60:120]
    weight = np.r_[np.ones(30), np.full(60, 15 / 60)]
    x = emb.double().numpy()
    mean = np.average(x[rows], axis=0, weights=weight)
    scaled = (x - mean) / np.sqrt(np.average((x[rows] - mean) ** 2, axis=0, weights=weight))
    probe = LogisticRegression(max_iter=1000, tol=1e-8).fit(scaled[rows], y.numpy()[rows], weight)
    np.testing.assert_allclose(found.predict_proba(x), probe.predict_proba(scaled), atol=1e-2)
    # As many as they are, they are labels as any other.
    whole = fit_probe(emb, known, other, 60).predict_proba(x)
    joined = fit_probe(emb, torch.where(other >= 0, other, known), torch.full_like(y, -1), 0).predict_proba(x)
    np.testing.assert_allclose(whole, joined, atol=1e-6)


def test_a_probe_learns_no_label_that_a_student_must_not_know(toy_graph):
    """Those of copies, of dev and test, and of the target's clips without a label."""
    theirs = np.arange(120) % 2 == 1
    table = toy_graph.table
    toy_graph.table = table.assign(
        emotion=table["emotion"].where(~theirs), other_emotion=table["emotion"].where(theirs)
    )
    settings = TrainingSettings(method="distil", label_fraction=0.4, center="none", other_labels=10)
    rows, labelled = toy_graph.train_mask, labelled_nodes(toy_graph, settings)

    def probabilities(data, **changes):
        return training_view(data, rows, labelled, settings.replace(**changes)).teacher_log_probs[rows]

    assert torch.equal(toy_graph.other_y >= 0, torch.from_numpy(theirs))
    found = probabilities(toy_graph)
    y = toy_graph.y.where(labelled, -1)
    probe = fit_probe(toy_graph.emb, y, toy_graph.other_y.where(rows, -1), 10)
    torch.testing.assert_close(found, log_probs_of(probe, toy_graph.emb[rows], 3))
    alone = fit_probe(toy_graph.emb, y, torch.full_like(y, -1), 0.1)
    torch.testing.assert_close(
        probabilities(toy_graph, other_labels=0), log_probs_of(alone, toy_graph.emb[rows], 3)
    )
    other = copy.deepcopy(toy_graph)
    other.table = other.table.assign(
        emotion=other.table["emotion"].where(labelled.numpy(), "anger"),
        other_emotion=other.table["other_emotion"].where(rows.numpy(), "anger"),
    )
    torch.testing.assert_close(probabilities(other), found)


@pytest.mark.parametrize("teacher", ["probe", "gnn"])
def test_labels_of_one_emotion_teach_no_probabilities(toy_graph, teacher):
    labelled = toy_graph.train_mask & (toy_graph.y == 1)
    settings = TrainingSettings(method="distil", teacher=teacher)
    with pytest.raises(
        InputError, match="Method distil fits its teacher on training clips of at least two labelled emotions"
    ):
        training_view(toy_graph, toy_graph.train_mask, labelled, settings)


@pytest.mark.parametrize("method", METHODS_BESIDE)
def test_what_each_method_is_told(toy_graph, method):
    settings = TrainingSettings(method=method, label_fraction=0.4, center="corpus")
    rows, labelled = toy_graph.train_mask, labelled_nodes(toy_graph, settings)
    view = training_view(toy_graph, rows, labelled, settings)
    assert torch.equal(view.y, torch.where(labelled, toy_graph.y, -1))
    assert ("teacher" in view) is (method in ("graph", "regress"))
    assert ("teacher_log_probs" in view) is (method == "distil")
    emb = torch.zeros(120, 16)
    emb[rows] = toy_graph.emb[rows] - toy_graph.emb[rows].mean(0)
    if "teacher" in view:
        torch.testing.assert_close(view.teacher, unit_variance(emb, rows), rtol=1e-4, atol=1e-5)
    if "teacher_log_probs" in view:
        probe = fit_probe(emb, view.y, torch.full_like(view.y, -1), 0.1)
        torch.testing.assert_close(
            view.teacher_log_probs[rows], log_probs_of(probe, emb[rows], 3), rtol=1e-3, atol=1e-3
        )
        assert view.teacher_log_probs[~rows].isnan().all()
    nothing = training_view(toy_graph, rows, labelled, settings.replace(alpha=0))
    assert not {"teacher", "teacher_log_probs"} & set(nothing.keys())


def test_the_probe_speaks_of_all_training_clips_and_learns_from_the_labels_alone(toy_graph):
    """Of corpora without labels as well; of dev and test only where they may be learnt from."""
    toy_graph.table["corpus"] = np.where(np.arange(120) % 75 < 45, "one", "other")
    labelled = toy_graph.train_mask & (torch.arange(120) < 45)
    for transductive, rows in ((False, toy_graph.train_mask), (True, torch.ones(120, dtype=torch.bool))):
        settings = TrainingSettings(method="distil", transductive=transductive)
        view = training_view(toy_graph, toy_graph.train_mask, labelled, settings)
        assert torch.equal(~view.teacher_log_probs.isnan().any(1), rows)
        right = view.teacher_log_probs[rows].argmax(1) == toy_graph.y[rows]
        assert float(right.double().mean()) > 0.9


@pytest.mark.parametrize(("method", "teacher"), [*((one, "probe") for one in METHODS_BESIDE), ("distil", "gnn")])
def test_a_hidden_label_is_nowhere_to_be_seen(toy_graph, method, teacher, relabel):
    """Neither in the labels, nor in the edges of one label, nor in what the teacher says."""
    settings = TrainingSettings(label_fraction=0.2, same_label=True, method=method, teacher=teacher)
    labelled = labelled_nodes(toy_graph, settings)
    other = copy.deepcopy(toy_graph)
    relabel(other, ~labelled, 0)
    one, two = (training_view(data, data.train_mask, labelled, settings) for data in (toy_graph, other))
    assert one.keys() == two.keys()
    for name in {"y", "edge_index", "edge_weight", "teacher", "teacher_log_probs"} & set(one.keys()):
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=0, equal_nan=True)
    assert "teacher" not in toy_graph
    assert one.x is toy_graph.x


def test_edges_of_one_label(toy_graph):
    toy_graph.y = toy_graph.y[torch.randperm(120, generator=torch.Generator().manual_seed(0))]
    settings = TrainingSettings(same_label=True, transductive=True)
    labelled = toy_graph.train_mask & (torch.arange(120) % 4 > 0)
    toy_graph.edge_index[0, :9] = 110  # test clips, whose labels are not for training
    view = training_view(toy_graph, toy_graph.train_mask, labelled, settings)
    edges = list(zip(*toy_graph.edge_index.tolist(), toy_graph.edge_weight.tolist(), strict=True))
    y, known = toy_graph.y.tolist(), labelled.tolist()
    expected = [(k, i, w) for k, i, w in edges if known[k] and known[i] and y[k] == y[i]]
    assert 0 < len(expected) < len(edges) / 2
    assert list(zip(*view.edge_index.tolist(), view.edge_weight.tolist(), strict=True)) == expected
