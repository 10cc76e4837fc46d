"""`config.json` and `preprocessor_config.json` of an upstream: what no model is made from."""

import json

import pytest
import transformers

from ser_graph.errors import InputError
from ser_graph.upstream import Upstream
from ser_graph.upstream.config import check_config

ODD = {
    "nested": ('{"a":' * 100_000, "its values are nested too deeply"),
    "nested lists": ("[" * 900 + "]" * 900, "its values are nested too deeply"),
    "digits": (f'{{"hidden_size": {"9" * 10_000}}}', "a whole number has more than 63 bits"),
    "a list": ("[]", "holds a list, expected an object of JSON"),
}
CONFIG = {
    "hidden_size": [2 * 10**9, -1, "x", 10**6],
    "num_hidden_layers": [3_000],
    "encoder_layers": [10**9],
    "num_labels": [10**6, 0],
    "id2label": [{str(number): "x" for number in range(1001)}, {"0": ["a"]}],
    "vocab_size": [10**12],
    "conv_dim": [[10**9, 16]],
    "model_type": [None, 3],
}
EXTRACTOR = {"feature_size": [10**6, 0], "n_fft": [10**9], "chunk_length": [10**5], "sampling_rate": ["x", 10**9]}


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    return tiny().save(tmp_path_factory.mktemp("tiny") / "upstream")


def refused(folder, file, content, said):
    stored = (folder / file).read_text("utf-8")
    (folder / file).write_text(content, "utf-8")
    try:
        with pytest.raises(InputError, match=said) as caught:
            Upstream.from_pretrained(folder)
    finally:
        (folder / file).write_text(stored, "utf-8")
    assert str(folder / file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "ser_graph.json"])
@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_json_or_too_deep_is_one_line(folder, file, odd):
    refused(folder, file, *ODD[odd])


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [("config.json", name, value) for name, values in CONFIG.items() for value in values]
    + [("preprocessor_config.json", name, value) for name, values in EXTRACTOR.items() for value in values],
)
def test_a_size_that_no_model_has_is_refused_before_a_model_is_made(folder, file, name, value):
    content = json.loads((folder / file).read_text("utf-8"))
    refused(folder, file, json.dumps({**content, name: value}), f"Bad {name}")


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM", "Whisper", "UniSpeechSat", "SEW", "Wav2Vec2Bert"])
def test_what_transformers_writes_is_accepted(tmp_path, kind):
    getattr(transformers, f"{kind}Config")().save_pretrained(tmp_path)
    for extractor in ("Wav2Vec2FeatureExtractor", "WhisperFeatureExtractor"):
        getattr(transformers, extractor)().save_pretrained(tmp_path)
        check_config(tmp_path)
