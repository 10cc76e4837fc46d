"""What makes neighbours agree: the same embeddings, joined by each option of the graph.

    python benchmarks/graph_options.py GRAPH [GRAPH ...] [--n-neighbors 6]

For each stored graph and option: the share of edges among training clips that join one emotion, one speaker, and
the share of clips that have a neighbour. Chance stands in the first line. Options that look at training labels are
marked. Beside it, what the teacher itself knows of the test speakers' emotions (UAR).
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

import ser_graph as sg
from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.graph import ClipGraph

CENTERED = sg.Space(center="speaker")
OPTIONS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "corpus centred": {"space": sg.Space(center="corpus")},
    "speaker centred": {"space": CENTERED},
    "speaker centred and scaled": {"space": sg.Space(center="speaker", scale=True)},
    "whitened": {"space": sg.Space(whiten=True)},
    "other speakers only": {"rules": sg.EdgeRules(across=("speaker",))},
    "speaker centred, other speakers only": {"space": CENTERED, "rules": sg.EdgeRules(across=("speaker",))},
    "other sentences only": {"rules": sg.EdgeRules(across=("sentence",))},
    "mutual": {"rules": sg.EdgeRules(mutual=True)},
    "local scaling": {"rules": sg.EdgeRules(local_scaling=True)},
    "half of the clips covered": {"epsilon": "coverage:0.5"},
    "speaker centred, half covered": {"space": CENTERED, "epsilon": "coverage:0.5"},
    "epsilon by agreement (labels)": {"epsilon": "agreement"},
    "speaker centred, by agreement (labels)": {"space": CENTERED, "epsilon": "agreement"},
}
FIGURES = {"emotion": "homophily", "speaker": "same_speaker", "coverage": "coverage"}


def shares(data: ClipGraph, n_neighbors: int) -> pd.DataFrame:
    """A row for each option: shares of edges that join one emotion and one speaker, and coverage."""
    stored = {"emb": data.emb, "x": data.x, "features": LogMelSettings(**data.meta["features"])}
    rows: dict[str, dict[str, float]] = {}
    for name, option in OPTIONS.items():
        try:
            settings = {"epsilon": None, "n_neighbors": n_neighbors, **option}
            graph = sg.build_graph(data.table, **stored, **settings, progress=False)
        except sg.InputError as error:
            print(f"{name}: {error}")
            continue
        figures = sg.graph_statistics(graph)
        if not rows:
            rows["chance"] = {"emotion": figures["homophily_chance"], "speaker": figures["same_speaker_chance"]}
        rows[name] = {key: figures[figure] for key, figure in FIGURES.items()}
    return pd.DataFrame(rows).T


def teacher(data: ClipGraph) -> pd.DataFrame:
    """UAR on test of what needs the teacher at inference, with all labels and with a tenth of them."""
    rows = {}
    for fraction in (1.0, 0.1):
        mask = sg.labelled_nodes(data, label_fraction=fraction)
        for space, words in ((sg.Space(), ""), (CENTERED, ", speaker centred")):
            for name, method in (("linear probe", sg.teacher_probe), ("label propagation", sg.label_propagation)):
                found = sg.evaluate(method(data, label_mask=mask, space=space, split="test"))
                key = f"{name}{words}, {fraction:.0%} of the labels"
                rows[key] = {name: found[name] for name in ("uar", "uar_low", "uar_high")}
    return pd.DataFrame(rows).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", type=Path, nargs="+")
    parser.add_argument("--n-neighbors", type=int, default=6)
    arguments = parser.parse_args()
    for folder in arguments.graphs:
        data = sg.load_graph(folder)
        print(f"\n{data.meta['corpus']}: {int(data.train_mask.sum()):,} training clips")
        for table in (shares(data, arguments.n_neighbors), teacher(data)):
            print(f"\n{table.mul(100).round(1).to_string()}")


if __name__ == "__main__":
    main()
