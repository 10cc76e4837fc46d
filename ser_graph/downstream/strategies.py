"""The source of the neighbours' outputs in a step: forwarded with gradients, or computed at a lower cost.

| strategy | the neighbours' side of an edge | cost of a step | gradient |
|---|---|---|---|
| ``"forward"`` | forwarded with the seeds, each clip once | 1 + n | both sides |
| ``"memory_bank"`` | remembered from the last step with the clip as a seed | 1 | the seed's side, twice |

If two clips are neighbours of each other, the gradient of the seed's side, summed over an epoch, is half of the
full gradient. ``"memory_bank"`` therefore doubles the weight of the neighbour loss. If all edges of a graph are of
this kind, both strategies give the same result in a batch of all clips.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ser_graph.downstream.backbones import Output
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.downstream.spreading import Spread
from ser_graph.downstream.student import Student
from ser_graph.graph import ClipGraph, TopNeighborSampler

Compared = Callable[[Output], Tensor]  # the part of the outputs of B clips to compare, [B, C]


class Step(NamedTuple):
    """The outputs of one step, and the edges to compare.

    Attributes:
        outputs: of R rows, the B seeds first.
        rows: [R] int64, the node of each row, as its number in the batch.
        edge_index: [2, E] int64, neighbour -> seed, rows of `neighbours` and of `outputs`.
        edge_weight: [E] float32.
        neighbours: [M, C] outputs of the compared layer on the neighbours' side; None if they are in `outputs`.
        numbers: sums for the history, e.g. of edges.
    """

    outputs: Output
    rows: Tensor
    edge_index: Tensor
    edge_weight: Tensor
    neighbours: Tensor | None
    numbers: dict[str, float]


class Strategy(nn.Module):
    """``"forward"``: seeds and neighbours in one batch; each clip is forwarded once.

    Attributes:
        factor: multiplier of the weight of the neighbour loss.
        samples_neighbours: whether the loader has to read the neighbours' spectrograms.
    """

    factor = 1.0
    samples_neighbours = True

    def forward(self, student: Student | Spread, batch: Any, compared: Compared) -> Step:
        """Forward the clips that the strategy needs; `compared` gives the part of the outputs to compare."""
        outputs = _outputs(student, batch)
        return Step(outputs, torch.arange(len(batch.x)), batch.edge_index, batch.edge_weight, None, {})


class Official(Strategy):
    """As in the paper's code: seeds, then one row per edge for its neighbour; two batches for BatchNorm."""

    def forward(self, student: Student | Spread, batch: Any, compared: Compared) -> Step:
        """See `Strategy.forward`."""
        if not batch.edge_index.numel():
            return super().forward(student, batch, compared)
        n, (neighbour, seed) = batch.batch_size, batch.edge_index
        parts = zip(_outputs(student, batch, slice(n)), _outputs(student, batch, neighbour), strict=True)
        edge_index = torch.stack([n + torch.arange(len(seed), device=seed.device), seed])
        rows = torch.cat([torch.arange(n), neighbour.cpu()])
        return Step(Output(*map(torch.cat, parts)), rows, edge_index, batch.edge_weight, None, {})


class MemoryBank(Strategy):
    """``"memory_bank"``: the output of each clip is remembered from the last step with the clip as a seed.

    Seeds are compared with the remembered outputs of their neighbours (Wu et al., "Unsupervised feature learning
    via non-parametric instance discrimination", CVPR 2018). Edges to clips without a remembered output are left
    out. The outputs of a batch are stored before the comparison, so two neighbours in one batch are compared with
    their current outputs.

    Args:
        sampler: gives the neighbours of seeds.
        edge_weight: [E] float32 of the graph.
        n_nodes: of the graph.
        size: C, of the layer that is compared.

    Attributes:
        outputs: [N, C] float32, the remembered outputs.
        written: [N] int64, the step of each remembered output, -1 = none.
        step: [] int64, steps so far.
    """

    factor = 2.0
    samples_neighbours = False
    outputs: Tensor
    written: Tensor
    step: Tensor

    def __init__(self, sampler: TopNeighborSampler, edge_weight: Tensor, n_nodes: int, size: int) -> None:
        super().__init__()
        self.sampler, self.edge_weight = sampler, edge_weight
        self.register_buffer("outputs", torch.zeros(n_nodes, size))
        self.register_buffer("written", torch.full((n_nodes,), -1))
        self.register_buffer("step", torch.tensor(0))

    def forward(self, student: Student | Spread, batch: Any, compared: Compared) -> Step:
        """See `Strategy.forward`. Its `numbers` are `edges`, the `edges_used`, and the sum of their `staleness`."""
        outputs = _outputs(student, batch)
        nodes = batch.n_id[: batch.batch_size]
        self.outputs[nodes] = compared(outputs).detach().float()
        self.written[nodes] = self.step
        (neighbour, seed), edge = self.sampler.neighbors_of(nodes.cpu())
        neighbour, seed = neighbour.to(nodes.device), seed.to(nodes.device)
        age = self.step - self.written[neighbour]
        known = self.written[neighbour] >= 0
        numbers = {
            "edges": float(len(edge)),
            "edges_used": float(known.sum()),
            "staleness": float(age[known].sum()),
        }
        self.step += 1
        edge_index = torch.stack([torch.arange(int(known.sum()), device=seed.device), seed[known]])
        weight = self.edge_weight[edge].to(nodes.device)[known]
        rows = torch.arange(len(nodes))
        return Step(outputs, rows, edge_index, weight, self.outputs[neighbour[known]], numbers)


def make_strategy(view: ClipGraph, settings: TrainingSettings, size: int) -> Strategy:
    """Make the strategy of the neighbour loss that the settings name; `size` is C of the compared layer."""
    if settings.strategy == "forward":
        return Official() if settings.semantics == "official" else Strategy()
    sampler = TopNeighborSampler(view, [settings.n_neighbors or -1])
    return MemoryBank(sampler, view.edge_weight, len(view.y), size)


def _outputs(student: Student | Spread, batch: Any, rows: slice | Tensor = slice(None)) -> Output:
    """The student's outputs of some rows of a batch; with embeddings and voices if the student needs them."""
    emb = batch.emb[rows] if student.needs_teacher else None
    voice = batch.voice[rows] if "voice" in batch else None
    return student(batch.x[rows], emb, voice)
