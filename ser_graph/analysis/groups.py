"""Groups of clips: clips with one value of a column, and the communities of the graph."""

from collections.abc import Sequence

import networkx as nx
import numpy as np
import pandas as pd

from ser_graph.analysis.columns import column_codes, usual_columns
from ser_graph.analysis.convert import undirected
from ser_graph.analysis.statistics import average_clustering, density, nodes_in_scope
from ser_graph.graph.clip_graph import ClipGraph


def subgraph_statistics(data: ClipGraph, by: str = "emotion") -> pd.DataFrame:
    """The key figures of the graph among the clips of each value.

    Args:
        data: the graph.
        by: a text column of the clip table, see `column_codes`.

    Returns:
        One row for each value, indexed by the value, over the clips in scope:

        - `clips`, and `coverage`, the share of these clips with a neighbour of any value;
        - `edges` among these clips, `density`, `components` (isolated clips count) and `clustering` of the
          subgraph, as in `graph_statistics`;
        - `internal_share`: the share of edges from the same value, among all edges into these clips from clips of
          known value;
        - `internal_chance`: this share for neighbours drawn at random from the other clips of known value.

        NaN if there is nothing to count.

    Raises:
        InputError: no such column.
    """
    names, codes = column_codes(data, by)
    inside = nodes_in_scope(data)
    source, target = codes[data.edge_index]
    covered = data.degrees() > 0
    known = int(((codes >= 0) & inside).sum())
    rows = []
    for code in range(len(names)):
        clips = (codes == code) & inside
        n = int(clips.sum())
        into, within = (target == code) & (source >= 0), (target == code) & (source == code)
        graph = undirected(data, clips)
        rows.append(
            {
                "clips": n,
                "coverage": _ratio(int((covered & clips).sum()), n),
                "edges": int(within.sum()),
                "density": density(int(within.sum()), n),
                "components": nx.number_connected_components(graph),
                "clustering": average_clustering(graph),
                "internal_share": _ratio(int(within.sum()), int(into.sum())),
                "internal_chance": _ratio(n - 1, known - 1) if n else np.nan,
            }
        )
    columns = ["clips", "coverage", "edges", "density", "components", "clustering"]
    columns += ["internal_share", "internal_chance"]
    return pd.DataFrame(rows, index=pd.Index(names, name=by, dtype=object), columns=columns)


def communities(data: ClipGraph, *, seed: int = 0) -> pd.Series:
    """The communities of the graph by Louvain's method (networkx's), without directions and weights.

    Args:
        data: the graph.
        seed: random seed of the order in which Louvain's method visits the clips.

    Returns:
        The community of each clip that has an edge, int64, indexed by `file`; 0 is the largest community. Clips
        without edges are left out.
    """
    joined = _joined(data)
    found = sorted(
        nx.community.louvain_communities(joined, weight=None, seed=seed), key=lambda c: (-len(c), min(c))
    )
    pairs = sorted((clip, number) for number, members in enumerate(found) for clip in members)
    clips, numbers = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return pd.Series(numbers, index=data.table.index[clips], name="community")


def community_statistics(
    data: ClipGraph, columns: Sequence[str] | None = None, *, seed: int = 0, found: pd.Series | None = None
) -> pd.DataFrame:
    """How well the communities of the graph match the values of columns.

    Args:
        data: the graph.
        columns: text columns of the clip table; by default emotion, speaker, gender and sentence, as far as the
            table has them.
        seed: random seed of `communities`.
        found: the result of `communities`, to avoid a second search.

    Returns:
        One row for each column, over the clips that have an edge and a known value: `clips`; `values` and
        `communities`, their numbers; `nmi`, the normalised mutual information, and `ari`, the adjusted Rand index,
        of communities and values (scikit-learn's; `ari` is 0 by chance); `modularity_values` and
        `modularity_communities`, the modularity of the graph of these clips with either grouping (networkx's). NaN
        if there is nothing to count.

    Raises:
        InputError: no such column.
    """
    columns = usual_columns(data) if columns is None else columns
    found = communities(data, seed=seed) if found is None else found
    joined = _joined(data)
    place = pd.Series(np.arange(data.num_nodes), index=data.table.index)[found.index].to_numpy()
    rows = {}
    for column in columns:
        _, codes = column_codes(data, column)
        values = pd.Series(codes.numpy()[place], index=place)
        values = values[values >= 0]
        rows[column] = _beside(joined, values, pd.Series(found.to_numpy(), index=place)[values.index])
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("column")
    return table.astype({name: int for name in ("clips", "values", "communities") if name in table})


def _joined(data: ClipGraph) -> nx.Graph:
    """The clips in scope that have an edge."""
    graph = undirected(data, nodes_in_scope(data))
    graph.remove_nodes_from(list(nx.isolates(graph)))
    return graph


def _beside(joined: nx.Graph, values: pd.Series, numbers: pd.Series) -> dict[str, float]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score  # slow to import, rarely needed

    counts = {"clips": len(values), "values": values.nunique(), "communities": numbers.nunique()}
    if not len(values):
        return {**counts, **dict.fromkeys(("nmi", "ari", "modularity_values", "modularity_communities"), np.nan)}
    graph = joined.subgraph(values.index)
    return {
        **counts,
        "nmi": float(normalized_mutual_info_score(values, numbers)),
        "ari": float(adjusted_rand_score(values, numbers)),
        "modularity_values": _modularity(graph, values),
        "modularity_communities": _modularity(graph, numbers),
    }


def _modularity(graph: nx.Graph, groups: pd.Series) -> float:
    """Modularity of a graph whose nodes are grouped (networkx's); NaN without an edge."""
    if not graph.number_of_edges():
        return np.nan
    return nx.community.modularity(graph, [set(nodes) for nodes in groups.groupby(groups).groups.values()], None)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan
