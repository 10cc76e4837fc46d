"""What is wrong with a corpus according to its clip table and its decoded clips; no graph is needed."""

from collections.abc import Iterator
from typing import Literal

import pandas as pd

from ser_graph.analysis.findings import Finding, Severity, clip_rows
from ser_graph.corpora import speaker_overlap
from ser_graph.corpora.checking import DecodedClip, clip_problems
from ser_graph.corpora.vocabulary import SPLITS
from ser_graph.errors import shorten

_UNEVEN, _SLIGHTLY_UNEVEN = 3.0, 1.5  # clips of the largest class for each clip of the smallest

PAIR_COLUMNS = ["file", "other", "correlation"]
"""Columns of a table of repeated recordings."""


def clip_findings(table: pd.DataFrame, clips: list[DecodedClip]) -> Iterator[Finding]:
    """Clips that cannot be used, and unusual ones; `clips` is the result of `examine_clips` for the table."""
    found = pd.DataFrame(clip_problems(table, clips), columns=["file", "problem", "detail", "severity"])
    found = found[found["problem"] != "same audio"]  # see `repeated_findings`
    kinds: dict[str, tuple[Severity, str, str]] = {
        "error": (
            "error",
            "No model can be trained or tested on them; commands refuse the corpus.",
            "Repair or fetch them again, or leave them out (--skip-bad). 'ser-graph check' says more about each.",
        ),
        "warning": (
            "warning",
            "Their sound differs from that of other corpora, e.g. it has no high frequencies. A model may learn "
            "that.",
            "Check that the headers are right. Use clips of 16 kHz or more where you have them.",
        ),
    }
    for kind, (severity, meaning, advice) in kinds.items():
        rows = found[found["severity"] == kind]
        if not len(rows):
            continue
        name = "unusable clips" if kind == "error" else "unusual clips"
        counts = ", ".join(f"{problem} {n:,}" for problem, n in rows["problem"].value_counts().items())
        listed = [(row.file, None, None, f"{row.problem}: {row.detail}") for row in rows.itertuples()]
        what = f"{_n_clips(rows['file'].nunique(), len(table))} {name.split()[0]}: {counts}."
        yield Finding(name, severity, what, meaning, advice, clip_rows(listed))


def same_audio_pairs(table: pd.DataFrame, clips: list[DecodedClip]) -> pd.DataFrame:
    """Pairs of clips with the same samples, each clip beside the first with its samples: `PAIR_COLUMNS`."""
    digests = pd.Series([clip.digest or None for clip in clips], index=table.index, dtype=object).dropna()
    first = digests.drop_duplicates()
    first_of = pd.Series(first.index, index=first.to_numpy())
    later = digests[digests.duplicated()]
    pairs = [(first_of[digest], file, 1.0) for file, digest in later.items()]
    return pd.DataFrame(pairs, columns=PAIR_COLUMNS)


def repeated_findings(
    table: pd.DataFrame, pairs: pd.DataFrame, kind: Literal["same", "similar"] = "same"
) -> Iterator[Finding]:
    """Recordings that are there twice: in two splits, with two labels, or otherwise.

    The clips of a pair (`PAIR_COLUMNS`) have the same samples, or similar spectrograms.
    """
    split, emotion = (table[name].astype(object) for name in ("split", "emotion"))
    splits, labels = (
        pd.DataFrame({end: values.reindex(pairs[end]).to_numpy() for end in ("file", "other")})
        for values in (split, emotion)
    )
    leaks = splits.notna().all(axis=1) & (splits["file"] != splits["other"])
    contradicting = labels.notna().all(axis=1) & (labels["file"] != labels["other"])
    alike = {"same": "the same sound", "similar": "nearly the same sound"}[kind]
    kinds: list[tuple[str, Severity, pd.Series, str, str]] = [
        (
            " in two splits",
            "error",
            leaks,
            "A test clip that is also a training clip tests the memory of a model. Results are too good.",
            "Keep one clip of each pair, or put both into one split.",
        ),
        (
            " with two labels",
            "error" if kind == "same" else "warning",
            contradicting & ~leaks,
            "At least one of the two labels is wrong, or the recording has several emotions.",
            "Listen to both. Correct the label, or leave both out.",
        ),
        (
            "",
            "warning",
            ~leaks & ~contradicting,
            "Each such clip counts twice, and its copy is its nearest neighbour in a graph.",
            "Keep one clip of each pair.",
        ),
    ]
    for where, severity, rows, meaning, advice in kinds:
        chosen = pairs[rows.to_numpy(bool)]
        if not len(chosen):
            continue
        one = len(chosen) == 1
        n = f"{len(chosen):,} {'pair' if one else 'pairs'} of clips{where} {'has' if one else 'have'}"
        listed = [
            (file, other, 1 - correlation, _pair_detail(file, other, correlation, (emotion, split)))
            for file, other, correlation in _most_alike(chosen)
        ]
        yield Finding(f"{kind} sound{where}", severity, f"{n} {alike}.", meaning, advice, clip_rows(listed))


def _most_alike(pairs: pd.DataFrame) -> list[tuple[str, str, float]]:
    ordered = pairs.sort_values("correlation", ascending=False, kind="stable")
    return list(ordered[PAIR_COLUMNS].itertuples(index=False, name=None))


