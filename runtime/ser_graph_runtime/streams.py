"""Live sound from a pipe, a microphone or arrays -> mono at the rate of the model."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from ser_graph_runtime.arrays import as_mono, check_rate, mono_of
from ser_graph_runtime.errors import InputError
from ser_graph_runtime.extras import extra_package
from ser_graph_runtime.resampling import resampled

BLOCK = 0.1  # seconds per read
_MOST_BYTES = 2**20  # per read
_MOST_CHANNELS = 256  # a header of more is damaged
_FORMAT_BYTES = 40  # the longest format chunk that is known
MICROPHONE = "microphone"
_WAV_FORMATS = {(1, 16): "<i2", (1, 32): "<i4", (3, 32): "<f4"}  # format code and bits -> numpy's name
_COMPRESSED = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3"}


def is_array_with_rate(source: object) -> bool:
    """Whether the source is ``(samples, rate)``, not a pair of paths or a series of arrays."""
    return isinstance(source, tuple) and len(source) == 2 and _is_array(source[0]) and not _is_array(source[1])


def mono_stream(
    source: "BinaryIO | str | tuple[Any, int] | Iterable[Any]", rate: int | None, sample_rate: int
) -> Iterator[np.ndarray]:
    """Blocks of mono samples of a stream, as soon as they arrive.

    Args:
        source: as for `listen`.
        rate: rate in Hz of a source that does not contain it: raw PCM, and an iterator of arrays.
        sample_rate: wanted rate in Hz.

    Yields:
        float32 arrays of shape [n].

    Raises:
        InputError: a stream of unknown rate, without sound or with compressed sound.
    """
    if isinstance(source, str | Path):
        yield from _microphone(str(source), sample_rate)
        return
    if hasattr(source, "read"):
        blocks, rate = _pcm(cast("BinaryIO", source), rate)
    else:
        blocks, rate = _arrays(source, rate)
    yield from resampled(blocks, rate, sample_rate)


def _arrays(source: Any, rate: int | None) -> tuple[Iterator[np.ndarray], int]:
    if is_array_with_rate(source):
        source, array_rate = source
        if rate is not None and rate != array_rate:
            raise InputError(
                f"The array comes with a rate of {array_rate!r}, but rate={rate!r} was given; leave it out"
            )
        rate = array_rate
    if rate is None:
        raise InputError("An array does not contain its rate; give (samples, rate)")
    arrays = [source] if _is_array(source) else source
    if not isinstance(arrays, Iterable):
        raise InputError(f"Bad stream of type {type(source).__name__}, expected arrays or a binary file")
    return map(as_mono, arrays), check_rate(rate)


def _is_array(source: object) -> bool:
    return hasattr(source, "__array__") and getattr(source, "ndim", 0) > 0


def _pcm(file: BinaryIO, rate: int | None) -> tuple[Iterator[np.ndarray], int]:
    """Blocks of mono samples of a stream of WAV or raw PCM, and their rate."""
    start = file.read(4)
    if not isinstance(start, bytes):
        raise InputError("The stream is text, expected bytes; open it as a binary file")
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            raise InputError(
                f"The stream is {name}, expected WAV or raw PCM; decode it first: "
                "ffmpeg -i - -f s16le -ar 16000 -ac 1 -"
            )
    kind, channels, left = "<i2", 1, None
    if start == b"RIFF":
        kind, channels, found, left = _wav_header(file)
        if rate is not None and check_rate(rate) != found:
            raise InputError(f"The stream's header says {found:,} Hz, but rate={rate:,} was given; leave it out")
        rate, start = found, b""
    elif rate is None:
        raise InputError("Raw PCM does not contain its rate; give it with rate= (--rate)")
    rate = check_rate(rate)
    return _samples(file, start, np.dtype(kind), channels, left, round(BLOCK * rate)), rate


def _samples(
    file: BinaryIO, start: bytes, kind: np.dtype, channels: int, left: int | None, n: int
) -> Iterator[np.ndarray]:
    """Mono samples, about `n` at a time, of the bytes `start` and of a file, `left` more or until it ends."""
    frame = channels * kind.itemsize
    size = min(frame * n, _MOST_BYTES)
    while block := file.read(size if left is None else min(size, left)):
        left = left if left is None else left - len(block)
        block = start + block
        whole = len(block) // frame * frame
        samples, start = np.frombuffer(block[:whole], kind).reshape(-1, channels), block[whole:]
        yield mono_of(samples, 1)


def _wav_header(file: BinaryIO) -> tuple[str, int, int, int | None]:
    """Type of samples, channels, rate and bytes of sound (None: until the end) of a WAV, after its first word."""
    if _exactly(file, 8)[4:] != b"WAVE":
        raise InputError("The stream begins as RIFF but is not WAV; expected WAV or raw PCM")
    found = None
    while True:
        name, size = struct.unpack("<4sI", _exactly(file, 8))
        if name == b"data":
            break
        size += size % 2
        start = _exactly(file, min(size, _FORMAT_BYTES))
        _skip(file, size - len(start))
        if name == b"fmt ":
            found = _format_of(start)
    if found is None:
        raise InputError("The stream's WAV header has no format before its sound; expected WAV or raw PCM")
    # A program that writes into a pipe does not know the size, and writes 0 or the largest number.
    return *found, (None if size == 0 or size >= 2**31 - 2**16 else size)


def _format_of(chunk: bytes) -> tuple[str, int, int]:
    code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunk[:16].ljust(16, b"\0"))
    if code == 0xFFFE and len(chunk) >= 26:  # extensible: the code is further on
        code = struct.unpack("<H", chunk[24:26])[0]
    if (code, bits) not in _WAV_FORMATS or not channels:
        raise InputError(
            f"The stream is WAV of format {code} with {bits} bits, expected 16 or 32 bits of PCM or float"
        )
    if channels > _MOST_CHANNELS:
        raise InputError(f"The stream's WAV header says {channels:,} channels, expected at most {_MOST_CHANNELS}")
    return _WAV_FORMATS[code, bits], channels, rate


def _skip(file: BinaryIO, n: int) -> None:
    while n:
        n -= len(_exactly(file, min(n, _MOST_BYTES)))


def _exactly(file: BinaryIO, n: int) -> bytes:
    found = file.read(n)
    if len(found) < n:
        raise InputError("The stream ends within its WAV header; expected sound after it")
    return found


def _microphone(name: str, rate: int) -> Iterator[np.ndarray]:
    if name != MICROPHONE:
        raise InputError(f"Bad stream {name!r}, expected {MICROPHONE!r}, a binary file or arrays")
    sounddevice = extra_package("sounddevice", "ser-graph-runtime[microphone]")
    try:
        with sounddevice.InputStream(samplerate=rate, channels=1, dtype="float32") as stream:
            while True:
                block, _ = stream.read(round(BLOCK * rate))
                yield block[:, 0].copy()
    except sounddevice.PortAudioError as error:
        raise InputError(
            f"The microphone cannot be used at {rate:,} Hz ({error}); connect one, and let this program use it"
        ) from None
