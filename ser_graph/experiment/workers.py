"""Two engines that do the parts of a large work side by side: joblib on this machine, submitit on a cluster.

joblib starts a process for each of some calls. submitit starts workers (an array of SLURM). Each worker takes the
next part that is not finished and that no other worker holds, by a lock of the system in the shared folder. If a
worker is lost, its part is free again. No part depends on a clock.
"""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
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
from ser_graph.common.warning import warn
from ser_graph.errors import InputError, bad_value, one_line

CLUSTERS = ("slurm", "local")
_LONGEST = 24 * 60  # minutes of a worker, unless the user says otherwise: submitit's own limits are minutes
_BETWEEN = 1.0  # seconds between two looks at the parts
_ROUNDS = 3  # times that workers are started without a part that becomes finished

Said = list[tuple[str, type[Warning]]]


class Cluster(NamedTuple):
    """Where workers run.

    Attributes:
        name: ``"slurm"``, or ``"local"`` for processes of submitit on this machine.
        parameters: of submitit, e.g. ``{"timeout_min": 600, "slurm_partition": "gpu"}``.
    """

    name: str
    parameters: dict[str, Any]


class Part(NamedTuple):
    """A part of the work.

    Attributes:
        name: for messages.
        mark: a file that is there when the part is finished.
        lock: a file that a worker locks while it does the part.
    """

    name: str
    mark: Path
    lock: Path

    @property
    def is_finished(self) -> bool:
        """Whether the part is finished."""
        return self.mark.exists()

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Hold the part; False if another worker holds it."""
        with lock_if_free(self.lock) as taken:
            yield taken


def run_here(calls: Sequence[Callable[[], object]], jobs: int, what: str, unit: str, *, progress: bool) -> None:
    """Make calls in `jobs` processes of joblib, each with one CPU thread.

    Raises:
        InputError: of the first call that raises one; or a process was killed.
    """
    pool = Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="n_jobs", batch_size=1)
    bar = progress_bar(total=len(calls), desc=f"{what}, {jobs} at a time", unit=unit, disable=not progress)
    try:
        with bar, safe_imports(), parallel_config("loky", inner_max_num_threads=1), warnings.catch_warnings():
            # A process that has grown is replaced: nothing is wrong.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
            for said in pool(delayed(_alone)(call, os.getpid()) for call in calls):
                bar.update()
                _repeat(said)
    except TerminatedWorkerError:
        raise InputError(
            f"A process ({what}) was killed, often because memory was full. jobs={jobs} may be too many: to "
            "continue, make the same call with fewer jobs"
        ) from None


def _alone(call: Callable[[], object], parent: int) -> Said:
    """Make a call in a process of joblib; returns its warnings."""
    done = threading.Event()

    def leave_with_parent() -> None:
        while not done.wait(1):
            if os.getppid() != parent:  # the parent was killed: the next run does this part again
                os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        with _recorded() as said:
            call()
    finally:
        done.set()
    return said


def run_on(
    cluster: Cluster,
    parts: list[Part],
    work: Callable[[], object],
    logs: Path,
    jobs: int,
    what: str,
    unit: str,
    *,
    progress: bool,
) -> None:
    """Do parts with `jobs` workers of submitit. If workers were lost or ran out of time, new workers start.

    Args:
        cluster: where.
        parts: of the work.
        work: what a worker does: all parts that are neither finished nor taken. It is pickled.
        logs: a folder for the files of submitit, with the output of each worker.
        jobs: number of workers.
        what: the name of the work.
        unit: the name of a part.
        progress: show a progress bar.

    Raises:
        InputError: submitit refuses a parameter; of the first worker that raises one; or workers ended again and
            again without a result.
    """
    bar = progress_bar(
        total=len(parts), desc=f"{what} on {cluster.name}, {jobs} at a time", unit=unit, disable=not progress
    )
    missing, rounds = [part for part in parts if not part.is_finished], 0
    with bar:
        while missing and rounds < _ROUNDS:
            if not any(map(_is_free, missing)):  # workers of an earlier call still do all of them
                time.sleep(_BETWEEN)
            else:
                rounds += 1
                with _submitted(cluster, work, logs, min(jobs, len(missing))) as workers:
                    while not all(worker.done() for worker in workers):
                        _count(bar, parts)
                        time.sleep(_BETWEEN)
                    _check_errors(workers)
            before, missing = missing, [part for part in missing if not part.is_finished]
            if len(missing) < len(before):
                rounds = 0
            _count(bar, parts)
    if missing:
        raise InputError(
            f"{len(missing)} parts ({what}) are not finished, e.g. {missing[0].name}: workers ended {_ROUNDS} "
            f"times without a result; look into {logs}, then run the same command again"
        )


@contextmanager
def _submitted(cluster: Cluster, work: Callable[[], object], logs: Path, n_workers: int) -> Iterator[list[Any]]:
    """Start workers; cancel them if this process is interrupted."""
    submitit = optional_package("submitit", "slurm")
    if cluster.name not in CLUSTERS:
        raise bad_value("cluster", cluster.name, CLUSTERS)
    try:
        executor = submitit.AutoExecutor(logs.resolve(), cluster=cluster.name)
        defaults = {"name": "ser-graph", "timeout_min": _LONGEST, "cpus_per_task": 1}
        executor.update_parameters(**{**defaults, **cluster.parameters})
        threads = int(cluster.parameters.get("cpus_per_task", 1))
        with safe_imports(), executor.batch():  # a batch is one array of SLURM
            workers = [executor.submit(_guarded, work, threads) for _ in range(n_workers)]
    except (RuntimeError, NameError, AssertionError, ValueError) as error:  # of submitit, for wrong parameters
        raise InputError(f"submitit does not start workers on {cluster.name}: {one_line(error)[:300]}") from None
    try:
        yield workers
    except BaseException:
        for worker in workers:
            worker.cancel(check=False)
        raise


def _guarded(work: Callable[[], object], threads: int) -> tuple[Said, str | None]:
    """A worker: its warnings, and the message of the error that ended it."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    with _recorded() as said:
        try:
            work()
        except InputError as error:
            return said, str(error)
    return said, None


def _is_free(part: Part) -> bool:
    with part.taken() as taken:
        return taken


def _check_errors(workers: list[Any]) -> None:
    """Repeat the warnings and the first error of the workers; one that was lost says nothing."""
    results = [worker.result() for worker in workers if worker.paths.result_pickle.exists()]
    for said, _ in results:
        _repeat(said)
    for _, error in results:
        if error is not None:
            raise InputError(error)


def _count(bar: Any, parts: list[Part]) -> None:
    finished = sum(part.is_finished for part in parts)
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
        warn(message, category)
