"""benchmarks/pretraining.py: no label in the first part, and the two ways to learn labels after it."""

import pytest
import torch

import ser_graph as sg
from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.prediction import predict_clips, student_embeddings
from ser_graph.downstream.student import weights_hash

SETTINGS = TrainingSettings(method="baseline", width=0.125, epochs=2, epoch_steps=3, normalise="speaker")


@pytest.fixture(scope="module")
def pretraining(load_benchmark):
    """benchmarks/pretraining.py as a module, with a short first part."""
    module = load_benchmark("pretraining")
    module.EPOCHS = 2
    return module


def same_weights(one, two):
    return weights_hash(one) == weights_hash(two)


def test_labels_do_not_change_the_first_part(pretraining, toy_graph, tmp_path):
    first = pretraining.pretrained(toy_graph, SETTINGS, tmp_path / "one")
    assert [row["supervised_loss"] for row in first.info["history"]] == [0, 0]
    emotion = toy_graph.table["emotion"]
    train = toy_graph.train_mask.numpy()
    shuffled = emotion.where(~train, emotion.shift(1, fill_value="fear"))
    toy_graph.table = toy_graph.table.assign(emotion=shuffled)
    assert same_weights(first, pretraining.pretrained(toy_graph, SETTINGS, tmp_path / "two"))


def test_the_first_part_is_made_once(pretraining, toy_graph, tmp_path, monkeypatch):
    first = pretraining.pretrained(toy_graph, SETTINGS, tmp_path)
    monkeypatch.setattr(sg, "train", None)
    again = pretraining.pretrained(toy_graph, SETTINGS.replace(label_fraction=0.1, epochs=7), tmp_path)
    assert same_weights(first, again)


@pytest.mark.parametrize("backbone", ["resnet9", "cnn6"])
def test_the_probe_changes_the_last_layer_only(pretraining, toy_graph, tmp_path, backbone):
    settings = SETTINGS.replace(backbone=backbone)
    first = pretraining.pretrained(toy_graph, settings, tmp_path)
    found = pretraining.probed(pretraining.pretrained(toy_graph, settings, tmp_path), toy_graph, settings)
    assert torch.equal(student_embeddings(found, toy_graph), student_embeddings(first, toy_graph))
    right = predict_clips(found, toy_graph, "train")
    assert (right["predicted"] == right["emotion"]).mean() > 0.9


def test_fine_tuning_starts_from_the_first_part(pretraining, toy_graph, tmp_path):
    first = pretraining.pretrained(toy_graph, SETTINGS, tmp_path)
    found = pretraining.fine_tuned(first, toy_graph, SETTINGS)
    expected = sg.train(toy_graph, SETTINGS, init=first, progress=False)
    assert same_weights(found, expected)
    assert not same_weights(found, sg.train(toy_graph, SETTINGS, progress=False))
