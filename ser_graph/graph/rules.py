"""Rules that exclude near clips from the neighbours."""

import pandas as pd
import torch
from torch import Tensor

from ser_graph.corpora.vocabulary import NUMBERS
from ser_graph.errors import bad_value


def group_codes(table: pd.DataFrame, columns: tuple[str, ...]) -> Tensor | None:
    """The columns in which neighbours must differ, as codes.

    Returns:
        [N, C] int64, -1 = missing; None without columns.

    Raises:
        InputError: no such column, or a column without values or with numbers.
    """
    if not columns:
        return None
    known = [str(name) for name in table if name not in NUMBERS and table[name].notna().any()]
    for column in columns:
        if column not in known:
            raise bad_value("column in across", column, known)
    codes = [torch.from_numpy(pd.factorize(table[column])[0].astype("int64")) for column in columns]
    return torch.stack(codes, dim=1)


def mutual_edges(edge_index: Tensor, n: int) -> Tensor:
    """[E] bool: whether the opposite edge exists too.

    Examples:
        >>> mutual_edges(torch.tensor([[1, 0, 2], [0, 1, 0]]), 3).tolist()
        [True, True, False]
    """
    source, target = edge_index
    return torch.isin(source * n + target, target * n + source)
