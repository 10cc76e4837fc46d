"""The command line, a thin layer over the library. Each command imports its heavy packages: --help is fast."""

import contextlib
import json
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import typer

from ser_graph.common.files import json_text, naming_os_errors
from ser_graph.common.memory import keep_freed_memory
from ser_graph.common.processes import is_first
from ser_graph.errors import InputError, bad_value, one_line, shorten, visible
from ser_graph_runtime.ready import DEFAULT as DEFAULT_MODEL, READY

app = typer.Typer(
    help="On-device speech emotion recognition: a large speech model teaches a small network through a graph.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Graph = Annotated[Path, typer.Argument(help="Folder of a stored graph (with meta.json).")]
Model = Annotated[Path, typer.Argument(help="Folder of a trained student (with model.safetensors).")]
AnyModel = Annotated[Path, typer.Argument(help="Folder of a trained student, or an exported .onnx file.")]
UpstreamName = Annotated[
    str,
    typer.Option(help="Folder in the Hugging Face layout, name of a model on the Hugging Face hub, or 'small'."),
]
CorpusName = Annotated[str, typer.Argument(help="Name of the corpus, e.g. ravdess, or 'table' for a CSV.")]
Folder = Annotated[Path, typer.Argument(help="Folder of the corpus; for 'table', the CSV file.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out unusable clips, and list them.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: the GPU if there is one.")]
EmbeddingLayer = Annotated[
    str | None,
    typer.Option(help="Layer of the upstream that gives the embeddings: projector, 0, 1, ..., or -1 for the last."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Another setting: KEY=VALUE, e.g. --set precision=float32. Repeat it for several settings."
    ),
]
SetKey = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change a key of the recipe: KEY=VALUE, e.g. --set upstream.model=FOLDER. Repeatable."
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(help="slurm: let --jobs workers on a cluster do it; local: such workers on this machine."),
]
ClusterSet = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster-set",
        help="A parameter of submitit: KEY=VALUE, e.g. --cluster-set slurm_partition=gpu. Repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
_DEMO_JOBS = 4  # processes at most; each needs a core and 1 GB


