"""Shortcuts: how well the emotion can be told from one column of the clip table, or one trivial measurement.

If the sentence, the speaker or the codec gives the emotion away, a model can learn that instead of the emotion, and
its test results look too good.
"""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, KFold

from ser_graph.common.progress import progress_bar
from ser_graph.corpora import originals
from ser_graph.errors import InputError
from ser_graph.evaluation.metrics import TAILS, resampled_scores

_NO_SHORTCUTS = frozenset({"emotion", "split", "copy_of", "stored_in", "speed", "arousal", "valence", "dominance"})
_FOLDS = 10
_BINS = 10
_COLUMNS = ["kind", "values", "folds", "uar", "uar_low", "uar_high", "chance", "chance_low", "chance_high"]
_COLUMNS += ["strength", "found"]
_BLOCKS = 200  # resampled groups of clips of unknown speaker
MISSING, _ONCE = "(missing)", "(occurs once)"


def label_shortcuts(
    table: pd.DataFrame,
    *,
    n_permutations: int = 500,
    n_resamples: int = 2000,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """How well each column alone tells the emotion of a clip, compared with shuffled emotions.

    The classifier of a column is a table of counts: it answers with the emotion in which the value of the clip is
    most frequent, as a share of the clips of this emotion. Numbers are cut into ten bins of equally many clips. All
    values that occur once count as one value, and so do missing values. The classifier never counts the clips that
    it answers for (ten folds). No speaker is in two folds, except for columns whose values belong to one speaker
    each, e.g. `speaker`: their folds are drawn by clip.

    Two intervals of 95 % go with the UAR (unweighted average recall): its own, from a bootstrap over speakers (over
    clips with fewer than two speakers), and that of chance, from shuffled emotions. A column is `found` to be a
    shortcut if its whole interval is above that of chance. Of 1,800 random columns, with 6 to 60 speakers, one was
    found.

    Args:
        table: a clip table of N clips, with any further columns, e.g. those of `clip_measures`. Clips of unknown
            emotion and copies (see `with_copies`) are left out. `emotion`, `split` and the dimensions of emotion
            (arousal, valence, dominance) are never tested, and neither are columns with one value only.
        n_permutations: number of shufflings of the emotions.
        n_resamples: number of resamples of the bootstrap.
        seed: random seed of folds, shufflings and resamples.
        progress: show a progress bar.

    Returns:
        One row per column, indexed by `column`, the strongest first: `kind`, ``"text"`` or ``"number"``; `values`,
        the number of different values or bins; `folds`, ``"speakers"`` or ``"clips"``; `uar`, `uar_low`,
        `uar_high`; `chance`, `chance_low`, `chance_high`; `strength`, how far the UAR is on the way from chance (0)
        to certainty (1); and `found`.

    Raises:
        InputError: no clip table, or `n_permutations` below 1.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> table = pd.DataFrame({"emotion": ["joy", "fear"] * 60, "speaker": np.repeat(list("abcdef"), 20)})
        >>> table["sentence"] = table["emotion"].map({"joy": "s1", "fear": "s2"})
        >>> table["room"] = rng.choice(["r1", "r2"], 120)
        >>> columns = ["folds", "uar", "uar_low", "chance_high", "found"]
        >>> label_shortcuts(table, progress=False)[columns].round(1)
                     folds  uar  uar_low  chance_high  found
        column
        sentence  speakers  1.0      1.0          0.6   True
        room      speakers  0.4      0.4          0.6  False
        speaker      clips  0.3      0.2          0.6  False
    """
    if "emotion" not in table:
        raise InputError(f"No column 'emotion' among {list(table.columns)[:6]}; give a clip table")
    if n_permutations < 1:
        raise InputError(f"Bad n_permutations {n_permutations!r}, expected at least 1, because they measure chance")
    table = table[originals(table) & table["emotion"].notna().to_numpy()]
    emotions, y = np.unique(table["emotion"].astype(str), return_inverse=True)
    found = {}
    if len(emotions) > 1:
        columns = [str(name) for name in table if name not in _NO_SHORTCUTS]
        for column in progress_bar(columns, "shortcuts", unit="column", disable=not progress, delay=2, leave=False):
            codes = _codes(table[column])
            if codes.max() > 0:
                found[column] = _measure(table, column, codes, y, n_permutations, n_resamples, seed)
    rows = pd.DataFrame.from_dict(found, orient="index", columns=_COLUMNS).rename_axis("column")
    return rows.sort_values("strength", ascending=False, kind="stable")


def _measure(
    table: pd.DataFrame,
    column: str,
    codes: np.ndarray,
    y: np.ndarray,
    n_permutations: int,
    n_resamples: int,
    seed: int,
) -> dict[str, Any]:
    voices = _voices(table)
    by_clip = _belongs_to_speakers(table, column) or len(np.unique(voices)) < 2
    folds = _folds(None if by_clip else voices, len(y), seed)
    answers = _answers(codes, y, folds)
    rng = np.random.default_rng(seed)
    shuffled = (rng.permutation(y) for _ in range(n_permutations))
    chance = np.array([_uar(one, _answers(codes, one, folds)) for one in shuffled])
    chance_low, chance_high = np.quantile(chance, TAILS)
    low, high = _interval(y, answers, _blocks(table, seed), n_resamples, seed)
    value = _uar(y, answers)
    return {
        "kind": "number" if is_number(table[column]) else "text",
        "values": int(codes.max()) + 1,
        "folds": "clips" if by_clip else "speakers",
        "uar": value,
        "uar_low": low,
        "uar_high": high,
        "chance": float(chance.mean()),
        "chance_low": float(chance_low),
        "chance_high": float(chance_high),
        "strength": float((value - chance.mean()) / (1 - chance.mean())),
        "found": bool(low > chance_high),
    }


def is_number(values: pd.Series) -> bool:
    """Whether a column is cut into bins: only floats are numbers, because codes may be whole numbers."""
    return pd.api.types.is_float_dtype(values) and bool(values.notna().any())


def _codes(values: pd.Series) -> np.ndarray:
    """[N] int64 the value or the bin of each clip, from 0."""
    if is_number(values):
        edges = np.unique(np.nanquantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
        bins = np.searchsorted(edges, values.to_numpy(), side="left")
        return np.unique(np.where(values.isna(), len(edges) + 1, bins), return_inverse=True)[1]
    texts = values.astype(str).where(values.notna(), MISSING).astype(str)
    once = texts.map(texts.value_counts()) == 1
    return np.unique(texts.mask(once, _ONCE).to_numpy(str), return_inverse=True)[1]


def _voices(table: pd.DataFrame) -> np.ndarray:
    """[N] the speaker of each clip; a clip of unknown speaker is one by itself."""
    files = pd.Series([f"\0{file}" for file in table.index], index=table.index)
    speaker = table["speaker"].astype(object) if "speaker" in table else files
    return speaker.where(speaker.notna(), files).astype(str).to_numpy()


def _belongs_to_speakers(table: pd.DataFrame, column: str) -> bool:
    """Whether each value of a column belongs to one speaker; grouped by speaker, no value would be known."""
    if column == "speaker":
        return True
    if "speaker" not in table or table["speaker"].isna().any() or is_number(table[column]):
        return False
    repeated = table[column].map(table[column].value_counts()) > 1
    speakers = table["speaker"][repeated].groupby(table[column][repeated]).nunique()
    return len(speakers) > 1 and bool((speakers == 1).all())


def _folds(voices: np.ndarray | None, n: int, seed: int) -> np.ndarray:
    """[N] int64 the fold of each clip."""
    rows = np.zeros((n, 1))
    if voices is None:
        parts = KFold(min(_FOLDS, n), shuffle=True, random_state=seed).split(rows)
    else:
        parts = GroupKFold(min(_FOLDS, len(np.unique(voices)))).split(rows, groups=voices)
    folds = np.zeros(n, np.int64)
    for number, (_, tested) in enumerate(parts):
        folds[tested] = number
    return folds


def _answers(codes: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """[N] the emotion in which the value of each clip is most frequent, by the clips of the other folds.

    A value that is not in the other folds has the answer 0, whatever the clip: that tells nothing.
    """
    n_folds, n_values, n_emotions = folds.max() + 1, codes.max() + 1, y.max() + 1
    cells = (folds * n_values + codes) * n_emotions + y
    counts = np.bincount(cells, minlength=n_folds * n_values * n_emotions)
    inside = counts.reshape(n_folds, n_values, n_emotions)
    others = inside.sum(axis=0) - inside
    shares = others / others.sum(axis=1, keepdims=True).clip(1)
    return shares.argmax(axis=2)[folds, codes]


def _uar(y: np.ndarray, answers: np.ndarray) -> float:
    right, all_clips = np.bincount(y, weights=answers == y), np.bincount(y)
    return float((right[all_clips > 0] / all_clips[all_clips > 0]).mean())


def _blocks(table: pd.DataFrame, seed: int) -> np.ndarray:
    """[N] codes of what is resampled: speakers, or blocks of clips drawn at random with one speaker or none."""
    if "speaker" in table and len(table["speaker"].dropna().unique()) > 1:
        return np.unique(_voices(table), return_inverse=True)[1]
    return np.random.default_rng(seed).permutation(len(table)) % _BLOCKS


def _interval(
    y: np.ndarray, answers: np.ndarray, blocks: np.ndarray, n_resamples: int, seed: int
) -> tuple[float, float]:
    matrices = np.zeros((blocks.max() + 1, y.max() + 1, y.max() + 1))
    np.add.at(matrices, (blocks, y, answers), 1)
    low, high = np.quantile(resampled_scores(matrices, n_resamples, seed)["uar"], TAILS)
    return float(low), float(high)
