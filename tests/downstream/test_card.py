"""The model card of a stored student, read by the library that uploads it."""

import ast
import re

import pytest
import torch

from ser_graph.audio.settings import LogMelSettings
from ser_graph.downstream import Student, load_student
from ser_graph.downstream.card import model_card

METRICS = {"uar": 0.5, "uar_low": 0.4, "uar_high": 0.6, "accuracy": 0.25, "n_test": 1200, "n_test_speakers": 6}


def student(**info) -> Student:
    torch.manual_seed(0)
    history = [
        {"epoch": 1, "dev_uar": 0.25, "dev_accuracy": 0.5},
        {"epoch": 2, "dev_uar": 0.75, "dev_accuracy": 1.0},
    ]
    return Student(
        "resnet9", ["anger", "fear"], LogMelSettings(n_samples=8192), {"history": history, "epoch": 2} | info
    )


def test_the_folder_has_a_card_and_loads(tmp_path):
    folder = student(corpus="emovo").save(tmp_path / "student", card=True)
    assert {file.name for file in folder.iterdir()} == {"model.json", "model.safetensors", "README.md"}
    assert load_student(folder).emotions == ["anger", "fear"]
    student().save(folder)  # without a card, the old card is gone
    assert not (folder / "README.md").exists()


def test_the_hub_reads_the_header(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    folder = student(corpus="emovo").save(tmp_path / "s", card=True, license="cc-by-nc-4.0", metrics=METRICS)
    data = hub.ModelCard.load(folder / "README.md").data
    assert (data.license, data.language, data.pipeline_tag) == ("cc-by-nc-4.0", ["it"], "audio-classification")
    assert "speech-emotion-recognition" in data.tags and data.library_name == "ser-graph"
    found = {(one.metric_type, one.dataset_name, one.dataset_split): one.metric_value for one in data.eval_results}
    assert found == {("recall", "EMOVO", "test"): 0.5, ("accuracy", "EMOVO", "test"): 0.25}


def test_what_a_reader_finds():
    card = model_card(student(corpus="emovo"), metrics=METRICS)
    assert "| UAR (unweighted average recall) | 50.0 % (40.0 to 60.0) |" in card
    assert "| accuracy | 25.0 % |" in card and "1,200 clips of 6 speakers" in card
    assert "voice.fub.it" in card and "terms of the corpus decide" in card
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    ast.parse(snippet)
    dev = model_card(student())
    assert "| UAR (unweighted average recall) | 75.0 % |" in dev and "these numbers are too good" in dev
    assert "## Results" not in model_card(student(history=[]))


def test_a_name_of_a_corpus_is_text_only():
    card = model_card(student(corpus="a\n---\n# <b>|`x`"), metrics=METRICS)
    header = card.split("---\n")[1]
    assert header.count("\n") == len(re.findall(r"^[\w-]+: ", header, re.MULTILINE))
    assert not re.search(r"^# <b>", card, re.MULTILINE)
