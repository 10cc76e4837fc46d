"""The results of a run, from its stored stages: all numbers, and the figures."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ser_graph.analysis import graph_card, graph_statistics
from ser_graph.common.files import atomic_file, read_json
from ser_graph.common.provenance import environment
from ser_graph.common.settings import names_of
from ser_graph.corpora import speaker_overlap
from ser_graph.downstream import TrainingSettings
from ser_graph.evaluation import confusion_matrix, plot_confusion_matrix, plot_history, plot_students
from ser_graph.evaluation.metrics import read_predictions
from ser_graph.evaluation.tables import short_names, students_table
from ser_graph.experiment.grid import student_name, unusual
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import recipe_values
from ser_graph.graph import ClipGraph
from ser_graph.inspection import plot_degrees, plot_map, plot_mixing, plot_similarities
from ser_graph.upstream import Upstream


def summarise(recipe: Recipe, upstream: Upstream, data: ClipGraph, out: Path) -> dict[str, Any]:
    """All results of a run, from its stored stages: the content of `results.json`."""
    students = [_student_row(settings, out) for settings in recipe.training_settings()]
    synthetic = all(corpus.corpus == "synthetic" for corpus in recipe.targets)
    info = upstream.info
    overlap = speaker_overlap(data.table)
    return {
        "name": recipe.name,
        "title": _title(recipe, upstream, data, synthetic),
        "synthetic": synthetic,
        "protocol": recipe.protocol,
        "folds": recipe.folds,
        "transductive": recipe.graph.scope == "all",
        "students": students,
        "graph": {
            **_finite(graph_statistics(data).to_dict()),
            "n_in_scope": data.meta.measured.n_in_scope,
            "epsilon": data.meta.measured.epsilon,
            "card": _finite(graph_card(data).to_dict()),
        },
        "upstream": {
            "model": recipe.upstream.model,
            "n_params": upstream.n_params,
            "corpus": info.get("corpus"),
            "dev_accuracy": info.get("dev_accuracy"),
            "test_accuracy": info.get("test_accuracy"),
        },
        "n_test": students[0]["n_test"],
        "n_test_speakers": students[0]["n_test_speakers"],
        "shared_speakers": sorted(map(str, overlap.index)),
        "data_hash": data.meta.data_hash,
        "recipe": recipe_values(recipe),
        "environment": environment(),
    }


def _student_row(settings: TrainingSettings, out: Path) -> dict[str, Any]:
    name = student_name(settings)
    folder = out / "students" / name
    chosen = {
        "backbone": settings.backbone,
        "method": settings.learns_from or "baseline",
        "alpha": settings.weight,
        **{key: getattr(settings, key) for key in ("n_neighbors", "layer", "transfer", "seed")},
    }
    further = {name: value for name, value in unusual(settings).items() if name not in chosen}
    training = settings.model_dump(include=names_of(TrainingSettings, "run") - {"seed", "protocol"})
    return {"name": name, **chosen, "further": further, "training": training, **read_json(folder / "metrics.json")}


def _title(recipe: Recipe, upstream: Upstream, data: ClipGraph, synthetic: bool) -> str:
    source = upstream.info.get("corpus") or "upstream as it is"
    corpora = "synthetic speech" if synthetic else f"{source} -> {data.meta.corpus}"
    if recipe.folds is None:
        return f"{corpora}, protocol {recipe.protocol}"
    groups = "each speaker" if recipe.folds == "speakers" else f"{recipe.folds} groups of speakers"
    return f"{corpora}, protocol {recipe.protocol}, {groups} left out in turn"


def _finite(values: dict[Any, Any]) -> dict[str, Any]:
    """NaN as None, for JSON."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }


def draw(data: ClipGraph, results: dict[str, Any], out: Path) -> None:
    """The figures of a run: one file for each, and the first ones together as `overview.png`."""
    names = [row["name"] for row in results["students"]]
    histories = {
        name: read_json(model)["info"]["history"]
        for name in names
        if (model := out / "students" / name / "model.json").exists()  # no model if speakers are left out in turn
    }
    predictions = {name: read_predictions(out / "students" / name / "predictions.csv") for name in names}
    short, chance = short_names(names)[0], 1 / len(data.emotions)
    students = students_table(results).rename(index=short)
    histories = {short[name]: history for name, history in histories.items()}
    plots: dict[str, Callable[[Axes | None], Axes]] = {
        "similarities": lambda ax: plot_similarities(data, ax),
        "degrees": lambda ax: plot_degrees(data, ax),
        "map": lambda ax: plot_map(data, ax=ax),
        "mixing": lambda ax: plot_mixing(data, ax=ax),
        **({"history": lambda ax: plot_history(histories, ax)} if histories else {}),
        "students": lambda ax: plot_students(students, ax, chance),
    }
    overview = Figure(figsize=(18, 8.5), layout="constrained", dpi=150)
    places = list(overview.subplots(2, 3).flat)
    for ax in places[len(plots) :]:
        ax.remove()
    for (name, plot), ax in zip(plots.items(), places, strict=False):
        plot(ax)
        _save(plot(None), results["title"], out / "figures" / f"{name}.png")
    _save(overview.axes[0], f"{results['name']}: {results['title']}", out / "figures" / "overview.png")
    for name, table in predictions.items():
        ax = plot_confusion_matrix(confusion_matrix(table), title=short[name])
        _save(ax, results["title"], out / "figures" / f"confusion-{name}.png")


def _save(ax: Axes, title: str, path: Path) -> None:
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.suptitle(title, fontsize=9, color="grey")
    with atomic_file(path) as part:
        figure.savefig(part, format="png")
