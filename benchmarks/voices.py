"""How many clips of a voice must a device hear? Students that normalise by speaker, on speakers left out in turn.

    python benchmarks/voices.py benchmarks/studies/nemo.toml --out runs/gain-nemo --arm "distil+regress, joint" \
        [--backbone resnet9:0.25] [--labels 0.1] [--seed 0] [--set KEY=VALUE ...]

Uses the nodes that `graph_gain.py` has stored in `--out`. Each fold's student judges all clips of its test
speakers, after 0, 1, 3, 10 or all clips of each were heard; no label is looked at.
"""

import argparse
from pathlib import Path

import pandas as pd
from cells import n_folds
from graph_gain import ARMS, Arm, clips, with_graph

import ser_graph as sg
from ser_graph.common.settings import parse_changes
from ser_graph.corpora import leave_speakers_out
from ser_graph.downstream import predict_clips
from ser_graph.evaluation import evaluate
from ser_graph.evaluation.tables import markdown_table
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import load_recipe

HEARD = (0, 1, 3, 10, None)


def judged(recipe: Recipe, out: Path, arm: Arm, **training: object) -> dict[str, pd.DataFrame]:
    """What the folds' students said of all clips, by what they had heard before."""
    data, said = clips(out, arm), {}
    for _, table in leave_speakers_out(data.table, n_folds(recipe), dev=True, n_dev=recipe.dev_speakers):
        fold = with_graph(data, {**arm.graph, "scope": "train"}, table=table)
        settings = {**recipe.students.training, **arm.training, **training}
        student = sg.train(fold, progress=False, **settings)
        numbers = HEARD if student.standardise.normalise == "speaker" else (None,)
        for n in numbers:
            found = predict_clips(student, fold, "test", heard=n)
            said.setdefault("all" if n is None else str(n), []).append(found)
    return {heard: pd.concat(parts) for heard, parts in said.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arm", default="distil+regress, joint", choices=list(ARMS), metavar="NAME")
    parser.add_argument("--backbone", default="resnet9:0.25")
    parser.add_argument("--labels", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, parse_changes(arguments.changes))
    backbone, _, width = arguments.backbone.partition(":")
    how = {"backbone": backbone, "width": float(width or 1), "seed": arguments.seed}
    rows = []
    for heard, said in judged(
        recipe, arguments.out, ARMS[arguments.arm], label_fraction=arguments.labels, **how
    ).items():
        found = evaluate(said)
        interval = f"{100 * found['uar']:.1f} [{100 * found['uar_low']:.1f}, {100 * found['uar_high']:.1f}]"
        rows.append({"clips heard before": heard, "UAR [95 %]": interval})
    print(markdown_table(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
