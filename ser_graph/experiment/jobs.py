"""The students of a grid, one after the other or side by side; each fold of each student is a job of its own.

With a cluster (see `workers`), the run folder also has

    jobs/locks/       a file for each job; the worker that trains it holds its lock
    jobs/logs/        what submitit stores: the output of each worker

A job that is finished is found by its `stage.json`. Another worker continues a lost job from the last epoch.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ser_graph.common.distributed import processes
from ser_graph.common.stages import MARK
from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.training import asked_of_data
from ser_graph.experiment.cross_validation import fold_folders, prepare_fold
from ser_graph.experiment.students import Folds, prepare_student, student_stage
from ser_graph.experiment.workers import Cluster, Part, run_here, run_on
from ser_graph.graph import ClipGraph, load_graph


class Job(NamedTuple):
    """A student to train, or one of its folds.

    Attributes:
        settings: of the training.
        fold: the number of the fold; None if the student has no folds.
        part: of the whole work: its result is in the folder of ``part.mark``.
    """

    settings: TrainingSettings
    fold: int | None
    part: Part


class _Run(NamedTuple):
    """What all jobs of a run share."""

    out: Path
    asked: dict[str, Any]
    folds: Folds | None

    def do(self, job: Job, data: ClipGraph, device: str | None) -> None:
        if job.fold is None:
            prepare_student(data, job.settings, self.out, self.asked, device=device, progress=False)
        else:
            assert self.folds is not None
            how: dict[str, Any] = {"n_folds": self.folds.number, "n_dev": self.folds.n_dev, "device": device}
            prepare_fold(data, job.settings, job.fold, job.part.mark.parents[1], **how)

    def do_alone(self, job: Job, device: str | None) -> None:
        """In a process of its own, which maps the graph of the run."""
        self.do(job, load_graph(self.out / "graph"), device)

    def do_free(self, jobs: list[Job], device: str | None) -> None:
        """Every job that is neither finished nor held by another worker."""
        data = load_graph(self.out / "graph")
        for job in jobs:
            with job.part.taken() as taken:
                if taken and not job.part.is_finished:
                    self.do(job, data, device)


def prepare_students(
    data: ClipGraph,
    grid: list[TrainingSettings],
    out: Path,
    *,
    folds: Folds | None = None,
    device: str | None = None,
    progress: bool = True,
    jobs: int = 1,
    cluster: Cluster | None = None,
) -> None:
    """Prepare all students of a grid, one after the other or `jobs` at the same time; see `prepare_student`."""
    run, group = _Run(out, asked_of_data(data), folds), processes()
    missing = [one for one in grid if not group.of_first(student_stage(*run, one).is_finished())]
    if jobs > 1 or cluster is not None:
        todo = [job for settings in missing for job in _jobs(run, data, settings) if not job.part.is_finished]
        named: dict[str, Any] = {"what": "training", "unit": "student" if folds is None else "fold"}
        if cluster is None:
            n_gpus = torch.cuda.device_count() if device is None else 0
            devices = [f"cuda:{number % n_gpus}" if n_gpus else device for number in range(len(todo))]
            calls = [partial(run.do_alone, job, where) for job, where in zip(todo, devices, strict=True)]
            run_here(calls, jobs, **named, progress=progress)
        else:
            parts, work = [job.part for job in todo], partial(run.do_free, todo, device)
            run_on(cluster, parts, work, out / "jobs" / "logs", jobs, **named, progress=progress)
    how: dict[str, Any] = {"folds": folds, "device": device, "progress": progress}
    for settings in missing:  # after jobs, only the results of the folds are put together
        prepare_student(data, settings, out, run.asked, **how)


def _jobs(run: _Run, data: ClipGraph, settings: TrainingSettings) -> list[Job]:
    stage = student_stage(*run, settings)
    locks, name = run.out / "jobs" / "locks", stage.folder.name
    if run.folds is None:
        return [Job(settings, None, Part(name, stage.folder / MARK, locks / name))]
    stage.begin()
    folders = fold_folders(data, settings, run.folds.number, stage.work_folder / "folds")
    names = [f"{name}-{folder.name}" for folder in folders]
    parts = [Part(name, folder / MARK, locks / name) for name, folder in zip(names, folders, strict=True)]
    return [Job(settings, number, part) for number, part in enumerate(parts)]
