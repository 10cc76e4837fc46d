"""All numbers about a graph: as tables, as text, as JSON."""

from collections.abc import Callable
from functools import cache
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd

from ser_graph.analysis.assortativity import homophily
from ser_graph.analysis.bridges import bridge_clips, bridge_pairs
from ser_graph.analysis.card import graph_card
from ser_graph.analysis.columns import column_codes, usual_columns
from ser_graph.analysis.duplicates import near_duplicates, nearest_clips
from ser_graph.analysis.groups import community_statistics, subgraph_statistics
from ser_graph.analysis.mixing import MOST_VALUES, mixing_table
from ser_graph.analysis.scores import score_clips
from ser_graph.analysis.splits import leakage
from ser_graph.analysis.statistics import degree_distribution, graph_statistics
from ser_graph.common.progress import progress_bar
from ser_graph.graph.clip_graph import ClipGraph, check_is_graph

Report = dict[str, Any]
"""The tables of `graph_report` by name, each a Series or a DataFrame."""

_WIDTH = 110
_VALUES = 9  # maximum number of values of a column side by side
_ROWS = 12  # maximum number of rows of a table
_PAIRS = 5
_CLIPS = 10


def graph_report(
    data: ClipGraph,
    by: str = "emotion",
    *,
    n_permutations: int = 1000,
    n_neighbors: int = 10,
    n_sources: int = 32,
    seed: int = 0,
    progress: bool = True,
) -> Report:
    """All tables about a graph.

    Args:
        data: the graph.
        by: the text column of the clip table that groups the clips, see `column_codes`.
        n_permutations: for `mixing_table` and `homophily`.
        n_neighbors: for `score_clips`.
        n_sources: number of clips from which `bridge_clips` samples betweenness.
        seed: random seed of all draws.
        progress: show a progress bar if the report takes longer than two seconds.

    Returns:
        By name: `settings`, the arguments; `card` (`graph_card`); `statistics` (`graph_statistics`); `degrees`
        (`degree_distribution`); `subgraphs` (`subgraph_statistics`); `mixing` (`mixing_table`) and `bridge_pairs`,
        both without rows if the column has more than 500 values; `homophily`; `bridge_clips`; `communities`
        (`community_statistics`); `near_duplicates`; `leakage`; `scores` (`score_clips`).

    Raises:
        InputError: no such column, or tensors that do not agree, see `ClipGraph.check`.
    """
    check_is_graph(data)
    data.check()
    settings = {
        "by": by,
        "n_permutations": n_permutations,
        "n_neighbors": n_neighbors,
        "betweenness_sources": n_sources,
        "seed": seed,
    }
    report: Report = {"settings": pd.Series(settings, name="settings", dtype=object)}
    for name, make in (
        bar := progress_bar(
            report_parts(data, report).items(), unit="part", delay=2, leave=False, disable=not progress
        )
    ):
        bar.set_description(name.replace("_", " "), refresh=False)
        report[name] = make()
    return report


def report_parts(data: ClipGraph, report: Report) -> dict[str, Callable[[], pd.Series | pd.DataFrame]]:
    """The function that makes each part of a report, in order; see `graph_report`.

    `report` has its `settings`. The caller adds each part, because later parts use `near_duplicates`.
    """
    by, n_permutations, n_neighbors, n_sources, seed = report["settings"]
    columns = list(dict.fromkeys([by, *usual_columns(data)]))
    chance = {"n_permutations": n_permutations, "seed": seed}
    nearest = cache(lambda: nearest_clips(data, max(n_neighbors, 3)))
    has_pairs = len(column_codes(data, by)[0]) <= MOST_VALUES
    return {
        "card": lambda: graph_card(data, n_permutations=n_permutations or 1000, seed=seed),
        "statistics": lambda: graph_statistics(data),
        "degrees": lambda: degree_distribution(data),
        "subgraphs": lambda: subgraph_statistics(data, by),
        "mixing": lambda: mixing_table(data, by, **chance) if has_pairs else pd.DataFrame(),
        "homophily": lambda: homophily(data, columns, **chance),
        "bridge_pairs": lambda: bridge_pairs(data, by) if has_pairs else pd.DataFrame(),
        "bridge_clips": lambda: bridge_clips(data, by, n_sources=n_sources, seed=seed),
        "communities": lambda: community_statistics(data, columns, seed=seed),
        "near_duplicates": lambda: near_duplicates(data, nearest=nearest()),
        "leakage": lambda: leakage(data, duplicates=report["near_duplicates"]),
        "scores": lambda: score_clips(
            data, by, n_neighbors=n_neighbors, nearest=nearest(), duplicates=report["near_duplicates"]
        ),
    }


