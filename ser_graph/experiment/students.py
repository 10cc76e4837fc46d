"""The stages of the students in a run: train, measure and store each student."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ser_graph.common.csv_files import write_csv
from ser_graph.common.distributed import processes
from ser_graph.common.files import write_json
from ser_graph.common.processes import is_first
from ser_graph.common.stages import Stage
from ser_graph.downstream import Student, TrainingSettings, predict_clips, train
from ser_graph.downstream.student import write_student
from ser_graph.edge.measuring import latency_ms, size_mb
from ser_graph.evaluation import evaluate
from ser_graph.evaluation.metrics import point_scores
from ser_graph.experiment.cross_validation import cross_validate
from ser_graph.experiment.grid import essential, student_name
from ser_graph.graph import ClipGraph


class Folds(NamedTuple):
    """The groups of speakers to leave out in turn: `folds` and `dev_speakers` of a recipe."""

    groups: int | str
    n_dev: int | None = None

    @property
    def number(self) -> int | None:
        """Number of groups; None for one speaker at a time."""
        return None if isinstance(self.groups, str) else self.groups


def prepare_student(
    data: ClipGraph,
    settings: TrainingSettings,
    out: Path,
    asked: dict[str, Any],
    *,
    folds: Folds | None = None,
    device: str | None = None,
    progress: bool = True,
) -> None:
    """Train, measure and store a student, or one for each fold, unless this stage is finished.

    Args:
        data: the graph.
        settings: how to train.
        out: the run folder.
        asked: `asked_of_data` of the graph.
        folds: the groups to leave out in turn; None means the split of the target.
        device: e.g. ``"cpu"``.
        progress: show progress bars.
    """
    stage, group = student_stage(out, asked, folds, settings), processes()
    if group.of_first(stage.is_finished()):
        return
    with stage.work() as work:
        if folds is not None:
            _prepare_folds(stage, work, data, settings, folds, device=device, progress=progress)
            group.wait()
            return
        student = train(data, settings, checkpoint=work, device=device, progress=progress)
        if is_first():
            _store(stage, student, data, settings)
        group.wait()


def _store(stage: Stage, student: Student, data: ClipGraph, settings: TrainingSettings) -> None:
    """Measure a student, and store it with all results."""
    predictions = predict_clips(student, data, "test")
    metrics = evaluate(predictions)
    dev_predictions = _predict_dev(student, data, settings)
    with stage.write() as part:
        write_student(student, part)
        write_csv(pd.DataFrame(student.info["history"]), part / "history.csv", index=False)
        write_csv(predictions, part / "predictions.csv")
        metrics |= _write_dev(dev_predictions, part)
        one_clip = None if student.needs_teacher else latency_ms(student)
        metrics.update(size_mb=size_mb(part), latency_ms=one_clip, n_params=student.n_params)
        metrics["epoch"] = student.info["epoch"]
        write_json(part / "metrics.json", metrics)


def _prepare_folds(
    stage: Stage,
    work: Path,
    data: ClipGraph,
    settings: TrainingSettings,
    folds: Folds,
    *,
    device: str | None,
    progress: bool,
) -> None:
    """Train a student for each fold, measure them together and store them as one student, without the models."""
    how: dict[str, Any] = {"out": work / "folds", "device": device, "progress": progress}
    found = cross_validate(data, settings, n_folds=folds.number, n_dev=folds.n_dev, **how)
    metrics: dict[str, Any] = {**found.metrics, "size_mb": None, "latency_ms": None}
    if not is_first():
        return
    with stage.write() as part:
        write_csv(found.predictions, part / "predictions.csv")
        write_csv(found.folds, part / "folds.csv")
        metrics |= _write_dev(found.dev_predictions, part)
        metrics |= {"n_params": int(found.folds["n_params"].iloc[0]), "epoch": found.folds["epoch"].tolist()}
        write_json(part / "metrics.json", metrics)


def _write_dev(predictions: pd.DataFrame | None, folder: Path) -> dict[str, Any]:
    """Store the predictions for dev, if any; returns their metrics."""
    if predictions is None:
        return {}
    write_csv(predictions, folder / "dev_predictions.csv")
    return {f"dev_{name}": value for name, value in point_scores(predictions).items()}


def student_stage(out: Path, asked: dict[str, Any], folds: Folds | None, settings: TrainingSettings) -> Stage:
    """The stage of a student; see `prepare_student`."""
    own = {"settings": essential(settings).asked(), "folds": folds and folds._asdict()}
    return Stage(out / "students" / student_name(settings), {**asked, **own})


def _predict_dev(student: Student, data: ClipGraph, settings: TrainingSettings) -> pd.DataFrame | None:
    """Predictions for dev, if the student was not trained on it and it has labels."""
    measurable = settings.protocol == "clean" and bool((data.val_mask & (data.y >= 0)).any())
    return predict_clips(student, data, "dev") if measurable else None
