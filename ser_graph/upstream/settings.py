"""Settings of the fine-tuning and the embedding of an upstream."""

from typing import Annotated, Literal

from pydantic import Field

from ser_graph.common.devices import Precision
from ser_graph.common.settings import Settings, setting

OneLayer = int | Literal["projector"]
Layer = OneLayer | list[OneLayer]
LONGEST = 600.0  # seconds of a clip; the memory of a forward pass grows with it


class FinetuneSettings(Settings):
    """How an upstream is fine-tuned on the emotions of a source corpus; the defaults are the paper's."""

    epochs: int = setting(20, "condition", "passes over the training clips", ge=1)
    learning_rate: float = setting(3e-5, "condition", "constant learning rate of Adam", gt=0)
    batch_size: int = setting(16, "condition", "clips per training step", ge=1)
    seconds: float = setting(
        4.0,
        "condition",
        "length of each clip in seconds, cut or repeated; at most the longest input of the model",
        ge=0.1,
        le=LONGEST,
    )
    freeze_feature_encoder: bool = setting(
        True, "condition", "do not train the convolutions of wav2vec 2.0 and similar models"
    )
    freeze_encoder: bool = setting(False, "condition", "train only the projector and the classifier")
    seed: int = setting(
        0, "run", "random seed of the initial weights of the head and of the order of the clips", ge=0, lt=2**63
    )
    precision: Precision = setting(
        "auto",
        "run",
        "number format of the forward pass: float32, bfloat16, or auto (bfloat16 if it is faster on this hardware)",
    )


class EmbeddingSettings(Settings):
    """How an upstream embeds clips."""

    seconds: Annotated[float, Field(ge=0.1, le=LONGEST)] | Literal["own"] = setting(
        8.43,
        "condition",
        "length in seconds (0.1 to 600) of each clip, cut or repeated; at most the longest input of the model "
        "(the paper's code: 8.43); or 'own': each clip keeps its length",
    )
    layer: Layer = setting(
        "projector",
        "condition",
        "projector, a layer of the encoder (0 is the input, 1 the first layer, -1 the last), or a list of layers, "
        "whose embeddings are concatenated",
    )
    batch_size: int = setting(16, "cost", "clips per forward pass; it does not change the result", ge=1)
    precision: Precision = setting(
        "float32",
        "condition",
        "float32, bfloat16, or auto (bfloat16 if it is faster on this hardware); with an epsilon close to 1, use "
        "float32",
    )
