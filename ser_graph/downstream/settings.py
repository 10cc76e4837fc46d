"""`TrainingSettings`: everything that decides how a student is trained."""

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, get_args

from ser_graph.audio.features import NORMALISATIONS
from ser_graph.devices import Precision
from ser_graph.downstream.augmentation import check_augmentation
from ser_graph.downstream.backbones import BACKBONES, LAYERS, check_width
from ser_graph.downstream.neighbour_loss import ALPHA_SCHEDULES, DISTANCES, REDUCTIONS
from ser_graph.downstream.transfer import TRANSFERS
from ser_graph.errors import InputError, bad_value
from ser_graph.graph.space import Center

PROTOCOLS = ("clean", "paper")
SEMANTICS = ("together", "official")
STRATEGIES = ("forward", "detach", "bank", "partition")


@dataclass(frozen=True)
class TrainingSettings:
    """How a student is trained; the defaults are the paper's, where docs/faithful.md names no difference.

    A step minimises, with weights that are 0 by default where the paper has no such term,

        cross entropy + alpha * neighbours + similarity * pairs + regression * embeddings + posteriors * classes

    Cross entropy, embeddings and classes are taken over the seeds of a batch, pairs over all of its clips.
    With `reduction` ``"mean"`` each term is a mean, with ``"sum"`` each is a sum.

    Attributes:
        backbone: ``"cnn6"``, ``"mobilenet15"``, ``"resnet9"`` or ``"vgg15"``.
        width: multiplier of the backbone's channels and of `fc1`: 0.5 makes a student of about a quarter of the
            size. More than 0, at most 4.
        alpha: weight of the neighbour loss; 0, with no other weight, trains the baseline.
        n_neighbors: neighbours a seed, the most similar ones; None takes all that the graph holds.
        layer: whose output the neighbour loss and the pairs compare, ``"fc1"`` or ``"fc2"`` (the logits).
        distance: ``"cosine"``, ``"l2"`` or ``"kl"``.
        reduction: ``"mean"`` (official code) or ``"sum"`` (the paper's equation 2; the cross entropy is then
            summed too).
        edge_weights: weigh the neighbour loss by the similarity of the edge.
        protocol: ``"clean"`` trains on train and keeps the epoch that is best on dev; ``"paper"`` trains on
            train + dev and keeps the last epoch.
        transductive: allow neighbours that are not training clips. A result then says so.
        epochs: number of passes over the seeds.
        batch_size: labelled seeds in one step.
        learning_rate: of Adam, in the first epochs.
        decay: factor on the learning rate every `decay_every` epochs.
        decay_every: epochs between two decays.
        seed: of the initial weights and of the order of the seeds.
        precision: of the forward pass; ``"auto"`` is bfloat16 where the hardware gains by it.
        semantics: how seeds and neighbours pass through BatchNorm. ``"together"`` forwards them as one batch,
            each clip once: both sides of an edge are normalised alike, and a neighbour that is a seed too
            costs nothing. ``"official"`` forwards the seeds, then a row for each edge's neighbour, each with
            statistics of its own, as the paper's code does; and as there both passes update the running
            statistics that inference uses. Its padding, zero spectrograms for missing neighbours, is left out.
        alpha_schedule: ``"constant"``; ``"linear"``, rising from alpha / epochs in the first epoch to alpha
            in the last; or ``"cosine"``, falling from alpha towards 0. See `alpha_at`.
        same_label: drop all edges but those between training clips of the same known label: the upper bound
            of what a better graph could give.
        similarity: weight of the soft graph: the cosine similarities of all pairs in a batch shall be the
            teacher's, near and far pairs alike; see `similarity_loss`.
        regression: weight of the regression of the teacher's embedding from `fc1`; see `regression_loss`.
        posteriors: weight of the teacher's class probabilities; see `distillation_loss`. They come from a
            linear probe of its embeddings, fitted on the labelled training clips alone.
        temperature: that softens both sides' class probabilities.
        teacher_center: what is taken away from the teacher's embeddings for the three terms above: ``"none"``,
            ``"corpus"`` (the mean of all training clips) or ``"speaker"`` (each speaker's mean). Edges stay as
            the graph has them.
        label_fraction: share of the training clips whose labels are used; see `labelled_nodes`. The labels of
            dev, which protocol ``"clean"`` chooses the epoch by, are not among them and are all used.
        labelled_speakers: number of training speakers whose labels are used; None is all.
        label_seed: of the choice of labels.
        unlabelled_ratio: where clips lack a label and a term can learn from them, so many unlabelled seeds
            for each labelled one.
        normalise: ``"corpus"``, or ``"utterance"``, which takes each clip's mean spectrum away first; see
            `Standardise`.
        spec_augment: share of the frames and of the mel bins that masks hide at most in training, seeds and
            neighbours alike; likewise `gain` in dB and `speed` as a share, see `Augmentation`.
        strategy: where the neighbours' outputs come from, ``"forward"`` (exact), ``"detach"``, ``"bank"`` or
            ``"partition"``; see `ser_graph.downstream.strategies`.
        transfer: ``"none"``, or how the teacher's embedding joins `fc1`, in training and at inference:
            ``"add"``, ``"max"`` or ``"avg"``, the paper's baselines of transfer learning (with alpha = 0). Such
            a student is not for a device.
    """

    backbone: str = "resnet9"
    alpha: float = 0.1
    n_neighbors: int | None = None
    layer: str = "fc2"
    distance: str = "cosine"
    reduction: str = "mean"
    edge_weights: bool = True
    protocol: str = "clean"
    transductive: bool = False
    epochs: int = 50
    batch_size: int = 16
    learning_rate: float = 1e-3
    decay: float = 0.9
    decay_every: int = 5
    seed: int = 0
    precision: Precision = "auto"
    semantics: str = "together"
    alpha_schedule: str = "constant"
    same_label: bool = False
    similarity: float = 0.0
    regression: float = 0.0
    posteriors: float = 0.0
    temperature: float = 4.0
    teacher_center: Center = "none"
    label_fraction: float = 1.0
    labelled_speakers: int | None = None
    label_seed: int = 0
    unlabelled_ratio: float = 1.0
    normalise: str = "corpus"
    spec_augment: float = 0.0
    gain: float = 0.0
    speed: float = 0.0
    transfer: str = "none"
    strategy: str = "forward"
    width: float = 1.0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("backbone", BACKBONES),
            ("layer", LAYERS),
            ("distance", DISTANCES),
            ("reduction", REDUCTIONS),
            ("protocol", PROTOCOLS),
            ("precision", ("auto", "float32", "bfloat16")),
            ("semantics", SEMANTICS),
            ("alpha_schedule", ALPHA_SCHEDULES),
            ("teacher_center", get_args(Center)),
            ("normalise", NORMALISATIONS),
            ("transfer", TRANSFERS),
            ("strategy", STRATEGIES),
        ):
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in allowed:
                raise bad_value(name, getattr(self, name), allowed)
        for name in ("seed", "label_seed"):
            seed = getattr(self, name)
            if not (isinstance(seed, Integral) and 0 <= int(seed) < 2**63):
                raise InputError(f"Bad {name} {seed!r}, expected a whole number, 0 or more")
        check_width(self.width)
        for name in ("alpha", "similarity", "regression", "posteriors", "unlabelled_ratio"):
            if not (_is_finite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"Bad {name} {getattr(self, name)!r}, expected 0 or more")
        if self.semantics == "official" and self.strategy != "forward":
            raise InputError(f"semantics='official' is of strategy 'forward', not {self.strategy!r}; drop one")
        check_augmentation(self.spec_augment, self.gain, self.speed)
        if self.transfer != "none" and self.regression:
            raise InputError("regression has nothing to learn where transfer puts the embedding into fc1; drop one")
        if not (_is_finite(self.temperature) and self.temperature > 0):
            raise InputError(f"Bad temperature {self.temperature!r}, expected more than 0")
        if not (_is_finite(self.label_fraction) and 0 < self.label_fraction <= 1):
            raise InputError(f"Bad label_fraction {self.label_fraction!r}, expected more than 0 and at most 1")
        for name in ("learning_rate", "decay"):
            if not (_is_finite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"Bad {name} {getattr(self, name)!r}, expected more than 0")
        for name in ("edge_weights", "transductive", "same_label"):
            if getattr(self, name) not in (True, False):
                raise bad_value(name, getattr(self, name), (True, False))
        for name in ("epochs", "batch_size", "decay_every"):
            if not _is_count(getattr(self, name)):
                raise InputError(f"Bad {name} {getattr(self, name)!r}, expected at least 1")
        for name in ("n_neighbors", "labelled_speakers"):
            if getattr(self, name) is not None and not _is_count(getattr(self, name)):
                raise InputError(f"Bad {name} {getattr(self, name)!r}, expected at least 1, or None for all")

    @property
    def changes(self) -> dict[str, Any]:
        """The settings that differ from their defaults: what identifies a training.

        A setting that a later version adds leaves it as it is, so that finished work stays finished.

        Examples:
            >>> TrainingSettings(alpha=0, epochs=3).changes
            {'alpha': 0, 'epochs': 3}
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(type(self), name)}

    @property
    def is_baseline(self) -> bool:
        """Whether the student learns from labels alone, nothing from the graph or the teacher."""
        terms = self.alpha or self.similarity or self.regression or self.posteriors
        return not terms and self.transfer == "none"

    @property
    def uses_unlabelled(self) -> bool:
        """Whether some term of the loss learns from clips without a label."""
        by_graph = self.alpha > 0 and not self.same_label
        return bool(by_graph or self.similarity or self.regression or self.posteriors) and self.unlabelled_ratio > 0


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 1