def main() -> None:
    """Run the command line; a user error gives one line on standard error and exit code 1."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("ser_graph").setLevel(logging.INFO)
    for talkative in ("httpx", "huggingface_hub"):  # our one line of error is enough
        logging.getLogger(talkative).setLevel(logging.ERROR)
    warnings.showwarning = _show_warning
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    keep_freed_memory()  # only here, because the process is ours
    with _one_line_errors():
        app()


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    if is_first():  # the other processes of torchrun warn of the same
        print(f"Warning: {one_line(message)}", file=sys.stderr)


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def _fail(message: str) -> None:
    print(f"Error: {one_line(message)}", file=sys.stderr)
    raise SystemExit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"ser-graph {version('ser-graph')}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What holds for all commands."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("runs/demo"),
    settings: SetKey = None,
) -> None:
    """Run every step on built-in synthetic speech: about a minute on two cores, no download.

    Nine students learn from a tenth of the labels: three from labels alone, three with the paper's neighbour loss
    and three with the method of the recipe best. A verdict says what helped.
    """
    run_recipe("demo", out, settings or [], jobs=min(os.cpu_count() or 1, _DEMO_JOBS))
    from ser_graph.experiment.demo import finish_demo

    _show(f"\n{finish_demo(out)}")


@app.command("run")
def run_recipe(
    recipe: Annotated[
        str, typer.Argument(help="A TOML file, or a recipe of ser_graph: best, demo, emovo, nemo, paper, ready.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the run. A folder of an earlier run resumes that run.")],
    settings: SetKey = None,
    skip_bad: SkipBad = False,
    device: Device = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1, help="Students or folds to train at the same time, each in a process with one CPU thread."
        ),
    ] = 1,
    cluster: Cluster = None,
    cluster_settings: ClusterSet = None,
) -> None:
    """Run a recipe: every stage, from the clips to the results of the students.

    To resume an interrupted run, run the same command again. It skips the stages that are finished.

    To share the work between processes: torchrun --nproc-per-node 2 -m ser_graph run RECIPE --out RUN
    """
    from ser_graph.common.settings import parse_changes
    from ser_graph.evaluation import verdict
    from ser_graph.evaluation.tables import format_results
    from ser_graph.experiment import run
    from ser_graph.experiment.recipe_files import load_recipe

    wanted = load_recipe(recipe, parse_changes(settings or []))
    where: dict[str, Any] = {"cluster": cluster, "cluster_parameters": parse_changes(cluster_settings or [])}
    results = run(wanted, out, skip_bad=skip_bad, device=device, jobs=jobs, **where)
    if not is_first():
        return
    parts = [format_results(results), *([found] if (found := verdict(out)) else [])]
    _show("\n" + "\n\n".join([*parts, f"Run folder {out} (figures in {out / 'figures'})"]))


@app.command()
def check(corpus: CorpusName, folder: Folder, as_json: Json = False) -> None:
    """Check a corpus: count its clips and list their problems. The exit code is 1 if there are errors."""
    from ser_graph.corpora.corpus_check import check_corpus, format_report

    report = check_corpus(corpus, folder)
    _show_json(report) if as_json else _show(format_report(report))
    if any(problem["severity"] == "error" for problem in report["problems"]):
        raise typer.Exit(1)


@app.command()
def finetune(
    corpus: CorpusName,
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder for the fine-tuned upstream.")],
    upstream: UpstreamName = "facebook/wav2vec2-base",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training clips.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    settings: Set = None,
    skip_bad: SkipBad = False,
    device: Device = None,
) -> None:
    """Fine-tune an upstream on the emotions of a source corpus.

    To resume an interrupted training, run the same command again. All settings: ser-graph settings finetune
    """
    from ser_graph.common.stages import Stage
    from ser_graph.experiment.graph import asked_of_upstream
    from ser_graph.experiment.recipe import UpstreamPart
    from ser_graph.upstream.model import write_upstream

    _check_out(out)
    how = UpstreamPart(model=upstream, **_given_settings(settings, epochs=epochs, seed=seed))
    table = _table(corpus, folder, skip_bad)
    stage = Stage(out, asked_of_upstream(how, table))
    if not stage.is_finished():
        model = _upstream(upstream, how.seed)
        with stage.work() as work:
            model.finetune(table, how.finetuning, checkpoints=work, device=device)
            with stage.write() as part:
                write_upstream(model, part)
    model = _upstream(str(stage.folder))
    _show(f"dev accuracy {_share(model.info['dev_accuracy'])}, test accuracy {_share(model.info['test_accuracy'])}")
    _show(f"Upstream {out}")


@app.command()
def embed(
    corpus: CorpusName,
    folder: Folder,
    upstream: UpstreamName,
    out: Annotated[Path, typer.Option(help="CSV to write: one row per clip, one column per dimension.")],
    layer: EmbeddingLayer = None,
    settings: Set = None,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps embeddings by content.")] = None,
    skip_bad: SkipBad = False,
    device: Device = None,
) -> None:
    """Embed the clips of a corpus, and write the embeddings as a CSV for other programs.

    All settings: ser-graph settings embed
    """
    import pandas as pd

    from ser_graph.common.csv_files import write_csv
    from ser_graph.common.files import atomic_file
    from ser_graph.upstream import EmbeddingSettings

    how = EmbeddingSettings(**_given_settings(settings, layer=layer))
    with atomic_file(out) as part:
        table = _table(corpus, folder, skip_bad)
        embeddings = _upstream(upstream).embed(table, how, cache=cache, device=device)
        write_csv(pd.DataFrame(embeddings.numpy(), index=table.index), part, float_format="%.9g")
    _show(f"{len(table):,} embeddings of {embeddings.shape[1]} dimensions in {out}")


@app.command()
def shards(
    source: Annotated[
        Path,
        typer.Argument(help="Folder of WebDataset tar files or Parquet files with recordings, or one of them."),
    ],
    upstream: UpstreamName,
    out: Annotated[Path, typer.Option(help="Folder for the processed shards.")],
    layer: EmbeddingLayer = None,
    settings: Set = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, each with one CPU thread.")] = 1,
    cluster: Cluster = None,
    cluster_settings: ClusterSet = None,
    device: Device = None,
) -> None:
    """Cut shards of unlabelled recordings into clips, embed the clips and make their log-mels, for build --shards.

    Several such commands can share the work: each shard is done once. To resume, run the same command again.

    All settings of the embeddings and the spectrograms: ser-graph settings shards
    """
    from ser_graph.audio import LogMelSettings
    from ser_graph.common.settings import changed, parse_changes
    from ser_graph.experiment.shards import prepare_shards
    from ser_graph.experiment.workers import Cluster as Where
    from ser_graph.upstream import EmbeddingSettings, shard_costs

    given = _given_settings(settings, layer=layer)
    embedding, features = changed(given, EmbeddingSettings(), LogMelSettings())
    where = None if cluster is None else Where(cluster, parse_changes(cluster_settings or []))
    table = prepare_shards(source, out, (upstream, 0), embedding, features, device=device, jobs=jobs, cluster=where)
    _show(f"{len(table):,} clips of {shard_costs(out)['hours'].sum():.1f} hours in {out}")


@app.command("settings")
def show_settings(
    command: Annotated[str, typer.Argument(help="finetune, embed, shards, build or train.")],
) -> None:
    """List all settings of a command: name, default and meaning. Change them with --set KEY=VALUE."""
    from ser_graph.audio import LogMelSettings
    from ser_graph.common.settings import Settings, describe
    from ser_graph.downstream import TrainingSettings
    from ser_graph.graph import GraphSettings
    from ser_graph.upstream import EmbeddingSettings, FinetuneSettings

    known: dict[str, list[type[Settings]]] = {
        "finetune": [FinetuneSettings],
        "embed": [EmbeddingSettings],
        "shards": [EmbeddingSettings, LogMelSettings],
        "build": [GraphSettings, EmbeddingSettings, LogMelSettings],
        "train": [TrainingSettings],
    }
    if command not in known:
        raise bad_value("command", command, known)
    _show("\n\n".join(describe(settings) for settings in known[command]))


@app.command()
def build(
    corpus: CorpusName,
    folder: Folder,
    upstream: UpstreamName,
    out: Annotated[Path, typer.Option(help="Folder for the graph.")],
    epsilon: Annotated[
        str | None,
        typer.Option(
            help="Similarity that an edge must exceed; none keeps all nearest neighbours, coverage:0.8 "
            "chooses the value."
        ),
    ] = None,
    n_neighbors: Annotated[int | None, typer.Option(help="Maximum number of neighbours of a clip.")] = None,
    layer: EmbeddingLayer = None,
    scope: Annotated[
        str | None, typer.Option(help="Clips that can be neighbours: train, train+dev or all.")
    ] = None,
    center: Annotated[
        str | None, typer.Option(help="Mean to subtract from the embeddings: none, corpus or speaker.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    settings: Set = None,
    shards: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of ser-graph shards: add its clips without labels. Repeatable."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps embeddings by content; without it, they are kept only until the graph is built."
        ),
    ] = None,
    skip_bad: SkipBad = False,
    device: Device = None,
) -> None:
    """Build the graph of a corpus, and print what the graph can teach.

    If it ends without a graph, e.g. because epsilon leaves no edge, the next call uses the same embeddings.

    To share the embedding and the search by faiss between processes:
    torchrun --nproc-per-node 2 -m ser_graph build CORPUS FOLDER --out GRAPH ...

    All settings of the graph, the embeddings and the spectrograms: ser-graph settings build
    """
    from ser_graph.analysis import format_statistics, graph_card, graph_statistics
    from ser_graph.audio import LogMelSettings
    from ser_graph.common.settings import changed
    from ser_graph.common.stages import Stage
    from ser_graph.graph import GraphSettings, load_graph
    from ser_graph.graph.building import asked_of_graph
    from ser_graph.graph.epsilon import NoEdgeError
    from ser_graph.graph.stage import build_stage
    from ser_graph.upstream import EmbeddingSettings

    _check_out(out)
    named = {"epsilon": epsilon, "n_neighbors": n_neighbors, "layer": layer}
    named |= {"scope": scope, "center": center, "seed": seed}
    # Check the settings before the clips are read.
    how = changed(_given_settings(settings, **named), GraphSettings(), EmbeddingSettings(), LogMelSettings())
    table, model = _table(corpus, folder, skip_bad), _upstream(upstream)
    table = _with_shards(table, shards or [], how[0].center)
    stage = Stage(out, asked_of_graph(table, model, *how))
    objects, kept = {"embedding": how[1], "features": how[2]}, cache or _kept_embeddings(out)
    try:
        build_stage(stage, table, model, how[0], **objects, cache=kept, device=device)
    except NoEdgeError as error:
        raise InputError(f"{error}; the embeddings are kept for the next call, see {kept}") from None
    if not is_first():
        return
    shutil.rmtree(_kept_embeddings(out), ignore_errors=True)
    data = load_graph(out)
    _show(f"{format_statistics(graph_statistics(data))}\n\n{fill(graph_card(data)['text'], 110)}")


@app.command()
def stats(
    graph: Graph,
    by: Annotated[
        str, typer.Option(help="Column of the clip table that groups the clips: emotion, speaker, ...")
    ] = "emotion",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Print the numbers of a graph: which clips it joins, leaks between splits, suspicious labels."""
    from ser_graph.analysis import format_report, graph_report, report_json
    from ser_graph.graph import load_graph

    report = graph_report(load_graph(graph), by, seed=seed)
    if as_json:
        _show_json(report_json(report))
    else:
        _show(format_report(report))


