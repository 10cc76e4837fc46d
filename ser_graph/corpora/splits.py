"""Splits by speaker, and checks of a split.

Functions that split a clip table return a new table with the column ``split``; the given table does not change.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ser_graph.corpora.adapter import as_text
from ser_graph.corpora.copies import originals, split_of_copies
from ser_graph.corpora.vocabulary import SPLITS
from ser_graph.errors import InputError, bad_value, shorten

_DRAWS = 100  # number of random draws from which `speaker_split` chooses


def speaker_split(table: pd.DataFrame, fractions: Sequence[float] = (0.6, 0.2, 0.2), seed: int = 0) -> pd.DataFrame:
    """Split by speaker: no speaker is in two splits, genders are balanced, and emotions are as even as possible.

    The function draws the speakers 100 times, always with the same numbers of women and men per split. It keeps the
    draw whose clips of each emotion are closest to the fractions. The same speakers, clips and seed give the same
    split, in any order of the rows.

    Args:
        table: a clip table in which every clip has a speaker.
        fractions: shares of the speakers in train, dev and test; 0 leaves a split empty.
        seed: random seed of the draws.

    Returns:
        The same table with the column `split`: ``"train"``, ``"dev"`` or ``"test"``.

    Raises:
        InputError: clips without a speaker, or fewer speakers than splits.

    Examples:
        >>> table = pd.DataFrame({"speaker": list("abcdef"), "gender": ["female", "male"] * 3})
        >>> sorted(speaker_split(table)["split"])
        ['dev', 'test', 'train', 'train', 'train', 'train']
    """
    table, shares = _named_alike(table), check_fractions(fractions)
    counts = _speaker_counts(table)
    capacity = _apportion(len(counts), shares)
    genders = _speaker_genders(table, counts.index)
    rng = np.random.default_rng(seed)
    draws = [_draw(genders, capacity, rng) for _ in range(_DRAWS)]
    wanted = np.outer(shares, counts.to_numpy().sum(axis=0))
    best = min(draws, key=lambda codes: _distance(codes, counts.to_numpy(), wanted))
    return assign_split(table, {speaker: SPLITS[code] for speaker, code in zip(counts.index, best, strict=True)})


def leave_speakers_out(
    table: pd.DataFrame, n_folds: int | None = None, *, dev: bool = False, n_dev: int | None = None
) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Leave out groups of speakers in turn: each group is test once, and the other speakers train.

    Speakers without any labelled clip stay in train if other speakers have labels, because no result can use them.

    Args:
        table: a clip table in which every clip has a speaker.
        n_folds: number of groups, similar in size and gender; None makes each speaker a group.
        dev: also leave out the next group, as the dev split; the first group follows the last.
        n_dev: number of speakers of that group that are dev; the others train. None means all of them.

    Yields:
        The test speakers, and the table with that split.

    Raises:
        InputError: a clip without a speaker, or fewer speakers than the folds need.

    Examples:
        >>> table = pd.DataFrame({"speaker": ["a", "b", "c"]})
        >>> for speakers, fold in leave_speakers_out(table, dev=True):
        ...     print(speakers, fold["split"].tolist())
        ['a'] ['test', 'dev', 'train']
        ['b'] ['train', 'test', 'dev']
        ['c'] ['dev', 'train', 'test']
        >>> table = pd.DataFrame({"speaker": ["a", "b", "c", "d"], "gender": ["female", "male"] * 2})
        >>> [speakers for speakers, _ in leave_speakers_out(table, 2)]
        [['a', 'b'], ['c', 'd']]
    """
    everything = _named_alike(table)
    table = everything[originals(everything)]
    counts = _speaker_counts(table)
    speakers = counts.index
    if "emotion" in table and table["emotion"].notna().any():
        measured = set(table.loc[table["emotion"].notna(), "speaker"])
        speakers = speakers[speakers.isin(list(measured))]
    least = 2 + dev
    if len(speakers) < least:
        raise InputError(
            f"Leaving one speaker out needs {least} speakers, the table has {len(speakers)}; load more speakers"
        )
    if n_folds is not None and not least <= n_folds <= len(speakers):
        raise InputError(
            f"Bad number of folds {n_folds}, expected {least} to {len(speakers)}, the number of speakers"
        )
    if n_dev is not None and n_dev < 1:
        raise InputError(f"Bad n_dev {n_dev}, expected at least one speaker, or None for a whole group")
    groups = _groups(speakers, _speaker_genders(table, speakers), n_folds)
    for place, group in enumerate(groups):
        names = dict.fromkeys(counts.index, "train")
        if dev:
            names.update(dict.fromkeys(groups[(place + 1) % len(groups)][:n_dev], "dev"))
        names.update(dict.fromkeys(group, "test"))
        yield group, assign_split(everything, names)


def _groups(speakers: pd.Index, genders: np.ndarray, n_folds: int | None) -> list[list[str]]:
    """Groups of speakers: each gender is distributed evenly over the groups; None makes each speaker a group."""
    if n_folds is None:
        return [[speaker] for speaker in speakers]
    dealt = sorted(speakers, key=lambda speaker: (genders[speakers.get_loc(speaker)], speaker))
    return [sorted(dealt[start::n_folds]) for start in range(n_folds)]


