"""The clips and the pairs of values that connect emotions."""

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
    """The number of edges between every two values, in either direction.

    Args:
        data: the graph.
        by: a text column of the clip table, see `column_codes`.

    Returns:
        One row for each pair of different values, indexed by (`by`, `other`), most edges first: `edges`;
        `expected`, the number of edges in the configuration model (see `mixing_table`); and their `ratio`, NaN if
        none is expected.

    Raises:
        InputError: no such column, or a column with too many values.
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
    """The clips that connect different values, the strongest bridge first.

    A bridge is joined to clips of its own value and to clips of other values. A clip that is joined only to other
    values is not a bridge but suspicious (see `score_clips`). Two clips are joined if either is a neighbour of the
    other.

    Args:
        data: the graph.
        by: a text column of the clip table, see `column_codes`.
        n_sources: number of clips from which betweenness is sampled. Each takes a tenth of a second in a graph of
            60,000 edges. 0 leaves betweenness NaN.
        seed: random seed of that sample.

    Returns:
        One row for each clip in scope with a known value, indexed by `file`: the value, under the name of the
        column; `own` and `others`, the numbers of joined clips with the same value and with other values;
        `towards`, the other value to which the clip is joined most; `paths`, ``own * others``, the number of pairs
        of clips of different values that it connects; and `betweenness`, the share of shortest paths that contain
        the clip (networkx's, Brandes 2008). The rows are sorted by descending `paths`, then betweenness.
        ``attrs["betweenness_sources"]`` is the number of clips from which betweenness was sampled; if this is the
        number of clips in scope, betweenness is exact.

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
