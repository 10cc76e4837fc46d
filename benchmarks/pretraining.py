"""Is it better to learn from the teacher first, without labels, and then from labels?

    python benchmarks/pretraining.py benchmarks/studies/ased.toml --out runs/gain-ased --labels 0.1 \
        --backbones resnet9:0.25 --jobs 1

In each fold, a student first learns to predict the teacher's embedding of all speech at hand (`regress`), for 100
epochs of 100 steps, without any label. Then it learns the labels in one of two ways:

- "fine-tuned": all weights learn from labels alone, as the baseline does from random weights;
- "probe": only the last layer learns, as a logistic regression on the outputs of `fc1`; dev chooses its
  regularisation.

Both ways start from the same student, so one must not train beside the other (`--jobs 1`). The other options are
those of graph_gain.py. With the same `--out`, the report has the rows of both.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import graph_gain as gain
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import ser_graph as sg
from ser_graph.common.hashing import content_hash
from ser_graph.downstream import Student, TrainingSettings, labelled_nodes, training
from ser_graph.downstream.methods import Method, Regress, make_method
from ser_graph.downstream.prediction import student_embeddings
from ser_graph.downstream.training import asked_of_training
from ser_graph.evaluation import uar
from ser_graph.experiment import cross_validation
from ser_graph.experiment.recipe import Recipe
from ser_graph.graph import ClipGraph

EPOCHS = 100
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse regularisation of the probe

Readout = Callable[[Student, ClipGraph, TrainingSettings], Student]


def without_labels(view: ClipGraph, settings: TrainingSettings) -> Method:
    """As `make_method` for `regress`; the cross entropy of labels is 0, because no clip has one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        method = Regress(view, settings)
    view.y = torch.full_like(view.y, -1)
    return method


def pretrained(data: ClipGraph, settings: TrainingSettings, out: Path) -> Student:
    """A student of the teacher's embeddings alone, the same for every share of the labels; stored in `out`."""
    settings = settings.replace(method="regress", epochs=EPOCHS, label_fraction=1.0)
    folder = out / "pretrained" / content_hash(asked_of_training(data, settings))[:16]
    if not (folder / "student").exists():
        training.make_method = without_labels  # type: ignore[assignment]
        try:
            sg.train(data, settings, checkpoint=folder, progress=False).save(folder / "student")
        finally:
            training.make_method = make_method
    return sg.load_student(folder / "student")


def fine_tuned(student: Student, data: ClipGraph, settings: TrainingSettings) -> Student:
    """All weights learn from labels."""
    return sg.train(data, settings, init=student, progress=False)


def probed(student: Student, data: ClipGraph, settings: TrainingSettings) -> Student:
    """The last layer becomes the logistic regression of the labelled clips that is best on dev."""
    outputs, known, dev = student_embeddings(student, data), labelled_nodes(data, settings), data.val_mask
    outputs = outputs if student.backbone.fc1_after_relu else outputs.relu()
    scaler = StandardScaler().fit(outputs[known].double().numpy())
    rows, y = scaler.transform(outputs.double().numpy()), data.y.numpy()
    models = [LogisticRegression(C=strength, max_iter=2000).fit(rows[known], y[known]) for strength in STRENGTHS]
    best = max(models, key=lambda model: uar(y[dev].tolist(), model.predict(rows[dev]).tolist()))
    weight = best.coef_ / scaler.scale_
    layer = student.backbone.fc2
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(best.intercept_ - weight @ scaler.mean_))
    return student


LABELS_ALONE = gain.Arm({"method": "baseline"}, joint=True)
ARMS: dict[str, tuple[gain.Arm, Readout]] = {
    "pre-trained without labels, fine-tuned": (LABELS_ALONE, fine_tuned),
    "pre-trained without labels, probe": (LABELS_ALONE, probed),
}


def taught(out: Path, readout: Readout, data: ClipGraph, settings: TrainingSettings, **_: Any) -> Student:
    """As `sg.train`: a pre-trained student that has learnt labels."""
    return readout(pretrained(data, settings, out), data, settings)


def train(cell: gain.Cell, recipe: Recipe, out: Path) -> None:
    """Train what is missing of a cell."""
    arm, readout = ARMS[cell.arm]
    cross_validation.train = partial(taught, out, readout)  # type: ignore[assignment]
    try:
        gain.train_arm(arm, cell, recipe, out)
    finally:
        cross_validation.train = sg.train


if __name__ == "__main__":
    gain.ARMS.update({name: arm for name, (arm, _) in ARMS.items()})
    gain.main(str(__doc__), list(ARMS), train)
