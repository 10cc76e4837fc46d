"""Sound files as arrays. Training, checking and the device use this reader."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ser_graph_runtime.arrays import FEWEST, LOUDEST, MOST, Mixer
from ser_graph_runtime.errors import InputError
from ser_graph_runtime.extras import extra_package
from ser_graph_runtime.resampling import resampled
from ser_graph_runtime.wav import UNKNOWN, read_wav_header

_AT_ONCE = 2**20  # samples decoded at a time, over all channels
_POINTER = b"version https://git-lfs"  # the text that git-lfs leaves in place of a file
_KNOWN = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
# Formats of phones and browsers that libsndfile does not read.
FOREIGN_SUFFIXES = frozenset({".3gp", ".aac", ".amr", ".m4a", ".mka", ".mp4", ".weba", ".webm", ".wma"})

_UNKNOWN_LENGTH = 2**36 - 1  # frames, the maximum of FLAC; a larger number means that the length is unknown
_OGG_PAGE = 65_307  # bytes, the maximum
_WAV_SIZES = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)


class SoundError(InputError):
    """A sound file that cannot be used.

    Args:
        path: the file.
        problem: the problem in a word or two.
        detail: what was found, and what to do.
    """

    def __init__(self, path: str | Path, problem: str, detail: str) -> None:
        super().__init__(f"{path} cannot be used ({problem}: {detail})")
        self.problem, self.detail = problem, detail


class SoundReader:
    """An open sound file; see `open_sound`.

    Attributes:
        rate: samples per second.
        channels: number of channels.
        frames: samples of each channel according to the header; None if the header has no number.
        codec: container and encoding in libsndfile's words, e.g. ``"FLAC PCM_16"``.
    """

    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file = path, file
        self.rate, self.channels = file.samplerate, file.channels
        self.codec = f"{file.format} {file.subtype}"
        self.frames = file.frames if file.frames < _UNKNOWN_LENGTH else None
        self._log = file.extra_info

    def blocks(self) -> Iterator[np.ndarray]:
        """Decode the file from its start to its end.

        Yields:
            float32 samples of shape [n, channels] in -1..1, with n of at least 1.

        Raises:
            SoundError: the file is truncated or has no samples, or samples are NaN, infinite or far too large.
        """
        at_once = max(1, _AT_ONCE // self.channels)
        n = 0
        while True:
            with _explained(self._path):
                block = self._file.read(at_once, dtype="float32", always_2d=True)
            if not len(block):
                break
            n += len(block)
            _check_samples(block, self._path)
            yield block
        if cut := _cut(self.frames, n, self._log) or _cut_ogg(self._path, self._file):
            raise SoundError(self._path, "truncated", f"{cut}; fetch it again")
        if not n:
            raise SoundError(self._path, "empty", "a header without samples; fetch it again")

    def mono_blocks(self, sample_rate: int) -> Iterator[np.ndarray]:
        """As `blocks`, but as mono (channels averaged) at `sample_rate`: float32 of shape [n].

        Raises:
            SoundError: also if the channels cancel each other.
        """
        mixer = Mixer()
        yield from resampled((mixer(block, 1) for block in self.blocks()), self.rate, sample_rate)
        if mixer.cancellation:
            raise SoundError(self._path, "silent", mixer.cancellation)


@contextlib.contextmanager
def open_sound(path: str | Path) -> Iterator[SoundReader]:
    """Open a sound file: anything that libsndfile reads (wav, flac, ogg, mp3 and many more).

    Args:
        path: the file.

    Raises:
        SoundError: the file cannot be used; also raised while the file is read.
    """
    path = Path(path)
    _check_file(path)
    with contextlib.ExitStack() as stack:
        with _explained(path):
            file = stack.enter_context(_one_way(_soundfile().SoundFile(path)))
            if not file.frames and (place := _unwritten_size(path)):
                file = stack.enter_context(_one_way(_soundfile().SoundFile(_Endless(path, place))))
        if file.format == "RAW":  # only the name says that it is sound, e.g. an .au file without a header
            raise SoundError(path, *_why_not_decoded(path, "there is no header"))
        if not FEWEST <= file.samplerate <= MOST:
            detail = f"its header says {file.samplerate:,} samples a second"
            raise SoundError(path, "bad rate", f"{detail}, expected {FEWEST:,} to {MOST:,}; fetch it again")
        yield SoundReader(path, file)


def mono_blocks(path: str | Path, sample_rate: int) -> Iterator[np.ndarray]:
    """Read a file piece by piece as mono (channels averaged) at `sample_rate`.

    Args:
        path: the file, of any length: only one piece is in memory.
        sample_rate: in Hz; see `resampled` for files of another rate.

    Yields:
        float32 arrays of shape [n].

    Raises:
        SoundError: see `open_sound` and `SoundReader.mono_blocks`.
    """
    with open_sound(path) as sound:
        yield from sound.mono_blocks(sample_rate)


def read_mono(path: str | Path, sample_rate: int) -> np.ndarray:
    """A whole file as mono at `sample_rate`, see `mono_blocks`: float32 of shape [n_samples]."""
    return np.concatenate(list(mono_blocks(path, sample_rate)))


def _one_way(file: Any) -> Any:
    """The file, which is then read from its start to its end, without seeking.

    By default, soundfile seeks after every read. Some decoders cannot seek. MP3 decoders then miss the position by
    a little, and FLAC fails if the length in the header is wrong.
    """
    file.seekable = lambda: False
    return file


class _Endless(io.FileIO):
    """A WAV whose header promises the largest number of bytes; libsndfile then reads to the end of the file.

    Args:
        path: the file.
        place: the place of the four bytes of this number.
    """

    def __init__(self, path: Path, place: int) -> None:
        super().__init__(path)
        self._place = place

    def readinto(self, buffer: Any) -> int:
        start, read = self.tell(), memoryview(buffer).cast("B")
        n = super().readinto(read)
        for place in range(max(start, self._place), min(start + n, self._place + 4)):
            read[place - start] = 0xFF
        return n


def _unwritten_size(path: Path) -> int | None:
    """The place in a WAV of the size of its sound, if the size was never written; otherwise None."""
    with path.open("rb") as file, contextlib.suppress(InputError):
        if file.read(4) == b"RIFF":
            header = read_wav_header(file)
            if header.start:
                return file.tell() - len(header.start) - 4
    return None


def _soundfile() -> Any:
    return extra_package("soundfile", "ser-graph-runtime[files]")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of libsndfile into a `SoundError`."""
    soundfile = _soundfile()
    try:
        yield
    except UnicodeError:
        raise SoundError(path, "not audio", "its name is not UTF-8; rename it") from None
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a .raw file has no rate
        raise SoundError(path, *_why_not_decoded(path, str(error))) from None
    except OSError as error:
        raise SoundError(path, "unreadable", f"it cannot be opened, {error.strerror or error}") from None


