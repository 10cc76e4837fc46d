"""Key numbers of a graph, e.g. coverage and homophily."""

import networkx as nx
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.analysis.convert import undirected
from ser_graph.corpora import originals
from ser_graph.graph.building import in_scope
from ser_graph.graph.clip_graph import ClipGraph, check_is_graph


def graph_statistics(data: ClipGraph) -> pd.Series:
    """The key numbers of a graph, over the clips in scope: the clips that can have neighbours and be neighbours.

    Returns:
        A Series; NaN if there is nothing to count:

        - `n_clips`, without copies (see `with_copies`), and `n_edges`;
        - `coverage`: share of clips in scope with a neighbour;
        - `homophily`: share of edges between clips of the same emotion, among edges between clips of known emotion;
          `homophily_chance`: this share for neighbours drawn at random from the clips in scope; likewise
          `same_speaker` and `same_speaker_chance`;
        - `recall` of the neighbour search;
        - `n_in_scope`; `isolated`: clips in scope without an edge in either direction; `never_neighbour`: clips in
          scope that are not a neighbour of any clip;
        - `degree_mean`, `in_degree_max` (most neighbours of a clip), `out_degree_max` (most clips with the same
          neighbour);
        - `hubness`: the skewness of the out-degree, the k-occurrence of Radovanovic et al. 2010 ("Hubs in Space",
          JMLR 11); above 1 there are clear hubs;
        - `density`: edges as a share of all ordered pairs; `reciprocity`: share of edges whose opposite is also an
          edge;
        - of the graph without directions: `components` (an isolated clip is one), `largest_component` (its share of
          the clips) and `clustering` (the share of pairs among the clips joined to a clip that are joined to each
          other, averaged over clips);
        - `similarity_min`, `similarity_q25`, `similarity_median`, `similarity_q75`, `similarity_max`: of the edges.
    """
    check_is_graph(data)
    data.check()
    inside = nodes_in_scope(data)
    statistics = {
        "n_clips": int(originals(data.table).sum()),
        "n_edges": data.edge_index.shape[1],
        "coverage": data.meta.measured.coverage,
        "homophily": edge_homophily(data.edge_index, data.y),
        "homophily_chance": chance_homophily(data.y[inside]),
        "same_speaker": edge_homophily(data.edge_index, data.speaker),
        "same_speaker_chance": chance_homophily(data.speaker[inside]),
        "recall": data.meta.measured.recall,
        "n_in_scope": int(inside.sum()),
        **_degree_statistics(data, inside),
        **_structure_statistics(data, inside),
        **_similarity_statistics(data.edge_weight.numpy()),
    }
    return pd.Series(statistics, name="graph", dtype=object)


def degree_distribution(data: ClipGraph) -> pd.DataFrame:
    """The number of clips in scope with each number of edges.

    Returns:
        One row for each degree from 0 to the highest, indexed by `degree`. `in_degree`: number of clips with this
        many neighbours. `out_degree`: number of clips that are a neighbour of this many clips.
    """
    inside = nodes_in_scope(data)
    degrees = [data.edge_index[end].bincount(minlength=data.num_nodes)[inside] for end in (1, 0)]
    length = 1 + max(int(degree.max()) if len(degree) else 0 for degree in degrees)
    counts = {
        name: degree.bincount(minlength=length)
        for name, degree in zip(("in_degree", "out_degree"), degrees, strict=True)
    }
    return pd.DataFrame(counts, index=pd.RangeIndex(length, name="degree"))


def _degree_statistics(data: ClipGraph, inside: Tensor) -> dict[str, float]:
    from scipy.stats import skew  # slow to import, rarely needed

    ins = data.degrees()[inside].numpy()
    outs = data.edge_index[0].bincount(minlength=data.num_nodes)[inside].numpy()
    return {
        "isolated": int(((ins == 0) & (outs == 0)).sum()),
        "never_neighbour": int((outs == 0).sum()),
        "degree_mean": float(ins.mean()) if len(ins) else float("nan"),
        "in_degree_max": int(ins.max(initial=0)),
        "out_degree_max": int(outs.max(initial=0)),
        "hubness": float(skew(outs)) if len(outs) and outs.min() < outs.max() else float("nan"),
    }


def _structure_statistics(data: ClipGraph, inside: Tensor) -> dict[str, float]:
    graph = undirected(data, inside)
    n, n_edges, n_joined = len(graph), data.edge_index.shape[1], graph.number_of_edges()
    sizes = [len(component) for component in nx.connected_components(graph)]
    return {
        "density": density(n_edges, n),
        # Without directions, two opposite edges become one: the difference is the number of mutual pairs.
        "reciprocity": 2 * (n_edges - n_joined) / n_edges if n_edges else float("nan"),
        "components": len(sizes),
        "largest_component": max(sizes) / n if n else float("nan"),
        "clustering": average_clustering(graph),
    }


def _similarity_statistics(similarity: np.ndarray) -> dict[str, float]:
    names = ("min", "q25", "median", "q75", "max")
    values = np.quantile(similarity, [0, 0.25, 0.5, 0.75, 1]) if len(similarity) else np.full(5, np.nan)
    return {f"similarity_{name}": float(value) for name, value in zip(names, values, strict=True)}


def density(n_edges: int, n: int) -> float:
    """Edges as a share of the ordered pairs of n clips."""
    return n_edges / (n * (n - 1)) if n > 1 else float("nan")


def average_clustering(graph: nx.Graph) -> float:
    """The average clustering of networkx; NaN without a clip."""
    return float(nx.average_clustering(graph)) if len(graph) else float("nan")


def nodes_in_scope(data: ClipGraph) -> Tensor:
    """[N] bool: the clips that can have neighbours and be neighbours; copies are left out."""
    return torch.from_numpy(in_scope(data.table, data.meta.settings.scope))


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
    """Expected edge homophily if neighbours are drawn at random; a clip is never its own neighbour.

    With m_c clips of code c among m clips of known code: ``sum_c m_c (m_c - 1) / (m (m - 1))``.

    Examples:
        >>> chance_homophily(torch.tensor([0, 0, 1, 1]))
        0.3333333333333333
    """
    counts = codes[codes >= 0].bincount().double()
    m = counts.sum()
    return float((counts * (counts - 1)).sum() / (m * (m - 1))) if m > 1 else float("nan")
