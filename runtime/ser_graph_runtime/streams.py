"""Live sound from a pipe, a microphone or arrays -> mono at the rate of the model."""

import struct
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from ser_graph_runtime.arrays import Mixer, check_rate
from ser_graph_runtime.errors import InputError
from ser_graph_runtime.extras import extra_package
from ser_graph_runtime.resampling import resampled
from ser_graph_runtime.wav import WavHeader, read_wav_header

BLOCK = 0.1  # seconds per read
_MOST_BYTES = 2**20  # per read
_MOST_CHANNELS = 256  # a header of more is damaged
MICROPHONE = "microphone"
_WAV_FORMATS = {(1, 16): "<i2", (1, 32): "<i4", (3, 32): "<f4"}  # format code and bits -> numpy's name
_OTHERS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"FORM": "AIFF", b"RF64": "RF64", b"RIFX": "RIFX"}


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

    Warns:
        UserWarning: a WAV is shorter than its header says.

    Raises:
        InputError: a stream of unknown rate, or with compressed sound; or, at its end, channels that cancel each
            other.
    """
    if isinstance(source, str | Path):
        yield from _microphone(str(source), sample_rate)
        return
    mixer = Mixer()
    if hasattr(source, "read"):
        blocks, rate = _pcm(cast("BinaryIO", source), rate, mixer)
    else:
        blocks, rate = _arrays(source, rate, mixer)
    yield from resampled(blocks, rate, sample_rate)
    if mixer.cancellation:
        raise InputError(f"The sound cannot be used (silent: {mixer.cancellation})")


def _arrays(source: Any, rate: int | None, mixer: Mixer) -> tuple[Iterator[np.ndarray], int]:
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
    return map(mixer.array, arrays), check_rate(rate)


def _is_array(source: object) -> bool:
    return hasattr(source, "__array__") and getattr(source, "ndim", 0) > 0


def _pcm(file: BinaryIO, rate: int | None, mixer: Mixer) -> tuple[Iterator[np.ndarray], int]:
    """Blocks of mono samples of a stream of WAV or raw PCM, and their rate."""
    start = file.read(4)
    if not isinstance(start, bytes):
        raise InputError("The stream is text, expected bytes; open it as a binary file")
    for magic, name in _OTHERS.items():
        if start.startswith(magic):
            raise InputError(
                f"The stream is {name}, expected WAV or raw PCM; decode it first: "
                "ffmpeg -i - -f s16le -ar 16000 -ac 1 -"
            )
    kind, channels, header = "<i2", 1, WavHeader(b"", None, start)
    if start == b"RIFF":
        header = read_wav_header(file)
        kind, channels, found = _format_of(header.form)
        if rate is not None and check_rate(rate) != found:
            raise InputError(f"The stream's header says {found:,} Hz, but rate={rate:,} was given; leave it out")
        rate = found
    elif rate is None:
        raise InputError("Raw PCM does not contain its rate; give it with rate= (--rate)")
    rate = check_rate(rate)
    return _samples(file, header, np.dtype(kind), channels, round(BLOCK * rate), mixer), rate


def _samples(
    file: BinaryIO, header: WavHeader, kind: np.dtype, channels: int, n: int, mixer: Mixer
) -> Iterator[np.ndarray]:
    """Mono samples, about `n` at a time, of a file after its header."""
    start, left = header.start, header.size
    frame = channels * kind.itemsize
    size = min(frame * n, _MOST_BYTES)
    while block := file.read(size if left is None else min(size, left)):
        left = left if left is None else left - len(block)
        block = start + block
        whole = len(block) // frame * frame
        samples, start = np.frombuffer(block[:whole], kind).reshape(-1, channels), block[whole:]
        yield mixer(samples, 1)
    if left:
        warnings.warn(
            f"The stream is truncated: its header promises {header.size:,} bytes of sound, {left:,} are missing",
            stacklevel=2,
        )


def _format_of(chunk: bytes) -> tuple[str, int, int]:
    """Type of samples, channels and rate by the format chunk of a WAV."""
    if not chunk:
        raise InputError("The stream's WAV header has no format before its sound; expected WAV or raw PCM")
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
