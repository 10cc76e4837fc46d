"""What a file says of itself is checked before it is believed."""

import json

import pytest

from ser_graph_runtime import InputError
from ser_graph_runtime.metadata import FORMAT, checked_metadata
from ser_graph_runtime.onnx_model import OnnxModel

GOOD = {
    "format": FORMAT,
    "version": 1,
    "emotions": ["anger", "fear"],
    "features": {"n_samples": 2048, "sample_rate": 16_000, "n_mels": 16},
    "normalise": "corpus",
    "precision": "float32",
    "info": {},
    "n_params": 10,
    "macs": 20,
}


def test_optional_values_are_filled_in():
    assert checked_metadata(json.dumps(GOOD), "a.onnx") == {
        **GOOD,
        "temperature": 1.0,
        "threshold": 0.0,
        "title": "",
        "licence": "",
        "attribution": "",
    }
    more = {"temperature": 2, "threshold": 0.5, "title": "Gefühle", "exported_with": {"torch": "2"}}
    assert checked_metadata(json.dumps(GOOD | more), "a.onnx").items() >= (GOOD | more).items()


def features(**changes):
    return {"features": GOOD["features"] | changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"emotions": []},
        {"emotions": "anger"},
        {"emotions": ["anger", "anger"]},
        {"emotions": ["anger", 3]},
        {"emotions": ["anger", ""]},
        {"emotions": [str(number) for number in range(1001)]},
        {"features": None},
        features(n_samples=0),
        features(n_samples=2**40),
        features(n_samples=2048.0),
        features(n_samples=True),
        features(sample_rate=100),
        features(sample_rate=10**7),
        features(n_mels=None),
        {"normalise": "nothing"},
        {"normalise": ["corpus"]},
        {"precision": "float16"},
        {"info": []},
        {"n_params": -1},
        {"macs": "many"},
        {"temperature": 0},
        {"temperature": "1"},
        {"temperature": 10**400},
        {"threshold": 1.1},
        {"threshold": -0.1},
        {"threshold": True},
        {"title": 7},
        {"licence": "x" * 10_001},
        {"attribution": None},
    ],
)
def test_wrong_values_are_one_short_line(changes):
    (name,) = changes
    with pytest.raises(
        InputError, match=f"^a.onnx has a bad {name} in its metadata, .*, expected .*again$"
    ) as caught:
        checked_metadata(json.dumps(GOOD | changes), "a.onnx")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "7",
        '{"format": "other"}',
        "[" * 100_000,
        json.dumps(GOOD | {"threshold": float("nan")}),
    ],
)
def test_what_is_no_metadata_is_of_another_program(text):
    with pytest.raises(InputError, match=r"a\.onnx was not made by 'ser-graph export'"):
        checked_metadata(text, "a.onnx")


@pytest.mark.parametrize("missing", ["emotions", "features", "macs"])
def test_a_missing_value_is_another_version(missing):
    some = {name: value for name, value in GOOD.items() if name != missing}
    with pytest.raises(InputError, match=r"another version of ser_graph \(format 1, expected 1\)"):
        checked_metadata(json.dumps(some), "a.onnx")


@pytest.mark.parametrize(
    "changes",
    [
        {"emotions": ["anger", "fear", "joy"]},
        {"features": {"n_samples": 4096, "sample_rate": 16_000, "n_mels": 16}},
        {"normalise": "speaker"},
    ],
)
def test_a_network_that_is_another_than_its_metadata_say(variant, changes):
    with pytest.raises(
        InputError, match=r"variant\.onnx does not fit its metadata: it takes \{'waveform': \[2048\]\}"
    ):
        OnnxModel(variant(**changes))
