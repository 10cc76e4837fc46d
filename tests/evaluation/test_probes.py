import copy

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from ser_graph.audio.settings import LogMelSettings
from ser_graph.downstream import Student, TrainingSettings, predict_clips
from ser_graph.downstream.teacher import training_view
from ser_graph.errors import InputError
from ser_graph.evaluation import bootstrap_difference, evaluate, mcnemar
from ser_graph.evaluation.probes import (
    ALPHAS,
    STRENGTHS,
    gap_closed,
    label_propagation,
    teacher_probe,
)
from ser_graph.graph.building import assemble

METHODS = {"probe": teacher_probe, "propagation": label_propagation}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def graph(emb, emotion, split):
    """Clips without edges, whose spectrograms say nothing; each split is two speakers."""
    n = len(emb)
    split = np.asarray(split)
    table = pd.DataFrame(
        {
            "emotion": emotion,
            "speaker": [f"{name}{row % 2}" for row, name in enumerate(split)],
            "gender": "female",
            "duration": 1.0,
            "split": split,
        },
        index=pd.Index([f"{row:04d}.wav" for row in range(n)], name="file"),
    )
    emb = torch.as_tensor(np.asarray(emb), dtype=torch.float32)
    no_edges = torch.empty(2, 0, dtype=torch.int64), torch.empty(0)
    return assemble(table, emb, torch.zeros(n, 1, 4), *no_edges, features=LogMelSettings(n_samples=512, n_mels=4))


