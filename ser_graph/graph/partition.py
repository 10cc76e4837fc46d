"""A graph cut into small parts of clips that are neighbours, so that they can meet in one batch."""

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch_geometric.loader
from torch import Tensor

from ser_graph.errors import InputError


def partition(
    edge_index: Tensor,
    num_nodes: int,
    part_size: int | Sequence[int],
    edge_weight: Tensor | None = None,
    *,
    seed: int = 0,
) -> Tensor:
    """Cut a graph into parts of `part_size` nodes that hold many of its edges.

    Greedy graph growing: from a random node, a part takes in, again and again, the free node that is tied to it
    most strongly; where none is left, a random one. Deterministic for a seed. Karypis & Kumar, "A fast and high
    quality multilevel scheme for partitioning irregular graphs", 1998, describe it for two parts.

    Args:
        edge_index: [2, E] int64; directions do not matter.
        num_nodes: N.
        part_size: nodes in each part; the last one may have fewer. Or the sizes of all parts, which sum to N.
        edge_weight: [E] how strongly an edge ties; None ties all alike.
        seed: of the order in which nodes are tried.

    Returns:
        [N] int64, the part of each node, counted from 0.

    Examples:
        >>> two_triangles = torch.tensor([[0, 2, 4, 1, 3, 5], [2, 4, 0, 3, 5, 1]])
        >>> part = partition(two_triangles, 6, 3)
        >>> bool(part[0] == part[2] == part[4]), part.bincount().tolist()
        (True, [3, 3])
    """
    sizes = [part_size] * -(-num_nodes // max(part_size, 1)) if isinstance(part_size, int) else list(part_size)
    if min(sizes, default=1) < 1:
        raise InputError(f"Bad part_size {part_size}, expected at least 1")
    starts, neighbours, ties = _both_ways(edge_index, num_nodes, edge_weight)
    order = torch.randperm(num_nodes, generator=torch.Generator().manual_seed(seed)).tolist()
    part = [-1] * num_nodes
    number, size = 0, 0
    tied: dict[int, float] = {}  # free nodes with an edge into the part that is growing
    heap: list[tuple[float, int]] = []  # (-tie, node); an entry is stale where the tie has grown since
    free = iter(order)
    while (node := _next(heap, tied, part, free)) is not None:
        part[node] = number
        tied.pop(node, None)
        size += 1
        if size == sizes[number]:
            number, size = number + 1, 0
            tied.clear()
            heap.clear()
            continue
        for at in range(starts[node], starts[node + 1]):
            other = neighbours[at]
            if part[other] < 0:
                tied[other] = tied.get(other, 0.0) + ties[at]
                heapq.heappush(heap, (-tied[other], other))
    return torch.tensor(part, dtype=torch.int64)


def _next(
    heap: list[tuple[float, int]], tied: dict[int, float], part: list[int], free: Iterator[int]
) -> int | None:
    """The free node of the strongest tie, else the next one in order; None at the end."""
    while heap:
        tie, node = heapq.heappop(heap)
        if tied.get(node) == -tie:
            return node
    return next((node for node in free if part[node] < 0), None)


def _both_ways(
    edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None
) -> tuple[list[int], list[int], list[float]]:
    """Every node's neighbours in both directions, as the slices of a list, and how strongly each is tied."""
    weight = torch.ones(edge_index.shape[1]) if edge_weight is None else edge_weight
    target = torch.cat([edge_index[1], edge_index[0]])
    order = target.argsort(stable=True)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), target.bincount(minlength=num_nodes).cumsum(0)])
    neighbours = torch.cat([edge_index[0], edge_index[1]])[order]
    return starts.tolist(), neighbours.tolist(), torch.cat([weight, weight])[order].double().tolist()


class ClusterData(torch_geometric.loader.ClusterData):
    """PyG's `ClusterData`, cut by `partition`: for `ClusterLoader`, and needs neither pyg-lib nor torch-sparse.

    Args:
        data: the graph.
        num_parts: number of parts.
        seed: of the partition.
        **settings: whatever else PyG's takes.
    """

    def __init__(self, data: Any, num_parts: int, *, seed: int = 0, **settings: Any) -> None:
        self._seed = seed
        super().__init__(data, num_parts, log=settings.pop("log", False), **settings)

    def _metis(self, edge_index: Tensor, num_nodes: int) -> Tensor:
        """PyG's place for another partition."""
        if not 0 < self.num_parts <= num_nodes:
            raise InputError(f"Bad num_parts {self.num_parts}, expected 1 to {num_nodes}, the number of clips")
        each, more = divmod(num_nodes, self.num_parts)
        return partition(edge_index, num_nodes, [each + (n < more) for n in range(self.num_parts)], seed=self._seed)
