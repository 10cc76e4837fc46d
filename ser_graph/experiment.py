"""A recipe, run from the clips to the students' numbers: every stage stored, none done twice.

A run folder:

    recipe.toml, environment.json    what was asked for, and with what it was made
    source/, target/                 clip tables, and what is wrong with the clips
    upstream/                        the fine-tuned upstream, in the Hugging Face layout
    embeddings/                      embeddings by content
    graph/                           the graph, see `ser_graph.graph.storage`
    students/NAME/                   model.safetensors, model.json, history.csv, metrics.json, predictions.csv (of
                                     test), dev_predictions.csv (where dev is not trained on); where speakers are
                                     left out in turn, folds.csv instead of a model
    figures/                         PNGs
    results.json                     every number, see `summarise`
"""

import hashlib
import logging
import math
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w
import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import BaseModel
from tqdm.auto import tqdm

from ser_graph.audio.checking import check_clips, usable_clips
from ser_graph.corpora import (
    check_split,
    join_corpora,
    load_corpus,
    read_table,
    speaker_overlap,
    speaker_split,
    write_table,
)
from ser_graph.cross_validation import cross_validate
from ser_graph.downstream import Student, TrainingSettings, predict, train
from ser_graph.downstream.student import write_student
from ser_graph.edge.measuring import latency_ms, size_mb
from ser_graph.errors import InputError
from ser_graph.evaluation import (
    confusion_matrix,
    evaluate,
    plot_confusion_matrix,
    plot_history,
    plot_students,
)
from ser_graph.evaluation.significance import METRICS
from ser_graph.evaluation.tables import students_table
from ser_graph.files import atomic_file, atomic_folder, content_hash, environment, read_json, write_json
from ser_graph.graph import ClipGraph, build_graph, graph_card, graph_statistics, load_graph, save_graph
from ser_graph.inspection import plot_degrees, plot_map, plot_mixing, plot_similarities
from ser_graph.recipe import Corpus, Recipe, recipe_values, student_name
from ser_graph.upstream import Upstream

logger = logging.getLogger(__name__)

Folds = int | str | None  # of a recipe: a number of groups of speakers, "speakers", or the target's own split


def run(
    recipe: Recipe,
    out: str | Path,
    *,
    skip_bad: bool = False,
    device: str | None = None,
    progress: bool = True,
    jobs: int = 1,
) -> dict[str, Any]:
    """Run a recipe; what an earlier call finished in the same folder is used as it is.

    Args:
        recipe: what to do.
        out: the run folder.
        skip_bad: leave out clips that cannot be used, and list them, instead of stopping.
        device: e.g. ``"cpu"``; by default the GPU where there is one.
        progress: show progress bars.
        jobs: train so many students side by side, each in a process with one CPU thread, on the GPUs in turn
            where there are some. On the CPU the students are those that one after the other gives with one
            thread (``OMP_NUM_THREADS=1``); only their latency, measured on a busy machine, is not.

    Returns:
        The content of `results.json`.

    Raises:
        InputError: a mistake in the recipe, the corpora or the folder; found before the long work where
            that is possible.
    """
    out = Path(out).expanduser()
    if jobs < 1:
        raise InputError(f"Bad jobs {jobs!r}, expected at least 1")
    _claim(out, recipe)
    _check_space(out, recipe, jobs=jobs)
    source = prepare_source(recipe, out, skip_bad=skip_bad)
    target = prepare_target(recipe, out, skip_bad=skip_bad)
    if source is not None:
        check_labels(source, target)
    _check_space(out, recipe, len(target), jobs=jobs)
    upstream = prepare_upstream(recipe, source, out, device=device, progress=progress)
    data = prepare_graph(recipe, upstream, target, out, device=device, progress=progress)
    grid = recipe.training_settings()
    prepare_students(data, grid, out, folds=recipe.folds, device=device, progress=progress, jobs=jobs)
    results = summarise(recipe, upstream, data, out)
    write_json(out / "results.json", results)
    _draw(data, results, out)
    return results


