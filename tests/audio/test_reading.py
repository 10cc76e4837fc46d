import math
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from ser_graph.audio import fit_length, load_waveform
from ser_graph.audio.reading import clip_paths, clip_speeds
from ser_graph.errors import InputError
from ser_graph.sound import mono_blocks, read_audio, read_mono

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


def test_what_the_new_rate_cannot_hold_is_filtered_out_not_folded_back(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(48_000, 12_000), 48_000)
    waveform = load_waveform(tmp_path / "a.wav").numpy()
    assert amplitude_at(waveform, 4000, 16_000) < 0.005
    assert np.abs(waveform[4000:12_000]).max() < 0.01


def test_another_sampling_rate_on_request(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(16_000), 16_000)
    waveform = load_waveform(tmp_path / "a.wav", 8000)
    assert waveform.shape == (8000,)
    assert amplitude_at(waveform.numpy(), 440, 8000) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_channels_are_averaged(tmp_path, n_channels):
    channels = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, n_channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", channels, 16_000, subtype="FLOAT")
    samples, rate = read_audio(tmp_path / "a.wav")
    assert rate == 16_000
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, channels)
    expected = channels.astype(np.float64).mean(axis=1)
    np.testing.assert_allclose(load_waveform(tmp_path / "a.wav"), expected, atol=1e-7)


def test_16_bit_samples_are_read_exactly(tmp_path):
    values = np.array([-(2**15), -1, 0, 1, 2**15 - 1], dtype=np.int16)
    soundfile.write(tmp_path / "a.flac", values, 16_000)
    assert (load_waveform(str(tmp_path / "a.flac")) * 2**15).tolist() == values.tolist()


def no_file(path: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def no_bytes(path: Path) -> None:
    path.touch()


def pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


def page(path: Path) -> None:
    path.write_text("<html>404: not found</html>\n" * 9)


def noise_of_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def half_a_header(path: Path) -> None:
    soundfile.write(path, sine(16_000), 16_000)
    path.write_bytes(path.read_bytes()[:20])


def no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 16_000)


def not_a_number(path: Path) -> None:
    soundfile.write(path, np.array([0.1, np.nan, 0.1]), 16_000, subtype="FLOAT")


def infinite(path: Path) -> None:
    soundfile.write(path, np.array([0.1, np.inf, 0.1]), 16_000, subtype="FLOAT")


def link_to_nothing(path: Path) -> None:
    path.symlink_to(".git/annex/a.wav")


