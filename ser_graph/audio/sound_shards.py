"""Shards of recordings: WebDataset tar files, and Parquet files with a column of audio, read one by one."""

import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from ser_graph.audio.reading import load_waveform
from ser_graph.audio.settings import SAMPLE_RATE
from ser_graph.common.extras import optional_package
from ser_graph.errors import InputError

SHARD_SUFFIXES = (".tar", ".parquet")
_SOUNDS = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})
_AT_ONCE = 16  # rows of a Parquet file in memory


def find_shards(source: str | Path) -> list[Path]:
    """The shards of a folder by name, or the one shard given.

    Raises:
        InputError: no such path, or a folder without shards.
    """
    path = Path(source).expanduser()
    if path.is_file() and path.suffix in SHARD_SUFFIXES:
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in SHARD_SUFFIXES) if path.is_dir() else []
    if not found:
        raise InputError(f"No shards in {source}; expected a folder with files that end in .tar or .parquet")
    return found


def read_shard(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The recordings of a shard in order; only one is in memory.

    Args:
        path: a tar file (sounds by their suffix; other members are skipped), or a Parquet file with a column
            ``audio`` of ``bytes`` and ``path``, as `datasets` writes it.

    Yields:
        The name of a recording, and [n] float32 at 16 kHz, mono.

    Raises:
        InputError: the shard ends in the middle, is no shard, has no recording, or has a recording that cannot be
            read.
    """
    members = _of_tar(path) if path.suffix == ".tar" else _of_parquet(path)
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, content in members:
            file = Path(folder) / f"sound{Path(name).suffix.lower()}"
            file.write_bytes(content)  # the reader of files knows how to find what is wrong with them
            try:
                waveform = load_waveform(file, SAMPLE_RATE)
            except InputError as error:
                reason = str(error).removeprefix(f"{file} ")
                raise InputError(f"{path}, recording {name} {reason}") from None
            found += 1
            yield name, waveform
    if not found:
        raise InputError(f"{path} has no recording; expected files that end in {', '.join(sorted(_SOUNDS))}")


def _of_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    whole = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isfile() or Path(member.name).suffix.lower() not in _SOUNDS:
                    continue
                if member.offset_data + member.size > whole:
                    raise tarfile.ReadError(f"{member.name} is not complete")
                file = archive.extractfile(member)
                assert file is not None
                yield member.name, file.read()
            ends = archive.offset
    except tarfile.TarError as error:
        raise InputError(f"{path} ends in the middle or is no tar file ({error}); copy it again") from None
    if whole < ends + tarfile.BLOCKSIZE:  # a complete archive ends with blocks of zeros
        raise InputError(f"{path} ends in the middle (its end is missing); copy it again")


def _of_parquet(path: Path) -> Iterator[tuple[str, bytes]]:
    parquet: Any = optional_package("pyarrow.parquet", "parquet")
    try:
        with parquet.ParquetFile(path) as file:
            if "audio" not in file.schema_arrow.names:
                raise InputError(f"{path} has no column audio; found {', '.join(file.schema_arrow.names)}")
            number = 0
            for batch in file.iter_batches(_AT_ONCE, columns=["audio"]):
                for row in batch.column(0).to_pylist():
                    if not isinstance(row, dict) or not row.get("bytes"):
                        raise InputError(f"{path}, row {number}: the audio has no bytes; store the sound itself")
                    yield row.get("path") or f"{number}.wav", row["bytes"]
                    number += 1
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path} ends in the middle or is no Parquet file ({reason}); copy it again") from None
