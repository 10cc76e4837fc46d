"""Streams: what is cut from them, how their bytes are read, and what is said of a bad one."""

import io
import struct
import sys
import tracemalloc
import types

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, strategies as st

from ser_graph_runtime.errors import InputError
from ser_graph_runtime.resampling import resampled
from ser_graph_runtime.streaming import cut, listen

RATE = 16_000


class Loudness:
    """A model that says how loud its window of 1 s is; what it was asked is kept."""

    emotions = ("quiet", "loud")
    threshold = 0.0
    features = {"sample_rate": RATE, "n_samples": RATE}  # noqa: RUF012

    def __init__(self):
        self.asked = []

    def of_spectrograms(self, spectrograms):
        raise AssertionError

    def hear(self, waveforms, voice):
        assert waveforms.shape == (1, RATE) and waveforms.dtype == np.float32 and voice is None
        self.asked.append(waveforms[0])
        loud = np.abs(waveforms).max(1)
        return np.stack([1 - loud, loud], 1), loud[:, None], None


@given(
    lengths=st.lists(st.integers(0, 30), max_size=8),
    window=st.integers(1, 12),
    data=st.data(),
)
def test_windows_cover_a_stream_however_it_comes(lengths, window, data):
    hop = data.draw(st.integers(1, window))
    whole = np.arange(sum(lengths))
    blocks = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    found = [(start, samples.tolist()) for start, samples in cut(blocks, window, hop)]
    n = len(whole)
    starts = list(range(0, n - window + 1, hop))
    if n and (not starts or starts[-1] + window < n):
        starts.append(max(0, n - window))  # the last one ends with the stream
    assert found == [(start, whole[start : start + window].tolist()) for start in starts]


def sound(seconds=2.5, channels=1):
    """Rising noise in 16 bits."""
    n = int(seconds * RATE)
    noise = np.random.default_rng(0).uniform(-1, 1, (n, channels)) * np.linspace(0, 0.9, n)[:, None]
    return (noise * 32767).astype("<i2")


def wav(samples, rate=RATE, subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def heard(stream, **settings):
    model = Loudness()
    windows = list(listen(model, stream, **settings))
    return windows, model.asked


def test_raw_pcm_is_heard_window_by_window():
    samples = sound()[:, 0]
    windows, asked = heard(io.BytesIO(samples.tobytes()), rate=RATE, hop=0.5)
    assert [(one.start, one.end) for one in windows] == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.5)]
    expected = samples.astype(np.float32) / 32768
    for one, waveform in zip(windows, asked, strict=True):
        start = round(one.start * RATE)
        np.testing.assert_array_equal(waveform, expected[start : start + RATE])
        assert one.probabilities["loud"] == pytest.approx(abs(waveform).max())
        assert one.emotion == ("loud" if abs(waveform).max() > 0.5 else "quiet") and one.nearest == []


