"""Clip table + embeddings + spectrograms -> `ClipGraph`."""

from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.features import log_mels
from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.common.environment import environment
from ser_graph.common.hashing import content_hash
from ser_graph.corpora import check_split
from ser_graph.corpora.adapter import in_form
from ser_graph.corpora.copies import originals
from ser_graph.errors import InputError, bad_value
from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.graph.epsilon import (
    complain,
    edge_figures,
    epsilon_of_agreement,
    epsilon_of_coverage,
    epsilon_rule,
    similarity_figures,
)
from ser_graph.graph.neighbours import (
    METHODS,
    compile_nndescent,
    local_penalty,
    nearest_neighbours,
    resolve_method,
    sampled_recall,
    unit_rows,
)
from ser_graph.graph.rules import EdgeRules, group_codes, mutual_edges, training_labels, trust
from ser_graph.graph.space import Space, check_space, transform
from ser_graph.upstream import Upstream

Scope = Literal["train", "train+dev", "all"]
_SCOPES: dict[str, tuple[str, ...]] = {"train": ("train",), "train+dev": ("train", "dev"), "all": ()}
_CODED = ("emotion", "speaker", "gender")
_MASKS = {"train": "train_mask", "dev": "val_mask", "test": "test_mask"}


def build_graph(
    table: pd.DataFrame,
    upstream: Upstream | None = None,
    *,
    epsilon: float | str | None = 0.99,
    n_neighbors: int = 6,
    scope: Scope = "train",
    space: Space = Space(),  # noqa: B008  (frozen)
    rules: EdgeRules = EdgeRules(),  # noqa: B008
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
            every nearest neighbour; ``"coverage:0.8"`` takes the largest one that leaves 80 % of the clips in
            scope a neighbour, and ``"agreement"`` the one that best tells edges between training clips of one
            emotion from the others, see `epsilon_of_agreement`.
        n_neighbors: at most so many neighbours a clip, the most similar ones.
        scope: which clips have and are neighbours: ``"train"`` (protocol *clean*), ``"train+dev"`` (protocol
            *paper*), or ``"all"`` (for looking only: test clips then are neighbours of training clips).
        space: what is done to the embeddings before they are compared, e.g. ``Space(center="speaker")``; ``emb``
            of the graph stays as the upstream made it.
        rules: who of the near clips becomes a neighbour, e.g. ``EdgeRules(across=("speaker",), mutual=True)``,
            and how much a neighbour weighs.
        method: ``"exact"``, ``"nndescent"``, or ``"auto"``.
        seed: of NN-descent and of the sample on which recall is measured.
        n_jobs: threads of NN-descent; None takes all.
        shared_speakers: accept a speaker in two splits.
        features: what the spectrograms look like; the paper's by default.
        emb: [N, D] embeddings made before; `upstream` is then not used, unless `space` needs its head.
        x: [N, n_frames, n_mels] spectrograms made before with `features`.
        out: a `.npy` file to write the spectrograms to; they are then mapped from disk.
        cache: folder for embeddings; see `Upstream.embed`.
        root: the corpus folder, by default the one that the table was loaded from.
        progress: show progress bars.
        **embedding: further settings of `Upstream.embed`.

    Returns:
        The graph. ``meta["graph"]`` holds its settings, number of edges, coverage, recall of a sample and the
        similarity histogram; where epsilon was chosen, ``epsilon_by`` says how. A useless epsilon is called out
        with a Python warning.

    Raises:
        InputError: a speaker in two splits, no clip in scope, neither `upstream` nor `emb`, shapes that do
            not fit the table, an epsilon that leaves no edge, or a space or rules that need what is not there.
    """
    table = in_form(table)
    _check_settings(table, epsilon, n_neighbors, scope, method)
    if scope != "all":
        check_split(table, shared_speakers=shared_speakers)
    nodes = scope_nodes(table, scope)
    _check_options(table.iloc[nodes.numpy()], epsilon, space, rules, upstream)
    if emb is None:
        if upstream is None:
            raise InputError("build_graph needs an upstream to embed the clips, or their embeddings as emb=")
        if resolve_method(method, len(nodes)) == "nndescent":
            compile_nndescent()
        emb = upstream.embed(table, cache=cache, root=root, progress=progress, **embedding)
    _check_rows("emb", emb, table)
    features = features or LogMelSettings()
    if x is not None:
        _check_spectrograms(x, features, table)

    settings = {
        "epsilon": epsilon,
        "n_neighbors": n_neighbors,
        "scope": scope,
        "space": space.to_dict(),
        "rules": rules.to_dict(),
        "method": resolve_method(method, len(nodes)),
        "shared_speakers": shared_speakers,
        "seed": seed,
        "n_jobs": n_jobs,
    }
    edge_index, edge_weight, figures = find_edges(emb[nodes], table.iloc[nodes.numpy()], settings, upstream)
    graph = {**settings, "n_clips": int(originals(table).sum()), **figures}
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
    """Row numbers of the clips that may have and be neighbours, int64: no copies."""
    splits = _SCOPES[scope]
    inside = table["split"].isin(splits) if splits else pd.Series(True, index=table.index)
    return torch.tensor(inside.to_numpy(bool) & originals(table)).nonzero()[:, 0]


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


def find_edges(
    emb: Tensor, table: pd.DataFrame, settings: dict[str, Any], upstream: Upstream | None = None
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """The edges among the clips in scope, and the figures of how they were found.

    Args:
        emb: [N, D] embeddings of the clips in scope.
        table: their clip table.
        settings: those of ``meta["graph"]``.
        upstream: for a space that needs it.

    Returns:
        edge_index [2, E] in rows of `emb`, sorted by seed and then by descending weight; edge_weight [E]; and
        the figures, in which a chosen epsilon stands in place of the way to choose it.
    """
    rules, k, seed = EdgeRules(**settings["rules"]), settings["n_neighbors"], settings["seed"]
    rows = transform(emb, table, Space(**settings["space"]), upstream)
    groups = group_codes(table, rules.across)
    search = {name: settings[name] for name in ("method", "seed", "n_jobs")}
    penalty = local_penalty(rows, groups, **search) if rules.local_scaling else None
    ids, similarity = nearest_neighbours(rows, k, groups=groups, penalty=penalty, **search)
    epsilon, chosen = _chosen_epsilon(ids, similarity, table, settings)
    edge_index, edge_weight = _kept_edges(ids, similarity, epsilon, rules)
    if rules.weights == "agreement":
        edge_weight = edge_weight * trust(edge_index, training_labels(table))[edge_index[0]]
        order = edge_weight.argsort(descending=True, stable=True)
        order = order[edge_index[1, order].argsort(stable=True)]
        edge_index, edge_weight = edge_index[:, order], edge_weight[order]
    figures = {
        **chosen,
        "recall": sampled_recall(rows, ids, seed=seed, groups=groups, penalty=penalty),
        **edge_figures(edge_index, ids),
        **similarity_figures(unit_rows(rows), similarity, epsilon, seed=seed),
    }
    return edge_index, edge_weight, figures


def _kept_edges(ids: Tensor, similarity: Tensor, epsilon: float | None, rules: EdgeRules) -> tuple[Tensor, Tensor]:
    edge_index, edge_weight = top_edges(ids, similarity, epsilon, ids.shape[1])
    if not rules.mutual:
        return edge_index, edge_weight
    kept = mutual_edges(edge_index, len(ids))
    return edge_index[:, kept], edge_weight[kept]


def _chosen_epsilon(
    ids: Tensor, similarity: Tensor, table: pd.DataFrame, settings: dict[str, Any]
) -> tuple[float | None, dict[str, Any]]:
    """Epsilon, and what to note of it where it was chosen."""
    asked = settings.get("epsilon_by", settings["epsilon"])
    rule = epsilon_rule(asked)
    if rule is None:
        return asked, {}
    way, share = rule
    edge_index, edge_weight = _kept_edges(ids, similarity, None, EdgeRules(**settings["rules"]))
    if way == "coverage":
        epsilon = epsilon_of_coverage(edge_index, edge_weight, len(ids), share)
    else:
        epsilon = epsilon_of_agreement(edge_index, edge_weight, training_labels(table))
    return epsilon, {"epsilon": epsilon, "epsilon_by": asked}


def _check_settings(
    table: pd.DataFrame, epsilon: float | str | None, n_neighbors: int, scope: str, method: str
) -> None:
    if scope not in _SCOPES:
        raise bad_value("scope", scope, _SCOPES)
    if method not in METHODS:
        raise bad_value("neighbour search method", method, METHODS)
    epsilon_rule(epsilon)
    if n_neighbors < 1:
        raise InputError(f"Bad n_neighbors {n_neighbors!r}, expected at least 1")
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise InputError(f"The clip {twice} stands in the table twice; keep one row a clip")
    wanted = _SCOPES[scope]
    if wanted and not table["split"].isin(wanted).any():
        raise InputError(f"No clip in the split {'+'.join(wanted)}; give the table a split, or use scope='all'")


def _check_options(
    table: pd.DataFrame, epsilon: float | str | None, space: Space, rules: EdgeRules, upstream: Upstream | None
) -> None:
    """Refuse what the options need and is not there, before the long work of embedding."""
    check_space(table, space, upstream)
    group_codes(table, rules.across)
    if "agreement" in (epsilon, rules.weights):
        training_labels(table)


def _check_spectrograms(x: Tensor, features: LogMelSettings, table: pd.DataFrame) -> None:
    _check_rows("x", x, table)
    expected = (features.n_frames, features.n_mels)
    if x.shape[1:] != expected:
        raise InputError(f"x has spectrograms of {tuple(x.shape[1:])}, expected {expected} as features say")


def _check_rows(name: str, values: Tensor, table: pd.DataFrame) -> None:
    if len(values) != len(table):
        raise InputError(f"{name} has {len(values)} rows, expected {len(table)}, one for each clip of the table")
