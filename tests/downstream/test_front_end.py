"""Normalisation, augmentation and transfer as settings of a training."""

import numpy as np
import pytest
import torch

from ser_graph.downstream import (
    Student,
    TrainingSettings,
    load_student,
    predict_clips,
    train,
    training as training_module,
)
from ser_graph.downstream.augmentation import AUGMENTATIONS
from ser_graph.downstream.prediction import known_voices, predict_outputs
from ser_graph.errors import InputError
from ser_graph.graph.meta import UpstreamMeta

QUICK = {
    "epochs": 2,
    "epoch_steps": 1,
    "batch_size": 75,
    "width": 0.25,
    "augment": "none",
    "normalise": "corpus",
    "precision": "float32",
    "progress": False,
    "device": "cpu",
}
AUGMENTED = {"augment": "+".join(AUGMENTATIONS)}


@pytest.fixture
def wide_graph(toy_graph):
    """The toy graph with embeddings as wide as fc1 at width 0.25."""
    toy_graph.emb = torch.nn.functional.pad(toy_graph.emb, (0, 48))
    return toy_graph


class KilledError(Exception):
    pass


@pytest.mark.parametrize(("alpha", "normalise"), [(0, "corpus"), (0.5, "utterance"), (0.5, "speaker")])
def test_an_augmented_run_is_resumed_bit_for_bit(toy_graph, tmp_path, monkeypatch, alpha, normalise, weights_equal):
    how = {**QUICK, **AUGMENTED, "alpha": alpha, "normalise": normalise}
    whole = train(toy_graph, **how)
    epoch = training_module._Run.epoch

    def killed_in_the_second(run):
        if len(run.history) == 1:
            raise KilledError
        return epoch(run)

    with monkeypatch.context() as patch:
        patch.setattr(training_module._Run, "epoch", killed_in_the_second)
        with pytest.raises(KilledError):
            train(toy_graph, checkpoint=tmp_path / "c", **how)
    assert weights_equal(train(toy_graph, checkpoint=tmp_path / "c", **how), whole)
    assert not weights_equal(train(toy_graph, **{**how, "augment": "none"}), whole)


@pytest.mark.parametrize("schedule", ["cosine", "paper"])
@pytest.mark.parametrize("normalise", ["corpus", "utterance", "speaker"])
def test_augmentation_does_not_touch_evaluation(toy_graph, normalise, schedule):
    """What a training measures on dev is what the student that it returns says."""
    student = train(toy_graph, **{**QUICK, **AUGMENTED, "normalise": normalise, "schedule": schedule})
    assert student.augment is None
    rows = toy_graph.val_mask.nonzero()[:, 0]
    student.train()  # prediction puts it back into evaluation mode
    voices = known_voices(toy_graph, normalise)
    said = predict_outputs(student, toy_graph.x, rows, voices=voices).logits.argmax(1)
    row = student.info["history"][student.info["epoch"] - 1]
    assert float((said == toy_graph.y[rows]).double().mean()) == row["dev_accuracy"]
    found = predict_clips(student, toy_graph, "dev")
    assert (found["predicted"] == found["emotion"]).mean() == row["dev_accuracy"]
    assert torch.equal(
        predict_outputs(student, toy_graph.x, rows).logits, predict_outputs(student, toy_graph.x, rows).logits
    )


def test_each_augmentation_reaches_the_training(toy_graph, weights_equal):
    how = {**QUICK, "epochs": 1}
    students = [train(toy_graph, **{**how, "augment": part}) for part in ("none", *AUGMENTATIONS, "shift+masks")]
    for number, one in enumerate(students):
        assert not any(weights_equal(one, other) for other in students[:number])
    usual = train(toy_graph, **{name: value for name, value in how.items() if name != "augment"})
    assert weights_equal(usual, students[-1])
    assert weights_equal(train(toy_graph, **{**how, "augment": "masks+shift"}), usual)


