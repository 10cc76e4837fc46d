"""Does the graph help, and what makes it help? Students with and without it, on speakers left out in turn.

    python benchmarks/graph_gain.py benchmarks/studies/nemo.toml --out runs/gain-nemo --jobs 2 \
        [--set KEY=VALUE ...] [--arms NAME ...] [--seeds 0 1 2] [--labels 1.0 0.1] [--backbones resnet9] \
        [--report] [--beside OTHER_OUT ...]

The recipe says where the clips, the teacher and the other corpora are. An arm is one way to use the teacher;
each is trained for each fold, seed and share of labels. Finished folds are stored in `--out`: the same command,
given again after a stop or with further arms, trains what is missing; `--report` trains nothing. One table for each
backbone and share of labels is printed and stored in `--out`, beside the figure of labels against UAR.

No test label chooses anything: dev of each fold chooses the epoch, and in the row "chosen on dev" the arm too.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from cells import is_done, n_folds, nodes, predictions, side_by_side, table_uar, train_cell
from count_tables import BASELINE, choices, chosen_on_dev, numbers, words_of
from matplotlib.figure import Figure

import ser_graph as sg
from ser_graph.common.files import atomic_file
from ser_graph.common.settings import parse_changes
from ser_graph.corpora import leave_speakers_out, originals
from ser_graph.evaluation import label_propagation, teacher_probe
from ser_graph.evaluation.tables import markdown_table
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import load_recipe
from ser_graph.graph import ClipGraph

PROBE = "teacher: linear probe, speaker centred"


@dataclass(frozen=True)
class Arm:
    """One way to use the teacher, or none: options of the training and of the graph.

    Attributes:
        training: settings of the training.
        graph: settings of the graph.
        joint: add the other corpora's clips.
        copies: train on copies at other speeds as well, where the recipe makes some.
        projector: take the projector's embeddings, as the paper does, instead of the middle layer's.
        device: false for what needs the teacher at inference.
    """

    training: dict[str, Any]
    graph: dict[str, Any] = field(default_factory=dict)
    joint: bool = False
    copies: bool = True
    projector: bool = False
    device: bool = True

    @property
    def has_graph(self) -> bool:
        """Whether the graph's edges are used as they are."""
        uses = {"nsl", "graph"} & set(self.training["method"].split("+"))
        return bool(uses) and not self.training.get("same_label", False)


PROJECTOR = 256  # dimensions of the projector, which stands last in the recipe's list of layers
NSL = {"method": "nsl", "strategy": "memory_bank"}
CENTRED_GRAPH = {"center": "speaker"}
OTHERS = {"center": "speaker", "across": ("speaker",)}
BEST = {"method": "distil+regress"}
PAPERS_TRAINING = {
    "schedule": "paper",
    "epoch_steps": 1,
    "learning_rate": 1e-3,
    "augment": "none",
    "normalise": "corpus",
    "keep": "best",
}
ARMS = {
    BASELINE: Arm({"method": "baseline"}),
    "NSL (the paper's loss and graph)": Arm(NSL, projector=True),
    "NSL, neighbours forwarded": Arm({"method": "nsl"}, projector=True),
    "NSL, speaker centred": Arm(NSL, CENTRED_GRAPH),
    "NSL, projection, other speakers": Arm({**NSL, "layer": "projection", "alpha": 1.0}, OTHERS),
    "NSL, same label only (upper bound)": Arm({**NSL, "same_label": True}, CENTRED_GRAPH),
    "graph": Arm({"method": "graph"}, CENTRED_GRAPH),
    "graph, joint": Arm({"method": "graph"}, CENTRED_GRAPH, joint=True),
    "distil": Arm({"method": "distil"}),
    "distil, joint": Arm({"method": "distil"}, joint=True),
    "regress, joint": Arm({"method": "regress"}, joint=True),
    "distil+regress": Arm(BEST),
    "distil+regress, joint": Arm(BEST, joint=True),
    "distil+regress+nsl, joint": Arm({**NSL, "method": "distil+regress+nsl"}, CENTRED_GRAPH, joint=True),
    "distil+regress+graph, joint": Arm({"method": "distil+regress+graph"}, CENTRED_GRAPH, joint=True),
    "distil+regress, joint, projector": Arm(BEST, joint=True, projector=True),
    "distil+regress, joint, without copies": Arm(BEST, joint=True, copies=False),
    "distil+regress, joint, by clip": Arm({**BEST, "normalise": "utterance"}, joint=True),
    "baseline, 60 epochs": Arm({"method": "baseline", "epochs": 60}),
    "distil+regress, joint, 60 epochs": Arm({**BEST, "epochs": 60}, joint=True),
    "distil+regress, joint, 60 epochs, other labels": Arm({**BEST, "epochs": 60, "other_labels": 10.0}, joint=True),
    "distil+regress, joint, 60 epochs, GNN": Arm(
        {**BEST, "epochs": 60, "teacher": "gnn"}, CENTRED_GRAPH, joint=True
    ),
    "distil+regress, joint, 240 epochs": Arm({**BEST, "epochs": 240}, joint=True),
    "distil+regress, joint, without masks and shift": Arm({**BEST, "augment": "none"}, joint=True),
    "baseline, without copies": Arm({"method": "baseline"}, copies=False),
    "baseline, by clip": Arm({"method": "baseline", "normalise": "utterance"}),
    "baseline, by clip, without copies": Arm({"method": "baseline", "normalise": "utterance"}, copies=False),
    "baseline, trained as in the paper": Arm({"method": "baseline", **PAPERS_TRAINING}, copies=False),
    "NSL, trained as in the paper": Arm({**NSL, **PAPERS_TRAINING}, copies=False, projector=True),
    "transfer, add": Arm({"method": "baseline", "transfer": "add"}, projector=True, device=False),
    "transfer, max": Arm({"method": "baseline", "transfer": "max"}, projector=True, device=False),
    "transfer, avg": Arm({"method": "baseline", "transfer": "avg"}, projector=True, device=False),
}


