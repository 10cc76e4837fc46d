"""How an upstream is fine-tuned, and how it embeds clips."""

from typing import Annotated, Literal

from pydantic import Field

from ser_graph.common.devices import Precision
from ser_graph.common.settings import Settings, setting

OneLayer = int | Literal["projector"]
Layer = OneLayer | list[OneLayer]


class FinetuneSettings(Settings):
    """How an upstream is fine-tuned on the emotions of a source corpus; the defaults are the paper's."""

    epochs: int = setting(20, "condition", "passes over the training clips", ge=1)
    learning_rate: float = setting(3e-5, "condition", "of Adam, constant", gt=0)
    batch_size: int = setting(16, "condition", "clips in a step", ge=1)
    seconds: float = setting(
        4.0, "condition", "clips are repeated or cut to this length, not beyond what the model can see", ge=0.1
    )
    freeze_feature_encoder: bool = setting(
        True, "condition", "leave the convolutions of wav2vec 2.0 and kin as they are"
    )
    freeze_encoder: bool = setting(False, "condition", "train nothing but the projector and the classifier")
    seed: int = setting(0, "run", "of the head's initial weights and the order of the clips", ge=0, lt=2**63)
    precision: Precision = setting(
        "auto", "run", "of the forward pass: float32, bfloat16, or auto: bfloat16 where the hardware gains by it"
    )


class EmbeddingSettings(Settings):
    """How an upstream embeds clips."""

    seconds: Annotated[float, Field(ge=0.1)] | Literal["own"] = setting(
        8.43,
        "condition",
        "length in seconds (at least 0.1) that clips are repeated or cut to, not beyond what the model can see "
        "(official code: 8.43), or 'own' for each clip's own",
    )
    layer: Layer = setting(
        "projector",
        "condition",
        "projector, a layer of the encoder (0 is its input, 1 the first, -1 the last), or a list of these, whose "
        "embeddings stand side by side",
    )
    batch_size: int = setting(16, "cost", "clips in a forward pass; the result does not depend on it", ge=1)
    precision: Precision = setting(
        "float32",
        "condition",
        "float32, bfloat16, or auto: bfloat16 where the hardware gains by it; thresholds close to 1 want float32",
    )
