"""What is to be listened to: files and folders, without torch."""

from pathlib import Path

import pandas as pd

from ser_graph.errors import InputError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au"})


def sound_files(source: str | Path) -> list[Path]:
    """The sound files of a folder and of all folders in it, sorted; or the one file that was given.

    Links that lead nowhere are among them, so that whoever reads them says so.

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
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and not path.is_dir()
    )
    if not found:
        raise InputError(
            f"No sound file in {source}; expected some that end in {', '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return found


def recordings_table(folder: str | Path) -> pd.DataFrame:
    """The sound files of a folder as a clip table that says nothing of them."""
    folder = Path(folder).expanduser()
    files = sound_files(folder)
    root = folder if folder.is_dir() else folder.parent
    table = pd.DataFrame(index=pd.Index([path.relative_to(root).as_posix() for path in files], name="file"))
    table.attrs["root"] = str(root)
    return table
