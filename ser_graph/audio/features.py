"""Clip table -> one array of log-mel spectrograms; clips are read, computed and written one by one."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.clips import clip_paths, clip_speeds
from ser_graph.audio.log_mel import LogMel
from ser_graph.audio.mapped import give_back, map_array
from ser_graph.audio.reading import fit_length, load_waveform
from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.files import atomic_file
from ser_graph.common.progress import progress_bar
from ser_graph.errors import InputError, bad_value

_AT_ONCE = 1024  # clips computed between two releases of the pages of a mapped file


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
        settings: settings of the spectrograms; the paper's by default.
        root: the corpus folder; by default the folder from which the table was loaded.
        out: a `.npy` file for the spectrograms. The function writes each when it is made; the result is mapped from
            this file and takes no memory. By default the spectrograms stay in memory.
        dtype: ``"float16"`` (error below 0.01 in the logarithm) or ``"float32"``.
        progress: show a progress bar.

    Returns:
        [N, n_frames, n_mels] of `dtype`, in the order of the table.

    Raises:
        InputError: a clip cannot be read; the message names the clip.
    """
    if dtype not in ("float16", "float32"):
        raise bad_value("dtype", dtype, ["float16", "float32"])
    settings = settings or LogMelSettings()
    shape = (len(table), settings.n_frames, settings.n_mels)
    paths, speeds = clip_paths(table, root), clip_speeds(table)
    if out is None:
        spectrograms = np.empty(shape, dtype)
        _fill(spectrograms, paths, speeds, settings, progress)
        return torch.from_numpy(spectrograms)
    if not len(table):
        raise InputError("No clip to compute spectrograms of")
    out = Path(out).expanduser()
    with atomic_file(out) as part:
        mapped = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):  # reserve the space: on a full disk, a mapped write kills the process
            with part.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
        _fill(mapped, paths, speeds, settings, progress)
        mapped.flush()
    return map_array(out)


def _fill(
    target: np.ndarray, paths: list[Path], speeds: list[float], settings: LogMelSettings, progress: bool
) -> None:
    """Compute all spectrograms in threads: decoding and FFT both release the interpreter's lock."""
    log_mel = LogMel(settings)
    bar = progress_bar(total=len(paths), desc="log-mels", unit="clip", disable=not progress, delay=1)
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:

        def fill(row: int) -> None:
            waveform = load_waveform(paths[row], settings.sample_rate, speeds[row])
            target[row] = log_mel(fit_length(waveform, settings.n_samples)).numpy()

        with torch.inference_mode():
            for start in range(0, len(paths), _AT_ONCE):
                for _ in pool.map(fill, range(start, min(start + _AT_ONCE, len(paths)))):
                    bar.update()
                if isinstance(target, np.memmap):
                    give_back(target)
