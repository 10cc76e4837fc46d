import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.audio import LogMel, LogMelSettings
from ser_graph.errors import InputError


def hertz(mel_scale: str, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """Centres of the mel bins, by the formulas of the two scales' own definitions."""
    if mel_scale == "htk":  # mel = 2595 log10(1 + f / 700)
        low, high = (2595 * np.log10(1 + f / 700) for f in (f_min, f_max))
        mels = np.linspace(low, high, n_mels + 2)
        return 700 * (10 ** (mels / 2595) - 1)[1:-1]

    def mel(f: float) -> float:  # 15 mel a kHz up to 1 kHz, 27 steps a factor of 6.4 above
        return f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

    mels = np.linspace(mel(f_min), mel(f_max), n_mels + 2)[1:-1]
    return np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))


def by_hand(waveform: np.ndarray, settings: LogMelSettings, filters: np.ndarray) -> np.ndarray:
    """The log-mel spectrogram of one waveform in float64, window by window."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.n_fft) / settings.n_fft)
    frames = []
    for start in range(0, len(waveform) - settings.n_fft + 1, settings.hop_length):
        power = np.abs(np.fft.rfft(window * waveform[start : start + settings.n_fft])) ** 2
        frames.append(np.log(power @ filters + settings.floor))
    return np.array(frames)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n)


def test_the_paper_s_clip_is_373_frames_of_64_bins():
    x = LogMel()(torch.zeros(95_744))
    assert x.shape == (373, 64)
    assert x.dtype == torch.float32
    assert torch.allclose(x, torch.tensor(1e-6).log())


OTHERS = [
    LogMelSettings(),
    LogMelSettings(n_samples=9000, mel_scale="htk", floor=1e-3),
    LogMelSettings(n_samples=7001, sample_rate=8000, n_fft=400, hop_length=160, n_mels=40, f_min=60, f_max=3800),
]


@pytest.mark.parametrize("settings", OTHERS, ids=["paper", "htk", "8 kHz"])
def test_every_number_as_by_hand(settings):
    layer = LogMel(settings)
    waveform = noise(settings.n_samples) * np.geomspace(1e-4, 5, settings.n_samples)
    expected = by_hand(waveform, settings, layer.mel.double().numpy())
    assert expected.shape == (settings.n_frames, settings.n_mels)
    x = layer(torch.from_numpy(waveform).float())
    np.testing.assert_allclose(x, expected, atol=2e-4)


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_filters_are_triangles_between_the_centres_of_their_neighbours(mel_scale):
    filters = LogMel(LogMelSettings(mel_scale=mel_scale)).mel.numpy()
    centres = hertz(mel_scale, 64, 0, 8000)
    assert filters.shape == (257, 64)
    edges = np.concatenate([[0], centres, [8000]])
    for row in range(64):
        triangle = np.interp(np.arange(257) * 31.25, edges[row : row + 3], [0, 1, 0])
        np.testing.assert_allclose(filters[:, row], triangle, atol=1e-4)


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_no_filter_is_empty_at_the_defaults(mel_scale):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = LogMel(LogMelSettings(mel_scale=mel_scale)).mel
    assert (filters.max(0).values > 0.1).all()


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_a_sine_lands_in_the_bin_of_the_nearest_centre(mel_scale):
    settings = LogMelSettings(n_samples=16_000, mel_scale=mel_scale)
    centres = hertz(mel_scale, 64, 0, 8000)
    wide = centres > 100  # below, a window of 32 ms cannot tell one bin from the next
    time = np.arange(16_000) / 16_000
    sines = torch.from_numpy(np.sin(2 * np.pi * centres[wide, None] * time)).float()
    loudest = LogMel(settings)(sines).mean(1).argmax(1)
    assert loudest.tolist() == np.arange(64)[wide].tolist()


@settings(deadline=None, max_examples=30)
@given(n=st.integers(512, 4000), scale=st.floats(0, 1), seed=st.integers(0, 9))
def test_a_clip_says_the_same_alone_and_in_a_batch(n, scale, seed):
    layer = LogMel(LogMelSettings(n_samples=n))
    batch = torch.from_numpy(np.stack([noise(n, seed), scale * noise(n, seed + 1), np.zeros(n)])).float()
    x = layer(batch.view(3, 1, n))
    assert x.shape == (3, 1, layer.settings.n_frames, 64)
    for row in range(3):
        torch.testing.assert_close(x[row, 0], layer(batch[row]), atol=1e-5, rtol=0)


@settings(deadline=None)
@given(n_samples=st.integers(1, 5000), n_fft=st.integers(1, 600), hop_length=st.integers(1, 600))
def test_the_number_of_frames(n_samples, n_fft, hop_length):
    if n_samples < n_fft:
        with pytest.raises(InputError, match=f"n_samples={n_samples} is shorter than one window of n_fft={n_fft}"):
            LogMelSettings(n_samples=n_samples, n_fft=n_fft, hop_length=hop_length)
    else:
        starts = range(0, n_samples - n_fft + 1, hop_length)
        assert LogMelSettings(n_samples=n_samples, n_fft=n_fft, hop_length=hop_length).n_frames == len(starts)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"mel_scale": "bark"}, r"Bad mel_scale 'bark', expected one of \['htk', 'slaney'\]"),
        ({"hop_length": 0}, "Bad hop_length 0, expected a whole number, at least 1"),
        ({"n_mels": 0.5}, "Bad n_mels 0.5, expected a whole number, at least 1"),
        ({"floor": 0.0}, "Bad floor 0.0, expected more than 0"),
        ({"n_fft": 0}, "at least 1"),
        ({"sample_rate": -1}, "at least 1"),
        ({"f_max": 9000.0}, "f_max=9000.0, expected 0 <= f_min < f_max <= 8000"),
        ({"f_min": -1.0}, "Bad f_min -1.0, expected at least 0"),
        ({"f_min": 8000.0}, "expected 0 <= f_min"),
        ({"f_min": float("nan")}, "Bad f_min nan, expected at least 0"),
    ],
)
def test_bad_settings(settings, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        LogMelSettings(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", OTHERS, ids=["paper", "htk", "8 kHz"])
def test_settings_come_back_from_a_stored_model(settings):
    values = json.loads(json.dumps(settings.model_dump()))
    assert LogMelSettings(**values) == settings
    assert values.keys() == LogMelSettings.model_fields.keys()