def _pair_detail(file: str, other: str, correlation: float, columns: tuple[pd.Series, ...]) -> str:
    sound = "the same sound" if correlation == 1 else f"spectrograms correlate by {correlation:.3f}"
    ends = [", ".join(str(one[end]) for one in columns if isinstance(one[end], str)) for end in (file, other)]
    return f"{sound}; {' / '.join(ends)}"


def split_findings(table: pd.DataFrame) -> Iterator[Finding]:
    """Speakers and sentences in two splits, and emotions without a clip in a split."""
    yield from _shared_speakers(table)
    yield from _shared_sentences(table)
    yield from _missing_classes(table)


def _unknown_speakers(table: pd.DataFrame) -> Iterator[Finding]:
    unknown = table.index[table["speaker"].isna()]
    if len(unknown):
        yield Finding(
            "unknown speakers",
            "warning",
            f"{_n_clips(len(unknown), len(table))} of unknown speaker.",
            "Nobody can check whether a speaker is in two splits. Intervals of results count each of these clips "
            "as a speaker, so they are too narrow.",
            "Add the column speaker, even with codes only.",
        )


def _shared_speakers(table: pd.DataFrame) -> Iterator[Finding]:
    shared = speaker_overlap(table)
    if len(shared):
        who = "1 speaker is" if len(shared) == 1 else f"{len(shared):,} speakers are"
        yield Finding(
            "speakers in two splits",
            "error",
            f"{who} in more than one split: {shorten(shared.index, 5)}.",
            "A model knows these voices from its training. Its results are too good for a new speaker.",
            "Split by speaker: split='speaker-independent' in load_corpus, or speaker_split.",
            evidence=shared,
        )


def _shared_sentences(table: pd.DataFrame) -> Iterator[Finding]:
    column = next((name for name in ("sentence", "text") if name in table), None)
    if column is None:
        return
    of = {split: set(table.loc[table["split"] == split, column].dropna()) for split in SPLITS}
    shared = of["test"] & (of["train"] | of["dev"])
    if shared:
        yield Finding(
            "sentences in two splits",
            "note",
            f"{len(shared):,} of the {len(of['test']):,} sentences of test are in train or dev too.",
            "This is normal if actors speak a fixed list of sentences. Results hold for these sentences only.",
            "Say so beside the results. To know more, test on a corpus with other sentences.",
        )


def _missing_classes(table: pd.DataFrame) -> Iterator[Finding]:
    counts = pd.crosstab(table["emotion"], table["split"]).reindex(columns=list(SPLITS), fill_value=0)
    empty = [split for split in SPLITS if not counts[split].any()]
    missing = counts[(counts.drop(columns=empty) == 0).any(axis=1)]
    if empty:
        yield Finding(
            "empty splits",
            "warning",
            f"No labelled clip is in {' and '.join(empty)}.",
            "Without dev, nothing chooses the epoch and the settings. Without test, nothing tells how good a "
            "model is.",
            "Split again, e.g. with speaker_split.",
            evidence=counts,
        )
    if len(missing):
        where = [
            f"{emotion} in {' and '.join(row.index[(row == 0) & ~row.index.isin(empty)])}"
            for emotion, row in missing.iterrows()
        ]
        yield Finding(
            "classes missing in a split",
            "error",
            f"No clip of {shorten(where, 5)}.",
            "A class that is not in train cannot be learnt; one that is not in dev or test is not measured. The "
            "UAR then is an average over other classes than its reader thinks.",
            "Split again with more speakers per split, use folds over speakers, or leave the class out.",
            evidence=counts,
        )


def balance_findings(table: pd.DataFrame) -> Iterator[Finding]:
    """Emotions with many more clips than others, clips without an emotion, and clips without a speaker."""
    yield from _unknown_speakers(table)
    counts = table["emotion"].value_counts()
    unlabelled = int(table["emotion"].isna().sum())
    if unlabelled:
        yield Finding(
            "clips without a label",
            "note",
            f"{_n_clips(unlabelled, len(table))} without an emotion.",
            "They teach only through the graph and the teacher. No result uses them.",
            "Do nothing, if you left these labels out on purpose.",
        )
    if len(counts) < 2:
        return
    ratio = counts.iloc[0] / counts.iloc[-1]
    if ratio < _SLIGHTLY_UNEVEN:
        return
    speakers = table.groupby("emotion")["speaker"].nunique().reindex(counts.index)
    yield Finding(
        "imbalance",
        "warning" if ratio >= _UNEVEN else "note",
        f"{counts.index[0]} has {counts.iloc[0]:,} clips, {ratio:.1f} times as many as {counts.index[-1]} "
        f"({counts.iloc[-1]:,}).",
        "A model prefers the large classes. Accuracy hides this, UAR shows it.",
        "Compare models by UAR, not by accuracy. Add clips of the small classes, or draw them more often.",
        evidence=pd.DataFrame({"clips": counts, "speakers": speakers}),
    )


def _n_clips(n: int, of: int) -> str:
    return f"{n:,} of {of:,} clips {'is' if n == 1 else 'are'}"
