"""The audit of a corpus: everything that the library can find wrong with it, in one call."""

import os
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ser_graph.analysis.duplicates import near_duplicates, nearest_clips
from ser_graph.analysis.findings import SEVERITIES, Finding
from ser_graph.analysis.graph_findings import edge_findings, label_findings, voice_findings
from ser_graph.analysis.table_findings import (
    PAIR_COLUMNS,
    balance_findings,
    clip_findings,
    repeated_findings,
    same_audio_pairs,
    split_findings,
)
from ser_graph.common.csv_files import write_csv
from ser_graph.common.files import atomic_file
from ser_graph.common.progress import progress_bar
from ser_graph.corpora import SPLITS, load_corpus, load_table, originals, speaker_split
from ser_graph.corpora.adapter import as_clip_table
from ser_graph.corpora.checking import DecodedClip, clip_measures, examine_clips
from ser_graph.corpora.loading import is_table
from ser_graph.corpora.table import TABLE_SUFFIXES
from ser_graph.errors import InputError
from ser_graph.evaluation.shortcut_advice import shortcut_findings
from ser_graph.evaluation.shortcuts import label_shortcuts
from ser_graph.graph import ClipGraph, load_graph
from ser_graph.inspection.audit_page import audit_html
from ser_graph.inspection.audit_result import Audit

_NO_GRAPH = "not made: needs a graph; run ser-graph build, then audit the graph"
_NO_SOUND = "not made: the sound files are not at hand; give their folder (--root)"
_NO_SPLIT = "not made: no clip has a split"
_OF_A_GRAPH = ("near duplicates", "suspicious labels", "voices", "edges between splits")
_NEIGHBOURS = 10


def audit(
    source: ClipGraph | pd.DataFrame,
    *,
    root: str | Path | None = None,
    out: str | Path | None = None,
    n_permutations: int = 500,
    seed: int = 0,
    progress: bool = True,
) -> Audit:
    """Look for everything that makes results on a corpus wrong, or better than they are.

    The checks of the clip table: splits, imbalance, and shortcuts, i.e. columns that give the emotion away (see
    `label_shortcuts`). With the sound files: unusable clips, repeated recordings, and shortcuts by duration, level,
    silence, sampling rate, channels and codec. With a graph: suspicious labels, near duplicates, voices instead of
    emotions, and edges between splits. `Audit.checks` says which checks were made.

    Args:
        source: a graph, or a clip table, as `load_corpus` or `load_table` return it.
        root: the folder of the sound files; by default the folder from which the clips were loaded.
        out: an HTML file to write, e.g. ``audit.html``; the table of issues goes beside it, as
            ``audit.issues.csv``.
        n_permutations: number of shufflings that measure chance.
        seed: random seed of all draws.
        progress: show progress bars.

    Returns:
        The findings; `Audit.issues` is the table of issues.

    Raises:
        InputError: neither a graph nor a clip table, no clip, no sound files in `root`, or a bad name of the page.
    """
    if out is not None:
        issues_file(out)  # refuses a bad name before the long work
    clips = _Clips(source, root, n_permutations, seed, progress)
    checks = _checks(clips)
    findings: list[Finding] = []
    results = {}
    bar = progress_bar(checks.items(), "audit", unit="check", disable=not progress, delay=2, leave=False)
    for name, check in bar:
        found = check if isinstance(check, str) else list(check())
        results[name] = found if isinstance(found, str) else f"{len(found)} found" if found else "nothing found"
        findings += [] if isinstance(found, str) else found
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    made = Audit(clips.corpus, clips.counts(), findings, clips.shortcuts, results)
    if out is not None:
        write_audit(made, out)
    return made


def write_audit(made: Audit, out: str | Path) -> None:
    """Write the page of an audit, and beside it the table of issues, see `issues_file`."""
    page, table = Path(out).expanduser(), issues_file(out)
    text = audit_html(made)
    with atomic_file(page) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    with atomic_file(table) as part:
        write_csv(made.issues, part, index=False)


def issues_file(out: str | Path) -> Path:
    """The table of issues beside a page: ``audit.issues.csv`` beside ``audit.html``.

    Raises:
        InputError: the page has not the suffix of a page; it might be the table of the clips.
    """
    page = Path(out).expanduser()
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"Bad page {page}, expected a name that ends in .html, e.g. {page.with_suffix('.html')}")
    return page.with_suffix(".issues.csv")  # labels.html must not replace labels.csv


def load_source(source: str, folder: str | Path | None = None) -> ClipGraph | pd.DataFrame:
    """What to audit, from the arguments of a command line.

    Args:
        source: the folder of a stored graph, a table of clips (CSV, TSV, jsonl), or the name of a corpus.
        folder: the folder of the corpus, or the table if `source` is ``"table"``.

    Returns:
        A graph or a clip table. Emotions outside the vocabulary are kept. Clips without a split get one by speaker,
        as for a graph, if their speakers are known.

    Raises:
        InputError: none of these.
    """
    path = Path(source if folder is None else folder).expanduser()
    if folder is None and (path / "meta.json").is_file():
        return load_graph(path)
    if folder is None and path.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(
            f"{source} is neither the folder of a graph (it has no meta.json) nor a table "
            f"({', '.join(sorted(TABLE_SUFFIXES))}); to audit a corpus, give its name and its folder, e.g. emovo "
            "FOLDER"
        )
    if not is_table(source, path):
        return load_corpus(source, path)
    table = load_table(path, labels="keep")
    table.attrs["corpus"] = "/".join(path.absolute().parts[-2:])
    speakers = table["speaker"]
    if table["split"].notna().any() or speakers.isna().any() or speakers.nunique() < len(SPLITS):
        return table
    return speaker_split(table)


