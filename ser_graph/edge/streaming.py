"""Speech as it comes: from a pipe or a microphone, window by window. Neither torch nor pandas is imported."""

import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from ser_graph.audio.sound import repeat_to
from ser_graph.common.extras import edge_package
from ser_graph.edge.models import Model, load_model
from ser_graph.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from ser_graph.downstream import Student
    from ser_graph.edge.nearest import Nearest

BLOCK = 0.1  # seconds that are read at a time
MICROPHONE = "microphone"
_WAV_FORMATS = {(1, 16): "<i2", (1, 32): "<i4", (3, 32): "<f4"}  # format code and bits -> how numpy calls it
_COMPRESSED = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3"}


@dataclass(frozen=True)
class Heard:
    """What a model says of a window.

    Attributes:
        start: in seconds.
        end: in seconds.
        predicted: the most probable emotion.
        probabilities: of each emotion; they sum to 1.
        nearest: file, emotion and similarity of the nearest labelled clips, where a graph was given.
    """

    start: float
    end: float
    predicted: str
    probabilities: dict[str, float]
    nearest: list[tuple[str, str, float]]


def listen(
    model: "str | Path | Student | Model",
    source: "BinaryIO | str | Iterable[np.ndarray]",
    *,
    rate: int | None = None,
    window: float | None = None,
    hop: float | None = None,
    nearest: "Nearest | None" = None,
) -> Iterator[Heard]:
    """What a model says of a stream, window by window, as soon as each is complete.

    A student that normalises by speaker takes the stream for one voice, of which it knows more from window to
    window, see `hear_windows`.

    Args:
        model: a student, its folder, or an exported ``.onnx`` file.
        source: a binary file of raw PCM (16 bit, little-endian, mono) or WAV, ``"microphone"``, or arrays of
            float32 samples in -1..1, mono, at the model's rate.
        rate: sampling rate in Hz of raw PCM; it has to be the model's.
        window: length in seconds, at most what the model hears at once, which is the default. A shorter one is
            repeated to that length, as short clips were in training.
        hop: seconds from one window to the next, at most a window, which is the default. What is left at the end
            is in a last window that ends there.
        nearest: a graph's clips, to name those that sound most alike to the model.

    Yields:
        A `Heard` for each window: its `start` and `end` in seconds, `predicted`, `probabilities`, `nearest`.

    Raises:
        InputError: a stream of another rate, of no or of compressed sound, or a window that is too long.

    Examples:
        >>> with open("talk.wav", "rb") as file:  # doctest: +SKIP
        ...     for heard in listen("student.onnx", file, hop=1.0):
        ...         print(heard.start, heard.predicted)
    """
    model = load_model(model)
    own = model.features["sample_rate"]
    length, step = window_samples(model, window, hop)
    if isinstance(source, str):
        blocks = _microphone(source, own)
    elif hasattr(source, "read"):
        blocks = _pcm(cast("BinaryIO", source), rate, own)
    elif isinstance(source, np.ndarray) and source.ndim == 1:
        blocks = iter([source])
    else:
        blocks = iter(source)
    n = 0
    for heard, _ in hear_windows(model, cut(blocks, length, step), nearest):
        n += 1
        yield heard
    if not n:
        raise InputError("The stream ended without a sample; is the program that feeds it running?")


def hear_windows(
    model: Model,
    windows: Iterable[tuple[int, np.ndarray]],
    nearest: "Nearest | None" = None,
    voice: np.ndarray | None = None,
) -> Iterator[tuple[Heard, np.ndarray | None]]:
    """What a model says of the windows of one voice, in their order.

    A window is heard with what is known of the voice from before it began. Where windows overlap, only those count
    that begin where the last one that counted ended, or later: no sample counts twice.

    Args:
        model: the model.
        windows: where each starts, and its samples, see `cut`.
        nearest: a graph's clips, to name those that sound most alike.
        voice: [1, 3, n_mels] what is known of the voice before, see `Model.hear`.

    Yields:
        What it says of the window, and what is known of the voice by then: None of a model that hears no voices.
    """
    after, end = voice, 0
    for start, samples in windows:
        counts = start >= end
        if counts:
            voice, end = after, start + len(samples)
        heard, known = hear(model, samples, start, nearest, voice)
        if counts:
            after = known
        yield heard, after


