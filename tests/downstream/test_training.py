import copy
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from ser_graph.downstream import TrainingSettings, load_student, neighbour_loss, train
from ser_graph.downstream import training as training_module
from ser_graph.downstream.backbones import resnet9
from ser_graph.downstream.labels import labelled_nodes, training_nodes
from ser_graph.downstream.losses import distillation_loss, regression_loss, similarity_loss
from ser_graph.downstream.prediction import predict_logits
from ser_graph.errors import InputError
from ser_graph.files import content_hash

# The toy graph has scope "train", whatever protocol is tried on it.
pytestmark = pytest.mark.filterwarnings("ignore:protocol='paper' trains on dev too")

QUICK = {"epochs": 2, "batch_size": 25, "precision": "float32", "progress": False, "device": "cpu"}


def weights_equal(one, other):
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.state_dict().items())


def without_times(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def shuffled_labels(data):
    """Labels that embeddings and spectrograms say nothing about: nothing but alpha brings neighbours together."""
    order = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(1))
    data.y = data.y[order]
    return data


def new_run(data, settings, device="cpu"):
    seeds = training_nodes(data, settings.protocol)
    return training_module._Run(data, seeds, labelled_nodes(data, settings), settings, torch.device(device))


def test_the_baseline_is_a_plain_loop(toy_graph):
    student = train(toy_graph, alpha=0, protocol="paper", seed=3, batch_size=16, **without(QUICK, "batch_size"))
    rows = (toy_graph.train_mask | toy_graph.val_mask).nonzero()[:, 0]
    x, y = toy_graph.x.float(), toy_graph.y
    x = (x - student.standardise.mean) / student.standardise.std
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = resnet9(3).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    for epoch in range(2):
        generator = torch.Generator().manual_seed(int(content_hash(3, epoch)[:15], 16))
        for batch in torch.utils.data.DataLoader(rows.tolist(), batch_size=16, shuffle=True, generator=generator):
            optimiser.zero_grad()
            functional.cross_entropy(model(x[batch]).logits, y[batch]).backward()
            optimiser.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(student.backbone.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def without(settings, *names):
    return {name: value for name, value in settings.items() if name not in names}


@pytest.mark.parametrize("alpha", [0, 0.5])
def test_the_seed_decides(toy_graph, alpha):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = train(toy_graph, alpha=alpha, seed=1, **QUICK)
    assert torch.equal(torch.random.get_rng_state(), before)  # the caller's random numbers are left alone
    torch.manual_seed(99)
    assert weights_equal(first, train(toy_graph, alpha=alpha, seed=1, **QUICK))
    assert not weights_equal(first, train(toy_graph, alpha=alpha, seed=2, **QUICK))
    assert not first.training


EVERYTHING = {
    "alpha": 0.5,
    "semantics": "official",
    "alpha_schedule": "cosine",
    "similarity": 1,
    "regression": 1,
    "posteriors": 1,
    "label_fraction": 0.2,
    "unlabelled_ratio": 0.5,
}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "changes", [{"alpha": 0}, {"alpha": 0.5}, EVERYTHING], ids=["baseline", "nsl", "everything"]
)
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(toy_graph, tmp_path, monkeypatch, changes, precision):
    how = {**QUICK, "epochs": 3, "precision": precision, "decay_every": 1, **changes}
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
    done = []
    monkeypatch.setattr(training_module._Run, "epoch", lambda run: done.append(1) or epoch(run))
    resumed = train(toy_graph, checkpoint=tmp_path / "c.pt", **how)
    assert len(done) == 1
    assert weights_equal(whole, resumed)
    assert without_times(whole.info["history"]) == without_times(resumed.info["history"])
    assert resumed.info["epoch"] == whole.info["epoch"]
    again = train(toy_graph, checkpoint=tmp_path / "c.pt", **how)  # finished: nothing is left to do
    assert len(done) == 1
    assert weights_equal(whole, again)


