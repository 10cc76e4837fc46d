"""`TrainingSettings`: everything that decides how a student is trained."""

from typing import Any, Literal

from pydantic import field_validator, model_validator

from ser_graph.audio.standardise import Normalisation
from ser_graph.common.devices import Precision
from ser_graph.common.settings import Settings, setting
from ser_graph.downstream.augmentation import AUGMENTATIONS, DEFAULT_AUGMENTATION
from ser_graph.downstream.backbones import BACKBONES, MAX_WIDTH
from ser_graph.errors import InputError, bad_value

METHODS = {
    "baseline": 0.0,  # labels alone
    "nsl": 0.1,  # the paper's: outputs of neighbours shall be close
    "graph": 1.0,  # the distribution of similarities over neighbours and others shall be the teacher's
    "regress": 5.0,  # the teacher's embedding shall be predicted from fc1
    "relational": 5.0,  # similarities of all pairs of a batch shall be the teacher's
    "distil": 1.0,  # class probabilities of the teacher's probe
    "propagate": 1.0,  # the same, corrected and smoothed along the graph
}
"""Names of the methods and the weight that each has where `alpha` is None."""

METHODS_BESIDE = tuple(name for name in METHODS if name != "baseline")

PAPER = {
    "schedule": "paper",
    "epochs": 50,
    "epoch_steps": 1,
    "learning_rate": 1e-3,
    "augment": "none",
    "normalise": "corpus",
}
"""The paper's training: the defaults where `protocol` is ``"paper"`` or `semantics` is ``"official"``."""


