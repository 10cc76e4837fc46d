import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.audio import fit_length, load_waveform

LOSS = {"wav": 1e-4, "flac": 1e-4, "ogg": 0.02, "mp3": 0.02}


def sine(rate: int, frequency: float = 440, amplitude: float = 0.5, seconds: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


def amplitude_at(waveform: np.ndarray, frequency: float, rate: int) -> float:
    """Amplitude of the part of that frequency, by projection on it over half a second in the middle."""
    middle = waveform[rate // 4 : rate // 4 + rate // 2]
    wave = np.exp(-2j * np.pi * frequency * np.arange(len(middle)) / rate)
    return float(2 * abs(middle @ wave) / len(middle))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_sine_keeps_its_frequency_and_amplitude(tmp_path, suffix, rate):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, sine(rate), rate)
    waveform = load_waveform(path)
    assert waveform.dtype == torch.float32
    assert waveform.shape == (16_000,)
    assert amplitude_at(waveform.numpy(), 440, 16_000) == pytest.approx(0.5, rel=0.01)
    middle = waveform.numpy()[4000:12_000]
    rest = middle - np.fft.irfft(np.fft.rfft(middle) * (np.arange(4001) == 220))  # bins of 2 Hz
    assert np.sqrt(np.mean(rest**2)) < LOSS[suffix] + (0.001 if rate != 16_000 else 0)


def test_another_sampling_rate_on_request(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(16_000), 16_000)
    waveform = load_waveform(tmp_path / "a.wav", 8000)
    assert waveform.shape == (8000,)
    assert amplitude_at(waveform.numpy(), 440, 8000) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_channels_are_averaged(tmp_path, n_channels):
    channels = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, n_channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", channels, 16_000, subtype="FLOAT")
    expected = channels.astype(np.float64).mean(axis=1)
    np.testing.assert_allclose(load_waveform(tmp_path / "a.wav"), expected, atol=1e-7)


def test_16_bit_samples_are_read_exactly(tmp_path):
    values = np.array([-(2**15), -1, 0, 1, 2**15 - 1], dtype=np.int16)
    soundfile.write(tmp_path / "a.flac", values, 16_000)
    assert (load_waveform(str(tmp_path / "a.flac")) * 2**15).tolist() == values.tolist()


@settings(deadline=None)
@given(n=st.integers(1, 50), n_samples=st.integers(0, 200))
def test_a_fitted_clip_is_the_clip_said_again(n, n_samples):
    waveform = torch.arange(1.0, n + 1)
    assert fit_length(waveform, n_samples).tolist() == [row % n + 1 for row in range(n_samples)]
    assert waveform.tolist() == list(range(1, n + 1))


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("speed", [0.84, 0.92, 1.09, 1.19])
def test_another_speed_changes_pitch_and_length(tmp_path, rate, speed):
    soundfile.write(tmp_path / "a.wav", sine(rate), rate)
    waveform = load_waveform(tmp_path / "a.wav", speed=speed)
    assert len(waveform) == pytest.approx(16_000 / speed, abs=2)
    middle = waveform.numpy()
    assert amplitude_at(middle, 440 * speed, 16_000) == pytest.approx(0.5, abs=0.01)
    assert amplitude_at(middle, 440, 16_000) < 0.05
    assert torch.equal(load_waveform(tmp_path / "a.wav", speed=1), load_waveform(tmp_path / "a.wav"))
