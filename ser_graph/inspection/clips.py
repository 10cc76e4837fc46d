"""One clip of a graph: its node, its neighbours, and its description in a picture."""

from pathlib import PurePosixPath

from ser_graph.analysis import nodes_in_scope
from ser_graph.common.colors import UNKNOWN_COLOR, value_colors
from ser_graph.corpora import originals
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph


def clip_node(data: ClipGraph, clip: str | int) -> int:
    """The node of a clip, from its file or its number.

    Raises:
        InputError: no such clip.
    """
    if isinstance(clip, str):
        return data.node(clip)
    if not 0 <= clip < data.num_nodes:
        raise InputError(f"No clip {clip} in the graph, expected a file or a number from 0 to {data.num_nodes - 1}")
    return int(clip)


def neighbours_of(data: ClipGraph, node: int, *, reverse: bool = False) -> tuple[list[int], list[float]]:
    """The neighbours of a clip and their similarities, nearest first; or the clips that have it as a neighbour."""
    there, here = (1, 0) if reverse else (0, 1)
    edges = (data.edge_index[here] == node).nonzero()[:, 0]
    edges = edges[data.edge_weight[edges].argsort(descending=True, stable=True)]
    return data.edge_index[there, edges].tolist(), data.edge_weight[edges].tolist()


def why_alone(data: ClipGraph, node: int) -> str:
    """Why a clip has no neighbours, for a picture."""
    if not originals(data.table)[node]:
        return "no neighbours: copies at other speeds have no edges"
    if not nodes_in_scope(data)[node]:
        return f"no neighbours: only {data.meta.settings.scope} clips have edges"
    return f"no neighbours: no clip is more similar than epsilon {data.meta.measured.epsilon}"


def describe(data: ClipGraph, node: int, similarity: float | None = None) -> str:
    """A clip in one line: emotion, speaker, similarity, file."""
    row = data.table.iloc[node]
    known = [str(row[column]) for column in ("emotion", "speaker") if isinstance(row[column], str)]
    known += [] if similarity is None else [f"similarity {similarity:.3f}"]
    return ", ".join([*known, PurePosixPath(str(row.name)).name])


def clip_color(data: ClipGraph, node: int) -> str:
    """The colour of a clip's emotion."""
    code = int(data.y[node])
    if code < 0:
        return UNKNOWN_COLOR
    return value_colors("emotion", data.emotions)[data.emotions[code]]
