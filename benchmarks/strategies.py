"""Is a cheap strategy as good as forwarding every neighbour? Students by each, on speakers left out in turn.

    python benchmarks/strategies.py benchmarks/studies/emovo.toml --out runs/strategies [--set KEY=VALUE ...]
        [--strategies baseline bank forward ...] [--seeds 0 1 2] [--folds 3] [--epochs 8] [--report]

The recipe says where the clips and the teacher are; its unlabelled corpora are left out. Each student is trained
on all speakers but those of a fold and keeps its last epoch: nothing is chosen. Cells (a strategy with a seed) that
are finished are stored in `--out`: the same command, given again, trains what is missing; `--report` only reads.

UAR is that of all clips together, each said by the student that never heard its speaker. The difference to
"forward" is bootstrapped over speakers, seeds averaged. Seconds are of one thread's processor time, so that other
work on the machine does not count, over all there is of a cell: graphs, epochs, predictions.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from graph_gain import nodes, table_uar, with_graph
from tqdm import tqdm

import ser_graph as sg
from ser_graph.cross_validation import read_predictions
from ser_graph.downstream.settings import STRATEGIES, TrainingSettings
from ser_graph.evaluation.significance import bootstrap_difference
from ser_graph.evaluation.tables import markdown_table
from ser_graph.files import write_json
from ser_graph.graph import ClipGraph
from ser_graph.recipe import load_recipe, parse_changes

BASELINE, EXACT = "baseline", "forward"
NAMES = (BASELINE, *STRATEGIES)


def cell(out: Path, name: str, seed: int) -> Path:
    return out / "cells" / name / f"seed-{seed}"


def train_cell(data: ClipGraph, settings: TrainingSettings, name: str, folder: Path, n_folds: int) -> None:
    """Train what is missing of a cell; its time counts only where all of it is trained in one go."""
    changes: dict[str, Any] = {"alpha": 0} if name == BASELINE else {"strategy": name}
    whole, start = not folder.exists(), time.process_time()
    found = sg.cross_validate(data, settings, n_folds=n_folds, out=folder, progress=False, **changes)
    seconds = time.process_time() - start if whole else None
    found.predictions.to_csv(folder / "predictions.csv")
    write_json(folder / "done.json", {"seconds": seconds, "settings": replace(settings, **changes).changes})


def finished(out: Path, name: str) -> dict[int, tuple[pd.DataFrame, float | None]]:
    """Predictions and seconds of the finished seeds."""
    found = {}
    for done in sorted((out / "cells" / name).glob("seed-*/done.json")):
        seconds = json.loads(done.read_text())["seconds"]
        found[int(done.parent.name[5:])] = (read_predictions(done.with_name("predictions.csv")), seconds)
    return found


def report(out: Path) -> str:
    """A row for each strategy: seeds, UAR, difference to the exact one, seconds beside the baseline."""
    found = {name: cells for name in NAMES if (cells := finished(out, name))}
    seconds = {name: [spent for _, spent in cells.values() if spent] for name, cells in found.items()}
    rows = []
    for name, cells in found.items():
        values = [table_uar(said) for said, _ in cells.values()]
        spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        row = {"strategy": name, "seeds": len(values), "UAR": f"{100 * np.mean(values):.1f}{spread}"}
        common = sorted(set(cells) & set(found.get(EXACT, {})))
        row |= {"minus forward [95 %]": "", "p": ""}
        if name != EXACT and common:
            pairs = [[found[one][seed][0] for seed in common] for one in (EXACT, name)]
            by = bootstrap_difference(*pairs)
            low, high = 100 * by.low, 100 * by.high
            row["minus forward [95 %]"] = f"{100 * by.difference:+.1f} [{low:.1f}, {high:.1f}]"
            row["p"] = f"{by.p_value:.2f}"
        timed = seconds[name] and seconds.get(BASELINE)
        row["x baseline"] = f"{np.median(seconds[name]) / np.median(seconds[BASELINE]):.2f}" if timed else ""
        rows.append(row)
    return markdown_table(pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--strategies", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--neighbours", type=int, default=9)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--report", action="store_true", help="train nothing, show what is there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out = arguments.out
    if not arguments.report:
        recipe = load_recipe(arguments.recipe, parse_changes(arguments.changes))
        data = nodes(recipe.model_copy(update={"unlabelled": []}), out)
        data = with_graph(data, {"n_neighbors": arguments.neighbours})
        training = {**recipe.students.training, "protocol": "paper", "epochs": arguments.epochs}
        training |= {"alpha": arguments.alpha, "layer": "fc2"}
        training.pop("strategy", None)
        # Seed by seed, so that a run that is cut short has whole rows.
        cells = [(name, seed) for seed in arguments.seeds for name in arguments.strategies]
        missing = [one for one in cells if not (cell(out, *one) / "done.json").exists()]
        for name, seed in tqdm(missing, desc="cells"):
            settings = TrainingSettings(**training, seed=seed)
            train_cell(data, settings, name, cell(out, name, seed), arguments.folds)
    print(report(out))


if __name__ == "__main__":
    main()
