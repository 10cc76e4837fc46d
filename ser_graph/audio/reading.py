"""A sound file -> one mono waveform at the sampling rate and length of a model."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ser_graph.audio.settings import SAMPLE_RATE
from ser_graph.errors import bad_value
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


def fit_length(waveform: Tensor, n_samples: int, how: str = "repeat") -> Tensor:
    """Cut a waveform at its end, or lengthen it, to exactly `n_samples`.

    Args:
        waveform: [n], not empty.
        n_samples: the length of the result.
        how: ``"repeat"`` repeats a short clip from its start, as in the paper; ``"pad"`` adds silence at its end.

    Examples:
        >>> fit_length(torch.tensor([1.0, 2.0, 3.0]), 5)
        tensor([1., 2., 3., 1., 2.])
        >>> fit_length(torch.tensor([1.0, 2.0, 3.0]), 5, how="pad")
        tensor([1., 2., 3., 0., 0.])
        >>> fit_length(torch.tensor([1.0, 2.0, 3.0]), 2)
        tensor([1., 2.])
    """
    if how not in ("repeat", "pad"):
        raise bad_value("way to fit a length", how, ["repeat", "pad"])
    missing = n_samples - len(waveform)
    if missing <= 0:
        return waveform[:n_samples]
    if how == "pad":
        return torch.nn.functional.pad(waveform, (0, missing))
    return waveform.repeat(-(-n_samples // len(waveform)))[:n_samples]
