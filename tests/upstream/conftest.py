from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

from ser_graph.upstream import Upstream


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., Wav2Vec2Config]:
    """From changes to the configuration of a tiny wav2vec 2.0."""
    small = {
        "conv_dim": (16, 16),
        "conv_kernel": (10, 8),
        "conv_stride": (5, 8),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 2,
        "classifier_proj_size": 8,
        "feat_extract_norm": "layer",
    }
    return lambda **changes: Wav2Vec2Config(**small | changes)


@pytest.fixture(scope="session")
def tiny(tiny_config: Callable[..., Wav2Vec2Config]) -> Callable[..., Upstream]:
    """From a random seed and changes of the configuration to a tiny upstream."""

    def make(seed: int = 0, **changes: Any) -> Upstream:
        torch.manual_seed(seed)
        model = Wav2Vec2ForSequenceClassification(tiny_config(**changes))
        return Upstream(model, Wav2Vec2FeatureExtractor(return_attention_mask=True))

    return make