def test_normalised_per_utterance_a_tilt_of_every_clip_changes_nothing(toy_graph, tmp_path):
    """Every clip through a filter of its own, in training and in testing."""
    how = {name: value for name, value in QUICK.items() if name != "normalise"}
    toy_graph.x = toy_graph.x.float()
    student = train(toy_graph, **how)
    before = predict_clips(student, toy_graph)
    layer = student.standardise
    seen = toy_graph.x[:75].double().numpy()
    np.testing.assert_allclose(layer.std, (seen - seen.mean(1, keepdims=True)).reshape(-1, 64).std(0), rtol=1e-5)
    toy_graph.x = toy_graph.x + 3 * torch.randn(120, 1, 64, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(predict_clips(student, toy_graph).iloc[:, 3:], before.iloc[:, 3:], atol=1e-3)
    loaded = load_student(student.save(tmp_path / "student"))
    assert predict_clips(loaded, toy_graph).equals(predict_clips(student, toy_graph))
    assert student.standardise.normalise == "utterance"
    assert train(toy_graph, **QUICK).standardise.normalise == "corpus"


def test_normalised_per_speaker_a_speakers_microphone_changes_nothing(toy_graph, tmp_path):
    """Every speaker through a filter and an amplifier of his own; of each, all clips are heard."""
    how = {**QUICK, "normalise": "speaker"}
    toy_graph.x = toy_graph.x.float()
    student = train(toy_graph, **how)
    before = predict_clips(student, toy_graph)
    seen = toy_graph.x[:75].double().numpy().reshape(5, -1, 64)
    np.testing.assert_allclose(student.standardise.std, seen.std(1).mean(0), rtol=0.02)
    np.testing.assert_allclose(student.standardise.std, (seen.var(1).mean(0)) ** 0.5, rtol=1e-5)
    filters = 3 * torch.randn(8, 1, 64, generator=torch.Generator().manual_seed(0))
    toy_graph.x = toy_graph.x + filters[toy_graph.speaker]
    np.testing.assert_allclose(predict_clips(student, toy_graph).iloc[:, 3:], before.iloc[:, 3:], atol=1e-3)
    tuned = train(toy_graph, **how)
    np.testing.assert_allclose(tuned.standardise.std, student.standardise.std, rtol=1e-5)
    loaded = load_student(student.save(tmp_path / "student"))
    assert predict_clips(loaded, toy_graph).equals(predict_clips(student, toy_graph))
    assert (predict_clips(student, toy_graph, "dev").eval("predicted == emotion").mean()) == pytest.approx(
        student.info["history"][-1]["dev_accuracy"]
    )


def test_some_voices_are_unknown_in_training(toy_graph, monkeypatch):
    """As on a device at first: drawn anew in each step, the same in a run that is resumed."""
    heard, forward = [], Student.forward

    def listened(student, x, emb=None, voice=None):
        if student.training:
            heard.append(voice.clone())
        return forward(student, x, emb, voice)

    monkeypatch.setattr(Student, "forward", listened)
    how = {**QUICK, "normalise": "speaker", "alpha": 0, "epochs": 8}
    train(toy_graph, **how)
    drawn = torch.stack(heard)
    assert drawn.shape == (8, 75, 3, 64)
    known = drawn[:, :, 0, 0] > 0
    assert float(known.double().mean()) == pytest.approx(1 - training_module.UNKNOWN_VOICES, abs=0.1)
    assert len(known.unique(dim=0)) == 8
    voices = known_voices(toy_graph, "speaker").table[:5]
    assert not drawn[~known].any()
    assert all((voice == voices).all((1, 2)).any() for voice in drawn[known])
    heard.clear()
    train(toy_graph, **how)
    assert torch.equal(torch.stack(heard), drawn)


@pytest.mark.parametrize("schedule", ["cosine", "paper"])
@pytest.mark.parametrize("transfer", ["add", "max", "avg"])
def test_transfer_learns_from_the_embedding(wide_graph, tmp_path, transfer, schedule):
    """Spectrograms say nothing here: what is learnt came with the teacher's embeddings, which is what it needs."""
    wide_graph.x = torch.zeros_like(wide_graph.x)
    how = {**QUICK, "epochs": 10, "batch_size": 25, "schedule": schedule}
    student = train(wide_graph, **how, alpha=0, transfer=transfer, learning_rate=1e-2)
    assert student.info["needs_teacher"] is True
    assert student.info["settings"]["transfer"] == transfer
    found = predict_clips(student, wide_graph, "test")
    assert (found["predicted"] == found["emotion"]).mean() > 0.9
    loaded = load_student(student.save(tmp_path / "student"))
    assert predict_clips(loaded, wide_graph, "test").equals(found)
    rows = wide_graph.val_mask.nonzero()[:, 0]
    right = predict_clips(student, wide_graph, "dev").eval("predicted == emotion").mean()
    assert len(rows) == 15
    assert right == pytest.approx(student.info["history"][student.info["epoch"] - 1]["dev_accuracy"])


def test_transfer_is_a_baseline_of_its_own(wide_graph):
    with pytest.raises(InputError, match=r"^transfer='add' is a baseline without a method; give alpha=0 too$"):
        train(wide_graph, **QUICK, alpha=0.1, transfer="add")
    rows = train(wide_graph, **QUICK, method="baseline", transfer="add").info["history"]
    assert all(row["loss"] == row["supervised_loss"] for row in rows)


def test_another_teacher_than_the_one_of_the_training(wide_graph):
    wide_graph.meta = wide_graph.meta.replace(upstream=UpstreamMeta(fingerprint="one"))
    student = train(wide_graph, **{**QUICK, "epochs": 1}, alpha=0, transfer="add")
    predict_clips(student, wide_graph, "test")
    wide_graph.meta = wide_graph.meta.replace(upstream=UpstreamMeta(fingerprint="other"))
    with pytest.raises(InputError, match="embeddings of the graph come from another upstream than in the training"):
        predict_clips(student, wide_graph, "test")
    predict_clips(train(wide_graph, **{**QUICK, "epochs": 1}, alpha=0), wide_graph, "test")
    wide_graph.meta = wide_graph.meta.replace(upstream=None)  # embeddings that somebody made: nothing to compare
    predict_clips(student, wide_graph, "test")


def test_what_cannot_be_transferred(toy_graph):
    with pytest.raises(InputError, match=r"transfer='avg' needs embeddings of 64 dimensions.*have 16: use"):
        train(toy_graph, **QUICK, alpha=0, transfer="avg")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalise": "clip"}, r"Bad normalise 'clip', expected one of \['corpus', 'speaker', 'utterance'\]"),
        ({"transfer": "mean"}, r"Bad transfer 'mean', expected one of \['add', 'avg', 'max', 'none'\]"),
        ({"augment": "tilt"}, r"^Bad augment 'tilt', expected none, or parts of shift\+masks$"),
        ({"augment": "none+masks"}, r"Bad augment 'none\+masks'"),
        *(({"augment": part}, f"Bad augment '{part}'") for part in ("gain", "speed", "noise")),
        ({"augment": 0.3}, "Bad augment 0.3, expected a valid string"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(InputError, match=message):
        TrainingSettings(**changes)
