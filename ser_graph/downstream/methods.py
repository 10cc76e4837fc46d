"""The methods: what a student learns from the graph or from the teacher, in addition to its labels.

| method | what is compared | needs |
|---|---|---|
| ``"nsl"`` | outputs of neighbours, brought close together (the paper) | edges |
| ``"graph"`` | the distribution of similarities over a clip's neighbours and others | edges, teacher |
| ``"regress"`` | the teacher's embedding, predicted from `fc1` | teacher |
| ``"distil"`` | class probabilities of a probe of the teacher, or of a GNN (``teacher="gnn"``) | teacher, labels |

Methods joined by ``+`` add their terms, each with its own weight: ``"distil+regress"``.

A method forwards the batch, because the neighbour loss decides which clips the student forwards. It then returns
one term of the loss. The data of the teacher are prepared once, as attributes of the nodes; see `teacher`.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from ser_graph.downstream.backbones import FC1, Output, scaled
from ser_graph.downstream.losses import (
    distillation_loss,
    distribution_loss,
    neighbour_loss,
    regression_loss,
)
from ser_graph.downstream.settings import METHODS, TrainingSettings
from ser_graph.downstream.spreading import Spread
from ser_graph.downstream.strategies import Step, Strategy, make_strategy
from ser_graph.downstream.student import Student
from ser_graph.graph import ClipGraph, TopNeighborSampler

PROJECTION = 64  # size of the linear projection of fc1 on which clips are compared
HIDDEN = 256  # width of the head that predicts the teacher's embedding
TEMPERATURE = 2.0  # of class probabilities, on both sides
SHARPNESS = {"student": 0.1, "teacher": 0.05}  # temperatures of similarities
OTHERS = 256  # further clips that a clip is compared with, beside its neighbours


class Method(nn.Module):
    """The base of all methods. It forwards the batch and adds no term: training on labels alone.

    `view` is the graph of the training, with the data that `training_view` prepared.
    """

    samples_neighbours = False

    def __init__(self, view: ClipGraph, settings: TrainingSettings) -> None:
        super().__init__()
        self.settings = settings
        self.strategy = Strategy()

    def forward(self, student: Student | Spread, batch: Any) -> Step:
        """Pass the batch through the student."""
        return self.strategy(student, batch, self.compared)

    def compared(self, outputs: Output) -> Tensor:
        """[B, C] the part of the outputs that the method compares."""
        return outputs.fc2

    def loss(self, step: Step, batch: Any) -> Tensor | None:
        """The term of the loss, without its weight; None where the method has none."""
        return None


class _Comparing(Method):
    """A method that compares a layer of the student, or a projection of `fc1`."""

    def __init__(self, view: ClipGraph, settings: TrainingSettings, layer: str) -> None:
        super().__init__(view, settings)
        self.layer = layer
        width = scaled(FC1, settings.width)
        self.size = {"fc1": width, "fc2": len(view.emotions), "projection": PROJECTION}[layer]
        self.projection = nn.Linear(width, PROJECTION, bias=False) if layer == "projection" else nn.Identity()

    def compared(self, outputs: Output) -> Tensor:
        """See `Method.compared`."""
        return self.projection(outputs.fc1.float()) if self.layer == "projection" else getattr(outputs, self.layer)


class NeighbourLoss(_Comparing):
    """``"nsl"``: see `neighbour_loss` and `strategies`."""

    def __init__(self, view: ClipGraph, settings: TrainingSettings) -> None:
        super().__init__(view, settings, settings.layer)
        self.strategy = make_strategy(view, settings, self.size)
        self.samples_neighbours = self.strategy.samples_neighbours

    def loss(self, step: Step, batch: Any) -> Tensor:
        """See `Method.loss`."""
        settings = self.settings
        found = neighbour_loss(
            self.compared(step.outputs),
            step.edge_index,
            step.edge_weight if settings.edge_weights else None,
            neighbours=step.neighbours,
            distance=settings.distance,
            reduction=settings.reduction,
        )
        return self.strategy.factor * found


def regression_head(width: float, size: int) -> nn.Sequential:
    """The head of two layers that predicts the teacher's embedding [., size] from `fc1`."""
    return nn.Sequential(nn.Linear(scaled(FC1, width), HIDDEN), nn.GELU(), nn.Linear(HIDDEN, size))


