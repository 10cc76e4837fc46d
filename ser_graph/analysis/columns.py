"""A column of the clip table as codes, the input of all analyses of groups of clips."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.corpora.vocabulary import NUMBERS
from ser_graph.errors import bad_value
from ser_graph.graph.agreement import CODES
from ser_graph.graph.clip_graph import ClipGraph, check_is_graph

USUAL = ("emotion", "speaker", "gender", "sentence")


def usual_columns(data: ClipGraph) -> list[str]:
    """The columns of `USUAL` that the clip table has, as text."""
    return [column for column in USUAL if column in text_columns(data)]


def column_codes(data: ClipGraph, by: str = "emotion") -> tuple[list[str], Tensor]:
    """The values of a text column of the clip table, and the code of each clip.

    Args:
        data: the graph.
        by: a column that contains text: `emotion`, `speaker`, `gender`, `split`, or a further column of the corpus,
            e.g. `sentence`, `intensity`, `language`.

    Returns:
        Two things:

        - the values in code order: for `emotion`, `speaker` and `gender`, those of ``data.meta.names``; for
          other columns, the values that occur, sorted;
        - the codes, [N] int64, -1 = unknown.

    Raises:
        InputError: no such column, a column of numbers, or codes that contradict the table.

    Examples:
        >>> data = ClipGraph(num_nodes=3)
        >>> data.table = pd.DataFrame({"sentence": ["b", None, "a"]})
        >>> column_codes(data, "sentence")
        (['a', 'b'], tensor([ 1, -1,  0]))
    """
    check_is_graph(data)
    table = data.table  # refuses codes that contradict the names
    if by in CODES:
        return list(data.meta.names[by]), data[CODES[by]]
    if by not in text_columns(data):
        raise bad_value("column", by, text_columns(data))
    names, codes = text_codes(table[by])
    return names, torch.from_numpy(codes)


def text_codes(values: pd.Series) -> tuple[list[str], np.ndarray]:
    """The values as sorted text, and the code of each row, int64, -1 = missing."""
    names = sorted(map(str, values.dropna().unique()))
    texts = values.astype(object).where(values.isna(), values.astype(str))
    return names, pd.Categorical(texts, categories=names).codes.astype("int64")


def text_columns(data: ClipGraph) -> list[str]:
    """The columns that can group the clips, in the order of the clip table."""
    check_is_graph(data)
    return [str(column) for column in data.table if column not in NUMBERS and _holds_names(data.table[column])]


def _holds_names(values: pd.Series) -> bool:
    return not pd.api.types.is_float_dtype(values) or bool(values.isna().all())
