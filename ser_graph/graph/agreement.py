"""The clip table and the tensors of a graph: the codes of each column, and whether table and tensors still agree.

The node tensor `clip` ties nodes to rows: it contains a number for each file name. An operation that drops, splits
or reorders nodes does the same to `clip`, and the rows of the table follow it. A number from another graph, or a
zero that a transform of PyG gives to a new node, is not a clip of the table.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.errors import InputError, shown
from ser_graph.graph.meta import Names

CODES = {"emotion": "y", "speaker": "speaker", "gender": "gender"}
"""Column of the clip table -> the graph's tensor of its codes."""

MASKS = {"train": "train_mask", "dev": "val_mask", "test": "test_mask"}
"""Split -> name of its mask."""

TIED = ("clip", *CODES.values(), *MASKS.values())
"""The node tensors with the contents of the clip table."""

_COLUMNS = (*CODES, "split")
Edges = tuple[Tensor | None, Tensor | None]


def clip_numbers(files: Iterable[object]) -> Tensor:
    """[N] int64: a hash of each file name, the same in every graph.

    Examples:
        >>> clip_numbers(["a.wav", "b.wav", "a.wav"]).unique().numel()
        2
    """
    digests = [hashlib.blake2b(str(file).encode("utf-8", "surrogatepass"), digest_size=8) for file in files]
    return torch.from_numpy(np.frombuffer(b"".join(one.digest() for one in digests), "<i8").astype(np.int64))


def names_of(table: pd.DataFrame, known: Mapping[str, list[str]]) -> Names:
    """The names behind the codes of each column, sorted: names in the table, and names in `known`."""
    return {
        column: sorted({*known.get(column, ()), *map(str, _column(table, column).dropna().unique())})
        for column in CODES
    }


def encode(table: pd.DataFrame, names: Mapping[str, list[str]]) -> dict[str, Tensor]:
    """The contents of a clip table as tensors, with the names of each column in code order.

    Returns:
        [N] int64 codes under their names in the graph, -1 if a value is missing or not in `names`; and [N] bool
        masks.

    Examples:
        >>> table = pd.DataFrame({"emotion": ["joy", None], "split": ["test", "dev"]})
        >>> encode(table, {"emotion": ["fear", "joy"]})["y"]
        tensor([ 1, -1])
    """
    codes = {code: _codes(_column(table, column), names.get(column, [])) for column, code in CODES.items()}
    masks = {mask: (_column(table, "split") == split).to_numpy(bool) for split, mask in MASKS.items()}
    return {name: torch.tensor(values) for name, values in {**codes, **masks}.items()}


@dataclass(frozen=True)
class AgreedTable:
    """A clip table, and copies of the table, tensors and names at the last time that they agreed.

    Attributes:
        table: the table that the user reads and may change.
        kept: a copy of the table.
        tensors: copies of the tensors of `TIED`, on the CPU.
        names: a copy of the names behind the codes.
        edges: the tensors `edge_index` and `edge_weight` themselves, not copies; None if the graph has none.
    """

    table: pd.DataFrame
    kept: pd.DataFrame
    tensors: dict[str, Tensor]
    names: Names
    edges: Edges

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        tensors: Mapping[str, Tensor],
        names: Mapping[str, list[str]],
        edges: Edges,
    ) -> "AgreedTable":
        """Store a table, tensors and names that agree."""
        copies = {name: tensor.clone() for name, tensor in tensors.items()}
        return cls(table, table.copy(), copies, {column: list(of) for column, of in names.items()}, edges)

    def is_edited(self) -> bool:
        """Whether rows, names or splits of the table were changed in place."""
        return not self.table.index.equals(self.kept.index) or bool(self._edited_columns())

    def put_back(self) -> "AgreedTable":
        """Undo changes in place; further columns stay if the rows are the same."""
        if not self.table.index.equals(self.kept.index):
            table = self.kept.copy()
        else:
            table = self.table.assign(**{column: self.kept[column] for column in _COLUMNS if column in self.kept})
        return AgreedTable.of(table, self.tensors, self.names, self.edges)

    def follow(self, tensors: dict[str, Tensor], names: Mapping[str, list[str]], edges: Edges) -> "AgreedTable":
        """The table of the graph after changes of the tensors of `TIED`, the names behind the codes, or the edges.

        Rows follow `clip`, and the column `split` follows the masks.

        Raises:
            InputError: the tensors contradict the table.
        """
        if not self.is_edited() and self._is_as_it_was(tensors, names, edges):
            return self
        if not self.table.index.equals(self.kept.index):
            raise InputError(
                "The rows of the graph's table were sorted, dropped or renamed in place; choose clips with "
                "data.subgraph(rows), or assign a whole table, data.table = ..."
            )
        rows = self._rows(tensors["clip"])
        _check_edges_followed(self.edges, edges, rows)
        table = self.table
        if len(rows) != len(table) or (rows != np.arange(len(table))).any():
            table = table.iloc[rows]
        _check_codes(table, tensors, names)
        _check_masks(table, tensors)
        if "split" not in self._edited_columns():
            before = {mask: self.tensors[mask][torch.from_numpy(rows)] for mask in MASKS.values()}
            table = _with_split(table, tensors, before)
        _check_split(table, tensors)
        return AgreedTable.of(table, tensors, names, edges)

    def _is_as_it_was(self, tensors: Mapping[str, Tensor], names: Mapping[str, list[str]], edges: Edges) -> bool:
        same_edges = edges[0] is self.edges[0] and edges[1] is self.edges[1]
        same = all(torch.equal(tensors[name], self.tensors[name]) for name in TIED)
        return same_edges and same and names == self.names

    def _edited_columns(self) -> list[str]:
        return [
            column
            for column in _COLUMNS
            if (column in self.table) != (column in self.kept)
            or (column in self.kept and not _same(self.table[column], self.kept[column]))
        ]

    def _rows(self, clip: Tensor) -> np.ndarray:
        """[N] the row of each node in the table."""
        numbers, first = np.unique(self.tensors["clip"].numpy(), return_index=True)
        rows = pd.Series(first, numbers).reindex(clip.numpy(), fill_value=-1).to_numpy(copy=True)
        strange = np.flatnonzero(rows < 0)
        if len(strange):
            raise InputError(
                f"{len(strange)} of {len(clip)} nodes are not in the graph's clip table (first: {strange[0]}), "
                "e.g. because a transform added nodes or two graphs were joined; use the graph before that step"
            )
        return rows


