"""A run at toy size, and its synthetic corpora."""

import shutil
import tarfile

import numpy as np
import pytest
import soundfile

from ser_graph.corpora.synthetic.making import make_corpus
from ser_graph.experiment import run
from ser_graph.experiment.recipe_files import make_recipe


@pytest.fixture(scope="session")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    make_corpus(folder / "source", "source", n_clips=48, n_speakers=6)
    make_corpus(folder / "target", "target", n_clips=63, n_speakers=9)
    return folder


@pytest.fixture(scope="session")
def speech(corpora, tmp_path_factory):
    """Three shards of two recordings, each of four clips of a synthetic corpus."""
    folder = tmp_path_factory.mktemp("shards") / "speech"
    folder.mkdir()
    clips = sorted((corpora / "source").rglob("*.wav"))[:24]
    for number in range(3):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for half in range(2):
                four = clips[8 * number + 4 * half :][:4]
                parts = [part for clip in four for part in (soundfile.read(clip)[0], np.zeros(16_000))]
                soundfile.write(folder / "recording.wav", np.concatenate(parts), 16_000)
                archive.add(folder / "recording.wav", f"{number}-{half}.wav")
    (folder / "recording.wav").unlink()
    return folder


@pytest.fixture(scope="session")
def toy_recipe(corpora):
    """A recipe of the smallest run, with changes such as `graph__n_neighbors=3`; from a folder of corpora."""

    def make(folder=corpora, **changes):
        values = {
            "name": "toy",
            "source": {"corpus": "synthetic", "root": str(folder / "source")},
            "target": {"corpus": "synthetic", "root": str(folder / "target")},
            "upstream": {
                "model": "small",
                "epochs": 1,
                "learning_rate": 1e-3,
                "seconds": 0.5,
                "freeze_feature_encoder": False,
            },
            "embedding": {"seconds": 1.0},
            "features": {"n_samples": 8192},
            "graph": {"epsilon": "none", "n_neighbors": 2},
            "students": {"n_neighbors": [2], "training": {"epochs": 2, "epoch_steps": 1, "precision": "float32"}},
        }
        for key, value in changes.items():
            part, _, name = key.partition("__")
            if name:
                values[part] = {**values[part], name: value}
            else:
                values[part] = value
        training = {"width": 0.25, **values["students"]["training"]}  # narrow, so that it is quick
        values["students"] = {**values["students"], "training": training}
        return make_recipe(values)

    return make


@pytest.fixture(scope="session")
def finished(toy_recipe, tmp_path_factory):
    """The folder of a finished run, and its results."""
    out = tmp_path_factory.mktemp("runs") / "toy"
    return out, run(toy_recipe(), out, progress=False)


@pytest.fixture
def a_copy(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "toy")
    return tmp_path / "toy"