def test_a_checkpoint_of_another_run_is_not_continued(toy_graph, tmp_path):
    how = {**QUICK, "epochs": 1}
    path = tmp_path / "c.pt"
    train(toy_graph, checkpoint=path, **how)
    other = train(toy_graph, alpha=1, checkpoint=path, **how)
    assert weights_equal(other, train(toy_graph, alpha=1, **how))
    relabelled = shuffled_labels(copy.deepcopy(toy_graph))
    relabelled.meta["data_hash"] = "other"
    assert weights_equal(train(relabelled, alpha=1, checkpoint=path, **how), train(relabelled, alpha=1, **how))
    # Other spectrograms of the same clips, of which neither the settings nor the data hash know.
    respoken = copy.deepcopy(relabelled)
    respoken.x = -respoken.x
    respoken.meta["features"]["floor"] = 1e-3
    assert weights_equal(train(respoken, alpha=1, checkpoint=path, **how), train(respoken, alpha=1, **how))


def test_damaged_and_foreign_checkpoints_are_named(toy_graph, tmp_path):
    path = tmp_path / "c.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=rf"The checkpoint {path} is damaged, delete it") as caught:
        train(toy_graph, checkpoint=path, **QUICK)
    assert "\n" not in str(caught.value)
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=f"{path} is not a checkpoint of a training"):
        train(toy_graph, checkpoint=path, **QUICK)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reduction": "sum"},
        {"layer": "fc1", "distance": "l2"},
        {"edge_weights": False, "distance": "kl"},
        {"n_neighbors": 1},
    ],
)
def test_a_step_by_hand(toy_graph, changes):
    """Clips without a label take part in the graph's term and not in the cross entropy."""
    toy_graph.y[:40] = -1
    settings = TrainingSettings(**{"alpha": 0.7, "batch_size": 75, "precision": "float32", **changes})
    run = new_run(toy_graph, settings)
    (batch,) = run.loader
    before = copy.deepcopy(run.student).train()
    run.student.train()
    loss, supervised, neighbour, covered, n_seeds = run._step(batch, 0.7).values()
    out = before(batch.x)
    labels = batch.y[:n_seeds]
    assert n_seeds == 70  # the 35 labelled clips, and as many of the 40 others
    assert set(batch.n_id[:70].tolist()) > set(range(40, 75))
    reduction = settings.reduction
    expected = functional.cross_entropy(out.logits[:70][labels >= 0], labels[labels >= 0], reduction=reduction)
    weight = batch.edge_weight if settings.edge_weights else None
    output = getattr(out, settings.layer)
    term = neighbour_loss(output, batch.edge_index, weight, distance=settings.distance, reduction=reduction)
    assert supervised == pytest.approx(float(expected.detach()), rel=1e-4)
    assert neighbour == pytest.approx(float(term.detach()), rel=1e-4)
    assert loss == pytest.approx(supervised + 0.7 * neighbour, rel=1e-5)
    assert covered == int((toy_graph.degrees()[batch.n_id[:70]] > 0).sum())
    unlabelled = batch.n_id[batch.edge_index[1]] < 40
    assert unlabelled.any()
    if settings.n_neighbors == 1:
        assert batch.edge_index.shape[1] == covered
    # And the step is Adam's with the gradient of that loss.
    optimiser = torch.optim.Adam(before.parameters(), 1e-3)
    (expected + 0.7 * term).backward()
    optimiser.step()
    for one, other in zip(before.parameters(), run.student.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-3)


ALL_TERMS = {"similarity": 0.5, "regression": 2, "posteriors": 0.3, "teacher_center": "speaker"}


