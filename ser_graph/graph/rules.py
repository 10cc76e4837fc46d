"""Who of the near clips becomes a neighbour, and how much a neighbour weighs."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from ser_graph.corpora.vocabulary import NUMBERS
from ser_graph.errors import InputError, bad_value

Weights = Literal["similarity", "agreement"]


@dataclass(frozen=True)
class EdgeRules:
    """Who becomes a neighbour, and how much a neighbour weighs. Epsilon and the cap hold besides.

    Attributes:
        across: text columns of the clip table in which neighbours differ: ``("speaker",)`` seeks them among the
            other speakers alone, ``("speaker", "sentence")`` among other sentences of other speakers. A missing
            value differs from all.
        mutual: keep an edge only if its opposite is one too: each clip is among the other's nearest (mutual kNN).
        local_scaling: choose the nearest by ``2 cos(i, j) - r(i) - r(j)``, where r is a clip's mean similarity to
            its 10 nearest (cross-domain similarity local scaling, CSLS; Conneau et al. 2018, "Word translation
            without parallel data"), so that clips in dense places are not everybody's neighbour. It decides who
            is chosen; epsilon, order and weights stay those of the cosine. CSLS rather than Zelnik-Manor and
            Perona's ``d² / (σ_i σ_j)`` (2004), where σ is 0 for clips that are there several times.
        weights: ``"similarity"``: the cosine; ``"agreement"``: the cosine times the trust in the neighbour, see
            `trust`.

    Raises:
        InputError: unknown weights, or `across` is a text and not several.

    Examples:
        >>> EdgeRules(across=["speaker"], mutual=True)
        EdgeRules(across=('speaker',), mutual=True, local_scaling=False, weights='similarity')
    """

    across: tuple[str, ...] = ()
    mutual: bool = False
    local_scaling: bool = False
    weights: Weights = "similarity"

    def __post_init__(self) -> None:
        if isinstance(self.across, str):
            raise InputError(f"Bad across {self.across!r}, expected a list of columns, e.g. [{self.across!r}]")
        object.__setattr__(self, "across", tuple(self.across))
        if self.weights not in get_args(Weights):
            raise bad_value("weights", self.weights, get_args(Weights))

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for `meta`."""
        return {**asdict(self), "across": list(self.across)}


def group_codes(table: pd.DataFrame, columns: tuple[str, ...]) -> Tensor | None:
    """The columns in which neighbours have to differ, as codes.

    Returns:
        [N, C] int64, -1 = missing; None without columns.

    Raises:
        InputError: no such column, or one without a value or of numbers.
    """
    if not columns:
        return None
    known = [str(name) for name in table if name not in NUMBERS and table[name].notna().any()]
    for column in columns:
        if column not in known:
            raise bad_value("column in across", column, known)
    codes = [torch.from_numpy(pd.factorize(table[column])[0].astype("int64")) for column in columns]
    return torch.stack(codes, dim=1)


def mutual_edges(edge_index: Tensor, n: int) -> Tensor:
    """[E] bool: the edges whose opposite is an edge too.

    Examples:
        >>> mutual_edges(torch.tensor([[1, 0, 2], [0, 1, 0]]), 3).tolist()
        [True, True, False]
    """
    source, target = edge_index
    return torch.isin(source * n + target, target * n + source)


def training_labels(table: pd.DataFrame) -> Tensor:
    """[N] int64 codes of the emotions of training clips; -1 for every other clip, whatever its label.

    Raises:
        InputError: no training clip has an emotion.
    """
    labels = table["emotion"].where(table["split"] == "train")
    if not labels.notna().any():
        raise InputError(
            "Agreement is measured on labelled training clips, and there are none; name their emotions"
        )
    return torch.from_numpy(pd.factorize(labels, sort=True)[0].astype("int64"))


def trust(edge_index: Tensor, labels: Tensor) -> Tensor:
    """How far each clip's own neighbours confirm it: the share of them that have its label, by training labels.

    By Laplace's rule of succession ``(a + 1) / (m + C)``, with m labelled neighbours, of which a have the clip's
    label, and C labels: without labelled neighbours it is that of chance, and it is never 0. For a clip that is
    not labelled, a counts its neighbours' most frequent label.

    Args:
        edge_index: [2, E] neighbour -> seed.
        labels: [N] int64 training labels, -1 = none.

    Returns:
        [N] float32.

    Examples:
        >>> trust(torch.tensor([[1, 2, 0], [0, 0, 1]]), torch.tensor([0, 0, 1])).tolist()
        [0.5, 0.6666666865348816, 0.5]
    """
    n, n_labels = len(labels), int(labels.max()) + 1
    source, target = edge_index[:, labels[edge_index[0]] >= 0]
    votes = (target * n_labels + labels[source]).bincount(minlength=n * n_labels).view(n, n_labels).double()
    own = votes.gather(1, labels.clamp_min(0)[:, None])[:, 0]
    agreeing = torch.where(labels >= 0, own, votes.amax(dim=1))
    return ((agreeing + 1) / (votes.sum(dim=1) + n_labels)).float()
