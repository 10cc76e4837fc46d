"""How small can a student be, and does the graph help small ones more? Size against UAR, with and without it.

    python benchmarks/sizes.py benchmarks/studies/emovo-sizes.toml --out runs/sizes-emovo --jobs 2 \
        [--set KEY=VALUE ...] [--students resnet9:1 resnet9:0.25 ...] [--seeds 0 1 2] [--report] [--figure FILE]

The recipe says where the clips and the teacher are, and how the graph is built; it leaves speakers out in folds. A
student is a backbone and a width, and is trained as baseline and with the neighbour loss, for each fold and seed.
Finished folds are stored in `--out`: the same command, given again after a stop or with further students, trains
what is missing; `--report` trains nothing. The table is printed and written to `--out` as CSV, the figure to
`--figure`.

The lines of the figure join the students that no smaller one beats: picked by the numbers shown, so they flatter
both ways of training alike. Differences come with bootstrap intervals over speakers.
"""

import argparse
import os
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cells import is_done, nodes, predictions, side_by_side, table_uar, train_cell
from graph_gain import NSL
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import nn

import ser_graph as sg
from ser_graph.common.files import atomic_file
from ser_graph.common.settings import parse_changes
from ser_graph.downstream.backbones import Backbone, count_macs, count_parameters, make_backbone
from ser_graph.errors import InputError
from ser_graph.evaluation.significance import bootstrap_difference
from ser_graph.evaluation.tables import markdown_table
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import load_recipe

ARMS = {"baseline": {"method": "baseline"}, "NSL": NSL}
STUDENTS = [
    *("resnet9:1", "resnet9:0.5", "resnet9:0.25", "resnet9:0.125"),
    *("mobilenet15:1", "mobilenet15:0.5", "mobilenet15:0.25", "cnn6:0.5", "cnn6:0.25"),
]
MARKERS = {"resnet9": "o", "mobilenet15": "s", "cnn6": "^", "vgg15": "D"}


@dataclass(frozen=True)
class Kind:
    """A backbone and its width, from a text such as ``resnet9:0.5``."""

    backbone: str
    width: float

    @classmethod
    def parse(cls, text: str) -> "Kind":
        """The kind that a text names."""
        backbone, _, width = text.partition(":")
        try:
            kind = cls(backbone, float(width or 1))
        except ValueError:
            raise InputError(f"Bad student {text!r}, expected BACKBONE:WIDTH, e.g. resnet9:0.5") from None
        sg.TrainingSettings(backbone=kind.backbone, width=kind.width)  # says what is wrong with either
        return kind

    def __str__(self) -> str:
        return f"{self.backbone} x {self.width:g}"


@dataclass(frozen=True)
class Cell:
    """A kind of student, trained one way with one seed: a student a fold."""

    kind: Kind
    arm: str
    seed: int

    def folder(self, out: Path) -> Path:
        """Where its folds are stored."""
        return out / "cells" / f"{self.kind.backbone}-{self.kind.width:g}" / self.arm / f"seed-{self.seed}"

    def predictions(self, out: Path) -> pd.DataFrame | None:
        """Every clip of the target, said by the student that never heard its speaker; None before the last fold."""
        folder = self.folder(out)
        return pd.concat(predictions(folder)) if is_done(folder) else None


def train(cell: Cell, recipe: Recipe, out: Path) -> None:
    """Train what is missing of a cell."""
    training = {"protocol": recipe.protocol, "backbone": cell.kind.backbone, "width": cell.kind.width}
    data = sg.load_graph(out / "graph")
    train_cell(data, recipe, cell.folder(out), **training, **ARMS[cell.arm], seed=cell.seed)


