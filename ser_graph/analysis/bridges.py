"""Which clips and which pairs of values connect one emotion with another."""

import networkx as nx
import numpy as np
import pandas as pd
import torch

from ser_graph.analysis.columns import column_codes
from ser_graph.analysis.convert import undirected
from ser_graph.analysis.mixing import mixing_table
from ser_graph.analysis.statistics import nodes_in_scope
from ser_graph.graph.clip_graph import ClipGraph


def bridge_pairs(data: ClipGraph, by: str = "emotion") -> pd.DataFrame:
    """Every two values and how many edges join them, in either direction.

    Args:
        data: the graph.
        by: a text column of the clip table, see `column_codes`.

    Returns:
        A row for each pair of different values, indexed by (`by`, `other`), most edges first: `edges`, how many
        the configuration model has `expected` (see `mixing_table`), and their `ratio`, NaN where none is
        expected.

    Raises:
        InputError: no such column, or one of too many values.
    """
    table = mixing_table(data, by, n_permutations=0)
    names, _ = column_codes(data, by)
    first, second = np.triu_indices(len(names), k=1)
    cells = table[["edges", "expected"]].to_numpy().reshape(len(names), len(names), 2)
    edges, expected = (cells[first, second] + cells[second, first]).T
    values = np.array(names, dtype=object)
    pairs = pd.DataFrame(
        {
            "edges": edges.astype(np.int64),
            "expected": expected,
            "ratio": np.divide(edges, expected, out=np.full(edges.shape, np.nan), where=expected > 0),
        },
        index=pd.MultiIndex.from_arrays([values[first], values[second]], names=[by, "other"]),
    )
    return pairs.sort_values("edges", ascending=False, kind="stable")


def bridge_clips(data: ClipGraph, by: str = "emotion", *, n_sources: int = 32, seed: int = 0) -> pd.DataFrame:
    """The clips through which two values are connected, the strongest bridge first.

    A bridge is joined to clips of its own value and to clips of others: a clip that is joined to others alone is
    no bridge, it is suspicious (see `score_clips`). Two clips are joined when either is the other's neighbour.

    Args:
        data: the graph.
        by: a text column of the clip table, see `column_codes`.
        n_sources: clips that betweenness is sampled from, as it costs a tenth of a second for each of them in a
            graph of 60,000 edges; 0 leaves it NaN.
        seed: of that sample.

    Returns:
        A row for each clip in scope of known value, indexed by `file`: its value under the name of the column;
        `own` and `others`, to how many clips of its own and of other values it is joined; `towards`, the other
        value that it is joined to most; `paths`, ``own * others``, how many clips of its own value it connects
        with clips of another one; `betweenness`, the share of shortest paths that lead through it (networkx's,
        Brandes 2008). By descending `paths`, then betweenness. ``attrs["betweenness_sources"]`` says how many
        clips betweenness was sampled from; where it is the number of clips in scope, it is exact.

    Raises:
        InputError: no such column.
    """
    names, codes = column_codes(data, by)
    inside = nodes_in_scope(data)
    graph = undirected(data, inside)
    joined = torch.tensor(list(graph.edges), dtype=torch.int64).view(-1, 2).T
    first, second = torch.cat([joined, joined.flip(0)], dim=1)
    seen = codes[second] >= 0
    cells = first[seen] * len(names) + codes[second[seen]]
    votes = cells.bincount(minlength=data.num_nodes * len(names)).view(data.num_nodes, len(names))

    clips = ((codes >= 0) & inside).nonzero()[:, 0]
    votes, code = votes[clips], codes[clips][:, None]
    own = votes.gather(1, code)[:, 0]
    votes = votes.scatter(1, code, 0)
    others = votes.sum(dim=1)
    texts = np.array([*names, np.nan], dtype=object)
    most = torch.where(others > 0, votes.argmax(dim=1), len(names)) if len(clips) else others
    n_sources = min(n_sources, len(graph))
    values = nx.betweenness_centrality(graph, k=n_sources, seed=seed) if n_sources else {}
    columns = {
        by: texts[codes[clips].numpy()],
        "own": own.numpy(),
        "others": others.numpy(),
        "towards": texts[most.numpy()],
        "paths": (own * others).numpy(),
        "betweenness": np.array([values.get(clip, np.nan) for clip in clips.tolist()], dtype=float),
    }
    table = pd.DataFrame(columns, index=data.table.index[clips.numpy()])
    table.attrs = {"betweenness_sources": n_sources}
    return table.sort_values(["paths", "betweenness"], ascending=False, kind="stable")
