"""The resampler against torchaudio's, against sines, and against itself in pieces."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.audio.torchaudio_import import torchaudio
from ser_graph_runtime import resampling
from ser_graph_runtime.resampling import resampled

USUAL = [8_000, 11_025, 22_050, 44_100, 48_000, 96_000]


def whole(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    found = resampled([samples.astype(np.float32)], rate, sample_rate)
    return np.concatenate([np.empty(0, np.float32), *found])


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, n).astype(np.float32)


@pytest.mark.parametrize("rate", USUAL)
@pytest.mark.parametrize("sample_rate", [16_000, 24_000])
def test_the_numbers_are_those_of_torchaudio(rate, sample_rate):
    samples = noise(rate + 7)
    expected = torchaudio.functional.resample(torch.from_numpy(samples).double(), rate, sample_rate).numpy()
    found = whole(samples, rate, sample_rate)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("rate", [999_983, 96_001, 16_001, 15_999, 8_001, 1_009])
def test_odd_rates_keep_time_and_amplitude(rate):
    """A sine of 300 Hz at an odd rate is the sine at 16 kHz, to the end: nothing drifts."""
    seconds = 1 if rate > 500_000 else 3
    wave = 0.5 * np.sin(2 * np.pi * 300 * np.arange(seconds * rate) / rate)
    found = whole(wave, rate, 16_000)
    expected = 0.5 * np.sin(2 * np.pi * 300 * np.arange(seconds * 16_000) / 16_000)
    assert found.shape == expected.shape
    inside = slice(200, -200)  # silence is before and after
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-3)


def test_what_the_new_rate_cannot_hold_is_filtered_out_not_folded_back():
    wave = 0.5 * np.sin(2 * np.pi * 12_000 * np.arange(48_000) / 48_000)
    assert np.abs(whole(wave, 48_000, 16_000)[100:-100]).max() < 0.01


@settings(deadline=None, max_examples=60)
@given(
    rate=st.integers(1_000, 100_000),
    sample_rate=st.sampled_from([8_000, 16_000, 100]),
    lengths=st.lists(st.integers(0, 400), min_size=1, max_size=8),
)
def test_in_pieces_to_the_bit(rate, sample_rate, lengths):
    samples = noise(sum(lengths))
    pieces = np.split(samples, np.cumsum(lengths)[:-1])
    found = np.concatenate([np.empty(0, np.float32), *resampled(pieces, rate, sample_rate)])
    assert len(found) == math.ceil(len(samples) * sample_rate / rate)
    np.testing.assert_array_equal(found, whole(samples, rate, sample_rate))


def test_with_and_without_a_table_of_weights(monkeypatch):
    samples = noise(5_000)
    expected = whole(samples, 44_100, 16_000)
    resampling._sinc.cache_clear()
    monkeypatch.setattr(resampling, "_AT_ONCE", 200)  # neither the table fits, nor many outputs at once
    np.testing.assert_array_equal(whole(samples, 44_100, 16_000), expected)
    resampling._sinc.cache_clear()


def test_what_is_heard_comes_at_once():
    """A stream is answered before it ends: of 0.1 s, all but the filter's few samples."""
    blocks = resampled(iter([noise(4_410)] * 3), 44_100, 16_000)
    assert len(next(blocks)) > 1_600 - 10


def test_the_same_rate_is_left_alone():
    samples = noise(10)
    (found,) = resampled([samples], 16_000, 16_000)
    assert found is samples


@pytest.mark.parametrize("rate", [16_001, 8_001, 999_983])
def test_odd_rates_take_little_memory(rate):
    """A filter whose length grows with the reduced ratio took 8 GB for a second at 16,001 Hz."""
    second = noise(rate)
    resampling._sinc.cache_clear()
    tracemalloc.start()
    try:
        for _ in resampled([second], rate, 16_000):
            pass
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