def int8_kb(backbone: Backbone) -> float:
    """Size in kB (1,000 bytes) of the weights in int8: a byte a weight, and for each channel a scale and a bias.

    BatchNorm is folded into the convolutions. The log-mel's tables and the layers' names come on top.
    """
    layers = [module for module in backbone.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return sum(layer.weight.numel() + 8 * layer.weight.shape[0] for layer in layers) / 1000


def measure(kinds: list[Kind], seeds: list[int], recipe: Recipe, out: Path) -> pd.DataFrame:
    """A row a kind that is finished both ways for some seed, the largest first."""
    features, rows = recipe.features, []
    n_classes = len(sg.load_graph(out / "graph").emotions)
    for kind in kinds:
        said = {arm: {seed: Cell(kind, arm, seed).predictions(out) for seed in seeds} for arm in ARMS}
        both = [seed for seed in seeds if all(said[arm][seed] is not None for arm in ARMS)]
        if not both:
            continue
        backbone = make_backbone(kind.backbone, n_classes, kind.width)
        row: dict[str, Any] = {
            "student": str(kind),
            "backbone": kind.backbone,
            "parameters": count_parameters(backbone),
            "kb": int8_kb(backbone),
            "macs": count_macs(backbone, features.n_frames, features.n_mels),
            "seeds": len(both),
        }
        for arm in ARMS:
            values = [table_uar(said[arm][seed]) for seed in both]
            row |= {arm: np.mean(values), f"{arm}_sd": np.std(values, ddof=1) if len(values) > 1 else np.nan}
        tables = [[said[arm][seed] for seed in both] for arm in ARMS]
        rows.append({**row, **bootstrap_difference(*tables)._asdict(), "tables": tables})
    return pd.DataFrame(rows).sort_values("kb", ascending=False, ignore_index=True) if rows else pd.DataFrame()


def small_against_large(table: pd.DataFrame) -> list[str]:
    """What the graph gains for the larger and for the smaller half of the students, and how the gains differ."""
    half = len(table) // 2
    seeds = table["seeds"].min()
    halves = {"larger": table[:half], "smaller": table[len(table) - half :]}
    pooled = {
        name: [[one for tables in rows["tables"] for one in tables[arm][:seeds]] for arm in (0, 1)]
        for name, rows in halves.items()
    }
    lines = [
        f"The {name} {half} ({rows['kb'].min():,.0f} to {rows['kb'].max():,.0f} kB): "
        f"NSL - baseline {in_points(bootstrap_difference(*pooled[name]))}"
        for name, rows in halves.items()
    ]
    # (NSL - baseline) of the smaller less that of the larger, is the mean of as many pairs of each kind, times 2.
    (base_large, nsl_large), (base_small, nsl_small) = pooled["larger"], pooled["smaller"]
    both = bootstrap_difference([*base_small, *nsl_large], [*nsl_small, *base_large])
    twice = both._replace(difference=2 * both.difference, low=2 * both.low, high=2 * both.high)
    return [*lines, f"Gain of the smaller half less that of the larger: {in_points(twice)}"]


def in_points(found: Any) -> str:
    """A difference and its interval, in points of UAR."""
    return f"{100 * found.difference:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def report(table: pd.DataFrame, out: Path) -> str:
    """The table as Markdown; also written as CSV."""
    if table.empty:
        return "No student is finished both ways."
    table.drop(columns="tables").to_csv(out / "sizes.csv", index=False)
    words = pd.DataFrame(
        {
            "student": table["student"],
            "parameters": [f"{value:,}" for value in table["parameters"]],
            "int8 kB": [f"{value:,.0f}" for value in table["kb"]],
            "MACs, million": [f"{value / 1e6:,.1f}" for value in table["macs"]],
            "seeds": table["seeds"],
            **{f"UAR, {arm}": [with_sd(row, arm) for _, row in table.iterrows()] for arm in ARMS},
            "NSL - baseline [95 %]": [in_points(row) for row in table.itertuples()],
        }
    )
    pooled = small_against_large(table) if len(table) > 1 else []
    return "\n\n".join([markdown_table(words), *pooled])


def with_sd(row: pd.Series, arm: str) -> str:
    """UAR in %, and its deviation over seeds where there are several."""
    sd = row[f"{arm}_sd"]
    return f"{100 * row[arm]:.1f}" + ("" if np.isnan(sd) else f" ± {100 * sd:.1f}")


def draw(table: pd.DataFrame, file: Path, title: str, chance: float) -> None:
    """Size against UAR: a marker a student, and for each arm a line through those that no smaller one beats."""
    figure = Figure(figsize=(7, 4.2), layout="constrained", dpi=90)
    ax = figure.subplots()
    for arm, color in zip(ARMS, ("#888888", "#004488"), strict=True):
        rows = table.sort_values("kb")
        front = rows[rows[arm] > rows[arm].cummax().shift(fill_value=-1)]
        ax.plot(front["kb"], 100 * front[arm], color=color, label=arm)
        for backbone, own in rows.groupby("backbone"):
            ax.errorbar(
                own["kb"],
                100 * own[arm],
                yerr=None if own[f"{arm}_sd"].isna().all() else 100 * own[f"{arm}_sd"],
                fmt=MARKERS[backbone],
                color=color,
                capsize=2,
                linewidth=0.8,
            )
    for backbone in sorted(table["backbone"].unique()):
        ax.plot([], [], MARKERS[backbone], color="black", label=backbone)
    ax.axhline(100 * chance, color="black", linestyle=":", linewidth=0.8, label="chance")
    ax.set(xscale="log", xlabel="weights in int8, kB", ylabel="UAR on speakers left out, %", title=title)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as part:
        figure.savefig(part, format="png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--students", nargs="+", default=STUDENTS, metavar="BACKBONE:WIDTH")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--report", action="store_true", help="train nothing, show what is there")
    parser.add_argument("--figure", type=Path, help="PNG to write; sizes.png in --out by default")
    arguments = parser.parse_args()
    try:
        recipe = load_recipe(arguments.recipe, parse_changes(arguments.changes))
        kinds, out = [Kind.parse(text) for text in arguments.students], arguments.out
        if recipe.folds is None:
            raise InputError(f"{arguments.recipe} leaves no speakers out; give --set folds=3")
        if not arguments.report:
            nodes(recipe, out)
        cells = [Cell(kind, arm, seed) for seed, kind, arm in product(arguments.seeds, kinds, ARMS)]
        if not arguments.report:
            side_by_side(train, [(cell, recipe, out) for cell in cells], arguments.jobs)
        table = measure(kinds, arguments.seeds, recipe, out)
    except InputError as error:
        parser.exit(1, f"Error: {error}\n")
    print(f"\n{report(table, out)}")
    if len(table):
        chance = 1 / len(sg.load_graph(out / "graph").emotions)
        draw(table, arguments.figure or out / "sizes.png", recipe.name, chance)


if __name__ == "__main__":
    main()