class Regress(Method):
    """``"regress"``: a head of two layers on `fc1` predicts the teacher's embedding; see `regression_loss`."""

    def __init__(self, view: ClipGraph, settings: TrainingSettings) -> None:
        super().__init__(view, settings)
        self.head = regression_head(settings.width, view.teacher.shape[1])

    def loss(self, step: Step, batch: Any) -> Tensor:
        """See `Method.loss`."""
        predicted = self.head(step.outputs.fc1.float())
        return regression_loss(predicted, batch.teacher[step.rows], reduction=self.settings.reduction)


class Distil(Method):
    """``"distil"``: see `distillation_loss`; clips without probabilities are left out."""

    def loss(self, step: Step, batch: Any) -> Tensor:
        """See `Method.loss`."""
        return distillation_loss(
            step.outputs.logits, batch.teacher_log_probs[step.rows], TEMPERATURE, reduction=self.settings.reduction
        )


class GraphDistribution(_Comparing):
    """``"graph"``: the similarities of a clip to its neighbours and to `OTHERS` clips; see `distribution_loss`.

    The student's outputs of these clips are not computed anew. The method remembers one output for each node, from
    the last step in which the clip was a seed.

    Attributes:
        remembered: [N, C] float32, rows of length 1; rows of zeros for clips that have not been seeds yet.
        step: [] int64 number of steps so far; it seeds the draw of the further clips.
    """

    remembered: Tensor
    step: Tensor

    def __init__(self, view: ClipGraph, settings: TrainingSettings) -> None:
        super().__init__(view, settings, "projection")
        self.sampler = TopNeighborSampler(view, [settings.n_neighbors or -1])
        self.teacher = nn.functional.normalize(view.teacher, dim=1)
        self.nodes = (view.teacher != 0).any(1).nonzero()[:, 0]
        self.register_buffer("remembered", torch.zeros(len(view.y), PROJECTION))
        self.register_buffer("step", torch.tensor(0))

    def loss(self, step: Step, batch: Any) -> Tensor:
        """See `Method.loss`."""
        seeds = batch.n_id[: batch.batch_size].cpu()
        compared = self.compared(step.outputs)[: len(seeds)]  # forwarded neighbours come after the seeds
        outputs = nn.functional.normalize(compared.float(), dim=1)
        self.remembered[seeds] = outputs.detach()
        generator = torch.Generator().manual_seed(int(self.step))
        self.step += 1
        others = self.nodes[torch.randint(len(self.nodes), (OTHERS,), generator=generator)]
        (neighbour, _), _ = self.sampler.neighbors_of(seeds)
        # Each seed is also compared with the neighbours of the other seeds: for this seed, they are further clips.
        nodes = torch.cat([neighbour.unique(), others]).unique()
        known = self.remembered[nodes].any(1)
        nodes = nodes[known.cpu()]
        student = outputs @ self.remembered[nodes].T
        teacher = (self.teacher[seeds] @ self.teacher[nodes].T).to(outputs.device)
        itself = (seeds[:, None] == nodes).to(outputs.device)
        return distribution_loss(student, teacher, itself, **SHARPNESS, reduction=self.settings.reduction)


_CLASSES: dict[str, type[Method]] = {
    "nsl": NeighbourLoss,
    "graph": GraphDistribution,
    "regress": Regress,
    "distil": Distil,
}


class Joined(Method):
    """Several methods at once, by name. If one of them forwards neighbours, all use its outputs."""

    def __init__(self, parts: dict[str, Method], view: ClipGraph, settings: TrainingSettings) -> None:
        super().__init__(view, settings)
        self.parts = nn.ModuleDict(parts)
        self.leading = next((name for name, part in parts.items() if isinstance(part, NeighbourLoss)), min(parts))
        self.samples_neighbours = parts[self.leading].samples_neighbours

    def forward(self, student: Student | Spread, batch: Any) -> Step:
        """See `Method.forward`."""
        return self.parts[self.leading](student, batch)

    def loss(self, step: Step, batch: Any) -> Tensor:
        """See `Method.loss`: the sum of the terms, each times the default weight of its method."""
        terms = {name: cast(Tensor, cast(Method, part).loss(step, batch)) for name, part in self.parts.items()}
        return joined_terms(terms)


def joined_terms(terms: dict[str, Tensor]) -> Tensor:
    """The terms of several methods by name, each times the default weight of its method."""
    return torch.stack([METHODS[name] * term for name, term in terms.items()]).sum()


def make_method(view: ClipGraph, settings: TrainingSettings) -> Method:
    """Make the method that the settings name. Its initial weights depend on the seed of the settings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if settings.learns_from is None:
            return Method(view, settings)
        parts = {name: _CLASSES[name](view, settings) for name in settings.methods}
        return Joined(parts, view, settings) if len(parts) > 1 else parts[settings.method]
