"""Clip tables from `datasets`, the library of Hugging Face. Nothing is decoded, so torchcodec is not needed."""

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import soundfile

from ser_graph.common.extras import optional_package
from ser_graph.common.files import atomic_folder
from ser_graph.common.progress import progress_bar
from ser_graph.corpora.adapter import AUDIO_SUFFIXES
from ser_graph.corpora.table import Labels, load_table, write_table
from ser_graph.corpora.vocabulary import COLUMN_ALIASES, plain
from ser_graph.errors import InputError, shorten

TABLE = "clips.csv"
_SUFFIXES = {"WAV": ".wav", "WAVEX": ".wav", "FLAC": ".flac", "OGG": ".ogg", "MP3": ".mp3", "MPEG": ".mp3"}


def from_datasets(
    dataset: Any,
    out: str | Path | None = None,
    *,
    audio: str = "audio",
    columns: Mapping[str, str] | None = None,
    labels: Labels = "strict",
    progress: bool = True,
) -> pd.DataFrame:
    """The clip table of a `datasets.Dataset`, an `IterableDataset`, or a dictionary of them, e.g. a `DatasetDict`.

    Args:
        dataset: the data; a column of the type `Audio` holds the sound. The splits of a dictionary become the
            column `split`; their names may be those of the Hub, e.g. ``validation``.
        out: a folder for the sound files, which this function writes completely or not at all, with the clip table
            as ``clips.csv``. None: the dataset refers to files on this disk; they stay where they are.
        audio: the column of the sound.
        columns: other names of columns: ours -> the dataset's, e.g. ``{"emotion": "style"}``. The usual spellings
            (``label``, ``speaker_id``) need none, see `load_table`.
        labels: what to do with emotions outside the vocabulary, see `name_emotions`.
        progress: show a progress bar.

    Returns:
        The clip table. Columns of text, numbers and class labels are kept; others, e.g. lists, are not. Without
        splits, divide it with `speaker_split`.

    Raises:
        InputError: no such column, no sound in a row, sound without a file and no `out`, or the errors of
            `load_table`.
    """
    parts = dict(dataset) if isinstance(dataset, Mapping) else {"": dataset}
    if not parts:
        raise InputError("The dataset has no split; load one with datasets.load_dataset")
    n_rows = sum(len(part) if hasattr(part, "__len__") else 0 for part in parts.values()) or None
    rows = progress_bar(
        (row for name, part in parts.items() for row in _rows(part, name, audio, dict(columns or {}))),
        desc="clips of the dataset",
        total=n_rows,
        unit="clip",
        disable=not progress,
        delay=1,
    )
    if out is None:
        return load_table(pd.DataFrame([_on_disk(row) for row in rows]), labels=labels)
    folder = Path(out).expanduser()
    with atomic_folder(folder, TABLE) as part:
        table = load_table(pd.DataFrame([_stored(row, part) for row in rows]), root=part, labels=labels)
        write_table(table, part / TABLE)
    table.attrs["root"] = str(folder.resolve())
    return table


def _rows(part: Any, name: str, audio: str, columns: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The rows of one split: sound as ``{"path", "bytes"}`` under `audio`, and the columns of single values."""
    datasets = optional_package("datasets", "datasets")
    features = part.features
    if features is None:
        raise InputError("The dataset does not say the types of its columns; give its features to load_dataset")
    for wanted in (audio, *columns.values()):
        if wanted not in features:
            raise InputError(f"The dataset has no column {wanted!r}, found {shorten(features, 10)}")
    if not isinstance(features[audio], datasets.Audio):
        sounds = [column for column, feature in features.items() if isinstance(feature, datasets.Audio)]
        raise InputError(
            f"The column {audio!r} holds no sound; columns of the type Audio: {shorten(sounds) or 'none'}"
        )
    kept = _kept_columns(datasets, features, audio, columns)
    words = {
        theirs: features[theirs].int2str for theirs in kept if isinstance(features[theirs], datasets.ClassLabel)
    }
    for number, row in enumerate(part.cast_column(audio, datasets.Audio(decode=False))):
        found = {ours: row[theirs] for theirs, ours in kept.items()}
        for theirs, word in words.items():  # the Hub writes -1 for a hidden label
            code = row[theirs]
            found[kept[theirs]] = None if code is None or code < 0 else word(code)
        if name:
            found["split"] = name
        yield {**found, "sound": row[audio], "number": number, "part": name}


def _kept_columns(datasets: Any, features: Any, audio: str, columns: dict[str, str]) -> dict[str, str]:
    """Their name -> ours of each column with single values; columns that would mean the file are left."""
    renamed = {theirs: ours for ours, theirs in columns.items()}
    kept = {}
    for name, feature in features.items():
        single = isinstance(feature, datasets.Value | datasets.ClassLabel) and name != audio
        ours = renamed.get(name, name)
        taken = name not in renamed and COLUMN_ALIASES.get(plain(name), plain(name)) in {*columns, "file"}
        if single and not taken:
            kept[name] = ours
    return kept


def _on_disk(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the file that the dataset refers to."""
    path = (row["sound"] or {}).get("path")
    if not path or not Path(path).is_file():
        raise InputError(
            f"Row {row['number']} of the dataset has no sound file on this disk; "
            "give a folder for the files: from_datasets(dataset, out=FOLDER)"
        )
    return {"file": str(Path(path).resolve()), **_described(row)}


def _stored(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write the sound of a row into the folder; the row with the name of the file."""
    sound = row["sound"] or {}
    path, content = sound.get("path") or "", sound.get("bytes")
    if content is None:
        if not Path(path).is_file():
            raise InputError(f"Row {row['number']} of the dataset has no sound: neither bytes nor a file {path!r}")
        content = Path(path).read_bytes()
    name = re.sub(r"[^\w.-]", "_", PurePosixPath(path).stem)[:80]
    file = Path(row["part"]) / f"{row['number']:06d}{'-' * bool(name)}{name}{_suffix(path, content, row['number'])}"
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(content)
    return {"file": file.as_posix(), **_described(row)}


def _described(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("sound", "number", "part")}


def _suffix(path: str, content: bytes, number: int) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in AUDIO_SUFFIXES:
        return suffix
    try:
        kind = soundfile.info(io.BytesIO(content)).format
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"The sound of row {number} of the dataset cannot be read ({error}); leave it out"
        ) from None
    if kind not in _SUFFIXES:
        raise InputError(f"The sound of row {number} of the dataset is {kind}, expected WAV, FLAC, Ogg or MP3")
    return _SUFFIXES[kind]
