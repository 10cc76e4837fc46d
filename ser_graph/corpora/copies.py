"""Copies of clips at other speeds: new voices that say the same sentences.

A copy is a row of the clip table, not a file. Reading a copy resamples the sound of the original, so that pitch,
formants and tempo all change. The teacher embeds the copy too, so that student and teacher get the same sound
("consistent teaching": Beyer et al., "Knowledge distillation: a good teacher is patient and consistent", CVPR
2022).
"""

import numpy as np
import pandas as pd

from ser_graph.audio.clips import of_shards
from ser_graph.errors import InputError

SLOWER, FASTER = (84, 92), (109, 119)  # percent of the original's speed


def with_copies(table: pd.DataFrame, n: int = 2, *, seed: int = 0) -> pd.DataFrame:
    """Add `n` copies of every clip to a clip table, slower and faster in turn.

    All clips of a speaker have the same speed in a copy. The copy thus sounds like another speaker, and has its own
    mean for centring by speaker. Copies are only for training. A copy of a training clip is in train; other copies
    have no split. Copies are never neighbours, and no result uses them. Clips of shards have no sound, so they have
    no copies.

    Args:
        table: a clip table of N clips.
        n: number of copies of each clip.
        seed: random seed of the speeds.

    Returns:
        A clip table of (1 + n) N rows with two new columns: ``copy_of``, the file of the original, and ``speed``, 1
        for an original. All functions that read clips use both columns. A copy is called ``file@speed`` (in
        percent), its speaker ``speaker@speed``.

    Raises:
        InputError: `n` is negative, or the table has copies already.

    Examples:
        >>> clips = {"emotion": "joy", "speaker": ["1", "2"], "split": ["train", "test"]}
        >>> table = pd.DataFrame(clips, index=pd.Index(["a.wav", "b.wav"], name="file"))
        >>> with_copies(table, 1)[["copy_of", "speed", "speaker", "split"]].values.tolist()[2:]
        [['a.wav', 0.91, '1@91', 'train'], ['b.wav', 0.89, '2@89', nan]]
    """
    if n < 0:
        raise InputError(f"Bad number of copies {n}, expected 0 or more")
    if "copy_of" in table:
        raise InputError("The table has copies already; give a table of the originals")
    parts = [table.assign(copy_of=None, speed=1.0)]
    table = table[~of_shards(table)]
    for number in range(n):
        percent = _speeds(table, number, seed)
        length = {"duration": table["duration"].to_numpy() / (percent / 100)} if "duration" in table else {}
        part = table.set_axis(pd.Index([f"{file}@{p}" for file, p in zip(table.index, percent, strict=True)]))
        speaker = (table["speaker"].astype(object) + "@" + percent.astype(str)).to_numpy(object)
        split = table["split"].where(table["split"] == "train", None).to_numpy(object)
        parts.append(part.assign(copy_of=table.index, speed=percent / 100, speaker=speaker, split=split, **length))
    joined = pd.concat(parts).rename_axis("file")
    joined.attrs = table.attrs
    return joined


def originals(table: pd.DataFrame) -> np.ndarray:
    """[N] bool: the rows of a clip table that are not copies."""
    return table["copy_of"].isna().to_numpy(copy=True) if "copy_of" in table else np.ones(len(table), bool)


def corpus_originals(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """[N] bool: the original clips of the same corpora as some clips [N] bool; all originals without a corpus."""
    original = originals(table)
    return original & table["corpus"].isin(set(table["corpus"][rows])).to_numpy() if "corpus" in table else original


def split_of_copies(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the split of each copy updated after a new split of the originals."""
    if "copy_of" not in table:
        return table
    copies = table["copy_of"].notna()
    split = table["copy_of"].map(table["split"])
    followed = table["split"].astype(object).mask(copies, split.where(split == "train", None))
    return table.assign(split=followed)


def _speeds(table: pd.DataFrame, number: int, seed: int) -> np.ndarray:
    """[N] percent: one speed for each speaker or clip of unknown speaker, independent of the order of the rows."""
    slowest, fastest = FASTER if number % 2 else SLOWER
    voices = table["speaker"].where(table["speaker"].notna(), table.index.to_series()).astype(str)
    names = sorted(set(voices))
    drawn = np.random.default_rng([seed, number]).integers(slowest, fastest + 1, len(names))
    return voices.map(dict(zip(names, drawn, strict=True))).to_numpy()