@app.command()
def inspect(
    graph: Graph,
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    student: Annotated[
        Path | None,
        typer.Option(help="Folder of a trained student: show its predictions, and a second map by its embeddings."),
    ] = None,
    by: Annotated[str, typer.Option(help="Column of the clip table that colours the clips first.")] = "emotion",
    ego: Annotated[
        str | None, typer.Option(help="File of a clip: show only this clip and the clips around it.")
    ] = None,
    hops: Annotated[int, typer.Option(min=0, help="With --ego: greatest distance from the clip, in edges.")] = 2,
    sample: Annotated[int | None, typer.Option(min=1, help="Number of clips to show, drawn at random.")] = None,
    audio: Annotated[
        str,
        typer.Option(
            help="Sound: embed (inside the page), reference (play the files of the corpus), none, or auto "
            "(embed up to 1,000 clips, else reference)."
        ),
    ] = "auto",
    root: Annotated[Path | None, typer.Option(help="New folder of the corpus, if you have moved it.")] = None,
    seed: Seed = 0,
) -> None:
    """Write a page to see and hear the graph: one HTML file that a browser opens without a network."""
    from ser_graph.downstream import load_student
    from ser_graph.graph import load_graph
    from ser_graph.inspection.page import write_page

    data = load_graph(graph)
    page = write_page(
        data,
        out,
        by=by,
        student=load_student(student) if student else None,
        ego=ego,
        hops=hops,
        sample=sample,
        audio=audio,
        root=root,
        seed=seed,
    )
    _show(f"Page of {page.stat().st_size / 1e6:.1f} MB in {page}: open it in a browser")


