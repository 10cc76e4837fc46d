"""Whole numbers that no file and no user needs, wherever they come in."""

import json
import types

import numpy as np
import pandas as pd
import pytest

from ser_graph.common.files import parse_json, read_json
from ser_graph.common.numbers import whole_number
from ser_graph.common.settings import parse_changes, parse_toml
from ser_graph.corpora import load_table
from ser_graph.downstream import TrainingSettings
from ser_graph.errors import InputError, bad_value
from ser_graph_runtime.streaming import window_samples
from ser_graph_runtime.streams import mono_stream

HUGE = "9" * 10_000
WORDS = "a whole number has more than 63 bits"


@pytest.mark.parametrize("text", [HUGE, f"-{HUGE}", "9" * 21, str(2**63), str(-(2**63) - 1)])
def test_more_than_63_bits_are_refused_in_text(text):
    for reader, content in (
        (whole_number, text),
        (parse_json, f'{{"a": [{text}]}}'),
        (parse_toml, f"a = [{text}]"),
    ):
        with pytest.raises(ValueError, match=f"^{WORDS}$"):
            reader(content)


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, -(2**63)])
def test_63_bits_are_read(number):
    assert whole_number(str(number)) == number
    assert parse_json(json.dumps([number])) == [number] and parse_toml(f"a = {number}") == {"a": number}


def test_files_and_settings_say_it_in_one_line(tmp_path):
    (tmp_path / "a.json").write_text(HUGE)
    with pytest.raises(InputError, match=rf"a\.json is not readable JSON \({WORDS}\)"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match=WORDS) as caught:
        parse_changes([f"epochs={HUGE}"])
    assert len(str(caught.value)) < 400
    with pytest.raises(InputError, match=f"^Bad epochs: {WORDS}$"):
        TrainingSettings(epochs=int("9" * 4_000) ** 3)
    assert "a huge number" in str(bad_value("backbone", int("9" * 4_000) ** 3, ["cnn6"]))


@pytest.mark.parametrize("column", ["speaker", "duration", "age", "note"])
def test_tables_of_text_hold_it_as_text_or_refuse_it(make_clips, tmp_path, column):
    """Python's own words never appear."""
    root = make_clips("a.wav")
    path = root / "clips.csv"
    path.write_text(f"file,emotion,{column}\na.wav,fear,{HUGE}\n")
    try:
        table = load_table(path)
        assert column in ("speaker", "note") and table[column].tolist() == [HUGE]
    except InputError as error:
        assert "digits" not in str(error) and len(str(error)) < 500
    (root / "clips.jsonl").write_text(f'{{"file": "a.wav", "emotion": "fear", "{column}": {HUGE}}}')
    with pytest.raises(InputError, match=rf"clips\.jsonl is not jsonl \(line 1: {WORDS}\)"):
        load_table(root / "clips.jsonl")


@pytest.mark.parametrize("column", ["file", "emotion", "speaker", "split", "duration", "note"])
def test_frames_of_huge_numbers_are_refused(column):
    frame = pd.DataFrame({"file": ["a.wav"], "emotion": ["fear"], column: [int("9" * 4_000) ** 3]}, dtype=object)
    with pytest.raises(InputError, match=f"^{column} of row 0 is a huge number"):
        load_table(frame)


def test_sound_of_a_huge_rate_or_window_is_refused():
    samples, huge = np.zeros(100), int("9" * 4_000) ** 3
    with pytest.raises(InputError, match=r"^Bad rate a huge number"):
        list(mono_stream((samples, huge), None, 16_000))
    with pytest.raises(InputError, match=r"^Bad window a huge number"):
        window_samples(types.SimpleNamespace(features={"sample_rate": 16_000, "n_samples": 48_000}), huge, None)
