"""Shards of noise, and a small model."""

import io
import tarfile

import numpy as np
import pytest
import soundfile

from ser_graph.upstream import Upstream

RATE = 16_000


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
