"""Each method against dense numpy, and each through whole trainings."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from scipy.stats import norm
from torch_geometric.data import Data

from ser_graph.downstream import TrainingSettings, load_student, train, training as training_module
from ser_graph.downstream.backbones import Output
from ser_graph.downstream.labels import labelled_nodes, training_nodes
from ser_graph.downstream.losses import distillation_loss, neighbour_loss
from ser_graph.downstream.methods import (
    HIDDEN,
    OTHERS,
    PROJECTION,
    SHARPNESS,
    TEMPERATURE,
    GraphDistribution,
    Joined,
    Method,
    make_method,
)
from ser_graph.downstream.prediction import predict_outputs
from ser_graph.downstream.settings import METHODS, METHODS_BESIDE
from ser_graph.downstream.strategies import Step
from ser_graph.downstream.teacher import probe_log_probs, teacher_embeddings, training_view
from ser_graph.errors import InputError

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
    teacher_log_probs = torch.randn(N, 3, generator=generator).log_softmax(1)
    teacher_log_probs[6:], teacher_log_probs[0, 1] = torch.nan, -torch.inf
    made = Data(
        edge_index=edges,
        edge_weight=torch.rand(8, generator=generator),
        y=torch.tensor([0, 1, 2, 0, -1, -1, -1, -1]),
        teacher=teacher,
        teacher_log_probs=teacher_log_probs,
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
        n_id=nodes,
        batch_size=len(nodes),
        teacher=view.teacher[nodes],
        teacher_log_probs=view.teacher_log_probs[nodes],
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
def test_class_probabilities_in_numpy(view, reduction):
    """The clip of which the teacher says nothing, 6, is left out; a class without probability stays without."""
    loss, out = loss_of(make_method(view, settings_of("distil", reduction=reduction)), view, [3, 6, 0, 5])
    (z,) = numpy_of(out.fc2[[0, 2, 3]])
    said = view.teacher_log_probs[[3, 0, 5]].double().numpy()
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
    trained = method in ("nsl", "graph", "regress")
    assert (len(weights[0]) > 1) is trained
    assert torch.equal(weights[0], weights[2]) is not trained
    assert type(make_method(view, settings_of(method, alpha=0))) is Method


@pytest.mark.parametrize("changes", [{}, {"label_fraction": 0.2}, {"schedule": "paper"}], ids=str)
def test_the_baseline_is_the_same_for_all_methods(toy_graph, changes, weights_equal):
    how = {**QUICK, **changes}
    baseline = train(toy_graph, **how, method="baseline")
    assert baseline.info["n_labelled"] == (15 if "label_fraction" in changes else 75)
    for method in METHODS:
        assert weights_equal(train(toy_graph, **how, method=method, alpha=0), baseline), method
    assert weights_equal(train(toy_graph, **how, method="baseline", alpha=0.5), baseline)
    assert weights_equal(
        train(toy_graph, **how, method="nsl", alpha=0, center="none", strategy="memory_bank"), baseline
    )


@pytest.mark.parametrize("method", METHODS_BESIDE)
def test_each_method_trains(toy_graph, method, tmp_path, weights_equal):
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
    assert torch.equal(predict_outputs(loaded, toy_graph.x).logits, predict_outputs(student, toy_graph.x).logits)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("changes", [{}, {"label_fraction": 0.2, "schedule": "paper"}], ids=["cosine", "paper"])
@pytest.mark.parametrize("method", [*METHODS_BESIDE, "distil+regress+nsl", "graph+nsl"])
def test_each_method_is_resumed_bit_for_bit(toy_graph, tmp_path, monkeypatch, method, changes, weights_equal):
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
            train(toy_graph, checkpoint=tmp_path / "c", **how)
    resumed = train(toy_graph, checkpoint=tmp_path / "c", **how)
    assert weights_equal(resumed, whole)
    terms = [
        [{name: row[name] for name in row if name != "seconds"} for row in one.info["history"]]
        for one in (whole, resumed)
    ]
    assert terms[0] == terms[1]


@pytest.mark.parametrize("method", ["graph", "regress"])
def test_the_space_of_the_teacher_is_learnt_where_labels_say_nothing_of_it(toy_graph, method, relabel):
    """Cosines of the student's outputs come near to the teacher's, on clips of the training and on new ones."""
    relabel(toy_graph, slice(None), toy_graph.y[torch.randperm(120, generator=torch.Generator().manual_seed(1))])
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
def test_only_the_strongest_neighbours_count(toy_graph, method, weights_equal):
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


def test_methods_that_need_no_edge_do_without(toy_graph, weights_equal):
    """Neighbours out of the training clips are not forbidden where nobody asks them."""
    other = copy.deepcopy(toy_graph)
    other.edge_index[0, :2] = 110
    for method in ("regress", "distil"):
        assert weights_equal(train(other, **QUICK, method=method), train(toy_graph, **QUICK, method=method))


# Methods joined by "+"


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    "names", ["distil+regress", "nsl+distil", "graph+regress", "regress+nsl+distil", "+".join(METHODS_BESIDE)]
)
def test_joined_methods_add_their_terms_by_their_own_weights(view, names, reduction):
    """The terms are those of each method alone, of the very same outputs."""
    view.get = lambda name: getattr(view, name)
    how = {"layer": "projection", "reduction": reduction}
    joined = make_method(view, settings_of(names, **how))
    assert isinstance(joined, Joined)
    edges = torch.tensor([[1, 2, 3, 0], [0, 0, 1, 2]])
    total = 0.0
    for name in names.split("+"):
        alone = make_method(view, settings_of(name, **how))
        alone.load_state_dict(joined.parts[name].state_dict())
        for seed in (1, 2):  # the second step of a method that remembers
            term, _ = loss_of(alone, view, [0, 1, 2, 3, 5], seed=seed, edges=edges)
        assert float(term) > 0
        total += METHODS[name] * float(term)
    for seed in (1, 2):
        found, _ = loss_of(joined, view, [0, 1, 2, 3, 5], seed=seed, edges=edges)
    assert float(found) == pytest.approx(total, rel=1e-5)
    trained = {name.split(".")[1] for name, _ in joined.named_parameters()}
    assert trained == set(names.split("+")) & {"nsl", "graph", "regress"}


def test_the_order_of_names_and_their_repetition_make_no_difference(toy_graph, weights_equal):
    one, other, twice, single = (
        TrainingSettings(method=names)
        for names in ("distil+regress", "regress+distil", "regress+distil+regress", "regress+regress")
    )
    assert one == other == twice
    assert single == TrainingSettings(method="regress")
    assert (single.weight, one.weight) == (METHODS["regress"], 1.0)
    assert one.methods == ("distil", "regress")
    students = [train(toy_graph, **QUICK, method=one) for one in ("distil+regress", "regress+distil")]
    assert weights_equal(*students)
    rows = [[{**row, "seconds": 0} for row in student.info["history"]] for student in students]
    assert rows[0] == rows[1]
    assert not weights_equal(train(toy_graph, **QUICK, method="regress"), students[0])
    assert not weights_equal(train(toy_graph, **QUICK, method="distil"), students[0])
    repeated = train(toy_graph, **{**QUICK, "epochs": 1}, method="regress+regress")
    assert weights_equal(repeated, train(toy_graph, **{**QUICK, "epochs": 1}, method="regress"))


def test_joined_methods_train_as_one(toy_graph, weights_equal):
    how = {**QUICK, "method": "distil+regress"}
    student = train(toy_graph, **how)
    for row in student.info["history"]:
        assert row["distil+regress_loss"] > 0
        assert row["loss"] == pytest.approx(row["supervised_loss"] + row["distil+regress_loss"], rel=1e-4)
    assert weights_equal(train(toy_graph, **how, alpha=1), student)  # each has its weight already
    assert not weights_equal(train(toy_graph, **how, alpha=2), student)
    assert weights_equal(train(toy_graph, **how, alpha=0), train(toy_graph, **QUICK, method="baseline"))


@pytest.mark.parametrize("method", ["baseline+nsl", "regress+baseline", "regress+", "nsl+nls", "+", ""])
def test_what_cannot_be_joined(method):
    words = rf"^Bad method '{method.replace('+', '[+]')}', expected one of .*, or several joined by \+$"
    with pytest.raises(InputError, match=words):
        TrainingSettings(method=method)


def new_run(data, **changes):
    settings = TrainingSettings(**{"epoch_steps": 1, "width": 0.0625, "precision": "float32", **changes})
    seeds = training_nodes(data, settings.protocol)
    return training_module._Run(data, seeds, labelled_nodes(data, settings), settings, torch.device("cpu"))


@pytest.mark.parametrize("strategy", ["forward", "memory_bank", "official"])
def test_where_one_forwards_neighbours_its_pass_serves_all(toy_graph, strategy):
    how = {"semantics": "official"} if strategy == "official" else {"strategy": strategy}
    run = new_run(toy_graph, method="regress+nsl+distil", augment="none", batch_size=10, **how)
    assert run.method.leading == "nsl"
    assert run.method.samples_neighbours is (strategy != "memory_bank")
    run.student.eval()  # so that a row says the same whatever is beside it
    for batch in run.loader:
        step = run.method(run.student, batch)
        last = batch
    n = last.batch_size
    assert (len(step.rows) > n) is (strategy in ("forward", "official"))
    assert len(step.edge_weight) > 0
    with torch.no_grad():
        outputs = run.student(last.x[step.rows])
        embeddings, said = last.teacher[step.rows], last.teacher_log_probs[step.rows]
        predicted = run.method.parts["regress"].head(outputs.fc1)
        neighbours = None if step.neighbours is None else step.neighbours
        factor = 1 if strategy in ("forward", "official") else 2
        expected = METHODS["regress"] * (1 - torch.cosine_similarity(predicted, embeddings)).mean()
        expected += METHODS["distil"] * distillation_loss(outputs.fc2, said, TEMPERATURE)
        nsl = neighbour_loss(outputs.fc2, step.edge_index, step.edge_weight, neighbours=neighbours)
        found = run.method.loss(step, last)
    assert float(found) == pytest.approx(float(expected + METHODS["nsl"] * factor * nsl), rel=1e-4)
    alone = new_run(toy_graph, method="regress+distil", batch_size=10)
    assert alone.method.samples_neighbours is False
    assert all(len(batch.x) == batch.batch_size for batch in alone.loader)


def test_only_seeds_are_remembered_where_neighbours_are_forwarded_as_well(view):
    joined, alone = make_method(view, settings_of("graph")), make_method(view, settings_of("graph"))
    out, nodes = outputs_of([0, 3, 5, 1, 2, 4])
    batch = SimpleNamespace(n_id=nodes, batch_size=3)
    nothing = (torch.empty(2, 0, dtype=torch.int64), torch.empty(0), None, {})
    found = joined.loss(Step(out, torch.arange(6), *nothing), batch)
    expected = alone.loss(Step(Output(out.fc1[:3], out.fc2[:3]), torch.arange(3), *nothing), batch)
    torch.testing.assert_close(found, expected)
    assert joined.remembered.any(1).nonzero()[:, 0].tolist() == [0, 3, 5]


def test_edges_of_one_label_are_those_of_joined_methods_too(toy_graph):
    settings = TrainingSettings(same_label=True, label_fraction=0.5, method="distil+nsl")
    labelled = labelled_nodes(toy_graph, settings)
    views = [
        training_view(toy_graph, toy_graph.train_mask, labelled, settings.replace(method=method))
        for method in ("distil+nsl", "nsl")
    ]
    assert torch.equal(views[0].edge_index, views[1].edge_index)
    assert views[0].edge_index.shape[1] < toy_graph.edge_index.shape[1]
    assert settings.uses_unlabelled  # of the teacher; of these edges alone it could not
    assert not settings.replace(method="nsl").uses_unlabelled


# With copies at other speeds


COPIES = slice(120, 240)


@pytest.mark.parametrize("fraction", [0.4, 1.0])
@pytest.mark.parametrize("method", ["distil", "distil+regress"])
def test_the_probe_is_fitted_on_originals_alone(toy_graph, copied_graph, method, fraction, relabel):
    """What is said of originals is the same with and without copies; of a copy it is the probe's own word."""
    settings = TrainingSettings(method=method, label_fraction=fraction)
    views = [
        training_view(data, data.train_mask, labelled_nodes(data, settings), settings)
        for data in (toy_graph, copied_graph)
    ]
    of_originals = views[1].teacher_log_probs[:120]
    torch.testing.assert_close(of_originals, views[0].teacher_log_probs, rtol=1e-5, atol=1e-5, equal_nan=True)
    embeddings = teacher_embeddings(copied_graph, copied_graph.train_mask, "speaker")
    labelled = labelled_nodes(copied_graph, settings)
    known = torch.where(labelled & (torch.arange(240) < 120), copied_graph.y, -1)
    expected = probe_log_probs(embeddings, known, copied_graph.train_mask, 3)
    torch.testing.assert_close(views[1].teacher_log_probs[COPIES], expected[COPIES], equal_nan=True)
    assert torch.equal(views[1].y >= 0, labelled)  # whose labels the student is told all the same
    mistaken = copy.deepcopy(copied_graph)
    relabel(mistaken, COPIES, 0)
    other = training_view(mistaken, mistaken.train_mask, labelled, settings)
    assert torch.equal(other.teacher_log_probs.nan_to_num(7), views[1].teacher_log_probs.nan_to_num(7))


