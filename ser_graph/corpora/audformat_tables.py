"""Clip tables from databases of audformat, and results back into such a database; corpora of audb by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ser_graph.common.extras import optional_package
from ser_graph.corpora.table import Labels, load_table
from ser_graph.errors import InputError, bad_value

FURTHER = ("speaker", "gender", "age", "language", "transcription")
"""Schemes that `from_audformat` adds if the database has them."""
_EMOTIONS = ("emotion", "predicted")  # columns with the same labels


def from_audformat(
    database: Any,
    tables: str | Sequence[str] | None = None,
    scheme: str = "emotion",
    *,
    further: Sequence[str] = FURTHER,
    labels: Labels = "strict",
) -> pd.DataFrame:
    """The clip table of an `audformat.Database`.

    Args:
        database: the database, e.g. of ``audformat.Database.load`` or ``audb.load``, with its sound files.
        tables: the tables that hold the labels, e.g. ``["emotion.train", "emotion.test"]``; None takes all tables
            with the scheme. A table of a split gives its clips the split (train, dev or test).
        scheme: the scheme, the column, or the label of a scheme that holds the emotion.
        further: the same for more columns; those that the database lacks are left out.
        labels: what to do with emotions outside the vocabulary, see `name_emotions`.

    Returns:
        The clip table. Segments must be whole files.

    Raises:
        InputError: no such table or scheme, a clip with two labels, or the errors of `load_table`.
    """
    names = [tables] if isinstance(tables, str) else tables
    for name in names or ():
        if name not in database.tables:
            raise bad_value("table", name, list(database.tables))
    try:
        rows = database.get(scheme, list(_present(database, further)), tables=names)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"The database {database.name} has clips with two values ({error}); give one table of labels"
        ) from None
    if scheme not in rows or not len(rows):
        where = f"in the tables {', '.join(names)}" if names else "in any table"
        raise InputError(
            f"The database {database.name} has no scheme {scheme!r} {where}, found {list(database.schemes)}"
        )
    rows = rows.rename(columns={scheme: "emotion"})
    splits = _splits(database, names or list(database.tables), rows.index)
    if splits.notna().any():
        rows["split"] = splits
    full_names = all(Path(file).is_absolute() for file in rows.index.get_level_values("file"))
    return load_table(rows.astype(object), root=None if full_names else database.root, labels=labels)


def from_audb(
    name: str,
    tables: str | Sequence[str] | None = None,
    scheme: str = "emotion",
    *,
    version: str | None = None,
    cache: str | Path | None = None,
    labels: Labels = "strict",
    progress: bool = True,
) -> pd.DataFrame:
    """The clip table of a corpus that audb has in its cache or can load from its repositories.

    Args:
        name: the name in audb, e.g. ``"emodb"``.
        tables: as in `from_audformat`.
        scheme: as in `from_audformat`.
        version: the version; None takes the newest, which asks the repositories.
        cache: the cache folder of audb; None takes audb's own.
        labels: as in `from_audformat`.
        progress: show audb's progress bars.

    Raises:
        InputError: audb has no such corpus or version; or the errors of `from_audformat`.
    """
    audb = optional_package("audb", "audformat")
    try:
        database = audb.load(
            name,
            version=version,
            cache_root=None if cache is None else str(Path(cache).expanduser()),
            full_path=False,
            pickle_tables=False,  # nothing is unpickled
            verbose=progress,
        )
    except Exception as error:  # audb and its backends raise many kinds
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"audb has no corpus {name!r}{f' of version {version}' if version else ''} ({reason}); "
            "list its corpora with audb.available()"
        ) from None
    return from_audformat(database, tables, scheme, labels=labels)


def to_audformat(tables: Mapping[str, pd.DataFrame], name: str = "ser-graph", *, source: str = "") -> Any:
    """A database with tables of results: predictions, scores of clips, neighbours.

    Args:
        tables: by name. Tables by `file`, e.g. of `sg.predict` and `sg.analysis.score_clips`, become tables of
            files; other tables, e.g. of `sg.analysis.neighbours` by `file` and `neighbour`, become misc tables.
        name: the name of the database.
        source: where the results come from.

    Returns:
        An `audformat.Database` without sound files: ``database.save(FOLDER)`` stores it. Emotions share the scheme
        `emotion`; the other schemes have the names of their columns.

    Raises:
        InputError: a table whose rows have no names.
    """
    audformat = optional_package("audformat", "audformat")
    database = audformat.Database(name=name, source=source, usage=audformat.define.Usage.RESEARCH)
    words = {
        str(word)
        for table in tables.values()
        for column in _EMOTIONS
        if column in table
        for word in table[column].dropna().unique()
    }
    if words:
        database.schemes["emotion"] = audformat.Scheme(labels=sorted(words))
    for key, table in tables.items():
        if None in table.index.names or any(level in table for level in table.index.names):
            raise InputError(
                f"The table {key!r} has no named index, expected rows by file, as sg.predict returns them"
            )
        by_file = list(table.index.names) == ["file"] and table.index.is_unique
        index = audformat.filewise_index(list(table.index)) if by_file else table.index
        database[key] = (audformat.Table if by_file else audformat.MiscTable)(index)
        for column in table.columns:
            scheme = "emotion" if column in _EMOTIONS and words else _scheme(audformat, database, table[column])
            database[key][column] = audformat.Column(scheme_id=scheme)
            database[key][column].set(table[column].to_numpy())
    return database


def _present(database: Any, further: Sequence[str]) -> set[str]:
    """Those of some schemes, columns, or labels of schemes that the database has."""
    there = set(database.schemes)
    for scheme in database.schemes.values():
        if isinstance(scheme.labels, dict):
            there.update(key for label in scheme.labels.values() if isinstance(label, dict) for key in label)
    for table in database.tables:
        there.update(database[table].columns)
    return there & set(further)


def _splits(database: Any, tables: Sequence[str], index: pd.Index) -> pd.Series:
    """The type of the split of the table of each row: train, dev or test."""
    splits = pd.Series(None, index=index, dtype=object)
    files = index.get_level_values("file")
    for name in tables:
        split = database[name].split_id
        kind = database.splits[split].type if split else None
        if kind in ("train", "dev", "test"):
            splits[files.isin(database[name].files)] = kind
    return splits


def _scheme(audformat: Any, database: Any, column: pd.Series) -> str:
    """The name of a scheme for the values of a column; a new one if needed."""
    kinds = {"b": audformat.define.DataType.BOOL, "i": audformat.define.DataType.INTEGER}
    kind = kinds.get(column.dtype.kind, audformat.define.DataType.FLOAT if column.dtype.kind == "f" else "str")
    name = str(column.name)
    if name in database.schemes and database.schemes[name].dtype != kind:
        name = f"{name}.{kind}"
    if name not in database.schemes:
        database.schemes[name] = audformat.Scheme(dtype=kind)
    return name
