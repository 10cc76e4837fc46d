"""`Adapter`, the layout of a corpus, and the functions that turn a folder of clips into a clip table.

This module contains the steps that all corpora share: walk the folder, read the codes in the names, skip files that
are not clips, find repeated clips, and read durations. `adapters` contains the corpora.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from ser_graph.common.settings import plain_value
from ser_graph.common.text import fault_of
from ser_graph.corpora.disk_names import check_names
from ser_graph.corpora.vocabulary import COLUMN_ALIASES, COLUMNS, NUMBERS, clean, plain
from ser_graph.errors import InputError, shorten, shown
from ser_graph_runtime.sound import SoundError, open_sound

_LONGEST_NAME = 1_000  # letters
_LONGEST_CELL = 100_000  # letters; the csv module reads up to 131,072
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
VIDEO_SUFFIXES = frozenset({".mp4", ".flv", ".avi", ".mov", ".mkv", ".wmv"})

TEXT = pd.Series(["text"]).dtype
"""The text type of the installed pandas: ``str`` from 3.0, ``object`` before."""

_LOOK_DEEPER = 2  # levels below the depth of a corpus, searched only to name the right folder in a message

Record = Mapping[str, str | float]
"""The codes in the name of one clip: columns of the clip table and their values."""


@dataclass(frozen=True)
class Adapter:
    """The layout of one corpus, as data.

    Attributes:
        name: its name in `load_corpus`, lower case.
        title: its name in print.
        pattern: the layout in words, for messages, e.g. ``"Actor_NN/03-01-EE-II-SS-RR-AA.wav"``.
        names: regular expression of the end of a clip's path, without its suffix. Each named group is a column of
            the clip table. ``<column>`` stands for a group of the column's codes. Two files with equal groups count
            as the same clip.
        codes: words for the codes of a column: column -> code -> word. Always has the emotions. Codes in columns
            that `enrich` adds become words too; a code without a word means a missing value.
        speakers: further columns that follow from the speaker: speaker -> column -> value. If it is given, names of
            other speakers do not fit.
        any_case: the case of a name does not matter; it is read in lower case.
        skipped: regular expressions of names that are no clips of the corpus, with the reason, e.g. a song.
        depth: the maximum number of folders between the root and a clip.
        n_clips: the number of clips of the complete corpus, one number per release; empty if unknown.
        language: ISO 639-1 code, the value of the column ``language``. Empty: no such column.
        kind: where the emotions come from, in print, e.g. ``"acted"``.
        n_speakers: the number of speakers, in print.
        source: where to get the corpus.
        terms: its licence in short.
        left_out: emotions that `load_corpus` leaves out by default.
        enrich: adds columns from a file that comes with the clips; takes the clip table and the root.
        split: the usual split of the corpus, from clip table to clip table; None: speaker-independent, unless the
            clip table has a split already.
        usual_split: the same in print.
    """

    name: str
    title: str
    pattern: str
    names: str
    codes: Mapping[str, Mapping[str, str]]
    speakers: Mapping[str, Record] = field(default_factory=dict)
    any_case: bool = False
    skipped: Mapping[str, str] = field(default_factory=dict)
    depth: int = 2
    n_clips: tuple[int, ...] = ()
    language: str = ""
    kind: str = ""
    n_speakers: str = ""
    source: str = ""
    terms: str = ""
    left_out: tuple[str, ...] = ()
    enrich: Callable[[pd.DataFrame, Path], pd.DataFrame] | None = None
    split: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    usual_split: str = "by speaker"

    @property
    def emotions(self) -> tuple[str, ...]:
        """Every emotion of the complete corpus."""
        return tuple(sorted(set(self.codes["emotion"].values())))

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        names = self.names
        for column, words in self.codes.items():
            names = names.replace(f"<{column}>", f"(?P<{column}>{'|'.join(words)})")
        return re.compile(rf"(?:.*/)?{names}")

    def parse(self, path: PurePosixPath) -> Record | None:
        """The columns in the path of a file, relative to the corpus root; None if the name does not fit.

        Examples:
            >>> from ser_graph.corpora import ADAPTERS
            >>> ADAPTERS["ravdess"].parse(PurePosixPath("Actor_12/03-01-05-02-01-02-12.wav"))
            {'emotion': 'anger', 'intensity': 'strong', 'sentence': '01', 'repetition': '02', 'speaker': '12',
             'gender': 'female'}
        """
        name = path.with_suffix("").as_posix()
        match = self._regex.fullmatch(name.lower() if self.any_case else name)
        if match is None:
            return None
        found = {column: code for column, code in match.groupdict().items() if code is not None}
        record = {column: self.codes.get(column, {}).get(code, code) for column, code in found.items()}
        if self.speakers and record["speaker"] not in self.speakers:
            return None
        return {**record, **self.speakers.get(record.get("speaker", ""), {})}

    def skip(self, path: PurePosixPath) -> str | None:
        """The reason why a file that does not parse is no clip of the corpus; None if the name is unknown.

        Examples:
            >>> from ser_graph.corpora import ADAPTERS
            >>> ADAPTERS["ravdess"].skip(PurePosixPath("03-02-05-02-01-02-12.wav"))
            'song'
        """
        return next((why for names, why in self.skipped.items() if re.fullmatch(names, path.stem)), None)


@dataclass
class Scan:
    """The files below a corpus root.

    Attributes:
        records: file -> `Record` of each clip, sorted by file.
        unparsed: audio files with names that do not fit.
        skipped: number of files that are known not to be clips, by reason.
        duplicates: pairs of files with the same record; only the first of a pair is in `records`.
    """

    records: dict[str, Record] = field(default_factory=dict)
    unparsed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    duplicates: list[tuple[str, str]] = field(default_factory=list)


def scan_names(adapter: Adapter, names: Iterable[str]) -> Scan:
    """Sort relative file names into clips, repeated clips, files that do not fit, and files to skip.

    Examples:
        >>> from ser_graph.corpora import ADAPTERS
        >>> found = scan_names(ADAPTERS["emovo"], ["f1/rab-f1-b1.wav", "f1/hello.wav", "f1/rab-f1-b1.flac"])
        >>> found.unparsed, found.duplicates
        (['f1/hello.wav'], [('f1/rab-f1-b1.flac', 'f1/rab-f1-b1.wav')])
    """
    scan = Scan()
    first_with: dict[frozenset[tuple[str, str | float]], str] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            scan.skipped["video"] += 1
        elif (record := adapter.parse(path)) is not None:
            first = first_with.setdefault(frozenset(record.items()), name)
            if first == name:
                scan.records[name] = record
            else:
                scan.duplicates.append((first, name))
        elif reason := adapter.skip(path):
            scan.skipped[reason] += 1
        else:
            scan.unparsed.append(name)
    return scan


def scan_corpus(adapter: Adapter, root: str | Path) -> Scan:
    """Find the clips of a corpus below a folder.

    Raises:
        InputError: the folder is missing or holds no clip that fits. The message names the folder, the pattern, the
            first files, and the folder above or below that holds clips.
    """
    folder = corpus_folder(root)
    names = list(_walk(folder, adapter.depth + _LOOK_DEEPER))
    near = [name for name in names if name.count("/") <= adapter.depth]
    scan = scan_names(adapter, near)
    if not scan.records:
        raise _nothing_found(adapter, folder, names)
    scan.unparsed += sorted(name for name in set(names) - set(near) if _is_audio(name))
    return scan


def clip_table(adapter: Adapter, scan: Scan, root: str | Path) -> pd.DataFrame:
    """The clip table of a scan, without durations and splits.

    Examples:
        >>> from ser_graph.corpora import ADAPTERS
        >>> table = clip_table(ADAPTERS["emovo"], scan_names(ADAPTERS["emovo"], ["f1/rab-f1-b1.wav"]), ".")
        >>> table.loc["f1/rab-f1-b1.wav", ["emotion", "speaker", "gender", "sentence"]].tolist()
        ['anger', 'f1', 'female', 'b1']
    """
    folder = Path(root).expanduser().resolve()
    table = pd.DataFrame(list(scan.records.values()), index=pd.Index(list(scan.records)))
    if adapter.language:
        table["language"] = adapter.language
    if adapter.enrich is not None:
        before = set(table.columns)
        table = adapter.enrich(table, folder)
        for column in adapter.codes.keys() & set(table.columns) - before:
            table[column] = table[column].map(adapter.codes[column])
    table = as_clip_table(table).sort_index()
    table.attrs = {
        "corpus": adapter.name,
        "root": str(folder),
        "unparsed": list(scan.unparsed),
        "skipped": dict(scan.skipped),
    }
    return table


def check_is_clip_table(table: object) -> None:
    """Refuse what is no clip table, e.g. the plain rows of a CSV, and name the call that gives one.

    Examples:
        >>> check_is_clip_table(pd.DataFrame({"file": ["a.wav"], "emotion": ["anger"]}))
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: Bad table, its file names stand in the column 'file', expected a clip
        table, indexed by file; load the CSV itself: sg.load_corpus('table', 'labels.csv')
    """
    way_out = "load the CSV itself: sg.load_corpus('table', 'labels.csv')"
    if not isinstance(table, pd.DataFrame):
        given = repr(str(table)) if isinstance(table, str | Path) else f"of type {type(table).__name__}"
        raise InputError(
            f"Bad table {given}, expected a clip table; load a corpus: sg.load_corpus('emovo', FOLDER), or "
            "sg.load_corpus('table', 'labels.csv')"
        )
    names = [str(column) for column in table if COLUMN_ALIASES.get(plain(str(column))) == "file"]
    if names and table.index.name != "file":
        raise InputError(
            f"Bad table, its file names stand in the column {names[0]!r}, expected a clip table, indexed by file; "
            f"{way_out}"
        )


def as_clip_table(table: pd.DataFrame) -> pd.DataFrame:
    """The same rows in the form of a clip table: fixed columns first, text or numbers, NaN. Attributes are kept.

    Text loses outer blanks and gets Unicode's composed form (NFC), so that ``" anna"`` and ``"anna"`` are one
    speaker. Names of files do not change.

    Raises:
        InputError: a cell holds a list, an array or bytes, or is no number in a column of numbers; or a name of a
            file or of a column cannot be stored.

    Examples:
        >>> as_clip_table(pd.DataFrame({"speaker": ["03"], "note": [""]}, index=["b.wav"])).isna().iloc[0].tolist()
        [True, False, True, True, True, True]
    """
    check_names(table.index)
    check_columns(table.columns)
    extras = [column for column in table.columns if column not in COLUMNS]
    attributes, table = table.attrs, table.reindex(columns=[*COLUMNS, *extras])
    for column in table.columns:
        table[column] = _numbers(table[column]) if column in NUMBERS else as_text(table[column])
    table.index = pd.Index(table.index.astype(str), name="file")
    table.attrs = attributes
    return table


def check_columns(columns: Iterable[object]) -> None:
    """Refuse names of columns that no file can hold."""
    for name in map(str, columns):
        long = f"{shown(name, 60)} has {len(name):,} letters" if len(name) > _LONGEST_NAME else ""
        if fault := long or fault_of(name):
            raise InputError(f"The name of the column {fault}; rename the column")


def read_durations(root: str | Path, files: Sequence[str]) -> np.ndarray:
    """Seconds of each clip from its header, NaN where the header cannot be read."""
    folder = Path(root)
    with ThreadPoolExecutor() as pool:  # opening files takes the time, not Python
        return np.fromiter(pool.map(lambda file: _duration(folder / file), files), float, len(files))


def corpus_folder(root: str | Path) -> Path:
    """The folder with ``~`` resolved; an `InputError` if there is no such folder."""
    folder = Path(root).expanduser()
    if not folder.exists():
        raise InputError(f"No folder {folder}; give the folder that holds the corpus")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; give the folder that holds the corpus")
    return folder


def _walk(folder: Path, depth: int) -> Iterator[str]:
    """Relative names of audio and video files, at most `depth` folders down, without hidden files."""
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place).relative_to(folder)
        level = len(here.parts)
        folders[:] = sorted(name for name in folders if level < depth and not name.startswith("."))
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES | VIDEO_SUFFIXES:
                yield (here / name).as_posix()


def _nothing_found(adapter: Adapter, folder: Path, names: Sequence[str]) -> InputError:
    what = f"No {adapter.title} clips in {folder}: expected {adapter.pattern}"
    found = f"found {shorten(sorted(names))}" if names else "found no audio files"
    parent = folder.resolve().parent
    near = _home(adapter, folder, names) or _home(adapter, parent, _walk(parent, adapter.depth))
    hint = f"did you mean {near}?" if near else "give the folder of the corpus in its original layout"
    return InputError(f"{what}, {found}; {hint}")


def _home(adapter: Adapter, folder: Path, names: Iterable[str]) -> Path | None:
    """The common folder of all clips among some names below `folder`; None without clips."""
    fitting = [folder / name for name in names if adapter.parse(PurePosixPath(name)) is not None]
    return Path(os.path.commonpath([file.parent for file in fitting])) if fitting else None


def _is_audio(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES


def _duration(path: Path) -> float:
    try:
        with open_sound(path) as sound:
            frames = sum(map(len, sound.blocks())) if sound.frames is None else sound.frames
            return frames / sound.rate
    except SoundError:
        return np.nan


def plain_cells(column: pd.Series) -> pd.Series:
    """The cells of a column; numbers and texts of NumPy and torch become those of Python.

    Raises:
        InputError: a cell holds several values, or bytes.
    """
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    if pd.api.types.is_timedelta64_dtype(column):
        return column
    cells = [plain_value(cell) for cell in column.astype(object)]
    for label, cell in zip(column.index, cells, strict=True):
        if fault := _fault_of_cell(cell):
            where = label if isinstance(label, str) else f"row {label}"
            raise InputError(f"{column.name} of {where} is a {fault}; expected one text or one number in each cell")
    return pd.Series(cells, column.index, dtype=object, name=column.name)


def _fault_of_cell(cell: object) -> str:
    """Why no table can hold a cell; empty if one can."""
    if isinstance(cell, int):
        return "huge number" if abs(cell) >= 2**63 else ""
    if not isinstance(cell, str):
        return type(cell).__name__ if hasattr(cell, "__len__") else ""
    if len(cell) > _LONGEST_CELL:
        return f"text of {len(cell):,} letters"
    half = "" if cell.isascii() else fault_of(cell)
    return f"text that is not UTF-8, {shown(cell)}" if half.endswith("is not UTF-8") else ""


def as_text(column: pd.Series) -> pd.Series:
    """Clean text in the text type of pandas, NaN for missing values; 3.0 is the text 3.

    pandas makes floats of codes if some are missing: speaker 3 becomes 3.0.

    Examples:
        >>> as_text(pd.Series([" anna", 3.0, np.nan, ""])).tolist()
        ['anna', '3', nan, nan]
    """
    cells = plain_cells(column).astype(object)
    names = {cell: _name(cell) for cell in cells[cells.notna()].unique()}
    return cells.map(lambda cell: names.get(cell, np.nan)).astype(TEXT)


def _name(cell: object) -> str | float:
    is_code = isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53
    return clean(int(cell) if is_code else cell) or np.nan  # type: ignore[call-overload]


def _numbers(column: pd.Series) -> pd.Series:
    column = plain_cells(column)
    numbers = column.map(_number).astype(float)
    bad = column[numbers.isna() & column.notna() & (column.astype(object) != "")]
    if len(bad):
        raise InputError(f"Bad {column.name} {shown(bad.iloc[0])} of {bad.index[0]}, expected a number")
    return numbers


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]  # other values become NaN
    except (TypeError, ValueError, OverflowError):
        return np.nan
    return number if np.isfinite(number) else np.nan