def of_a_rate(rate: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        soundfile.write(path, sine(16_000), 16_000)
        content = bytearray(path.read_bytes())
        content[24:28] = struct.pack("<I", rate)
        path.write_bytes(content)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (link_to_nothing, r"is a link to \.git/annex/a\.wav, which is not there"),
        (of_a_rate(2**31 - 1), "says that it has 2,147,483,647 samples a second, expected 1,000 to 1,000,000"),
        (of_a_rate(1), "says that it has 1 samples a second"),
        (no_file, "No file"),
        (folder, "is a folder"),
        (no_bytes, "is empty"),
        (pointer, "git-lfs pointer.*git lfs pull"),
        (page, "cannot be decoded as audio"),
        (noise_of_bytes, "cannot be decoded as audio"),
        (half_a_header, "cannot be decoded as audio|holds no samples"),
        (no_samples, "holds no samples"),
        (not_a_number, "NaN or infinite"),
        (infinite, "NaN or infinite"),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path, spoil, complaint):
    path = tmp_path / "bad clip.wav"
    spoil(path)
    with pytest.raises(InputError, match=complaint) as caught:
        load_waveform(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", sine(16_000), 16_000)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(soundfile, "SoundFile", refuse)  # root may read everything
    monkeypatch.setattr(type(tmp_path), "open", refuse)
    with pytest.raises(InputError, match=r"a\.wav cannot be opened \(Permission denied\)"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is Unicode")
def test_a_name_of_other_letters_is_said(tmp_path):
    name = os.fsencode(tmp_path) + b"/gr\xfc\xdfe.wav"
    soundfile.write(tmp_path / "a.wav", sine(16_000), 16_000)
    os.rename(tmp_path / "a.wav", name)  # noqa: PTH104  (Path has no names of bytes)
    with pytest.raises(InputError, match="is not UTF-8; rename it"):
        read_audio(os.fsdecode(name))


@pytest.mark.parametrize("rate", [48_000, 44_100, 22_050, 16_000, 8_000, 1_001])
def test_a_file_in_pieces_is_the_file(tmp_path, rate):
    """Where pieces meet, nothing is heard: scipy resamples the whole to the same numbers."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (7_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    whole = samples.mean(axis=1)
    if rate != 16_000:
        common = math.gcd(rate, 16_000)
        whole = resample_poly(whole, 16_000 // common, rate // common)
    for seconds in (20 / rate, 999 / rate, 60):
        pieces = list(mono_blocks(tmp_path / "a.wav", 16_000, seconds))
        assert len(pieces) > 1 or seconds == 60
        np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)
    np.testing.assert_allclose(read_mono(tmp_path / "a.wav", 16_000), whole, atol=1e-6)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "raw"])
@pytest.mark.parametrize("spoil", [no_file, folder, no_bytes, pointer, page, noise_of_bytes])
def test_bad_files_of_other_kinds_are_named(tmp_path, suffix, spoil):
    path = tmp_path / f"bad.{suffix}"
    spoil(path)
    with pytest.raises(InputError) as caught:
        load_waveform(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(n=st.integers(1, 50), n_samples=st.integers(0, 200))
def test_a_fitted_clip_is_the_clip_said_again(n, n_samples):
    waveform = torch.arange(1.0, n + 1)
    repeated, padded = fit_length(waveform, n_samples), fit_length(waveform, n_samples, how="pad")
    assert repeated.tolist() == [row % n + 1 for row in range(n_samples)]
    assert padded.tolist() == [row + 1 if row < n else 0 for row in range(n_samples)]
    assert waveform.tolist() == list(range(1, n + 1))


def test_a_bad_way_to_fit():
    with pytest.raises(InputError, match="Bad way to fit a length 'loop', expected one of"):
        fit_length(torch.zeros(3), 5, how="loop")


def clips(*files: str, root: Path | None = None) -> pd.DataFrame:
    table = pd.DataFrame({"emotion": "fear"}, index=pd.Index(files, name="file"))
    if root is not None:
        table.attrs["root"] = str(root)
    return table


def test_paths_follow_the_order_of_the_table(make_clips, tmp_path):
    root = make_clips("s1/a.wav", "b.wav")
    expected = [root / "s1" / "a.wav", root / "b.wav", root / "s1" / "a.wav"]
    assert clip_paths(clips("s1/a.wav", "b.wav", "s1/a.wav", root=root)) == expected
    assert clip_paths(clips("s1/a.wav", "b.wav", "s1/a.wav", root=tmp_path / "moved"), root) == expected
    assert clip_paths(clips(root=root)) == []


def test_a_home_folder_is_found(make_clips, monkeypatch):
    root = make_clips("speech/a.wav")
    monkeypatch.setenv("HOME", str(root))
    assert clip_paths(clips("a.wav"), "~/speech") == [root / "speech" / "a.wav"]


def test_a_lost_folder_is_asked_for(make_clips, tmp_path, monkeypatch):
    root = make_clips("corpus/a.wav") / "corpus"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"No clip .*a\.wav; give the folder .* as root="):
        clip_paths(clips("a.wav"))
    with pytest.raises(InputError, match=r"No clip .*gone.a\.wav"):
        clip_paths(clips("a.wav", root=tmp_path / "gone"))
    monkeypatch.chdir(root)
    assert clip_paths(clips("a.wav"))[0].samefile(root / "a.wav")


def test_speeds_are_those_of_copies_alone():
    assert clip_speeds(pd.DataFrame({"emotion": ["fear", "joy"]})) == [1.0, 1.0]
    assert clip_speeds(pd.DataFrame({"speed": ["slow", "fast"]})) == [1.0, 1.0]  # a corpus says how was spoken
    copies = pd.DataFrame({"copy_of": [None, "a.wav", None], "speed": [1.0, 0.9, math.nan]})
    assert clip_speeds(copies) == [1.0, 0.9, 1.0]


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
