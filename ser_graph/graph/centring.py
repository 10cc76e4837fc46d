"""Subtract from embeddings the mean of all clips or of each speaker: the mean says nothing about emotion."""

from typing import get_args

import pandas as pd
import torch
from torch import Tensor

from ser_graph.errors import InputError, bad_value, shorten
from ser_graph.graph.settings import Center


def centred(emb: Tensor, table: pd.DataFrame, center: Center) -> Tensor:
    """Embeddings minus the mean of all clips, or of the clips of each speaker. Labels are not used.

    Args:
        emb: [N, D] float32 embeddings; the means are computed from them.
        table: clip table of N rows; only ``speaker`` is used.
        center: the mean to subtract: ``"none"``, ``"corpus"`` (of all N clips) or ``"speaker"``.

    Returns:
        [N, D] float32; for ``"none"``, `emb` itself.

    Raises:
        InputError: an unknown `center`; a missing speaker or a speaker with one clip, if speakers are needed; or a
            clip that equals the mean and so has no direction.

    Examples:
        >>> emb = torch.tensor([[1.0, 0.0], [3.0, 0.0], [9.0, 5.0], [9.0, 7.0]])
        >>> table = pd.DataFrame({"speaker": ["a", "a", "b", "b"]})
        >>> centred(emb, table, "speaker").tolist()
        [[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]]
    """
    check_center(table, center)
    if center == "none":
        return emb
    groups = torch.zeros(len(table), dtype=torch.int64)
    if center == "speaker":
        groups = torch.from_numpy(pd.factorize(table["speaker"])[0].astype("int64"))
    sizes = groups.bincount()[:, None]
    sums = torch.zeros(len(sizes), emb.shape[1], dtype=torch.float64).index_add_(0, groups, emb.double())
    rows = emb.double() - (sums / sizes)[groups]
    _check_directions(rows, table)
    return rows.float()


def check_center(table: pd.DataFrame, center: str) -> None:
    """Refuse a mean that cannot be computed, before the long embedding; see `centred`."""
    if center not in get_args(Center):
        raise bad_value("center", center, get_args(Center))
    if center != "speaker":
        return
    speakers = table["speaker"] if "speaker" in table else pd.Series(None, table.index, dtype=object)
    unknown = table.index[speakers.isna()]
    if len(unknown):
        raise InputError(
            f"center='speaker' needs the speaker of every clip: {len(unknown)} have none ({shorten(unknown)}); "
            "name the speakers, or use center='corpus'"
        )
    counts = speakers.value_counts()
    alone = sorted(map(str, counts.index[counts == 1]))
    if alone:
        raise InputError(
            f"center='speaker' needs two clips of every speaker: {shorten(alone)} have one; leave them out, or use "
            "center='corpus'"
        )


def _check_directions(rows: Tensor, table: pd.DataFrame) -> None:
    nothing = (rows.norm(dim=1) == 0).nonzero()[:, 0].tolist()
    if nothing:
        raise InputError(
            f"{len(nothing)} clips equal the mean and so have no direction, e.g. {table.index[nothing[0]]}; "
            "delete repeated clips, or use center='none'"
        )