def prepare_corpus(corpus: Corpus, folder: Path, *, skip_bad: bool = False) -> pd.DataFrame:
    """Load, split and check a corpus; its clip table and `problems.csv` are kept in `folder`."""
    table = _load(corpus, folder)
    asked = content_hash(corpus.model_dump(exclude={"root"}), table.index.tolist(), _file_sizes(table), skip_bad)
    if _finished(folder, asked):
        checked = read_table(folder / "clips.csv")
        checked.attrs.update(table.attrs)
        return checked
    logger.info("Checking the %d clips of %s", len(table), table.attrs["corpus"])
    problems = check_clips(table)
    usable = usable_clips(table, problems, skip_bad=skip_bad)
    left_out = table.index.difference(usable.index).tolist()
    if left_out:
        logger.warning("Leaving out %d clips, listed in %s", len(left_out), folder / "problems.csv")
    check_split(usable, shared_speakers=corpus.shared_speakers)
    with _stage(folder, asked, left_out=left_out) as part:
        write_table(usable, part / "clips.csv")
        problems.to_csv(part / "problems.csv", index=False)
    return usable


def prepare_source(recipe: Recipe, out: Path, *, skip_bad: bool = False) -> pd.DataFrame | None:
    """The clips that the upstream is fine-tuned on, of all source corpora; None where it is taken as it is."""
    if not recipe.upstream.finetune:
        return None
    first, *others = recipe.sources
    source = prepare_corpus(first, out / "source", skip_bad=skip_bad)
    tables = [source, *_numbered(others, out, "source", start=2, skip_bad=skip_bad)]
    return join_corpora(tables, labelled=[table.attrs["corpus"] for table in tables]) if others else source


def prepare_target(recipe: Recipe, out: Path, *, skip_bad: bool = False) -> pd.DataFrame:
    """The clips that become the graph's nodes: the target, and the unlabelled corpora joined to it."""
    target = prepare_corpus(recipe.target, out / "target", skip_bad=skip_bad)
    lent = _numbered(recipe.unlabelled, out, "unlabelled", skip_bad=skip_bad)
    return join_corpora([target, *lent]) if lent else target


def check_labels(source: pd.DataFrame, target: pd.DataFrame) -> None:
    """Complain where the upstream would learn nothing but what the target does not ask for.

    Raises:
        InputError: no emotion of the source is one of the target's.
    """
    known, asked = (set(table["emotion"].dropna()) for table in (source, target))
    if not known & asked:
        raise InputError(
            f"The source's emotions {sorted(known)} have nothing in common with the target's {sorted(asked)}; "
            "choose another source, or give its emotions the target's names: source.labels = {calm = 'neutral'}"
        )


def _numbered(
    corpora: list[Corpus], out: Path, name: str, *, start: int = 1, skip_bad: bool = False
) -> list[pd.DataFrame]:
    """Further corpora, told apart by number: the same one may come with two of its parts."""
    tables = []
    for number, corpus in enumerate(corpora, start=start):
        table = prepare_corpus(corpus, out / f"{name}-{number}", skip_bad=skip_bad)
        table.attrs["corpus"] += f"-{number}"
        tables.append(table)
    return tables


def _load(corpus: Corpus, folder: Path) -> pd.DataFrame:
    root = Path(corpus.root) if corpus.root else folder.parent / "corpora" / folder.name
    if corpus.corpus == "synthetic" and (corpus.make or not corpus.root):
        from ser_graph.corpora.synthesis import make_corpus

        make_corpus(root, **corpus.make)  # type: ignore[arg-type]
    split: Any = "default"
    if corpus.split == "speaker-independent":

        def split(table: pd.DataFrame) -> pd.DataFrame:
            return speaker_split(table, corpus.fractions, corpus.seed)

    return load_corpus(corpus.corpus, root, split=split, emotions=corpus.emotions, labels=corpus.labels or "strict")


def _file_sizes(table: pd.DataFrame) -> list[int]:
    paths = [Path(table.attrs["root"]) / file for file in table.index]
    return [path.stat().st_size if path.exists() else -1 for path in paths]


def prepare_upstream(
    recipe: Recipe,
    source: pd.DataFrame | None,
    out: Path,
    *,
    device: str | None = None,
    progress: bool = True,
) -> Upstream:
    """The upstream of a recipe: loaded, and fine-tuned on the source corpus unless that is done already."""
    part = recipe.upstream
    if source is None:
        return Upstream.from_pretrained(part.model, seed=part.seed)
    folder, checkpoints = out / "upstream", out / ".checkpoints" / "upstream"
    source_rows = source[["emotion", "speaker", "split"]].astype(str).to_csv()
    asked = content_hash(
        _asked_of(part, "freeze_encoder"), _model_files(part.model), source_rows, _file_sizes(source)
    )
    if _finished(folder, asked):
        return Upstream.from_pretrained(folder)
    upstream = Upstream.from_pretrained(part.model, seed=part.seed)
    logger.info("Fine-tuning %s on %s", part.model, source.attrs["corpus"])
    settings = part.model_dump(exclude={"model", "finetune"})  # all others are settings of `finetune`
    upstream.finetune(source, checkpoints=checkpoints, device=device, progress=progress, **settings)
    upstream.save(folder)
    write_json(folder / "stage.json", {"asked": asked})
    shutil.rmtree(checkpoints, ignore_errors=True)
    return upstream


