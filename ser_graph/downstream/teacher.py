"""What one training sees of a graph: the labels that it may know, its edges, and what the teacher says of clips."""

import copy

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ser_graph.downstream.settings import TrainingSettings
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph
from ser_graph.graph.space import Center, Space, transform


def training_view(data: ClipGraph, seeds: Tensor, labelled: Tensor, settings: TrainingSettings) -> ClipGraph:
    """The graph as one training sees it.

    Args:
        data: the graph of N clips, left as it is.
        seeds: [N] bool, the training clips.
        labelled: [N] bool, those whose label may be known.
        settings: of the training.

    Returns:
        A shallow copy with `y` -1 where the label may not be known and, where settings ask for it, only the
        edges of `same_label`, and [N, .] float32 `teacher` (embeddings in the space of `teacher_center`),
        `target` (the same, of unit variance) and `log_posteriors`; zeros for clips that are not learnt from.
    """
    view = copy.copy(data)
    view.y = torch.where(labelled, data.y, -1)
    if settings.same_label:
        source, target = data.edge_index
        same = (view.y[source] == view.y[target]) & (view.y[target] >= 0)
        view.edge_index, view.edge_weight = data.edge_index[:, same], data.edge_weight[same]
    if not (settings.similarity or settings.regression or settings.posteriors):
        return view
    rows = torch.ones_like(seeds) if settings.transductive else seeds
    teacher = teacher_embeddings(data, rows, settings.teacher_center)
    if settings.similarity:
        view.teacher = teacher
    if settings.regression:
        view.target = unit_variance(teacher, rows)
    if settings.posteriors:
        view.log_posteriors = log_posteriors(teacher, view.y, rows, len(data.emotions))
    return view


def teacher_embeddings(data: ClipGraph, rows: Tensor, center: Center = "none") -> Tensor:
    """[N, D] float32: the embeddings of some clips in a space that these clips alone decide; zeros elsewhere.

    Args:
        data: the graph of N clips.
        rows: [N] bool.
        center: what is taken away; see `ser_graph.graph.space.Space`.
    """
    try:
        chosen = transform(data.emb[rows], data.table[rows.numpy()], Space(center=center))
    except InputError as error:
        raise InputError(f"Bad teacher_center {center!r}: {error}") from None
    return _spread(chosen.float(), rows)


def unit_variance(emb: Tensor, rows: Tensor) -> Tensor:
    """Embeddings minus their mean, divided by one number that makes the mean variance of dimensions 1.

    One number for all dimensions keeps the shape of the space: what is near, and which directions are wide.

    Args:
        emb: [N, D].
        rows: [N] bool, whose mean and variance are meant.

    Examples:
        >>> unit_variance(torch.tensor([[0.0, 5.0], [4.0, 5.0]]), torch.tensor([True, True]))[:, 0]
        tensor([-1.4142,  1.4142])
    """
    chosen = emb[rows].double()
    centred = chosen - chosen.mean(0)
    return _spread((centred / centred.square().mean().sqrt().clamp_min(1e-12)).float(), rows)


def log_posteriors(emb: Tensor, y: Tensor, rows: Tensor, n_classes: int) -> Tensor:
    """Log probabilities of classes by a linear probe: logistic regression on standardised embeddings.

    Args:
        emb: [N, D].
        y: [N] labels that may be known, -1 elsewhere; the probe is fitted on these alone.
        rows: [N] bool, whose probabilities are wanted.
        n_classes: K.

    Returns:
        [N, K] float32, -inf for classes that no label has.

    Raises:
        InputError: labels of fewer than two classes.
    """
    known = y >= 0
    if len(y[known].unique()) < 2:
        raise InputError("posteriors need training clips of at least two labelled emotions to fit the probe on")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(emb[known].double().numpy(), y[known].numpy())
    chosen = torch.full((int(rows.sum()), n_classes), -torch.inf)
    chosen[:, torch.from_numpy(probe.classes_)] = torch.from_numpy(
        probe.predict_log_proba(emb[rows].double().numpy())
    ).float()
    return _spread(chosen, rows)


def _spread(chosen: Tensor, rows: Tensor) -> Tensor:
    """[N, .] with `chosen` in some rows, zeros elsewhere."""
    spread = chosen.new_zeros(len(rows), chosen.shape[1])
    spread[rows] = chosen
    return spread