class TrainingSettings(Settings):
    """How a student is trained.

    The loss is the cross entropy of the labelled clips plus `alpha` times what the `method` adds. With
    ``alpha=0`` the student learns from labels alone: it is the baseline of every method.
    """

    backbone: str = setting("resnet9", "condition", "cnn6, mobilenet15, resnet9 or vgg15")
    width: float = setting(
        1.0, "condition", "multiplier of the channels: 0.5 makes about a quarter of the size", gt=0, le=MAX_WIDTH
    )
    method: str = setting(
        "nsl", "method", "what the student learns beside the labels: names of `METHODS`, joined by +, or baseline"
    )
    alpha: float | None = setting(
        None, "method", "weight of the method; None is its own, 0 trains the baseline", ge=0
    )
    protocol: Literal["clean", "paper"] = setting(
        "clean", "run", "clean trains on train and looks at dev; paper trains on train + dev, as the paper does"
    )
    epochs: int = setting(30, "run", "passes over the labelled clips", ge=1)
    epoch_steps: int = setting(
        100, "run", "fewest steps of an epoch: where fewer clips are labelled, they come again", ge=1
    )
    batch_size: int = setting(16, "run", "labelled clips in a step", ge=1)
    learning_rate: float = setting(2e-3, "condition", "highest rate of the schedule", gt=0)
    schedule: Literal["cosine", "paper"] = setting(
        "cosine",
        "condition",
        "cosine: AdamW, warm-up, cosine decay, averaged weights, fresh BatchNorm statistics; paper: Adam, x 0.9 "
        "every 5 epochs, lagging BatchNorm statistics",
    )
    keep: Literal["last", "best"] = setting("last", "condition", "the epoch to keep: the last, or the best on dev")
    augment: str = setting(
        DEFAULT_AUGMENTATION, "condition", "what is done to spectrograms in training: parts joined by +, or none"
    )
    normalise: Normalisation = setting(
        "utterance", "condition", "what is taken off spectrograms: corpus, utterance or speaker"
    )
    seed: int = setting(0, "run", "of the initial weights and of all random order", ge=0, lt=2**63)
    precision: Precision = setting("auto", "run", "auto is bfloat16 where the hardware gains by it")
    label_fraction: float = setting(1.0, "condition", "share of the training labels that are used", gt=0, le=1)
    labelled_speakers: int | None = setting(
        None, "condition", "training speakers whose labels are used; None is all", ge=1
    )
    label_seed: int = setting(0, "condition", "of the choice of labels", ge=0, lt=2**63)
    unlabelled_ratio: float = setting(
        1.0, "method", "unlabelled clips in a step for each labelled one", of=METHODS_BESIDE, ge=0
    )
    center: Literal["none", "corpus", "speaker"] = setting(
        "speaker",
        "method",
        "mean that is taken off the teacher's embeddings; edges stay as the graph has them",
        of=("graph", "regress", "relational", "distil", "propagate"),
    )
    n_neighbors: int | None = setting(
        None, "method", "neighbours of a clip; None is all that the graph holds", of=("nsl", "graph"), ge=1
    )
    layer: Literal["fc1", "fc2", "projection"] = setting(
        "fc2",
        "method",
        "output that is compared: fc1, fc2 (the logits) or a linear projection of fc1",
        of=("nsl", "relational"),
    )
    strategy: Literal["forward", "detach", "memory_bank"] = setting(
        "forward",
        "method",
        "where neighbours' outputs come from; see `ser_graph.downstream.strategies`",
        of=("nsl",),
    )
    distance: Literal["cosine", "l2", "kl"] = setting("cosine", "method", "of two neighbours", of=("nsl",))
    reduction: Literal["mean", "sum"] = setting(
        "mean", "condition", "mean of each term (official code) or sum (the paper's equation 2)"
    )
    edge_weights: bool = setting(
        True, "method", "weigh the neighbour loss by the similarity of the edge", of=("nsl",)
    )
    semantics: Literal["together", "official"] = setting(
        "together",
        "method",
        "neighbours pass BatchNorm with the seeds, or apart as in the paper's code",
        of=("nsl",),
    )
    same_label: bool = setting(
        False, "method", "keep edges of one known label only: the upper bound of a graph", of=("nsl",)
    )
    transductive: bool = setting(False, "run", "allow neighbours that are not training clips")
    transfer: Literal["none", "add", "max", "avg"] = setting(
        "none", "method", "how the teacher's embedding joins fc1, also at inference: not for a device"
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_paper(cls, values: Any) -> Any:
        if isinstance(values, dict) and (
            values.get("protocol") == "paper" or values.get("semantics") == "official"
        ):
            return {**PAPER, **values}
        return values

    @field_validator("method")
    @classmethod
    def _in_order(cls, method: str) -> str:
        """Joined methods by name, each once: whoever names them in another order means the same."""
        names = sorted(set(method.split("+")))
        return "+".join(names) if names == ["baseline"] or set(names) <= set(METHODS_BESIDE) else method

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingSettings":
        if self.backbone not in BACKBONES:
            raise bad_value("backbone", self.backbone, BACKBONES)
        if not set(self.methods) <= set(METHODS) or (len(self.methods) > 1 and "baseline" in self.methods):
            raise InputError(
                f"Bad method {self.method!r}, expected one of {sorted(METHODS)}, or several joined by +"
            )
        unknown = set(self.augment.split("+")) - {*AUGMENTATIONS, "none"}
        if unknown or (self.augment != "none" and "none" in self.augment):
            raise InputError(f"Bad augment {self.augment!r}, expected none or parts of {'+'.join(AUGMENTATIONS)}")
        if self.semantics == "official" and self.strategy != "forward":
            raise InputError(f"semantics='official' is of strategy 'forward', not {self.strategy!r}; drop one")
        if self.transfer != "none" and self.weight:
            raise InputError(f"transfer={self.transfer!r} is a baseline of its own; give alpha=0 with it")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that are joined, by name and without repetition."""
        return tuple(sorted(set(self.method.split("+"))))

    @property
    def default_weight(self) -> float:
        """The weight where `alpha` is None: the method's own; 1 of several, each of which keeps its own."""
        return METHODS.get(self.method, 1.0)

    @property
    def weight(self) -> float:
        """The weight of the method."""
        return self.default_weight if self.alpha is None or self.method == "baseline" else self.alpha

    @property
    def learns_from(self) -> str | None:
        """The method, or None where the student learns from labels alone."""
        return "+".join(self.methods) if self.weight > 0 else None

    @property
    def is_baseline(self) -> bool:
        """Whether the student learns from labels alone, nothing from the graph or the teacher."""
        return self.learns_from is None and self.transfer == "none"

    @property
    def uses_graph(self) -> bool:
        """Whether the student learns from the edges of the graph."""
        return self.learns_from is not None and not {"nsl", "graph", "propagate"}.isdisjoint(self.methods)

    @property
    def uses_unlabelled(self) -> bool:
        """Whether the method learns from clips without a label."""
        edges_need_labels = self.learns_from == "nsl" and self.same_label
        return self.learns_from is not None and not edges_need_labels and self.unlabelled_ratio > 0
