"""Clip table + embeddings + spectrograms -> `ClipGraph`."""

from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.features import log_mels
from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.corpora import check_split
from ser_graph.errors import InputError, bad_value
from ser_graph.files import content_hash, environment
from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.graph.epsilon import complain, edge_figures, similarity_figures
from ser_graph.graph.neighbours import METHODS, nearest_neighbours, resolve_method, sampled_recall, unit_rows
from ser_graph.upstream import Upstream

Scope = Literal["train", "train+dev", "all"]
_SCOPES: dict[str, tuple[str, ...]] = {"train": ("train",), "train+dev": ("train", "dev"), "all": ()}
_CODED = ("emotion", "speaker", "gender")
_MASKS = {"train": "train_mask", "dev": "val_mask", "test": "test_mask"}


def build_graph(
    table: pd.DataFrame,
    upstream: Upstream | None = None,
    *,
    epsilon: float | None = 0.99,
    n_neighbors: int = 6,
    scope: Scope = "train",
    method: str = "auto",
    seed: int = 0,
    n_jobs: int | None = None,
    shared_speakers: bool = False,
    features: LogMelSettings | None = None,
    emb: Tensor | None = None,
    x: Tensor | None = None,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    root: str | Path | None = None,
    progress: bool = True,
    **embedding: Any,
) -> ClipGraph:
    """Build the graph of a corpus: embed, find neighbours, filter, and add the spectrograms.

    Args:
        table: clip table of N clips, with a split.
        upstream: the model that embeds the clips; not needed where `emb` is given.
        epsilon: an edge needs a cosine similarity above this (paper: 0.99, for its wav2vec 2.0); None keeps
            every nearest neighbour.
        n_neighbors: at most so many neighbours a clip, the most similar ones.
        scope: which clips have and are neighbours: ``"train"`` (protocol *clean*), ``"train+dev"`` (protocol
            *paper*), or ``"all"`` (for looking only: test clips then are neighbours of training clips).
        method: ``"exact"``, ``"nndescent"``, or ``"auto"``.
        seed: of NN-descent and of the sample on which recall is measured.
        n_jobs: threads of NN-descent; None takes all.
        shared_speakers: accept a speaker in two splits.
        features: what the spectrograms look like; the paper's by default.
        emb: [N, D] embeddings made before; `upstream` is then not used.
        x: [N, n_frames, n_mels] spectrograms made before with `features`.
        out: a `.npy` file to write the spectrograms to; they are then mapped from disk.
        cache: folder for embeddings; see `Upstream.embed`.
        root: the corpus folder, by default the one that the table was loaded from.
        progress: show progress bars.
        **embedding: further settings of `Upstream.embed`.

    Returns:
        The graph. ``meta["graph"]`` holds its settings, number of edges, coverage, recall of a sample and the
        similarity histogram. A useless epsilon is called out with a Python warning.

    Raises:
        InputError: a speaker in two splits, no clip in scope, neither `upstream` nor `emb`, shapes that do
            not fit the table, or an epsilon that leaves no edge.
    """
    _check_settings(table, epsilon, n_neighbors, scope, method)
    if scope != "all":
        check_split(table, shared_speakers=shared_speakers)
    if emb is None:
        if upstream is None:
            raise InputError("build_graph needs an upstream to embed the clips, or their embeddings as emb=")
        emb = upstream.embed(table, cache=cache, root=root, progress=progress, **embedding)
    _check_rows("emb", emb, table)
    features = features or LogMelSettings()
    if x is not None:
        _check_spectrograms(x, features, table)

    nodes = scope_nodes(table, scope)
    settings = {
        "epsilon": epsilon,
        "n_neighbors": n_neighbors,
        "scope": scope,
        "method": resolve_method(method, len(nodes)),
        "shared_speakers": shared_speakers,
        "seed": seed,
        "n_jobs": n_jobs,
    }
    edge_index, edge_weight, figures = _neighbour_edges(emb[nodes], settings)
    graph = {**settings, "n_clips": len(table), **figures}
    complain(graph)
    if x is None:
        x = log_mels(table, features, root=root, out=out, progress=progress)
    data = assemble(table, emb, x, nodes[edge_index], edge_weight)
    data.meta.update(
        graph=graph,
        features=features.to_dict(),
        upstream={"fingerprint": upstream.fingerprint(), **upstream.info} if upstream else None,
        embedding=embedding,
    )
    return data


def scope_nodes(table: pd.DataFrame, scope: Scope) -> Tensor:
    """Row numbers of the clips that may have and be neighbours, int64."""
    splits = _SCOPES[scope]
    inside = table["split"].isin(splits) if splits else pd.Series(True, index=table.index)
    return torch.tensor(inside.to_numpy(bool)).nonzero()[:, 0]


