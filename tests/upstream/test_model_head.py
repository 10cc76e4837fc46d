"""The head of a teacher that others fine-tuned: its names, its probabilities, and what fine-tuning keeps of it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

from ser_graph.audio.reading import load_waveform
from ser_graph.errors import InputError
from ser_graph.upstream import Upstream

LABELS = ["ang", "Happy", "calm", "neu", "other"]


@pytest.fixture
def folder(tiny_config, tmp_path):
    """A model of someone else, with a trained head and names of its classes in the way of the Hub."""
    torch.manual_seed(0)
    names = dict(enumerate(LABELS))
    config = tiny_config(id2label=names, label2id={label: code for code, label in names.items()})
    model = Wav2Vec2ForSequenceClassification(config)
    model.classifier.weight.data.normal_(0, 5)
    model.save_pretrained(tmp_path / "theirs")
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


@pytest.fixture
def table(make_clips):
    files = [f"{speaker}/{number}.wav" for speaker in "ab" for number in range(3)]
    root = make_clips(*files, seconds=0.5)
    emotions = ["anger", "calm", None] * 2
    split = ["train"] * 3 + ["dev"] * 3
    made = pd.DataFrame(
        {"emotion": emotions, "speaker": list("aaabbb"), "split": split}, pd.Index(files, name="file")
    )
    made.attrs["root"] = str(root)
    return made


def own_probabilities(folder, table) -> np.ndarray:
    """By transformers alone, clip by clip."""
    model = Wav2Vec2ForSequenceClassification.from_pretrained(folder).eval()
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    rows = []
    for file in table.index:
        waveform = load_waveform(f"{table.attrs['root']}/{file}").numpy()
        with torch.inference_mode():
            logits = model(**extractor([waveform], sampling_rate=16_000, return_tensors="pt")).logits
        rows.append(logits[0].double().softmax(0).numpy())
    return np.stack(rows)


def test_names_and_probabilities_are_those_of_the_model(folder, table):
    upstream = Upstream.from_pretrained(folder)
    assert upstream.emotions == ["anger", "happiness", "calm", "neutral", "other"]
    found = upstream.predict(table, seconds="own", progress=False)
    expected = own_probabilities(folder, table)
    np.testing.assert_allclose(found[[f"p_{one}" for one in upstream.emotions]], expected, atol=1e-5)
    assert found["predicted"].tolist() == [upstream.emotions[code] for code in expected.argmax(1)]
    assert found["emotion"].isna().sum() == 2 and found["speaker"].tolist() == list("aaabbb")


def test_a_label_map_merges_and_leaves_out_classes(folder, table, tmp_path):
    upstream = Upstream.from_pretrained(folder, labels={"calm": "neutral", "other": None})
    assert upstream.emotions == ["anger", "happiness", "neutral"]
    assert upstream.classes == ["anger", "happiness", "neutral", "neutral", None]
    found = upstream.predict(table, seconds="own", progress=False)
    raw = own_probabilities(folder, table)
    merged = np.stack([raw[:, 0], raw[:, 1], raw[:, 2] + raw[:, 3]], 1)
    np.testing.assert_allclose(
        found[["p_anger", "p_happiness", "p_neutral"]], merged / merged.sum(1, keepdims=True), atol=1e-5
    )
    again = Upstream.from_pretrained(upstream.save(tmp_path / "ours"))
    assert again.classes == upstream.classes
    pd.testing.assert_frame_equal(again.predict(table, seconds="own", progress=False), found)


def test_classes_without_names_need_a_map(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config |= {"id2label": {str(code): f"LABEL_{code}" for code in range(5)}, "label2id": {}}
    path.write_text(json.dumps(config))
    upstream = Upstream.from_pretrained(folder)
    assert upstream.emotions == []
    with pytest.raises(InputError, match="knows no emotions"):
        upstream.classify(torch.zeros(1, 8))
    assert Upstream.from_pretrained(folder, labels={"LABEL_1": "sad"}).emotions[1] == "sadness"


def test_an_untrained_head_has_no_emotions(folder, table):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(path).items() if not name.startswith("classifier.")}
    save_file(kept, path, {"format": "pt"})
    upstream = Upstream.from_pretrained(folder)
    assert upstream.emotions == []
    with pytest.raises(InputError, match="fine-tune the upstream"):
        upstream.predict(table)


def test_finetuning_keeps_what_the_head_knows(folder):
    upstream = Upstream.from_pretrained(folder)
    head = upstream.model.classifier.weight.detach().clone()
    upstream.set_emotions(["calm", "anger", "fear"], keep=True)
    assert torch.equal(upstream.model.classifier.weight[0], head[2])
    assert torch.equal(upstream.model.classifier.weight[1], head[0])
    assert upstream.emotions == ["calm", "anger", "fear"]
    other = Upstream.from_pretrained(folder)
    other.set_emotions(["calm", "anger", "fear"])
    assert not torch.equal(other.model.classifier.weight[0], head[2])


def test_mistakes_get_one_line(folder):
    with pytest.raises(InputError, match=r"has no class angry, found ang, Happy, calm, neu, other"):
        Upstream.from_pretrained(folder, labels={"angry": "anger"})
    with pytest.raises(InputError, match=r"expected \(N, 8\), those of the projector"):
        Upstream.from_pretrained(folder).classify(torch.zeros(2, 16))