def report_json(report: Report) -> dict[str, Any]:
    """A report for other programs: statistics as objects, tables as lists of rows, null for missing values.

    Examples:
        >>> report_json({"degrees": pd.DataFrame({"in_degree": [1.5, np.nan]}).rename_axis("degree")})
        {'degrees': [{'degree': 0, 'in_degree': 1.5}, {'degree': 1, 'in_degree': None}]}
    """
    return {name: _plain(part) for name, part in report.items()}


def _plain(part: pd.Series | pd.DataFrame) -> Any:
    if isinstance(part, pd.Series):
        return part.astype(object).where(part.notna(), None).to_dict()
    rows = _with_index(part).astype(object)
    return rows.where(rows.notna(), None).to_dict("records")


def _with_index(table: pd.DataFrame) -> pd.DataFrame:
    """The index as columns, unless it only numbers the rows."""
    if all(name is None for name in table.index.names):
        return table.reset_index(drop=True)
    # A column of the user may have the name of our column, e.g. "clips".
    return table.reset_index(names=[f"{name}{'_' * (name in table)}" for name in table.index.names])


def format_statistics(statistics: pd.Series) -> str:
    """Statistics in three columns, at most 110 characters wide.

    Examples:
        >>> print(format_statistics(pd.Series({"n_clips": 1200, "hubness": np.nan}, dtype=object)))
        n_clips                     1,200     hubness                         -
    """
    cells = [f"{name:22} {_number(value):>10}" for name, value in statistics.items()]
    height = -(-len(cells) // 3)
    return "\n".join("     ".join(cells[row::height]) for row in range(height))


def format_report(report: Report) -> str:
    """A report as text of at most 110 columns: the statistics, and the most important rows of each table."""
    settings = report["settings"]
    by = settings["by"]
    shuffled = f"{settings['n_permutations']:,} shufflings"
    sections = {
        "What it can teach": fill(report["card"]["text"], _WIDTH),
        "Graph": format_statistics(report["statistics"]),
        f"Clips of each {by}": _table(report["subgraphs"]),
        f"Edges from neighbour (across) to clip (down), observed / expected; * p < 0.05 by {shuffled}": _mixing(
            report["mixing"], by
        ),
        f"Homophily; chance and its 95 % interval by {shuffled} of the labels": _table(
            report["homophily"], rows=99
        ),
        "Most edges between two values": _table(report["bridge_pairs"], rows=_PAIRS),
        _bridges_title(report): _table(report["bridge_clips"], rows=_PAIRS),
        "Communities (Louvain) compared with labels": _table(report["communities"], rows=99),
        "Shared by two splits": _table(report["leakage"]),
        "Near-identical clips": _table(report["near_duplicates"], rows=_CLIPS),
        "Most suspicious clips (0 to 1, low is bad)": _table(
            report["scores"].rename(columns=lambda name: name.removesuffix("_score")), rows=_CLIPS
        ),
    }
    return "\n\n".join(f"{title}\n\n{body}" for title, body in sections.items())


def _bridges_title(report: Report) -> str:
    sources, n = report["bridge_clips"].attrs["betweenness_sources"], report["statistics"]["n_in_scope"]
    sampled = f"betweenness sampled from {sources:,} of {n:,} clips" if sources < n else "betweenness is exact"
    return f"Clips that connect values; {sampled}"


def _mixing(table: pd.DataFrame, by: str) -> str:
    if table.empty:
        return _table(table)
    edges = table["edges"]
    ends = edges.groupby(by, sort=False).sum() + edges.groupby("neighbour", sort=False).sum()
    values = ends.index[ends > 0]
    table = table[table.index.isin(values, level=0) & table.index.isin(values, level=1)]
    if len(values) > _VALUES or not len(values):
        excess = table["edges"] - table["expected"]
        return _table(table.loc[excess.sort_values(ascending=False, kind="stable").index])
    cells = [
        f"{_number(ratio, 2)}{'*' if p < 0.05 else ' '}" for ratio, p in table[["ratio", "p_value"]].to_numpy()
    ]
    return _table(pd.DataFrame(np.reshape(cells, (len(values), -1)), values, values))


def _table(table: pd.DataFrame, rows: int = _ROWS) -> str:
    """The first rows of a table; long names lose their beginning until the table is narrow enough."""
    if table.empty:
        return "none"
    shown = _with_index(table.head(rows)).map(lambda value: value if isinstance(value, str) else _number(value))
    for longest in range(40, 7, -1):
        shown.columns = [_cut(str(column), longest) for column in shown.columns]
        text = shown.map(_cut, width=longest).to_string(index=False)
        if text.index("\n") <= _WIDTH:
            break
    return text + (f"\n... and {len(table) - rows:,} more" if len(table) > rows else "")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[1 - width :]


def _number(value: Any, digits: int = 4) -> str:
    if value is None or value != value:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
