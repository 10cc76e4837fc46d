"""Bring the embeddings of several corpora together, without labels: CORAL."""

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from ser_graph.errors import InputError, bad_value
from ser_graph.graph.centring import centred
from ser_graph.graph.clip_graph import ClipGraph, check_is_graph
from ser_graph.graph.settings import Center


def align_corpora(data: ClipGraph, target: str, *, center: Center = "speaker") -> Tensor:
    """Embeddings in which every other corpus has the mean and the covariance of the target corpus.

    No label is used. This helps if the labels are those of another corpus: a student of an unlabelled corpus then
    learns more from them, see `docs/results.md`.

    Args:
        data: a graph of several corpora, see `join_corpora`.
        target: name of the corpus that does not move, in the column `corpus` of the clip table. Its training clips
            give mean and covariance.
        center: mean that is subtracted first, see `centred`; give the training ``center="none"`` afterwards.

    Returns:
        [N, D] float32, for ``data.emb``.

    Raises:
        InputError: a table of one corpus; an unknown target; a corpus with fewer than two clips to learn from; or
            clips without a mean, see `centred`.

    Examples:
        >>> data.emb = align_corpora(data, target="mine")  # doctest: +SKIP
        >>> student = train(data, method="distil+regress", center="none")  # doctest: +SKIP
    """
    check_is_graph(data)
    names = data.table["corpus"].to_numpy(str) if "corpus" in data.table else np.array([])
    if len(set(names)) < 2:
        raise InputError("align_corpora needs a graph of several corpora; join clip tables with join_corpora")
    if target not in names:
        raise bad_value("target", target, sorted(set(names)))
    emb = centred(data.emb, data.table, center).double().numpy()
    learnt_from = {name: names == name for name in sorted(set(names))}
    learnt_from[target] = learnt_from[target] & data.train_mask.numpy()
    for name in [name for name, rows in learnt_from.items() if rows.sum() < 2]:
        raise InputError(f"Corpus {name} has too few clips for a covariance, expected at least two")
    aligned = emb.copy()
    for name in set(learnt_from) - {target}:
        aligned[names == name] = coral(emb[names == name], emb[learnt_from[target]])
    return torch.from_numpy(aligned).float()


def coral(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Whiten the rows of the source and colour them like the target's.

    Sun, Feng and Saenko, "Return of frustratingly easy domain adaptation", AAAI 2016. The covariances are those of
    Ledoit and Wolf, because a corpus can have fewer clips than an embedding has dimensions.

    Args:
        source: [N, D].
        target: [M, D].

    Returns:
        [N, D] with the mean and the covariance of the target.

    Examples:
        >>> corners = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> coral(corners, 3 * corners + 5).round(6).tolist()
        [[8.0, 8.0], [8.0, 2.0], [2.0, 8.0], [2.0, 2.0]]
    """
    return (source - source.mean(0)) @ _power(source, -0.5) @ _power(target, 0.5) + target.mean(0)


def _power(rows: np.ndarray, power: float) -> np.ndarray:
    """[D, D], a power of the covariance of rows."""
    values, directions = np.linalg.eigh(ledoit_wolf(rows)[0])
    return (directions * np.maximum(values, 1e-12 * values[-1]) ** power) @ directions.T
