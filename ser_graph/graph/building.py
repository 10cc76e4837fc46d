"""Clip table + embeddings + spectrograms -> `ClipGraph`."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.mapped import map_array
from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.distributed import ALONE, Processes, processes
from ser_graph.common.hashing import content_hash
from ser_graph.common.provenance import environment
from ser_graph.common.settings import changed, with_settings
from ser_graph.corpora import check_split
from ser_graph.corpora.adapter import as_clip_table, check_is_clip_table
from ser_graph.corpora.copies import originals
from ser_graph.corpora.joining import OTHER_EMOTION
from ser_graph.corpora.table import asked_of_clips
from ser_graph.errors import InputError
from ser_graph.graph.centring import centred, check_center
from ser_graph.graph.clip_graph import ClipGraph, check_no_clip_twice
from ser_graph.graph.epsilon import (
    NoEdgeError,
    check_epsilon,
    edge_measures,
    epsilon_of_coverage,
    similarity_measures,
)
from ser_graph.graph.meta import CODED, GraphMeasures, GraphMeta, UpstreamMeta
from ser_graph.graph.neighbours import (
    compile_nndescent,
    nearest_neighbours,
    resolve_method,
    sampled_recall,
    unit_rows,
)
from ser_graph.graph.rules import group_codes, mutual_edges
from ser_graph.graph.settings import SPLITS_OF, GraphSettings, coverage_of
from ser_graph.upstream import EmbeddingSettings, Upstream
from ser_graph.upstream.shard_clips import embed_clips, spectrograms


@with_settings(GraphSettings, EmbeddingSettings, LogMelSettings)
def build_graph(
    table: pd.DataFrame,
    upstream: Upstream | None = None,
    settings: GraphSettings | None = None,
    *,
    emb: Tensor | np.ndarray | None = None,
    x: Tensor | np.ndarray | None = None,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    embedding: EmbeddingSettings | None = None,
    features: LogMelSettings | None = None,
    shared_speakers: bool = False,
    root: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> ClipGraph:
    """Build the graph of a corpus: embed, find neighbours, filter edges, and add the spectrograms.

    Under `torchrun`, all processes call this function. They share the embedding and the search by faiss, the first
    process writes `out`, and all get the graph.

    Args:
        table: clip table of N clips, with a split. It may have clips of shards, see `shard_table`.
        upstream: the model that embeds the clips; not needed with `emb`.
        settings: the rules that make clips neighbours.
        emb: [N, D] embeddings to use instead of `upstream`, a tensor or an array; float32 in the graph.
        x: [N, n_frames, n_mels] spectrograms to use, made with `features`, a tensor or an array; float16 or float32
            in the graph.
        out: a `.npy` file for the spectrograms; the graph then maps them from disk.
        cache: folder for embeddings; see `Upstream.embed`.
        embedding: how `upstream` embeds the clips.
        features: settings of the spectrograms; the paper's by default.
        shared_speakers: accept a speaker in two splits.
        root: the corpus folder; by default the folder from which the table was loaded.
        device: device of the upstream, e.g. ``"cpu"``.
        progress: show progress bars.
        **changes: single settings of the three objects by name, e.g. ``epsilon=0.9, layer=4, n_samples=48_000``.

    Returns:
        The graph. ``meta.settings`` are its settings. ``meta.measured`` contains the measurements: the `epsilon`
        and the search `method` that were used, the number of edges, the coverage, the recall of a sample, and the
        histogram of similarities. If epsilon leaves almost no edges or almost all, the function warns.

    Raises:
        InputError: a bad setting; no clip table; a speaker in two splits; no clip in scope; neither `upstream` nor
            `emb`; shapes that do not fit the table; or settings that need missing data.
        NoEdgeError: an `InputError`: epsilon leaves no edge. The attribute `emb` of the error has the embeddings.
    """
    settings, embedding, features = changed(
        changes, settings or GraphSettings(), embedding or EmbeddingSettings(), features or LogMelSettings()
    )
    check_is_clip_table(table)
    table = as_clip_table(table)
    check_table(table, settings, shared_speakers=shared_speakers)
    nodes = torch.from_numpy(in_scope(table, settings.scope).nonzero()[0])
    if emb is None:
        if upstream is None:
            raise InputError("build_graph needs an upstream to embed the clips, or their embeddings as emb=")
        if resolve_method(settings.method, len(nodes)) == "nndescent":
            compile_nndescent()
        how: dict[str, Any] = {"features": features, "root": root, "device": device, "progress": progress}
        emb = embed_clips(table, upstream, embedding, cache=cache, **how)
    emb = _as_tensor("emb", emb, 2, (torch.float32,))
    _check_rows("emb", emb, table)
    if x is not None:
        x = _as_tensor("x", x, 3, (torch.float16, torch.float32))
        check_spectrograms(x, features, table)

    group = processes()
    try:
        edge_index, edge_weight, measured = find_edges(emb[nodes], table.iloc[nodes.numpy()], settings, group)
    except NoEdgeError as error:
        lost = upstream is not None and cache is None
        kept = "; the attribute emb of this error holds the embeddings, for build_graph(..., emb=)" if lost else ""
        raise NoEdgeError(f"{error}{kept}", emb) from None
    measured = measured.replace(n_clips=int(originals(table).sum()))
    if x is None:
        x = _spectrograms_of_first(table, features, root, out, group, progress=progress)
    return assemble(
        table,
        emb,
        x,
        nodes[edge_index],
        edge_weight,
        features=features,
        settings=settings,
        embedding=embedding,
        shared_speakers=shared_speakers,
        upstream=UpstreamMeta.of(upstream.fingerprint(), upstream.info) if upstream else None,
        measured=measured,
    )


def _spectrograms_of_first(
    table: pd.DataFrame,
    features: LogMelSettings,
    root: str | Path | None,
    out: str | Path | None,
    group: Processes,
    *,
    progress: bool,
) -> Tensor:
    """The spectrograms of a table: in a file that the first process writes, or in the memory of each process."""
    if out is None:
        return spectrograms(table, features, root=root, progress=progress and group.rank == 0)
    make = partial(spectrograms, table, features, root=root, out=out, progress=progress)
    return group.after_first(make if group.rank == 0 else partial(map_array, Path(out).expanduser()))


def asked_of_graph(
    table: pd.DataFrame,
    upstream: Upstream,
    settings: GraphSettings,
    embedding: EmbeddingSettings,
    features: LogMelSettings,
    *,
    shared_speakers: bool = False,
) -> dict[str, Any]:
    """Everything that decides the result of `build_graph`, as JSON values."""
    columns = dict.fromkeys([*CODED, "split", OTHER_EMOTION, *settings.across])
    objects = {"graph": settings, "embedding": embedding, "features": features}
    return {
        "upstream": upstream.fingerprint(),
        **asked_of_clips(table, list(columns)),
        **{name: one.asked() for name, one in objects.items()},
        "shared_speakers": shared_speakers,
    }


def in_scope(table: pd.DataFrame, scope: str) -> np.ndarray:
    """[N] bool: the clips that can have neighbours and be neighbours; copies are left out."""
    splits = SPLITS_OF[scope]
    return originals(table) & (table["split"].isin(splits).to_numpy(bool) if splits else True)


def assemble(
    table: pd.DataFrame, emb: Tensor, x: Tensor, edge_index: Tensor, edge_weight: Tensor, **made: Any
) -> ClipGraph:
    """Put the parts of a graph together: codes and masks come from the table; `made` are fields of `GraphMeta`."""
    data = ClipGraph(x=x, emb=emb, edge_index=edge_index, edge_weight=edge_weight, num_nodes=len(table))
    root = table.attrs.get("root")
    data.meta = GraphMeta(
        corpus=table.attrs.get("corpus"),
        root=None if root is None else str(root),
        data_hash=data_hash(table, emb),
        environment=environment(),
        **made,
    )
    data.table = table
    return data


def data_hash(table: pd.DataFrame, emb: Tensor) -> str:
    """A hash of files, labels, split and embeddings, independent of the order of the rows."""
    order = table.index.argsort()
    known = ("emotion", "speaker", "gender", "split", OTHER_EMOTION)
    columns = [column for column in known if column in table]
    rows = table.iloc[order][columns].astype("object").where(lambda frame: frame.notna(), None)
    values = rows.reset_index().to_numpy().tolist()
    return content_hash(values, emb[torch.from_numpy(order)].contiguous().numpy().data.cast("B"))


def find_edges(
    emb: Tensor, table: pd.DataFrame, settings: GraphSettings, group: Processes = ALONE
) -> tuple[Tensor, Tensor, GraphMeasures]:
    """The edges among the clips in scope, from their embeddings [N, D], and the measurements of the search.

    All processes of the group call this function with the same arguments.

    Returns:
        edge_index [2, E] in rows of `emb`, sorted by seed and then by descending similarity; edge_weight [E]; and
        the measurements except `n_clips`, because `table` may lack some clips.

    Raises:
        NoEdgeError: epsilon leaves no edge.
    """
    rows = centred(emb, table, settings.center)
    groups = group_codes(table, settings.across)
    search: dict[str, Any] = {"method": settings.method, "seed": settings.seed, "n_jobs": settings.n_jobs}
    ids, similarity = nearest_neighbours(rows, settings.n_neighbors, groups=groups, processes=group, **search)
    epsilon = settings.epsilon
    if isinstance(epsilon, str):
        edges = _kept_edges(ids, similarity, None, mutual=settings.mutual)
        epsilon = epsilon_of_coverage(*edges, len(ids), coverage_of(epsilon))
    edge_index, edge_weight = _kept_edges(ids, similarity, epsilon, mutual=settings.mutual)
    measured = GraphMeasures(
        method=resolve_method(settings.method, len(rows)),
        epsilon=epsilon,
        recall=sampled_recall(rows, ids, seed=settings.seed, groups=groups),
        **edge_measures(edge_index, ids),
        **similarity_measures(unit_rows(rows), similarity, epsilon, seed=settings.seed),
    )
    check_epsilon(measured, lambda other: _kept_edges(ids, similarity, other, mutual=settings.mutual)[0].shape[1])
    return edge_index, edge_weight, measured


def _kept_edges(ids: Tensor, similarity: Tensor, epsilon: float | None, *, mutual: bool) -> tuple[Tensor, Tensor]:
    """Ranked neighbour lists [N, k] -> edge_index [2, E], sorted by seed, then similarity; and edge_weight [E]."""
    kept = ids >= 0
    if epsilon is not None:
        # In float32 like the similarities: 0.99 is then the same number on both sides.
        kept &= similarity > torch.tensor(epsilon, dtype=torch.float32)
    seeds = torch.arange(len(ids))[:, None].expand_as(ids)
    edge_index, edge_weight = torch.stack([ids[kept], seeds[kept]]), similarity[kept]
    if mutual:
        both = mutual_edges(edge_index, len(ids))
        edge_index, edge_weight = edge_index[:, both], edge_weight[both]
    return edge_index, edge_weight


def check_table(table: pd.DataFrame, settings: GraphSettings, *, shared_speakers: bool = False) -> None:
    """Refuse a table that does not fit the settings, before the long embedding."""
    check_no_clip_twice(table)
    wanted = SPLITS_OF[settings.scope]
    if wanted and not table["split"].isin(wanted).any():
        raise InputError(f"No clip in the split {'+'.join(wanted)}; give the table a split, or use scope='all'")
    if wanted:
        check_split(table, shared_speakers=shared_speakers)
    inside = table[in_scope(table, settings.scope)]
    check_center(inside, settings.center)
    group_codes(inside, settings.across)


def check_spectrograms(x: Tensor, features: LogMelSettings, table: pd.DataFrame) -> None:
    """Refuse spectrograms with a shape that does not fit `features` and the table."""
    _check_rows("x", x, table)
    expected = (features.n_frames, features.n_mels)
    if x.shape[1:] != expected:
        raise InputError(f"x has spectrograms of shape {tuple(x.shape[1:])}, expected {expected} as in features")


def _as_tensor(name: str, values: Any, rank: int, dtypes: tuple[torch.dtype, ...]) -> Tensor:
    """A tensor on the CPU of one of some types; numbers of other types become the last of these types."""
    try:
        found = (
            values.detach()
            if isinstance(values, Tensor)
            else torch.from_numpy(np.require(values, requirements=["C", "W"]))
        )
    except (TypeError, ValueError):
        raise InputError(f"Bad {name} of type {type(values).__name__}, expected a tensor or an array") from None
    if found.ndim != rank or found.is_complex() or found.dtype == torch.bool:
        kind = str(found.dtype).removeprefix("torch.")
        raise InputError(f"{name} is {list(found.shape)} of {kind}, expected {rank} dimensions of float32")
    return found.cpu() if found.dtype in dtypes else found.cpu().to(dtypes[-1])


def _check_rows(name: str, values: Tensor, table: pd.DataFrame) -> None:
    if len(values) != len(table):
        raise InputError(f"{name} has {len(values)} rows, expected {len(table)}, one for each clip of the table")
