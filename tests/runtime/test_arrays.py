"""Arrays as people have them, against what a sound file of the same samples holds."""

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, strategies as st

from ser_graph_runtime.arrays import as_mono, check_rate
from ser_graph_runtime.errors import InputError
from ser_graph_runtime.sound import read_mono


def noise(n: int = 500, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.9, 0.9, (n, channels))


@pytest.mark.parametrize(
    ("subtype", "dtype"), [("PCM_16", "int16"), ("PCM_32", "int32"), ("FLOAT", "float32"), ("DOUBLE", "float64")]
)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_an_array_is_the_file_that_it_came_from(tmp_path, subtype, dtype, channels):
    soundfile.write(tmp_path / "a.wav", noise(channels=channels), 16_000, subtype=subtype)
    expected = read_mono(tmp_path / "a.wav", 16_000)
    samples, _ = soundfile.read(tmp_path / "a.wav", dtype=dtype, always_2d=True)
    for given_samples in (
        samples,
        samples.T,
        torch.from_numpy(samples),
        samples.astype(samples.dtype.newbyteorder()),
    ):
        found = as_mono(given_samples)
        assert found.dtype == np.float32
        # The file's float32 rounds before the mean, 32 and 64 bits after it.
        np.testing.assert_allclose(found, expected, atol=0 if dtype in ("int16", "float32") else 1e-7)


@given(st.lists(st.integers(-(2**15), 2**15 - 1), max_size=20))
def test_integers_are_scaled_to_the_bit(values):
    assert (as_mono(np.array(values, np.int16)) * 2**15).tolist() == values
    shifted = np.array(values, np.int32) * 2**16
    np.testing.assert_array_equal(as_mono(shifted), as_mono(np.array(values, np.int16)))


def test_eight_bits_are_silent_at_128_as_in_wav():
    assert as_mono(np.array([0, 128, 255], np.uint8)).tolist() == [-1, 0, 127 / 128]
    assert as_mono(np.array([-128, 0, 127], np.int8)).tolist() == [-1, 0, 127 / 128]


def test_tensors_that_learn_are_read_too():
    assert as_mono(torch.tensor([0.5, -0.5], requires_grad=True)).tolist() == [0.5, -0.5]
    assert as_mono(torch.tensor([0.5], dtype=torch.float16)).tolist() == [0.5]


def test_the_longer_side_is_time():
    assert as_mono(np.arange(6.0).reshape(2, 3)).tolist() == [1.5, 2.5, 3.5]
    assert as_mono(np.arange(6.0).reshape(3, 2)).tolist() == [0.5, 2.5, 4.5]
    assert as_mono(np.arange(3.0)[None]).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((2, 2)), r"Bad samples of shape \(2, 2\), expected \[n\], \[n, channels\] or"),
        (np.zeros((40, 50)), r"shape \(40, 50\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
        (np.zeros((1, 2, 9)), r"shape \(1, 2, 9\)"),
        (0.5, r"shape \(\)"),
        (np.zeros(9, np.int64), "type int64, expected floats in -1 to 1, or int16"),
        (np.zeros(9, bool), "type bool"),
        (np.zeros(9, complex), "type complex128"),
        (np.array(["a"]), "type str"),
        (torch.zeros(9, dtype=torch.bfloat16), "samples of torch.bfloat16"),
        ([np.zeros(2), np.zeros(3)], "samples of unequal lengths"),
    ],
)
def test_what_is_no_sound_is_refused_in_one_line(samples, words):
    with pytest.raises(InputError, match=words) as caught:
        as_mono(samples)
    assert "\n" not in str(caught.value)


def test_rates():
    for rate in (16_000, 16_000.0, np.int64(16_000), np.float32(16_000)):
        assert check_rate(rate) == 16_000 and type(check_rate(rate)) is int
    for rate in (0, -1, 999, 1_000_001, 16_000.5, float("nan"), float("inf"), True, "16k", None, np.zeros(3)):
        with pytest.raises(
            InputError, match=r"Bad rate .*, expected a whole number from 1,000 to 1,000,000"
        ) as caught:
            check_rate(rate)
        assert "\n" not in str(caught.value)