@app.command()
def audit(
    source: Annotated[
        str, typer.Argument(help="Folder of a graph, a table of clips (CSV), or the name of a corpus.")
    ],
    out: Annotated[
        Path, typer.Option(help="HTML file to write, e.g. audit.html; audit.issues.csv goes beside it.")
    ],
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of the corpus, if you give the name of a corpus.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="New folder of the sound files, if you have moved them.")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a finding that does not change the exit code, e.g. 'shortcut: sentence'. Repeatable."
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Look for everything that makes results on a corpus wrong, or too good: one page and one table.

    Suspicious labels, repeated recordings, leaks between splits, voices instead of emotions, and shortcuts: columns
    and trivial measurements that give the emotion away. Without a graph, the checks that need one are not made.

    The exit code is 1 if a finding is an error (or if the command fails), else 0. It does not count --accept.
    """
    from ser_graph.inspection import audit as make, format_audit
    from ser_graph.inspection.corpus_audit import issues_file, load_source

    made = make(load_source(source, folder), root=root, out=out, seed=seed)
    if as_json:
        _show_json(made.as_json())
    else:
        _show(f"{format_audit(made)}\n\nPage {out}, table of issues {issues_file(out)}")
    if made.errors(accept or []):
        raise typer.Exit(1)


@app.command()
def split(
    graph: Graph,
    out: Annotated[Path, typer.Option(help="Folder for the graph in shards.")],
    shards: Annotated[int, typer.Option(min=1, help="Number of shards: a multiple of the number of processes.")],
    seed: Seed = 0,
) -> None:
    """Split a graph into shards, for a training in which each process holds its clips alone."""
    from ser_graph.graph import load_graph, split_graph

    made = split_graph(load_graph(graph), out, shards, seed=seed)
    _show(f"{made.starts[-1]:,} clips in {len(made)} shards in {out}")


@app.command()
def train(
    graph: Annotated[Path, typer.Argument(help="Folder of a stored graph, or of a graph in shards.")],
    out: Annotated[Path, typer.Option(help="Folder for the trained student.")],
    backbone: Annotated[str | None, typer.Option(help="cnn6, mobilenet15, resnet9 or vgg15.")] = None,
    width: Annotated[
        float | None, typer.Option(help="Multiplier of the channels: 0.5 makes about a quarter of the size.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="What the student learns in addition to the labels: baseline (nothing), nsl, regress, ..."
        ),
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Weight of the loss of the method.")] = None,
    n_neighbors: Annotated[int | None, typer.Option(help="Neighbours per clip.")] = None,
    layer: Annotated[str | None, typer.Option(help="Output that nsl compares: fc1, fc2 or projection.")] = None,
    protocol: Annotated[str | None, typer.Option(help="clean or paper.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the labelled clips.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    settings: Set = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Student whose weights are the initial weights: a folder, or ready:small or ready:good. Backbone "
            "and width are its own unless given."
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Train a student on a graph.

    To resume an interrupted training, run the same command again. All settings: ser-graph settings train

    To share each batch between processes: torchrun --nproc-per-node 2 -m ser_graph train GRAPH --out STUDENT

    If GRAPH is in shards (see split), each process holds its clips alone.
    """
    from ser_graph.common.stages import Stage
    from ser_graph.downstream import TrainingSettings, load_student, train as train_student, train_shards
    from ser_graph.downstream.sharded import asked_of_shards
    from ser_graph.downstream.student import write_student
    from ser_graph.downstream.training import asked_of_training, settings_from
    from ser_graph.graph import load_graph, load_graph_shards
    from ser_graph.graph.shards import is_in_shards

    _check_out(out)
    named = {"backbone": backbone, "width": width, "method": method, "alpha": alpha, "n_neighbors": n_neighbors}
    named |= {"layer": layer, "protocol": protocol, "epochs": epochs, "seed": seed}
    how = TrainingSettings(**_given_settings(settings, **named))  # checked before the graph is read
    start = None if init is None else load_student(init)
    if start is not None:
        how = settings_from(start, how)
    shards = load_graph_shards(graph) if is_in_shards(graph) else None
    if shards is None:
        data = load_graph(graph)
        stage = Stage(out, asked_of_training(data, how, start))
    elif init is not None:
        raise InputError("--init is not for a graph in shards; leave it out, or train on the whole graph")
    else:
        stage = Stage(out, asked_of_shards(how, shards))
    if not stage.is_finished():
        with stage.work() as work:
            if shards is None:
                made = train_student(data, how, init=start, checkpoint=work, device=device)
            else:
                made = train_shards(graph, how, checkpoint=work, device=device)
            if is_first():
                with stage.write() as part:
                    write_student(made, part)
    if not is_first():
        return
    student = load_student(out)
    _show(f"{student!r}\nStudent {out}")


