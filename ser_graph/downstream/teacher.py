"""The graph of one training: the labels it may use, its edges, and what it needs from the teacher."""

import copy

import torch
from torch import Tensor
from torch_geometric.utils import subgraph

from ser_graph.corpora import originals
from ser_graph.downstream.gnn import gnn_log_probs
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph
from ser_graph.graph.alignment import aligned
from ser_graph.graph.centring import centred
from ser_graph.graph.estimators import TeacherProbe, fit_probe
from ser_graph.graph.settings import Center


def training_view(data: ClipGraph, seeds: Tensor, labelled: Tensor, settings: TrainingSettings) -> ClipGraph:
    """The graph of one training.

    Args:
        data: the graph of N clips; it is not changed.
        seeds: [N] bool, the training clips.
        labelled: [N] bool, the clips whose label the training may use.
        settings: of the training.

    Returns:
        A shallow copy of the graph. `y` is -1 for clips whose label the training may not use. With `same_label`,
        only the edges between clips of the same label are left. For methods that need the teacher, the copy has
        `teacher`, [N, D] float32 embeddings, centred, aligned and of unit variance, 0 for clips that the training
        does not use; or `teacher_log_probs`, [N, K] float32, NaN for clips without probabilities of the teacher.

    Raises:
        InputError: clips that cannot be centred or aligned; or method distil with labels of fewer than two classes.
    """
    view = copy.copy(data)
    view.y = torch.where(labelled, data.y, -1)
    methods = set(settings.methods) if settings.learns_from else set()
    if settings.same_label and "nsl" in methods:
        source, target = data.edge_index
        same = (view.y[source] == view.y[target]) & (view.y[target] >= 0)
        view.edge_index, view.edge_weight = data.edge_index[:, same], data.edge_weight[same]
    if not methods - {"nsl"}:
        return view
    rows = torch.ones_like(seeds) if settings.transductive else seeds
    teacher = teacher_embeddings(data, rows, settings.center, settings.align)
    if "distil" in methods:
        original = torch.from_numpy(originals(data.table))
        known = torch.where(original, view.y, -1)
        check_classes(known)
        if settings.teacher == "gnn":
            edges, _ = subgraph(rows, data.edge_index, relabel_nodes=True, num_nodes=len(rows))
            found = gnn_log_probs(teacher[rows], edges, known[rows], len(data.emotions), settings.seed)
            view.teacher_log_probs = _spread(found, rows, torch.nan)
        else:
            others = data.other_y.where(original & rows, -1)
            view.teacher_log_probs = probe_log_probs(
                teacher, known, rows, len(data.emotions), others, settings.other_labels
            )
    if methods & {"graph", "regress"}:
        view.teacher = unit_variance(teacher, rows)
    return view


def teacher_embeddings(data: ClipGraph, rows: Tensor, center: Center, align: str | None = None) -> Tensor:
    """[N, D] float32: the embeddings of some clips, [N] bool, as they teach; zeros elsewhere.

    They are centred and aligned with these clips alone; see `centred` and `aligned`.
    """
    table = data.table[rows.numpy()]
    try:
        emb = centred(data.emb[rows], table, center)
    except InputError as error:
        raise InputError(f"Bad center {center!r}: {error}") from None
    return _spread(emb.float() if align is None else aligned(emb, table, align), rows)


def unit_variance(emb: Tensor, rows: Tensor) -> Tensor:
    """Embeddings minus the mean of some clips, divided by one number: the mean variance of dimensions is then 1.

    One number for all dimensions keeps the shape of the space: near clips stay near, wide directions stay wide.

    Examples:
        >>> unit_variance(torch.tensor([[0.0, 5.0], [4.0, 5.0]]), torch.tensor([True, True]))[:, 0]
        tensor([-1.4142,  1.4142])
    """
    selected = emb[rows].double()
    centred = selected - selected.mean(0)
    return _spread((centred / centred.square().mean().sqrt().clamp_min(1e-12)).float(), rows)


def probe_log_probs(
    emb: Tensor, y: Tensor, rows: Tensor, n_classes: int, other: Tensor | None = None, other_labels: float = 0.0
) -> Tensor:
    """Log probabilities of classes by a linear probe of embeddings [N, D]; see `fit_probe`.

    The probe is fitted on the labels `y` [N] of at least two classes and on those of other corpora, `other` [N], -1
    elsewhere. It predicts `rows` [N] bool. The result is [N, K] float32, -inf for classes without a label, NaN in
    other rows.
    """
    others = torch.full_like(y, -1) if other is None else other
    probe = fit_probe(emb.numpy(), y.numpy(), others.numpy(), other_labels)
    return _spread(log_probs_of(probe, emb[rows], n_classes), rows, torch.nan)


def log_probs_of(probe: TeacherProbe, emb: Tensor, n_classes: int) -> Tensor:
    """[M, K] float32 log probabilities by a fitted probe for embeddings [M, D]; -inf for classes without labels."""
    log_probs = torch.full((len(emb), n_classes), -torch.inf)
    found = probe.predict_log_proba(emb.double().numpy())
    log_probs[:, torch.from_numpy(probe.classes_)] = torch.from_numpy(found).float()
    return log_probs


def check_classes(y: Tensor) -> None:
    """Raise `InputError` for labels of fewer than two classes."""
    if len(y[y >= 0].unique()) < 2:
        raise InputError(
            "Method distil fits its teacher on training clips of at least two labelled emotions; the "
            "graph has fewer: label clips of more emotions"
        )


def _spread(values: Tensor, rows: Tensor, elsewhere: float = 0.0) -> Tensor:
    """[N, .] with `values` in some rows."""
    spread = values.new_full((len(rows), values.shape[1]), elsewhere)
    spread[rows] = values
    return spread
