"""`TrainingSettings`: how a student is trained."""

from typing import Any, Literal

from pydantic import field_validator, model_validator

from ser_graph.audio.standardise import Normalisation
from ser_graph.common.devices import Precision
from ser_graph.common.settings import Settings, setting
from ser_graph.downstream.augmentation import AUGMENTATIONS, DEFAULT_AUGMENTATION
from ser_graph.downstream.backbones import MAX_WIDTH, BackboneName
from ser_graph.downstream.losses import Distance, Reduction
from ser_graph.downstream.transfer import Transfer
from ser_graph.errors import InputError
from ser_graph.graph.settings import Center

Protocol = Literal["clean", "paper"]

METHODS = {
    "baseline": 0.0,  # labels alone
    "nsl": 0.1,  # the paper's: bring the outputs of neighbours together
    "graph": 1.0,  # match the teacher's similarities of a clip to its neighbours and to other clips
    "regress": 5.0,  # predict the teacher's embedding from fc1
    "distil": 1.0,  # predict the class probabilities of a probe of the teacher, or of a GNN
}
"""The methods, each with its default weight (`alpha` = None)."""

METHODS_BESIDE = tuple(name for name in METHODS if name != "baseline")

PAPER = {
    "schedule": "paper",
    "epochs": 50,
    "epoch_steps": 1,
    "learning_rate": 1e-3,
    "augment": "none",
    "normalise": "corpus",
}
"""The paper's training: the defaults if `protocol` is ``"paper"`` or `semantics` is ``"official"``."""