@dataclass(frozen=True)
class Cell:
    """One arm, backbone (resnet9, or with its width resnet9:0.25), share of labels and seed: a student a fold."""

    arm: str
    backbone: str
    labels: float
    seed: int

    def folder(self, out: Path) -> Path:
        """Where its folds are stored."""
        words = "".join(letter if letter.isalnum() else "-" for letter in self.arm)
        return out / "cells" / file_name(self.backbone) / f"labels-{self.labels:g}" / words / f"seed-{self.seed}"


def clips(out: Path, arm: Arm) -> ClipGraph:
    """The stored nodes that an arm uses, with the embeddings that it uses."""
    data = sg.load_graph(out / "graph")
    rows = np.ones(len(data.table), bool)
    if not arm.joint and "corpus" in data.table:
        rows &= (data.table["corpus"] == data.table["corpus"][data.table["emotion"].notna()].iloc[0]).to_numpy()
    if not arm.copies:
        rows &= originals(data.table)
    table = data.table[rows]
    table.attrs = data.table.attrs
    columns = slice(-PROJECTOR, None) if arm.projector else slice(-PROJECTOR)
    if data.emb.shape[1] == PROJECTOR:  # the recipe asks for one layer
        columns = slice(None)
    nodes = torch.from_numpy(rows)
    return with_graph(data, {}, table=table, emb=data.emb[nodes][:, columns].contiguous(), x=data.x[nodes])


def with_graph(data: ClipGraph, options: dict[str, Any], **parts: Any) -> ClipGraph:
    """The same clips with other edges."""
    parts = {"table": data.table, "emb": data.emb, "x": data.x, **parts}
    settings = {
        "epsilon": None,
        "n_neighbors": 6,
        "scope": "all",
        "features": data.meta.features,
    }
    return sg.build_graph(parts.pop("table"), **parts, **{**settings, **options}, progress=False)


def train(cell: Cell, recipe: Recipe, out: Path) -> None:
    """Train what is missing of a cell."""
    train_arm(ARMS[cell.arm], cell, recipe, out)


def train_arm(arm: Arm, cell: Cell, recipe: Recipe, out: Path) -> None:
    """Train what is missing of a cell, as an arm says; a share of no labels leaves all labels to the caller."""
    data = with_graph(clips(out, arm), arm.graph)
    backbone, _, width = cell.backbone.partition(":")
    how = {
        "backbone": backbone,
        "width": float(width or 1),
        "seed": cell.seed,
        "label_fraction": cell.labels or 1.0,
    }
    train_cell(data, recipe, cell.folder(out), **how, **arm.training)


Folds = list[dict[str, pd.DataFrame]]


def seeds_of(arm: str, backbone: str, labels: float, out: Path) -> dict[int, Folds]:
    """The finished seeds of an arm: of each fold, what was said of test and dev."""
    folders = {seed: Cell(arm, backbone, labels, seed).folder(out) for seed in range(10)}
    return {
        seed: [
            {"test": test, "dev": dev}
            for test, dev in zip(predictions(folder), predictions(folder, "dev"), strict=True)
        ]
        for seed, folder in folders.items()
        if is_done(folder)
    }


