"""Does a student learn more from other corpora if it hides the speakers, or learns the labels of all corpora?

    python benchmarks/across_voices.py benchmarks/studies/nemo.toml --out runs/gain-nemo --labels 0.1 \
        --backbones resnet9:0.25

Further terms join the loss of a student. They are no methods of the library, because they gain nothing beside the
teacher (docs/results.md). All of them see all corpora of the recipe:

- `adversary`: a head on fc1 tells the speakers, and its gradient is reversed (Ganin et al., "Domain-adversarial
  training of neural networks", 2016);
- `contrast`: clips of one emotion attract each other, and other clips repel (Khosla et al., "Supervised contrastive
  learning", 2020), with the labels of all corpora;
- `labels of all corpora`: the student learns the labels of the other corpora, without a teacher.

The other options are those of graph_gain.py. With the same `--out`, the report has the rows of both.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import graph_gain as gain
import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_graph.downstream import TrainingSettings, training
from ser_graph.downstream.backbones import FC1, scaled
from ser_graph.downstream.losses import distillation_loss
from ser_graph.downstream.methods import Method, make_method
from ser_graph.downstream.strategies import Step
from ser_graph.experiment.recipe import Recipe
from ser_graph.graph import ClipGraph

STRENGTH = 0.1  # of the reversed gradient, and weight of the contrast
TEMPERATURE = 0.1
PROJECTION = 64


class Reversed(torch.autograd.Function):
    """The identity, whose gradient changes its sign."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        """The values."""
        return values.view_as(values)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        """The reversed gradient."""
        return -STRENGTH * gradient


class Adversary(Method):
    """Cross entropy of a head that tells the speakers."""

    def __init__(self, view: ClipGraph, settings: TrainingSettings) -> None:
        super().__init__(view, settings)
        n_speakers = int(view.speaker.max()) + 1
        self.head = nn.Sequential(
            nn.Linear(scaled(FC1, settings.width), 128), nn.ReLU(), nn.Linear(128, n_speakers)
        )

    def loss(self, step: Step, batch: Any) -> Tensor:
        """See `Method.loss`."""
        said = self.head(Reversed.apply(step.outputs.fc1.float()))
        return functional.cross_entropy(said, batch.speaker[step.rows], ignore_index=-1)


class Contrast(Method):
    """- log of the share of the clips of one's own emotion among all others, by similarity of a projection."""

    def __init__(self, view: ClipGraph, settings: TrainingSettings) -> None:
        super().__init__(view, settings)
        self.y = torch.where(view.y >= 0, view.y, view.other_y)
        self.projection = nn.Linear(scaled(FC1, settings.width), PROJECTION, bias=False)

    def loss(self, step: Step, batch: Any) -> Tensor:
        """See `Method.loss`."""
        y = self.y[batch.n_id[step.rows]]
        known = y >= 0
        unit = functional.normalize(self.projection(step.outputs.fc1.float())[known], dim=1)
        itself = torch.eye(len(unit), dtype=torch.bool)
        shares = (unit @ unit.T / TEMPERATURE).masked_fill(itself, -torch.inf).log_softmax(1)
        same = (y[known][:, None] == y[known]) & ~itself
        found = same.any(1)
        of_same = shares.masked_fill(~same, 0.0).sum(1)[found] / same.sum(1)[found]
        return -STRENGTH * of_same.mean() if found.any() else unit.sum() * 0.0


class OtherLabels(Method):
    """Cross entropy of the labels of other corpora, at the temperature of distillation."""

    def __init__(self, view: ClipGraph, settings: TrainingSettings) -> None:
        super().__init__(view, settings)
        other = view.other_y
        log_probs = torch.where(functional.one_hot(other.clamp_min(0), len(view.emotions)) > 0, 0.0, -torch.inf)
        self.log_probs = torch.where((other >= 0)[:, None], log_probs, torch.nan)

    def loss(self, step: Step, batch: Any) -> Tensor:
        """See `Method.loss`."""
        return distillation_loss(step.outputs.logits, self.log_probs[batch.n_id[step.rows]], 2.0)


class Beside(Method):
    """A method and one more term."""

    def __init__(self, method: Method, term: Method, view: ClipGraph, settings: TrainingSettings) -> None:
        super().__init__(view, settings)
        self.method, self.term = method, term
        self.samples_neighbours = method.samples_neighbours

    def forward(self, student: Any, batch: Any) -> Step:
        """See `Method.forward`."""
        return self.method(student, batch)

    def loss(self, step: Step, batch: Any) -> Tensor:
        """See `Method.loss`."""
        terms = [one for part in (self.method, self.term) if (one := part.loss(step, batch)) is not None]
        return torch.stack(terms).sum()


JOINT = gain.Arm(gain.BEST, joint=True)
# Arm, term, and whether the teacher's terms are there too. A step has clips of other corpora because of the method.
ARMS: dict[str, tuple[gain.Arm, type[Method], bool]] = {
    "distil+regress+adversary, joint": (JOINT, Adversary, True),
    "distil+regress+contrast, joint": (JOINT, Contrast, True),
    "adversary, joint": (JOINT, Adversary, False),
    "contrast, joint": (JOINT, Contrast, False),
    "labels of all corpora": (gain.Arm({**gain.BEST, "epochs": 60}, joint=True), OtherLabels, False),
}


def with_term(term: type[Method], *, teacher: bool) -> Callable[[ClipGraph, TrainingSettings], Method]:
    """As `make_method`, with one more term, and without the teacher's terms where there is no teacher."""

    def make(view: ClipGraph, settings: TrainingSettings) -> Method:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            method = make_method(view, settings) if teacher else Method(view, settings)
            return Beside(method, term(view, settings), view, settings)

    return make


def train(cell: gain.Cell, recipe: Recipe, out: Path) -> None:
    """Train what is missing of a cell."""
    gain.ARMS[cell.arm], term, teacher = ARMS[cell.arm]
    training.make_method = with_term(term, teacher=teacher)  # type: ignore[assignment]
    try:
        gain.train(cell, recipe, out)
    finally:
        training.make_method = make_method


if __name__ == "__main__":
    gain.ARMS.update({name: arm for name, (arm, _, _) in ARMS.items()})
    gain.main(str(__doc__), list(ARMS), train)
