"""Adding clips to a graph without building it anew."""

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.audio.mapped import map_array, write_array
from ser_graph.corpora import check_split, originals
from ser_graph.corpora.adapter import in_form
from ser_graph.errors import InputError
from ser_graph.files import atomic_file
from ser_graph.graph.building import assemble, build_graph, find_edges, scope_nodes, top_edges
from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.graph.epsilon import complain, edge_figures, similarity_figures
from ser_graph.graph.neighbours import exact_candidates, pair_similarity, rank, unit_rows
from ser_graph.graph.rules import EdgeRules
from ser_graph.graph.space import Space
from ser_graph.upstream import Upstream


def add_clips(
    data: ClipGraph,
    table: pd.DataFrame,
    upstream: Upstream | None = None,
    *,
    emb: Tensor | None = None,
    x: Tensor | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> ClipGraph:
    """Add clips to a graph: the edges are those that building it anew with exact search would give.

    New clips are compared with all others, and old clips with the new ones; nothing old is compared again. Where
    the space, the rules or the choice of epsilon let a new clip change what old ones are to each other, all edges
    are sought anew among the embeddings, of which only those of the new clips are made.

    Args:
        data: the graph, left as it is.
        table: clip table of M new clips, with a split.
        upstream: the model that embedded the others; not needed where `emb` is given, unless the graph's space
            needs its head.
        emb: [M, D] embeddings of the new clips.
        x: [M, n_frames, n_mels] spectrograms of the new clips.
        out: a `.npy` file to write the spectrograms of all clips to; they are then mapped from disk. By default
            they are in memory.
        **settings: `root`, `cache` and `progress` as in `build_graph`.

    Returns:
        A new graph: the old clips in their order, then the new ones.

    Raises:
        InputError: a clip is in the graph already, a speaker comes into a second split, the upstream is not the
            one that made the graph, or the graph's tensors do not agree, see `ClipGraph.check`.
    """
    data.check()
    table = in_form(table)
    already = data.table.index.intersection(table.index)
    if len(already):
        raise InputError(f"{len(already)} clips are in the graph already, e.g. {already[0]}")
    made_by = (data.meta.get("upstream") or {}).get("fingerprint")
    if upstream and made_by and upstream.fingerprint() != made_by:
        raise InputError("This upstream is not the one that the graph was made with; build the graph anew")
    new = build_graph(
        table,
        upstream,
        epsilon=None,
        n_neighbors=1,
        scope="all",
        features=LogMelSettings(**data.meta["features"]),
        emb=emb,
        x=x,
        **data.meta["embedding"],
        **settings,
    )
    if new.emb.shape[1] != data.emb.shape[1]:
        raise InputError(f"emb has {new.emb.shape[1]} dimensions, expected {data.emb.shape[1]} as in the graph")
    joined = pd.concat([data.table, new.table])
    joined.attrs = dict(data.table.attrs)
    both = torch.cat([data.emb, new.emb])
    graph = data.meta["graph"]
    if graph["scope"] != "all":
        check_split(joined, shared_speakers=graph["shared_speakers"])
    nodes = scope_nodes(joined, graph["scope"])
    if _old_edges_hold(graph):
        edge_index, edge_weight, figures = _extended_edges(both[nodes], nodes, data)
    else:
        edge_index, edge_weight, figures = find_edges(both[nodes], joined.iloc[nodes.numpy()], graph, upstream)
    result = assemble(joined, both, _joined(data.x, new.x, out), nodes[edge_index], edge_weight)
    result.meta = {**data.meta, **result.meta}
    result.meta["graph"] = {**graph, "n_clips": int(originals(joined).sum()), **figures}
    complain(result.meta["graph"])
    return result


def _joined(x: Tensor, new: Tensor, out: str | Path | None) -> Tensor:
    """The spectrograms of old and new clips, of the old ones' type."""
    new = new.to(x.dtype)
    if out is None:
        return torch.cat([x, new])
    out = Path(out).expanduser()
    with atomic_file(out) as part:
        write_array(part, x, new)
    return map_array(out)


def _old_edges_hold(graph: dict[str, Any]) -> bool:
    """Whether new clips can change nothing among the old ones, but push the last neighbours out."""
    plain = {"space": Space().to_dict(), "rules": EdgeRules().to_dict(), "epsilon_by": None}
    return all(graph.get(name, value) == value for name, value in plain.items())


def _extended_edges(emb: Tensor, nodes: Tensor, data: ClipGraph) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Edges among old and new clips in scope, and their figures, from the edges that the old ones have."""
    graph = data.meta["graph"]
    unit, k, epsilon = unit_rows(emb), graph["n_neighbors"], graph["epsilon"]
    ids, similarity = _updated_neighbours(unit, nodes, data, k)
    edge_index, edge_weight = top_edges(ids, similarity, epsilon, k)
    nearest = _sampled_similarities(unit, k, graph["seed"])
    figures = {**edge_figures(edge_index, ids), **similarity_figures(unit, nearest, epsilon, seed=graph["seed"])}
    return edge_index, edge_weight, figures


def _updated_neighbours(unit: Tensor, nodes: Tensor, data: ClipGraph, k: int) -> tuple[Tensor, Tensor]:
    """Ranked neighbours of all clips in scope, by their place in `nodes`.

    Old clips keep the neighbours they have and meet the new clips; new clips meet everyone.
    """
    old = torch.arange(int((nodes < data.num_nodes).sum()))
    new = torch.arange(len(old), len(nodes))
    met = exact_candidates(unit, old, new, k)
    known = _known_neighbours(data, nodes[: len(old)], k)
    of_new = exact_candidates(unit, new, torch.arange(len(nodes)), k)
    width = max(met.shape[1] + known.shape[1], of_new.shape[1])
    candidates = torch.full((len(nodes), width), -1)
    candidates[: len(old), : met.shape[1] + known.shape[1]] = torch.cat([met, known], dim=1)
    candidates[len(old) :, : of_new.shape[1]] = of_new
    return rank(unit, candidates, k)


def _sampled_similarities(unit: Tensor, k: int, seed: int, *, sample: int = 2000) -> Tensor:
    """[<= sample, k] similarities of the nearest neighbours of some rows, for the figures.

    The graph does not say how similar the neighbours are that epsilon cut off; so they are searched anew.
    """
    n = len(unit)
    rows = torch.arange(n)
    if n > sample:
        rows = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:sample]
    ids = exact_candidates(unit, rows, torch.arange(n), k)
    similarity = pair_similarity(unit, rows[:, None].expand_as(ids), ids)
    similarity[ids == rows[:, None]] = -torch.inf
    nearest, _ = similarity.sort(dim=1, descending=True)
    return nearest[:, :k]


def _known_neighbours(data: ClipGraph, nodes: Tensor, k: int) -> Tensor:
    """[len(nodes), k] neighbours in the graph by their place in `nodes`, -1 = none."""
    place = torch.full((data.num_nodes,), -1).index_copy(0, nodes, torch.arange(len(nodes)))
    sources, seeds = place[data.edge_index]
    first = torch.searchsorted(seeds, torch.arange(len(nodes)))
    known = torch.full((len(nodes), k), -1)
    known[seeds, torch.arange(len(seeds)) - first[seeds]] = sources
    return known
