"""Emotions by the upstream's own head: what the teacher says, without a student."""

from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from ser_graph.common.settings import with_settings
from ser_graph.corpora.predictions import prediction_table
from ser_graph.errors import InputError
from ser_graph.upstream.embedding import embed
from ser_graph.upstream.settings import EmbeddingSettings

if TYPE_CHECKING:
    from ser_graph.upstream.model import Upstream


@torch.inference_mode()
def classify(upstream: "Upstream", emb: Tensor) -> Tensor:
    """See `Upstream.classify`."""
    head, emotions = upstream.model.classifier, upstream.emotions
    if not emotions:
        raise InputError(
            "The head of this upstream knows no emotions; fine-tune the upstream, or name the classes of its head: "
            "Upstream.from_pretrained(..., labels={...})"
        )
    if emb.ndim != 2 or emb.shape[1] != head.in_features:
        raise InputError(
            f"Bad embeddings of shape {tuple(emb.shape)}, expected (N, {head.in_features}), those of the projector"
        )
    probabilities = head(emb.to(head.weight.device).float()).double().softmax(1).cpu()
    rows = torch.tensor([-1 if one is None else emotions.index(one) for one in upstream.classes])
    added = torch.zeros(len(emb), len(emotions), dtype=torch.float64)
    added.index_add_(1, rows[rows >= 0], probabilities[:, rows >= 0])
    return added / added.sum(1, keepdim=True)


@with_settings(EmbeddingSettings)
def predict(
    upstream: "Upstream", table: pd.DataFrame, settings: EmbeddingSettings | None = None, **further: Any
) -> pd.DataFrame:
    """Predict the emotion of every clip with the upstream's own head.

    Args:
        upstream: a model whose head knows emotions.
        table: clip table of N clips.
        settings: how to embed; the layer must be the projector.
        **further: as in `ser_graph.upstream.embedding.embed`.

    Returns:
        A table by file as in `sg.predict`: `emotion`, `speaker`, `predicted`, and ``p_anger`` and so on, float64
        that sum to 1.

    Raises:
        InputError: a head without emotions, another layer, or the errors of `embed`.
    """
    if not upstream.emotions:
        classify(upstream, torch.empty(0, 0))
    probabilities = classify(upstream, embed(upstream, table, settings, **further)).numpy()
    return prediction_table(table, upstream.emotions, probabilities)