@pytest.mark.parametrize("changes", [{"alpha": 0.7}, {"alpha": 0}, {"reduction": "sum", "layer": "fc1"}])
@pytest.mark.parametrize("semantics", ["together", "official"])
def test_a_step_with_every_term_by_hand(toy_graph, changes, semantics):
    """Per-clip terms are those of seeds, pairs those of all clips forwarded; weights are the settings."""
    settings = TrainingSettings(
        batch_size=20, precision="float32", semantics=semantics, label_fraction=0.3, **{**ALL_TERMS, **changes}
    )
    run = new_run(toy_graph, settings)
    run.generator.manual_seed(0)
    batch = next(iter(run.loader))
    before, head, view = copy.deepcopy(run.student).train(), copy.deepcopy(run.head), run.loader.data
    run.student.train()
    terms = run._step(batch, settings.alpha)
    n, nodes, edges = batch.batch_size, batch.n_id, batch.edge_index
    assert (terms["n_seeds"], edges.shape[1] > 0) == (40, settings.alpha > 0)
    if semantics == "official" and settings.alpha:
        out, of_neighbours = before(batch.x[:n]), before(batch.x[edges[0]])
        out = type(out)(*(torch.cat(both) for both in zip(out, of_neighbours, strict=True)))
        nodes = torch.cat([nodes[:n], nodes[edges[0]]])
        edges = torch.stack([torch.arange(n, n + edges.shape[1]), edges[1]])
    else:
        out = before(batch.x)
    reduction, output = settings.reduction, getattr(out, settings.layer)
    known = view.y[nodes[:n]] >= 0
    assert int(known.sum()) == 20
    expected = {
        "supervised": functional.cross_entropy(
            out.logits[:n][known], toy_graph.y[nodes[:n]][known], reduction=reduction
        ),
        "neighbour": neighbour_loss(output, edges, batch.edge_weight, reduction=reduction),
        "similarity": similarity_loss(output, view.teacher[nodes], reduction=reduction),
        "regression": regression_loss(head(out.fc1[:n]), view.target[nodes[:n]], reduction=reduction),
        "posteriors": distillation_loss(out.logits[:n], view.log_posteriors[nodes[:n]], 4.0, reduction=reduction),
    }
    for name, term in expected.items():
        assert terms[f"{name}_loss"] == pytest.approx(float(term.detach()), rel=1e-3, abs=1e-6), name
    weights = {"supervised": 1, "neighbour": settings.alpha, "similarity": 0.5, "regression": 2, "posteriors": 0.3}
    loss = sum(weights[name] * term for name, term in expected.items())
    assert terms["loss"] == pytest.approx(float(loss.detach()), rel=1e-3)
    loss.backward()
    parameters = [*before.parameters(), *head.parameters()]
    torch.optim.Adam(parameters, 1e-3).step()
    for one, other in zip(parameters, [*run.student.parameters(), *run.head.parameters()], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2.1e-3)
    for name, buffer in before.named_buffers():  # running statistics: of one pass, or of two
        torch.testing.assert_close(buffer, run.student.get_buffer(name), rtol=1e-4, atol=1e-5)


def test_official_semantics_keep_neighbours_out_of_the_cross_entropy(toy_graph):
    """BatchNorm of the seeds alone: the supervised loss of a first step is the baseline's."""
    how = {"batch_size": 20, "precision": "float32"}
    losses = {}
    for name, changes in {
        "baseline": {"alpha": 0},
        "official": {"semantics": "official"},
        "together": {},
    }.items():
        run = new_run(toy_graph, TrainingSettings(**how, **changes))
        run.generator.manual_seed(0)
        run.student.train()
        losses[name] = run._step(next(iter(run.loader)), run.settings.alpha)["supervised_loss"]
    assert losses["official"] == pytest.approx(losses["baseline"], rel=1e-6)
    assert losses["together"] != pytest.approx(losses["baseline"], rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "expected"), [("linear", [0.15, 0.3]), ("cosine", [0.3, 0.15]), ("constant", None)]
)
def test_alpha_follows_its_schedule(toy_graph, schedule, expected):
    how = {**QUICK, "alpha": 0.3, "alpha_schedule": schedule}
    history = train(toy_graph, **how).info["history"]
    if expected is None:
        assert "alpha" not in history[0]
        return
    assert [row["alpha"] for row in history] == pytest.approx(expected)
    for row in history:
        total = row["supervised_loss"] + row["alpha"] * row["neighbour_loss"]
        assert row["loss"] == pytest.approx(total, rel=1e-4)


def test_history_and_info_tell_of_terms_and_labels(toy_graph):
    toy_graph.y[0] = -1
    student = train(toy_graph, **QUICK, **ALL_TERMS, alpha=0, label_fraction=0.2)
    for row in student.info["history"]:
        weighted = sum(ALL_TERMS[name] * row[f"{name}_loss"] for name in ("similarity", "regression", "posteriors"))
        assert row["loss"] == pytest.approx(row["supervised_loss"] + weighted, rel=1e-4)
    assert (student.info["n_train"], student.info["n_labelled"], student.info["n_unlabelled"]) == (75, 15, 60)
    assert student.info["settings"]["regression"] == 2
    assert student.state_dict().keys() == train(toy_graph, **QUICK, alpha=0).state_dict().keys()  # no head is left


