"""Each method against dense numpy, and each through whole trainings."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from scipy.stats import norm
from torch_geometric.data import Data

from ser_graph.downstream import TrainingSettings, load_student, train
from ser_graph.downstream import training as training_module
from ser_graph.downstream.backbones import Output
from ser_graph.downstream.methods import (
    HIDDEN,
    OTHERS,
    PROJECTION,
    SHARPNESS,
    TEMPERATURE,
    GraphDistribution,
    Method,
    make_method,
)
from ser_graph.downstream.prediction import predict_logits
from ser_graph.downstream.settings import METHODS, METHODS_BESIDE
from ser_graph.downstream.strategies import Step

QUICK = {
    "epochs": 2,
    "epoch_steps": 1,
    "batch_size": 25,
    "width": 0.25,
    "augment": "none",
    "normalise": "corpus",
    "precision": "float32",
    "progress": False,
    "device": "cpu",
}
EMOTIONS = ["anger", "fear", "joy"]
N, WIDTH = 8, 16  # clips of the graph, and of `fc1` at the width of `settings`


def settings_of(method, **changes):
    return TrainingSettings(**{"method": method, "width": 0.0625, **changes})


@pytest.fixture
def view():
    """Eight clips of which the last two are not learnt from, with what `training_view` prepares."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.tensor([[1, 2, 0, 3, 4, 5, 0, 2], [0, 0, 1, 2, 2, 3, 4, 5]])
    teacher = torch.randn(N, 5, generator=generator)
    teacher[6:] = 0
    log_posteriors = torch.randn(N, 3, generator=generator).log_softmax(1)
    log_posteriors[6:], log_posteriors[0, 1] = torch.nan, -torch.inf
    made = Data(
        edge_index=edges,
        edge_weight=torch.rand(8, generator=generator),
        y=torch.tensor([0, 1, 2, 0, -1, -1, -1, -1]),
        teacher=teacher,
        log_posteriors=log_posteriors,
        num_nodes=N,
    )
    made.emotions = EMOTIONS
    return made


def outputs_of(nodes, seed=1):
    """Random outputs of some clips, and the batch around them."""
    generator = torch.Generator().manual_seed(seed)
    out = Output(
        torch.randn(len(nodes), WIDTH, generator=generator), torch.randn(len(nodes), 3, generator=generator)
    )
    return out, torch.tensor(nodes)


def loss_of(method, view, nodes, seed=1, edges=None):
    """The term of a method for random outputs of some clips."""
    out, nodes = outputs_of(nodes, seed)
    edges = torch.empty(2, 0, dtype=torch.int64) if edges is None else edges
    weight = torch.linspace(0.5, 1, edges.shape[1])
    batch = SimpleNamespace(
        n_id=nodes, batch_size=len(nodes), teacher=view.teacher[nodes], log_posteriors=view.log_posteriors[nodes]
    )
    step = Step(out, torch.arange(len(nodes)), edges, weight, None, {})
    return method.loss(step, batch).detach(), out


def numpy_of(*tensors):
    return [one.detach().double().numpy() for one in tensors]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_constants():
    assert (PROJECTION, HIDDEN, OTHERS, TEMPERATURE) == (64, 256, 256, 2.0)
    assert SHARPNESS == {"student": 0.1, "teacher": 0.05}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("layer", ["fc1", "fc2", "projection"])