def assign_split(table: pd.DataFrame, split_of: dict[str, str]) -> pd.DataFrame:
    """A copy of the table with the split of each speaker.

    Examples:
        >>> assign_split(pd.DataFrame({"speaker": ["a", "b"]}), {"a": "train", "b": "test"})["split"].tolist()
        ['train', 'test']
    """
    for name in set(split_of.values()) - set(SPLITS):
        raise bad_value("split", name, SPLITS)
    unknown = sorted(set(table.loc[originals(table), "speaker"].dropna()) - set(split_of))
    if unknown:
        raise InputError(
            f"No split for the speakers {shorten(unknown)}, only for {shorten(sorted(split_of))}; "
            "give each speaker a split, or use speaker_split"
        )
    return split_of_copies(table.assign(split=table["speaker"].map(split_of)))


def speaker_overlap(table: pd.DataFrame) -> pd.DataFrame:
    """The speakers in more than one split, with their numbers of clips in train, dev and test.

    Examples:
        >>> table = pd.DataFrame({"speaker": ["a", "a", "b"], "split": ["train", "test", "dev"]})
        >>> speaker_overlap(table).loc["a"].tolist()
        [1, 0, 1]
    """
    counts = pd.crosstab(as_text(table["speaker"]), table["split"]).reindex(columns=list(SPLITS), fill_value=0)
    return counts[(counts > 0).sum(axis=1) > 1]


def check_split(table: pd.DataFrame, *, shared_speakers: bool = False) -> None:
    """Refuse a split that makes results look too good.

    Args:
        table: a clip table.
        shared_speakers: accept speakers in two splits, for corpora with such a usual split.

    Raises:
        InputError: a split that is not train, dev or test, no training clips, or a speaker in two splits.

    Examples:
        >>> check_split(pd.DataFrame({"speaker": ["a", "a"], "split": ["train", "test"]}))
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: 1 speaker is in two splits: a (train, test); split by speaker, or
        allow it with shared_speakers=True
    """
    for name in sorted(set(table["split"].dropna()) - set(SPLITS)):
        raise bad_value("split", name, SPLITS)
    if not (table["split"] == "train").any():
        raise InputError("No clip is in the train split; split the table, e.g. with speaker_split")
    shared = speaker_overlap(table)
    if len(shared) and not shared_speakers:
        listed = [f"{speaker} ({', '.join(row.index[row > 0])})" for speaker, row in shared.iterrows()]
        who = "1 speaker is" if len(shared) == 1 else f"{len(shared)} speakers are"
        raise InputError(
            f"{who} in two splits: {shorten(listed)}; split by speaker, or allow it with shared_speakers=True"
        )


def _named_alike(table: pd.DataFrame) -> pd.DataFrame:
    """The table with clean names of speakers: ``" anna"`` and ``"anna"`` are one."""
    return table.assign(speaker=as_text(table["speaker"])) if "speaker" in table else table


def check_fractions(fractions: Sequence[float]) -> np.ndarray:
    """The shares of train, dev and test, [3] float64.

    Raises:
        InputError: not three shares that add up to 1.
    """
    shares = np.asarray(fractions, float)
    if shares.shape != (3,) or not (shares >= 0).all() or not np.isclose(shares.sum(), 1):
        raise InputError(
            f"Bad fractions {tuple(fractions)}, expected three shares of train, dev and test that add up to 1"
        )
    return shares


def _speaker_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Number of clips of each emotion, one row per speaker, sorted; clips without a label are one more emotion."""
    nameless = table.index[table["speaker"].isna()]
    if len(nameless):
        raise InputError(
            f"{len(nameless)} of {len(table)} clips have no speaker ({shorten(nameless)}); "
            "fill in the column speaker, or load with split=None"
        )
    emotions = table["emotion"].fillna("") if "emotion" in table else pd.Series("", index=table.index)
    return pd.crosstab(table["speaker"].to_numpy(), emotions.to_numpy())


def _speaker_genders(table: pd.DataFrame, speakers: pd.Index) -> np.ndarray:
    """The gender of each speaker, empty if unknown."""
    if "gender" not in table:
        return np.full(len(speakers), "", dtype=object)
    genders = table.assign(gender=table["gender"].fillna("")).groupby("speaker")["gender"]
    return genders.max().reindex(speakers).to_numpy(object)


def _apportion(n_speakers: int, shares: np.ndarray) -> np.ndarray:
    """Number of speakers in each split: largest remainders, at least one speaker if the share is positive."""
    needed = int((shares > 0).sum())
    if n_speakers < needed:
        raise InputError(
            f"{needed} splits need as many speakers, the table has {n_speakers}; set a fraction to 0, as in "
            "(0.5, 0, 0.5), or load with split=None"
        )
    sizes = np.where(shares > 0, 1, 0)
    while sizes.sum() < n_speakers:
        sizes[np.argmax(shares * n_speakers - sizes)] += 1
    return sizes


def _draw(genders: np.ndarray, capacity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random split of the speakers; each gender is spread over the splits in proportion to their sizes."""
    codes = np.full(len(genders), -1)
    left = capacity.copy()
    for gender in sorted(set(genders)):
        members = rng.permutation(np.flatnonzero(genders == gender))
        wanted = capacity * len(members) / len(genders)
        for member in members:
            code = np.argmax(np.where(left > 0, wanted, -np.inf))
            codes[member] = code
            wanted[code] -= 1
            left[code] -= 1
    return codes


def _distance(codes: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> float:
    """The sum of the differences from the wanted numbers of clips, over all splits and emotions."""
    totals = np.stack([counts[codes == code].sum(axis=0) for code in range(len(SPLITS))])
    return float(np.abs(totals - wanted).sum())
