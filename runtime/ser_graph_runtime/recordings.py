"""Sound files to predict: files and folders."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ser_graph_runtime.errors import InputError
from ser_graph_runtime.sound import FOREIGN_SUFFIXES, open_sound

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au"})
_SOUND_SUFFIXES = AUDIO_SUFFIXES | FOREIGN_SUFFIXES


def recording_blocks(path: str | Path, sample_rate: int) -> Iterator[np.ndarray]:
    """The sound of a file for a model that has learnt from `sample_rate`; see `SoundReader.mono_blocks`.

    Warns:
        UserWarning: the file has a lower rate than the model.
    """
    with open_sound(path) as sound:
        if sound.rate < sample_rate:
            warnings.warn(
                f"{path} has {sound.rate:,} samples a second. The model has learnt from {sample_rate:,}: the high "
                "frequencies are missing",
                stacklevel=2,
            )
        yield from sound.mono_blocks(sample_rate)


def sound_files(source: str | Path) -> list[Path]:
    """The sound files of a folder and of all folders in it, sorted; or the one file that was given.

    The list contains broken links, pipes and formats that cannot be decoded: whoever reads the files reports them.

    Raises:
        InputError: nothing is there.
    """
    source = Path(source).expanduser()
    if not source.is_dir():
        if not source.exists():
            raise InputError(f"No file or folder {source}")
        return [source]
    found = sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in _SOUND_SUFFIXES and not path.name.startswith(".") and not path.is_dir()
    )
    if not found:
        raise InputError(
            f"No sound file in {source}; expected files that end in {', '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return found


def files_by_name(source: str | Path | Sequence[str | Path]) -> dict[str, Path]:
    """Sound files by name: relative to the folder for a folder, as given for a list.

    Raises:
        InputError: nothing is there, or no paths are given.
    """
    if not isinstance(source, str | Path):
        for one in source if isinstance(source, Sequence) else [source]:
            if not isinstance(one, str | Path):
                raise InputError(
                    f"Bad source of type {type(one).__name__}, expected a sound file, a folder, or a list of "
                    "these; an array needs its rate: (samples, rate), e.g. (samples, 16000)"
                )
        return {path.as_posix(): path for one in source for path in sound_files(one)}
    root = folder_of(source)
    return {path.relative_to(root).as_posix(): path for path in sound_files(source)}


def folder_of(source: str | Path) -> Path:
    """The folder that the names of `files_by_name` are relative to."""
    path = Path(source).expanduser()
    return path if path.is_dir() else path.parent
