"""Sound files with damaged headers, and cut files."""

import random
import struct
import warnings

import numpy as np
import pytest
import soundfile

from ser_graph_runtime.arrays import LOUDEST
from ser_graph_runtime.errors import InputError
from ser_graph_runtime.sound import read_mono
from ser_graph_runtime.streams import mono_stream

MOST = 2**26  # bytes: a block of decoded samples takes 2**22, and a low rate makes 16 samples of one
FORMATS = {"wav": {}, "flac": {}, "ogg": {}, "mp3": {}, "float.wav": {"subtype": "FLOAT"}, "w64": {}, "aiff": {}}


@pytest.mark.parametrize("kind", FORMATS)
def test_sound_files(tmp_path, trials, damaged, kind):
    rng, path = random.Random(kind), tmp_path / f"clip.{kind}"
    noise = np.random.default_rng(0).normal(0, 0.1, 3_200)
    soundfile.write(path, noise, 16_000, **FORMATS[kind])
    whole = path.read_bytes()
    read_mono(path, 8_000)  # imports do not count
    for number in trials.numbers(200):
        head = rng.choice([64, 64, 256, len(whole)])
        content = damaged(rng, whole[:head]) + whole[head:] if number else whole
        path.write_bytes(content)
        samples = trials(
            f"{number} {content[:48]!r}", lambda: read_mono(path, 16_000), most_bytes=MOST, naming=str(path)
        )
        if samples is not None:
            trials.expect(number, samples.dtype == np.float32 and samples.ndim == 1 and np.isfinite(samples).all())
            trials.expect(number, 0 < len(samples) <= 16 * len(whole) * 8)


def test_a_file_and_a_pipe_say_the_same(tmp_path, trials):
    """WAV of any sizes in its header, with chunks before and after its sound, and with channels that cancel."""
    rng, path = random.Random(9), tmp_path / "clip.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 1_600)
    sizes = [0, 0, 0, 1, 36, 3_000, 6_400, 6_401, 2**31 - 2**16, 0x7FFFF000, 2**32 - 1]

    def as_stream():
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                blocks = list(mono_stream(file, None, 16_000))
            except UserWarning as cut:
                raise InputError(cut) from None
            samples = np.concatenate([*blocks, np.empty(0, np.float32)])
            if not len(samples) or not np.abs(samples).max() <= LOUDEST:  # as `predict_window` does
                raise InputError("no sound")
            return samples

    for number in trials.numbers(300):
        gains = rng.choice([[1], [1, -1], [1, -0.5], [0, 0]])
        soundfile.write(path, noise[:, None] * gains, 16_000, subtype=rng.choice(["PCM_16", "PCM_32", "FLOAT"]))
        whole = path.read_bytes()
        start = whole.index(b"data")
        size = rng.choice([*sizes, len(whole) - start - 8])
        riff = rng.choice([0, 36, len(whole) - 8, 2**32 - 1])
        before = rng.choice([b"", b"JUNK\4\0\0\0abcd"])
        after = rng.choice([b"", b"", b"LIST\4\0\0\0INFO"])
        head = b"RIFF" + struct.pack("<I", riff) + whole[8:start] + before + b"data" + struct.pack("<I", size)
        path.write_bytes(head + (whole[start + 8 :] if rng.random() < 0.9 else b"") + after)
        name = f"{number} {riff} {size} {gains} {before!r} {after!r}"
        heard = trials(name, lambda: read_mono(path, 16_000), most_bytes=MOST, naming=str(path))
        piped = trials(name, as_stream, most_bytes=MOST)
        trials.expect(name, (heard is None) == (piped is None))
        if heard is not None and piped is not None:
            trials.expect(name, heard.shape == piped.shape and np.allclose(heard, piped, rtol=0, atol=1e-7))
