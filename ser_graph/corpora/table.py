"""A corpus that a table describes, with emotion and speaker of each file; and the stored clip table.

Input: CSV and TSV with a header, also of audformat (index ``file``, or ``file,start,end`` if every segment is the
whole file) and of nkululeko (``file,emotion,speaker,gender,language,split``), jsonl of EmoBox
(``key,dataset,wav,emo``), or a DataFrame.

==========  =======================================================================================
column      other names for it
==========  =======================================================================================
file        path, wav, filename, file_name, filepath, file_path, audio
emotion     label, emo, emotions
speaker     speaker_id, spk, actor, spk_id, speakers
gender      sex; values f, fem, woman, w, m, man
split       subset, partition; values training, devel, development, val, valid, validation, testing, eval
duration    seconds, or a pandas time such as ``0 days 00:00:02.5``; if missing, read from the files
==========  =======================================================================================

Only ``file`` and ``emotion`` are needed; case does not matter. Emotions may be spelled as adjectives, as
three letters or in capitals (angry, hap, NEU). Every other column is kept. Text loses outer blanks and gets
Unicode's composed form. A file is also found if its name on the disk is decomposed or has another case of its
suffix. The cells of a CSV may be separated by commas, semicolons, tabs or bars. Columns hold text, except
``duration, age, arousal, valence`` and ``dominance``, which hold numbers.
"""

import csv
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ser_graph.audio.clips import clip_paths, of_shards
from ser_graph.common.csv_files import protected, unprotected
from ser_graph.common.files import atomic_file, parse_json
from ser_graph.common.hashing import content_hash, file_contents
from ser_graph.common.text import without_controls
from ser_graph.corpora.adapter import as_clip_table, as_text, check_columns, plain_cells, read_durations
from ser_graph.corpora.disk_names import as_on_disk, check_names
from ser_graph.corpora.vocabulary import (
    COLUMN_ALIASES,
    COLUMNS,
    EMOTION_ALIASES,
    EMOTIONS,
    GENDER_ALIASES,
    GENDERS,
    NUMBERS,
    SPLIT_ALIASES,
    SPLITS,
    canonical_emotion,
    clean,
    emotion_name,
    plain,
)
from ser_graph.errors import InputError, bad_value, shorten, shown

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl"})

Labels = Mapping[str, str | None] | Literal["strict", "keep"]
"""Treatment of emotions outside the vocabulary; see `name_emotions`."""

_SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n')
_SAME_END = 0.01  # seconds, the largest distance between the end of a segment and the end of its file
_NO_GENDER = frozenset({"", "unknown", "other", "nan", "none"})


def load_table(
    source: str | Path | pd.DataFrame,
    root: str | Path | None = None,
    *,
    labels: Labels = "strict",
) -> pd.DataFrame:
    """Load the clip table of a corpus that a table describes.

    Args:
        source: a CSV, TSV or jsonl file, or a DataFrame.
        root: the folder to which the file names are relative; by default the folder of the table, or the common
            folder of absolute names.
        labels: what to do with emotions outside the vocabulary, see `name_emotions`.

    Returns:
        The clip table; ``split`` is missing for clips for which the table gives no split.

    Raises:
        InputError: no column for the file or the emotion, an unknown spelling, one file with two labels, or no file
            found.
    """
    name = "the DataFrame" if isinstance(source, pd.DataFrame) else str(Path(source).expanduser())
    rows = _named_columns(_read(source), name).apply(plain_cells)
    files, folder = _relative(rows["file"], _start(source, root, rows["file"]), free=root is None)
    rows = _without_segments(rows, [folder / file for file in files], name)
    rows = _one_row_a_file(rows.drop(columns="file").set_axis(pd.Index(files, name="file")), name)
    rows = rows.assign(**{str(name): as_text(rows[name]) for name in rows if name not in NUMBERS})
    rows["emotion"] = name_emotions(rows["emotion"], labels)
    if "speaker" in rows:
        rows["speaker"] = _whole_codes(rows["speaker"])
    for column, aliases, expected in (("gender", GENDER_ALIASES, GENDERS), ("split", SPLIT_ALIASES, SPLITS)):
        if column in rows:
            rows[column] = _respell(rows[column], column, aliases, expected)
    if "duration" in rows:
        rows["duration"] = _seconds(rows["duration"], name)
    table = as_clip_table(rows).sort_index()
    table.attrs = {"corpus": "table", "root": str(folder), "unparsed": [], "skipped": {}}
    return _with_durations(table, folder, name)


