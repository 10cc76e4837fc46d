"""A file of any common kind -> one mono waveform at the rate and length that a model wants."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.resampling import resampled
from ser_graph.audio.settings import SAMPLE_RATE
from ser_graph.audio.sound import mono_blocks
from ser_graph.errors import InputError, bad_value


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
        how: a short clip is repeated from its start (``"repeat"``, as in the paper) or followed by silence
            (``"pad"``).

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
    """The path of every clip of a table, in its order; a copy's is that of its original.

    Args:
        table: a clip table; its index holds the files relative to the corpus folder.
        root: the corpus folder; by default the one the table was loaded from (``table.attrs["root"]``).

    Raises:
        InputError: the first clip is not there: the folder was moved, or its name was lost on the way.
    """
    folder = Path(root if root is not None else table.attrs.get("root", ".")).expanduser()
    files = table.index.to_series() if "copy_of" not in table else table["copy_of"].fillna(table.index.to_series())
    paths = [folder / str(file) for file in files]
    if paths and not paths[0].exists():
        raise InputError(f"No clip {paths[0]}; give the folder that the clip table belongs to as root=")
    return paths


def clip_speeds(table: pd.DataFrame) -> list[float]:
    """The speed at which every clip of a table is read: 1, but for copies; see `with_copies`."""
    if "copy_of" not in table:  # a column `speed` of a corpus's own means something else
        return [1.0] * len(table)
    return table["speed"].where(table["copy_of"].notna(), 1.0).tolist()