def noise(n=40, seed=0, unknown=0):
    """Clips of three emotions of which the embeddings say nothing, in the splits 2 : 1 : 1."""
    random = np.random.default_rng(seed)
    emotion = np.array(["anger", "fear", "joy"], dtype=object)[random.permutation(np.arange(n) % 3)]
    emotion[random.choice(n, unknown, replace=False)] = None
    split = np.repeat(["train", "dev", "test"], [n // 2, n // 4, n - n // 2 - n // 4])
    return graph(random.normal(size=(n, 5)), emotion, split)


def probabilities(predictions):
    return predictions.filter(like="p_")


def rows(data, order):
    """The same graph with its clips in another order, or with some only."""
    return data.subgraph(order)


@every_method
def test_what_embeddings_show_is_found(toy_graph, method):
    result = evaluate(method(toy_graph, split="test"))
    assert (result["uar"], result["n_test"]) == (1, 30)
    one_of_each = torch.zeros(120, dtype=torch.bool).index_fill_(0, torch.arange(3), True)
    assert evaluate(method(toy_graph, label_mask=one_of_each))["uar"] == 1


@every_method
def test_what_embeddings_do_not_show_is_not_found(method):
    """The labels of the test are independent of everything: right answers are binomial."""
    data = noise(1200, seed=5)
    predictions = method(data, split="test")
    right = int((predictions["emotion"] == predictions["predicted"]).sum())
    assert binomtest(right, len(predictions), 1 / 3).pvalue > 0.001
    assert predictions["predicted"].nunique() == 3


@every_method
def test_labels_of_the_test_are_never_used(method, relabel):
    data = noise(80)
    other = copy.deepcopy(data)
    test = data.test_mask.nonzero()[:, 0]
    relabel(other, test, other.y[test].flip(0))
    assert not torch.equal(other.y, data.y)
    pd.testing.assert_frame_equal(probabilities(method(data)), probabilities(method(other)))
    other.y[test] = -1
    pd.testing.assert_frame_equal(probabilities(method(data)), probabilities(method(other)))


def test_labels_of_dev_choose_and_do_nothing_else(relabel):
    data = noise(80)
    other = copy.deepcopy(data)
    relabel(other, data.val_mask, data.y[data.val_mask].flip(0))
    found, same = (probabilities(label_propagation(one, alpha=0.8)) for one in (data, other))
    pd.testing.assert_frame_equal(found, same)


@every_method
def test_unlabelled_clips_are_no_labels(method):
    """-1 in training is the same as being left out by the mask; for the probe, as not being there."""
    data = noise(80, unknown=25)
    everyone_of_training = method(data)
    known = data.train_mask & (data.y >= 0)
    assert 2 < known.sum() < data.train_mask.sum()
    pd.testing.assert_frame_equal(everyone_of_training, method(data, label_mask=known))
    assert everyone_of_training.attrs["n_labels"] == int(known.sum())
    if method is not label_propagation:
        without = rows(data, (known | ~data.train_mask).nonzero()[:, 0])
        pd.testing.assert_frame_equal(everyone_of_training, method(without))


@every_method
def test_labels_outside_the_mask_are_never_used(method, relabel):
    data, mask = noise(80), torch.arange(80) < 20
    other = copy.deepcopy(data)
    rest = data.train_mask & ~mask
    relabel(other, rest, (data.y[rest] + 1) % 3)
    few, same = method(data, label_mask=mask), method(other, label_mask=mask)
    pd.testing.assert_frame_equal(probabilities(few), probabilities(same))
    assert not np.allclose(probabilities(few), probabilities(method(data)))


@every_method
def test_the_order_of_rows_is_of_no_importance(method):
    data = noise(60)
    mixed = rows(data, torch.randperm(60, generator=torch.Generator().manual_seed(0)))
    first, second = method(data), method(mixed).loc[lambda table: sorted(table.index)]
    pd.testing.assert_frame_equal(first, second, atol=1e-6)


def closed_form(data, n_neighbors, alpha):
    """Zhou et al. with dense matrices: (I - alpha S)^-1 Y, rows made to sum to 1."""
    emb = data.emb.double().numpy()
    unit = emb / np.linalg.norm(emb, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, :n_neighbors]
    listed = np.zeros_like(similarity, dtype=bool)
    np.put_along_axis(listed, nearest, True, axis=1)
    weight = np.where(listed | listed.T, similarity.clip(min=0), 0)
    scale = np.diag(weight.sum(1) ** -0.5)
    labels = np.zeros((len(emb), 3))
    for row in (data.train_mask & (data.y >= 0)).nonzero()[:, 0].tolist():
        labels[row, data.y[row]] = 1
    spread = np.linalg.solve(np.eye(len(emb)) - alpha * scale @ weight @ scale, labels)
    with np.errstate(invalid="ignore"):  # NaN where no label reaches
        return spread / spread.sum(1, keepdims=True)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.integers(2, 30), st.sampled_from(ALPHAS))
@pytest.mark.filterwarnings("error")
def test_label_spreading_is_the_closed_form(seed, n_neighbors, alpha):
    data = noise(40, seed=seed, unknown=8)
    found = label_propagation(data, alpha=alpha, n_neighbors=n_neighbors)
    expected = closed_form(data, n_neighbors, alpha)[(data.val_mask | data.test_mask).numpy()]
    reached = np.isfinite(expected).all(1)  # a part of the graph may hold no label
    np.testing.assert_allclose(probabilities(found)[reached], expected[reached], atol=1e-5)


def test_clips_that_no_label_reaches_have_the_shares_of_labels():
    """Two groups at a right angle, the second without labels."""
    emb = np.repeat([[1.0, 0.0], [0.0, 1.0]], 8, axis=0)
    data = graph(emb, ["anger"] * 4 + ["joy"] * 2 + ["fear"] * 10, ["train"] * 6 + ["dev"] * 2 + ["test"] * 8)
    found = label_propagation(data, n_neighbors=3, split="test")
    expected = {"p_anger": 4 / 6, "p_fear": 0.0, "p_joy": 2 / 6}
    for _, row in probabilities(found).iterrows():
        assert row.to_dict() == pytest.approx(expected)
    assert set(found["predicted"]) == {"anger"}


def test_the_strength_is_the_best_on_dev():
    """By hand: standardise, fit one after the other, and take the first of the best."""
    data = noise(120, seed=3)
    train, dev, test = (mask.numpy() for mask in (data.train_mask, data.val_mask, data.test_mask))
    emb, y = data.emb.double().numpy(), data.y.numpy()
    emb = (emb - emb[train].mean(0)) / emb[train].std(0)
    models = [LogisticRegression(C=strength, max_iter=2000).fit(emb[train], y[train]) for strength in STRENGTHS]
    scores = [balanced_accuracy_score(y[dev], model.predict(emb[dev])) for model in models]
    best = scores.index(max(scores))
    assert len(set(scores)) > 1
    found = teacher_probe(data, split="test")
    assert (found.attrs["strength"], found.attrs["dev_uar"]) == (STRENGTHS[best], pytest.approx(scores[best]))
    np.testing.assert_allclose(probabilities(found), models[best].predict_proba(emb[test]), atol=1e-6)


def test_alpha_is_the_best_on_dev():
    data = noise(120, seed=4)
    scores = [evaluate(label_propagation(data, alpha=alpha, split="dev"))["uar"] for alpha in ALPHAS]
    assert len(set(scores)) > 1
    found = label_propagation(data)
    assert (found.attrs["alpha"], found.attrs["dev_uar"]) == (ALPHAS[scores.index(max(scores))], max(scores))


def test_clips_that_were_learnt_from_do_not_choose():
    data = noise(80)
    both = data.train_mask | data.val_mask
    probe, spread = (method(data, label_mask=both) for method in (teacher_probe, label_propagation))
    assert (probe.attrs["strength"], probe.attrs["dev_uar"]) == (1.0, None)
    assert (spread.attrs["alpha"], spread.attrs["dev_uar"]) == (0.99, None)


@every_method
def test_what_a_voice_has_in_common_is_taken_off(toy_graph, method):
    """Voices far apart hide the emotions; without each speaker's mean they do not matter."""
    data = toy_graph
    voices = 30 * torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    hidden = copy.copy(data)
    hidden.emb = data.emb + voices[data.speaker]
    plain, centred = method(data, center="speaker"), method(hidden, center="speaker")
    pd.testing.assert_frame_equal(plain, centred, atol=1e-3)
    assert evaluate(centred)["uar"] == 1
    assert evaluate(method(hidden))["uar"] < 0.9
    assert centred.attrs["center"] == "speaker"


def test_how_it_was_made_is_said():
    data = noise(40)
    seen = {name: method(data).attrs["transductive"] for name, method in METHODS.items()}
    assert seen == {"probe": False, "propagation": True}
    for name, method in METHODS.items():
        attrs = method(data, center="speaker").attrs
        assert attrs["transductive"]
        assert attrs["needs_teacher"]
        assert attrs["n_labels"] == 20
        assert name in attrs["method"]


def test_the_probe_looks_at_one_clip_at_a_time():
    """So it is inductive: without the other test clips it says the same."""
    data = noise(60)
    one = rows(data, torch.arange(46))
    assert int(one.test_mask.sum()) == 1
    pd.testing.assert_frame_equal(teacher_probe(one, split="test"), teacher_probe(data, split="test")[:1])


@every_method
def test_predictions_are_as_a_student_makes_them(toy_graph, method):
    student = Student("cnn6", toy_graph.emotions, LogMelSettings(n_samples=8192))
    for split in ("dev", "test"):
        ours, of_student = method(toy_graph, split=split), predict_clips(student, toy_graph, split)
        pd.testing.assert_index_equal(ours.index, of_student.index)
        pd.testing.assert_series_equal(ours.dtypes, of_student.dtypes)
        pd.testing.assert_frame_equal(ours[["emotion", "speaker"]], of_student[["emotion", "speaker"]])
        np.testing.assert_allclose(probabilities(ours).sum(axis=1), 1)
    both = method(toy_graph)
    assert list(both.index) == list(toy_graph.table.index[toy_graph.table["split"] != "train"])
    assert bootstrap_difference(of_student, ours, n_resamples=50).difference > 0
    assert mcnemar(of_student, ours).only_a == 0


@every_method
def test_an_emotion_without_labels_is_never_said(toy_graph, method):
    toy_graph.y[toy_graph.train_mask & (toy_graph.y == 1)] = -1
    predictions = method(toy_graph)
    assert not predictions["p_fear"].any()
    assert set(predictions["predicted"]) == {"anger", "sadness"}


@every_method
def test_mistakes(toy_graph, method):
    with pytest.raises(InputError, match=r"torch.bool of shape \(119,\), expected torch.bool of shape \(120,\)"):
        method(toy_graph, label_mask=toy_graph.train_mask[1:])
    with pytest.raises(InputError, match="Bad label_mask"):
        method(toy_graph, label_mask=toy_graph.train_mask.long())
    with pytest.raises(InputError, match="label_mask contains 30 test clips"):
        method(toy_graph, label_mask=torch.ones(120, dtype=torch.bool))
    with pytest.raises(InputError, match="have 0 emotions, expected at least two"):
        method(toy_graph, label_mask=torch.zeros(120, dtype=torch.bool))
    with pytest.raises(InputError, match="have 1 emotions, expected at least two"):
        method(toy_graph, label_mask=toy_graph.train_mask & (toy_graph.y == 0))
    with pytest.raises(InputError, match=r"Bad split 'train', expected one of \['dev', 'test'\]"):
        method(toy_graph, split="train")
    with pytest.raises(InputError, match="Bad center 'voice'"):
        method(toy_graph, center="voice")
    toy_graph.test_mask[:] = False
    with pytest.raises(InputError, match="No clip to predict in the split test"):
        method(toy_graph, split="test")


def test_mistakes_of_one_method(toy_graph):
    for alpha in (0, 1, -0.5, float("nan")):
        with pytest.raises(InputError, match="Bad alpha"):
            label_propagation(toy_graph, alpha=alpha)
    with pytest.raises(InputError, match="Bad number of neighbours 0"):
        label_propagation(toy_graph, n_neighbors=0)


def test_gap_closed_by_hand():
    assert gap_closed(0.45, 0.40, 0.60) == pytest.approx(0.25)
    assert isinstance(gap_closed(0.45, 0.40, 0.60), float)
    assert gap_closed(0.3, 0.4, 0.6) == pytest.approx(-0.5)
    assert np.isnan(gap_closed(0.5, 0.6, 0.6))
    assert np.isnan(gap_closed(0.7, 0.6, 0.5))
    seeds = gap_closed([0.45, 0.5, 0.9], [0.40, 0.55, 0.8], [0.60, 0.65, 0.8])
    assert seeds == pytest.approx([0.25, -0.5, np.nan], nan_ok=True)
    assert gap_closed([0.4, 0.6], 0.4, 0.6).tolist() == [0, 1]


@settings(deadline=None)
@given(st.floats(0, 0.4), st.floats(0.5, 1), st.floats(-1, 2))
def test_gap_closed_is_the_inverse_of_mixing(baseline, probe, share):
    assert gap_closed(baseline + share * (probe - baseline), baseline, probe) == pytest.approx(share, abs=1e-9)


def test_the_probe_learns_labels_of_other_corpora_as_the_students_teacher_does(toy_graph):
    """Without dev labels to choose by, it is the teacher of a student that has the same labels."""
    few = toy_graph.train_mask & (torch.arange(120) % 12 < 2)
    emotion = toy_graph.table["emotion"]
    toy_graph.table = toy_graph.table.assign(
        emotion=emotion.where(few.numpy() | toy_graph.test_mask.numpy()),
        other_emotion=emotion.where(toy_graph.train_mask.numpy() & ~few.numpy()),
    )
    settings = TrainingSettings(method="distil", center="none", transductive=True, other_labels=10)
    view = training_view(toy_graph, toy_graph.train_mask, few, settings)
    found = teacher_probe(toy_graph, other_labels=10, split="test")
    np.testing.assert_allclose(
        found[["p_anger", "p_fear", "p_sadness"]],
        view.teacher_log_probs.exp()[toy_graph.test_mask],
        atol=1e-5,
    )
    alone = teacher_probe(toy_graph, split="test")
    assert not np.allclose(found["p_anger"], alone["p_anger"], atol=1e-3)
    assert alone.attrs["n_labels"] == found.attrs["n_labels"] == int(few.sum())