def _model_files(model: str) -> list[tuple[str, str]]:
    """The files of a local model and their hashes, so that another model in the same folder is noticed."""
    folder = Path(model).expanduser()
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        with path.open("rb") as file:
            found.append((path.name, hashlib.file_digest(file, "blake2b").hexdigest()))
    return found


def prepare_graph(
    recipe: Recipe,
    upstream: Upstream,
    target: pd.DataFrame,
    out: Path,
    *,
    device: str | None = None,
    progress: bool = True,
) -> ClipGraph:
    """The graph of a recipe: embedded and built, unless that is done already."""
    folder = out / "graph"
    target_rows = target[["emotion", "speaker", "gender", "split"]].astype(str).to_csv()
    asked = content_hash(
        upstream.fingerprint(),
        target_rows,
        _file_sizes(target),
        _asked_of(recipe.embedding, "layer"),
        asdict(recipe.features),
        _asked_of(recipe.graph, "space", "rules"),
        recipe.scope,
    )
    if not _finished(folder, asked):
        logger.info("Building the graph of %d clips", len(target))
        embedding = recipe.embedding.model_dump()
        if embedding["seconds"] == "own":
            embedding["seconds"] = None
        x_file = out / ".x.npy"
        data = build_graph(
            target,
            upstream,
            epsilon=recipe.epsilon,
            n_neighbors=recipe.graph.n_neighbors,
            scope=recipe.scope,  # type: ignore[arg-type]
            space=recipe.graph.space,
            rules=recipe.graph.rules,
            method=recipe.graph.method,
            seed=recipe.graph.seed,
            shared_speakers=recipe.target.shared_speakers,
            features=recipe.features,
            out=x_file,
            cache=out / "embeddings",
            progress=progress,
            device=device,
            **embedding,
        )
        save_graph(data, folder, x_file=x_file)
        write_json(folder / "stage.json", {"asked": asked})
        logger.info("%s", graph_card(data)["text"])
    return load_graph(folder)


def _asked_of(part: BaseModel, *added: str) -> dict[str, Any]:
    """What a recipe asks; without the settings that a later version added, where they are not used.

    Runs of earlier versions are found again by it.
    """
    return part.model_dump(exclude={name for name in added if name not in part.model_dump(exclude_defaults=True)})


def prepare_students(
    data: ClipGraph,
    grid: list[TrainingSettings],
    out: Path,
    *,
    folds: Folds = None,
    device: str | None = None,
    progress: bool = True,
    jobs: int = 1,
) -> None:
    """Every student of a grid, one after the other or `jobs` at a time; see `prepare_student`."""
    if jobs == 1:
        for settings in grid:
            prepare_student(data, settings, out, folds=folds, device=device, progress=progress)
        return
    grid = [settings for settings in grid if not _is_trained(data, settings, out, folds)]
    n_gpus = torch.cuda.device_count() if device is None else 0
    cells = (
        delayed(_prepare_alone)(settings, out, folds, f"cuda:{number % n_gpus}" if n_gpus else device, os.getpid())
        for number, settings in enumerate(grid)
    )
    pool = Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="n_jobs", batch_size=1)
    bar = tqdm(total=len(grid), desc=f"students, {jobs} at a time", disable=not progress)
    try:
        with bar, parallel_config("loky", inner_max_num_threads=1):
            for said in pool(cells):
                bar.update()
                for message, category in said:
                    warnings.warn(message, category, stacklevel=2)
    except TerminatedWorkerError:
        raise InputError(
            f"A process that trained a student was killed, often for want of memory; jobs={jobs} may be too many: "
            "the same call with fewer continues"
        ) from None


