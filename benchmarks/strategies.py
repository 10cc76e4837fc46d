"""Is a cheap strategy as good as forwarding every neighbour? Students by each, on speakers left out in turn.

    python benchmarks/strategies.py benchmarks/studies/emovo.toml --out runs/strategies [--set KEY=VALUE ...]
        [--strategies baseline bank forward ...] [--seeds 0 1 2] [--folds 3] [--only 0] [--epochs 8] [--report]

The recipe says where the clips and the teacher are; its unlabelled corpora are left out. Each student is trained
on all speakers but those of a fold and keeps its last epoch: nothing is chosen. Finished students are stored in
`--out`: the same command, given again, trains what is missing; `--report` trains nothing.

What is reported is what all strategies have in common, seeds and folds. UAR is that of the folds' clips together,
each said by a student that never heard its speaker. The difference to "forward" is bootstrapped over speakers,
seeds averaged. Seconds are of one thread's processor time, so that other work on the machine does not count.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from graph_gain import nodes, table_uar, with_graph
from tqdm import tqdm

import ser_graph as sg
from ser_graph.corpora import leave_speakers_out
from ser_graph.cross_validation import read_predictions
from ser_graph.downstream.settings import STRATEGIES, TrainingSettings
from ser_graph.evaluation.significance import bootstrap_difference
from ser_graph.evaluation.tables import markdown_table
from ser_graph.files import atomic_folder, write_json
from ser_graph.graph import ClipGraph
from ser_graph.recipe import load_recipe, parse_changes

BASELINE, EXACT = "baseline", "forward"
NAMES = (BASELINE, *STRATEGIES)


Unit = tuple[int, int]  # seed and fold


def unit(out: Path, name: str, seed: int, fold: int) -> Path:
    return out / "cells" / name / f"seed-{seed}" / f"fold-{fold:02d}"


def train_unit(data: ClipGraph, settings: TrainingSettings, folder: Path) -> None:
    """One student, and what it says of the clips of the speakers that were left out."""
    start = time.process_time()
    student = sg.train(data, settings, checkpoint=folder.with_suffix(".pt"), progress=False)
    seconds = time.process_time() - start
    with atomic_folder(folder) as part:
        sg.predict(student, data, "test").to_csv(part / "predictions.csv")
        write_json(part / "fold.json", {"seconds": seconds, "settings": settings.changes})
    folder.with_suffix(".pt").unlink()


def finished(out: Path, name: str) -> dict[Unit, Path]:
    """The finished students of a strategy."""
    found = sorted((out / "cells" / name).glob("seed-*/fold-*/fold.json"))
    return {(int(path.parts[-3][5:]), int(path.parts[-2][5:])): path.parent for path in found}


def by_seed(folders: dict[Unit, Path], units: set[Unit]) -> list[pd.DataFrame]:
    """Predictions of the folds of each seed together."""
    return [
        pd.concat([read_predictions(folders[one] / "predictions.csv") for one in sorted(units) if one[0] == seed])
        for seed in sorted({seed for seed, _ in units})
    ]


def report(out: Path, strategies: list[str]) -> str:
    """A row for each strategy: UAR, difference to the exact one, seconds beside the baseline."""
    found = {name: folders for name in strategies if (folders := finished(out, name))}
    units = set.intersection(*map(set, found.values()))
    said = {name: by_seed(folders, units) for name, folders in found.items()}
    seconds = {
        name: [json.loads((folder / "fold.json").read_text()).get("seconds") for folder in folders.values()]
        for name, folders in found.items()
    }
    spent = {name: np.median([one for one in all_of if one] or [np.nan]) for name, all_of in seconds.items()}
    rows = []
    for name, tables in said.items():
        values = [table_uar(table) for table in tables]
        spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        row = {"strategy": name, "UAR": f"{100 * np.mean(values):.1f}{spread}", "minus forward [95 %]": "", "p": ""}
        if name != EXACT and EXACT in said:
            found_by = bootstrap_difference(said[EXACT], tables)
            low, high = 100 * found_by.low, 100 * found_by.high
            row["minus forward [95 %]"] = f"{100 * found_by.difference:+.1f} [{low:.1f}, {high:.1f}]"
            row["p"] = f"{found_by.p_value:.2f}"
        ratio = spent[name] / spent.get(BASELINE, np.nan)
        rows.append({**row, "x baseline": f"{ratio:.2f}" if ratio > 0 else ""})
    shared = ", ".join(f"{seed}/{fold}" for seed, fold in sorted(units))
    return f"Seeds/folds: {shared}\n\n{markdown_table(pd.DataFrame(rows))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--strategies", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", nargs="+", type=int, metavar="FOLD", help="by default all folds")
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
        training = {**recipe.students.training, "protocol": "paper", "epochs": arguments.epochs, "layer": "fc2"}
        graph = {"n_neighbors": arguments.neighbours, "scope": "train+dev"}
        folds = [table for _, table in leave_speakers_out(data.table, arguments.folds)]
        # Fold by fold and seed by seed, so that a run that is cut short has whole rows.
        for fold, seed in product(arguments.only or range(len(folds)), arguments.seeds):
            built = with_graph(data, graph, table=folds[fold])
            for name in tqdm(arguments.strategies, desc=f"fold {fold}, seed {seed}"):
                folder = unit(out, name, seed, fold)
                changes = {"alpha": 0.0} if name == BASELINE else {"alpha": arguments.alpha, "strategy": name}
                if not (folder / "fold.json").exists():
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    train_unit(built, TrainingSettings(**{**training, **changes}, seed=seed), folder)
    print(report(out, arguments.strategies))


if __name__ == "__main__":
    main()
