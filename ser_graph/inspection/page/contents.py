"""What a page shows of a graph: which clips, their columns, their edges."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex

from ser_graph.colors import value_colors
from ser_graph.corpora.vocabulary import NUMBERS
from ser_graph.errors import InputError, bad_value
from ser_graph.graph import ClipGraph

MOST_CLIPS = 20_000
_MOST_COLORED = 100  # a column of more values, e.g. a clip's transcript, is shown and searched but not coloured


def chosen_rows(data: ClipGraph, ego: str | None, hops: int, sample: int | None, seed: int) -> np.ndarray:
    """The nodes that a page shows, ascending: all, those around a clip, or a sample.

    Args:
        data: the graph.
        ego: file of a clip; with it, the clips that `hops` steps along edges lead to, whatever their direction.
        hops: steps.
        sample: so many clips, drawn without regard to anything.
        seed: of the sample.

    Raises:
        InputError: no such clip, both `ego` and `sample`, or more clips than a page can show.
    """
    n = data.num_nodes
    if ego is not None and sample is not None:
        raise InputError("Both ego and sample were given, expected one of them")
    if ego is not None:
        return _around(data, ego, hops)
    if sample is not None:
        if sample < 1:
            raise InputError(f"Bad sample {sample}, expected at least 1 clip")
        return np.sort(np.random.default_rng(seed).choice(n, min(sample, n), replace=False))
    if n > MOST_CLIPS:
        raise InputError(
            f"A page shows at most {MOST_CLIPS:,} clips, the graph has {n:,}; take a sample (sample=10000) or what "
            "is around a clip (ego=)"
        )
    return np.arange(n)


def _around(data: ClipGraph, file: str, hops: int) -> np.ndarray:
    reached = np.zeros(data.num_nodes, dtype=bool)
    reached[data.node(file)] = True
    source, target = data.edge_index.numpy()
    for _ in range(hops):
        further = np.concatenate([source[reached[target]], target[reached[source]]])
        reached[further] = True
    return reached.nonzero()[0]


def page_columns(data: ClipGraph, rows: np.ndarray, extra: pd.DataFrame) -> list[dict[str, Any]]:
    """Everything that is known of the clips, a dictionary a column.

    Text: `values` (those that occur, sorted), `codes` (-1 = unknown) and `colors`, None where there are too many.
    Numbers: `numbers`, None = unknown.

    Args:
        data: the graph.
        rows: [M] the nodes shown.
        extra: further columns, a row for each node of the graph.
    """
    edges = data.edge_index.numpy()
    degrees = {"neighbours": edges[1], "neighbour of": edges[0]}
    frame = pd.concat([data.table, extra], axis=1)
    for name, ends in degrees.items():
        frame[name] = np.bincount(ends, minlength=data.num_nodes)
    return [_column(str(name), frame[name].iloc[rows]) for name in frame]


def check_color_column(columns: list[dict[str, Any]], by: str) -> None:
    """Refuse a column that clips cannot be coloured by."""
    colored = [column["name"] for column in columns if "numbers" in column or column["colors"] is not None]
    if by not in colored:
        raise bad_value("column", by, colored)


def _column(name: str, values: pd.Series) -> dict[str, Any]:
    is_number = name in NUMBERS or pd.api.types.is_numeric_dtype(values)
    if is_number and not pd.api.types.is_bool_dtype(values):
        return {"name": name, "numbers": _plain(values)}
    texts = values.astype(object).where(values.isna(), values.astype(str))
    names = sorted(texts.dropna().unique())
    codes = pd.Categorical(texts, categories=names).codes.tolist()
    colors = value_colors("emotion" if name in ("predicted", "suggested") else name, names)
    return {
        "name": name,
        "values": names,
        "codes": codes,
        "colors": [colors[value] for value in names] if len(names) <= _MOST_COLORED else None,
    }


def _plain(values: pd.Series) -> list[float | None]:
    """Four significant digits: nobody reads more on a page."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.astype(float)]


def page_edges(data: ClipGraph, rows: np.ndarray) -> dict[str, list[Any]]:
    """The edges among some clips, by their places on the page: `source` -> `target` and `similarity`."""
    place = np.full(data.num_nodes, -1)
    place[rows] = np.arange(len(rows))
    source, target = place[data.edge_index.numpy()]
    inside = (source >= 0) & (target >= 0)
    similarity = data.edge_weight.numpy()[inside]
    return {
        "source": source[inside].tolist(),
        "target": target[inside].tolist(),
        "similarity": [round(float(value), 4) for value in similarity],
    }


def prediction_columns(data: ClipGraph, predictions: pd.DataFrame) -> pd.DataFrame:
    """`predicted`, `p(predicted)` and `outcome` of the clips that a student has judged, a row a node.

    Args:
        data: the graph.
        predictions: a table by file as `predict` returns it; it may hold some of the clips only.

    Raises:
        InputError: no column `predicted`, or no clip of the graph among the predictions.
    """
    if "predicted" not in predictions:
        raise InputError(f"The predictions have no column 'predicted', but {list(predictions)[:6]}")
    table = data.table
    known = predictions.reindex(table.index)
    if not known["predicted"].notna().any():
        raise InputError(
            f"None of the {len(predictions):,} predictions is of a clip of the graph (the first is of "
            f"{predictions.index[0] if len(predictions) else 'nothing'}); predict with this graph"
        )
    judged = known["predicted"].notna() & table["emotion"].notna()
    right = (known["predicted"] == table["emotion"]).map({True: "right", False: "wrong"})
    columns = pd.DataFrame({"predicted": known["predicted"], "outcome": right.where(judged)}, index=table.index)
    probabilities = [name for name in known if str(name).startswith("p_")]
    if probabilities:
        columns["p(predicted)"] = known[probabilities].max(axis=1)
    return columns


def gradient() -> list[str]:
    """256 colours from low to high, legible for readers with a colour vision deficiency (cividis)."""
    return [to_hex(color) for color in colormaps["cividis"](np.arange(256))]
