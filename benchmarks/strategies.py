"""Is a cheap strategy as good as forwarding every neighbour? Students by each, on speakers left out in turn.

    python benchmarks/strategies.py benchmarks/studies/emovo-sizes.toml --out runs/strategies --jobs 2 \
        [--set KEY=VALUE ...] [--strategies baseline memory_bank forward ...] [--seeds 0 1 2] [--report]

The recipe says where the clips and the teacher are, how the graph is built, which speakers are left out together
and how students are trained; `--neighbours` and `--alpha` say what is compared. Finished folds are stored in
`--out`: the same command, given again after a stop, trains what is missing; `--report` trains nothing.

UAR is that of all folds' clips together, each said by a student that never heard its speaker, over the seeds that
all strategies have. The difference to "forward" is bootstrapped over speakers, seeds averaged; beside it, the
deviation over seeds of "forward" itself: a strategy that differs by less is as good as far as these seeds tell.
"""

import argparse
import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from cells import is_done, nodes, predictions, side_by_side, table_uar, train_cell
from graph_gain import with_graph

import ser_graph as sg
from ser_graph.common.settings import parse_changes
from ser_graph.evaluation.significance import bootstrap_difference
from ser_graph.evaluation.tables import markdown_table
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import load_recipe

BASELINE, EXACT = "baseline", "forward"
NAMES = (BASELINE, *get_args(sg.TrainingSettings.model_fields["strategy"].annotation))


def cell(out: Path, name: str, seed: int) -> Path:
    """Where the folds of a strategy and seed are stored."""
    return out / "cells" / name / f"seed-{seed}"


def train(name: str, seed: int, recipe: Recipe, out: Path, neighbours: int, alpha: float) -> None:
    """Train what is missing of a cell."""
    graph = {"n_neighbors": neighbours, "center": recipe.graph.center}
    data = with_graph(sg.load_graph(out / "graph"), graph)
    nsl = {"method": "nsl", "alpha": alpha, "strategy": name}
    how: dict[str, Any] = {"method": BASELINE} if name == BASELINE else nsl
    train_cell(data, recipe, cell(out, name, seed), protocol=recipe.protocol, seed=seed, **how)


def report(out: Path, names: list[str], seeds: list[int]) -> str:
    """A row for each strategy: UAR, and its difference to the baseline and to the exact one."""
    done = {name: [seed for seed in seeds if is_done(cell(out, name, seed))] for name in names}
    names = [name for name in names if done[name]]
    if not names:
        return "No strategy is finished."
    shared = sorted(set.intersection(*(set(done[name]) for name in names)))
    said = {name: [pd.concat(predictions(cell(out, name, seed))) for seed in shared] for name in names}
    rows = []
    for name, tables in said.items():
        values = [100 * table_uar(table) for table in tables]
        spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        row = {"strategy": name, "UAR": f"{np.mean(values):.1f}{spread}"}
        for other in (BASELINE, EXACT):
            row |= {f"minus {other} [95 %]": "", f"p, {other}": ""}
            if name != other and other in said:
                found = bootstrap_difference(said[other], tables)
                low, high = 100 * found.low, 100 * found.high
                row[f"minus {other} [95 %]"] = f"{100 * found.difference:+.1f} [{low:.1f}, {high:.1f}]"
                row[f"p, {other}"] = f"{found.p_value:.2f}"
        rows.append(row)
    return f"Seeds: {', '.join(map(str, shared))}\n\n{markdown_table(pd.DataFrame(rows))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--strategies", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--neighbours", type=int, default=9)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--report", action="store_true", help="train nothing, show what is there")
    arguments = parser.parse_args()
    recipe, out = load_recipe(arguments.recipe, parse_changes(arguments.changes)), arguments.out
    if not arguments.report:
        nodes(recipe, out)
        cells = [
            (name, seed, recipe, out, arguments.neighbours, arguments.alpha)
            for seed in arguments.seeds
            for name in arguments.strategies
        ]
        side_by_side(train, cells, arguments.jobs)
    print(f"\n{report(out, arguments.strategies, arguments.seeds)}")


if __name__ == "__main__":
    main()
