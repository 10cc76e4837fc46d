"""Repeated recordings: found by embeddings, confirmed by spectrograms."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.mapped import read_rows
from ser_graph.corpora import originals
from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.graph.neighbours import Neighbours, nearest_neighbours

_LOOK = 3  # number of nearest neighbours to compare
_BLOCK = 256  # pairs of spectrograms in memory at a time


def near_duplicates(data: ClipGraph, *, threshold: float = 0.9, nearest: Neighbours | None = None) -> pd.DataFrame:
    """Pairs of clips that are, or may be, the same recording, in any splits.

    The candidates are the three nearest clips of each clip by embedding, if they are not further than the median
    distance to a nearest clip. The function reads only their spectrograms. Two clips are near-identical if the
    correlation of their log-mel spectrograms reaches the threshold. On EMOVO, this finds every copy, every copy
    with noise at 40 dB or a shift of 1 ms, 93 % of the copies at half the volume, most copies at 8 bits, and
    nothing else. Both conditions are needed: clips of the same speaker and sentence in two emotions correlate by up
    to 0.93, but their embeddings are far apart. The spectrograms are repeated or cut to one length, so that the
    function does not find a part of a clip, or a copy that starts later. Copies (see `with_copies`) are left out.

    Args:
        data: the graph; its edges are not used.
        threshold: lowest correlation of a near-identical pair.
        nearest: the result of `nearest_clips`, with three or more clips for each; computed by default.

    Returns:
        One row per pair, the most similar pair first: `file`, `other`; `similarity` of the embeddings;
        `correlation` of the log-mel spectrograms; `identical`, whether the spectrograms are equal to the last bit;
        `split` and `other_split`.

    Examples:
        >>> from ser_graph.graph import build_graph
        >>> table = pd.DataFrame({"emotion": "joy", "split": ["train", "test"]}, index=["a.wav", "b.wav"])
        >>> table[["speaker", "gender"]] = None
        >>> data = build_graph(table, emb=torch.ones(2, 8), x=torch.ones(2, 373, 64))
        >>> near_duplicates(data).T
                         0
        file         a.wav
        other        b.wav
        similarity     1.0
        correlation    1.0
        identical     True
        split        train
        other_split   test
    """
    first, second, similarity = _candidates(*(nearest or nearest_clips(data, _LOOK)))
    correlation, identical = _compare(data.x, first, second)
    files, splits = data.table.index.to_numpy(), data.table["split"].to_numpy()
    pairs = pd.DataFrame(
        {
            "file": files[first],
            "other": files[second],
            "similarity": similarity,
            "correlation": correlation,
            "identical": identical,
            "split": splits[first],
            "other_split": splits[second],
        }
    )
    near = pairs[pairs["identical"] | (pairs["correlation"] >= threshold)]
    return near.sort_values(["identical", "correlation"], ascending=False, kind="stable").reset_index(drop=True)


def nearest_clips(data: ClipGraph, k: int, emb: Tensor | None = None) -> Neighbours:
    """[N, k] nearest originals of each original clip in any split, and similarities, as in `nearest_neighbours`.

    Copies are left out. `emb` [N, D] are other embeddings for the search, instead of those of the graph.
    """
    emb, original = data.emb if emb is None else emb, torch.from_numpy(originals(data.table))
    if original.all():
        return nearest_neighbours(emb, k)
    rows = original.nonzero()[:, 0]
    found, similar = nearest_neighbours(emb[rows], k)
    ids = torch.full((len(emb), found.shape[1]), -1)
    similarity = torch.full(ids.shape, -torch.inf)
    ids[rows], similarity[rows] = torch.where(found >= 0, rows[found.clamp_min(0)], -1), similar
    return Neighbours(ids, similarity)


def _candidates(ids: Tensor, similarity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of rows (first < second) to compare, and their similarities."""
    ids, similarity = ids[:, :_LOOK], similarity[:, :_LOOK]
    if ids.numel() == 0:
        return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), torch.empty(0)
    near = (similarity >= similarity[ids[:, 0] >= 0, 0].median()) & (ids >= 0)
    rows = torch.arange(len(ids))[:, None].expand_as(ids)[near]
    pairs = torch.stack([rows, ids[near]]).sort(dim=0).values
    pairs, place = pairs.unique(dim=1, return_inverse=True)
    return pairs[0], pairs[1], torch.empty(pairs.shape[1]).scatter_(0, place, similarity[near])


def _compare(x: Tensor, first: Tensor, second: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Pearson's correlation of the two spectrograms of each pair, and whether they are equal."""
    correlation = torch.empty(len(first), dtype=torch.float64)
    identical = torch.empty(len(first), dtype=torch.bool)
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = read_rows(x, first[part]).flatten(1), read_rows(x, second[part]).flatten(1)
        identical[part] = (a == b).all(dim=1)
        a, b = _centred(a), _centred(b)
        norms = a.norm(dim=1) * b.norm(dim=1)
        correlation[part] = ((a * b).sum(dim=1) / norms.clamp_min(1e-12)).clamp(-1, 1).double()
    correlation[identical] = 1.0  # also for silence, whose variance is 0
    return correlation.numpy(), identical.numpy()


def _centred(rows: Tensor) -> Tensor:
    rows = rows.float()
    return rows - rows.mean(dim=1, keepdim=True)