def _codes(values: pd.Series, names: list[str]) -> np.ndarray:
    return pd.Index(names, dtype=object).get_indexer(pd.Index(values, dtype=object)).astype(np.int64)


def _column(table: pd.DataFrame, column: str) -> pd.Series:
    return table[column] if column in table else pd.Series(None, table.index, dtype=object)


def _same(one: pd.Series, other: pd.Series) -> bool:
    """Whether two columns hold the same values, possibly in different types."""
    return one.equals(other) or one.astype(object).equals(other.astype(object))


def _check_edges_followed(old: Edges, new: Edges, rows: np.ndarray) -> None:
    """Refuse nodes that moved without their edges, and edges that moved without their weights.

    `FixedPoints` of PyG moves nodes without edges. Transforms of PyG that support only `edge_attr` move edges
    without weights.
    """
    before, weight_before, after, weight = (
        None if tensor is None else tensor.detach().cpu().numpy() for tensor in (*old, *new)
    )
    if before is None or after is None or before.shape != after.shape or not after.size:
        return
    if after.min() < 0 or after.max() >= len(rows):
        return  # edges to missing nodes; `ClipGraph.check` refuses them
    moved = rows[after]  # the new edges, with the old numbers of the nodes
    if np.array_equal(before, after) and not np.array_equal(before, moved):
        raise InputError(
            "The nodes changed or moved, but edge_index did not change; choose clips with data.subgraph(rows), "
            "which changes both"
        )
    if weight is None or weight_before is None or not np.array_equal(weight_before, weight):
        return
    one, other = np.lexsort((weight, *before)), np.lexsort((weight, *moved))
    if np.array_equal(before[:, one], moved[:, other]) and not np.array_equal(weight[one], weight[other]):
        raise InputError(
            "edge_index has a new order, but edge_weight did not change; sort both, e.g. with data.sort()"
        )


def _check_codes(table: pd.DataFrame, tensors: Mapping[str, Tensor], names: Mapping[str, list[str]]) -> None:
    """Refuse codes that differ from the table, except -1: the user may hide a name in the tensors."""
    expected = encode(table, names)
    for column, code in CODES.items():
        wrong = (tensors[code] != expected[code]) & (tensors[code] != -1)
        if wrong.any():
            row = int(wrong.nonzero()[0])
            raise InputError(
                f"{code} of clip {table.index[row]} is {int(tensors[code][row])}, but its {column} in the table is "
                f"{shown(_column(table, column).iloc[row])} (code {int(expected[code][row])}); change both with "
                f"data.table = data.table.assign({column}=...)"
            )


def _check_masks(table: pd.DataFrame, tensors: Mapping[str, Tensor]) -> None:
    masks = torch.stack([tensors[mask] for mask in MASKS.values()])
    twice = masks.sum(0) > 1
    if twice.any():
        row = int(twice.nonzero()[0])
        both = " and ".join(mask for mask in MASKS.values() if tensors[mask][row])
        raise InputError(
            f"Clip {table.index[row]} is in {both}, expected at most one of {', '.join(MASKS.values())}"
        )


def _with_split(table: pd.DataFrame, tensors: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> pd.DataFrame:
    """The table with a new `split` for every clip whose masks changed."""
    changed = torch.stack([tensors[mask] != before[mask] for mask in MASKS.values()]).any(0).numpy()
    if not changed.any():
        return table
    old = _column(table, "split")
    split = old.to_numpy(object, copy=True)
    split[changed] = np.nan
    for name, mask in MASKS.items():
        split[changed & tensors[mask].numpy()] = name
    holds_text = pd.api.types.is_string_dtype(old.dtype)
    return table.assign(split=pd.Series(split, table.index, dtype=old.dtype if holds_text else object).array)


def _check_split(table: pd.DataFrame, tensors: Mapping[str, Tensor]) -> None:
    for split, mask in MASKS.items():
        wrong = (_column(table, "split") == split).to_numpy(bool) != tensors[mask].numpy()
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            value, masked = _column(table, "split").iloc[row], bool(tensors[mask][row])
            raise InputError(
                f"The split of clip {table.index[row]} is {shown(value)} in the table, but its {mask} is {masked}; "
                "change both with data.table = data.table.assign(split=...)"
            )
