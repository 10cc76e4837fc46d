"""How much a student gains from earlier clips of a voice."""

from collections.abc import Sequence

import pandas as pd

from ser_graph.downstream import Student, predict_clips
from ser_graph.errors import InputError
from ser_graph.evaluation.metrics import evaluate
from ser_graph.graph import ClipGraph


def heard_curve(
    student: Student, data: ClipGraph, split: str = "test", clips: Sequence[int | None] = (0, 1, 3, 10, None)
) -> pd.DataFrame:
    """UAR by the number of earlier clips of each speaker, for a student with ``normalise="speaker"``.

    Every row of the result tests all clips of the split, also the clips that the student has heard before. The
    heard clips are drawn at random, the same clips for every student. The student uses no labels.

    Args:
        student: the model.
        data: the graph.
        split: the split to test, ``"train"``, ``"dev"`` or ``"test"``.
        clips: the numbers of clips; None means all.

    Returns:
        One row per number: `heard` (``"all"`` for None), and `uar`, `uar_low` and `uar_high`, a 95% interval over
        speakers, as in `evaluate`.

    Raises:
        InputError: a student with another normalisation, no number, or a number below 0.
    """
    if student.standardise.normalise != "speaker":
        raise InputError(
            f"The student was trained with normalise={student.standardise.normalise!r}: earlier clips of a speaker "
            "make no difference to it; train a student with normalise='speaker'"
        )
    if not len(clips) or min(n for n in (0, *clips) if n is not None) < 0:
        raise InputError(
            f"Bad numbers of clips {list(clips)}, expected at least one number, each 0 or more, or None for all"
        )
    rows = {}
    for n in clips:
        found = evaluate(predict_clips(student, data, split, heard=n))
        rows["all" if n is None else n] = {name: found[name] for name in ("uar", "uar_low", "uar_high")}
    return pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis("heard")
