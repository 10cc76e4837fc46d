"""The stage of shards in a run: each shard is processed once, see `process_shards`."""

import contextlib
import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ser_graph.audio.settings import LogMelSettings
from ser_graph.audio.sound_shards import find_shards
from ser_graph.common.stages import MARK
from ser_graph.errors import InputError
from ser_graph.experiment.workers import Cluster, Part, run_here, run_on
from ser_graph.upstream import EmbeddingSettings, Upstream, process_shards, shard_table
from ser_graph.upstream.streams import SHARD_LOCKS

logger = logging.getLogger(__name__)

_BETWEEN = 1.0  # seconds between two looks at shards that other processes hold


def prepare_shards(
    source: str | Path,
    out: Path,
    model: tuple[str | Path, int],
    embedding: EmbeddingSettings,
    features: LogMelSettings,
    *,
    device: str | None = None,
    progress: bool = True,
    jobs: int = 1,
    cluster: Cluster | None = None,
) -> pd.DataFrame:
    """Process all shards of a source, alone or with others; returns the clip table, see `shard_table`.

    Args:
        source: a folder of shards, or one shard.
        out: the folder of processed shards. Other processes may work in it at the same time.
        model: the upstream, as arguments of `Upstream.from_pretrained`: a folder or name, and a random seed.
        embedding: how to embed.
        features: settings of the log-mels.
        device: e.g. ``"cpu"``.
        progress: show progress bars.
        jobs: number of processes.
        cluster: where the processes run; None means this machine.

    Raises:
        InputError: see `process_shards`.
    """
    shards = find_shards(source)
    parts = [Part(one.name, out / one.name / MARK, out / SHARD_LOCKS / one.name) for one in shards]
    how: dict[str, Any] = {"out": out, "model": model, "embedding": embedding, "features": features}
    how["device"] = device
    if any(not part.is_finished for part in parts):
        named: dict[str, Any] = {"what": "shards", "unit": "shard", "progress": progress}
        if cluster is not None:
            run_on(cluster, parts, partial(_process, source, **how), out / ".logs", jobs, **named)
        elif jobs > 1:
            todo = [one for one, part in zip(shards, parts, strict=True) if not part.is_finished]
            run_here([partial(_try, one, **how) for one in todo], jobs, **named)
        while any(not part.is_finished for part in parts):  # alone; or a shard is bad, or held by another process
            if not _process(source, **how, progress=progress):
                time.sleep(_BETWEEN)
    return shard_table(out)


def _process(source: str | Path, *, model: tuple[str | Path, int], progress: bool = False, **how: Any) -> int:
    upstream = Upstream.from_pretrained(model[0], seed=model[1])
    return process_shards(source, upstream=upstream, progress=progress, **how)


def _try(shard: Path, **how: Any) -> None:
    """Process one shard; a bad one is reported at the end, so that the others are finished first."""
    with contextlib.suppress(InputError):
        _process(shard, **how)


def without_single_clips(table: pd.DataFrame) -> pd.DataFrame:
    """The clips of recordings with several clips; others have no mean of their speaker."""
    counts = table.groupby("speaker")["speaker"].transform("size")
    if (single := int((counts < 2).sum())) > 0:
        logger.warning("Leaving out %d recordings of shards with one clip, because of center='speaker'", single)
    kept = table[counts >= 2]
    kept.attrs = table.attrs
    return kept
