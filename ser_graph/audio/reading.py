"""A sound file -> one mono waveform at the sampling rate and length of a model."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import torch
from torch import Tensor

from ser_graph.audio.settings import SAMPLE_RATE
from ser_graph_runtime.resampling import resampled
from ser_graph_runtime.sound import mono_blocks


def load_waveform(path: str | Path, sample_rate: int = SAMPLE_RATE, speed: float = 1.0) -> Tensor:
    """Read a file as mono (channels averaged) at `sample_rate`: float32 of shape [n_samples].

    Args:
        path: the file.
        sample_rate: in Hz.
        speed: in whole percent. At 0.9, the sound is slower and lower, as from a slow tape; see `with_copies`.
    """
    blocks = resampled(mono_blocks(path, sample_rate), round(100 * speed), 100)
    return torch.from_numpy(np.concatenate(list(blocks)))


def write_mp3(file: BinaryIO, waveform: np.ndarray, sample_rate: int) -> None:
    """Write a waveform [n] float32 as MP3 of about 37 kbit/s, which every browser plays."""
    soundfile.write(file, waveform, sample_rate, format="MP3", compression_level=0.5, bitrate_mode="VARIABLE")


def fit_length(waveform: Tensor, n_samples: int) -> Tensor:
    """Cut a waveform at its end, or repeat it from its start as in the paper, to exactly `n_samples`.

    Args:
        waveform: [n], not empty.
        n_samples: the length of the result.

    Examples:
        >>> fit_length(torch.tensor([1.0, 2.0, 3.0]), 5)
        tensor([1., 2., 3., 1., 2.])
        >>> fit_length(torch.tensor([1.0, 2.0, 3.0]), 2)
        tensor([1., 2.])
    """
    return waveform.repeat(-(-n_samples // len(waveform)))[:n_samples]
