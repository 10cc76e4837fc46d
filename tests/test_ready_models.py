"""The models of the package: their cards are true, their files are whole, and they hear what the cards say."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ser_graph as sg
from ser_graph.downstream import load_student
from ser_graph_runtime import Recogniser, ready_models
from ser_graph_runtime.ready import FOLDER, READY

ROOT = Path(__file__).parents[1]
NAMES = ["good", "small"]
LARGEST = {"good": 500_000, "small": 100_000}  # bytes
MOST_DIFFERENT = 0.1  # share of clips: 8-bit kernels of other processors round differently


@pytest.fixture(scope="module")
def making(load_benchmark):
    """The script that made the models."""
    return load_benchmark("ready")


def card_of(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def counts_of(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "docs" / "confusions" / f"ready-{name}.csv.xz", dtype={"speaker": str})


def test_the_names_are_those_of_the_weights():
    assert list(ready_models()) == [f"{READY}{name}" for name in NAMES]
    for name in NAMES:
        assert load_student(f"{READY}{name}").emotions == card_of(name)["emotions"]


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_the_one_of_the_card(name):
    card, path = card_of(name), FOLDER / f"{name}.onnx"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"]
    assert path.stat().st_size == card["bytes"] <= LARGEST[name]
    model = ready_models()[f"{READY}{name}"]
    assert model.precision == "int8" and model.n_params == card["n_params"]
    for key in ("emotions", "temperature", "threshold", "title", "licence", "attribution"):
        assert getattr(model, key) == card[key], key
    assert "not for commercial use" in model.licence


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_made_from_the_card(name, making):
    assert (FOLDER / f"{name}.md").read_text("utf-8") == making.as_text(card_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_scores_follow_from_the_counts(name, making):
    """Every UAR, and every interval over speakers, from how often each emotion was predicted."""
    counts = counts_of(name)
    clips = counts.loc[counts.index.repeat(counts["clips"])].reset_index(drop=True)
    seen = clips["corpus"].isin(making.CORPORA)
    found = [{"corpus": "all four", "gender": "all", **making.score(clips[seen])}, *making.scores(clips)]
    said = {(row["corpus"], row["gender"]): row for row in card_of(name)["scores"]}
    assert {(row["corpus"], row["gender"]) for row in found} == said.keys()
    for row in found:
        expected = said[row["corpus"], row["gender"]]
        keys = [
            "clips",
            "speakers",
            "uar",
            "chance",
            *(["uar_low", "uar_high"] if row["over"] == "speakers" else []),
        ]
        assert [row[key] for key in keys] == pytest.approx([expected[key] for key in keys])


@pytest.mark.parametrize("name", NAMES)
def test_test_speakers_are_in_no_training(name):
    tested = set(card_of(name)["test_speakers"])
    counts = counts_of(name)
    heard = counts[counts["corpus"].isin(["ravdess", "emovo", "nemo", "emodb"])]
    assert set(heard["speaker"]) == tested and len(tested) >= 10
    assert "ASED" in set(counts["corpus"])  # a corpus that no training used


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("corpus", "speaker"), [("emovo", "m1"), ("emodb", "08")])
def test_it_hears_what_the_card_says(name, corpus, speaker, real_corpus):
    table = sg.load_corpus(corpus, real_corpus(corpus))
    clips = table[(table["speaker"] == speaker) & table["emotion"].isin(card_of(name)["emotions"])]
    clips.attrs = table.attrs
    predictions = sg.predict(f"{READY}{name}", clips.assign(speaker=pd.Series(np.nan, clips.index, dtype=object)))
    counts = counts_of(name)
    said = counts[(counts["corpus"] == corpus) & (counts["speaker"] == f"{corpus}/{speaker}")]
    expected = said.set_index(["emotion", "predicted"])["clips"]
    found = predictions.value_counts(["emotion", "predicted"])
    assert len(predictions) == expected.sum() >= 30
    differ = found.sub(expected, fill_value=0).abs().sum() / 2
    assert differ <= MOST_DIFFERENT * len(predictions)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_weights_for_training_and_file_for_devices_are_one_student(name, real_corpus):
    """The file has 8 bits and the weights 32: nearly all clips get the same emotion."""
    table = sg.load_corpus("emovo", real_corpus("emovo"))
    clips = table[table["speaker"] == "m1"].assign(speaker=pd.Series(np.nan, dtype=object))
    clips.attrs = table.attrs
    weights, file = (sg.predict(model, clips) for model in (load_student(f"{READY}{name}"), f"{READY}{name}"))
    assert (weights["predicted"] == file["predicted"]).mean() > 0.85


def test_three_lines_are_enough():
    recogniser = Recogniser()
    answer = recogniser(np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    assert set(answer.probabilities) == set(card_of("good")["emotions"])


def test_the_command_names_model_and_licence(call, make_clips):
    folder = make_clips("a.wav")
    code, text, error = call("predict", folder / "a.wav")
    assert code == 0 and "a.wav" in text
    assert error.splitlines()[0].startswith("Model ready:good (") and "not for commercial use" in error
    code, text, error = call("predict", folder / "a.wav", "--model", "ready:huge")
    assert code == 1 and "Bad model 'ready:huge', expected a file or one of ['ready:good', 'ready:small']" in error
    code, text, _ = call("models")
    assert code == 0 and "ready:good" in text and "ready:small" in text and text.count("Licence") == 2
