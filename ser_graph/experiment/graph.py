"""The teacher's stages of a run: the upstream, fine-tuned, and the graph of what it hears."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from ser_graph.analysis import graph_card
from ser_graph.common.hashing import file_contents
from ser_graph.common.stages import Stage
from ser_graph.corpora.table import asked_of_clips
from ser_graph.experiment.recipe import Recipe, UpstreamPart
from ser_graph.graph import ClipGraph, build_graph, load_graph
from ser_graph.graph.storage import write_graph
from ser_graph.upstream import Upstream
from ser_graph.upstream.model import write_upstream

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
    stage = Stage(out / "upstream", asked_of_upstream(part, source))
    if stage.is_finished():
        return Upstream.from_pretrained(stage.folder)
    with stage.work() as work:
        upstream = Upstream.from_pretrained(part.model, seed=part.seed)
        logger.info("Fine-tuning %s on %s", part.model, source.attrs["corpus"])
        settings = part.model_dump(exclude={"model", "finetune"})  # all others are settings of `finetune`
        upstream.finetune(source, checkpoints=work, device=device, progress=progress, **settings)
        with stage.write() as written:
            write_upstream(upstream, written)
    return upstream


def asked_of_upstream(part: UpstreamPart, source: pd.DataFrame) -> dict[str, Any]:
    """Everything that decides a fine-tuned upstream, as JSON values."""
    return {
        "upstream": part.model_dump(mode="json"),
        "model_files": _model_files(part.model),
        **asked_of_clips(source, ["emotion", "speaker", "split"]),
    }


def _model_files(model: str) -> dict[str, str | None]:
    """The files of a local model and their hashes, so that another model in the same folder is noticed."""
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
    """The graph of a recipe: embedded and built, unless that is done already."""
    stage = Stage(out / "graph", _asked_of_graph(recipe, upstream, target))
    if stage.is_finished():
        return load_graph(stage.folder)
    logger.info("Building the graph of %d clips", len(target))
    embedding = recipe.embedding.model_dump()
    if embedding["seconds"] == "own":
        embedding["seconds"] = None
    with stage.work() as work:
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
            out=work / "x.npy",
            cache=out / "embeddings",
            progress=progress,
            device=device,
            **embedding,
        )
        with stage.write() as part:
            write_graph(data, part, x_file=work / "x.npy")
    logger.info("%s", graph_card(data)["text"])
    return load_graph(stage.folder)


def _asked_of_graph(recipe: Recipe, upstream: Upstream, target: pd.DataFrame) -> dict[str, Any]:
    columns = dict.fromkeys(["emotion", "speaker", "gender", "split", *recipe.graph.rules.across])
    return {
        "upstream": upstream.fingerprint(),
        **asked_of_clips(target, list(columns)),
        "embedding": recipe.embedding.model_dump(mode="json"),
        "features": asdict(recipe.features),
        "graph": recipe.graph.model_dump(mode="json"),
        "scope": recipe.scope,
        "shared_speakers": recipe.target.shared_speakers,
    }
