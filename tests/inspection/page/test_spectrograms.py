import base64
import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from ser_graph.inspection.page import spectrograms
from ser_graph.inspection.page.spectrograms import spectrogram_sheets

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def smooth_graph(toy_graph):
    """Spectrograms without edges, which JPEG keeps: each rises in time or frequency, by an amount of its own."""
    rng = np.random.default_rng(1)
    time, frequency = np.linspace(0, 1, 373)[:, None], np.linspace(0, 1, 64)
    slopes = rng.uniform(-2, 2, (3, 120, 1, 1))
    x = slopes[0] + slopes[1] * time + slopes[2] * frequency + np.sin(5 * time + slopes[0])
    toy_graph.x = torch.from_numpy(x).float()
    return toy_graph


def pictures(result):
    """[M, width, n_mels] of 0 to 1: time onwards, frequency upwards, as `x` has them."""
    clips = []
    for sheet in result["sheets"]:
        kind, content = sheet.split(",")
        assert kind == "data:image/jpeg;base64"
        greys = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        assert greys.shape[1] == result["width"]
        clips += list(greys.reshape(-1, result["height"], result["width"]))
    return np.array(clips).transpose(0, 2, 1)[:, :, ::-1] / 255


def expected(x, width):
    """The same by plain means; the scale is exact up to 200 clips."""
    n = x.shape[1]
    ends = [pixel * n // width for pixel in range(width + 1)]
    pooled = np.stack([x[:, a:b].mean(1) for a, b in pairwise(ends)], axis=1)
    low, high = np.percentile(x, [2, 99.8])
    return ((pooled - low) / (high - low)).clip(0, 1)


@pytest.mark.parametrize(("many", "width"), [(120, 187), (119, 94)])
def test_every_clip_is_at_its_place_and_its_frames_are_averaged(smooth_graph, monkeypatch, many, width):
    monkeypatch.setattr(spectrograms, "_MANY", many)
    rows = np.random.default_rng(0).permutation(120)
    result = spectrogram_sheets(smooth_graph, rows, progress=False)
    assert (result["width"], result["height"], result["per_sheet"], len(result["sheets"])) == (width, 64, 100, 2)
    shown = pictures(result)
    assert len(shown) == 120
    error = np.abs(shown - expected(smooth_graph.x.numpy()[rows], width))
    assert error.mean() < 0.01 and error.max() < 0.08


def test_low_frequencies_are_at_the_bottom(toy_graph):
    toy_graph.x = torch.zeros(120, 31, 64)
    toy_graph.x[:, :, :8] = 1  # low frequencies
    toy_graph.x[:, 16:, :] += 1  # later
    result = spectrogram_sheets(toy_graph, np.arange(1), progress=False)
    content = base64.b64decode(result["sheets"][0].split(",")[1])
    picture = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert picture[60:, :].mean() > picture[:50, :].mean() + 50
    assert picture[:, 20:].mean() > picture[:, :10].mean() + 50


def test_greys_can_be_compared_among_clips_and_sheets(toy_graph):
    levels = np.random.default_rng(0).permutation(120)
    toy_graph.x = torch.from_numpy(levels)[:, None, None].expand(120, 31, 64).half()
    greys = pictures(spectrogram_sheets(toy_graph, np.arange(120), progress=False)).mean((1, 2))
    inside = (levels > 3) & (levels < 117)  # beyond the percentiles, all is black or white
    assert (np.diff(greys[inside][levels[inside].argsort()]) > 0).all()
    assert greys[levels.argmin()] < 0.01 and greys[levels.argmax()] > 0.99


def test_other_clips_of_the_graph_do_not_matter(smooth_graph):
    rows = np.array([4, 50, 7])
    before = spectrogram_sheets(smooth_graph, rows, progress=False)
    smooth_graph.x[np.setdiff1d(np.arange(120), rows)] = 100.0
    assert spectrogram_sheets(smooth_graph, rows, progress=False) == before


def test_as_much_is_shown_as_the_clip_lasts(toy_graph):
    toy_graph.table.loc[toy_graph.table.index[:5], "duration"] = [np.nan, 0.2, 0.512, 3.0, 0.0]
    result = spectrogram_sheets(toy_graph, np.array([5, 4, 3, 2, 1, 0]), progress=False)
    assert result["seconds"] == pytest.approx(8192 / 16_000)
    assert result["shown"] == [0.5, 0.512, 0.512, 0.512, 0.2, 0.512]  # unknown and 0: all of it


def test_short_spectrograms_are_not_stretched(toy_graph):
    result = spectrogram_sheets(toy_graph, np.array([3]), progress=False)
    assert result["width"] == 31 and pictures(result).shape == (1, 31, 64)


@pytest.mark.parametrize("level", [0.0, -13.8, -16.4])
def test_silence_is_black(toy_graph, monkeypatch, level):
    monkeypatch.setattr(spectrograms, "_MANY", 0)
    toy_graph.x = torch.full((120, 373, 64), level)
    assert pictures(spectrogram_sheets(toy_graph, np.arange(3), progress=False)).max() < 0.01


def test_what_is_not_a_number_is_black_and_spoils_nothing_else(smooth_graph):
    rows = np.arange(20)
    before = pictures(spectrogram_sheets(smooth_graph, rows, progress=False))
    smooth_graph.x[3] = torch.nan
    smooth_graph.x[5, :100] = -torch.inf
    after = pictures(spectrogram_sheets(smooth_graph, rows, progress=False))
    assert after[3].max() < 0.05 and after[5, :45].max() < 0.05
    others = np.delete(rows, [3, 5])
    assert np.abs(after - before)[others].max() < 0.1
    smooth_graph.x[:] = torch.nan
    assert pictures(spectrogram_sheets(smooth_graph, rows, progress=False)).max() < 0.01


def test_edges_of_the_bins_and_colours_of_the_greys(toy_graph):
    result = spectrogram_sheets(toy_graph, np.arange(2), progress=False)
    assert result["hertz"] == [toy_graph.meta.features.f_min, 8000]
    features = toy_graph.meta.features.replace(f_min=50.0, f_max=4000.0)
    toy_graph.meta = toy_graph.meta.replace(features=features)
    assert spectrogram_sheets(toy_graph, np.arange(2), progress=False)["hertz"] == [50, 4000]
    lightness = np.array(result["palette"]) @ [0.2126, 0.7152, 0.0722]
    assert len(lightness) == 256 and (np.diff(lightness) > -1).all() and lightness[-1] > lightness[0] + 200