def name_emotions(emotions: pd.Series, labels: Labels = "strict") -> pd.Series:
    """Translate emotions to the usual words.

    Args:
        emotions: a Series by file, in any accepted spelling; missing values stay missing.
        labels: ``"strict"`` refuses other emotions, ``"keep"`` keeps them in lower case, and a mapping gives their
            new names (None: treat the clip as unlabelled). A mapping comes before the known spellings, so that
            ``{"calm": "neutral"}`` merges two classes. New names may have any spelling too: ``{"exc": "happy"}``
            makes happiness.

    Raises:
        InputError: an unknown emotion, or labels of another kind.

    Examples:
        >>> said = pd.Series(["ANG", "happy", "frustrated"], index=["a.wav", "b.wav", "c.wav"])
        >>> name_emotions(said, {"frustrated": "frustration"}).tolist()
        ['anger', 'happiness', 'frustration']
        >>> name_emotions(said)
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: Unknown emotions: 'frustrated' (1 clip, c.wav); accepted are anger,
        boredom, ...
    """
    if not isinstance(labels, Mapping) and labels not in ("strict", "keep"):
        raise bad_value("labels", labels, ["strict", "keep", "a mapping such as {'exc': 'happiness'}"])
    mapping = {} if isinstance(labels, str) else {plain(old): _new_name(old, new) for old, new in labels.items()}
    names: dict[str, str | float] = {}
    unknown: list[str] = []
    for spelling in emotions.dropna().unique():
        canonical = canonical_emotion(spelling)
        if plain(spelling) in mapping or canonical in mapping:
            new = mapping.get(plain(spelling), mapping.get(str(canonical)))
            names[spelling] = np.nan if new is None else new
        elif canonical or labels == "keep":
            names[spelling] = emotion_name(spelling)
        else:
            unknown.append(spelling)
    if unknown:
        raise _unknown_emotions(emotions, unknown)
    return emotions.map(names)


def _new_name(old: str, new: object) -> str | None:
    if new is not None and not (isinstance(new, str) and clean(new)):
        raise InputError(f"Bad labels, {old!r} becomes {new!r}; expected a name, or None for no label")
    return None if new is None else emotion_name(new)


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Store a clip table as CSV, completely or not at all. `read_table` returns the same table.

    The attributes of the table (corpus, root) are not stored, so that a stored table can move with its clips.
    Control characters in a cell are stored as they are shown; the name of a file must hold none.

    Examples:
        >>> import tempfile
        >>> table = as_clip_table(pd.DataFrame({"emotion": [np.nan], "speaker": ["03"]}, index=["NA.wav"]))
        >>> path = Path(tempfile.mkdtemp()) / "clips.csv"
        >>> write_table(table, path)
        >>> pd.testing.assert_frame_equal(read_table(path), table)
    """
    check_names(table.index)
    with atomic_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        # Quotation marks keep a newline in a text, and mark speaker "03" as text.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(map(protected, ["file", *table.columns]))
        for row in table.itertuples():
            writer.writerow(map(_stored_cell, row))


def _stored_cell(cell: str | float) -> str | float:
    if isinstance(cell, str):
        return protected(without_controls(cell))
    return "" if cell != cell else cell  # only NaN differs from itself


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a clip table that `write_table` stored. For other tables, use `load_table`."""
    path = Path(path)
    try:
        rows = _read_csv(path, ",")
    except FileNotFoundError:
        raise InputError(f"No file {path}") from None
    wanted = ["file", *COLUMNS]
    if list(rows.columns[: len(wanted)]) != wanted:
        raise InputError(
            f"{path} is not a stored clip table: expected the columns {', '.join(wanted)}, "
            f"found {shorten(rows.columns, 6)}; read other tables with load_table"
        )
    return as_clip_table(rows.set_index("file"))