def top_edges(ids: Tensor, similarity: Tensor, epsilon: float | None, n_neighbors: int) -> tuple[Tensor, Tensor]:
    """Ranked neighbour lists -> directed edges neighbour -> seed.

    Args:
        ids: [N, k] int64, descending similarity, -1 = none.
        similarity: [N, k] float32.
        epsilon: keep similarities above it; None keeps all.
        n_neighbors: keep the first so many.

    Returns:
        edge_index [2, E], sorted by seed and then by descending similarity, and edge_weight [E].
    """
    ids, similarity = ids[:, :n_neighbors], similarity[:, :n_neighbors]
    kept = ids >= 0
    if epsilon is not None:
        # In float32, as the similarities are: 0.99 is then the same number on both sides.
        kept &= similarity > torch.tensor(epsilon, dtype=torch.float32)
    seeds = torch.arange(len(ids))[:, None].expand_as(ids)
    return torch.stack([ids[kept], seeds[kept]]), similarity[kept]


def assemble(table: pd.DataFrame, emb: Tensor, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> ClipGraph:
    """Put the parts of a graph together: codes and masks come from the table."""
    names = {column: sorted(map(str, table[column].dropna().unique())) for column in _CODED}
    codes = {
        column: torch.from_numpy(pd.Categorical(table[column], categories=names[column]).codes.astype("int64"))
        for column in _CODED
    }
    masks = {mask: torch.tensor((table["split"] == split).to_numpy(bool)) for split, mask in _MASKS.items()}
    data = ClipGraph(
        x=x,
        emb=emb,
        y=codes["emotion"],
        speaker=codes["speaker"],
        gender=codes["gender"],
        **masks,
        edge_index=edge_index,
        edge_weight=edge_weight,
        num_nodes=len(table),
    )
    data.table = table
    data.meta = {
        "corpus": table.attrs.get("corpus"),
        "root": table.attrs.get("root"),
        "names": names,
        "data_hash": data_hash(table, emb),
        "environment": environment(),
    }
    return data


def data_hash(table: pd.DataFrame, emb: Tensor) -> str:
    """A hash of what the graph was made from: files, labels, split, embeddings; not of the order of rows."""
    order = table.index.argsort()
    columns = [column for column in ("emotion", "speaker", "gender", "split") if column in table]
    rows = table.iloc[order][columns].astype("object").where(lambda frame: frame.notna(), None)
    values = rows.reset_index().to_numpy().tolist()
    return content_hash(values, emb[torch.from_numpy(order)].contiguous().numpy().data.cast("B"))


def _neighbour_edges(emb: Tensor, settings: dict[str, Any]) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Edges among some clips, and the figures of how they were found."""
    k, seed, epsilon = settings["n_neighbors"], settings["seed"], settings["epsilon"]
    ids, similarity = nearest_neighbours(emb, k, method=settings["method"], seed=seed, n_jobs=settings["n_jobs"])
    edge_index, edge_weight = top_edges(ids, similarity, epsilon, k)
    figures = {
        "recall": sampled_recall(emb, ids, seed=seed),
        **edge_figures(edge_index, ids),
        **similarity_figures(unit_rows(emb), similarity, epsilon, seed=seed),
    }
    return edge_index, edge_weight, figures


def _check_settings(table: pd.DataFrame, epsilon: float | None, n_neighbors: int, scope: str, method: str) -> None:
    if scope not in _SCOPES:
        raise bad_value("scope", scope, _SCOPES)
    if method not in METHODS:
        raise bad_value("neighbour search method", method, METHODS)
    if epsilon is not None and not -1 <= epsilon < 1:
        raise InputError(f"Bad epsilon {epsilon!r}, expected a cosine similarity from -1 to below 1, or None")
    if n_neighbors < 1:
        raise InputError(f"Bad n_neighbors {n_neighbors!r}, expected at least 1")
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise InputError(f"The clip {twice} stands in the table twice; keep one row a clip")
    wanted = _SCOPES[scope]
    if wanted and not table["split"].isin(wanted).any():
        raise InputError(f"No clip in the split {'+'.join(wanted)}; give the table a split, or use scope='all'")


def _check_spectrograms(x: Tensor, features: LogMelSettings, table: pd.DataFrame) -> None:
    _check_rows("x", x, table)
    expected = (features.n_frames, features.n_mels)
    if x.shape[1:] != expected:
        raise InputError(f"x has spectrograms of {tuple(x.shape[1:])}, expected {expected} as features say")


def _check_rows(name: str, values: Tensor, table: pd.DataFrame) -> None:
    if len(values) != len(table):
        raise InputError(f"{name} has {len(values)} rows, expected {len(table)}, one for each clip of the table")