def test_neighbours_shall_be_close_in_numpy(view, layer, reduction):
    method = make_method(view, settings_of("nsl", layer=layer, reduction=reduction))
    edges = torch.tensor([[1, 2, 3, 0], [0, 0, 1, 2]])
    loss, out = loss_of(method, view, [0, 1, 2, 3], edges=edges)
    fc1, fc2 = numpy_of(*out)
    if layer == "projection":
        fc1 = fc1 @ numpy_of(method.projection.weight)[0].T
    p = unit(fc2 if layer == "fc2" else fc1)
    weight = np.linspace(0.5, 1, 4)
    terms = [w * (1 - p[k] @ p[i]) for w, k, i in zip(weight, *edges.tolist(), strict=True)]
    assert float(loss) == pytest.approx(np.mean(terms) if reduction == "mean" else np.sum(terms), rel=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("layer", ["fc1", "fc2", "projection"])
def test_relations_of_all_pairs_in_numpy(view, layer, reduction):
    method = make_method(view, settings_of("relational", layer=layer, reduction=reduction))
    loss, out = loss_of(method, view, [3, 0, 5, 1])
    fc1, fc2 = numpy_of(*out)
    if layer == "projection":
        fc1 = fc1 @ numpy_of(method.projection.weight)[0].T
    p, h = unit(fc2 if layer == "fc2" else fc1), unit(view.teacher[[3, 0, 5, 1]].double().numpy())
    squared = [(p[i] @ p[j] - h[i] @ h[j]) ** 2 for i in range(4) for j in range(i)]
    assert float(loss) == pytest.approx(np.mean(squared) if reduction == "mean" else np.sum(squared), rel=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_head_of_regress_in_numpy(view, reduction):
    method = make_method(view, settings_of("regress", reduction=reduction))
    loss, out = loss_of(method, view, [3, 0, 5])
    first, _, last = method.head
    assert (first.out_features, last.out_features) == (256, 5)
    w, b, v, c, fc1 = numpy_of(first.weight, first.bias, last.weight, last.bias, out.fc1)
    hidden = fc1 @ w.T + b
    hidden = hidden * norm.cdf(hidden)  # GELU
    p, h = unit(hidden @ v.T + c), unit(view.teacher[[3, 0, 5]].double().numpy())
    apart = 1 - (p * h).sum(1)
    assert float(loss) == pytest.approx(apart.mean() if reduction == "mean" else apart.sum(), rel=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("method", ["distil", "propagate"])
def test_class_probabilities_in_numpy(view, method, reduction):
    """The clip of which the teacher says nothing, 6, is left out; a class without probability stays without."""
    loss, out = loss_of(make_method(view, settings_of(method, reduction=reduction)), view, [3, 6, 0, 5])
    (z,) = numpy_of(out.fc2[[0, 2, 3]])
    said = view.log_posteriors[[3, 0, 5]].double().numpy()
    apart = 4 * rel_entr(softmax(said / 2, axis=1), softmax(z / 2, axis=1)).sum(1)
    assert float(loss) == pytest.approx(apart.mean() if reduction == "mean" else apart.sum(), rel=1e-4)


class NumpyMemory:
    """What the method "graph" is to do, clip by clip."""

    def __init__(self, view, method, n_others):
        self.n_others = n_others
        self.teacher = view.teacher.double().numpy()
        self.edges = view.edge_index.T.tolist()
        (self.projection,) = numpy_of(method.projection.weight)
        self.remembered = {}
        self.step = 0

    def loss(self, fc1, nodes):
        own = unit(fc1 @ self.projection.T)
        self.remembered.update(zip(nodes, own, strict=True))
        generator = torch.Generator().manual_seed(self.step)
        self.step += 1
        learnt = [clip for clip in range(N) if self.teacher[clip].any()]
        others = [
            learnt[place] for place in torch.randint(len(learnt), (self.n_others,), generator=generator).tolist()
        ]
        others += [source for source, target in self.edges if target in nodes]
        found = []
        for clip, row in zip(nodes, own, strict=True):
            compared = sorted({other for other in others if other in self.remembered} - {clip})
            if len(compared) < 2:
                continue
            h = unit(self.teacher[[clip, *compared]])
            q = softmax(h[1:] @ h[0] / 0.05)
            p = softmax(np.array([self.remembered[other] for other in compared]) @ row / 0.1)
            found.append(rel_entr(q, p).sum())
        return found


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("others", [0, 3, 256])
def test_the_distribution_over_neighbours_and_others_in_numpy(view, monkeypatch, others, reduction):
    """Several steps: what was forwarded before is remembered as it was then."""
    monkeypatch.setattr("ser_graph.downstream.methods.OTHERS", others)
    method = make_method(view, settings_of("graph", reduction=reduction))
    oracle = NumpyMemory(view, method, others)
    for number, nodes in enumerate([[0, 3], [1, 2, 4], [5, 0], [3, 3, 2]]):
        loss, out = loss_of(method, view, nodes, seed=number)
        (fc1,) = numpy_of(out.fc1)
        expected = oracle.loss(fc1, nodes)
        assert len(expected) > 0 or number == 0
        total = sum(expected) if reduction == "sum" else sum(expected) / max(len(expected), 1)
        assert float(loss) == pytest.approx(total, rel=1e-3, abs=1e-6)
    assert int(method.step) == 4
    for clip in range(N):
        memory = oracle.remembered.get(clip, np.zeros(PROJECTION))
        np.testing.assert_allclose(method.remembered[clip], memory, atol=1e-5)


def test_the_gradient_reaches_what_was_forwarded_now_alone(view):
    method = make_method(view, settings_of("graph"))
    loss_of(method, view, [0, 1, 2, 3, 4, 5])
    out, nodes = outputs_of([0, 3, 5], seed=2)
    fc1 = out.fc1.requires_grad_()
    step = Step(Output(fc1, out.fc2), torch.arange(3), torch.empty(2, 0), torch.empty(0), None, {})
    loss = method.loss(step, SimpleNamespace(n_id=nodes, batch_size=3))
    loss.backward()
    assert fc1.grad.abs().sum(1).min() > 0
    assert method.projection.weight.grad.any()
    assert not method.remembered.requires_grad


def test_no_clip_known_but_the_batchs_own_is_exactly_nothing(view):
    method = make_method(view, settings_of("graph"))
    loss, _ = loss_of(method, view, [0])
    assert float(loss) == 0
    assert method.remembered.any(1).tolist() == [True] + [False] * 7


@pytest.mark.parametrize("method", METHODS)
def test_weights_of_a_method_follow_from_the_seed(view, method):
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, same, other = (make_method(view, settings_of(method, seed=seed, layer="projection")) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [
        torch.cat([torch.zeros(1), *(w.flatten() for w in made.parameters())]) for made in (one, same, other)
    ]
    assert torch.equal(weights[0], weights[1])
    trained = method in ("nsl", "graph", "relational", "regress")
    assert (len(weights[0]) > 1) is trained
    assert torch.equal(weights[0], weights[2]) is not trained
    assert type(make_method(view, settings_of(method, alpha=0))) is Method


def weights_equal(one, other):
    state = other.state_dict()
    return state.keys() == one.state_dict().keys() and all(
        torch.equal(value, state[name]) for name, value in one.state_dict().items()
    )


@pytest.mark.parametrize("changes", [{}, {"label_fraction": 0.2}, {"schedule": "paper"}], ids=str)
def test_the_baseline_is_the_same_for_all_methods(toy_graph, changes):
    how = {**QUICK, **changes}
    baseline = train(toy_graph, **how, method="baseline")
    assert baseline.info["n_labelled"] == (15 if "label_fraction" in changes else 75)
    for method in METHODS:
        assert weights_equal(train(toy_graph, **how, method=method, alpha=0), baseline), method
    assert weights_equal(train(toy_graph, **how, method="baseline", alpha=0.5), baseline)
    assert weights_equal(train(toy_graph, **how, method="nsl", alpha=0, center="none", strategy="bank"), baseline)


@pytest.mark.parametrize("method", METHODS_BESIDE)
def test_each_method_trains(toy_graph, method, tmp_path):
    """And leaves an ordinary student, another one than the baseline and than with another weight."""
    student = train(toy_graph, **QUICK, method=method)
    assert student.info["settings"]["alpha"] is None
    rows = student.info["history"]
    for row in rows:
        assert row[f"{method}_loss"] > 0
        expected = row["supervised_loss"] + METHODS[method] * row[f"{method}_loss"]
        assert row["loss"] == pytest.approx(expected, rel=1e-4)
    assert weights_equal(train(toy_graph, **QUICK, method=method), student)
    assert weights_equal(train(toy_graph, **QUICK, method=method, alpha=METHODS[method]), student)
    assert not weights_equal(train(toy_graph, **QUICK, method=method, alpha=0), student)
    assert not weights_equal(train(toy_graph, **QUICK, method=method, alpha=2 * METHODS[method]), student)
    loaded = load_student(student.save(tmp_path / "student"))
    assert torch.equal(predict_logits(loaded, toy_graph.x), predict_logits(student, toy_graph.x))


class KilledError(Exception):
    pass


@pytest.mark.parametrize("changes", [{}, {"label_fraction": 0.2, "schedule": "paper"}], ids=["cosine", "paper"])
@pytest.mark.parametrize("method", METHODS_BESIDE)
def test_each_method_is_resumed_bit_for_bit(toy_graph, tmp_path, monkeypatch, method, changes):
    """Heads, projections and memories are stored as well."""
    how = {**QUICK, "epochs": 3, "method": method, "layer": "projection", "augment": "shift+masks", **changes}
    whole = train(toy_graph, **how)
    epoch = training_module._Run.epoch

    def killed_in_the_third(run):
        if len(run.history) == 2:
            raise KilledError
        return epoch(run)

    with monkeypatch.context() as patch:
        patch.setattr(training_module._Run, "epoch", killed_in_the_third)
        with pytest.raises(KilledError):
            train(toy_graph, checkpoint=tmp_path / "c.pt", **how)
    resumed = train(toy_graph, checkpoint=tmp_path / "c.pt", **how)
    assert weights_equal(resumed, whole)
    terms = [
        [{name: row[name] for name in row if name != "seconds"} for row in one.info["history"]]
        for one in (whole, resumed)
    ]
    assert terms[0] == terms[1]


@pytest.mark.parametrize("method", ["graph", "relational", "regress"])
def test_the_space_of_the_teacher_is_learnt_where_labels_say_nothing_of_it(toy_graph, method):
    """Cosines of the student's outputs come near to the teacher's, on clips of the training and on new ones."""
    toy_graph.y = toy_graph.y[torch.randperm(120, generator=torch.Generator().manual_seed(1))]
    how = {**QUICK, "epochs": 8, "batch_size": 15, "layer": "fc1", "center": "none"}

    def agreement(student, rows):
        with torch.no_grad():
            fc1, emb = student(toy_graph.x[rows]).fc1, toy_graph.emb[rows]
        near = [torch.nn.functional.normalize(one - one.mean(0), dim=1) for one in (fc1, emb)]
        return float(torch.corrcoef(torch.stack([(one @ one.T).flatten() for one in near]))[0, 1])

    taught, baseline = (train(toy_graph, **how, method=method, alpha=alpha) for alpha in (None, 0))
    for rows in (toy_graph.train_mask, toy_graph.test_mask):
        assert agreement(taught, rows) > 0.75  # the method "graph" asks it of a projection of fc1
        assert agreement(baseline, rows) < 0.6


@pytest.mark.parametrize("method", ["nsl", "graph"])
def test_only_the_strongest_neighbours_count(toy_graph, method):
    few, all_of_them = (train(toy_graph, **QUICK, method=method, n_neighbors=n) for n in (1, None))
    assert not weights_equal(few, all_of_them)
    made = make_method(
        SimpleNamespace(
            edge_index=toy_graph.edge_index,
            edge_weight=toy_graph.edge_weight,
            get=toy_graph.get,
            num_nodes=120,
            y=toy_graph.y,
            teacher=toy_graph.emb,
            emotions=EMOTIONS,
        ),
        settings_of("graph", n_neighbors=1),
    )
    assert isinstance(made, GraphDistribution)
    (_, seed), _ = made.sampler.neighbors_of(torch.arange(75))
    assert seed.bincount().max() == 1


def test_methods_that_need_no_edge_do_without(toy_graph):
    """Neighbours out of the training clips are not forbidden where nobody asks them."""
    other = copy.deepcopy(toy_graph)
    other.edge_index[0, :2] = 110
    for method in ("relational", "regress", "distil"):
        assert weights_equal(train(other, **QUICK, method=method), train(toy_graph, **QUICK, method=method))