def _prepare_alone(
    settings: TrainingSettings, out: Path, folds: Folds, device: str | None, parent: int
) -> list[tuple[str, type[Warning]]]:
    """`prepare_student` in a process of its own; returns what it warned of."""
    done = threading.Event()

    def leave_with_parent() -> None:
        while not done.wait(1):
            if os.getppid() != parent:  # it was killed: its successor will do this student anew
                os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(record=True) as said:
            data = load_graph(out / "graph")
            prepare_student(data, settings, out, folds=folds, device=device, progress=False)
    finally:
        done.set()
    return [(str(warning.message), warning.category) for warning in said]


def prepare_student(
    data: ClipGraph,
    settings: TrainingSettings,
    out: Path,
    *,
    folds: Folds = None,
    device: str | None = None,
    progress: bool = True,
) -> None:
    """Train, measure and store a student, or one for each fold, unless that is done already."""
    name = student_name(settings)
    folder = out / "students" / name
    if _is_trained(data, settings, out, folds):
        return
    if folds is not None:
        _prepare_folds(data, settings, out, folds, device=device, progress=progress)
        return
    checkpoint = out / ".checkpoints" / f"{name}.pt"
    student = train(data, settings, checkpoint=checkpoint, device=device, progress=progress)
    predictions = predict(student, data, "test")
    metrics = evaluate(predictions)
    dev_predictions = _predict_dev(student, data, settings)
    with _stage(folder, _asked(data, settings)) as part:
        write_student(student, part)
        pd.DataFrame(student.info["history"]).to_csv(part / "history.csv", index=False)
        predictions.to_csv(part / "predictions.csv")
        metrics |= _write_dev(dev_predictions, part)
        one_clip = None if student.needs_teacher else latency_ms(student)
        metrics.update(size_mb=size_mb(part), latency_ms=one_clip, n_params=student.n_params)
        write_json(part / "metrics.json", metrics)
    checkpoint.unlink(missing_ok=True)


def _prepare_folds(
    data: ClipGraph, settings: TrainingSettings, out: Path, folds: int | str, *, device: str | None, progress: bool
) -> None:
    """A student for each fold, measured together and stored as one, without the models."""
    name = student_name(settings)
    parts, n_folds = out / ".checkpoints" / name, None if isinstance(folds, str) else folds
    found = cross_validate(data, settings, n_folds=n_folds, out=parts, device=device, progress=progress)
    metrics: dict[str, Any] = {**found.metrics, "size_mb": None, "latency_ms": None}
    with _stage(out / "students" / name, _asked(data, settings, folds)) as part:
        found.predictions.to_csv(part / "predictions.csv")
        found.folds.to_csv(part / "folds.csv")
        metrics |= _write_dev(found.dev_predictions, part)
        metrics |= {"n_params": int(found.folds["n_params"].iloc[0]), "epoch": found.folds["epoch"].tolist()}
        write_json(part / "metrics.json", metrics)
    shutil.rmtree(parts)


def _write_dev(predictions: pd.DataFrame | None, folder: Path) -> dict[str, Any]:
    """Store what was said of dev, if anything; returns its metrics."""
    if predictions is None:
        return {}
    predictions.to_csv(folder / "dev_predictions.csv")
    return {f"dev_{name}": value for name, value in evaluate(predictions).items() if name in METRICS}


def _is_trained(data: ClipGraph, settings: TrainingSettings, out: Path, folds: Folds = None) -> bool:
    return _finished(out / "students" / student_name(settings), _asked(data, settings, folds))


def _asked(data: ClipGraph, settings: TrainingSettings, folds: Folds = None) -> str:
    by_folds = [] if folds is None else [folds]
    return content_hash(settings.changes, data.meta["data_hash"], data.meta["graph"], *by_folds)


def _predict_dev(student: Student, data: ClipGraph, settings: TrainingSettings) -> pd.DataFrame | None:
    """Predictions on dev, if the student was not trained on it and there is something to measure."""
    measurable = settings.protocol == "clean" and bool((data.val_mask & (data.y >= 0)).any())
    return predict(student, data, "dev") if measurable else None