def test_a_short_stream_and_a_short_window_are_repeated():
    samples = sound(0.4)[:, 0]
    windows, (waveform,) = heard(io.BytesIO(samples.tobytes()), rate=RATE)
    assert [(one.start, one.end) for one in windows] == [(0, 0.4)]
    np.testing.assert_array_equal(waveform[6400:12800], waveform[:6400])
    _, asked = heard(io.BytesIO(samples.tobytes()), rate=RATE, window=0.2)
    np.testing.assert_array_equal(asked[1][: RATE // 5], waveform[3200:6400])


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_of_any_kind_is_that_of_the_file(subtype, channels):
    values = sound(1.0, channels) / 32768
    _, (waveform,) = heard(io.BytesIO(wav(values, subtype=subtype)))
    np.testing.assert_allclose(waveform, values.mean(1), atol=1e-6)


def test_wav_from_a_pipe_has_no_length_and_its_header_may_be_long():
    samples = sound(1.0)
    whole = wav(samples)
    at = whole.index(b"data")
    note = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # of odd length, so with a byte of padding
    for size in (0, 0xFFFFFFFF, 0x7FFFF000):
        stream = whole[:at] + note + b"data" + struct.pack("<I", size) + samples.tobytes() + b"\1"  # half a sample
        _, (waveform,) = heard(io.BytesIO(stream))
        np.testing.assert_array_equal(waveform, samples[:, 0].astype(np.float32) / 32768)
    _, (waveform,) = heard(io.BytesIO(whole + b"LIST" + b"\xff" * 40))  # what follows the sound is none
    np.testing.assert_array_equal(waveform, samples[:, 0].astype(np.float32) / 32768)


def test_bytes_may_come_a_few_at_a_time():
    class Dripping(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 1001))

    samples = sound(1.0, channels=2)
    _, asked = heard(Dripping(wav(samples)))
    _, once = heard(io.BytesIO(wav(samples)))
    np.testing.assert_array_equal(asked[0], once[0])


PCM = sound(0.2).tobytes()
HEADER = wav(sound(0.2))[:44]


@pytest.mark.parametrize(
    ("stream", "settings", "words"),
    [
        (PCM, {}, r"does not contain its rate; give it with rate= \(--rate\)"),
        (PCM, {"rate": 0}, "Bad rate 0, expected a whole number from 1,000 to 1,000,000"),
        (wav(sound(), 500), {}, "Bad rate 500"),
        (wav(sound()), {"rate": 8_000}, "header says 16,000 Hz, but rate=8,000 was given"),
        (wav(sound(), subtype="ULAW"), {}, "WAV of format 7 with 8 bits, expected 16 or 32 bits"),
        (b"fLaC" + PCM, {"rate": RATE}, "is FLAC, expected WAV or raw PCM; decode it.*: ffmpeg -i - -f s16le"),
        (b"FORM" + PCM, {"rate": RATE}, "is AIFF, expected WAV or raw PCM"),
        (b"RF64" + PCM, {"rate": RATE}, "is RF64, expected WAV or raw PCM"),
        (b"RIFF\0\0\0\0AVI " + PCM, {}, "RIFF but is not WAV"),
        (HEADER[:20], {}, "ends within its WAV header"),
        (HEADER[:12] + HEADER[36:] + PCM, {}, "has no format before its sound"),
        (HEADER, {}, "ended without a sample"),
        (b"", {"rate": RATE}, "ended without a sample"),
        (PCM, {"rate": RATE, "window": 1.5}, "Bad window 1.5, expected more than 0 and at most 1 seconds"),
        (PCM, {"rate": RATE, "window": 0}, "Bad window 0"),
        (PCM, {"rate": RATE, "window": float("nan")}, "Bad window nan"),
        (PCM, {"rate": RATE, "hop": float("inf")}, "Bad hop inf"),
        (PCM, {"rate": RATE, "hop": 1.1}, "Bad hop 1.1, expected more than 0 and at most the window, 1 seconds"),
    ],
)
def test_bad_streams_are_one_line(stream, settings, words):
    with pytest.raises(InputError, match=words) as error:
        heard(io.BytesIO(stream), **settings)
    assert "\n" not in str(error.value)


def test_a_stream_that_ends_before_its_header_says_so_is_named():
    with pytest.warns(UserWarning, match=r"is truncated: its header promises 80,000 bytes of sound, 20,000 are"):
        windows, _ = heard(io.BytesIO(wav(sound())[:-20_000]))
    assert windows[-1].end == pytest.approx(1.875)


@pytest.mark.parametrize("kind", ["wav", "arrays", "int16", "float64"])
def test_channels_that_cancel_each_other_are_no_sound(kind):
    values = sound(1.5) * np.array([1, -1], np.int16)
    source = {
        "wav": io.BytesIO(wav(values)),
        "arrays": ((part / np.float32(32768)) for part in np.split(values, 5)),
        "int16": (values.T, RATE),
        "float64": (values / 32768, RATE),
    }[kind]
    windows = listen(Loudness(), source, rate=RATE if kind == "arrays" else None)
    assert next(windows).silent
    with pytest.raises(InputError, match=r"^The sound cannot be used \(silent: its 2 channels cancel each other"):
        list(windows)


def test_arrays_are_a_stream_too():
    values = sound(2.0)[:, 0]
    windows, _ = heard(io.BytesIO(values.tobytes()), rate=RATE)
    assert [one.start for one in windows] == [0, 1]
    assert heard(np.split(values, 5), rate=RATE)[0] == windows
    assert heard(iter(np.split(values / 32768, 5)), rate=RATE)[0] == windows
    for samples in (values, values / 32768, torch.from_numpy(values), np.stack([values, values])):
        assert heard((samples, RATE))[0] == windows
        assert heard(samples, rate=RATE)[0] == windows  # one alone


@pytest.mark.parametrize("rate", [44_100, 8_000, 16_001])
def test_streams_of_any_rate_are_resampled(rate):
    """The same sound from a pipe, as an array and from a file."""
    values = np.random.default_rng(0).integers(-9_000, 9_000, 2 * rate).astype(np.int16)
    expected = np.concatenate(list(resampled([values / np.float32(32768)], rate, RATE)))
    for source, more in ((io.BytesIO(values.tobytes()), {"rate": rate}), ((values, rate), {})):
        _, asked = heard(source, **more)
        np.testing.assert_array_equal(np.concatenate(asked), expected[: 2 * RATE])
    _, asked = heard(io.BytesIO(wav(values, rate)))
    np.testing.assert_array_equal(np.concatenate(asked), expected[: 2 * RATE])


@pytest.mark.parametrize(
    ("source", "settings", "words"),
    [
        (np.zeros(RATE), {}, r"An array does not contain its rate; give \(samples, rate\)"),
        ([np.zeros(RATE)], {}, "does not contain its rate"),
        ((RATE, np.zeros(RATE)), {}, "does not contain its rate"),
        ((np.zeros(RATE), "16k"), {}, "Bad rate '16k', expected a whole number from 1,000"),
        ((np.zeros(RATE), RATE), {"rate": 8_000}, "comes with a rate of 16000, but rate=8000 was given"),
        ((np.zeros(RATE, np.int64), RATE), {}, "Bad samples of type int64, expected floats"),
        ((np.zeros((3, RATE, 2)), RATE), {}, r"Bad samples of shape \(3, 16000, 2\)"),
        ((np.full(RATE, 3e4), RATE), {}, "The sound from .* holds samples up to 30,000, expected -1 to 1"),
        ((np.zeros(0), RATE), {}, "ended without a sample"),
        ([0.1, 0.2], {"rate": RATE}, r"Bad samples of shape \(\)"),
        (7, {"rate": RATE}, "Bad stream of type int"),
        (io.StringIO("text"), {"rate": RATE}, "The stream is text, expected bytes"),
    ],
)
def test_arrays_that_are_no_sound(source, settings, words):
    with pytest.raises(InputError, match=words) as error:
        heard(source, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sound_that_is_no_sound_gets_no_emotion(value):
    values = sound(3.0)[:, 0] / np.float32(32768)
    values[RATE + 7] = value
    windows = listen(Loudness(), np.split(values, 3), rate=RATE)
    assert next(windows).start == 0
    with pytest.raises(InputError, match=rf"The sound from 1\.00 to 2\.00 s holds samples up to {value}, expected"):
        next(windows)


def test_three_hours_are_heard_in_little_memory():
    block = np.full(RATE, 0.25, np.float32)
    windows = listen(Forgetful(), (block for _ in range(3 * 3600)), rate=RATE)
    tracemalloc.start()
    n = last = 0
    for answer in windows:
        n, last = n + 1, answer.end
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (n, last) == (10_800, 10_800.0)
    assert most < 2**21  # three hours are 691 MB


class Forgetful(Loudness):
    """One that keeps nothing of what it was asked."""

    def hear(self, waveforms, voice):
        answer = super().hear(waveforms, voice)
        self.asked.clear()
        return answer


def test_a_silent_stream_gives_unsure_answers():
    windows, _ = heard(io.BytesIO(bytes(4 * RATE)), rate=RATE)
    assert [one.sure for one in windows] == [False, False]
    dithered = np.tile(np.array([1, -1, 2, -2], "<i2"), RATE // 4)  # what a muted microphone may send
    assert not heard(io.BytesIO(dithered.tobytes()), rate=RATE)[0][0].sure
    assert heard(io.BytesIO(sound(1.0).tobytes()), rate=RATE)[0][0].sure


def test_20_ms_are_heard():
    samples = sound(0.02)[:, 0]
    ((window,), (waveform,)) = heard(io.BytesIO(samples.tobytes()), rate=RATE)
    assert (window.start, window.end) == (0, 0.02)
    np.testing.assert_array_equal(waveform.reshape(50, 320), np.tile(samples / np.float32(32768), (50, 1)))


@pytest.mark.parametrize("reason", ["Error querying device -1", "Device unavailable [PaErrorCode -9985]"])
def test_a_microphone_that_is_missing_or_refused_is_one_line(monkeypatch, reason):
    class PortAudioError(Exception):
        pass

    def refuse(**_):
        raise PortAudioError(reason)

    found = types.SimpleNamespace(InputStream=refuse, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", found)
    with pytest.raises(
        InputError, match=r"microphone cannot be used at 16,000 Hz .*connect one, and let"
    ) as caught:
        next(listen(Loudness(), "microphone"))
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_library_of_the_system_is_one_line(monkeypatch):
    class NoPortAudio:
        def find_spec(self, name, *_):
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoPortAudio(), *sys.meta_path])
    with pytest.raises(
        InputError, match=r"sounddevice does not work here \(PortAudio library not found\); install"
    ):
        next(listen(Loudness(), "microphone"))


def test_microphone(monkeypatch):
    class InputStream:
        def __init__(self, **settings):
            assert settings == {"samplerate": RATE, "channels": 1, "dtype": "float32"}
            self.left = 12

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, n):
            self.left -= 1
            if self.left < 0:
                raise PortAudioError("unplugged")
            return np.full((n, 1), 0.75, np.float32), False

    class PortAudioError(Exception):
        pass

    found = types.SimpleNamespace(InputStream=InputStream, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", found)
    windows = listen(Loudness(), "microphone")
    assert next(windows).probabilities["loud"] == 0.75
    with pytest.raises(InputError, match=r"microphone cannot be used at 16,000 Hz \(unplugged\)"):
        next(windows)
    with pytest.raises(InputError, match="Bad stream 'mic', expected 'microphone'"):
        next(listen(Loudness(), "mic"))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(
        InputError, match=r"sounddevice is not installed; run pip install 'ser-graph-runtime\[microphone\]'"
    ):
        next(listen(Loudness(), "microphone"))