def hear(
    model: Model,
    samples: np.ndarray,
    start: int,
    nearest: "Nearest | None" = None,
    voice: np.ndarray | None = None,
) -> tuple[Heard, np.ndarray | None]:
    """What a model says of the samples of one window, which begins at sample `start`, and what it then knows.

    Raises:
        InputError: samples that are no numbers, or far too large ones.
    """
    rate = model.features["sample_rate"]
    end = start + len(samples)
    waveform = repeat_to(samples, model.features["n_samples"]).astype(np.float32)
    (probabilities,), fc1, after = model.hear(waveform[None], voice)
    if not np.isfinite(probabilities).all():  # NaN in the sound, or numbers beyond all bounds
        raise InputError(
            f"The sound from {start / rate:.2f} to {end / rate:.2f} s holds samples up to {np.abs(samples).max()}, "
            "expected -1 to 1"
        )
    heard = Heard(
        start=start / rate,
        end=end / rate,
        predicted=model.emotions[int(probabilities.argmax())],
        probabilities=dict(zip(model.emotions, probabilities.astype(float).tolist(), strict=True)),
        nearest=nearest(fc1)[0] if nearest else [],
    )
    return heard, after


def format_heard(heard: Heard) -> str:
    """A window as a line, the most probable emotion first.

    Examples:
        >>> format_heard(Heard(0.0, 5.984, "fear", {"anger": 0.2, "fear": 0.8}, [("a.wav", "fear", 0.97)]))
        '0.00-5.98 s  fear 0.80  anger 0.20  | a.wav (fear 0.97)'
    """
    order = sorted(heard.probabilities.items(), key=lambda item: -item[1])
    said = "  ".join(f"{emotion} {probability:.2f}" for emotion, probability in order)
    why = ", ".join(f"{file} ({emotion} {similarity:.2f})" for file, emotion, similarity in heard.nearest)
    return f"{heard.start:.2f}-{heard.end:.2f} s  {said}{f'  | {why}' if why else ''}"


def window_samples(model: Model, window: float | None, hop: float | None) -> tuple[int, int]:
    """Window and hop in samples.

    Raises:
        InputError: a window longer than the model hears, or a hop longer than a window; or none at all.
    """
    rate, most = model.features["sample_rate"], model.features["n_samples"]
    length = most if window is None else _rounded(window * rate)
    if not 0 < length <= most:
        raise InputError(
            f"Bad window {window!r}, expected more than 0 and at most {most / rate:g} seconds, which is what the "
            "model hears at once"
        )
    step = length if hop is None else _rounded(hop * rate)
    if not 0 < step <= length:
        raise InputError(f"Bad hop {hop!r}, expected more than 0 and at most the window, {length / rate:g} seconds")
    return length, step


def _rounded(number: float) -> int:
    return round(number) if math.isfinite(number) else 0


