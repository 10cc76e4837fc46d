"""Several clip tables -> one, for a graph that joins the clips of several corpora."""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from ser_graph.corpora.adapter import as_clip_table
from ser_graph.corpora.vocabulary import COLUMNS
from ser_graph.errors import InputError, bad_value, shorten

OTHER_EMOTION = "other_emotion"  # the column of emotions that only the teacher's probe may learn from
_NAMES = ("speaker", "sentence")  # two corpora can use the same name for different speakers or sentences


def join_corpora(tables: Sequence[pd.DataFrame], labelled: Collection[str] | None = None) -> pd.DataFrame:
    """Join clip tables to one table. Some corpora are labelled; the others only add their clips.

    The clips of the others have no `emotion`, and all of them are in the train split. A graph of the joint table
    has them among the neighbours of training clips. No student learns their labels, and no test uses them. The
    column `other_emotion` keeps the labels that are emotions of the first table: the teacher's probe may learn from
    them (`TrainingSettings.other_labels`).

    Args:
        tables: clip tables as `load_corpus` returns them, each of another corpus. The first table is the target.
        labelled: names of the corpora that keep their emotions and splits; by default only the first table. The
            emotions of each must be among the emotions of the first table.

    Returns:
        One clip table, sorted by file. Files are relative to the common parent of the corpora's folders, which is
        ``attrs["root"]``. The columns ``corpus`` and ``other_emotion`` (only if a clip has one) are new; speakers
        and sentences are called ``corpus/name``.

    Raises:
        InputError: two tables with the same name; a table without a folder; a clip in two tables; a name in
            `labelled` that no table has; or emotions that the first table does not have.

    Examples:
        >>> rows = {"emotion": ["joy"], "speaker": ["1"], "gender": "female", "duration": 1.0, "split": ["test"]}
        >>> target = pd.DataFrame(rows, index=pd.Index(["a.wav"], name="file"))
        >>> source = target.copy()
        >>> target.attrs = {"corpus": "emovo", "root": "/corpora/emovo"}
        >>> source.attrs = {"corpus": "ravdess", "root": "/corpora/ravdess"}
        >>> joined = join_corpora([target, source])
        >>> joined[["emotion", "other_emotion", "speaker", "split"]].to_numpy().tolist()
        [['joy', nan, 'emovo/1', 'test'], [nan, 'joy', 'ravdess/1', 'train']]
        >>> joined.attrs["root"], joined.index.tolist()
        ('/corpora', ['emovo/a.wav', 'ravdess/a.wav'])
    """
    names = _corpus_names(tables)
    labelled = names[:1] if labelled is None else labelled
    for name in sorted(set(labelled) - set(names)):
        raise bad_value("corpus in labelled", name, names)
    roots = [_root(table, name) for table, name in zip(tables, names, strict=True)]
    root = Path(os.path.commonpath(roots))
    known = set(tables[0]["emotion"].dropna())
    parts = [
        _part(table, name, folder.relative_to(root), known=None if name in labelled else known)
        for table, name, folder in zip(tables, names, roots, strict=True)
    ]
    _check_emotions([part for part, name in zip(parts, names, strict=True) if name in labelled])
    joined = pd.concat(parts)
    twice = joined.index[joined.index.duplicated()]
    if len(twice):
        raise InputError(f"{len(twice)} clips are in two of the tables ({shorten(twice)}); give each corpus once")
    joined = as_clip_table(joined).sort_index()
    joined.attrs = {"corpus": "+".join(names), "root": str(root), "unparsed": [], "skipped": {}}
    return joined


def _corpus_names(tables: Sequence[pd.DataFrame]) -> list[str]:
    if not tables:
        raise InputError("No clip table to join; give at least one")
    names = [str(table.attrs.get("corpus")) for table in tables]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"Two tables have the corpus name {twice[0]!r}; rename one corpus in table.attrs['corpus']"
        )
    return names


def _root(table: pd.DataFrame, name: str) -> Path:
    root = table.attrs.get("root")
    if not root:
        raise InputError(f"The table of {name!r} does not contain the folder of its clips; set table.attrs['root']")
    return Path(root).expanduser().resolve()


def _part(table: pd.DataFrame, corpus: str, folder: Path, *, known: set[str] | None) -> pd.DataFrame:
    """The rows of one corpus, in the form of the joint table; `known` emotions of another corpus move."""
    files = pd.Index(
        [(PurePosixPath(folder.as_posix()) / str(file)).as_posix() for file in table.index], name="file"
    )
    part = table.set_axis(files)
    for column in _NAMES:
        if column in part:
            part[column] = part[column].map(lambda name: f"{corpus}/{name}", na_action="ignore")
    if known is not None:
        kept = part["emotion"].where(part["emotion"].isin(known))
        part = part.assign(emotion=np.nan, split="train", **({OTHER_EMOTION: kept} if kept.notna().any() else {}))
    extras = [column for column in part.columns if column not in COLUMNS]
    return part.assign(corpus=corpus)[[*COLUMNS, "corpus", *extras]].astype({"emotion": object})


def _check_emotions(labelled: Sequence[pd.DataFrame]) -> None:
    if not labelled:
        return
    known = set(labelled[0]["emotion"].dropna())
    for part in labelled[1:]:
        others = sorted(set(part["emotion"].dropna()) - known)
        if others:
            raise InputError(
                f"{part['corpus'].iloc[0]} has emotions that the first corpus lacks: {shorten(others)}; load it "
                f"with labels={{{others[0]!r}: NAME}}, or leave it out of labelled"
            )
