"""The graph as a networkx graph: names and edges, without spectrograms and embeddings."""

from collections.abc import Sequence

import networkx as nx
import pandas as pd
from torch import Tensor

from ser_graph.analysis.columns import column_codes
from ser_graph.graph.clip_graph import ClipGraph


def to_networkx(data: ClipGraph, columns: Sequence[str] = ("emotion", "speaker", "gender", "split")) -> nx.DiGraph:
    """The graph as a networkx `DiGraph`.

    Args:
        data: the graph of N clips and E edges.
        columns: text columns of the clip table that become attributes of the nodes.

    Returns:
        Nodes 0 to N - 1 in the order of the clip table, each with its `file` and its known values of the columns; E
        edges from a neighbour to its seed, each with its `weight`, the similarity.

    Raises:
        InputError: no such column.

    Examples:
        >>> import pandas as pd, torch
        >>> data = ClipGraph(edge_index=torch.tensor([[1], [0]]), edge_weight=torch.tensor([0.5]), num_nodes=2)
        >>> data.table = pd.DataFrame({"sentence": ["b", None]}, index=["one.wav", "two.wav"])
        >>> to_networkx(data, ["sentence"]).nodes(data=True)
        NodeDataView({0: {'file': 'one.wav', 'sentence': 'b'}, 1: {'file': 'two.wav'}})
    """
    graph = nx.DiGraph()
    graph.add_nodes_from((node, {"file": file}) for node, file in enumerate(data.table.index))
    graph.add_weighted_edges_from(zip(*data.edge_index.tolist(), data.edge_weight.tolist(), strict=True))
    for column in columns:
        names, codes = column_codes(data, column)
        known = {node: names[code] for node, code in enumerate(codes.tolist()) if code >= 0}
        nx.set_node_attributes(graph, known, column)
    return graph


def neighbours(data: ClipGraph) -> pd.DataFrame:
    """The edges as a table: the neighbours of every clip.

    Args:
        data: the graph of N clips and E edges.

    Returns:
        E rows by `file` (the seed) and `neighbour` (a file), in the order of the edges: `rank` from 1, the most
        similar first, and `similarity`, float64.

    Examples:
        >>> import torch
        >>> both = torch.tensor([[1, 0], [0, 1]])
        >>> data = ClipGraph(edge_index=both, edge_weight=torch.tensor([0.5, 0.5]), num_nodes=2)
        >>> data.table = pd.DataFrame({"emotion": ["fear", "anger"]}, index=["one.wav", "two.wav"])
        >>> neighbours(data).reset_index().to_numpy().tolist()
        [['one.wav', 'two.wav', 1, 0.5], ['two.wav', 'one.wav', 1, 0.5]]
    """
    files = data.table.index.to_numpy(object)
    neighbour, seed = data.edge_index.numpy()
    index = pd.MultiIndex.from_arrays([files[seed], files[neighbour]], names=["file", "neighbour"])
    table = pd.DataFrame({"similarity": data.edge_weight.double().numpy()}, index=index)
    table.insert(0, "rank", table.groupby(seed)["similarity"].rank(ascending=False, method="first").astype(int))
    return table


def undirected(data: ClipGraph, nodes: Tensor) -> nx.Graph:
    """The graph among some clips, [N] bool, without directions and weights; its nodes are row numbers.

    Components, clustering and communities need this graph, because they depend only on pairs of joined clips.
    """
    graph = nx.Graph()
    graph.add_nodes_from(nodes.nonzero()[:, 0].tolist())
    graph.add_edges_from(data.edge_index[:, nodes[data.edge_index].all(dim=0)].T.tolist())
    return graph
