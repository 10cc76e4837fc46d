"""What the teacher knows: predictions from the upstream's embeddings, for comparison with a student.

None of these methods can run on a device, because they need the large model for every clip. They show how much the
teacher can teach, and how good predictions from its embeddings are without a student.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from ser_graph.analysis.duplicates import nearest_clips
from ser_graph.corpora import originals
from ser_graph.corpora.predictions import prediction_table
from ser_graph.downstream import TrainingSettings
from ser_graph.errors import InputError, bad_value
from ser_graph.evaluation.metrics import uar
from ser_graph.graph import ClipGraph
from ser_graph.graph.centring import centred
from ser_graph.graph.clip_graph import check_is_graph
from ser_graph.graph.estimators import fit_probe
from ser_graph.graph.settings import Center

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse regularisation strengths of the probe to try on dev, the simplest model first."""
ALPHAS = (0.2, 0.5, 0.8, 0.9, 0.99)
"""Values of alpha to try on dev, from the shortest spread of labels to the longest."""


def teacher_probe(
    data: ClipGraph,
    *,
    label_mask: Tensor | None = None,
    center: Center = "none",
    other_labels: float | None = None,
    split: Literal["dev", "test"] | None = None,
) -> pd.DataFrame:
    """A linear probe of the teacher: logistic regression on the embeddings of the training clips.

    The probe needs the teacher at inference. The labelled clips standardise the embeddings. The regularisation is
    the one of `STRENGTHS` with the highest UAR on the labelled dev clips that are not in `label_mask`
    (1 without such clips). The probe is deterministic and needs no seed.

    Args:
        data: the graph of N clips; its edges are not used.
        label_mask: [N] bool, the clips whose labels the probe uses; by default the training clips. Clips of unknown
            emotion and copies (see `with_copies`) are never used.
        center: mean that is subtracted from the embeddings first: ``"none"``, ``"corpus"``, or each
            ``"speaker"``'s. The mean of a test speaker comes from all clips of this speaker, without labels. The
            probe thus needs the other clips of the speaker: all values but ``"none"`` are transductive in this
            sense.
        other_labels: as in `TrainingSettings`; None is its default.
        split: the clips to predict, ``"dev"`` or ``"test"``; None means both.

    Returns:
        A table by file as in `predict`: `emotion`, `speaker`, `predicted`, and ``p_anger`` and so on, float64 that
        sum to 1. Its `attrs` describe the probe: `method`, `strength`, `dev_uar`, `n_labels`, `center`,
        `needs_teacher` and `transductive`.

    Raises:
        InputError: labels of fewer than two emotions; a mask of another shape or with test clips; no clip to
            predict; or clips without a mean, see `centred`.
    """
    y, selected = _usable_labels(data, label_mask), _selected(data, split)
    known, emb = y >= 0, centred(data.emb, data.table, center).double().numpy()
    weight = _weight_of_others(other_labels)
    other = data.other_y.where(data.train_mask & torch.from_numpy(originals(data.table)), -1).numpy()

    def probabilities(strength: float) -> np.ndarray:
        probe = fit_probe(emb, y, other, weight, strength)
        return _columns(probe.predict_proba(emb), probe.classes_, data)

    strength, dev_uar, found = _best_on_dev(data, known, STRENGTHS, 1.0, probabilities)
    made = {"method": "teacher_probe", "strength": strength, "dev_uar": dev_uar}
    return _predictions(data, found, selected, {**made, **_attributes(known, center, transductive=False)})


def label_propagation(
    data: ClipGraph,
    *,
    label_mask: Tensor | None = None,
    alpha: float | None = None,
    n_neighbors: int = 10,
    center: Center = "none",
    split: Literal["dev", "test"] | None = None,
) -> pd.DataFrame:
    """Spread labels along a graph of all clips: transductive, and without a student.

    Zhou et al., "Learning with local and global consistency", NIPS 2004: F = (I - alpha S)^-1 Y with S = D^-1/2 W
    D^-1/2, where Y marks the labelled clips. W contains the cosine similarity of two clips if one is among the
    `n_neighbors` nearest clips of the other, and 0 for negative similarities. The method needs the teacher at
    inference, and all clips at once: clips of dev and test are nodes with unknown labels. It does not use the edges
    of the graph, because they stay within a split.

    Args:
        data: the graph of N clips.
        label_mask: [N] bool, the clips whose labels are spread; by default the training clips.
        alpha: between 0 (labels do not spread) and 1 (labels spread everywhere); by default the one of `ALPHAS`
            with the highest UAR on dev (Zhou's 0.99 without labelled clips in dev).
        n_neighbors: neighbours per clip.
        center: as in `teacher_probe`.
        split: as in `teacher_probe`.

    Returns:
        A table as in `teacher_probe`, with `alpha` and `n_neighbors` in its `attrs`. The probabilities are the rows
        of F, scaled to sum to 1. A clip that no label reaches gets the frequencies of the labels.

    Raises:
        InputError: as in `teacher_probe`; an alpha that is not between 0 and 1; or a bad number of neighbours.
    """
    if alpha is not None and not 0 < alpha < 1:
        raise InputError(f"Bad alpha {alpha!r}, expected a number between 0 and 1, or None to choose on dev")
    y, selected = _usable_labels(data, label_mask), _selected(data, split)
    known = y >= 0
    affinity = _affinity(data, centred(data.emb, data.table, center), n_neighbors)
    shares = np.bincount(y[known], minlength=len(data.emotions)) / known.sum()

    def probabilities(alpha: float) -> np.ndarray:
        # scikit-learn's own graph of neighbours is directed, and every clip is a neighbour of itself.
        model = LabelSpreading(kernel=lambda *_: affinity, alpha=alpha, max_iter=100_000, tol=1e-9)
        model.fit(np.arange(len(y))[:, None], y)
        spread = _columns(model.label_distributions_, model.classes_, data)
        return np.where(spread.sum(1, keepdims=True) > 0, spread, shares)

    candidates = ALPHAS if alpha is None else (alpha,)
    alpha, dev_uar, found = _best_on_dev(data, known, candidates, 0.99 if alpha is None else alpha, probabilities)
    made = {"method": "label_propagation", "alpha": alpha, "n_neighbors": n_neighbors, "dev_uar": dev_uar}
    return _predictions(data, found, selected, {**made, **_attributes(known, center, transductive=True)})


