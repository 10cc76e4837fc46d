"""Bring the embeddings of several corpora together, without labels: CORAL."""

import numpy as np
import pandas as pd
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from ser_graph.errors import InputError, bad_value


def aligned(emb: Tensor, table: pd.DataFrame, target: str) -> Tensor:
    """Give the embeddings of every other corpus the mean and the covariance of a target corpus. No label is used.

    Args:
        emb: [N, D] embeddings.
        table: their N clips, with the column `corpus` of `join_corpora`.
        target: name of the corpus that does not move.

    Returns:
        [N, D] float32.

    Raises:
        InputError: a table of one corpus; an unknown target; or a corpus with fewer than two clips.

    Examples:
        >>> table = pd.DataFrame({"corpus": ["mine", "mine", "theirs", "theirs"]})
        >>> aligned(torch.tensor([[1.0], [3.0], [30.0], [10.0]]), table, "mine")[:, 0]
        tensor([1., 3., 3., 1.])
    """
    check_align(table, target)
    names, found = table["corpus"].to_numpy(str), emb.double().numpy().copy()
    rows = {name: found[names == name] for name in sorted(set(names))}
    for name in [name for name, own in rows.items() if len(own) < 2]:
        raise InputError(f"Bad align {target!r}: corpus {name} has one clip to train on, expected at least two")
    for name in set(rows) - {target}:
        found[names == name] = coral(rows[name], rows[target])
    return torch.from_numpy(found).float()


def check_align(table: pd.DataFrame, target: str) -> None:
    """Refuse clips of one corpus, or without the target corpus."""
    corpora = sorted(set(table["corpus"])) if "corpus" in table else []
    if len(corpora) < 2:
        raise InputError(f"Bad align {target!r}: it needs clips of several corpora; join tables with join_corpora")
    if target not in corpora:
        raise bad_value("align", target, corpora)


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