CELL = ["backbone", "labels", "arm", "seed"]


def confusions(backbones: list[str], shares: list[float], out: Path, only: pd.Index | None = None) -> pd.DataFrame:
    """How often each student said which emotion of each speaker's clips of which emotion.

    UAR of test and dev, what dev chooses and intervals over speakers can all be had from these counts. `only` names
    the clips that are counted.
    """
    parts = [
        (said if only is None else said[said.index.isin(only)])[["speaker", "emotion", "predicted"]].assign(
            backbone=backbone, labels=labels, arm=arm, seed=seed, fold=fold, split=split
        )
        for backbone in backbones
        for labels in shares
        for arm in ARMS
        for seed, folds in seeds_of(arm, backbone, labels, out).items()
        for fold, both in enumerate(folds)
        for split, said in both.items()
    ]
    columns = [*CELL, "fold", "split", "speaker", "emotion", "predicted"]
    return pd.concat(parts).value_counts(columns, sort=False).reset_index(name="clips")


def add_counts(found: pd.DataFrame, file: Path) -> None:
    """Add the counts of cells to a file, which may have others; cells that the file has stay as they are."""
    if file.exists():
        known = pd.read_csv(file, dtype={"speaker": str})
        new = ~pd.MultiIndex.from_frame(found[CELL]).isin(pd.MultiIndex.from_frame(known[CELL]))
        found = pd.concat([known, found[new]])
    with atomic_file(file) as part:
        found.to_csv(part, index=False, compression="xz" if file.suffix == ".xz" else None)


def graph_measures(arm: Arm, recipe: Recipe, out: Path) -> dict[str, float]:
    """Shares of edges that join one emotion and one speaker, and coverage, in the mean over the folds' graphs."""
    data = clips(out, arm)
    options = {**arm.graph, "scope": "train"}
    rows = []
    for _, table in leave_speakers_out(data.table, n_folds(recipe), dev=True, n_dev=recipe.dev_speakers):
        found = sg.graph_statistics(with_graph(data, options, table=table))
        rows.append({name: found[name] for name in ("homophily", "homophily_chance", "same_speaker", "coverage")})
    return pd.DataFrame(rows).mean().to_dict()


