"""Add clips to a graph: only the new clips are embedded, and all edges are searched again."""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.features import log_mels
from ser_graph.audio.mapped import map_array, write_array
from ser_graph.common.files import atomic_file
from ser_graph.corpora.adapter import as_clip_table
from ser_graph.errors import InputError
from ser_graph.graph.building import (
    build_graph,
    check_spectrograms,
    check_table,
)
from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.upstream import Upstream


def add_clips(
    data: ClipGraph,
    table: pd.DataFrame,
    upstream: Upstream | None = None,
    *,
    emb: Tensor | None = None,
    x: Tensor | None = None,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    root: str | Path | None = None,
    progress: bool = True,
) -> ClipGraph:
    """Add clips to a graph.

    The result is the graph that `build_graph` makes of all clips with the settings of `data`.

    Args:
        data: the graph; it does not change.
        table: clip table of M new clips, with a split.
        upstream: the model that embedded the old clips; not needed with `emb`.
        emb: [M, D] embeddings of the new clips.
        x: [M, n_frames, n_mels] spectrograms of the new clips.
        out: a `.npy` file for the spectrograms of all clips; the new graph maps them from disk. By default they are
            in memory.
        cache: as in `build_graph`.
        root: the folder of the new clips.
        progress: show progress bars.

    Returns:
        A new graph: the old clips in their order, then the new clips.

    Raises:
        InputError: a clip is in the graph already; a speaker would be in two splits; another upstream made the
            graph; `emb` or `x` do not fit the graph; or the tensors of the graph do not agree, see
            `ClipGraph.check`.
    """
    data.check()
    table, made = as_clip_table(table), data.meta
    already = data.table.index.intersection(table.index)
    if len(already):
        raise InputError(f"{len(already)} clips are in the graph already, e.g. {already[0]}; give only new clips")
    made_by = made.upstream
    if upstream and made_by and upstream.fingerprint() != made_by.fingerprint:
        raise InputError("Another upstream made this graph; give that upstream, or build the graph again")
    joined = pd.concat([data.table, table])
    joined.attrs = dict(data.table.attrs)
    check_table(joined, made.settings, shared_speakers=made.shared_speakers)
    if emb is None:
        if upstream is None:
            raise InputError("add_clips needs the graph's upstream to embed the clips, or their embeddings as emb=")
        emb = upstream.embed(table, made.embedding, cache=cache, root=root, progress=progress)
    if emb.shape[1] != data.emb.shape[1]:
        raise InputError(f"emb has {emb.shape[1]} dimensions, expected {data.emb.shape[1]} as in the graph")
    if x is None:
        x = log_mels(table, made.features, root=root, progress=progress)
    check_spectrograms(x, made.features, table)
    result = build_graph(
        joined,
        upstream,
        made.settings,
        emb=torch.cat([data.emb, emb]),
        x=_joined(data.x, x, out),
        features=made.features,
        shared_speakers=made.shared_speakers,
        embedding=made.embedding,
    )
    result.meta = result.meta.replace(upstream=result.meta.upstream or made.upstream, split=made.split)
    return result


def _joined(x: Tensor, new: Tensor, out: str | Path | None) -> Tensor:
    """The spectrograms of old and new clips, in the type of the old ones."""
    new = new.to(x.dtype)
    if out is None:
        return torch.cat([x, new])
    out = Path(out).expanduser()
    with atomic_file(out) as part:
        write_array(part, x, new)
    return map_array(out)
