"""Clip table -> one array of log-mel spectrograms, read, computed and written in a stream."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ser_graph.audio.log_mel import LogMel, LogMelSettings
from ser_graph.audio.mapped import give_back, map_array, read_rows
from ser_graph.audio.reading import clip_paths, fit_length, load_waveform
from ser_graph.errors import InputError, bad_value
from ser_graph.files import atomic_file
from ser_graph.processes import ALONE, Processes

NORMALISATIONS = ("corpus", "utterance")
_AT_ONCE = 1024  # clips that are computed between two releases of a mapped file's pages


def log_mels(
    table: pd.DataFrame,
    settings: LogMelSettings | None = None,
    *,
    root: str | Path | None = None,
    out: str | Path | None = None,
    dtype: str = "float16",
    progress: bool = True,
) -> Tensor:
    """Log-mel spectrograms of every clip of a table.

    Args:
        table: clip table of N clips.
        settings: what the spectrograms look like; the paper's by default.
        root: the corpus folder, by default the one that the table was loaded from.
        out: a `.npy` file to write them to as they are made; the result is then mapped from that file
            and takes no memory. By default they stay in memory.
        dtype: ``"float16"`` (error below 0.01 in the logarithm) or ``"float32"``.
        progress: show a progress bar.

    Returns:
        [N, n_frames, n_mels] of `dtype`, in the order of the table.

    Raises:
        InputError: a clip cannot be read; the message names it.
    """
    if dtype not in ("float16", "float32"):
        raise bad_value("dtype", dtype, ["float16", "float32"])
    settings = settings or LogMelSettings()
    shape = (len(table), settings.n_frames, settings.n_mels)
    paths = clip_paths(table, root)
    if out is None:
        spectrograms = np.empty(shape, dtype)
        _fill(spectrograms, paths, settings, progress)
        return torch.from_numpy(spectrograms)
    if not len(table):
        raise InputError("No clip to compute spectrograms of")
    out = Path(out).expanduser()
    with atomic_file(out) as part:
        mapped = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):  # take the space now: a full disk would kill a mapped write later
            with part.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
        _fill(mapped, paths, settings, progress)
        mapped.flush()
    return map_array(out)


def _fill(target: np.ndarray, paths: list[Path], settings: LogMelSettings, progress: bool) -> None:
    """Compute all spectrograms, a clip a thread: decoding and FFT both release the interpreter's lock."""
    log_mel = LogMel(settings)
    bar = tqdm(total=len(paths), desc="log-mels", unit="clip", disable=not progress, delay=1)
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:

        def fill(row: int) -> None:
            waveform = load_waveform(paths[row], settings.sample_rate)
            target[row] = log_mel(fit_length(waveform, settings.n_samples)).numpy()

        with torch.inference_mode():
            for start in range(0, len(paths), _AT_ONCE):
                for _ in pool.map(fill, range(start, min(start + _AT_ONCE, len(paths)))):
                    bar.update()
                if isinstance(target, np.memmap):
                    give_back(target)


class Standardise(nn.Module):
    """Per-bin standardisation, the first layer of every student: ``(x - mean) / std`` over [..., n_mels].

    Mean and deviation are fitted on the training clips and stored with the model, so that training, testing
    and the device use the same numbers.

    With ``normalise="utterance"`` each clip's own mean spectrum (per mel bin, over its frames) is subtracted
    first, in fitting as in use. A microphone, a room and the average colour of a voice are nearly constant
    filters, so nearly constant summands of a log-mel spectrogram; cepstral mean normalisation (Atal, JASA 1974)
    does the same to cepstra. What the mean says of loudness is lost too. The clip's own deviation is kept: how
    far loudness swings within an utterance is itself a sign of emotion, and dividing by it would raise the
    noise of bins in which nothing happens.

    Args:
        n_mels: number of mel bins.
        normalise: ``"corpus"`` (the fitted numbers alone) or ``"utterance"``.

    Examples:
        >>> layer = Standardise.fit(torch.tensor([[[0.0, 1.0], [2.0, 1.0]]]))
        >>> layer(torch.tensor([[[3.0, 1.0]]]))
        tensor([[[2., 0.]]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_mels: int = 64, normalise: str = "corpus") -> None:
        super().__init__()
        if normalise not in NORMALISATIONS:
            raise bad_value("normalise", normalise, NORMALISATIONS)
        self.normalise = normalise
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))

    def forward(self, x: Tensor) -> Tensor:
        """Standardise spectrograms of any float type; the result is float32."""
        return (self._centred(x.float()) - self.mean) / self.std

    def _centred(self, x: Tensor) -> Tensor:
        return x - x.mean(-2, keepdim=True) if self.normalise == "utterance" else x

    @classmethod
    def fit(
        cls,
        x: Tensor,
        rows: Tensor | None = None,
        normalise: str = "corpus",
        *,
        group: Processes = ALONE,
    ) -> "Standardise":
        """Mean and deviation per mel bin over all frames of some clips, read once, in blocks.

        Args:
            x: [N, n_frames, n_mels] spectrograms, possibly mapped from disk.
            rows: [M] int64 indices of the training clips, or their [N] bool mask; None takes all.
            normalise: ``"corpus"`` or ``"utterance"``, see `Standardise`.
            group: the processes that read a share each.
        """
        rows = torch.arange(len(x)) if rows is None else rows
        if rows.dtype == torch.bool:
            rows = rows.nonzero()[:, 0]
        if not len(rows):
            raise InputError("No training clip to fit the standardisation on; check the split")
        layer = cls(x.shape[-1], normalise)
        share = rows[group.share(len(rows))]
        # About a clip's mean, which is near the mean of all: squares about 0 would lose digits. All processes take
        # the same clip.
        near = layer._centred(x[rows[:1]].double()).mean((0, 1))
        total, squares = torch.zeros(2, x.shape[-1], dtype=torch.float64)
        for block in _blocks(x, share):
            deviation = layer._centred(block) - near
            total += deviation.sum((0, 1))
            squares += deviation.square_().sum((0, 1))
        n = len(rows) * x.shape[1]
        total, squares = group.add(torch.stack([total, squares])) / n
        layer.mean.copy_(near + total)
        # A bin that never changes carries nothing: it becomes 0 rather than NaN. What is left of it beside a
        # clip's own mean is rounding, which must not be made large either.
        variance = (squares - total.square()).clamp_min(0)
        layer.std.copy_(variance.sqrt().clamp_min(1e-5 if normalise == "corpus" else 1e-2))
        return layer


def _blocks(x: Tensor, rows: Tensor, size: int = 256) -> Iterator[Tensor]:
    for start in range(0, len(rows), size):
        yield read_rows(x, rows[start : start + size]).double()
