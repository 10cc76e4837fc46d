"""The clips of processed shards as a clip table, and the embeddings and log-mels of tables that have such clips.

A clip of a shard has no file of its own: its embedding and its log-mel are rows of the arrays that `process_shards`
stored. The column ``stored_in`` of a clip table holds the folder of these arrays. It is missing for clips with a
file.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.clips import of_shards
from ser_graph.audio.features import log_mels
from ser_graph.audio.mapped import give_back, map_array, read_rows
from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.files import atomic_file
from ser_graph.corpora.adapter import as_clip_table
from ser_graph.errors import InputError
from ser_graph.upstream.model import Upstream
from ser_graph.upstream.settings import EmbeddingSettings
from ser_graph.upstream.streams import check_same_settings, finished_shards, read_clips

_AT_ONCE = 256  # rows copied from file to file


def shard_table(out: str | Path) -> pd.DataFrame:
    """The clips of all finished shards in a folder, as a clip table without labels.

    `join_corpora` joins it with other clip tables, and `build_graph` reads the stored embeddings and log-mels. Each
    recording counts as a speaker of its own.

    Args:
        out: a folder that `process_shards` has filled.

    Returns:
        A clip table of the split ``train``; files are called ``shard/recording:start``. The column ``stored_in``
        holds the folder of each clip's shard. ``attrs["corpus"]`` is the name of `out`.

    Raises:
        InputError: no finished shard.
    """
    folder = Path(out).expanduser().resolve()
    tables = []
    for shard in finished_shards(folder):
        clips = read_clips(shard)
        rows = {
            "speaker": [f"{shard.name}/{recording}" for recording in clips["recording"]],
            "duration": (clips["end"] - clips["start"]).to_numpy(),
            "split": "train",
            "stored_in": str(shard),
        }
        tables.append(pd.DataFrame(rows, index=pd.Index([f"{shard.name}/{name}" for name in _names(clips)])))
    table = as_clip_table(pd.concat(tables))
    table.attrs = {"corpus": folder.name, "root": str(folder), "unparsed": [], "skipped": {}}
    return table


def embed_clips(
    table: pd.DataFrame,
    upstream: Upstream,
    embedding: EmbeddingSettings,
    *,
    features: LogMelSettings,
    root: str | Path | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
) -> Tensor:
    """[N, D] float32 embeddings of a clip table: of clips with a file by `Upstream.embed`, of shards as stored.

    Raises:
        InputError: the shards were made with another upstream or other settings, or a clip is not in its shard.
    """
    inside = torch.from_numpy(of_shards(table))
    for folder in dict.fromkeys(Path(shard).parent for shard in _shards(table)):
        check_same_settings(folder, upstream, embedding, features)
    how: dict[str, Any] = {"root": root, "cache": cache, "device": device, "progress": progress}
    if not inside.any():
        return upstream.embed(table, embedding, **how)
    parts = {shard: map_array(Path(shard) / "emb.npy") for shard in _shards(table)}
    emb = torch.empty(len(table), next(iter(parts.values())).shape[1])
    if not inside.all():
        emb[~inside] = upstream.embed(table[~inside.numpy()], embedding, **how)
    for shard, here, rows in _places(table, root):
        emb[here] = read_rows(parts[shard], rows)
    return emb


def spectrograms(
    table: pd.DataFrame,
    features: LogMelSettings,
    *,
    root: str | Path | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Tensor:
    """[N, n_frames, n_mels] float16 log-mels of a clip table: computed for clips with a file, of shards as stored.

    Args:
        table: a clip table of N clips.
        features: settings of the spectrograms.
        root: the corpus folder; by default the folder from which the table was loaded.
        out: a `.npy` file for the spectrograms, as for `log_mels`.
        progress: show a progress bar.

    Raises:
        InputError: a clip cannot be read, or is not in its shard.
    """
    inside = of_shards(table)
    if not inside.any():
        return log_mels(table, features, root=root, out=out, progress=progress)
    shape = (len(table), features.n_frames, features.n_mels)
    if out is None:
        x = np.empty(shape, np.float16)
        _fill(x, table, inside, features, root, None, progress=progress)
        return torch.from_numpy(x)
    path = Path(out).expanduser()
    with atomic_file(path) as part:
        mapped = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
        _fill(mapped, table, inside, features, root, part.with_name("files.npy"), progress=progress)
        mapped.flush()
    return map_array(path)


def _fill(
    x: np.ndarray,
    table: pd.DataFrame,
    inside: np.ndarray,
    features: LogMelSettings,
    root: str | Path | None,
    beside: Path | None,
    *,
    progress: bool,
) -> None:
    """Fill the rows of `x`: first of the clips with a file, whose log-mels are computed in `beside`."""
    if not inside.all():
        own = log_mels(table[~inside], features, root=root, out=beside, progress=progress)
        _copy(x, torch.from_numpy(~inside).nonzero()[:, 0], own, torch.arange(len(own)))
    for shard, here, rows in _places(table, root):
        _copy(x, here, map_array(Path(shard) / "x.npy"), rows)


def _copy(x: np.ndarray, here: Tensor, source: Tensor, rows: Tensor) -> None:
    for mine, theirs in zip(here.split(_AT_ONCE), rows.split(_AT_ONCE), strict=True):
        x[mine.numpy()] = read_rows(source, theirs).numpy()
        if isinstance(x, np.memmap):
            give_back(x)


def _shards(table: pd.DataFrame) -> list[str]:
    """The folder of each shard of a table, once."""
    return sorted(set(table["stored_in"].dropna())) if "stored_in" in table else []


def _places(table: pd.DataFrame, root: str | Path | None) -> list[tuple[str, Tensor, Tensor]]:
    """For each shard of a table: its folder, rows of the table, and the rows of its arrays, both [n] int64."""
    top, found = Path(root or table.attrs.get("root", ".")).expanduser().resolve(), []
    for shard in _shards(table):
        row_of = {name: row for row, name in enumerate(_names(read_clips(Path(shard))))}
        here = (table["stored_in"] == shard).to_numpy().nonzero()[0]
        names = [str(top / file) for file in table.index[here]]
        rows = [row_of.get(name.removeprefix(f"{shard}/")) for name in names]
        if None in rows:
            missing = table.index[here[rows.index(None)]]
            raise InputError(
                f"The clip {missing} is not in the shard {shard}; make its table again with shard_table"
            )
        found.append((shard, torch.from_numpy(here), torch.tensor(rows)))
    return found


def _names(clips: pd.DataFrame) -> list[str]:
    return [f"{clip.recording}:{clip.start:.2f}" for clip in clips.itertuples()]
