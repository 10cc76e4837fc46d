"""Datasets of Hugging Face as clip tables, without torchcodec."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_graph.corpora import from_datasets, load_corpus
from ser_graph.errors import InputError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def sound(number: int, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(number).normal(0, 0.1, 3200), 16_000, format=kind)
    return file.getvalue()


def dataset(n: int = 4, kind: str = "WAV", **further):
    """Sound in bytes, as the Hub stores it; labels as codes."""
    columns = {
        "audio": [{"bytes": sound(number, kind), "path": f"a b{number}.{kind.lower()}"} for number in range(n)],
        "label": [number % 2 for number in range(n)],
        "speaker_id": [f"s{number // 2}" for number in range(n)],
        "vector": [[0.5, 1.0]] * n,
        "age": list(range(20, 20 + n)),
        **further,
    }
    made = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio(16_000))
    return made.cast_column("label", datasets.ClassLabel(names=["angry", "happy"]))


def test_bytes_become_files_and_class_labels_become_words(tmp_path):
    table = from_datasets(dataset(), tmp_path / "clips")
    assert table["emotion"].tolist() == ["anger", "happiness", "anger", "happiness"]
    assert table["speaker"].tolist() == ["s0", "s0", "s1", "s1"]
    assert table["age"].tolist() == [20.0, 21.0, 22.0, 23.0]
    assert "vector" not in table
    assert table["duration"].tolist() == pytest.approx([0.2] * 4)
    assert (tmp_path / "clips" / table.index[0]).read_bytes() == sound(0)
    assert table.attrs["root"] == str(tmp_path / "clips")


def test_the_stored_table_loads_like_any_other(tmp_path):
    table = from_datasets(dataset(), tmp_path / "clips")
    again = load_corpus("table", tmp_path / "clips" / "clips.csv", split=None)
    pd.testing.assert_frame_equal(again, table)


def test_the_splits_of_a_dictionary_stay(tmp_path):
    parts = datasets.DatasetDict({"train": dataset(4), "validation": dataset(2), "test": dataset(2)})
    table = from_datasets(parts, tmp_path / "clips")
    assert table["split"].value_counts().to_dict() == {"train": 4, "dev": 2, "test": 2}
    assert {Path(file).parts[0] for file in table.index} == {"train", "validation", "test"}


def test_a_streamed_dataset(tmp_path):
    assert len(from_datasets(dataset().to_iterable_dataset(), tmp_path / "clips")) == 4


@pytest.mark.parametrize("kind", ["FLAC", "OGG"])
def test_the_format_comes_from_the_sound_where_no_name_tells(tmp_path, kind):
    unnamed = datasets.Dataset.from_dict({"audio": [{"bytes": sound(0, kind), "path": None}], "emotion": ["sad"]})
    table = from_datasets(unnamed.cast_column("audio", datasets.Audio()), tmp_path / "clips")
    assert table.index[0].endswith(f".{kind.lower()}")
    assert soundfile.info(tmp_path / "clips" / table.index[0]).frames == 3200


def test_files_on_the_disk_stay_where_they_are(make_clips):
    root = make_clips("a.wav", "b.wav")
    paths = [str(root / name) for name in ("a.wav", "b.wav")]
    local = datasets.Dataset.from_dict({"audio": paths, "emotion": ["sad", None]})
    table = from_datasets(local.cast_column("audio", datasets.Audio()))
    assert list(table.index) == ["a.wav", "b.wav"] and table.attrs["root"] == str(root)
    assert table["emotion"].fillna("").tolist() == ["sadness", ""]


def test_columns_have_other_names_and_hidden_labels_are_missing(tmp_path):
    renamed = dataset(2, style=["fear", "calm"], path=["x", "y"]).rename_column("audio", "sound")
    table = from_datasets(renamed, tmp_path / "clips", audio="sound", columns={"emotion": "style"})
    assert table["emotion"].tolist() == ["fear", "calm"]
    hidden = dataset(2).map(lambda row: {"label": -1})
    assert from_datasets(hidden, tmp_path / "hidden")["emotion"].isna().all()


def test_mistakes_get_one_line(tmp_path):
    mistakes = {
        "no column 'speech'": lambda: from_datasets(dataset(), tmp_path / "a", audio="speech"),
        "no column 'mood'": lambda: from_datasets(dataset(), tmp_path / "a", columns={"emotion": "mood"}),
        "'label' holds no sound; columns of the type Audio: audio": lambda: from_datasets(dataset(), audio="label"),
        "no sound file on this disk; give a folder": lambda: from_datasets(dataset()),
        "has no split": lambda: from_datasets(datasets.DatasetDict()),
        "Bad split 'unsupervised'": lambda: from_datasets({"unsupervised": dataset()}, tmp_path / "a"),
    }
    for message, call in mistakes.items():
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    broken = datasets.Dataset.from_dict({"audio": [{"bytes": b"no sound", "path": None}], "emotion": ["sad"]})
    with pytest.raises(InputError, match="row 0 of the dataset cannot be read"):
        from_datasets(broken.cast_column("audio", datasets.Audio()), tmp_path / "a")
    assert not (tmp_path / "a").exists()
