"""Scores of suspicious clips, in the convention of cleanlab: from 0 to 1, low is bad."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.analysis.columns import column_codes
from ser_graph.analysis.duplicates import near_duplicates, nearest_clips
from ser_graph.graph.clip_graph import ClipGraph, check_is_graph
from ser_graph.graph.neighbours import Neighbours


def score_clips(
    data: ClipGraph,
    by: str = "emotion",
    *,
    n_neighbors: int = 10,
    nearest: Neighbours | None = None,
    duplicates: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Scores of every clip from 0 to 1, the most suspicious clip first; a low score is bad, as in cleanlab.

    The neighbours are the `n_neighbors` nearest clips of the whole corpus by embedding. They are not the graph's
    neighbours: the graph joins only training clips, above epsilon, but this function checks labels in every split.
    Neighbours of the same speaker count like any other. Copies (see `with_copies`) are no neighbours and have no
    score.

    - `label_score`: do the neighbours have the label of the clip? The normalised margin,
      ``(own share - largest other share + 1) / 2`` (Northcutt et al. 2021, "Confident learning"): 1 if all
      neighbours have the label, 0 if all have one other label. NaN if the label of the clip, or of all neighbours,
      is unknown.
    - `outlier_score`: is the clip like other clips? ``exp(-d / median d)``, where d is the mean cosine distance to
      the neighbours; about 0.37 is usual.
    - `hub_score`: is the clip a neighbour of very many clips? 1 if it is a neighbour of no more clips than the
      average (`n_neighbors`), 1/10 if of ten times as many.
    - `near_duplicate_score`: is the clip there twice? 1 - correlation with its nearest duplicate, 1 without a
      duplicate; see `near_duplicates`.

    Args:
        data: the graph of N clips.
        by: the text column of the clip table that contains the label.
        n_neighbors: neighbours per clip.
        nearest: the result of `nearest_clips`, with `n_neighbors` or more clips for each; computed by default.
        duplicates: the result of `near_duplicates`, to avoid a second search.

    Returns:
        N rows indexed by `file`: the given label under the name of the column; `suggested`, the most frequent label
        of the neighbours (the given label if it is among the most frequent); the four scores; `near_duplicate_of`,
        a file or missing. The rows are sorted by ascending label score, then outlier score.

    Raises:
        InputError: no such column.

    Examples:
        >>> from ser_graph.graph import build_graph
        >>> table = pd.DataFrame({"emotion": ["joy", "joy", "fear", "fear", "fear"], "split": "train"})
        >>> table[["speaker", "gender"]] = None
        >>> emb = torch.tensor([[9.0, 1.0], [9.0, 2.0], [1.0, 9.0], [1.0, 8.0], [7.0, 2.0]])
        >>> data = build_graph(table, emb=emb, x=torch.randn(5, 373, 64), epsilon=None, n_neighbors=1)
        >>> score_clips(data, n_neighbors=2)[["emotion", "suggested", "label_score"]]
             emotion suggested  label_score
        file
        4       fear       joy          0.0
        0        joy       joy          0.5
        1        joy       joy          0.5
        2       fear      fear          1.0
        3       fear      fear          1.0
    """
    check_is_graph(data)
    data.check()
    names, codes = column_codes(data, by)
    ids, similarity = nearest or nearest_clips(data, max(n_neighbors, 3))
    duplicates = near_duplicates(data, nearest=Neighbours(ids, similarity)) if duplicates is None else duplicates
    ids, similarity = ids[:, :n_neighbors], similarity[:, :n_neighbors]
    suggested, label_score = _label_scores(ids, codes, len(names))
    near = _nearest_duplicate(duplicates).reindex(data.table.index)
    texts = np.array([*names, np.nan], dtype=object)  # code -1 selects the NaN
    table = pd.DataFrame(
        {
            by: texts[codes.numpy()],
            "suggested": texts[suggested.numpy()],
            "label_score": label_score.double().numpy(),
            "outlier_score": _outlier_scores(ids, similarity).numpy(),
            "hub_score": _hub_scores(ids).numpy(),
            "near_duplicate_score": 1 - near["correlation"].fillna(0.0),
            "near_duplicate_of": near["other"],
        },
        index=data.table.index,
    )
    return table.sort_values(["label_score", "outlier_score"], kind="stable")


def _label_scores(ids: Tensor, codes: Tensor, n_values: int) -> tuple[Tensor, Tensor]:
    """Suggested codes [N], -1 = none, and label scores [N]."""
    n = len(ids)
    voters = torch.where(ids >= 0, codes[ids.clamp_min(0)], -1)
    # The extra column is for neighbours with unknown labels; the next line removes it.
    votes = torch.zeros(n, n_values + 1).scatter_add_(1, voters % (n_values + 1), torch.ones(voters.shape))
    votes = votes[:, :n_values]
    total = votes.sum(dim=1)
    if n_values == 0:
        return torch.full((n,), -1), torch.full((n,), torch.nan)
    given = codes.clamp_min(0)[:, None]
    own = votes.gather(1, given)[:, 0]
    other = votes.scatter(1, given, -1.0).amax(dim=1).clamp_min(0)
    score = torch.where((codes >= 0) & (total > 0), ((own - other) / total + 1) / 2, torch.nan)
    ties = torch.where(codes >= 0, 0.5, 0.0)[:, None]  # ties go to the given label
    suggested = votes.scatter_add(1, given, ties).argmax(dim=1)
    return torch.where(total > 0, suggested, -1), score


def _outlier_scores(ids: Tensor, similarity: Tensor) -> Tensor:
    found = ids >= 0
    distance = torch.where(found, 1 - similarity.double(), 0.0).sum(dim=1) / found.sum(dim=1)
    usual = max(float(distance.nanmedian()), 1e-6) if len(distance) else 1.0
    return (-distance / usual).exp()


def _hub_scores(ids: Tensor) -> Tensor:
    n, k = ids.shape
    if k == 0:
        return torch.full((n,), torch.nan)
    times = ids[ids >= 0].bincount(minlength=n)
    return (k / times.clamp_min(k)).double()


def _nearest_duplicate(duplicates: pd.DataFrame) -> pd.DataFrame:
    """The most similar duplicate of each clip that has one: `other` and `correlation`, indexed by file."""
    pairs = duplicates[["file", "other", "correlation"]]
    back = pairs.rename(columns={"file": "other", "other": "file"})
    both = pd.concat([pairs, back]).sort_values("correlation", ascending=False, kind="stable")
    return both.drop_duplicates("file").set_index("file")
