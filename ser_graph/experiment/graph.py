"""The teacher's stages of a run: the upstream, fine-tuned, and the graph of what it hears."""

import hashlib
import logging
import shutil
from pathlib import Path

import pandas as pd

from ser_graph.analysis import graph_card
from ser_graph.common.files import content_hash
from ser_graph.common.stages import file_sizes, is_finished, mark_finished
from ser_graph.experiment.recipe import Recipe
from ser_graph.graph import ClipGraph, build_graph, load_graph, save_graph
from ser_graph.upstream import Upstream

logger = logging.getLogger(__name__)


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
    asked = content_hash(part.model_dump(), _model_files(part.model), source_rows, file_sizes(source))
    if is_finished(folder, asked):
        return Upstream.from_pretrained(folder)
    upstream = Upstream.from_pretrained(part.model, seed=part.seed)
    logger.info("Fine-tuning %s on %s", part.model, source.attrs["corpus"])
    upstream.finetune(source, part.finetuning, checkpoints=checkpoints, device=device, progress=progress)
    upstream.save(folder)
    mark_finished(folder, asked)
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
    columns = dict.fromkeys(["emotion", "speaker", "gender", "split", *recipe.graph.across])
    target_rows = target.reindex(columns=list(columns)).astype(str).to_csv()
    asked = content_hash(
        upstream.fingerprint(),
        target_rows,
        file_sizes(target),
        recipe.embedding.model_dump(),
        recipe.features.model_dump(),
        recipe.graph.model_dump(),
    )
    if not is_finished(folder, asked):
        logger.info("Building the graph of %d clips", len(target))
        x_file = out / ".x.npy"
        data = build_graph(
            target,
            upstream,
            recipe.graph,
            shared_speakers=recipe.target.shared_speakers,
            features=recipe.features,
            out=x_file,
            cache=out / "embeddings",
            progress=progress,
            device=device,
            embedding=recipe.embedding,
        )
        save_graph(data, folder, x_file=x_file)
        mark_finished(folder, asked)
        logger.info("%s", graph_card(data)["text"])
    return load_graph(folder)
