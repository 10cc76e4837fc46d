"""Do students learn more from a teacher that is adapted to the target, and what if the target has no labels?

    python benchmarks/adapted_students.py benchmarks/studies/nemo.toml --out runs/gain-nemo --labels 0 \
        --backbones resnet9:0.25 --arms baseline "distil+regress, joint, 60 epochs" \
        "distil+regress, joint, 60 epochs, CORAL"

With `--labels 0`, training uses no label of the target: the student and the teacher's probe learn the labels of the
recipe's first other corpus, and dev speakers alone have labels of the target. The embeddings are those of
graph_gain.py, centred by speaker. In each fold, they are adapted, or the class probabilities of the probe are:

- CORAL brings each other corpus to the target, see `TrainingSettings.align`;
- a learnt map tells emotions, but not corpora, see teachers.py;
- "correct and smooth" changes the class probabilities of the target's clips along the graph (Huang et al.,
  "Combining label propagation and simple models out-performs graph neural networks", 2020).

"Labels of two corpora": student and probe learn the labels of the target and those of the first other corpus.

The other options are those of graph_gain.py. With the same `--out`, the report has the rows of both.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import graph_gain as gain
import pandas as pd
import torch
from scipy.optimize import brentq
from teachers import REACH, SMOOTH, Fold, edges, mapped, spread
from torch import Tensor

import ser_graph as sg
from ser_graph.corpora import leave_speakers_out, originals
from ser_graph.downstream import Student, TrainingSettings, labelled_nodes, teacher, training
from ser_graph.evaluation import uar
from ser_graph.experiment import cross_validation
from ser_graph.experiment.recipe import Recipe
from ser_graph.graph import ClipGraph
from ser_graph.graph.centring import centred

STRENGTH = 1.0  # of the gradient that the map reverses

View = Callable[[ClipGraph, Tensor, Tensor, TrainingSettings], ClipGraph]


def target_name(data: ClipGraph) -> str:
    """The corpus that is tested."""
    return data.table["corpus"][data.test_mask.numpy()].iloc[0]


def target_of(data: ClipGraph) -> Tensor:
    """[N] bool: the clips of the corpus that is tested."""
    return torch.from_numpy((data.table["corpus"] == target_name(data)).to_numpy(copy=True))


def with_source_labels(data: ClipGraph, source: str, labels: float) -> ClipGraph:
    """A fold whose training labels are those of another corpus, and a share of the target's."""
    table, known = data.table, torch.zeros_like(data.train_mask)
    if labels:
        known = labelled_nodes(data, label_fraction=labels)
    hidden = (target_of(data) & data.train_mask & ~known).numpy()
    theirs = (table["corpus"] == source).to_numpy()
    emotion = table["emotion"].mask(hidden).mask(theirs, table["other_emotion"])
    data = copy.copy(data)
    data.table = table.assign(emotion=emotion).drop(columns="other_emotion")
    return data


def fold_of(data: ClipGraph, seeds: Tensor, labelled: Tensor, emb: Tensor) -> Fold:
    """The training clips of a graph as teachers.py knows them; the other corpora are the source."""
    y = torch.where(labelled, data.y, data.other_y).where(torch.from_numpy(originals(data.table)) & seeds, -1)
    target, none = target_of(data), torch.zeros_like(seeds)
    masks = [(seeds & ~target), (seeds & target), none, none, y >= 0]
    weight = torch.ones(len(y))
    return Fold(emb.numpy(), y.numpy(), data.speaker.numpy(), *(mask.numpy() for mask in masks), weight.numpy())


def aligned(data: ClipGraph, seeds: Tensor, labelled: Tensor, settings: TrainingSettings) -> ClipGraph:
    """As `training_view`, with the other corpora brought to the target."""
    return teacher.training_view(data, seeds, labelled, settings.replace(align=target_name(data)))


def mapped_view(data: ClipGraph, seeds: Tensor, labelled: Tensor, settings: TrainingSettings) -> ClipGraph:
    """As `training_view`, with embeddings [N, 128] by a map whose corpora an adversary cannot tell."""
    fold = fold_of(data, seeds, labelled, teacher.teacher_embeddings(data, seeds, settings.center))
    corpus = torch.from_numpy(pd.factorize(data.table["corpus"])[0])
    data = copy.copy(data)
    data.emb = torch.from_numpy(mapped(fold, corpus, STRENGTH)).float()
    return teacher.training_view(data, seeds, labelled, settings.replace(center="none"))


def as_sure_as(scores: Tensor, other: Tensor) -> Tensor:
    """Scores [n, K] to a power, as probabilities whose mean maximum is that of other probabilities."""
    logs, wanted = scores.clamp_min(1e-6).log(), float(other.max(1).values.mean())

    def too_sure(power: float) -> float:
        return float((power * logs).softmax(1).max(1).values.mean()) - wanted

    return (brentq(too_sure, 1e-3, 1e3, rtol=1e-6) * logs).softmax(1)