def teacher_tables(recipe: Recipe, out: Path, labels: float) -> dict[str, pd.DataFrame]:
    """What the teacher itself says of each fold's test clips; all of it needs the teacher at inference."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for joint in (False, True):
        data = clips(out, Arm({"method": "baseline"}, joint=joint, copies=False))
        for _, table in leave_speakers_out(data.table, n_folds(recipe), dev=True, n_dev=recipe.dev_speakers):
            fold = with_graph(data, {"scope": "train"}, table=table)
            mask = sg.downstream.labelled_nodes(fold, label_fraction=labels)
            for name, said in teachers_of(fold, mask, joint=joint).items():
                said.attrs = {}
                parts.setdefault(name, []).append(said)
    return {name: pd.concat(said) for name, said in parts.items()}


def teachers_of(fold: ClipGraph, mask: torch.Tensor, *, joint: bool) -> dict[str, pd.DataFrame]:
    """By name what the teacher says of one fold; from a joint graph, the probe that also learns other labels."""
    if joint:
        both = {"label_mask": mask, "center": "speaker", "split": "test"}
        return {"linear probe, speaker centred, other labels": teacher_probe(fold, other_labels=10.0, **both)}
    return {
        f"{name}{words}": method(fold, label_mask=mask, center=center, split="test")
        for center, words in (("none", ""), ("speaker", ", speaker centred"))
        for name, method in (("linear probe", teacher_probe), ("label propagation", label_propagation))
    }


def report(recipe: Recipe, out: Path, backbone: str, labels: float) -> str:
    """The table of one backbone and share of labels, as Markdown; also written as CSV."""
    if not seeds_of(BASELINE, backbone, labels, out):
        return "The baseline is not finished."
    counts = confusions([backbone], [labels], out)
    chosen, names = chosen_on_dev(counts, [arm for arm in ARMS if ARMS[arm].device])
    teachers = {name: table_uar(said) for name, said in teacher_tables(recipe, out, labels).items()}
    best = max(value for name, value in teachers.items() if "probe" in name)
    table = numbers(pd.concat([counts, chosen]), best)
    for at, arm in table["arm"].items():
        if arm in ARMS and ARMS[arm].has_graph:
            measures = graph_measures(ARMS[arm], recipe, out)
            table.loc[at, list(measures)] = list(measures.values())
    known = pd.DataFrame([{"arm": f"teacher: {name}", "uar": value} for name, value in teachers.items()])
    table = pd.concat([table, known], ignore_index=True)
    table.to_csv(out / f"table-{file_name(backbone)}-{labels:g}.csv", index=False)
    title = f"{recipe.name}: {backbone}, {labels:.0%} of the labels"
    return f"{title}\n\n{markdown_table(words_of(table))}\n\n{choices(names)}"


SHOWN = {
    BASELINE: "baseline",
    "NSL (the paper's loss and graph)": "the paper's neighbour loss",
    "distil+regress, joint": "distil+regress, all speech",
    "distil+regress, joint, 60 epochs": "the same, 60 epochs",
    PROBE: "teacher's probe (not for a device)",
}


def draw(tables: dict[str, dict[float, pd.DataFrame]], file: Path) -> None:
    """Share of the labels against UAR, a panel a study."""
    figure = Figure(figsize=(1 + 4 * len(tables), 4), layout="constrained", dpi=100)
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    for ax, (study, by_share) in zip(panels, tables.items(), strict=True):
        for number, (arm, words) in enumerate(SHOWN.items()):
            found = {share: row for share, table in by_share.items() for row in rows_of(table, arm)}
            if not found:
                continue
            shares = sorted(found)
            values = [100 * found[share]["uar"] for share in shares]
            errors = [100 * np.nan_to_num(found[share]["sd"]) for share in shares]
            style = {"linestyle": "--", "color": "grey"} if arm == PROBE else {"color": f"C{number}"}
            ax.errorbar(
                [100 * share for share in shares], values, errors, marker="o", capsize=3, label=words, **style
            )
        ax.set_xscale("log")
        ax.set_xticks([2, 10, 100], ["2", "10", "100"])
        ax.set_xlabel("training labels that are used, %")
        ax.set_title(study.rpartition("-")[2], fontsize=10)
        ax.grid(alpha=0.3)
    panels[0].set_ylabel("UAR on speakers left out, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8)
    figure.savefig(file)


def rows_of(table: pd.DataFrame, arm: str) -> list[dict[str, Any]]:
    """The row of an arm, if it was trained."""
    return table[table["arm"] == arm].to_dict("records")


def main(description: str, arms: list[str], train: Callable[[Cell, Recipe, Path], None] = train) -> None:
    """Train what is missing of some arms, and print the tables."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--arms", nargs="+", default=arms, choices=arms, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--labels", nargs="+", type=float, default=[1.0])
    parser.add_argument("--backbones", nargs="+", default=["resnet9"])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--beside", type=Path, nargs="+", default=[], help="folders of other studies, for the figure"
    )
    parser.add_argument(
        "--confusions", type=Path, help="CSV (.xz) to which the counts of finished students are added"
    )
    parser.add_argument("--only", type=Path, help="CSV whose column file names the clips to count there")
    parser.add_argument("--report", action="store_true", help="train nothing, show what is there")
    arguments = parser.parse_args()
    recipe, out = load_recipe(arguments.recipe, parse_changes(arguments.changes)), arguments.out
    if not arguments.report:
        nodes(recipe, out)
    cells = [
        Cell(arm, backbone, labels, seed)
        for backbone in arguments.backbones
        for labels in arguments.labels
        for seed in arguments.seeds
        for arm in arguments.arms
    ]
    if not arguments.report:
        side_by_side(train, [(cell, recipe, out) for cell in cells], arguments.jobs)
    if arguments.confusions:
        only = None if arguments.only is None else pd.Index(pd.read_csv(arguments.only)["file"])
        add_counts(confusions(arguments.backbones, arguments.labels, out, only), arguments.confusions)
    for backbone in arguments.backbones:
        for labels in arguments.labels:
            print(f"\n{report(recipe, out, backbone, labels)}")
        studies = {folder.name: stored_tables(folder, backbone) for folder in (out, *arguments.beside)}
        draw(
            {name: tables for name, tables in studies.items() if tables}, out / f"labels-{file_name(backbone)}.png"
        )


def stored_tables(out: Path, backbone: str) -> dict[float, pd.DataFrame]:
    """The tables of earlier reports, by share of labels."""
    start = f"table-{file_name(backbone)}-"
    return {float(file.stem.removeprefix(start)): pd.read_csv(file) for file in sorted(out.glob(f"{start}*.csv"))}


def file_name(backbone: str) -> str:
    """A backbone as part of a file's name."""
    return backbone.replace(":", "-")


if __name__ == "__main__":
    main(str(__doc__), list(ARMS))