def summarise(recipe: Recipe, upstream: Upstream, data: ClipGraph, out: Path) -> dict[str, Any]:
    """Everything a run found, from its stored stages: the content of `results.json`."""
    students = [_student_row(settings, out) for settings in recipe.training_settings()]
    synthetic = recipe.target.corpus == "synthetic"
    info = upstream.info
    overlap = speaker_overlap(data.table)
    return {
        "name": recipe.name,
        "title": _title(recipe, upstream, data, synthetic),
        "synthetic": synthetic,
        "protocol": recipe.protocol,
        "folds": recipe.folds,
        "transductive": recipe.scope == "all",
        "students": students,
        "graph": {
            **_finite(graph_statistics(data).to_dict()),
            "n_in_scope": data.meta["graph"]["n_in_scope"],
            "epsilon": data.meta["graph"]["epsilon"],
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
        "data_hash": data.meta["data_hash"],
        "recipe": recipe_values(recipe),
        "environment": environment(),
    }


def _student_row(settings: TrainingSettings, out: Path) -> dict[str, Any]:
    name = student_name(settings)
    folder = out / "students" / name
    chosen = {
        key: getattr(settings, key) for key in ("backbone", "alpha", "n_neighbors", "layer", "transfer", "seed")
    }
    same_for_all = {"protocol", "transductive", "epochs", "batch_size", "precision"}
    further = {key: value for key, value in settings.changes.items() if key not in {*chosen, *same_for_all}}
    row = {"name": name, **chosen, "further": further, **read_json(folder / "metrics.json")}
    return row if "epoch" in row else {**row, "epoch": read_json(folder / "model.json")["info"]["epoch"]}


def _title(recipe: Recipe, upstream: Upstream, data: ClipGraph, synthetic: bool) -> str:
    source = upstream.info.get("corpus") or "upstream as it is"
    corpora = "synthetic speech" if synthetic else f"{source} -> {data.meta['corpus']}"
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


def _draw(data: ClipGraph, results: dict[str, Any], out: Path) -> None:
    """The figures of a run: each alone, and the first ones together as `overview.png`."""
    names = [row["name"] for row in results["students"]]
    histories = {
        name: read_json(model)["info"]["history"]
        for name in names
        if (model := out / "students" / name / "model.json").exists()  # not where speakers are left out in turn
    }
    predictions = {
        name: pd.read_csv(out / "students" / name / "predictions.csv", index_col="file") for name in names
    }
    students, chance = students_table(results), 1 / len(data.emotions)
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
        ax = plot_confusion_matrix(confusion_matrix(table), title=name)
        _save(ax, results["title"], out / "figures" / f"confusion-{name}.png")


def _save(ax: Axes, title: str, path: Path) -> None:
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.suptitle(title, fontsize=9, color="grey")
    with atomic_file(path) as part:
        figure.savefig(part, format="png")


def _claim(out: Path, recipe: Recipe) -> None:
    """Take a folder for a run, and note in it what is asked for and with what."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, expected a folder for the run")
    if out.exists() and any(out.iterdir()) and not (out / "recipe.toml").exists():
        raise InputError(f"{out} is not empty and holds no run; choose another folder with --out")
    with atomic_file(out / "recipe.toml") as part:
        part.write_text(tomli_w.dumps(recipe_values(recipe)), "utf-8")
    write_json(out / "environment.json", environment())


def _check_space(out: Path, recipe: Recipe, n_clips: int = 0, jobs: int = 1) -> None:
    """Refuse to begin the long work on a disk that cannot hold its results, roughly."""
    features = recipe.features
    graph = n_clips * features.n_frames * features.n_mels * 2
    students = 0.06e9 * len(recipe.training_settings()) + 0.5e9 * jobs  # weights, and checkpoints in training
    needed = graph + students + (1.5e9 if recipe.upstream.model != "small" else 0.05e9)
    free = shutil.disk_usage(out).free
    if free < needed:
        raise InputError(
            f"The run needs about {needed / 1e9:.1f} GB in {out}, where {free / 1e9:.1f} GB are free; "
            "make room or choose another folder with --out"
        )


def _finished(folder: Path, asked: str) -> bool:
    """Whether a stage was finished with the same inputs and settings; a result of others is not overwritten."""
    mark = folder / "stage.json"
    if not mark.exists():
        return False
    if read_json(mark).get("asked") != asked:
        raise InputError(
            f"{folder} holds the result of other settings or inputs; choose another folder with --out, or delete "
            "this one (and what was made from it) to make it anew"
        )
    return True


@contextmanager
def _stage(folder: Path, asked: str, **notes: Any) -> Iterator[Path]:
    """Write a stage's folder with the mark of what was asked for, whole or not at all."""
    with atomic_folder(folder) as part:
        yield part
        write_json(part / "stage.json", {"asked": asked, **notes})
