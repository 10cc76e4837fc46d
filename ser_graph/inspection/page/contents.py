"""The content of a page: the clips of a graph, their columns, and their edges."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex

from ser_graph.analysis.columns import text_codes
from ser_graph.common.colors import value_colors
from ser_graph.corpora.vocabulary import NUMBERS
from ser_graph.errors import InputError, bad_value
from ser_graph.graph import ClipGraph

MOST_CLIPS = 20_000
_EMOTIONS = ("emotion", "predicted", "suggested")  # columns with emotions
_MOST_COLORED = 100  # with more values, e.g. transcripts, a column is shown and searched but gives no colours


def page_rows(data: ClipGraph, ego: str | None, hops: int, sample: int | None, seed: int) -> np.ndarray:
    """The nodes that a page shows, ascending: all, those within `hops` edges of the file `ego`, or a random sample.

    Raises:
        InputError: no such clip, both `ego` and `sample`, or more clips than a page can show.
    """
    n = data.num_nodes
    if ego is not None and sample is not None:
        raise InputError("Both ego and sample were given, expected one of them")
    if sample is not None and sample < 1:
        raise InputError(f"Bad sample {sample}, expected at least 1 clip")
    if hops < 0:
        raise InputError(f"Bad hops {hops}, expected 0 or more")
    if ego is not None:
        rows = _around(data, ego, hops)
    elif sample is not None:
        rows = np.sort(np.random.default_rng(seed).choice(n, min(sample, n), replace=False))
    else:
        rows = np.arange(n)
    if len(rows) > MOST_CLIPS:
        raise InputError(
            f"A page shows at most {MOST_CLIPS:,} clips, here are {len(rows):,}; draw a sample (sample=10000), "
            "or show only the clips around one clip (ego=, hops=1)"
        )
    return rows


def _around(data: ClipGraph, file: str, hops: int) -> np.ndarray:
    reached = np.zeros(data.num_nodes, dtype=bool)
    reached[data.node(file)] = True
    source, target = data.edge_index.numpy()
    for _ in range(hops):
        further = np.concatenate([source[reached[target]], target[reached[source]]])
        reached[further] = True
    return reached.nonzero()[0]


def page_columns(data: ClipGraph, rows: np.ndarray, extra: pd.DataFrame) -> list[dict[str, Any]]:
    """All columns of the clips, one dictionary per column.

    Text: `values` (the occurring values, sorted), `codes` (-1 = unknown) and `colors`, None if there are too many
    values. Numbers: `numbers`, None = unknown; those of the clip table are exact. The colours belong to the whole
    graph, so they do not depend on the clips shown. An emotion has the same colour in every column.

    Args:
        data: the graph.
        rows: [M] the nodes shown.
        extra: further columns, one row per node of the graph; they replace columns of the clip table with the same
            name.
    """
    frame = pd.concat([data.table.drop(columns=list(extra), errors="ignore"), extra], axis=1)
    source, target = data.edge_index.numpy()
    frame["neighbours"] = np.bincount(target, minlength=data.num_nodes)
    frame["neighbour of"] = np.bincount(source, minlength=data.num_nodes)
    emotions = pd.concat([_texts(frame[name]) for name in _EMOTIONS if name in frame])
    columns: list[dict[str, Any]] = []
    for name, values in frame.items():
        if _holds_numbers(str(name), values):
            in_table = name in data.table and name not in extra  # exact, because the page can save it
            columns.append({"name": str(name), "numbers": _plain(values.iloc[rows], exact=in_table)})
        else:
            texts = _texts(values)
            colors = value_colors("emotion", emotions) if name in _EMOTIONS else value_colors(str(name), texts)
            columns.append({"name": str(name), **_coded(texts.iloc[rows], colors)})
    return columns


def check_color_column(columns: list[dict[str, Any]], by: str) -> None:
    """Refuse a column that cannot colour the clips."""
    colored = [column["name"] for column in columns if "numbers" in column or column["colors"] is not None]
    if by not in colored:
        raise bad_value("column", by, colored)


def _holds_numbers(name: str, values: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(values):
        return False
    return name in NUMBERS or pd.api.types.is_numeric_dtype(values)


def _texts(values: pd.Series) -> pd.Series:
    """The values as text; None for missing values."""
    return values.astype(str).astype(object).where(values.notna(), None)


def _coded(texts: pd.Series, colors: dict[str, str]) -> dict[str, Any]:
    names, codes = text_codes(texts)
    return {
        "values": names,
        "codes": codes.tolist(),
        "colors": [colors[name] for name in names] if len(names) <= _MOST_COLORED else None,
    }


def label_colors(data: ClipGraph) -> dict[str, dict[str, str]]:
    """The values that a corrected label may need, with their colours: the graph's emotions, and right or wrong."""
    return {
        "emotion": value_colors("emotion", data.emotions),
        "outcome": value_colors("outcome", ["right", "wrong"]),
    }


def _plain(values: pd.Series, *, exact: bool) -> list[float | None]:
    """Numbers, None for missing ones; unless `exact`, rounded to four significant digits, enough for a page."""
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    plain = float if exact else _rounded
    return [plain(number) if np.isfinite(number) else None for number in numbers]


def _rounded(number: float) -> float:
    return number if number.is_integer() else float(f"{number:.4g}")


def page_edges(data: ClipGraph, rows: np.ndarray) -> dict[str, list[Any]]:
    """The edges between the clips shown, by their positions on the page: `source` -> `target`, `similarity`."""
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
    """`predicted`, `outcome` and, with probabilities, `p(predicted)` of the clips, one row per node.

    The predictions may contain only some of the clips.

    Raises:
        InputError: no column `predicted`, a file twice, or no clip of the graph among the predictions.
    """
    if "predicted" not in predictions:
        raise InputError(f"The predictions have no column 'predicted', but {list(predictions)[:6]}")
    if predictions.index.has_duplicates:
        twice = predictions.index[predictions.index.duplicated()][0]
        raise InputError(f"The predictions contain {twice} twice, expected one row per file")
    table = data.table
    known = predictions.reindex(table.index)
    if not known["predicted"].notna().any():
        raise InputError(
            f"None of the {len(predictions):,} predictions is for a clip of the graph (the first is for "
            f"{predictions.index[0] if len(predictions) else 'nothing'}); predict with this graph"
        )
    predicted = known["predicted"].astype(object)
    judged = predicted.notna() & table["emotion"].notna()
    right = (predicted == table["emotion"].astype(object)).map({True: "right", False: "wrong"})
    columns = pd.DataFrame({"predicted": predicted, "outcome": right.where(judged)}, index=table.index)
    for emotion in predicted.dropna().unique():
        if f"p_{emotion}" in known:
            columns.loc[predicted == emotion, "p(predicted)"] = known[f"p_{emotion}"]
    return columns


def gradient() -> list[str]:
    """256 colours from low to high, legible for readers with a colour vision deficiency (cividis)."""
    return [to_hex(color) for color in colormaps["cividis"](np.arange(256))]
