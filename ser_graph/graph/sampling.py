"""Subgraphs for training: PyG's `NeighborLoader` with the most similar neighbours, without compiled extensions."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch_geometric.loader
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader.base import DataLoaderIterator
from torch_geometric.sampler import BaseSampler, NodeSamplerInput, SamplerOutput
from torch_geometric.sampler.base import SubgraphType

from ser_graph.audio.mapped import check_finite_rows, count_read, will_need
from ser_graph.common.settings import plain_value
from ser_graph.errors import InputError, bad_value, shown
from ser_graph.graph.loader_arguments import check_edges, checked_arguments, checked_counts


class TopNeighborSampler(BaseSampler):
    """Samples the in-edges of every seed with the largest weights; the result is always the same.

    pyg-lib draws neighbours at random and needs a compiled extension. This sampler sorts the edges of each seed
    once, so that the n strongest edges of a seed are a slice.

    Args:
        data: graph with `edge_index` (neighbour -> seed) and, optionally, weights of its edges.
        num_neighbors: neighbours for each hop, -1 = all.
        subgraph_type: ``"directional"``: each sampled edge once, neighbour -> seed; ``"bidirectional"``: both ways.
        disjoint: every seed has a subgraph of its own; ``batch.batch`` numbers the seed of each node.
        weight_attr: the attribute of the graph that holds the weights.

    Raises:
        InputError: a bad number of neighbours or a bad type of subgraph, edges to missing nodes, or weights that
            do not fit the edges.
    """

    def __init__(
        self,
        data: Data,
        num_neighbors: Sequence[int],
        *,
        subgraph_type: SubgraphType | str = "directional",
        disjoint: bool = False,
        weight_attr: str | None = None,
    ) -> None:
        kind = getattr(subgraph_type, "value", subgraph_type)
        if not isinstance(kind, str) or kind not in ("directional", "bidirectional"):
            raise InputError(
                f"Bad subgraph_type {shown(kind)}, expected 'directional' or 'bidirectional'; for all edges among "
                "the sampled nodes, use data.subgraph(batch.n_id)"
            )
        if weight_attr is not None and (not isinstance(weight_attr, str) or weight_attr not in data):
            raise bad_value("weight_attr", weight_attr, data.keys())
        disjoint = plain_value(disjoint)
        if not isinstance(disjoint, bool):
            raise InputError(f"Bad disjoint {shown(disjoint)}, expected True or False")
        weight = data.get(weight_attr or "edge_weight")
        edge_index = data.get("edge_index")
        edge_index = torch.empty(2, 0, dtype=torch.int64) if edge_index is None else edge_index
        check_edges(edge_index, data.num_nodes or 0, weight, weight_attr or "edge_weight")
        self.num_neighbors, self.disjoint = checked_counts(num_neighbors), disjoint
        self._both_ways = kind == "bidirectional"
        source, target = edge_index.long()
        order = torch.arange(len(target)) if weight is None else weight.argsort(descending=True, stable=True)
        self._permutation = order[target[order].argsort(stable=True)]
        self._source = source[self._permutation]
        degrees = target.bincount(minlength=data.num_nodes)
        self._start = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])

    @property
    def edge_permutation(self) -> Tensor:
        """[E] the number in the graph of each edge, in the order of this sampler."""
        return self._permutation

    def sample_from_nodes(self, inputs: NodeSamplerInput, **_: Any) -> SamplerOutput:
        """The subgraph of some seeds. The seeds come first, in their order; a repeated seed has several rows."""
        nodes = inputs.node
        seeds = torch.arange(len(nodes))  # of each node, the seed that it belongs to; used for disjoint subgraphs
        frontier, offset = slice(0, len(nodes)), 0  # nodes of the last hop
        rows, cols, edges = [], [], []
        node_counts, edge_counts = [len(nodes)], []
        for count in self.num_neighbors:
            edge, of = self._top_edges(nodes[frontier], count)
            sources, known = self._source[edge], len(nodes)
            if self.disjoint:
                nodes, seeds, local = self._append_apart(nodes, seeds, sources, seeds[frontier][of])
            else:
                nodes, local = _append_new(nodes, sources)
            rows.append(local)
            cols.append(of + offset)
            edges.append(edge)
            frontier, offset = slice(known, len(nodes)), known
            node_counts.append(len(nodes) - known)
            edge_counts.append(len(edge))
        sampled = SamplerOutput(
            node=nodes,
            row=torch.cat(rows),
            col=torch.cat(cols),
            edge=torch.cat(edges),
            batch=seeds if self.disjoint else None,
            num_sampled_nodes=node_counts,
            num_sampled_edges=edge_counts,
            metadata=(inputs.input_id, inputs.time),
        )
        return sampled.to_bidirectional(keep_orig_edges=True) if self._both_ways else sampled

    def _append_apart(
        self, nodes: Tensor, seeds: Tensor, sources: Tensor, source_seeds: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `_append_new`, where a node of another seed is another node."""
        n = len(self._start)
        codes, local = _append_new(seeds * n + nodes, source_seeds * n + sources)
        return codes % n, codes // n, local

    def neighbors_of(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The neighbours in the first hop, without a batch.

        Args:
            nodes: [B] int64 seeds.

        Returns:
            [2, E] int64: for each edge the neighbour, as a node of the graph, and the seed, as a row of `nodes`;
            and [E] int64, the number of the edge in the graph.
        """
        edge, of = self._top_edges(nodes, self.num_neighbors[0])
        return torch.stack([self._source[edge], of]), self._permutation[edge]

    def sample_from_edges(self, *_: Any, **__: Any) -> SamplerOutput:
        """Refused: this sampler is not for link prediction."""
        raise InputError("TopNeighborSampler samples around nodes; use NeighborLoader or NodeLoader with it")

    def _top_edges(self, nodes: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The first `count` edges of each node, and the index of that node in `nodes`."""
        start = self._start[nodes]
        taken = self._start[nodes + 1] - start
        if count >= 0:
            taken = taken.clamp_max(count)
        of = torch.arange(len(nodes)).repeat_interleave(taken)
        within = torch.arange(len(of)) - (taken.cumsum(0) - taken)[of]
        return start[of] + within, of


def _append_new(nodes: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """`nodes` and the new nodes among `sources`, and the local number of each source.

    If a node has several rows (a repeated seed), its number is the first row.
    """
    everyone = torch.cat([nodes, sources])
    unique, code = everyone.unique(return_inverse=True)
    first = torch.full((len(unique),), len(everyone)).scatter_reduce(
        0, code, torch.arange(len(everyone)), reduce="amin"
    )
    is_new = torch.zeros(len(everyone), dtype=torch.bool).index_fill_(0, first[first >= len(nodes)], True)
    place = torch.arange(len(everyone))
    place[is_new] = len(nodes) + torch.arange(int(is_new.sum()))
    return torch.cat([nodes, everyone[is_new]]), place[first[code[len(nodes) :]]]


class NeighborLoader(torch_geometric.loader.NeighborLoader):
    """PyG's `NeighborLoader`, but with the most similar neighbours, and without pyg-lib and torch-sparse.

    Use it like PyG's: ``NeighborLoader(data, num_neighbors=[6], batch_size=16, input_nodes=data.train_mask)``. A
    batch contains its ``batch.batch_size`` seeds first, each neighbour once, and the edges among them with their
    `edge_weight`. ``batch.n_id`` are the numbers of the nodes in the whole graph.

    If `x` is mapped from disk, the loader samples the next batch while the network computes the current one. The
    disk then reads its rows in the order of the file. Seeds are still shuffled over the whole corpus.

    These arguments of PyG's loader are refused: `replace` and `temporal_strategy` (nothing is drawn), `time_attr`
    and `input_time` (clips have no time), ``subgraph_type="induced"``, heterogeneous graphs, and a pair of a
    feature store and a graph store.

    Args:
        data: the graph.
        num_neighbors: neighbours for each hop; the neighbour loss needs one hop. -1 = all, 0 = none.
        subgraph_type: see `TopNeighborSampler`.
        disjoint: see `TopNeighborSampler`.
        weight_attr: see `TopNeighborSampler`.
        **settings: `batch_size`, `input_nodes`, `shuffle`, `generator` and other arguments of PyG's loader.

    Raises:
        InputError: an argument that is refused, an unknown argument, or a bad value.
    """

    def __init__(
        self,
        data: Data,
        num_neighbors: Sequence[int],
        *,
        subgraph_type: SubgraphType | str = "directional",
        disjoint: bool = False,
        weight_attr: str | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(data, Data):
            raise InputError(
                f"Bad data of type {type(data).__name__}, expected one graph of clips (a PyG Data); PyG's own "
                "NeighborLoader takes heterogeneous graphs and stores"
            )
        settings = checked_arguments(settings, data.num_nodes or 0)
        sampler = settings.pop("neighbor_sampler", None) or TopNeighborSampler(
            data, num_neighbors, subgraph_type=subgraph_type, disjoint=disjoint, weight_attr=weight_attr
        )
        if not settings.get("num_workers"):
            settings.setdefault("filter_per_worker", False)  # sampling and reading are then separate steps
        try:
            super().__init__(data, checked_counts(num_neighbors), neighbor_sampler=sampler, **settings)
        except (TypeError, ValueError, AssertionError) as error:  # arguments that exclude each other
            raise InputError(f"NeighborLoader cannot be made of these arguments: {error}") from None

    def _get_iterator(self) -> Any:
        iterator = super()._get_iterator()
        if self.filter_per_worker:
            return _FromWorkers(iterator, lambda batch: batch)
        return _Ahead(iterator.iterator, self.filter_fn, self._request)

    def _request(self, sampled: SamplerOutput) -> None:
        if isinstance(self.data.get("x"), Tensor):
            will_need(self.data.x, sampled.node)

    def filter_fn(self, out: SamplerOutput) -> Data:
        """Sampled nodes and edges -> a batch with the features of the nodes."""
        batch = super().filter_fn(out)
        x = self.data.get("x")
        if isinstance(x, Tensor):
            count_read(x, batch.x.nbytes)
        if x is not None and batch.x.is_floating_point():
            check_finite_rows(batch.x, out.node)
        return batch


class _FromWorkers(DataLoaderIterator):
    """The batches of worker processes; torch puts a traceback before the message of their errors, which goes."""

    def __next__(self) -> Data:
        try:
            return super().__next__()
        except InputError as error:
            raise InputError(str(error).rstrip().rpartition("InputError: ")[2]) from None


class _Ahead(DataLoaderIterator):
    """PyG's iterator over sampled batches; it announces the next batch before it returns the current one."""

    def __init__(self, iterator: Any, transform_fn: Any, announce: Callable[[SamplerOutput], None]) -> None:
        super().__init__(iterator, transform_fn)
        self._announce = announce
        self._waiting: SamplerOutput | None = None

    def __next__(self) -> Data:
        sampled = self._waiting
        if sampled is None:
            sampled = next(self.iterator)
            self._announce(sampled)
        self._waiting = next(self.iterator, None)
        if self._waiting is not None:
            self._announce(self._waiting)
        return self.transform_fn(sampled)