def _read(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return _without_index(source)
    path = Path(source).expanduser()
    if path.is_dir():
        found = sorted(file.name for file in path.iterdir() if file.suffix.lower() in TABLE_SUFFIXES)
        raise InputError(f"{path} is a folder; give the table itself, {shorten(found) or 'a .csv or .jsonl file'}")
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(f"{path} is not a table: expected a file that ends in {', '.join(sorted(TABLE_SUFFIXES))}")
    if not path.is_file():
        raise InputError(f"No file {path}")
    if path.suffix.lower() == ".jsonl":
        return _read_jsonl(path)
    return _read_csv(path, "\t" if path.suffix.lower() == ".tsv" else ",")


def _without_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its index as columns; an index may repeat a column."""
    for name in [str(name) for name in frame.index.names if name is not None and name in frame.columns]:
        if not (frame.index.get_level_values(name).astype(str) == frame[name].astype(str)).all():
            raise InputError(f"The DataFrame has a column {name} and an index {name} that differ; keep one of them")
        frame = frame.drop(columns=name)
    return frame.reset_index(drop=frame.index.names == [None])


def _read_csv(path: Path, usual: str) -> pd.DataFrame:
    """A CSV as text. Only empty cells count as missing: a clip may be called NA.wav, and a speaker None."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            told = _SEPARATOR_LINE.fullmatch(first)  # Excel reads and writes such a line
            file.seek(0 if told is None else file.tell())
            separator = _separator(first, usual) if told is None else told[1]
            rows = [row for row in csv.reader(file, delimiter=separator) if row]
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None
    except csv.Error as error:
        raise InputError(f"{path} is not a table ({error}); check its quotation marks") from None
    if not rows:
        raise InputError(f"{path} is empty; expected a header and a row for each clip")
    header, *body = rows
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise InputError(
                f"{path}, row {number}: {len(row)} cells, but the header has {len(header)}; repair the row"
            )
    cells = [[unprotected(cell) or np.nan for cell in row] for row in body]
    return pd.DataFrame(cells, columns=[unprotected(name) for name in header], dtype=object)


def _separator(header: str, usual: str) -> str:
    """The separator with which a header names a column of files; else the usual one."""
    for separator in (usual, *_SEPARATORS):
        names = next(csv.reader([header], delimiter=separator), [])
        if len(names) > 1 and any(COLUMN_ALIASES.get(plain(name)) == "file" for name in names):
            return separator
    return usual


def _read_jsonl(path: Path) -> pd.DataFrame:
    try:
        lines = path.read_text("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_json(line) if line.strip() else {}
        except ValueError as error:
            raise InputError(
                f"{path} is not jsonl (line {number}: {error}); expected one JSON object per line"
            ) from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: a {type(row).__name__}, expected one JSON object per line")
        rows += [row] if row else []
    table = pd.DataFrame(rows)
    return table.map(lambda cell: json.dumps(cell) if isinstance(cell, list | dict) else cell)


def _not_utf8(path: Path, error: UnicodeDecodeError) -> InputError:
    return InputError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8, in Excel as 'CSV UTF-8'")


def _start(source: str | Path | pd.DataFrame, root: str | Path | None, files: pd.Series) -> Path:
    """The folder of relative names: the folder of the table, or the nearest parent that holds any of the files."""
    if root is not None:
        return Path(root).expanduser().resolve()
    if isinstance(source, pd.DataFrame):
        return Path.cwd()
    folder = Path(source).expanduser().resolve().parent
    names = files.dropna().astype(str)

    def holds_any(place: Path) -> bool:
        return any(os.path.isfile(place / name) for name in names)  # noqa: PTH113  (no error in a closed folder)

    return next((place for place in (folder, *folder.parents) if holds_any(place)), folder)


def _named_columns(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows with standard column names; a column with the standard name is preferred to its aliases."""
    check_columns(rows.columns)
    rows = rows.set_axis([str(column) for column in rows.columns], axis=1)
    found: dict[str, list[str]] = {}
    for column in rows.columns:
        found.setdefault(COLUMN_ALIASES.get(plain(column), plain(column)), []).append(column)
    names = {}
    for ours, theirs in found.items():
        exact = [column for column in theirs if plain(column) == ours]
        if len(exact or theirs) > 1:
            raise InputError(
                f"{name} has several columns for {ours}: {', '.join(exact or theirs)}; keep one of them"
            )
        names[(exact or theirs)[0]] = ours
    for needed in ("file", "emotion"):
        if needed not in found:
            known = [alias for alias, ours in COLUMN_ALIASES.items() if ours == needed]
            raise InputError(
                f"{name} has no column {needed}: found {shorten(rows.columns, 8)}; "
                f"call it one of {', '.join(known)}"
            )
    return rows.rename(columns=names)


def _without_segments(rows: pd.DataFrame, paths: list[Path], name: str) -> pd.DataFrame:
    """The rows without the columns ``start, end`` of audformat, which must cover whole files."""
    if not {"start", "end"} <= set(rows.columns):
        return rows
    starts, ends = (_seconds(rows[column], name, rows["file"]) for column in ("start", "end"))
    ended = ends.notna()
    whole = pd.Series(np.nan, rows.index)
    whole[ended] = read_durations("", [str(path) for path, given in zip(paths, ended, strict=True) if given])
    parts = (starts.fillna(0) != 0) | ((ends - whole).abs() >= _SAME_END)
    if parts.any():
        raise InputError(
            f"{name} labels parts of files ({int(parts.sum())} rows with a start or an end, first "
            f"{rows.loc[parts, 'file'].iloc[0]}); a clip is a whole file: cut the parts into their own files"
        )
    return rows.drop(columns=["start", "end"])


def _relative(files: pd.Series, root: Path, *, free: bool) -> tuple[list[str], Path]:
    """Names relative to the root. If `free`, absolute names outside the root change the root."""
    if files.isna().any():
        raise InputError(f"{int(files.isna().sum())} rows have no file; delete them or fill the column in")
    paths = [Path(os.path.normpath(root / str(file).strip().replace("\\", "/"))) for file in files]
    paths = as_on_disk(paths)
    outside = [path for path in paths if not path.is_relative_to(root)]
    if outside and not free:
        raise InputError(f"{outside[0]} is not below the root {root}; give a folder that contains all clips")
    if outside:
        root = Path(os.path.commonpath([path.parent for path in paths]))
    return [path.relative_to(root).as_posix() for path in paths], root


def _one_row_a_file(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    if not len(rows):
        raise InputError(f"{name} has no rows; expected one for each clip")
    rows = rows[~rows.reset_index().astype(str).duplicated().to_numpy()]
    twice = rows.index[rows.index.duplicated()]
    if len(twice):
        given = rows.loc[twice[0]]
        column = next(column for column in given if len(set(given[column].astype(str))) > 1)
        values = " and ".join(shown(value) for value in given[column].astype(str).unique()[:2])
        raise InputError(
            f"{name} has several rows for {twice.nunique()} files: {twice[0]} has {column} {values}; "
            "keep one row per file"
        )
    return rows


def asked_of_clips(table: pd.DataFrame, columns: list[str]) -> dict[str, str]:
    """The clips in the request of a stage: a hash of some columns, and a hash of the contents of the files.

    For clips of shards, the contents are the embeddings of the shard.
    """
    rows = table.reindex(columns=columns).astype(str).to_csv()
    inside = of_shards(table)
    shards = sorted(set(table["stored_in"].dropna())) if inside.any() else []
    paths = [*clip_paths(table[~inside]), *(Path(shard) / "emb.npy" for shard in shards)]
    return {"clips": content_hash(rows), "contents": content_hash(file_contents(paths))}


def _respell(column: pd.Series, what: str, aliases: Mapping[str, str], expected: tuple[str, ...]) -> pd.Series:
    missing = _NO_GENDER if what == "gender" else frozenset({""})
    names: dict[str, str | float] = {}
    for spelling in column.dropna().unique():
        if plain(spelling) not in aliases and plain(spelling) not in missing:
            rows = column.index[column == spelling]
            known = ", ".join(sorted(aliases))
            raise InputError(
                f"Bad {what} {shown(spelling)} ({len(rows)} rows, {shorten(rows)}), expected "
                f"{' or '.join(expected)}; accepted spellings are {known}"
            )
        names[spelling] = aliases.get(plain(spelling), np.nan)
    return column.map(names)


def _whole_codes(column: pd.Series) -> pd.Series:
    """Codes that pandas has written as floats, because some are missing, without their ``.0``."""
    known = column.dropna()
    is_float = len(known) and known.str.fullmatch(r"-?\d+\.0").all()
    return column.str.removesuffix(".0") if is_float else column


def _seconds(column: pd.Series, name: str, files: pd.Series | None = None) -> pd.Series:
    """Seconds from numbers or from pandas times; `files` names the rows, by default the index."""
    numbers = pd.to_numeric(column.astype(object), errors="coerce")
    if numbers[column.notna()].notna().all() and not pd.api.types.is_timedelta64_dtype(column):
        if len(bad := numbers[(numbers < 0) | np.isinf(numbers)]):
            file = bad.index[0] if files is None else files[bad.index[0]]
            raise InputError(
                f"{name}: bad {column.name} {shown(bad.iloc[0])} of {file}, expected seconds or hh:mm:ss"
            )
        return numbers
    times = pd.to_timedelta(column, errors="coerce")
    bad = column[times.isna() & column.notna()]
    if len(bad):
        file = bad.index[0] if files is None else files[bad.index[0]]
        raise InputError(f"{name}: bad {column.name} {shown(bad.iloc[0])} of {file}, expected seconds or hh:mm:ss")
    return times.dt.total_seconds()


def _with_durations(table: pd.DataFrame, folder: Path, name: str) -> pd.DataFrame:
    """Read missing durations from the headers; refuse a root that contains no clip."""
    if not any(os.path.isfile(folder / file) for file in table.index):  # noqa: PTH113  (no error for any name)
        raise InputError(
            f"None of the {len(table)} files of {name} is in {folder} (first: {table.index[0]}); "
            "move the table into the folder of its files, or give that folder: load_table(table, root=FOLDER)"
        )
    unknown = table.index[table["duration"].isna()]
    table.loc[unknown, "duration"] = read_durations(folder, list(unknown))
    return table


def _unknown_emotions(emotions: pd.Series, unknown: list[str]) -> InputError:
    listed = []
    for spelling in unknown:
        files = emotions.index[emotions == spelling]
        listed.append(f"{shown(spelling)} ({len(files)} clip{'s' * (len(files) > 1)}, {shorten(files, 2)})")
    others = sorted(set(EMOTION_ALIASES) - set(EMOTIONS))
    return InputError(
        f"Unknown emotions: {shorten(listed, 5)}; accepted are {', '.join(EMOTIONS)}, also spelled "
        f"{', '.join(others)}; rename them with labels={{{shown(unknown[0])}: NAME}} "
        "(in a recipe under [target], or in load_corpus, which also takes labels='keep')"
    )
