"""A file of any common kind -> one mono waveform at the rate and length that a model wants."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from torch import Tensor, nn

from ser_graph.audio.torchaudio_import import torchaudio
from ser_graph.errors import InputError, bad_value

SAMPLE_RATE = 16_000
POINTER_START = b"version https://git-lfs"  # the text that git-lfs leaves in place of a file


def read_audio(path: str | Path) -> tuple[np.ndarray, int]:
    """Decode a whole file (anything libsndfile reads: wav, flac, ogg, mp3).

    Args:
        path: the file.

    Returns:
        float32 samples of shape [n_samples, n_channels] in -1..1, and the sampling rate in Hz.

    Raises:
        InputError: the file is missing, a git-lfs pointer, not audio, empty, or holds NaN.
    """
    path = Path(path)
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: a .raw file tells no rate
        raise InputError(_why_unreadable(path, error)) from None
    if not len(samples):
        raise InputError(f"{path} holds no samples")
    if not np.isfinite(samples).all():
        raise InputError(f"{path} holds NaN or infinite samples")
    return samples, rate


def _why_unreadable(path: Path, error: Exception) -> str:
    if not path.exists():
        return f"No file {path}"
    if path.is_dir():
        return f"{path} is a folder, expected an audio file"
    with path.open("rb") as file:
        start = file.read(len(POINTER_START))
    if not start:
        return f"{path} is empty (0 bytes)"
    if start == POINTER_START:
        return f"{path} is a git-lfs pointer, not audio; fetch the real file with 'git lfs pull'"
    return f"{path} cannot be decoded as audio ({str(error).rpartition(':')[2].strip().rstrip('.')})"


def load_waveform(path: str | Path, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Read a file as mono (channels averaged) at `sample_rate`: float32 of shape [n_samples]."""
    samples, rate = read_audio(path)
    waveform = torch.from_numpy(samples.mean(axis=1))
    return waveform if rate == sample_rate else _resampler(rate, sample_rate)(waveform)


@functools.lru_cache(maxsize=32)
def _resampler(rate: int, sample_rate: int) -> nn.Module:
    return torchaudio.transforms.Resample(rate, sample_rate)


def fit_length(waveform: Tensor, n_samples: int, how: str = "repeat") -> Tensor:
    """Cut a waveform at its end, or lengthen it, to exactly `n_samples`.

    Args:
        waveform: [n], not empty.
        n_samples: the length wanted.
        how: a short clip is said again from its start (``"repeat"``, as in the paper) or followed by
            silence (``"pad"``).

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


def clip_paths(table: pd.DataFrame, root: str | Path | None = None) -> list[Path]:
    """The path of every clip of a table, in its order.

    Args:
        table: a clip table; its index holds the files relative to the corpus folder.
        root: the corpus folder; by default the one the table was loaded from (``table.attrs["root"]``).

    Raises:
        InputError: the first clip is not there: the folder was moved, or its name was lost on the way.
    """
    folder = Path(root if root is not None else table.attrs.get("root", ".")).expanduser()
    paths = [folder / str(file) for file in table.index]
    if paths and not paths[0].exists():
        raise InputError(f"No clip {paths[0]}; give the folder that the clip table belongs to as root=")
    return paths
