"""Results of a run as readable tables."""

from collections.abc import Sequence
from typing import Any

import pandas as pd


def students_table(results: dict[str, Any]) -> pd.DataFrame:
    """The students of a `results.json`, one row each, indexed by name."""
    return pd.DataFrame(results["students"]).set_index("name")


def short_names(names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Names of students without the parts that all of them share.

    Returns:
        Each name with its short form, and the parts that are left out. One student keeps its name.

    Examples:
        >>> short_names(["cnn6-nsl-seed0", "cnn6-baseline-seed0"])
        ({'cnn6-nsl-seed0': 'nsl', 'cnn6-baseline-seed0': 'baseline'}, ['cnn6', 'seed0'])
    """
    parts = {name: name.split("-") for name in names}
    if len(parts) < 2:
        return {name: name for name in names}, []
    shared = [part for part in parts[names[0]] if all(part in other for other in parts.values())]
    return {name: "-".join(part for part in own if part not in shared) for name, own in parts.items()}, shared


def format_results(results: dict[str, Any]) -> str:
    """The results of a run as plain text of at most 110 columns."""
    graph, upstream, n_speakers = results["graph"], results["upstream"], results["n_test_speakers"]
    lines = [f"{results['name']}: {results['title']}", ""]
    if upstream.get("test_accuracy") is not None:
        lines += [
            f"Upstream   {upstream['n_params'] / 1e6:.1f} M parameters, accuracy on {upstream['corpus']}: "
            f"dev {_percent(upstream['dev_accuracy'])}, test {_percent(upstream['test_accuracy'])}"
        ]
    lines += [
        f"Graph      {graph['n_clips']:,} clips, {graph['n_edges']:,} edges among {graph['n_in_scope']:,} training "
        f"clips, coverage {_percent(graph['coverage'])}",
        f"           same emotion {_percent(graph['homophily'])} (chance {_percent(graph['homophily_chance'])}), "
        f"same speaker {_percent(graph['same_speaker'])} (chance {_percent(graph['same_speaker_chance'])})",
        f"Test       {results['n_test']:,} clips of {n_speakers} speaker{'s' * (n_speakers != 1)}, none in training"
        if not results["shared_speakers"]
        else f"Test       {results['n_test']:,} clips; speakers also in training: {results['shared_speakers']}",
        "",
    ]
    names, shared = short_names([student["name"] for student in results["students"]])
    rows = [
        {
            "student": names[student["name"]],
            "accuracy [95 %]": _interval(student, "accuracy"),
            "UAR [95 %]": _interval(student, "uar"),
            "size": "-" if student["size_mb"] is None else f"{student['size_mb']:.1f} MB",
            "one clip": _one_clip(student),
        }
        for student in results["students"]
    ]
    lines.append(pd.DataFrame(rows).to_string(index=False))
    lines += ["", f"All students share: {', '.join(shared)}."] if shared else [""]
    lines += [
        "Intervals by bootstrap over test speakers; latency on one CPU thread, waveform to probabilities.",
    ]
    return "\n".join(lines)


def markdown_table(table: pd.DataFrame) -> str:
    r"""A table of texts as Markdown, without its index.

    Examples:
        >>> print(markdown_table(pd.DataFrame({"student": ["a|b"], "UAR": ["78.9"]})))
        | student | UAR |
        | --- | --- |
        | a\|b | 78.9 |
    """
    rows = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def latex_table(table: pd.DataFrame, caption: str, label: str) -> str:
    r"""A table of texts as LaTeX (package booktabs), without its index.

    Examples:
        >>> print(latex_table(pd.DataFrame({"student": ["a_b"]}), "Students, in %", "tab:students"))
        \begin{table}
        \caption{Students, in \%}
        \label{tab:students}
        \begin{tabular}{l}
        \toprule
        student \\
        \midrule
        a\_b \\
        \bottomrule
        \end{tabular}
        \end{table}
    """
    texts = table.astype(str)
    caption = caption.replace("%", "\\%").replace("_", "\\_")
    return texts.to_latex(index=False, escape=True, caption=caption, label=label).rstrip()


def mean_and_deviation(mean: float, deviation: float) -> str:
    """A mean in percent, with its deviation if there are several seeds.

    Examples:
        >>> mean_and_deviation(0.5, 0.02), mean_and_deviation(0.5, float("nan"))
        ('50.0 ± 2.0', '50.0')
    """
    if pd.isna(mean):
        return "-"
    return f"{100 * mean:.1f}" + ("" if pd.isna(deviation) else f" ± {100 * deviation:.1f}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _one_clip(student: dict[str, Any]) -> str:
    if student["latency_ms"] is not None:
        return f"{student['latency_ms']:.0f} ms"
    return "needs upstream" if student["transfer"] != "none" else "-"


def _interval(student: dict[str, Any], name: str) -> str:
    low, high = student[f"{name}_low"], student[f"{name}_high"]
    bounds = "one speaker" if low is None else f"{100 * low:.1f}-{100 * high:.1f}"
    return f"{100 * student[name]:.1f} [{bounds}]"
