"""What a shortcut means for a model, and what to do about it; `shortcuts` measures it."""

from collections.abc import Iterator

import pandas as pd

from ser_graph.analysis.findings import Finding, Severity
from ser_graph.corpora import originals
from ser_graph.evaluation.shortcuts import MISSING, is_number

_OFTEN = 5  # clips of a value whose single emotion is no accident
EXPRESSIVE = frozenset({"duration", "level", "silence"})
"""Measurements that an emotion changes: an angry voice is louder, a sad one pauses."""
_UNITS = {"duration": " (s)", "level": " (dB)"}

_RECORDING = (
    "The emotions were recorded or stored in different ways. A model can learn the recording instead of the "
    "voice, and fails on recordings of other people.",
    "Convert all clips alike, from the originals if there are any. If that leaves the difference, do not mix the "
    "sources of different emotions.",
)
_WORDS = (
    "Words give the label away. A model can learn what is said instead of how, and nobody notices in its results.",
    "Use the sentences that are spoken with every emotion, or test on sentences that are not in train. Where "
    "neither is possible, test the student on another corpus, and say so beside the results.",
)
_VOICE = (
    "The voice gives the label away: some speakers have mostly clips of some emotions. A model can learn who "
    "speaks.",
    "Split by speaker, report UAR with intervals over speakers, and add clips of the missing emotions.",
)
_ABOUT = {
    **dict.fromkeys(("sentence", "text"), _WORDS),
    **dict.fromkeys(("speaker", "gender", "age", "language"), _VOICE),
    **dict.fromkeys(("rate", "channels", "codec"), _RECORDING),
    "duration": (
        "Some emotions are spoken faster or slower, but clips that were cut or padded to the length of their class "
        "look the same. A model then learns where a clip ends.",
        "Compare the durations of the emotions. If many are the same to the millisecond, cut all clips "
        "anew, by one rule; else train with clips that are cut at random.",
    ),
    "level": (
        "An angry voice is loud, but a distance or a setting of the microphone does the same.",
        "Listen to some clips. If the recording makes the level, bring all clips to one level. On a device, the "
        "distance of the mouth changes the level, so a student should not depend on it.",
    ),
    "silence": (
        "Pauses and the range of loudness belong to emotions, but silence that was left at the ends, or a noise "
        "gate, does the same.",
        "Listen to the ends of some clips. If they differ between the emotions, cut the silence of all clips by "
        "one rule.",
    ),
}
_ABOUT_OTHERS = (
    "A model that hears this column in the sound can learn it instead of the emotion.",
    "If the column follows from the label, e.g. an annotation, ignore this. Else balance it over the emotions, or "
    "test on values that are not in train.",
)


def shortcut_findings(table: pd.DataFrame, shortcuts: pd.DataFrame) -> Iterator[Finding]:
    """A finding for each column that tells the emotion, from the result of `label_shortcuts` for the table."""
    table = table[originals(table) & table["emotion"].notna().to_numpy()]
    for name, row in shortcuts[shortcuts["found"]].iterrows():
        column = str(name)
        kind = column.removeprefix("measured ")  # see `audit`: the table has a column of this name too
        about, advice = _ABOUT.get(kind, _ABOUT_OTHERS)
        yield Finding(
            f"shortcut: {column}",
            _severity(kind, float(row["strength"])),
            f"The column {column} alone tells the emotion with a UAR of {row['uar']:.1%} ({row['uar_low']:.1%} to "
            f"{row['uar_high']:.1%}; chance {row['chance']:.1%}, {row['chance_low']:.1%} to "
            f"{row['chance_high']:.1%}){_one_emotion(table, column)}.",
            about,
            advice,
            evidence=_evidence(table, column),
        )


def _severity(kind: str, strength: float) -> Severity:
    """Duration, level and silence belong to the expression of emotions too; a bit of each is no fault."""
    error, warning = (0.5, 0.25) if kind in EXPRESSIVE else (0.25, 0.0)
    return "error" if strength >= error else "warning" if strength >= warning else "note"


def _one_emotion(table: pd.DataFrame, column: str) -> str:
    """How many values occur with one emotion only, as the end of a sentence."""
    if is_number(table[column]):
        return ""
    counts = pd.crosstab(table[column], table["emotion"])
    counts = counts[counts.sum(axis=1) >= _OFTEN]
    pure = int(((counts > 0).sum(axis=1) == 1).sum())
    return f"; {pure:,} of its {len(counts):,} values occur with one emotion only" if pure else ""


def _evidence(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Clips by value (down) and emotion (across), the most telling first; of numbers, quartiles by emotion."""
    if is_number(table[column]):
        groups = table.groupby("emotion")[column]
        unit = _UNITS.get(column, "")
        names = [f"{name}{unit}" for name in ("first quartile", "median", "third quartile")]
        quartiles = groups.describe()[["25%", "50%", "75%"]].set_axis(names, axis=1)
        return quartiles.assign(**{"different values": groups.nunique()})
    counts = pd.crosstab(table[column].fillna(MISSING), table["emotion"])
    # A value of one emotion and many clips comes first.
    excess = (counts.max(axis=1) - counts.sum(axis=1) / counts.shape[1]).sort_values(ascending=False, kind="stable")
    return counts.loc[excess.index]
