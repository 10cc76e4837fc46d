"""The stages of the teacher in a run: the fine-tuned upstream, and the graph of its embeddings."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from ser_graph.analysis import graph_card
from ser_graph.common.hashing import file_contents
from ser_graph.common.processes import is_first
from ser_graph.common.stages import Stage
from ser_graph.corpora.table import asked_of_clips
from ser_graph.experiment.recipe import Recipe, UpstreamPart
from ser_graph.experiment.shards import prepare_shards, without_single_clips
from ser_graph.graph import ClipGraph, load_graph
from ser_graph.graph.building import asked_of_graph
from ser_graph.graph.stage import build_stage
from ser_graph.upstream import Upstream
from ser_graph.upstream.embedding import check_layer
from ser_graph.upstream.model import write_upstream

logger = logging.getLogger(__name__)


def upstream_of(recipe: Recipe, out: Path) -> tuple[str | Path, int]:
    """The prepared upstream of a recipe: a folder or name, and a random seed, for `Upstream.from_pretrained`."""
    return (out / "upstream" if recipe.upstream.finetune else recipe.upstream.model), recipe.upstream.seed


def prepare_clips_of_shards(recipe: Recipe, out: Path, **how: Any) -> list[pd.DataFrame]:
    """The clips of the shards of a recipe, in the folders ``shards``, ``shards-2``, ...; see `prepare_shards`."""
    tables = []
    for number, corpus in enumerate(recipe.shards, 1):
        folder, model = out / ("shards" if number == 1 else f"shards-{number}"), upstream_of(recipe, out)
        table = prepare_shards(corpus.root, folder, model, recipe.embedding, recipe.features, **how)
        tables.append(without_single_clips(table) if recipe.graph.center == "speaker" else table)
    return tables


def prepare_upstream(
    recipe: Recipe,
    source: pd.DataFrame | None,
    out: Path,
    *,
    device: str | None = None,
    progress: bool = True,
) -> Upstream:
    """The upstream of a recipe: load it, and fine-tune it on the source corpus unless this stage is finished."""
    part = recipe.upstream
    if source is None:
        return Upstream.from_pretrained(part.model, seed=part.seed)
    stage = Stage(out / "upstream", asked_of_upstream(part, source))
    if stage.is_finished():
        return Upstream.from_pretrained(stage.folder)
    with stage.work() as work:
        upstream = Upstream.from_pretrained(part.model, seed=part.seed)
        check_layer(upstream, recipe.embedding.layer)  # before the long fine-tuning
        logger.info("Fine-tuning %s on %s", part.model, source.attrs["corpus"])
        upstream.finetune(source, part.finetuning, checkpoints=work, device=device, progress=progress)
        with stage.write() as written:
            write_upstream(upstream, written)
    return upstream


def asked_of_upstream(part: UpstreamPart, source: pd.DataFrame) -> dict[str, Any]:
    """All inputs that decide the fine-tuned upstream, as JSON values."""
    return {
        "upstream": part.asked(),
        "model_files": _model_files(part.model),
        **asked_of_clips(source, ["emotion", "speaker", "split"]),
    }


def _model_files(model: str) -> dict[str, str | None]:
    """The files of a local model and their hashes, to detect another model in the same folder."""
    folder = Path(model).expanduser()
    paths = sorted(folder.glob("*")) if folder.is_dir() else []
    return dict(zip([path.name for path in paths], file_contents(paths), strict=True))


def prepare_graph(
    recipe: Recipe,
    upstream: Upstream,
    target: pd.DataFrame,
    out: Path,
    *,
    device: str | None = None,
    progress: bool = True,
) -> ClipGraph:
    """The graph of a recipe: embed the clips and build it, unless this stage is finished."""
    how: dict[str, Any] = {"embedding": recipe.embedding, "features": recipe.features}
    how["shared_speakers"] = recipe.shared_speakers
    stage = Stage(out / "graph", asked_of_graph(target, upstream, recipe.graph, **how))
    run: dict[str, Any] = {"progress": progress, "device": device, "cache": out / "embeddings"}
    built = build_stage(stage, target, upstream, recipe.graph, **how, **run)
    data = load_graph(stage.folder)
    if built and is_first():
        logger.info("%s", graph_card(data)["text"])
    return data
