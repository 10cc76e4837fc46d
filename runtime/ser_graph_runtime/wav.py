"""The header of a WAV, read once from its start: from a pipe or from a file."""

import struct
from typing import BinaryIO, NamedTuple

from ser_graph_runtime.errors import InputError

UNKNOWN = 2**31 - 2**16  # bytes: programs that cannot return to the header write at least this number
_AT_ONCE = 2**20  # bytes
_FORMAT_BYTES = 40  # the longest format chunk that is known
# Chunks that follow the sound. If one comes at once, the recording is empty; otherwise its size was never written.
_AFTER_SOUND = frozenset({b"LIST", b"INFO", b"id3 ", b"ID3 ", b"bext", b"cue ", b"fact", b"iXML", b"JUNK", b"smpl"})


class WavHeader(NamedTuple):
    """The header of a WAV.

    Attributes:
        form: the start of the format chunk; empty without one.
        size: bytes of sound; None: until the end.
        start: the first bytes of the sound, which were read with the header.
    """

    form: bytes
    size: int | None
    start: bytes = b""


def read_wav_header(file: BinaryIO) -> WavHeader:
    """Read the header of a WAV after its first word, ``RIFF``.

    Raises:
        InputError: another format, or the header is cut.
    """
    if _exactly(file, 8)[4:] != b"WAVE":
        raise InputError("The stream begins as RIFF but is not WAV; expected WAV or raw PCM")
    form = b""
    while True:
        name, size = struct.unpack("<4sI", _exactly(file, 8))
        if name == b"data":
            break
        size += size % 2
        start = _exactly(file, min(size, _FORMAT_BYTES))
        _skip(file, size - len(start))
        if name == b"fmt ":
            form = start
    if size:
        return WavHeader(form, size if size < UNKNOWN else None)
    # A program that was stopped, or that writes into a pipe, leaves the size at 0.
    start = file.read(4)
    return WavHeader(form, 0) if start in _AFTER_SOUND else WavHeader(form, None, start)


def _skip(file: BinaryIO, n: int) -> None:
    while n:
        n -= len(_exactly(file, min(n, _AT_ONCE)))


def _exactly(file: BinaryIO, n: int) -> bytes:
    found = file.read(n)
    if len(found) < n:
        raise InputError("The stream ends within its WAV header; expected sound after it")
    return found