@pytest.mark.parametrize("center", ["none", "corpus", "speaker"])
def test_the_teacher_speaks_of_copies_of_training_clips_alone(copied_graph, center):
    settings = TrainingSettings(method="distil+regress", center=center)
    train_mask = copied_graph.train_mask
    assert torch.equal(train_mask[COPIES], train_mask[:120])
    view = training_view(copied_graph, train_mask, labelled_nodes(copied_graph, settings), settings)
    assert torch.equal(view.teacher.any(1), train_mask)
    assert torch.equal(~view.teacher_log_probs.isnan().any(1), train_mask)
    changed = copy.deepcopy(copied_graph)
    changed.emb[~train_mask] = 9
    other = training_view(changed, train_mask, labelled_nodes(changed, settings), settings)
    assert torch.equal(other.teacher, view.teacher)
    if center == "speaker":  # a copy is another voice: its own mean is taken off
        means = copied_graph.emb[COPIES][:75].view(5, 15, 16).mean(1, keepdim=True)
        expected = (copied_graph.emb[COPIES][:75].view(5, 15, 16) - means).view(75, 16)
        np.testing.assert_allclose(
            torch.nn.functional.cosine_similarity(view.teacher[COPIES][:75], expected), 1, atol=1e-5
        )


@pytest.mark.parametrize("normalise", ["corpus", "utterance", "speaker"])
def test_statistics_are_counted_on_originals_of_the_own_corpora(toy_graph, copied_graph, normalise):
    """Those of BatchNorm and of the standardisation; speakers 3 and 4 stand for another corpus."""
    how = {"method": "distil+regress", "normalise": normalise}
    run, plain = new_run(copied_graph, **how), new_run(toy_graph, **how)
    assert torch.equal(run.counted, plain.counted)
    assert run.student.info["n_train"] == run.student.info["n_labelled"] == 75
    for data in (toy_graph, copied_graph):
        speaker = np.arange(len(data.y)) % 120 // 15
        data.table["corpus"] = np.where(speaker % 5 < 3, "own", "other")
        data.y[torch.from_numpy(speaker % 5 >= 3)] = -1
    of_own, of_plain = new_run(copied_graph, **how), new_run(toy_graph, **how)
    assert sorted(of_own.counted.tolist()) == list(range(45))
    assert (of_own.student.info["n_labelled"], of_own.student.info["n_unlabelled"]) == (45, 30)
    for one, other in ((run, plain), (of_own, of_plain)):
        for name in ("mean", "std"):
            torch.testing.assert_close(
                getattr(one.student.standardise, name), getattr(other.student.standardise, name), rtol=1e-6, atol=0
            )
    changed = copy.deepcopy(copied_graph)
    changed.x[COPIES] += 3 * torch.randn(120, 31, 64).half()
    assert torch.equal(new_run(changed, **how).student.standardise.std, of_own.student.standardise.std)


@pytest.mark.parametrize("method", ["baseline", "distil+regress", "graph+nsl"])
def test_copies_are_trained_on(toy_graph, copied_graph, method, tmp_path, relabel, weights_equal):
    student = train(copied_graph, **QUICK, method=method)
    assert not weights_equal(student, train(toy_graph, **QUICK, method=method))
    assert weights_equal(train(copied_graph, **QUICK, method=method), student)
    of_test = copy.deepcopy(copied_graph)
    outside = ~copied_graph.train_mask & (torch.arange(240) >= 120)
    of_test.x[outside], of_test.emb[outside] = 7, 7
    relabel(of_test, outside, 0)
    assert weights_equal(train(of_test, **QUICK, method=method), student)  # but those of dev and test are not
    of_train = copy.deepcopy(copied_graph)
    of_train.x[COPIES] += 1
    assert not weights_equal(train(of_train, **QUICK, method=method), student)