class TrainingSettings(Settings):
    """How a student is trained.

    The loss is the cross entropy of the labelled clips plus `alpha` times the loss of the `method`. With
    ``alpha=0``, the student learns from labels alone: it is the baseline of every method.
    """

    backbone: BackboneName = setting("resnet9", "condition", "cnn6, mobilenet15, resnet9 or vgg15")
    width: float = setting(
        1.0, "condition", "multiplier of the channels: 0.5 makes about a quarter of the size", gt=0, le=MAX_WIDTH
    )
    method: str = setting(
        "nsl",
        "method",
        "what the student learns in addition to the labels: nsl, graph, regress, distil, "
        "several joined by +, or baseline (nothing)",
    )
    alpha: float | None = setting(
        None,
        "method",
        "weight of the method's loss; None means the default of the method, 0 trains the baseline",
        ge=0,
    )
    protocol: Protocol = setting(
        "clean",
        "run",
        "clean trains on train and evaluates on dev; paper trains on train and dev, as the paper does",
    )
    epochs: int = setting(30, "run", "passes over the labelled clips", ge=1)
    epoch_steps: int = setting(
        100, "run", "minimum number of steps per epoch; labelled clips are repeated if they are too few", ge=1
    )
    batch_size: int = setting(16, "run", "labelled clips per step", ge=1)
    learning_rate: float = setting(2e-3, "condition", "highest learning rate of the schedule", gt=0)
    schedule: Literal["cosine", "paper"] = setting(
        "cosine",
        "condition",
        "cosine: AdamW, warm-up, cosine decay, averaged weights, fresh BatchNorm statistics; paper: Adam, x 0.9 "
        "every 5 epochs, lagging BatchNorm statistics",
    )
    keep: Literal["last", "best"] = setting("last", "condition", "epoch to keep: the last, or the best on dev")
    augment: str = setting(
        DEFAULT_AUGMENTATION,
        "condition",
        "augmentation of the spectrograms in training: shift, masks, shift+masks or none",
    )
    normalise: Normalisation = setting(
        "utterance",
        "condition",
        "statistics that standardise the spectrograms: those of the corpus, the utterance (clip) or the speaker",
    )
    seed: int = setting(0, "run", "random seed of the initial weights and of every random order", ge=0, lt=2**63)
    precision: Precision = setting(
        "auto", "run", "number format: float32, bfloat16, or auto (bfloat16 if it is faster for this training)"
    )
    label_fraction: float = setting(1.0, "condition", "share of the training labels to use", gt=0, le=1)
    labelled_speakers: int | None = setting(
        None, "condition", "number of training speakers whose labels are used; None means all", ge=1
    )
    label_seed: int = setting(0, "condition", "random seed of the choice of labels", ge=0, lt=2**63)
    unlabelled_ratio: float = setting(
        1.0, "method", "unlabelled clips per labelled clip in a step", of=METHODS_BESIDE, ge=0
    )
    center: Center = setting(
        "speaker",
        "method",
        "mean that is subtracted from the teacher's embeddings; the edges of the graph do not change",
        of=("graph", "regress", "distil"),
    )
    align: str | None = setting(
        None,
        "method",
        "a corpus without labels: the teacher's embeddings of other corpora get its mean and covariance (CORAL); "
        "None moves none",
        of=("graph", "regress", "distil"),
    )
    teacher: Literal["probe", "gnn"] = setting(
        "probe",
        "method",
        "source of the class probabilities: probe, a linear probe of the embeddings; gnn, a graph neural network "
        "(GraphSAGE) on embeddings and edges",
        of=("distil",),
    )
    other_labels: float = setting(
        0.0,
        "method",
        "weight of the labels of other corpora (see join_corpora) in the teacher's probe: together, they count as "
        "this many labels of the target, e.g. 10 if the target has one label for each emotion",
        of=("distil",),
        ge=0,
    )
    n_neighbors: int | None = setting(
        None, "method", "neighbours per clip; None means all neighbours in the graph", of=("nsl", "graph"), ge=1
    )
    layer: Literal["fc1", "fc2", "projection"] = setting(
        "fc2",
        "method",
        "output in which neighbours are compared: fc1, fc2 (the logits), or projection (a linear map of fc1)",
        of=("nsl",),
    )
    strategy: Literal["forward", "memory_bank"] = setting(
        "forward",
        "method",
        "source of the neighbours' outputs: forward computes them, memory_bank remembers them",
        of=("nsl",),
    )
    distance: Distance = setting("cosine", "method", "distance between the outputs of two neighbours", of=("nsl",))
    reduction: Reduction = setting(
        "mean", "condition", "mean of each term of the loss (the paper's code) or sum (the paper's equation 2)"
    )
    edge_weights: bool = setting(True, "method", "multiply the loss of each edge by its similarity", of=("nsl",))
    semantics: Literal["together", "official"] = setting(
        "together",
        "method",
        "together: neighbours and seeds pass BatchNorm in one batch; official: in two batches, as in the "
        "paper's code",
        of=("nsl",),
    )
    same_label: bool = setting(
        False,
        "method",
        "keep only edges whose two clips have the same known label: the upper bound of a graph",
        of=("nsl",),
    )
    transductive: bool = setting(False, "run", "allow neighbours from outside the training clips")
    transfer: Transfer = setting(
        "none",
        "method",
        "how the teacher's embedding joins fc1; needs the teacher at inference, so it is not for a device",
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
        """Sort joined methods and drop repetitions: their order does not matter."""
        names = sorted(set(method.split("+")))
        return "+".join(names) if names == ["baseline"] or set(names) <= set(METHODS_BESIDE) else method

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingSettings":
        if not set(self.methods) <= set(METHODS) or (len(self.methods) > 1 and "baseline" in self.methods):
            raise InputError(
                f"Bad method {self.method!r}, expected one of {sorted(METHODS)}, or several joined by +"
            )
        unknown = set(self.augment.split("+")) - {*AUGMENTATIONS, "none"}
        if unknown or (self.augment != "none" and "none" in self.augment):
            raise InputError(f"Bad augment {self.augment!r}, expected none, or parts of {'+'.join(AUGMENTATIONS)}")
        if self.semantics == "official" and self.strategy != "forward":
            raise InputError(f"semantics='official' needs strategy 'forward', not {self.strategy!r}; change one")
        if self.transfer != "none" and self.weight:
            raise InputError(f"transfer={self.transfer!r} is a baseline without a method; give alpha=0 too")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """The joined methods, sorted, without repetitions."""
        return tuple(sorted(set(self.method.split("+"))))

    @property
    def default_weight(self) -> float:
        """The weight if `alpha` is None: the default of the method; 1 for joined methods (each keeps its own)."""
        return METHODS.get(self.method, 1.0)

    @property
    def weight(self) -> float:
        """The weight of the method's loss."""
        return self.default_weight if self.alpha is None or self.method == "baseline" else self.alpha

    @property
    def learns_from(self) -> str | None:
        """The method, or None if the student learns from labels alone."""
        return "+".join(self.methods) if self.weight > 0 else None

    @property
    def is_baseline(self) -> bool:
        """Whether the student learns from labels alone, without graph and teacher."""
        return self.learns_from is None and self.transfer == "none"

    @property
    def uses_graph(self) -> bool:
        """Whether the student learns from the edges of the graph."""
        of_edges = {"nsl", "graph", *(["distil"] if self.teacher == "gnn" else [])}
        return self.learns_from is not None and not of_edges.isdisjoint(self.methods)

    @property
    def uses_unlabelled(self) -> bool:
        """Whether the method learns from clips without a label."""
        edges_need_labels = self.learns_from == "nsl" and self.same_label
        return self.learns_from is not None and not edges_need_labels and self.unlabelled_ratio > 0
