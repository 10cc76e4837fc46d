"""Streams of WAV and of raw PCM with damaged headers."""

import io
import random
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from ser_graph_runtime.errors import InputError
from ser_graph_runtime.streams import mono_stream

MOST = 2**23  # bytes; a stream here has 6,400


@pytest.mark.filterwarnings("ignore:The stream is truncated")
def test_damaged_streams(trials, damaged):
    rng, file = random.Random(0), io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 3_200), 16_000, format="WAV")
    whole = file.getvalue()
    list(mono_stream(io.BytesIO(whole), None, 8_000))  # imports do not count
    for number in trials.numbers(500):
        head = rng.choice([48, 48, len(whole)])
        content = damaged(rng, whole[:head]) + whole[head:]
        rate = rng.choice([None, None, 16_000, 8_000, 0, -1, 10**9, 2.5, "fast", float("nan")])

        def reader(content=content, rate=rate):
            return list(mono_stream(io.BytesIO(content), rate, 16_000))

        blocks = trials(f"{number} {content[:48]!r}", reader, most_bytes=MOST)
        for block in blocks or ():
            trials.expect(number, block.dtype == np.float32 and block.ndim == 1)


class Chunk(io.RawIOBase):
    """A WAV with a chunk of `size` bytes before its sound; the chunk is made as it is read."""

    def __init__(self, name: bytes, size: int, sound: bytes) -> None:
        form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
        self.parts = [(b"RIFF\xff\xff\xff\xffWAVE" + form + name + struct.pack("<I", size), 0)]
        self.parts += [(b"", size + size % 2), (b"data" + struct.pack("<I", len(sound)) + sound, 0)]

    def read(self, n: int = -1) -> bytes:
        given = b""
        while self.parts and len(given) < n:
            (text, zeros), wanted = self.parts[0], n - len(given)
            given += text[:wanted] or bytes(min(zeros, wanted))
            zeros = zeros if text else zeros - min(zeros, wanted)
            self.parts[0] = (text[wanted:], zeros)
            if self.parts[0] == (b"", 0):
                self.parts.pop(0)
        return given


@pytest.mark.parametrize("size", [0, 1, 7, 2**20 + 1, 2**32 - 2])
def test_a_chunk_before_the_sound_is_skipped_in_blocks(size):
    sound = np.arange(-800, 800, dtype="<i2")
    tracemalloc.start()
    found = np.concatenate(list(mono_stream(Chunk(b"LIST", size, sound.tobytes()), None, 16_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found, sound.astype(np.float32) / 2**15)
    assert peak < 2**22


@pytest.mark.parametrize("name", [b"LIST", b"fmt "])
def test_a_chunk_that_never_ends_is_refused(name):
    stream = Chunk(name, 2**31, b"")
    stream.parts[1:] = [(b"", 1_000)]
    with pytest.raises(InputError, match=r"^The stream ends within its WAV header"):
        list(mono_stream(stream, None, 16_000))


def test_many_channels_take_little_memory():
    """A header may promise 65,535 channels at a million samples a second: 13 GB in a tenth of a second."""
    form = struct.pack("<IHHIIHH", 16, 1, 65_535, 1_000_000, 0, 0, 16)
    head = b"RIFF\xff\xff\xff\xffWAVEfmt " + form + b"data\xff\xff\xff\xff"
    asked = []

    class Counting(io.BytesIO):
        def read(self, n=-1):
            asked.append(n)
            return super().read(n)

    with pytest.raises(InputError, match="channels"):
        list(mono_stream(Counting(head + bytes(200_000)), None, 16_000))
    assert max(asked) <= 2**22
