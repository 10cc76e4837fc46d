"""How much a student gains by what it has heard of a voice before."""

from collections.abc import Sequence

import pandas as pd

from ser_graph.downstream import Student, predict_clips
from ser_graph.errors import InputError
from ser_graph.evaluation.metrics import evaluate
from ser_graph.graph import ClipGraph


def heard_curve(
    student: Student, data: ClipGraph, split: str = "test", clips: Sequence[int | None] = (0, 1, 3, 10, None)
) -> pd.DataFrame:
    """UAR by the number of clips of each speaker that were heard before, of a student that normalises by speaker.

    All clips of the split are judged at every number, those that were heard among them. The clips that are heard
    are drawn, the same ones for every student, and no label is looked at.

    Args:
        student: the model.
        data: the graph.
        split: whose clips are judged, ``"train"``, ``"dev"`` or ``"test"``.
        clips: the numbers; None is all.

    Returns:
        A row a number, `heard`, where ``"all"`` stands for None: `uar`, `uar_low` and `uar_high`, an interval of
        95% over speakers, as `evaluate` says.

    Raises:
        InputError: a student of another normalisation, no number, or one below 0.
    """
    if student.standardise.normalise != "speaker":
        raise InputError(
            f"The student was trained with normalise={student.standardise.normalise!r}: what was heard of a voice "
            "makes no difference to it; train one with normalise='speaker'"
        )
    if not len(clips) or min(n for n in (0, *clips) if n is not None) < 0:
        raise InputError(f"Bad numbers of clips {list(clips)}, expected some of at least 0, or None for all")
    rows = {}
    for n in clips:
        found = evaluate(predict_clips(student, data, split, heard=n))
        rows["all" if n is None else n] = {name: found[name] for name in ("uar", "uar_low", "uar_high")}
    return pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis("heard")