@app.command()
def evaluate(
    model: Model,
    graph: Graph,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    predictions: Annotated[
        Path | None, typer.Option(help="CSV of the predictions to write: one row per clip.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print accuracy and UAR of a student on a split of a graph, with intervals over speakers."""
    from ser_graph.common.csv_files import write_csv
    from ser_graph.common.files import atomic_file
    from ser_graph.downstream import load_student, predict_clips
    from ser_graph.evaluation import confusion_matrix, evaluate as measure
    from ser_graph.graph import load_graph

    table = predict_clips(load_student(model), load_graph(graph), split)
    metrics = measure(table)
    if predictions is not None:
        with atomic_file(predictions) as part:
            write_csv(table, part)
    if as_json:
        _show_json(metrics)
        return
    _show("\n".join(f"{name:20} {_figure(value)}" for name, value in metrics.items()))
    _show(f"\n{confusion_matrix(table).to_string()}")


@app.command()
def export(
    model: Model,
    out: Annotated[Path, typer.Option(help="File to write; for the format web, a folder.")],
    format: Annotated[
        str,
        typer.Option(
            help="onnx, executorch (.pte, float32), litert (.tflite), or web: a page that listens in a browser."
        ),
    ] = "onnx",
    int8: Annotated[bool, typer.Option("--int8", help="Use 8-bit integers: a quarter of the size.")] = False,
    graph: Annotated[
        Path | None,
        typer.Option(
            help="Graph of the training: its dev clips calibrate the probabilities; its training clips calibrate "
            "int8 and are stored beside the file, to name similar clips. Default for int8: the graph of the run."
        ),
    ] = None,
    clips: Annotated[
        Path | None, typer.Option(help="Folder of recordings of any speech that calibrate int8 instead.")
    ] = None,
    unsure_below: Annotated[
        float, typer.Option(min=0, max=1, metavar="P", help="Answers with a lower confidence are unsure.")
    ] = 0.0,
    title: Annotated[str | None, typer.Option(help="Title of the model, stored in the file.")] = None,
    licence: Annotated[str | None, typer.Option(help="Terms of use of the model, stored in the file.")] = None,
    sounds: Annotated[
        bool, typer.Option("--sounds", help="web: put the sound of clips of the graph into the page; ask first.")
    ] = False,
    onnxruntime_web: Annotated[
        Path | None,
        typer.Option("--onnxruntime-web", help="web: unpacked npm package; default: a cache, filled by npm."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Write a student for a device, from waveform to probabilities: one file, or a page. No Python is needed."""
    from ser_graph.edge.exporting import export as write

    data, temperature = None, 1.0
    if graph is not None:
        from ser_graph.downstream import load_student
        from ser_graph.graph import load_graph

        data = load_graph(graph)
        if not str(model).startswith(READY):
            temperature = _fitted_temperature(load_student(model), data)
    about = {"title": title, "licence": licence}
    page: dict[str, Any] = {"sounds": sounds or None, "onnxruntime_web_folder": onnxruntime_web}
    path = write(
        model,
        out,
        format=format,
        int8=int8,
        clips=_int8_clips(model, data, clips) if int8 and format in ("onnx", "web") else None,
        seed=seed,
        temperature=temperature,
        threshold=unsure_below,
        nearest=data if format in ("onnx", "web") else None,
        about={name: text for name, text in about.items() if text is not None},
        **{name: value for name, value in page.items() if value is not None},
    )
    files = [path] if path.is_file() else sorted(path.iterdir())
    size = sum(file.stat().st_size for file in files) / 1e6
    _show(f"{format} {'file' if path.is_file() else 'folder'} of {size:.2f} MB{' (int8)' if int8 else ''}: {path}")
    if format == "web":
        _show(f"Run 'python -m http.server --directory {path}' and open http://localhost:8000")


@app.command()
def predict(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="source",
            help="Sound files, folders of sound files, or - for raw 16-bit mono PCM or WAV on standard input.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Folder of a trained student, an exported .onnx file, or a model of the package; see ser-graph "
            "models."
        ),
    ] = DEFAULT_MODEL,
    microphone: Annotated[
        bool, typer.Option("--microphone", help="Listen to the microphone until Ctrl-C.")
    ] = False,
    graph: Annotated[
        Path | None,
        typer.Option(help="Graph of the training: name the labelled clips that are most similar for the student."),
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="Length of a window in seconds; default: the input length of the student.")
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(help="Seconds from the start of one window to the next; default: the length of a window."),
    ] = None,
    rate: Annotated[int | None, typer.Option(help="Sampling rate of raw PCM in Hz.")] = None,
    one_voice: Annotated[
        bool,
        typer.Option(
            "--one-voice",
            help="All recordings are of one speaker: keep the statistics of the voice from file to file.",
        ),
    ] = False,
    n_nearest: Annotated[int, typer.Option(min=1, help="Number of clips of the graph to name.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of an exported model.")] = 1,
    out: Annotated[Path | None, typer.Option(help="CSV to write instead of a table on the screen.")] = None,
) -> None:
    """Predict the probability of each emotion: for each file, or for each window of a stream.

    Without --model, the command uses a model of the package and prints its licence. An exported model (.onnx)
    needs no torch. If the command cannot read a file, it predicts the other files, names the bad file and exits
    with code 1. A student with normalise=speaker treats each file and each stream as one speaker, and updates the
    statistics of the speaker with each window.
    """
    given = sources or []
    if bool(given) == microphone or ("-" in given and len(given) > 1):
        raise InputError("Give either files, folders or -, or --microphone")
    if model.startswith(READY):
        from ser_graph_runtime.onnx_model import OnnxModel
        from ser_graph_runtime.ready import find_model, terms

        print(visible(terms(model, OnnxModel(find_model(model)))), file=sys.stderr)
    if microphone or given == ["-"]:
        _predict_stream(
            model, None if microphone else rate, microphone, window, hop, graph, n_nearest, threads, out
        )
        return
    from ser_graph.common.files import atomic_file
    from ser_graph.edge import prediction

    with contextlib.nullcontext() if out is None else atomic_file(out) as part:
        table = prediction.predict(
            model,
            given[0] if len(given) == 1 else given,
            one_voice=one_voice,
            window=window,
            hop=hop,
            graph=graph,
            n_nearest=n_nearest,
            threads=threads,
        )
        if part is not None:
            prediction.write_predictions(table, part)
    _show(prediction.format_predictions(table) if out is None else f"{len(table):,} rows in {out}")
    if unreadable := table.attrs["unreadable"]:
        files = len(unreadable)
        _fail(f"{files} {'file' if files == 1 else 'files'} could not be read ({shorten(unreadable)})")


@app.command("models")
def show_models() -> None:
    """List the models of the package: trained students for predict --model and for train --init."""
    from ser_graph_runtime.ready import ready_models

    for name, model in ready_models().items():
        size = model.path.stat().st_size / 1000
        _show(f"{name}  {model.title}; {size:,.0f} kB ({model.precision}), {', '.join(model.emotions)}")
        _show(
            fill(
                f"Licence: {model.licence}. {model.attribution}.",
                106,
                initial_indent="    ",
                subsequent_indent="    ",
            )
        )


@app.command()
def bench(
    models: Annotated[list[Path], typer.Argument(help="Folders of students, and exported .onnx files.")],
    graph: Annotated[Path | None, typer.Option(help="Graph whose test clips measure UAR.")] = None,
    teacher: Annotated[Path | None, typer.Option(help="Folder of the upstream: measure it too.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Number of time measurements.")] = 50,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each model.")] = 1,
    as_json: Json = False,
) -> None:
    """Compare models on this machine: size, memory, time per clip, multiplications and UAR."""
    from ser_graph.edge.benchmark import bench as measure, format_bench

    table = measure(models, graph=graph, teacher=teacher, repeats=repeats, threads=threads)
    if as_json:
        rows = json.loads(table.reset_index().to_json(orient="records", double_precision=6))
        _show_json({"models": rows, "notes": table.attrs["notes"]})
    else:
        _show(format_bench(table))


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders on the same data, e.g. one of protocol clean and one of paper."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.md, its figures, and the tables as LaTeX.")],
    choose: Annotated[
        str,
        typer.Option(
            help="Split that chooses a setting: dev, or test (then the report calls no number a test result)."
        ),
    ] = "dev",
    metric: Annotated[
        str, typer.Option(help="Metric that chooses a setting and that the tables compare: uar or accuracy.")
    ] = "uar",
    seed: Seed = 0,
) -> None:
    """Write tables, figures and significance tests of stored runs as Markdown, LaTeX and PNG."""
    from ser_graph.evaluation.report import write_report

    written = write_report(runs, out, choose=choose, metric=metric, seed=seed)
    _show(f"Report {written}; its figures (PNG) and tables (LaTeX) are in the same folder")


def _fitted_temperature(student: Any, data: Any) -> float:
    """The temperature of a student by the labelled dev clips of a graph; prints what it changes."""
    from ser_graph.downstream import predict_clips
    from ser_graph.evaluation import expected_calibration_error, fit_temperature, with_temperature

    if student.info.get("settings", {}).get("protocol") == "paper":
        _show("temperature 1: the student was trained on the dev clips too (protocol paper)")
        return 1.0
    if not (data.table["emotion"].notna() & (data.table["split"] == "dev")).any():
        _show("temperature 1: the graph has no labelled dev clip to fit it on")
        return 1.0
    dev = predict_clips(student, data, "dev", progress=False)
    temperature = fit_temperature(dev)
    before, after = (expected_calibration_error(one) for one in (dev, with_temperature(dev, temperature)))
    n = int(dev["emotion"].notna().sum())
    _show(
        f"temperature {temperature:.2f}, fitted on {n:,} dev clips: expected calibration error {before:.3f} -> "
        f"{after:.3f}"
    )
    return temperature


def _int8_clips(model: Path, data: Any, clips: Path | None) -> Any:
    """The recordings or the graph that calibrate int8, if there are any."""
    if clips is not None:
        from ser_graph.edge.recordings import recordings_table

        return recordings_table(clips)
    graph = _graph_of_run(model)
    if data is not None or graph is None:
        return data
    from ser_graph.graph import load_graph

    return load_graph(graph)


def _graph_of_run(model: Path) -> Path | None:
    """The graph of the run that contains a student's folder (RUN/students/NAME, RUN/graph)."""
    graph = model.expanduser().absolute().parent.parent / "graph"
    return graph if (graph / "meta.json").exists() else None


def _predict_stream(
    model: str,
    rate: int | None,
    microphone: bool,
    window: float | None,
    hop: float | None,
    graph: Path | None,
    n_nearest: int,
    threads: int,
    out: Path | None,
) -> None:
    """Print one line per window as soon as it is complete; Ctrl-C ends the command without an error."""
    from ser_graph.edge.loading import load_model
    from ser_graph.edge.streaming import listen
    from ser_graph_runtime.streams import MICROPHONE

    found, nearest = load_model(model, threads), None
    if graph is not None:
        from ser_graph.edge.nearest import nearest_of_graph

        nearest = nearest_of_graph(found, graph, k=n_nearest)
    if not microphone and sys.stdin is None:
        raise InputError(
            "Standard input is closed; pipe the sound of a program into it, e.g. arecord ... | ser-graph predict"
        )
    source = MICROPHONE if microphone else sys.stdin.buffer
    windows = listen(found, source, rate=rate, window=window, hop=hop, nearest=nearest)
    if out is not None:
        from ser_graph.edge.prediction import record

        windows = record(windows, "microphone" if microphone else "-", out)
    with contextlib.suppress(KeyboardInterrupt):
        for one in windows:
            _print(one_line(one))


def _show(text: object) -> None:
    """Print text in which control characters are shown: names of a corpus may contain them."""
    _print(visible(text))


def _show_json(value: Any) -> None:
    _print(json_text(value))


def _print(text: str) -> None:
    with naming_os_errors("standard output"):
        print(text, flush=True)


class _OneLine(logging.Formatter):
    """Messages of the library as one line without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def _check_out(out: Path) -> None:
    """Refuse a folder with other content than a result, before the long work."""
    from ser_graph.common.files import check_replaceable
    from ser_graph.common.stages import MARK

    check_replaceable(out, MARK)


def _with_shards(table: Any, folders: list[Path], center: str) -> Any:
    """The clip table with the clips of processed shards."""
    from ser_graph.corpora import join_corpora
    from ser_graph.experiment.shards import without_single_clips
    from ser_graph.upstream import shard_table

    if not folders:
        return table
    added = [shard_table(folder) for folder in folders]
    return join_corpora([table, *(map(without_single_clips, added) if center == "speaker" else added)])


def _kept_embeddings(out: Path) -> Path:
    """The folder that keeps the embeddings of a graph until the graph is built, with any epsilon."""
    from ser_graph.common.files import absolute_path

    return absolute_path(out).with_name(f".{absolute_path(out).name}.embeddings")


def _table(corpus: str, folder: Path, skip_bad: bool) -> Any:
    """The checked clip table of a corpus."""
    from ser_graph.corpora import check_split, load_corpus
    from ser_graph.corpora.checking import check_clips, usable_clips

    table = load_corpus(corpus, folder)
    table = usable_clips(table, check_clips(table), skip_bad=skip_bad)
    check_split(table)
    return table


def _upstream(name: str, seed: int = 0) -> Any:
    from ser_graph.upstream import Upstream

    return Upstream.from_pretrained(name, seed=seed)


def _given_settings(assignments: list[str] | None, **options: Any) -> dict[str, Any]:
    """The settings given by options or by --set; the others keep their defaults."""
    from ser_graph.common.settings import parse_changes

    given = parse_changes([f"{name}={value}" for name, value in options.items() if value is not None])
    changes = parse_changes(assignments or [])
    if twice := sorted(given.keys() & changes.keys()):
        raise InputError(f"{twice[0]} is given twice, by its option and by --set; give it once")
    return {**given, **changes}


def _figure(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