def cut(blocks: Iterable[np.ndarray], window: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Windows of a stream: where each starts, and its samples.

    Every sample is in a window. The last one ends with the stream; only a stream that is shorter than a window
    gives a shorter one.

    Args:
        blocks: arrays of samples, of any lengths.
        window: samples of a window.
        hop: samples from one to the next, at most `window`.

    Examples:
        >>> [(start, samples.tolist()) for start, samples in cut([np.arange(3), np.arange(3, 8)], 4, 3)]
        [(0, [0, 1, 2, 3]), (3, [3, 4, 5, 6]), (4, [4, 5, 6, 7])]
    """
    kept, first = np.empty(0, np.float32), 0  # the samples since number `first`
    start = done = 0  # where the next window starts, where the last one ended
    for block in blocks:
        kept = np.concatenate([kept, block]) if len(kept) else block
        while start + window <= first + len(kept):
            yield start, kept[start - first :][:window]
            done, start = start + window, start + hop
        dropped = max(0, min(start - first, len(kept) - window))  # the last window may need what is before `start`
        kept, first = kept[dropped:], first + dropped
    if first + len(kept) > done:
        last = kept[-window:]
        yield first + len(kept) - len(last), last


def _pcm(file: BinaryIO, rate: int | None, expected: int) -> Iterator[np.ndarray]:
    """Blocks of mono samples of a stream of WAV or raw PCM."""
    start = file.read(4)
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            raise InputError(
                f"The stream is {name}, expected WAV or raw PCM; decode it on the way: "
                f"ffmpeg -i - -f s16le -ar {expected} -ac 1 -"
            )
    kind, channels, left = "<i2", 1, None
    if start == b"RIFF":
        kind, channels, found, left = _wav_header(file)
        if rate is not None and rate != found:
            raise InputError(f"The stream's header says {found:,} Hz, but rate={rate:,} was given; leave it out")
        rate, start = found, b""
    elif rate is None:
        raise InputError(f"Raw PCM says nothing of its rate; say it with rate= (--rate), expected {expected}")
    if rate != expected:
        raise InputError(
            f"The stream has {rate:,} Hz, the model expects {expected:,} Hz; resample it on the way: "
            f"ffmpeg -i - -f s16le -ar {expected} -ac 1 -"
        )
    frame = channels * np.dtype(kind).itemsize
    size = frame * round(BLOCK * rate)
    while block := file.read(size if left is None else min(size, left)):
        left = left if left is None else left - len(block)
        block = start + block
        whole = len(block) // frame * frame
        samples, start = np.frombuffer(block[:whole], kind).reshape(-1, channels), block[whole:]
        scale = 1 if kind == "<f4" else -np.iinfo(kind).min
        yield samples.mean(axis=1, dtype=np.float32) / np.float32(scale)


def _wav_header(file: BinaryIO) -> tuple[str, int, int, int | None]:
    """Kind of samples, channels, rate and bytes of sound (None: until the end) of a WAV after its first word."""
    if _exactly(file, 8)[4:] != b"WAVE":
        raise InputError("The stream begins as RIFF but is no WAV; expected WAV or raw PCM")
    found = None
    while True:
        name, size = struct.unpack("<4sI", _exactly(file, 8))
        if name == b"data":
            break
        chunk = _exactly(file, size + size % 2)
        if name == b"fmt ":
            found = _format_of(chunk)
    if found is None:
        raise InputError(
            "The stream's WAV header does not say its format before its sound; expected WAV or raw PCM"
        )
    # A program that writes into a pipe cannot know the size, and writes 0 or the most that there is.
    return *found, (None if size == 0 or size >= 2**31 - 2**16 else size)


def _format_of(chunk: bytes) -> tuple[str, int, int]:
    code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunk[:16].ljust(16, b"\0"))
    if code == 0xFFFE and len(chunk) >= 26:  # extensible: the code comes later
        code = struct.unpack("<H", chunk[24:26])[0]
    if (code, bits) not in _WAV_FORMATS or not channels:
        raise InputError(
            f"The stream is WAV of format {code} with {bits} bits, expected 16 or 32 bits of PCM or float"
        )
    return _WAV_FORMATS[code, bits], channels, rate


def _exactly(file: BinaryIO, n: int) -> bytes:
    found = file.read(n)
    if len(found) < n:
        raise InputError("The stream ends within its WAV header; expected sound after it")
    return found


def _microphone(name: str, rate: int) -> Iterator[np.ndarray]:
    if name != MICROPHONE:
        raise InputError(f"Bad stream {name!r}, expected {MICROPHONE!r}, a binary file or arrays")
    try:
        sounddevice: Any = edge_package("sounddevice", "microphone")
    except OSError as error:  # the package is there, the system's library is not
        raise InputError(f"sounddevice does not work here ({error}); install the system's PortAudio") from None
    try:
        with sounddevice.InputStream(samplerate=rate, channels=1, dtype="float32") as stream:
            while True:
                block, _ = stream.read(round(BLOCK * rate))
                yield block[:, 0].copy()
    except sounddevice.PortAudioError as error:
        raise InputError(f"The microphone cannot be used at {rate:,} Hz ({error})") from None
