"""Figures of a graph: how much of the corpus it reaches, and whether like is joined to like."""

import pandas as pd
import torch
from torch import Tensor

from ser_graph.graph.clip_graph import ClipGraph


def graph_statistics(data: ClipGraph) -> pd.Series:
    """The key figures of a graph.

    Returns:
        A Series: `n_clips`, `n_edges`, `coverage` (share of clips in scope with a neighbour), `homophily`
        (share of edges between clips of the same known emotion), `homophily_chance` (what neighbours drawn at
        random from the clips in scope would give), likewise `same_speaker` and `same_speaker_chance`, and
        `recall` of the neighbour search. NaN where there is nothing to count.
    """
    graph = data.meta["graph"]
    inside = nodes_in_scope(data)
    figures = {
        "n_clips": data.num_nodes,
        "n_edges": data.edge_index.shape[1],
        "coverage": graph["coverage"],
        "homophily": edge_homophily(data.edge_index, data.y),
        "homophily_chance": chance_homophily(data.y[inside]),
        "same_speaker": edge_homophily(data.edge_index, data.speaker),
        "same_speaker_chance": chance_homophily(data.speaker[inside]),
        "recall": graph["recall"],
    }
    return pd.Series(figures, name="graph", dtype=object)


def nodes_in_scope(data: ClipGraph) -> Tensor:
    """[N] bool: the clips that may have and be neighbours."""
    masks = {
        "train": data.train_mask,
        "train+dev": data.train_mask | data.val_mask,
        "all": torch.ones(data.num_nodes, dtype=torch.bool),
    }
    return masks[data.meta["graph"]["scope"]]


def edge_homophily(edge_index: Tensor, codes: Tensor) -> float:
    """Share of edges that join equal codes, among the edges whose two codes are known (>= 0).

    Examples:
        >>> edge_homophily(torch.tensor([[0, 1, 2], [1, 0, 0]]), torch.tensor([5, 5, 3]))
        0.6666666666666666
    """
    source, target = codes[edge_index]
    known = (source >= 0) & (target >= 0)
    return float((source == target)[known].double().mean()) if known.any() else float("nan")


def chance_homophily(codes: Tensor) -> float:
    """Expected edge homophily of neighbours drawn at random, never the clip itself.

    With m_c clips of code c among m known ones: ``sum_c m_c (m_c - 1) / (m (m - 1))``.

    Examples:
        >>> chance_homophily(torch.tensor([0, 0, 1, 1]))
        0.3333333333333333
    """
    counts = codes[codes >= 0].bincount().double()
    m = counts.sum()
    return float((counts * (counts - 1)).sum() / (m * (m - 1))) if m > 1 else float("nan")