def test_a_student_learns_what_the_teacher_shows_without_its_labels(toy_graph):
    """Labels of three clips; the teacher's space of all of them."""
    how = {**QUICK, "epochs": 3, "batch_size": 15, "alpha": 0, "label_fraction": 0.04}
    for name in ("similarity", "regression", "posteriors"):
        history = train(toy_graph, **how, **{name: 1}).info["history"]
        assert history[-1][f"{name}_loss"] < 0.8 * history[0][f"{name}_loss"], name


def test_hidden_labels_and_clips_out_of_training_are_not_used(toy_graph):
    how = {**QUICK, **ALL_TERMS, "same_label": True, "protocol": "paper", "label_fraction": 0.2}
    student = train(toy_graph, **how)
    hidden = ~labelled_nodes(toy_graph, label_fraction=0.2, protocol="paper")
    relabelled = copy.deepcopy(toy_graph)
    relabelled.y[hidden] = (relabelled.y[hidden] + 1) % 3
    # Other labels would choose other clips: what is hidden has to stay hidden by choice.
    chosen = labelled_nodes(relabelled, label_fraction=0.2, protocol="paper")
    assert not torch.equal(chosen, ~hidden)
    relabelled.emb[90:] = 5
    relabelled.x[90:] = 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_module, "labelled_nodes", lambda *_: ~hidden)
        assert weights_equal(student, train(relabelled, **how))


def test_other_corpora_without_labels_teach_as_well(toy_graph):
    """A joint graph: clips of speakers 3 and 4 stand for another corpus, whose emotions are unknown."""
    toy_graph.y[45:75] = -1
    how = {**QUICK, "alpha": 0, "regression": 1, "teacher_center": "speaker"}
    student = train(toy_graph, **how)
    assert (student.info["n_labelled"], student.info["n_unlabelled"]) == (45, 30)
    changed = copy.deepcopy(toy_graph)
    changed.emb[45:75] = toy_graph.emb[45:75].flip(0)
    assert not weights_equal(student, train(changed, **how))
    assert weights_equal(train(toy_graph, **QUICK, alpha=0), train(changed, **QUICK, alpha=0))


