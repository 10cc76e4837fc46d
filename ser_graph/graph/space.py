"""The space in which neighbours are sought: the embeddings as they are, or without what is not wanted in them."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from ser_graph.errors import InputError, bad_value, shorten
from ser_graph.upstream import Upstream

Center = Literal["none", "corpus", "speaker"]


@dataclass(frozen=True)
class Space:
    """What is done to embeddings before they are compared, in this order. No label is looked at.

    Whatever is estimated is estimated on the clips in scope alone: no other clip decides which edges there are.

    Attributes:
        center: take the mean of all clips (``"corpus"``), or of each speaker's own clips (``"speaker"``), off the
            embeddings: what all clips, or all clips of a voice, have in common says nothing of emotion.
        scale: then divide every dimension by its standard deviation in the same clips.
        whiten: then make all directions equally wide and uncorrelated (PCA whitening); takes the corpus's mean
            off. The covariance is that of Ledoit and Wolf 2004 ("A well-conditioned estimator for
            large-dimensional covariance matrices"), as there may be fewer clips than dimensions.
        posterior: then compare what the upstream's head makes of the embeddings: the probabilities p and q of its
            own classes. Their similarity is the Bhattacharyya coefficient ``sum sqrt(p q)``, which is 1 minus the
            squared Hellinger distance: a cosine, so everything else stays as it is; of the cosine of p and q
            themselves, the unlikely classes would be nothing. Not with `scale` and `whiten`, which make
            embeddings that the head does not know. Centred embeddings it reads as deviations from the average
            clip.

    Raises:
        InputError: an unknown `center`, or settings that exclude each other.

    Examples:
        >>> Space(center="speaker", scale=True)
        Space(center='speaker', scale=True, whiten=False, posterior=False)
    """

    center: Center = "none"
    scale: bool = False
    whiten: bool = False
    posterior: bool = False

    def __post_init__(self) -> None:
        if self.center not in get_args(Center):
            raise bad_value("center", self.center, get_args(Center))
        if self.scale and self.center == "none":
            raise InputError("scale=True needs center='corpus' or 'speaker': the clips whose deviation is taken")
        if self.posterior and (self.scale or self.whiten):
            raise InputError(
                "posterior=True goes with neither scale nor whiten: the upstream's head has not seen what they make"
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for `meta`."""
        return asdict(self)


def check_space(table: pd.DataFrame, space: Space, upstream: Upstream | None = None) -> None:
    """Refuse what a space needs and is not there, before the long work of embedding; see `transform`."""
    if space.center == "speaker":
        _speakers(table)
    if space.posterior:
        _head(upstream)


def transform(emb: Tensor, table: pd.DataFrame, space: Space, upstream: Upstream | None = None) -> Tensor:
    """Embeddings in the space in which neighbours are sought.

    Args:
        emb: [N, D] float32 embeddings of the clips in scope.
        table: their clip table, N rows; only ``speaker`` is looked at.
        space: what to do.
        upstream: the model that made the embeddings; needed for the posterior space.

    Returns:
        [N, D] float32; of C classes in the posterior space [N, C]. The embeddings themselves where there is
        nothing to do.

    Raises:
        InputError: speakers are needed and missing, or have a single clip; no upstream, or one without a trained
            head; or a clip that is the mean of its speaker, and so has no direction.

    Examples:
        >>> emb = torch.tensor([[1.0, 0.0], [3.0, 0.0], [9.0, 5.0], [9.0, 7.0]])
        >>> table = pd.DataFrame({"speaker": ["a", "a", "b", "b"]})
        >>> transform(emb, table, Space(center="speaker")).tolist()
        [[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]]
    """
    if space == Space():
        return emb
    rows = emb.double()
    if space.center != "none":
        groups = _speakers(table) if space.center == "speaker" else torch.zeros(len(table), dtype=torch.int64)
        rows = _standardised(rows, groups, scale=space.scale)
    if space.whiten:
        rows = _whitened(rows)
    if space.posterior:
        rows = _root_posterior(rows.float(), upstream)
    _check_directions(rows, table)
    return rows.float()


def _speakers(table: pd.DataFrame) -> Tensor:
    """[N] codes of speakers who all have two clips or more."""
    speakers = table["speaker"] if "speaker" in table else pd.Series(None, table.index, dtype=object)
    unknown = table.index[speakers.isna()]
    if len(unknown):
        raise InputError(
            f"center='speaker' needs the speaker of every clip: {len(unknown)} have none ({shorten(unknown)}); "
            "name the speakers, or use center='corpus'"
        )
    counts = speakers.value_counts()
    alone = sorted(map(str, counts.index[counts == 1]))
    if alone:
        raise InputError(
            f"center='speaker' needs two clips of every speaker: {shorten(alone)} have one; leave them out, or use "
            "center='corpus'"
        )
    return torch.from_numpy(pd.factorize(speakers)[0].astype("int64"))


def _standardised(rows: Tensor, groups: Tensor, *, scale: bool) -> Tensor:
    """Rows without the mean of their group, and with its deviations 1 if asked; constant dimensions stay 0."""
    n_groups = int(groups.max()) + 1
    sizes = groups.bincount(minlength=n_groups)[:, None]

    def mean(values: Tensor) -> Tensor:
        return torch.zeros(n_groups, rows.shape[1], dtype=torch.float64).index_add_(0, groups, values) / sizes

    center = mean(rows)
    centered = rows - center[groups]
    if not scale:
        return centered
    deviation = mean(centered.square()).sqrt()
    # A mean is only exact to the last digit: dimensions that do not vary beyond it are constant.
    constant = deviation <= 1e-12 * center.abs().clamp_min(1)
    return torch.where(constant[groups], 0.0, centered / deviation.masked_fill(constant, 1.0)[groups])


def _whitened(rows: Tensor) -> Tensor:
    from sklearn.covariance import ledoit_wolf  # slow to import, seldom needed

    centered = rows - rows.mean(dim=0)
    covariance, _ = ledoit_wolf(centered.numpy(), assume_centered=True)
    values, directions = torch.linalg.eigh(torch.from_numpy(covariance))
    kept = values > values[-1] * 1e-12  # constant directions are no directions
    return centered @ directions[:, kept] / values[kept].sqrt()


@torch.no_grad()
def _root_posterior(emb: Tensor, upstream: Upstream | None) -> Tensor:
    """[N, C] square roots of the probabilities of the upstream's classes: rows of length 1."""
    head = _head(upstream)
    if emb.shape[1] != head.in_features:
        raise InputError(
            f"emb has {emb.shape[1]} dimensions, expected {head.in_features} as the upstream's head takes; give "
            "the upstream that made them"
        )
    logits = head(emb.to(head.weight.device, head.weight.dtype))
    return logits.cpu().double().softmax(dim=-1).sqrt()


def _head(upstream: Upstream | None) -> torch.nn.Linear:
    if upstream is None:
        raise InputError("posterior=True needs the upstream that made the embeddings; give it as upstream=")
    if not upstream.emotions:
        raise InputError("posterior=True needs an upstream whose head has learnt emotions; fine-tune it first")
    return upstream.model.classifier


def _check_directions(rows: Tensor, table: pd.DataFrame) -> None:
    nothing = (rows.norm(dim=1) == 0).nonzero()[:, 0].tolist()
    if nothing:
        raise InputError(
            f"{len(nothing)} clips are exactly the mean and have no direction, e.g. {table.index[nothing[0]]}; "
            "delete repeated clips, or use center='none'"
        )