def with_smoothed_labels(data: ClipGraph, seeds: Tensor, labelled: Tensor, settings: TrainingSettings) -> ClipGraph:
    """As `training_view`, with class probabilities of the target's clips that follow the graph.

    Clips of dev are nodes without a label, and their labels choose how far labels reach. A copy has the
    probabilities of its original. The probabilities are as sure as the probe's, in the mean over the clips:
    smoothing makes them flat, and a student learns little from flat ones.
    """
    view = teacher.training_view(data, seeds, labelled, settings)
    rows = target_of(data) & (seeds | data.val_mask) & torch.from_numpy(originals(data.table))
    table, known, dev, y = data.table[rows.numpy()], labelled[rows], data.val_mask[rows], data.y[rows]
    emb = centred(data.emb[rows], table, settings.center).float()
    said = teacher.probe_log_probs(emb, y.where(known, -1), torch.ones_like(known), len(data.emotions)).exp()
    graph = edges(emb.numpy())
    smoothed = [spread(SMOOTH, said, y, known, graph, reach) for reach in REACH]
    best = max(smoothed, key=lambda one: uar(y[dev].tolist(), one[dev].argmax(1).tolist()))
    shares = as_sure_as(best, said)
    original = (
        data.table["copy_of"].fillna(data.table.index.to_series()) if "copy_of" in data.table else data.table.index
    )
    place = torch.from_numpy(table.index.get_indexer(original))
    ours = (place >= 0) & seeds
    view.teacher_log_probs = view.teacher_log_probs.clone()
    view.teacher_log_probs[ours] = shares[place[ours]].log()
    return view


BEST_NAME, OTHERS_NAME = "distil+regress, joint, 60 epochs", "distil+regress, joint, 60 epochs, other labels"
BEST, OTHERS = gain.ARMS[BEST_NAME], gain.ARMS[OTHERS_NAME]
ALONE = gain.Arm({"method": "baseline", "epochs": 60}, joint=True)  # labels alone
ARMS: dict[str, tuple[gain.Arm, View]] = {
    f"{BEST_NAME}, CORAL": (BEST, aligned),
    f"{BEST_NAME}, map against corpus": (BEST, mapped_view),
    f"{BEST_NAME}, {SMOOTH}": (BEST, with_smoothed_labels),
    f"{OTHERS_NAME}, CORAL": (OTHERS, aligned),
    f"{OTHERS_NAME}, map against corpus": (OTHERS, mapped_view),
}
BOTH: dict[str, tuple[gain.Arm, View]] = {  # with labels of the target and of the recipe's first other corpus
    "labels of two corpora": (ALONE, teacher.training_view),
    f"{BEST_NAME}, labels of two corpora": (BEST, teacher.training_view),
    f"{BEST_NAME}, labels of two corpora, CORAL": (BEST, aligned),
}
PLAIN: dict[str, tuple[gain.Arm, View]] = {  # without labels of the target
    gain.BASELINE: (ALONE, teacher.training_view),
    BEST_NAME: (BEST, teacher.training_view),
}


def train(cell: gain.Cell, recipe: Recipe, out: Path) -> None:
    """Train what is missing of a cell."""
    if cell.labels and cell.arm in PLAIN:
        return gain.train(cell, recipe, out)
    arm, view = {**PLAIN, **ARMS, **BOTH}[cell.arm]

    def taught(data: ClipGraph, settings: TrainingSettings, **how: Any) -> Student:
        if not cell.labels or cell.arm in BOTH:
            data = with_source_labels(data, recipe.other[0].corpus, cell.labels)
            settings = settings.replace(label_fraction=1.0)
        return sg.train(data, settings, **how)

    training.training_view, cross_validation.train = view, taught  # type: ignore[assignment]
    try:
        gain.train_arm(arm, cell, recipe, out)
    finally:
        training.training_view, cross_validation.train = teacher.training_view, sg.train


def teacher_tables(recipe: Recipe, out: Path, labels: float) -> dict[str, pd.DataFrame]:
    """As that of graph_gain.py; without labels of the target, the probe of the other corpus's labels."""
    if labels:
        return TEACHER_TABLES(recipe, out, labels)
    data, parts = gain.clips(out, replace(BEST, copies=False)), []
    for _, table in leave_speakers_out(data.table, gain.n_folds(recipe), dev=True, n_dev=recipe.dev_speakers):
        fold = gain.with_graph(data, {"scope": "train"}, table=table)
        hidden = with_source_labels(fold, recipe.other[0].corpus, 0.0)
        parts.append(sg.teacher_probe(hidden, center="speaker", split="test"))
        parts[-1].attrs = {}
    return {"linear probe, speaker centred": pd.concat(parts)}


TEACHER_TABLES = gain.teacher_tables

if __name__ == "__main__":
    gain.ARMS.update({name: arm for name, (arm, _) in {**ARMS, **BOTH}.items()})
    gain.teacher_tables = teacher_tables  # type: ignore[assignment]
    gain.main(str(__doc__), [*PLAIN, *ARMS, *BOTH], train)
