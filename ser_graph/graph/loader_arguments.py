"""The arguments of `NeighborLoader`, checked before PyG and torch see them."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field, field_validator
from torch import Tensor
from torch_geometric.sampler import BaseSampler

from ser_graph.common.settings import Record, plain_value
from ser_graph.errors import InputError, bad_value, shown

_REFUSED = ("replace", "temporal_strategy", "time_attr", "input_time", "custom_cls")


class LoaderArguments(Record):
    """The arguments of PyG's and torch's loaders that `NeighborLoader` takes besides its own."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    batch_size: int = Field(1, description="a number", ge=1)
    input_nodes: Any = None
    input_id: Any = None
    shuffle: bool | None = Field(None, description="True or False")
    drop_last: bool = Field(False, description="True or False")
    sampler: Any = None
    batch_sampler: Any = None
    generator: torch.Generator | None = Field(None, description="a torch.Generator or None")
    num_workers: int = Field(0, description="a number", ge=0, le=1024)
    filter_per_worker: bool | None = Field(None, description="True, False or None")
    persistent_workers: bool = Field(False, description="True or False")
    prefetch_factor: int | None = Field(None, description="a number or None", ge=1)
    pin_memory: bool = Field(False, description="True or False")
    pin_memory_device: str = Field("", description="the name of a device")
    timeout: float = Field(0, description="seconds", ge=0)
    worker_init_fn: Callable[..., Any] | None = Field(None, description="a function or None")
    multiprocessing_context: Any = None
    in_order: bool = Field(True, description="True or False")
    transform: Callable[..., Any] | None = Field(None, description="a function or None")
    transform_sampler_output: Callable[..., Any] | None = Field(None, description="a function or None")
    neighbor_sampler: BaseSampler | None = Field(None, description="a sampler of PyG, or None")
    directed: Literal[True] = True
    is_sorted: bool = Field(False, description="True or False")
    dataset: Any = None
    collate_fn: Any = None

    @field_validator("sampler", "batch_sampler")
    @classmethod
    def _is_iterable(cls, value: Any) -> Any:
        if value is not None and not hasattr(value, "__iter__"):
            raise InputError(f"Bad sampler {shown(value)}, expected what gives numbers of seeds, or lists of them")
        return value


def checked_arguments(given: dict[str, Any], n_nodes: int) -> dict[str, Any]:
    """The arguments for PyG's loader.

    Args:
        given: arguments by name.
        n_nodes: number of nodes of the graph.

    Raises:
        InputError: an unknown name, an argument that is not for this loader, or a bad value.
    """
    for name in _REFUSED:
        value = given.pop(name, None)
        if value is not None and value is not False:
            raise InputError(
                f"{name} is not for this loader, which always takes the most similar neighbours; leave it out, "
                "or use PyG's own NeighborLoader"
            )
    if unknown := sorted(given.keys() - LoaderArguments.model_fields.keys()):
        raise bad_value("argument of NeighborLoader", unknown[0], LoaderArguments.model_fields)
    checked = LoaderArguments(**given)
    # PyG takes no `None` in place of some defaults; it makes the dataset and the collation itself.
    found = {name: value for name, value in checked.given.items() if name not in ("dataset", "collate_fn")}
    if found.get("timeout") and not found.get("num_workers"):
        raise InputError("timeout is for worker processes; give num_workers too, or leave timeout out")
    if found.get("input_nodes") is not None:
        found["input_nodes"] = checked_nodes(found["input_nodes"], n_nodes)
    if found.get("input_id") is not None:
        found["input_id"] = _checked_ids(found["input_id"], found.get("input_nodes"))
    return found


def _checked_ids(ids: Any, nodes: Tensor | None) -> Tensor:
    """The numbers that `batch.input_id` shows in place of those of the seeds."""
    n = None if nodes is None else int(nodes.sum()) if nodes.dtype == torch.bool else len(nodes)
    if not isinstance(ids, Tensor) or tuple(ids.shape) != (n,):
        raise InputError(f"Bad input_id {shown(ids)}, expected a tensor with a number for each of input_nodes")
    return ids


def checked_nodes(nodes: Any, n_nodes: int) -> Tensor:
    """Seeds as a tensor: [N] bool, or [B] int64 from 0 to N - 1.

    Raises:
        InputError: another type, shape or range.
    """
    expected = f"a mask of {n_nodes:,} nodes, or numbers from 0 to {n_nodes - 1:,}"
    try:
        found = torch.as_tensor(nodes if isinstance(nodes, Tensor | np.ndarray) else list(nodes)).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"Bad input_nodes {shown(nodes)}, expected {expected}") from None
    if not found.numel() and found.ndim == 1:
        return found.long()
    is_mask, shape = found.dtype == torch.bool, tuple(found.shape)
    if found.ndim != 1 or (is_mask and shape != (n_nodes,)):
        raise InputError(f"Bad input_nodes of shape {shape}, expected {expected}")
    if is_mask:
        return found
    if found.dtype.is_floating_point or found.dtype.is_complex:
        raise InputError(f"Bad input_nodes of {str(found.dtype).removeprefix('torch.')}, expected {expected}")
    if not 0 <= int(found.min()) <= int(found.max()) < n_nodes:
        raise InputError(f"Bad input_nodes from {int(found.min())} to {int(found.max())}, expected {expected}")
    return found.long()


def checked_counts(num_neighbors: Any) -> list[int]:
    """The number of neighbours for each hop.

    Raises:
        InputError: no list of whole numbers, or a number below -1.
    """
    counts = plain_value(list(num_neighbors)) if hasattr(num_neighbors, "__iter__") else [num_neighbors]
    are_counts = bool(counts) and all(type(count) is int and -1 <= count < 2**31 for count in counts)
    if not are_counts or not hasattr(num_neighbors, "__iter__"):
        raise InputError(
            f"Bad num_neighbors {shown(num_neighbors)}, expected a list with a count (or -1 = all) for each hop"
        )
    return counts


def check_edges(edge_index: Any, n_nodes: int, weight: Any, weight_name: str) -> None:
    """Refuse edges that lead to no node, and weights that do not fit them."""
    is_pairs = isinstance(edge_index, Tensor) and edge_index.ndim == 2 and len(edge_index) == 2
    if not is_pairs or edge_index.dtype not in (torch.int64, torch.int32):
        given = f"{list(edge_index.shape)} {edge_index.dtype}" if isinstance(edge_index, Tensor) else edge_index
        raise InputError(f"Bad edge_index {shown(given)}, expected [2, number of edges] of int64")
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < n_nodes:
        raise InputError(
            f"edge_index of the graph runs from {int(edge_index.min())} to {int(edge_index.max())}, expected nodes "
            f"from 0 to {n_nodes - 1}"
        )
    if weight is None:
        return
    n_edges = edge_index.shape[1]
    if not isinstance(weight, Tensor) or tuple(weight.shape) != (n_edges,) or not torch.isfinite(weight).all():
        raise InputError(f"Bad {weight_name} of the graph, expected a finite weight for each of {n_edges:,} edges")
