"""Normalisation, augmentation and transfer as settings of a training."""

import numpy as np
import pytest
import torch

from ser_graph.downstream import TrainingSettings, load_student, predict, train
from ser_graph.downstream import training as training_module
from ser_graph.downstream.prediction import predict_logits
from ser_graph.errors import InputError

QUICK = {"epochs": 2, "batch_size": 75, "precision": "float32", "progress": False, "device": "cpu"}
AUGMENTED = {"spec_augment": 0.3, "gain": 6, "speed": 0.1}


def weights_equal(one, other):
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.state_dict().items())


@pytest.fixture
def wide_graph(toy_graph):
    """The toy graph with embeddings as wide as fc1."""
    toy_graph.emb = torch.nn.functional.pad(toy_graph.emb, (0, 240))
    return toy_graph


class KilledError(Exception):
    pass


@pytest.mark.parametrize("alpha", [0, 0.5])
def test_an_augmented_run_is_resumed_bit_for_bit(toy_graph, tmp_path, monkeypatch, alpha):
    how = {**QUICK, **AUGMENTED, "alpha": alpha}
    whole = train(toy_graph, **how)
    epoch = training_module._Run.epoch

    def killed_in_the_second(run):
        if len(run.history) == 1:
            raise KilledError
        return epoch(run)

    with monkeypatch.context() as patch:
        patch.setattr(training_module._Run, "epoch", killed_in_the_second)
        with pytest.raises(KilledError):
            train(toy_graph, checkpoint=tmp_path / "c.pt", **how)
    assert weights_equal(train(toy_graph, checkpoint=tmp_path / "c.pt", **how), whole)
    assert not weights_equal(train(toy_graph, **QUICK, alpha=alpha), whole)


def test_augmentation_does_not_touch_evaluation(toy_graph, monkeypatch):
    """What a training measures on dev is what the student that it returns says."""
    student = train(toy_graph, **QUICK, **AUGMENTED)
    assert student.augment is None
    rows = toy_graph.val_mask.nonzero()[:, 0]
    student.train()  # prediction puts it back into evaluation mode
    said = predict_logits(student, toy_graph.x, rows).argmax(1)
    row = student.info["history"][student.info["epoch"] - 1]
    assert float((said == toy_graph.y[rows]).double().mean()) == row["dev_accuracy"]
    assert torch.equal(predict_logits(student, toy_graph.x, rows), predict_logits(student, toy_graph.x, rows))


@pytest.mark.parametrize("name", sorted(AUGMENTED))
def test_each_augmentation_reaches_the_training(toy_graph, name):
    how = {**QUICK, "epochs": 1}
    plain = train(toy_graph, **how)
    assert not weights_equal(train(toy_graph, **how, **{name: AUGMENTED[name]}), plain)
    assert weights_equal(train(toy_graph, **how, **{name: 0.0}), plain)


def test_normalised_per_utterance_a_tilt_of_every_clip_changes_nothing(toy_graph, tmp_path):
    """Every clip through a filter of its own, in training and in testing."""
    how = {**QUICK, "normalise": "utterance"}
    toy_graph.x = toy_graph.x.float()
    student = train(toy_graph, **how)
    before = predict(student, toy_graph)
    layer = student.standardise
    seen = toy_graph.x[:75].double().numpy()
    np.testing.assert_allclose(layer.std, (seen - seen.mean(1, keepdims=True)).reshape(-1, 64).std(0), rtol=1e-5)
    toy_graph.x = toy_graph.x + 3 * torch.randn(120, 1, 64, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(predict(student, toy_graph).iloc[:, 3:], before.iloc[:, 3:], atol=1e-3)
    loaded = load_student(student.save(tmp_path / "student"))
    assert predict(loaded, toy_graph).equals(predict(student, toy_graph))
    assert train(toy_graph, **QUICK).standardise.normalise == "corpus"


@pytest.mark.parametrize("transfer", ["add", "max", "avg"])
def test_transfer_learns_from_the_embedding(wide_graph, tmp_path, transfer):
    """Spectrograms say nothing here: what is learnt came with the teacher's embeddings, which is what it needs."""
    wide_graph.x = torch.zeros_like(wide_graph.x)
    student = train(
        wide_graph, **{**QUICK, "epochs": 5, "batch_size": 25}, alpha=0, transfer=transfer, learning_rate=1e-2
    )
    assert student.info["needs_teacher"] is True
    assert student.info["settings"]["transfer"] == transfer
    found = predict(student, wide_graph, "test")
    assert (found["predicted"] == found["emotion"]).mean() > 0.9
    loaded = load_student(student.save(tmp_path / "student"))
    assert predict(loaded, wide_graph, "test").equals(found)
    rows = wide_graph.val_mask.nonzero()[:, 0]
    right = predict(student, wide_graph, "dev").eval("predicted == emotion").mean()
    assert len(rows) == 15
    assert right == pytest.approx(student.info["history"][student.info["epoch"] - 1]["dev_accuracy"])


def test_transfer_beside_a_graph_and_separate_passes(wide_graph):
    for semantics in ("together", "official"):
        student = train(wide_graph, **QUICK, alpha=0.1, transfer="add", layer="fc1", semantics=semantics)
        assert student.info["history"][0]["neighbour_loss"] > 0


def test_another_teacher_than_the_one_of_the_training(wide_graph):
    wide_graph.meta["upstream"] = {"fingerprint": "one"}
    student = train(wide_graph, **{**QUICK, "epochs": 1}, alpha=0, transfer="add")
    predict(student, wide_graph, "test")
    wide_graph.meta["upstream"] = {"fingerprint": "other"}
    with pytest.raises(InputError, match="embeddings are of another upstream than the student was trained with"):
        predict(student, wide_graph, "test")
    predict(train(wide_graph, **{**QUICK, "epochs": 1}, alpha=0), wide_graph, "test")
    wide_graph.meta["upstream"] = None  # embeddings that somebody made: nothing to compare
    predict(student, wide_graph, "test")


def test_what_cannot_be_transferred(toy_graph):
    with pytest.raises(InputError, match=r"transfer='avg' needs embeddings of 256 dimensions.*have 16: take"):
        train(toy_graph, **QUICK, transfer="avg")
    with pytest.raises(InputError, match="regression has nothing to learn where transfer"):
        TrainingSettings(transfer="add", regression=1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalise": "speaker"}, r"Bad normalise 'speaker', expected one of \['corpus', 'utterance'\]"),
        ({"transfer": "mean"}, "Bad transfer 'mean'"),
        ({"spec_augment": -0.1}, "Bad spec_augment -0.1, expected a share"),
        ({"speed": 1}, "Bad speed 1, expected a share from 0 to below 1"),
        ({"gain": 100}, "Bad gain 100, expected dB"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(InputError, match=message):
        TrainingSettings(**changes)
