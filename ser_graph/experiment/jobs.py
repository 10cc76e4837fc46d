"""The students of a grid, one after the other or side by side; each fold of each student is a job of its own.

Two engines run jobs side by side: joblib starts processes on this machine, submitit starts workers on a cluster
(arrays of SLURM). A worker of a cluster takes the next job that no other worker holds, by a lock in the run folder:

    jobs/locks/       a file for each job; the worker that trains it holds its lock
    jobs/logs/        what submitit stores: the output of each worker

A job that is finished is found by its `stage.json`. If a worker is lost, its job is free again; another worker
continues it from the last epoch.
"""

import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ser_graph.common.extras import optional_package
from ser_graph.common.locks import lock_if_free
from ser_graph.common.memory import keep_freed_memory
from ser_graph.common.processes import safe_imports
from ser_graph.common.progress import progress_bar
from ser_graph.common.stages import MARK
from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.training import asked_of_data
from ser_graph.errors import InputError, bad_value, one_line
from ser_graph.experiment.cross_validation import fold_folders, prepare_fold
from ser_graph.experiment.students import Folds, prepare_student, student_stage
from ser_graph.graph import ClipGraph, load_graph

CLUSTERS = ("slurm", "local")
_LONGEST = 24 * 60  # minutes of a worker, unless the user says otherwise: submitit's own limits are minutes
_BETWEEN = 1.0  # seconds between two looks at the jobs
_ROUNDS = 3  # times that workers are started without a job that becomes finished

Said = list[tuple[str, type[Warning]]]


class Cluster(NamedTuple):
    """Where workers run.

    Attributes:
        name: ``"slurm"``, or ``"local"`` for processes of submitit on this machine.
        parameters: of submitit, e.g. ``{"timeout_min": 600, "slurm_partition": "gpu"}``.
    """

    name: str
    parameters: dict[str, Any]


class Job(NamedTuple):
    """A student to train, or one of its folds.

    Attributes:
        settings: of the training.
        fold: the number of the fold; None if the student has no folds.
        folder: the folder of the result.
    """

    settings: TrainingSettings
    fold: int | None
    folder: Path

    @property
    def name(self) -> str:
        """A name for the lock."""
        return self.folder.name if self.fold is None else f"{self.folder.parents[1].name}-{self.folder.name}"

    @property
    def is_finished(self) -> bool:
        """Whether the result is there; `Stage.is_finished` also compares its request."""
        return (self.folder / MARK).exists()


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
            prepare_fold(data, job.settings, job.fold, job.folder.parent, **how)


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
    run = _Run(out, asked_of_data(data), folds)
    missing = [settings for settings in grid if not student_stage(*run, settings).is_finished()]
    if jobs > 1 or cluster is not None:
        parts = [job for settings in missing for job in _jobs(run, data, settings) if not job.is_finished]
        if cluster is None:
            _run_here(run, parts, jobs, device, progress=progress)
        else:
            _run_on(cluster, run, parts, jobs, device, progress=progress)
    how: dict[str, Any] = {"folds": folds, "device": device, "progress": progress}
    for settings in missing:  # after jobs, only the results of the folds are put together
        prepare_student(data, settings, out, run.asked, **how)


def _jobs(run: _Run, data: ClipGraph, settings: TrainingSettings) -> list[Job]:
    stage = student_stage(*run, settings)
    if run.folds is None:
        return [Job(settings, None, stage.folder)]
    stage.begin()
    folders = fold_folders(data, settings, run.folds.number, stage.work_folder / "folds")
    return [Job(settings, number, folder) for number, folder in enumerate(folders)]


def _run_here(run: _Run, parts: list[Job], jobs: int, device: str | None, *, progress: bool) -> None:
    """Processes of joblib, each with one CPU thread."""
    n_gpus = torch.cuda.device_count() if device is None else 0
    calls = (
        delayed(_do_alone)(run, job, f"cuda:{number % n_gpus}" if n_gpus else device, os.getpid())
        for number, job in enumerate(parts)
    )
    pool = Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="n_jobs", batch_size=1)
    bar = progress_bar(total=len(parts), desc=f"training, {jobs} at a time", unit="student", disable=not progress)
    try:
        with bar, safe_imports(), parallel_config("loky", inner_max_num_threads=1), warnings.catch_warnings():
            # A process that has grown is replaced: nothing is wrong.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
            for said in pool(calls):
                bar.update()
                _repeat(said)
    except TerminatedWorkerError:
        raise InputError(
            f"A process that trained a student was killed, often because memory was full. jobs={jobs} may be too "
            "many: to continue, make the same call with fewer jobs"
        ) from None


