"""Tiny models, and shards of noise."""

import io
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

from ser_graph.upstream import Upstream

RATE = 16_000


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., Wav2Vec2Config]:
    """From changes to the configuration of a tiny wav2vec 2.0."""
    small = {
        "conv_dim": (16, 16),
        "conv_kernel": (10, 8),
        "conv_stride": (5, 8),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 2,
        "classifier_proj_size": 8,
        "feat_extract_norm": "layer",
    }
    return lambda **changes: Wav2Vec2Config(**small | changes)


@pytest.fixture(scope="session")
def tiny(tiny_config: Callable[..., Wav2Vec2Config]) -> Callable[..., Upstream]:
    """From a random seed and changes of the configuration to a tiny upstream."""

    def make(seed: int = 0, **changes: Any) -> Upstream:
        torch.manual_seed(seed)
        model = Wav2Vec2ForSequenceClassification(tiny_config(**changes))
        return Upstream(model, Wav2Vec2FeatureExtractor(return_attention_mask=True))

    return make


def _recording(seed, seconds=2):
    noise = 0.1 * np.random.default_rng(seed).normal(size=seconds * RATE).astype("float32")
    return np.concatenate([noise, np.zeros(RATE, "float32"), noise])


def _wav(samples, rate=RATE):
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="FLOAT")
    return content.getvalue()


def _write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def recording():
    """From a seed to twice some seconds of noise, with a second of silence between."""
    return _recording


@pytest.fixture
def wav():
    """From samples to the bytes of a WAV file."""
    return _wav


@pytest.fixture
def write_tar():
    """Write a tar file of members, bytes by name."""
    return _write_tar


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(3):
        members = {f"{number}{letter}.wav": _wav(_recording(10 * number + ord(letter))) for letter in "ab"}
        _write_tar(folder / f"{number}.tar", {**members, f"{number}a.json": b"{}"})
    return folder


@pytest.fixture
def upstream():
    return Upstream.small()