def _check_file(path: Path) -> None:
    """Refuse everything except a file that is not empty; reading a pipe would wait."""
    try:
        path.lstat()
    except FileNotFoundError:
        pass  # the next lines say why
    except (OSError, ValueError) as error:  # a name that is too long or holds a zero; a closed folder
        reason = getattr(error, "strerror", None) or error
        raise SoundError(path, "unreadable", f"{reason}; correct its name or open its folder") from None
    if path.is_symlink() and not path.exists():
        detail = f"a link to {path.readlink()}, which does not exist; fetch it (git-annex: 'git annex get')"
        raise SoundError(path, "missing", detail)
    if not path.exists():
        raise SoundError(path, "missing", "no such file; fetch it, or correct its name")
    if path.is_dir():
        raise SoundError(path, "not audio", "a folder, expected a sound file")
    if not path.is_file():
        raise SoundError(path, "not audio", "a pipe or a device, expected a sound file; read it as a stream")
    if not path.stat().st_size:
        raise SoundError(path, "empty", "0 bytes; fetch it again")


def _why_not_decoded(path: Path, reported: str) -> tuple[str, str]:
    """Problem and detail of a file that libsndfile refuses, or reads as sound only because of its name."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
    except OSError as error:
        return "unreadable", f"it cannot be opened, {error.strerror}"
    reason = reported.rpartition(":")[2].strip().rstrip(".")
    if start == _POINTER:
        return "pointer", "a git-lfs pointer in place of the sound; fetch it with 'git lfs pull'"
    if start.startswith(_KNOWN):
        return "truncated", f"decoding stops ({reason}); fetch it again"
    if path.suffix.lower() in FOREIGN_SUFFIXES:
        wav = path.with_suffix(".wav").name
        return "not audio", f"a format that libsndfile does not know; convert it: ffmpeg -i {path.name} {wav}"
    return "not audio", f"it starts with {start[:8]!r}; expected WAV, FLAC, Ogg, MP3 or AIFF"


def _check_samples(block: np.ndarray, path: Path) -> None:
    loudest = np.abs(block).max()
    if not np.isfinite(loudest):
        raise SoundError(path, "not finite", "it holds NaN or infinite samples; leave it out or record it again")
    if loudest > LOUDEST:
        raise SoundError(
            path, "wrong scale", f"it holds samples up to {loudest:,.6g}, expected -1 to 1; rescale it"
        )


def _cut(promised: int | None, decoded: int, log: str) -> str:
    """What is missing compared with the header. libsndfile corrects a short WAV and writes that to its log."""
    sizes = _WAV_SIZES.search(log)
    if sizes and int(sizes[2]) < int(sizes[1]) < UNKNOWN:
        return f"the header promises {sizes[1]} bytes of sound, there are {sizes[2]}"
    if promised is not None and decoded < promised:
        return f"the header promises {promised} frames, {decoded} can be decoded"
    return ""


def _cut_ogg(path: Path, file: Any) -> str:
    """What is missing in an Ogg file, which has no number of frames: its last page has a mark, and is complete.

    libsndfile also warns of some complete files.
    """
    if file.format != "OGG":
        return ""
    with path.open("rb") as stored:
        stored.seek(max(0, path.stat().st_size - _OGG_PAGE))
        end = stored.read()
    for page in re.finditer(rb"OggS\0(.).{20}(.)", end, re.DOTALL):
        flags, n_sizes = page[1][0], page[2][0]
        sizes = end[page.end() : page.end() + n_sizes]
        if flags & 4 and len(sizes) == n_sizes and page.end() + n_sizes + sum(sizes) <= len(end):
            return ""
    return "the stream ends without its end mark"