def _do_alone(run: _Run, job: Job, device: str | None, parent: int) -> Said:
    """Do a job in a process of joblib; returns its warnings."""
    done = threading.Event()

    def leave_with_parent() -> None:
        while not done.wait(1):
            if os.getppid() != parent:  # the parent was killed: the next run trains this student again
                os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        with _recorded() as said:
            run.do(job, load_graph(run.out / "graph"), device)
    finally:
        done.set()
    return said


def _run_on(
    cluster: Cluster, run: _Run, parts: list[Job], jobs: int, device: str | None, *, progress: bool
) -> None:
    """Workers of submitit, in rounds: a new round starts if workers were lost or ran out of time."""
    bar = progress_bar(
        total=len(parts), desc=f"training on {cluster.name}, {jobs} at a time", unit="student", disable=not progress
    )
    missing, rounds = parts, 0
    with bar:
        while missing and rounds < _ROUNDS:
            if not _free(run.out, missing):  # workers of an earlier call still train all of them
                time.sleep(_BETWEEN)
            else:
                rounds += 1
                with _submitted(cluster, run, missing, min(jobs, len(missing)), device) as workers:
                    while not all(worker.done() for worker in workers):
                        _count(bar, parts)
                        time.sleep(_BETWEEN)
                    _check_errors(workers)
            before, missing = missing, [job for job in missing if not job.is_finished]
            if len(missing) < len(before):
                rounds = 0
            _count(bar, parts)
    if missing:
        raise InputError(
            f"{len(missing)} students or folds are not finished, e.g. {missing[0].name}: their workers ended "
            f"{_ROUNDS} times without a result; look into {_logs(run.out)}, then run the same command again"
        )


@contextmanager
def _submitted(
    cluster: Cluster, run: _Run, parts: list[Job], n_workers: int, device: str | None
) -> Iterator[list[Any]]:
    """Start workers, each with all jobs to choose from; cancel them if this process is interrupted."""
    submitit = optional_package("submitit", "slurm")
    if cluster.name not in CLUSTERS:
        raise bad_value("cluster", cluster.name, CLUSTERS)
    threads = int(cluster.parameters.get("cpus_per_task", 1))
    try:
        executor = submitit.AutoExecutor(_logs(run.out), cluster=cluster.name)
        executor.update_parameters(
            **{"name": "ser-graph", "timeout_min": _LONGEST, "cpus_per_task": 1, **cluster.parameters}
        )
        with safe_imports(), executor.batch():  # a batch is one array of SLURM
            workers = [executor.submit(_work, run, parts, device, threads) for _ in range(n_workers)]
    except (RuntimeError, NameError, AssertionError, ValueError) as error:  # of submitit, for wrong parameters
        raise InputError(f"submitit does not start workers on {cluster.name}: {one_line(error)[:300]}") from None
    try:
        yield workers
    except BaseException:
        for worker in workers:
            worker.cancel(check=False)
        raise


def _work(run: _Run, parts: list[Job], device: str | None, threads: int) -> tuple[Said, str | None]:
    """A worker: do every job that is neither finished nor held by another worker.

    Returns:
        Its warnings, and the message of the error that ended it.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    data = load_graph(run.out / "graph")
    with _recorded() as said:
        for job in parts:
            with _taken(run.out, job) as taken:
                if taken and not job.is_finished:
                    try:
                        run.do(job, data, device)
                    except InputError as error:
                        return said, str(error)
    return said, None


@contextmanager
def _taken(out: Path, job: Job) -> Iterator[bool]:
    with lock_if_free(out / "jobs" / "locks" / job.name) as taken:
        yield taken


def _free(out: Path, parts: list[Job]) -> bool:
    """Whether a job is not held by a worker."""
    for job in parts:
        with _taken(out, job) as taken:
            if taken:
                return True
    return False


def _logs(out: Path) -> Path:
    return out.resolve() / "jobs" / "logs"


def _check_errors(workers: list[Any]) -> None:
    """Repeat the warnings and the first error of the workers; one that was lost says nothing."""
    results = [worker.result() for worker in workers if worker.paths.result_pickle.exists()]
    for said, _ in results:
        _repeat(said)
    for _, error in results:
        if error is not None:
            raise InputError(error)


def _count(bar: Any, parts: list[Job]) -> None:
    finished = sum(job.is_finished for job in parts)
    bar.update(finished - bar.n)


@contextmanager
def _recorded() -> Iterator[Said]:
    said: Said = []
    with warnings.catch_warnings(record=True) as found:
        try:
            yield said
        finally:
            said += [(str(warning.message), warning.category) for warning in found]


def _repeat(said: Said) -> None:
    for message, category in said:
        warnings.warn(message, category, stacklevel=2)
