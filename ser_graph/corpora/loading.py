"""Load the clip table of a corpus from its name and its folder."""

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pandas as pd

from ser_graph.corpora.adapter import TEXT, Adapter, clip_table, read_durations, scan_corpus
from ser_graph.corpora.adapters import ADAPTERS
from ser_graph.corpora.splits import speaker_split
from ser_graph.corpora.table import TABLE_SUFFIXES, Labels, load_table, name_emotions
from ser_graph.corpora.vocabulary import EMOTIONS, emotion_name
from ser_graph.errors import InputError, bad_value, shorten

Splitter = Callable[[pd.DataFrame], pd.DataFrame]
Split = str | Splitter | None


def load_corpus(
    name: str,
    root: str | Path,
    *,
    split: Split = "default",
    emotions: str | Collection[str] = "default",
    labels: Labels = "strict",
) -> pd.DataFrame:
    """Load the clip table of a corpus.

    Args:
        name: a corpus of `ADAPTERS`, or ``"table"`` for a corpus that a CSV, TSV or jsonl file describes.
        root: the folder of the corpus. For a table, the file; `name` is then only the name of the table.
        split: ``"default"``: the usual split of the corpus (RAVDESS: the paper's; DEMoS: the list in this package;
            a table: its column ``split``; others: speaker-independent). ``"speaker-independent"``. A function from
            table to table, e.g. ``lambda table: speaker_split(table, seed=1)``. Or None: no split.
        emotions: the emotions to load: ``"default"`` as in the paper (DEMoS without neutral), ``"all"``, or a list,
            e.g. ``["anger", "happiness"]``.
        labels: new names of emotions, e.g. ``{"calm": "neutral"}``, which merges two emotions. For a table also
            ``"keep"``, which accepts emotions outside the vocabulary; see `name_emotions`.

    Returns:
        A DataFrame indexed by ``file``, the path relative to the root, sorted. Its columns are
        ``emotion, speaker, gender, duration`` (seconds, from the header), ``split``, and further columns of the
        corpus; NaN means missing. ``attrs``: ``corpus``, ``root``, ``unparsed`` (files with names that do not fit)
        and ``skipped`` (number of clips left out, by reason).

    Raises:
        InputError: no fitting file in the folder, or the same clip twice.

    Examples:
        >>> load_corpus("emovo", "~/corpora/emovo")  # doctest: +SKIP
                           emotion speaker  gender  duration  split sentence language
        file
        f1/dis-f1-b1.wav   disgust      f1  female     2.041    dev       b1       it
        ...
        >>> load_corpus("ravdes", ".")
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: Bad corpus 'ravdes', expected one of ['aesdd', 'ased', ...]; did
        you mean 'ravdess'?
    """
    folder = Path(root).expanduser()
    adapter = None if is_table(name, folder) else find_adapter(name)
    table = load_table(folder, labels=labels) if adapter is None else _load(adapter, folder, labels)
    table.attrs["corpus"] = adapter.name if adapter else name
    table = _keep_emotions(table, emotions, adapter.left_out if adapter else ())
    return _split(table, split, adapter.split if adapter else None)


def find_adapter(name: str) -> Adapter:
    """The adapter of a corpus by its name; ``crema-d`` and ``CREMA_D`` are the same.

    Examples:
        >>> find_adapter("CREMA-D").title
        'CREMA-D'
    """
    key = name.lower().replace("-", "_")
    if key not in ADAPTERS:
        raise bad_value("corpus", name, [*ADAPTERS, "table"])
    return ADAPTERS[key]


def is_table(name: str, root: str | Path) -> bool:
    """Whether a corpus is described by a table, not by the names of its files.

    Examples:
        >>> is_table("emovo", "emovo"), is_table("mine", "mine/labels.csv"), is_table("table", "mine")
        (False, True, True)
    """
    return name == "table" or Path(root).suffix.lower() in TABLE_SUFFIXES


def _load(adapter: Adapter, root: Path, labels: Labels) -> pd.DataFrame:
    scan = scan_corpus(adapter, root)
    if scan.duplicates:
        pairs = [f"{first} = {second}" for first, second in scan.duplicates]
        raise InputError(
            f"{root} holds {len(pairs)} clips of {adapter.title} twice: {shorten(pairs)}; delete one copy of each"
        )
    table = clip_table(adapter, scan, root)
    table["duration"] = read_durations(table.attrs["root"], list(table.index))
    if labels != "keep":  # a corpus may have emotions of its own, e.g. frustration
        own = {emotion: emotion for emotion in adapter.emotions if emotion not in EMOTIONS}
        labels = own if labels == "strict" else {**own, **labels}
    return table.assign(emotion=name_emotions(table["emotion"], labels))


def _keep_emotions(table: pd.DataFrame, emotions: str | Collection[str], left_out: Collection[str]) -> pd.DataFrame:
    present = set(table["emotion"].dropna())
    if isinstance(emotions, str):
        if emotions not in ("all", "default"):
            raise bad_value("emotions", emotions, ["all", "default", "a list of emotions"])
        left_out = left_out if emotions == "default" else ()
    else:
        emotions = {emotion_name(emotion) for emotion in emotions}
        for emotion in sorted(emotions - present):
            raise bad_value("emotion", emotion, present)
        left_out = present - emotions
    out = table["emotion"].isin(list(left_out))
    kept = table[~out]
    if not len(kept):
        raise InputError(f"No clips are left without {', '.join(sorted(left_out))}; keep them with emotions='all'")
    counts = table.loc[out, "emotion"].value_counts().to_dict()
    kept.attrs["skipped"] = {**table.attrs["skipped"], **counts}
    return kept


def _split(table: pd.DataFrame, split: Split, norm: Splitter | None) -> pd.DataFrame:
    if callable(split):
        return split(table)
    if split is None:
        return table.assign(split=pd.Series(np.nan, table.index, dtype=TEXT))
    if split == "speaker-independent":
        return speaker_split(table)
    if split != "default":
        raise bad_value("split", split, ["default", "speaker-independent", "None", "a function"])
    if table["split"].notna().any():
        return table
    return (norm or speaker_split)(table)
