"""What one training sees of a graph: the labels that it may know, its edges, and what the teacher says of clips."""

import copy

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ser_graph.corpora import originals
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph
from ser_graph.graph.centring import centred
from ser_graph.graph.settings import Center


def training_view(data: ClipGraph, seeds: Tensor, labelled: Tensor, settings: TrainingSettings) -> ClipGraph:
    """The graph as one training sees it.

    Args:
        data: the graph of N clips, left as it is.
        seeds: [N] bool, the training clips.
        labelled: [N] bool, those whose label may be known.
        settings: of the training.

    Returns:
        A shallow copy with `y` -1 where the label may not be known and, where settings ask for it, only the
        edges of `same_label`, and what the method learns from: [N, D] float32 `teacher`, embeddings without the
        mean that `center` names, of unit variance, 0 for clips that are not learnt from; or [N, K] float32
        `teacher_log_probs`, NaN for clips of which the teacher says nothing.
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
    teacher = teacher_embeddings(data, rows, settings.center)
    if methods & {"distil", "propagate"}:
        original = torch.from_numpy(originals(data.table))
        known = torch.where(original, view.y, -1)
        view.teacher_log_probs = probe_log_probs(teacher, known, rows, len(data.emotions))
    if "propagate" in methods:
        # Copies have no edges: of them the probe is all that there is to say.
        view.teacher_log_probs = torch.where(
            original[:, None], smoothed(view, rows & original), view.teacher_log_probs
        )
    if methods & {"graph", "regress", "relational"}:
        view.teacher = unit_variance(teacher, rows)
    return view


def corpus_clips(data: ClipGraph, rows: Tensor) -> Tensor:
    """[N] bool: the original clips of the corpora that some clips [N] bool are of; all where no corpus is named."""
    original = originals(data.table)
    if "corpus" in data.table:
        corpus = data.table["corpus"]
        original &= corpus.isin(set(corpus[rows.numpy()])).to_numpy(bool)
    return torch.from_numpy(original)


def teacher_embeddings(data: ClipGraph, rows: Tensor, center: Center = "none") -> Tensor:
    """[N, D] float32: the embeddings of some clips in a space that these clips alone decide; zeros elsewhere.

    Args:
        data: the graph of N clips.
        rows: [N] bool.
        center: what is taken away; see `ser_graph.graph.centring.centred`.
    """
    table = data.table[rows.numpy()]
    try:
        emb = centred(data.emb[rows], table, center)
    except InputError as error:
        raise InputError(f"Bad center {center!r}: {error}") from None
    return _spread(emb.float(), rows)


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
    selected = emb[rows].double()
    centred = selected - selected.mean(0)
    return _spread((centred / centred.square().mean().sqrt().clamp_min(1e-12)).float(), rows)


def probe_log_probs(emb: Tensor, y: Tensor, rows: Tensor, n_classes: int) -> Tensor:
    """Log probabilities of classes by a linear probe: logistic regression on standardised embeddings.

    Args:
        emb: [N, D].
        y: [N] labels that may be known, -1 elsewhere; the probe is fitted on these alone.
        rows: [N] bool, whose probabilities are wanted.
        n_classes: K.

    Returns:
        [N, K] float32, -inf for classes that no label has, NaN in other rows.

    Raises:
        InputError: labels of fewer than two classes.
    """
    known = y >= 0
    if len(y[known].unique()) < 2:
        raise InputError(
            "Methods distil and propagate fit a probe on training clips of at least two labelled emotions; the "
            "graph has fewer, label more"
        )
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(emb[known].double().numpy(), y[known].numpy())
    log_probs = torch.full((int(rows.sum()), n_classes), -torch.inf)
    log_probs[:, torch.from_numpy(probe.classes_)] = torch.from_numpy(
        probe.predict_log_proba(emb[rows].double().numpy())
    ).float()
    return _spread(log_probs, rows, torch.nan)


def smoothed(view: ClipGraph, rows: Tensor) -> Tensor:
    """Log probabilities of classes, corrected by the labels that are known and smoothed along the edges.

    Huang et al., "Combining label propagation and simple models out-performs graph neural networks" (Correct and
    Smooth), ICLR 2021: the errors at labelled clips spread along the edges and are taken off, then the
    probabilities themselves spread. Edges count in both directions.

    Args:
        view: the graph with `y` of the labels that may be known, and [N, K] `teacher_log_probs`.
        rows: [N] bool, whose probabilities are wanted; edges to other clips are not used.

    Returns:
        [N, K] float32, NaN in other rows.
    """
    from torch_geometric.nn import CorrectAndSmooth
    from torch_geometric.nn.conv.gcn_conv import gcn_norm
    from torch_geometric.utils import coalesce, subgraph

    edge_index, weight = subgraph(rows, view.edge_index, view.edge_weight, True, num_nodes=len(rows))
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    edge_index, weight = coalesce(both, torch.cat([weight, weight]), int(rows.sum()), reduce="max")
    # CorrectAndSmooth takes weights as they are: without D^-1/2 A D^-1/2 everything would grow into its bounds.
    edge_index, weight = gcn_norm(edge_index, weight.clamp_min(0), int(rows.sum()), add_self_loops=False)
    probabilities, y = view.teacher_log_probs[rows].exp(), view.y[rows]
    known = y >= 0
    spreading = CorrectAndSmooth(
        num_correction_layers=50, correction_alpha=0.8, num_smoothing_layers=50, smoothing_alpha=0.8
    )
    corrected = spreading.correct(probabilities, y[known], known, edge_index, weight)
    smooth = spreading.smooth(corrected, y[known], known, edge_index, weight).clamp_min(1e-6)
    return _spread((smooth / smooth.sum(1, keepdim=True)).log(), rows, torch.nan)


def _spread(values: Tensor, rows: Tensor, elsewhere: float = 0.0) -> Tensor:
    """[N, .] with `values` in some rows."""
    spread = values.new_full((len(rows), values.shape[1]), elsewhere)
    spread[rows] = values
    return spread
