"""The snippets of docs/bridges.md run one after the other, on clips and models that are made here."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_graph.upstream import Upstream

ROOT = Path(__file__).parents[1]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the clips, the model of others, and the database that the page names."""
    audformat = pytest.importorskip("audformat")
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rng = np.random.default_rng(0)
    parts = {}
    for split, speakers in (("train", "ab"), ("validation", "c"), ("test", "de")):
        columns: dict[str, list] = {"audio": [], "emotion": [], "speaker": []}
        (tmp_path / "wav" / split).mkdir(parents=True)
        for speaker, number in itertools.product(speakers, range(6)):
            file = tmp_path / "wav" / split / f"{speaker}{number}.wav"
            tone = np.sin(np.arange(16_000) * (0.1 + 0.1 * (number % 3))) + 0.1 * rng.normal(size=16_000)
            soundfile.write(file, 0.3 * tone, 16_000)
            columns["audio"].append({"bytes": file.read_bytes(), "path": file.name})
            columns["emotion"].append(("angry", "neutral", "calm")[number % 3])
            columns["speaker"].append(speaker)
        parts[split] = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio(16_000))
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "speech")
    theirs = Upstream.small()
    theirs.set_emotions(["angry", "calm", "other", "neutral"])
    theirs.model.save_pretrained(tmp_path / "models" / "theirs")
    theirs.extractor.save_pretrained(tmp_path / "models" / "theirs")

    database = audformat.Database("corpus")
    database.schemes["emotion"] = audformat.Scheme(labels=["angry", "neutral"])
    for split in ("train", "test"):
        database.splits[split] = audformat.Split(type=split)
        files = sorted(map(str, (tmp_path / "wav" / split).glob("*.wav")))[:2]
        table = audformat.Table(audformat.filewise_index(files), split_id=split)
        database[f"emotion.{split}"] = table
        table["emotion"] = audformat.Column(scheme_id="emotion")
        table["emotion"].set(["angry", "neutral"])
    database.save(str(tmp_path / "corpus"), storage_format="csv")
    return tmp_path


@pytest.mark.slow
def test_the_snippets_of_the_page_run(place, capsys):
    text = (ROOT / "docs" / "bridges.md").read_text("utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 8
    clips, names = None, {}
    for snippet in snippets:
        exec(snippet, names)
        if "from_datasets" in snippet:
            clips = names["table"]
        if "from_audformat" in snippet:  # later snippets need the table of the dataset again
            assert names["table"]["split"].tolist() == ["test", "test", "train", "train"]
            names["table"] = clips
    assert clips["split"].value_counts().to_dict() == {"train": 12, "dev": 6, "test": 12}
    assert names["upstream"].emotions == ["anger", "neutral"]
    assert "library_name" in (place / "students" / "mine" / "README.md").read_text("utf-8")
    assert (place / "results" / "db.yaml").exists()
    assert names["student"].info["settings"]["teacher"] == "gnn"
    assert (names["everywhere"].degrees()[names["everywhere"].test_mask] == 3).all()
    assert "'uar'" in capsys.readouterr().out