def test_history(toy_graph):
    history = train(toy_graph, **{**QUICK, "epochs": 3, "decay_every": 2, "decay": 0.5}).info["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert [row["learning_rate"] for row in history] == [1e-3, 1e-3, 5e-4]
    share = float((toy_graph.degrees()[:75] > 0).double().mean())
    for row in history:
        assert row["edge_coverage"] == pytest.approx(share)
        assert row["loss"] == pytest.approx(row["supervised_loss"] + 0.1 * row["neighbour_loss"], rel=1e-4)
        assert 0 <= row["dev_uar"] <= 1
        assert row["seconds"] > 0
    assert history[2]["supervised_loss"] < history[0]["supervised_loss"]


def test_the_papers_learning_rate():
    settings = TrainingSettings()
    assert (settings.learning_rate, settings.decay, settings.decay_every) == (1e-3, 0.9, 5)
    assert (settings.batch_size, settings.epochs) == (16, 50)


def test_the_baseline_has_no_neighbours(toy_graph):
    student = train(toy_graph, alpha=0, **QUICK)
    assert [row["neighbour_loss"] for row in student.info["history"]] == [0, 0]
    toy_graph.edge_index, toy_graph.edge_weight = toy_graph.edge_index[:, :0], toy_graph.edge_weight[:0]
    with pytest.warns(UserWarning, match="No training clip has a neighbour: alpha has no effect"):
        without_edges = train(toy_graph, alpha=5, **QUICK)
    assert weights_equal(student, without_edges)


def test_edges_out_of_the_training_clips_are_refused(toy_graph):
    toy_graph.edge_index[0, :2] = 110
    with pytest.raises(InputError, match=r"2 edges lead from training clips to others, e.g. s7/110.wav"):
        train(toy_graph, **QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train(toy_graph, alpha=0, **QUICK).info["settings"]["transductive"] is False
        assert train(toy_graph, transductive=True, **QUICK).info["settings"]["transductive"] is True
    # Edges among clips that are not trained on do no harm.
    toy_graph.edge_index[:, :2] = torch.tensor([[110, 111], [111, 110]])
    train(toy_graph, **{**QUICK, "epochs": 1})


def test_dev_clips_are_training_clips_of_the_paper_only(toy_graph):
    toy_graph.edge_index[0, 0] = 80
    train(toy_graph, protocol="paper", **{**QUICK, "epochs": 1})
    with pytest.raises(InputError, match=r"1 edges lead from training clips to others, e.g. s5/080.wav"):
        train(toy_graph, protocol="clean", **QUICK)


def scripted(monkeypatch, scores):
    """Dev scores by a script; returns the weights after every epoch."""
    states = []

    def measure(run):
        states.append({name: value.clone() for name, value in run.student.state_dict().items()})
        return {"dev_uar": scores[len(states) - 1]} if scores else {}

    monkeypatch.setattr(training_module._Run, "_measure_on_dev", measure)
    return states


@pytest.mark.parametrize(("scores", "best"), [([0.2, 0.9, 0.5], 2), ([0.5, 0.4, 0.5], 1), ([0.1, 0.2, 0.3], 3)])
def test_clean_keeps_the_best_epoch(toy_graph, monkeypatch, scores, best):
    states = scripted(monkeypatch, scores)
    student = train(toy_graph, **{**QUICK, "epochs": 3})
    assert student.info["epoch"] == best
    assert all(torch.equal(value, states[best - 1][name]) for name, value in student.state_dict().items())
    assert student.info["n_train"] == 75


def test_paper_trains_on_dev_too_and_keeps_the_last_epoch(toy_graph, monkeypatch):
    student = train(toy_graph, protocol="paper", **QUICK)
    assert (student.info["n_train"], student.info["epoch"]) == (90, 2)
    assert not any("dev_uar" in row for row in student.info["history"])
    states = scripted(monkeypatch, [])
    again = train(toy_graph, protocol="paper", **QUICK)
    assert all(torch.equal(value, states[-1][name]) for name, value in again.state_dict().items())
    assert weights_equal(student, again)


@pytest.mark.parametrize(("protocol", "n"), [("clean", 75), ("paper", 90)])
def test_standardisation_sees_the_training_clips_alone(toy_graph, protocol, n):
    toy_graph.x[90:] = 100
    layer = train(toy_graph, protocol=protocol, **{**QUICK, "epochs": 1}).standardise
    seen = toy_graph.x[:n].double().numpy().reshape(-1, 64)
    np.testing.assert_allclose(layer.mean, seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.std, seen.std(0), rtol=1e-5)


def test_no_label_outside_the_training_clips_is_used(toy_graph):
    student = train(toy_graph, protocol="paper", **QUICK)
    toy_graph.y[90:] = 0
    toy_graph.x[90:] = 3
    assert weights_equal(student, train(toy_graph, protocol="paper", **QUICK))


def test_alpha_brings_neighbours_together(toy_graph):
    shuffled_labels(toy_graph)
    how = {**QUICK, "epochs": 4}
    weak, strong = (train(toy_graph, alpha=alpha, **how).info["history"] for alpha in (1e-9, 20))
    assert weak[0]["neighbour_loss"] > 0
    assert strong[-1]["neighbour_loss"] < 0.5 * weak[-1]["neighbour_loss"]


@pytest.mark.parametrize("changes", [{"regression": 2, "layer": "fc1"}, {"strategy": "bank", "layer": "fc1"}])
def test_a_width_goes_the_whole_way(toy_graph, tmp_path, changes):
    """fc1 has 32 outputs: the bank, the regression's head and the stored student must know."""
    how = {**QUICK, "epochs": 1, "backbone": "mobilenet15", "width": 0.125, "alpha": 0.1, **changes}
    student, again = (train(toy_graph, **how) for _ in range(2))
    assert weights_equal(student, again)
    assert student.info["settings"]["width"] == student.width == 0.125
    assert student.backbone.fc1.out_features == 32
    loaded = load_student(student.save(tmp_path / "student"))
    assert torch.equal(predict_logits(loaded, toy_graph.x), predict_logits(student, toy_graph.x))


def test_dev_clips_without_edges_are_called_out(toy_graph):
    with pytest.warns(UserWarning, match=r"trains on dev too, whose clips have no edge .*scope='train\+dev'"):
        train(toy_graph, protocol="paper", **{**QUICK, "epochs": 1})


def test_width_1_is_what_there_was_before(toy_graph):
    assert TrainingSettings(width=1).changes == {}
    data, settings = toy_graph, TrainingSettings(alpha=0.5)
    assert new_run(data, replace(settings, width=1.0))._identity() == new_run(data, settings)._identity()
    assert new_run(data, replace(settings, width=0.5))._identity() != new_run(data, settings)._identity()


def test_learns(toy_graph):
    student = train(toy_graph, **{**QUICK, "epochs": 4})
    assert student.info["history"][-1]["supervised_loss"] < 0.5 * np.log(3)
    assert student.emotions == ["anger", "fear", "sadness"]
    assert student.info["corpus"] == "toy"
    assert student.info["data_hash"] == toy_graph.meta["data_hash"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"backbone": "cnn7"},
            r"^Bad backbone 'cnn7', expected one of \['cnn6', 'mobilenet15', 'resnet9', 'vgg15'\]$",
        ),
        ({"layer": "fc3"}, r"Bad layer 'fc3', expected one of \['fc1', 'fc2'\]"),
        ({"distance": "l1"}, "Bad distance 'l1'"),
        ({"reduction": "max"}, "Bad reduction 'max'"),
        ({"protocol": "dev"}, r"Bad protocol 'dev', expected one of \['clean', 'paper'\]"),
        ({"precision": "float16"}, "Bad precision 'float16'"),
        ({"alpha": -0.1}, "Bad alpha -0.1, expected 0 or more"),
        ({"alpha": float("nan")}, "Bad alpha nan"),
        ({"epochs": 0}, "Bad epochs 0, expected at least 1"),
        ({"batch_size": 0}, "Bad batch_size 0"),
        ({"decay_every": 0}, "Bad decay_every 0"),
        ({"n_neighbors": 0}, "Bad n_neighbors 0, expected at least 1, or None for all"),
        ({"alfa": 1}, "Bad training setting 'alfa', expected one of"),
        ({"semantics": "tf"}, r"Bad semantics 'tf', expected one of \['official', 'together'\]"),
        ({"alpha_schedule": "step"}, "Bad alpha_schedule 'step', expected one of"),
        ({"teacher_center": "mean"}, "Bad teacher_center 'mean', expected one of"),
        ({"similarity": -1}, "^Bad similarity -1, expected 0 or more$"),
        ({"regression": -0.5}, "Bad regression -0.5"),
        ({"posteriors": float("inf")}, "Bad posteriors inf"),
        ({"unlabelled_ratio": "two"}, "Bad unlabelled_ratio 'two'"),
        ({"temperature": 0}, "Bad temperature 0, expected more than 0"),
        ({"label_fraction": 0}, "Bad label_fraction 0, expected more than 0 and at most 1"),
        ({"label_fraction": 1.01}, "Bad label_fraction 1.01"),
        ({"labelled_speakers": 0}, "Bad labelled_speakers 0, expected at least 1, or None for all"),
        ({"labelled_speakers": 6}, "Bad labelled_speakers 6, expected at most 5"),
        ({"n_neighbors": 20}, "Bad n_neighbors 20, expected at most 4, which the graph holds; build one with more"),
        ({"seed": "x"}, "Bad seed 'x', expected a whole number, 0 or more"),
        ({"label_seed": -1}, "Bad label_seed -1"),
        ({"backbone": ["cnn6"]}, r"Bad backbone \['cnn6'\], expected one of"),
        ({"spec_augment": "abc"}, "Bad spec_augment 'abc', expected a share"),
        ({"gain": None}, "Bad gain None, expected dB"),
    ],
)
def test_bad_settings(toy_graph, changes, message):
    with pytest.raises(InputError, match=message):
        train(toy_graph, progress=False, **changes)


def test_nothing_to_train_on_and_a_loss_that_explodes(toy_graph):
    toy_graph.x[3] = torch.inf
    with pytest.raises(InputError, match="The loss is not finite in epoch 1; lower learning_rate or alpha"):
        train(toy_graph, **QUICK)
    toy_graph.y[:90] = -1
    with pytest.raises(InputError, match="No labelled training clip"):
        train(toy_graph, **QUICK)
