"""Students trained cell by cell and stored fold by fold: what the benchmarks on real speech share.

A cell is a folder: one kind of student, trained one way with one seed, a student for each group of speakers left
out. A cell that was stopped goes on where it was; one that is finished is not done again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from joblib import Parallel, delayed

import ser_graph as sg
from ser_graph.common.files import write_json
from ser_graph.common.progress import progress_bar
from ser_graph.common.stages import Stage
from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.training import asked_of_training
from ser_graph.evaluation import uar
from ser_graph.evaluation.metrics import read_predictions
from ser_graph.experiment.clips import prepare_corpus, prepare_target
from ser_graph.experiment.graph import prepare_graph, prepare_upstream
from ser_graph.experiment.recipe import Recipe
from ser_graph.graph import ClipGraph


def nodes(recipe: Recipe, out: Path) -> ClipGraph:
    """All clips with embeddings and spectrograms, the other corpora's too; made once."""
    source = prepare_corpus(recipe.source, out / "source") if recipe.source and recipe.upstream.finetune else None
    target = prepare_target(recipe, out)
    return prepare_graph(recipe, prepare_upstream(recipe, source, out), target, out)


def n_folds(recipe: Recipe) -> int | None:
    """As `cross_validate` takes it."""
    return recipe.folds if isinstance(recipe.folds, int) else None


def train_cell(data: ClipGraph, recipe: Recipe, folder: Path, **changes: Any) -> None:
    """Train what is missing of a cell, with one thread and the recipe's settings but for `changes`."""
    torch.set_num_threads(1)
    settings = TrainingSettings(**{**recipe.students.training, **changes})
    folds = {"n_folds": n_folds(recipe), "n_dev": recipe.dev_speakers}
    stage = Stage(folder, {**asked_of_training(data, settings), **folds})
    if stage.is_finished():
        return
    with stage.work() as work:
        found = sg.cross_validate(data, settings, **folds, out=work / "folds", progress=False)
        with stage.write() as part:
            for fold in sorted((work / "folds").glob("fold-*")):
                fold.rename(part / fold.name)
            write_json(part / "done.json", found.metrics)


def is_done(folder: Path) -> bool:
    """Whether every fold of a cell is finished."""
    return (folder / "done.json").exists()


def predictions(folder: Path, split: str = "test") -> list[pd.DataFrame]:
    """Of each fold of a cell, what was said of its test or dev clips."""
    name = {"test": "predictions.csv", "dev": "dev_predictions.csv"}[split]
    return [read_predictions(file) for file in sorted(folder.glob(f"fold-*/{name}"))]


def table_uar(table: pd.DataFrame) -> float:
    """UAR of a table of predictions."""
    return uar(table["emotion"], table["predicted"])


def side_by_side(function: Callable[..., None], work: list[tuple[Any, ...]], jobs: int) -> None:
    """Call a function with each of many arguments, each call in a process of its own."""
    calls = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1)(
        delayed(function)(*arguments) for arguments in work
    )
    for _ in progress_bar(calls, total=len(work), desc="cells", disable=not work):
        pass
