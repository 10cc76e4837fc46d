"""Spectrograms of many clips in a few small images."""

import base64
import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

from ser_graph.common.progress import progress_bar
from ser_graph.graph import ClipGraph

_SHEET = 100  # clips on a sheet: in an image per clip, the header would be as large as the content
_MANY = 2000  # with more clips, a spectrogram has half as many frames
_QUALITY = 50  # of JPEG: 2 KB a clip, 1 KB where there are many


def spectrogram_sheets(data: ClipGraph, rows: np.ndarray, progress: bool = True) -> dict[str, Any]:
    """Grey spectrograms of some clips, one below the other on sheets that a page can show.

    All have the same scale, so they can be compared: black is the 2nd percentile of the clips' log-mels, white the
    99.8th.

    Returns:
        `sheets`: JPEG pictures as data URIs, one for each `per_sheet` clips; `width` and `height` of a clip in
        pixels; `seconds` that the width shows; `shown`: seconds of each clip before its repetition or padding;
        `hertz`: lower and upper edge of the mel bins; `palette`: 256 colours for the greys.
    """
    settings = data.meta.features
    n_frames, n_mels = data.x.shape[1:]
    width = min(n_frames, 94 if len(rows) > _MANY else 187)
    low, high = _scale(data, rows)
    sheets = []
    blocks = range(0, len(rows), _SHEET)
    bar = progress_bar(blocks, desc="spectrograms", unit="sheet", disable=not progress or len(blocks) < 5)
    for pooled in (_pooled(data, rows[start : start + _SHEET], width) for start in bar):
        shares = np.nan_to_num(np.clip((pooled - low) / (high - low), 0, 1))
        greys = np.rint(shares * 255).astype(np.uint8)
        sheets.append(_picture(greys.transpose(0, 2, 1)[:, ::-1].reshape(-1, width)))  # low frequencies below
    seconds = settings.n_samples / settings.sample_rate
    duration = data.table["duration"].to_numpy(float)[rows]
    return {
        "sheets": sheets,
        "per_sheet": _SHEET,
        "width": width,
        "height": n_mels,
        "seconds": seconds,
        "shown": np.round(np.minimum(np.where(duration > 0, duration, seconds), seconds), 3).tolist(),
        "hertz": [settings.f_min, settings.f_max or settings.sample_rate / 2],
        "palette": (colormaps["magma"](np.arange(256), bytes=True)[:, :3]).tolist(),
    }


def _pooled(data: ClipGraph, rows: np.ndarray, width: int) -> np.ndarray:
    """[M, width, n_mels] float32: neighbouring frames averaged."""
    values = data.x[rows].float().numpy()
    starts = np.linspace(0, values.shape[1], width, endpoint=False).astype(int)
    counts = np.diff(np.append(starts, values.shape[1]))
    return np.add.reduceat(values, starts, axis=1) / counts[:, None]


def _scale(data: ClipGraph, rows: np.ndarray) -> tuple[float, float]:
    """The values for black and white, from up to 200 of the clips."""
    sample = np.sort(np.random.default_rng(0).choice(rows, min(len(rows), 200), replace=False))
    values = data.x[sample].float().numpy()
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, [2, 99.8]) if values.size else (0.0, 1.0)
    return float(low), float(max(high, low + 0.01))  # rounding does not change that silence is black


def _picture(greys: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(greys)).save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
