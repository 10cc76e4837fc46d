"""Run a recipe stage by stage in a run folder."""

import contextlib
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from ser_graph.common.distributed import processes
from ser_graph.common.files import atomic_file, foreign_names, sweep, write_json
from ser_graph.common.locks import lock
from ser_graph.common.processes import call_alone, is_first
from ser_graph.common.provenance import environment
from ser_graph.downstream.transfer import check_transfer
from ser_graph.errors import InputError, shorten
from ser_graph.experiment.clips import check_aligned, check_labels, check_tested, prepare_source, target_tables
from ser_graph.experiment.graph import prepare_clips_of_shards, prepare_graph, prepare_upstream
from ser_graph.experiment.jobs import prepare_students
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import recipe_values
from ser_graph.experiment.results import draw, summarise
from ser_graph.experiment.students import Folds
from ser_graph.experiment.workers import Cluster


def run(
    recipe: Recipe,
    out: str | Path,
    *,
    skip_bad: bool = False,
    device: str | None = None,
    progress: bool = True,
    jobs: int = 1,
    cluster: str | None = None,
    cluster_parameters: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Run a recipe. The run uses the finished stages of an earlier call in the same folder.

    Under ``torchrun``, on one or more machines that share `out`, all processes make this call. They share the
    embedding, the shards and each batch of a training; one of them does the rest.

    Args:
        recipe: the recipe.
        out: the run folder.
        skip_bad: leave out unusable clips and list them, instead of stopping.
        device: e.g. ``"cpu"``; by default the GPU if there is one.
        progress: show progress bars.
        jobs: number of students or folds to train at the same time, each in a process with one CPU thread. If there
            are GPUs, the processes use them in turn. On the CPU, the students equal those of a run with one job and
            one thread (``OMP_NUM_THREADS=1``); only their latency differs, because the machine is busy.
        cluster: ``"slurm"``: train on a cluster, with `jobs` workers of submitit (the extra ``slurm``) that all see
            `out`. A lost worker costs its student or fold only. ``"local"`` starts such workers on this machine.
        cluster_parameters: of submitit, e.g. ``{"timeout_min": 600, "slurm_partition": "gpu"}``. A worker has
            ``cpus_per_task`` threads, by default one.

    Returns:
        The content of `results.json`.

    Raises:
        InputError: an error in the recipe, the corpora or the folder; found before the long work if possible.
    """
    out, group = Path(out).expanduser(), processes()
    if jobs < 1:
        raise InputError(f"Bad jobs {jobs!r}, expected at least 1")
    if not group.alone and (jobs > 1 or cluster is not None):
        raise InputError(
            "The processes of torchrun share each step: leave out jobs and cluster, or leave out torchrun"
        )
    where = None if cluster is None else Cluster(cluster, cluster_parameters or {})
    with contextlib.ExitStack() as held:
        if is_first():
            _check_free(out)
            held.enter_context(lock(out))
            sweep(out, held=True)
            if not (out / "recipe.toml").exists():  # the notes of an earlier call stay until this call has results
                _note(out, recipe)
        group.wait()
        how: dict[str, Any] = {"device": device, "progress": progress and is_first()}
        return _run_stages(recipe, out, skip_bad=skip_bad, jobs=jobs, cluster=where, **how)


def _run_stages(
    recipe: Recipe,
    out: Path,
    *,
    skip_bad: bool,
    device: str | None,
    progress: bool,
    jobs: int,
    cluster: Cluster | None,
) -> dict[str, Any]:
    _check_space(out, recipe, jobs=jobs)
    group = processes()
    source = group.after_first(partial(prepare_source, recipe, out, skip_bad=skip_bad))
    tables = group.after_first(partial(target_tables, recipe, out, skip_bad=skip_bad))
    target = tables.joined(recipe.copies)
    if source is not None:
        check_labels(source, target)
    check_tested(recipe, source, target)
    check_aligned(recipe, target)
    _check_space(out, recipe, len(target), jobs=jobs)
    how: dict[str, Any] = {"device": device, "progress": progress}
    if (
        source is not None and is_first() and not group.alone
    ):  # the Trainer would join the group, and make larger batches
        call_alone(partial(_finetune, recipe, source, out, **how))
    group.wait()
    upstream = prepare_upstream(recipe, source, out, **how)
    if recipe.shards:
        tables.other.extend(prepare_clips_of_shards(recipe, out, jobs=jobs, cluster=cluster, **how))
        group.wait()
        target = tables.joined(recipe.copies)
    data = prepare_graph(recipe, upstream, target, out, **how)
    grid = recipe.training_settings()
    for settings in grid:
        check_transfer(settings.transfer, data.emb, settings.width)
    folds = None if recipe.folds is None else Folds(recipe.folds, recipe.dev_speakers)
    prepare_students(data, grid, out, folds=folds, jobs=jobs, cluster=cluster, **how)
    results = summarise(recipe, upstream, data, out)
    if not is_first():
        return results
    (out / "results.json").unlink(missing_ok=True)  # the run is unfinished until all stages belong to this recipe
    draw(data, results, out)
    _note(out, recipe)
    write_json(out / "results.json", results)
    return results


def _finetune(recipe: Recipe, source: pd.DataFrame | None, out: Path, **how: Any) -> None:
    """The stage of the upstream, in a process without others; its result is the stored upstream."""
    prepare_upstream(recipe, source, out, **how)


def _check_free(out: Path) -> None:
    """Refuse a file, and a folder with other content than a run; allow a run that was killed in its first write."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, expected a folder for the run")
    if not out.exists() or (out / "recipe.toml").exists():
        return
    if found := foreign_names(out):
        raise InputError(
            f"{out} is not empty and contains no run ({shorten(found)}); choose another folder with --out"
        )


def _note(out: Path, recipe: Recipe) -> None:
    """Store the recipe, and the versions and machine of the run."""
    with atomic_file(out / "recipe.toml") as part:
        part.write_text(tomli_w.dumps(recipe_values(recipe)), "utf-8")
    write_json(out / "environment.json", environment())


def _check_space(out: Path, recipe: Recipe, n_clips: int = 0, jobs: int = 1) -> None:
    """Refuse to begin the long work if the disk is too small for its results (a rough estimate)."""
    features = recipe.features
    graph = n_clips * features.n_frames * features.n_mels * 2
    students = 0.06e9 * len(recipe.training_settings()) + 0.5e9 * jobs  # weights, and checkpoints in training
    needed = graph + students + (1.5e9 if recipe.upstream.model != "small" else 0.05e9)
    free = shutil.disk_usage(out).free
    if free < needed:
        raise InputError(
            f"The run needs about {needed / 1e9:.1f} GB in {out}, but {free / 1e9:.1f} GB are free; make room, or "
            "choose another folder with --out"
        )