def gap_closed(student: ArrayLike, baseline: ArrayLike, probe: ArrayLike) -> float | np.ndarray:
    """The share of the gap between baseline and teacher that a student closes.

    (student - baseline) / (probe - baseline): 0 is the baseline, 1 the probe, below 0 worse than the baseline.

    Args:
        student: UAR or another score where more is better; a number, or an array with one score per seed.
        baseline: the same score of the student with alpha = 0, on the same clips.
        probe: the same score of `teacher_probe` or another function of this module.

    Returns:
        float64, broadcast together; a float for numbers. NaN if the probe is no better than the baseline: there is
        no gap to close.

    Examples:
        >>> gap_closed(0.5, 0.375, 0.875)
        0.25
        >>> gap_closed([0.5, 0.75], [0.375, 0.875], 0.875)
        array([0.25,  nan])
    """
    student, baseline, probe = (np.asarray(score, dtype=float) for score in (student, baseline, probe))
    gap = probe - baseline
    closed = (student - baseline) / np.where(gap > 0, gap, np.nan)
    return closed if closed.ndim else float(closed)


def _weight_of_others(given: float | None) -> float:
    """`other_labels` of the training if it is not given; a bad value is refused."""
    settings = TrainingSettings()
    return (settings if given is None else settings.replace(other_labels=given)).other_labels


def _usable_labels(data: ClipGraph, label_mask: Tensor | None) -> np.ndarray:
    """[N] emotion codes of the clips whose label may be used, -1 elsewhere."""
    check_is_graph(data)
    data.check()
    mask = data.train_mask if label_mask is None else torch.as_tensor(label_mask)
    if mask.dtype != torch.bool or mask.shape != data.y.shape:
        raise InputError(
            f"Bad label_mask, {mask.dtype} of shape {tuple(mask.shape)}, expected torch.bool of shape "
            f"({len(data.y)},), one value per clip"
        )
    if (mask & data.test_mask).any():
        raise InputError(
            f"label_mask contains {int((mask & data.test_mask).sum())} test clips; leave them out: test labels are "
            "for the test only"
        )
    y = torch.where(mask & torch.from_numpy(originals(data.table)), data.y, -1)
    n_classes = len(y[y >= 0].unique())
    if n_classes < 2:
        raise InputError(
            f"The labelled clips have {n_classes} emotions, expected at least two; add clips to label_mask"
        )
    return y.numpy()


def _affinity(data: ClipGraph, emb: Tensor, n_neighbors: int) -> sparse.csr_array:
    """[N, N] symmetric: cosines of each clip and its nearest clips, in both directions; 0 on the diagonal."""
    ids, similarity = nearest_clips(data, n_neighbors, emb)
    found = ids >= 0
    rows = torch.arange(len(ids))[:, None].expand_as(ids)[found]
    values = similarity[found].double().clamp_min(0)
    directed = sparse.csr_array((values.numpy(), (rows.numpy(), ids[found].numpy())), shape=(len(ids), len(ids)))
    return sparse.csr_array(directed.maximum(directed.T))


def _columns(values: np.ndarray, classes: np.ndarray, data: ClipGraph) -> np.ndarray:
    """[N, C] of the classes with a label -> [N, K] of all emotions."""
    spread = np.zeros((len(values), len(data.emotions)))
    spread[:, classes] = values
    return spread


def _best_on_dev(
    data: ClipGraph,
    known: np.ndarray,
    candidates: Sequence[float],
    default: float,
    probabilities: Callable[[float], np.ndarray],
) -> tuple[float, float | None, np.ndarray]:
    """The first candidate with the highest UAR on dev, this UAR, and its probabilities for all clips."""
    y = data.y.numpy()
    dev = data.val_mask.numpy() & (y >= 0) & ~known  # clips that were learnt cannot evaluate
    if not dev.any():
        return default, None, probabilities(default)
    found = [probabilities(candidate) for candidate in candidates]
    scores = [uar(y[dev].tolist(), one[dev].argmax(1).tolist()) for one in found]
    best = int(np.argmax(scores))
    return candidates[best], scores[best], found[best]


def _attributes(known: np.ndarray, center: Center, *, transductive: bool) -> dict[str, Any]:
    return {
        "n_labels": int(known.sum()),
        "center": center,
        "needs_teacher": True,
        "transductive": transductive or center != "none",
    }


def _selected(data: ClipGraph, split: str | None) -> np.ndarray:
    """[N] bool: the clips of a split, or of dev and test."""
    masks = {"dev": data.val_mask, "test": data.test_mask}
    if split is not None and split not in masks:
        raise bad_value("split", split, masks)
    selected = masks[split] if split else data.val_mask | data.test_mask
    if not selected.any():
        raise InputError(f"No clip to predict in the split {split or 'dev or test'}")
    return selected.numpy()


def _predictions(data: ClipGraph, found: np.ndarray, selected: np.ndarray, attrs: dict[str, Any]) -> pd.DataFrame:
    """Probabilities [N, K] of all clips -> the table of predictions for some of them."""
    predictions = prediction_table(data.table[selected], data.emotions, found[selected])
    predictions.attrs.update(attrs)
    return predictions
