"""Shards of unlabelled recordings -> shards of clips, embeddings and log-mels, in one pass over the audio.

Each shard of the source becomes a folder. A process takes a shard by a lock; any number of processes can work in
one output folder. A shard that is finished is not read again.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.log_mel import LogMel
from ser_graph.audio.mapped import map_array
from ser_graph.audio.pauses import speech_parts
from ser_graph.audio.reading import fit_length
from ser_graph.audio.settings import SAMPLE_RATE, LogMelSettings
from ser_graph.audio.sound_shards import find_shards, read_shard
from ser_graph.common.csv_files import unprotected, write_csv
from ser_graph.common.devices import pick_device
from ser_graph.common.files import read_json, write_json
from ser_graph.common.locks import lock_if_free
from ser_graph.common.progress import progress_bar
from ser_graph.common.settings import changed, with_settings
from ser_graph.common.stages import MARK, Stage, asked_of, plain, refuse_difference
from ser_graph.errors import InputError
from ser_graph.upstream.embedding import check_layer, embed_waveforms, warn_if_untrained
from ser_graph.upstream.model import Upstream
from ser_graph.upstream.settings import EmbeddingSettings

SHARD_LOCKS = ".locks"
"""The folder with a lock for each shard."""
_COSTS = "shard.json"  # in the folder of a shard
_WAY_OUT = "choose another folder, or delete this one and run process_shards again"
_AT_ONCE = 256  # clips embedded together


@with_settings(EmbeddingSettings, LogMelSettings)
def process_shards(
    source: str | Path,
    out: str | Path,
    upstream: Upstream,
    *,
    embedding: EmbeddingSettings | None = None,
    features: LogMelSettings | None = None,
    device: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> int:
    """Cut the recordings of shards into clips, embed the clips, and make their log-mels.

    Start it in as many processes as you like, with the same arguments. To resume, call it again.

    Args:
        source: a folder of WebDataset tar files or Parquet files, or one of them.
        out: a folder. It gets one folder for each shard: ``clips.csv`` (recording, start and end in seconds),
            ``emb.npy`` [N, D] float32, ``x.npy`` [N, n_frames, n_mels] float16, ``shard.json`` (hours of audio and
            processor seconds of each step) and ``stage.json`` (what it was made with).
        upstream: the model that embeds the clips.
        embedding: how it embeds them.
        features: settings of the log-mels.
        device: device of the upstream.
        progress: show a progress bar.
        **changes: single settings by name, e.g. ``layer=3, precision="bfloat16"``.

    Returns:
        The number of shards that this process has finished: 0 if other processes have taken all.

    Raises:
        InputError: no shards; no such layer; `out` was made with other settings; or some shards cannot be read. The
            other shards are finished first. The message names the first.
    """
    embedding, features = changed(changes, embedding or EmbeddingSettings(), features or LogMelSettings())
    shards, folder = find_shards(source), Path(out).expanduser()
    check_layer(upstream, embedding.layer)
    warn_if_untrained(upstream, embedding.layer)
    asked = _asked(upstream, embedding, features)
    stages = [
        # The hash of a shard would take as long as a second pass over the audio.
        Stage(folder / shard.name, {**asked, "bytes": shard.stat().st_size}, way_out=_WAY_OUT)
        for shard in shards
    ]
    # Before the work: this refuses a shard that was made with other settings, or from another file.
    todo = [(shard, stage) for shard, stage in zip(shards, stages, strict=True) if not stage.has_result()]
    upstream.model.to(pick_device(device)).eval()
    mine, bad = 0, list[InputError]()
    for shard, stage in progress_bar(todo, "shards", unit="shard", disable=not progress):
        with lock_if_free(folder / SHARD_LOCKS / shard.name) as taken:
            if not taken or stage.is_finished():
                continue
            try:
                _process(shard, stage, upstream, embedding, features)
                mine += 1
            except InputError as error:
                bad.append(error)
    if bad:
        raise InputError(f"{bad[0]}" + (f" ({len(bad)} of {len(shards)} shards are bad)" if len(bad) > 1 else ""))
    return mine


def load_shards(out: str | Path) -> list[tuple[pd.DataFrame, Tensor, Tensor]]:
    """Clips, embeddings and log-mels of each finished shard; the arrays are mapped from disk.

    Raises:
        InputError: no finished shard.
    """
    done = finished_shards(Path(out).expanduser())
    return [(read_clips(one), map_array(one / "emb.npy"), map_array(one / "x.npy")) for one in done]


def finished_shards(out: Path) -> list[Path]:
    """The folders of the finished shards, by name.

    Raises:
        InputError: no finished shard.
    """
    found = sorted(path.parent for path in out.glob(f"*/{MARK}"))
    if not found:
        raise InputError(f"No finished shard in {out}; run process_shards first")
    return found


def read_clips(shard: Path) -> pd.DataFrame:
    """The clips of a finished shard: recording, start and end in seconds."""
    clips = pd.read_csv(shard / "clips.csv", dtype={"recording": str}, keep_default_na=False)
    return clips.assign(recording=clips["recording"].map(unprotected))


def shard_costs(out: str | Path) -> pd.DataFrame:
    """One row for each finished shard: clips, hours of audio, and processor seconds of each step."""
    done = finished_shards(Path(out).expanduser())
    return pd.DataFrame([read_json(one / _COSTS) for one in done], index=[one.name for one in done])


def check_same_settings(
    folder: Path, upstream: Upstream, embedding: EmbeddingSettings, features: LogMelSettings
) -> None:
    """Refuse a folder of shards that were made with another upstream or other settings.

    Raises:
        InputError: the folder is gone, or was made with another upstream, embedding or features.
    """
    asked = plain(_asked(upstream, embedding, features))
    for shard in finished_shards(folder):
        before = asked_of(shard)
        before.pop("bytes", None)  # the sounds may be gone
        refuse_difference(shard, before, asked, _WAY_OUT)


def _asked(upstream: Upstream, embedding: EmbeddingSettings, features: LogMelSettings) -> dict[str, Any]:
    return {
        "upstream": upstream.fingerprint(),
        "embedding": embedding.asked(),
        "features": features.asked(),
    }


def _process(
    shard: Path, stage: Stage, upstream: Upstream, embedding: EmbeddingSettings, features: LogMelSettings
) -> None:
    clock, log_mel = _Clock(), LogMel(features)
    rows: list[dict[str, str | float]] = []
    parts: list[tuple[Tensor, Tensor]] = []
    waiting: list[Tensor] = []

    def finish() -> None:
        with clock.of("embed"):
            emb = embed_waveforms(upstream, waiting, embedding)
        with clock.of("log_mel"), torch.inference_mode():
            x = torch.stack([log_mel(fit_length(wave, features.n_samples)).half() for wave in waiting])
        parts.append((emb, x))
        waiting.clear()

    recordings, samples = read_shard(shard), 0
    with stage.write() as part:
        while True:
            with clock.of("decode"):
                name, waveform = next(recordings, (None, torch.empty(0)))
            if name is None:
                break
            samples += len(waveform)
            with clock.of("cut"):
                found = speech_parts(waveform, SAMPLE_RATE)
            for start, end in found:
                rows.append({"recording": name, "start": start / SAMPLE_RATE, "end": end / SAMPLE_RATE})
                waiting.append(waveform[start:end].clone())
                if len(waiting) == _AT_ONCE:
                    finish()
        if waiting:
            finish()
        if not rows:
            raise InputError(f"{shard} has no speech above the noise; leave it out")
        write_csv(pd.DataFrame(rows), part / "clips.csv", index=False)
        np.save(part / "emb.npy", torch.cat([emb for emb, _ in parts]).numpy())
        np.save(part / "x.npy", torch.cat([x for _, x in parts]).numpy())
        write_json(part / _COSTS, {"clips": len(rows), "hours": samples / SAMPLE_RATE / 3600, **clock.seconds})


class _Clock:
    """Processor seconds of this process by step, over all threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(("decode", "cut", "log_mel", "embed"), 0.0)

    @contextlib.contextmanager
    def of(self, step: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[step] += time.process_time() - start