class _Clips:
    """The clips of an audit, and what several checks share; each part is made when a check first needs it."""

    def __init__(
        self, source: object, root: str | Path | None, n_permutations: int, seed: int, progress: bool
    ) -> None:
        if not isinstance(source, ClipGraph | pd.DataFrame):
            raise InputError(
                f"Bad source of type {type(source).__name__}, expected a graph (load_graph) or a clip table "
                "(load_corpus)"
            )
        self.data = source if isinstance(source, ClipGraph) else None
        table = source.table if isinstance(source, ClipGraph) else source
        if "emotion" not in table or "file" in table:
            raise InputError("Not a clip table: it has no index file and column emotion; read it with load_table")
        table = as_clip_table(table)
        self.table = table[originals(table)]
        if not len(self.table):
            raise InputError("The table has no clip, expected at least one")
        self.corpus = str(table.attrs.get("corpus") or "clips")
        self.root = _sound_folder(self.table, root)
        self.n_permutations, self.seed, self.progress = n_permutations, seed, progress

    @cached_property
    def decoded(self) -> list[DecodedClip] | None:
        """Every clip, decoded; None without sound files."""
        return None if self.root is None else examine_clips(self.table, self.root, progress=self.progress)

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The table with the measurements of the sound; those of a clip that cannot be decoded are missing."""
        if self.decoded is None:
            return self.table
        measures = clip_measures(self.decoded).set_index(self.table.index)
        # A column of the user keeps its name, except for the duration, which is the same thing.
        names = {name: f"measured {name}" for name in measures if name in self.table and name != "duration"}
        return self.table.drop(columns="duration").join(measures.rename(columns=names))

    @cached_property
    def shortcuts(self) -> pd.DataFrame:
        """How well each column of `measured` tells the emotion."""
        return label_shortcuts(
            self.measured, n_permutations=self.n_permutations, seed=self.seed, progress=self.progress
        )

    def counts(self) -> dict[str, int | float]:
        """How much there is, by name."""
        return {
            "clips": len(self.table),
            "speakers": int(self.table["speaker"].nunique()),
            "emotions": int(self.table["emotion"].nunique()),
            "hours": float(self.measured["duration"].sum() / 3600),
        }


_Check = str | Callable[[], Iterable[Finding]]
"""What makes the findings of a check, or why it is not made."""


def _checks(clips: _Clips) -> dict[str, _Check]:
    """Each check by name, those of the table first."""
    table, data, decoded = clips.table, clips.data, clips.decoded
    exact = pd.DataFrame(columns=PAIR_COLUMNS) if decoded is None else same_audio_pairs(table, decoded)
    checks: dict[str, _Check] = {
        "clips": _NO_SOUND if decoded is None else lambda: clip_findings(table, decoded),
        "splits": _NO_SPLIT if table["split"].isna().all() else lambda: split_findings(table),
        "balance and gaps": lambda: balance_findings(table),
        "shortcuts": lambda: shortcut_findings(clips.measured, clips.shortcuts),
        "same sound": _NO_SOUND if decoded is None else lambda: repeated_findings(table, exact),
    }
    if data is None:
        return checks | dict.fromkeys(_OF_A_GRAPH, _NO_GRAPH)
    nearest = cache(lambda: nearest_clips(data, _NEIGHBOURS))
    near = cache(lambda: near_duplicates(data, nearest=nearest()))
    of_graph: tuple[_Check, ...] = (
        lambda: repeated_findings(table, _without(near()[PAIR_COLUMNS], exact), "similar"),
        lambda: label_findings(data, nearest=nearest(), duplicates=near()),
        lambda: voice_findings(data, seed=clips.seed),
        lambda: edge_findings(data),
    )
    return checks | dict(zip(_OF_A_GRAPH, of_graph, strict=True))


def _without(pairs: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The pairs that are not among others, in either order."""
    known = {frozenset(pair) for pair in others[["file", "other"]].itertuples(index=False)}
    is_new = [frozenset(pair) not in known for pair in pairs[["file", "other"]].itertuples(index=False)]
    return pairs[np.array(is_new, bool)]  # an empty list would select columns


def _sound_folder(table: pd.DataFrame, root: str | Path | None) -> Path | None:
    """The folder of the sound files; None if there is none."""
    given = table.attrs.get("root") if root is None else root
    if given is None:
        return None
    folder = Path(given).expanduser()
    if any(os.path.isfile(folder / file) for file in table.index):  # noqa: PTH113  (no error for any name)
        return folder
    if root is None:
        return None
    raise InputError(f"No clip of the table is in {folder}, e.g. {table.index[0]}; give the folder of the corpus")
