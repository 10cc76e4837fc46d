import copy
import json
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional

from ser_graph.common.hashing import content_hash
from ser_graph.downstream import TrainingSettings, load_student, neighbour_loss, train, training as training_module
from ser_graph.downstream.backbones import resnet9
from ser_graph.downstream.labels import labelled_nodes, training_nodes
from ser_graph.downstream.losses import distillation_loss, regression_loss
from ser_graph.downstream.optimisation import rate_at
from ser_graph.downstream.prediction import predict_outputs
from ser_graph.downstream.settings import METHODS_BESIDE
from ser_graph.downstream.student import weights_hash
from ser_graph.downstream.teacher import probe_log_probs
from ser_graph.downstream.training import asked_of_training
from ser_graph.errors import InputError

# The toy graph has scope "train", whatever protocol is tried on it.
pytestmark = pytest.mark.filterwarnings("ignore:protocol='paper' also trains on dev")

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
# One step of Adam from the first weights on.
STEP = {
    "epoch_steps": 1,
    "width": 0.25,
    "augment": "none",
    "normalise": "corpus",
    "schedule": "paper",
    "learning_rate": 1e-3,
    "precision": "float32",
}


def without_times(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def shuffled_labels(data, relabel):
    """Labels that embeddings and spectrograms say nothing about: nothing but alpha brings neighbours together."""
    order = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(1))
    relabel(data, slice(None), data.y[order])
    return data


def new_run(data, settings, device="cpu"):
    seeds = training_nodes(data, settings.protocol)
    return training_module._Run(data, seeds, labelled_nodes(data, settings), settings, torch.device(device))


def test_the_papers_baseline_is_a_plain_loop(toy_graph):
    """Six epochs: in the sixth the rate is 0.9 of what it was. BatchNorm's statistics lag as they do."""
    how = {**without(QUICK, "batch_size", "epoch_steps", "augment", "normalise"), "epochs": 6}
    student = train(toy_graph, alpha=0, protocol="paper", seed=3, **how)
    rows = (toy_graph.train_mask | toy_graph.val_mask).nonzero()[:, 0]
    x, y = toy_graph.x.float(), toy_graph.y
    seen = x[rows].double().flatten(0, 1)
    layer = student.standardise
    torch.testing.assert_close(layer.mean, seen.mean(0).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(layer.std, seen.std(0, correction=0).float(), rtol=1e-6, atol=0)
    x = (x - layer.mean) / layer.std  # its very digits: a rounding would grow in Adam's steps
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = resnet9(3, 0.25).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    for epoch in range(6):
        optimiser.param_groups[0]["lr"] = 1e-3 * 0.9 ** (epoch // 5)
        generator = torch.Generator().manual_seed(int(content_hash(3, epoch)[:15], 16))
        for batch in torch.utils.data.DataLoader(rows.tolist(), batch_size=16, shuffle=True, generator=generator):
            optimiser.zero_grad()
            functional.cross_entropy(model(x[batch]).logits, y[batch]).backward()
            optimiser.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(student.backbone.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    rates = [row["learning_rate"] for row in student.info["history"]]
    assert rates == pytest.approx([1e-3] * 5 + [9e-4])


def without(settings, *names):
    return {name: value for name, value in settings.items() if name not in names}


@pytest.mark.parametrize("alpha", [0, 0.5])
def test_the_seed_decides(toy_graph, alpha, weights_equal):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = train(toy_graph, alpha=alpha, seed=1, **QUICK)
    assert torch.equal(torch.random.get_rng_state(), before)  # the caller's random numbers are left alone
    torch.manual_seed(99)
    assert weights_equal(first, train(toy_graph, alpha=alpha, seed=1, **QUICK))
    assert not weights_equal(first, train(toy_graph, alpha=alpha, seed=2, **QUICK))
    assert not first.training


RUNS = {
    "baseline": {"alpha": 0},
    "nsl": {"alpha": 0.5},
    "official": {"semantics": "official", "label_fraction": 0.2, "unlabelled_ratio": 0.5},
    "paper": {"schedule": "paper", "keep": "best"},
    "best": {"keep": "best", "augment": "shift+masks", "normalise": "speaker"},
}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(
    toy_graph, tmp_path, monkeypatch, changes, precision, weights_equal
):
    how = {**QUICK, "epochs": 3, "precision": precision, **changes}
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
    done = []
    monkeypatch.setattr(training_module._Run, "epoch", lambda run: done.append(1) or epoch(run))
    resumed = train(toy_graph, checkpoint=tmp_path / "c", **how)
    assert len(done) == 1
    assert weights_equal(whole, resumed)
    # As JSON: 1 and 1.0 are equal numbers, but not the same text in a file.
    assert json.dumps(without_times(whole.info["history"])) == json.dumps(without_times(resumed.info["history"]))
    assert resumed.info["epoch"] == whole.info["epoch"]
    again = train(toy_graph, checkpoint=tmp_path / "c", **how)  # finished: nothing is left to do
    assert len(done) == 1
    assert weights_equal(whole, again)


def test_a_checkpoint_of_another_run_is_not_continued(toy_graph, tmp_path, relabel, weights_equal):
    how = {**QUICK, "epochs": 1}
    path = tmp_path / "c"
    train(toy_graph, checkpoint=path, **how)
    other = train(toy_graph, alpha=1, checkpoint=path, **how)
    assert weights_equal(other, train(toy_graph, alpha=1, **how))
    relabelled = shuffled_labels(copy.deepcopy(toy_graph), relabel)
    relabelled.meta = relabelled.meta.replace(data_hash="other")
    assert weights_equal(train(relabelled, alpha=1, checkpoint=path, **how), train(relabelled, alpha=1, **how))
    # Other spectrograms of the same clips, of which neither the settings nor the data hash know.
    respoken = copy.deepcopy(relabelled)
    respoken.x = -respoken.x
    respoken.meta = respoken.meta.replace(features=respoken.meta.features.replace(floor=1e-3))
    assert weights_equal(train(respoken, alpha=1, checkpoint=path, **how), train(respoken, alpha=1, **how))


def test_damaged_and_foreign_checkpoints_are_named(toy_graph, tmp_path):
    path = tmp_path / "c"
    train(toy_graph, checkpoint=path, **QUICK)
    file = path / "training" / "checkpoint.pt"
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(
        InputError, match=rf"The checkpoint {file} is damaged \(.*\); delete it to start the training anew$"
    ) as caught:
        train(toy_graph, checkpoint=path, **QUICK)
    assert "\n" not in str(caught.value)
    (path / "notes.txt").touch()  # the user's own
    train(toy_graph, checkpoint=path, alpha=1, **QUICK)  # another's is not looked at
    assert sorted(inside.name for inside in path.iterdir()) == ["notes.txt", "training"]
    (tmp_path / "mine" / "training" / "thesis").mkdir(parents=True)
    with pytest.raises(InputError, match=r"training holds other things \(thesis\)"):
        train(toy_graph, checkpoint=tmp_path / "mine", **QUICK)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reduction": "sum"},
        {"layer": "fc1", "distance": "l2"},
        {"layer": "projection"},
        {"edge_weights": False, "distance": "kl"},
        {"n_neighbors": 1},
    ],
)
def test_a_step_by_hand(toy_graph, changes):
    """Clips without a label take part in the graph's term and not in the cross entropy."""
    toy_graph.y[:40] = -1
    settings = TrainingSettings(**{**STEP, "alpha": 0.7, "batch_size": 35, **changes})
    run = new_run(toy_graph, settings)
    (batch,) = run.loader
    before, method = copy.deepcopy(run.student).train(), copy.deepcopy(run.method)
    run.student.train()
    loss, supervised, neighbour, covered, n_seeds = run._step(batch).values()
    out = before(batch.x)
    labels = batch.y[:n_seeds]
    assert n_seeds == 70  # the 35 labelled clips, and as many of the 40 others
    assert set(batch.n_id[:35].tolist()) == set(range(40, 75))
    reduction = settings.reduction
    expected = functional.cross_entropy(out.logits[:70][labels >= 0], labels[labels >= 0], reduction=reduction)
    weight = batch.edge_weight if settings.edge_weights else None
    output = (
        out.fc1 @ method.projection.weight.T if settings.layer == "projection" else getattr(out, settings.layer)
    )
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
    parameters = [*before.parameters(), *method.parameters()]
    (expected + 0.7 * term).backward()
    torch.optim.Adam(parameters, 1e-3).step()
    for one, other in zip(parameters, [*run.student.parameters(), *run.method.parameters()], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-3)


def after_speakers(data, rows):
    """[N, D] embeddings without their speaker's mean, 0 elsewhere."""
    emb = torch.zeros_like(data.emb)
    for code in data.speaker[rows].unique():
        own = rows & (data.speaker == code)
        emb[own] = data.emb[own] - data.emb[own].mean(0)
    return emb


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("method", ["regress", "distil"])
def test_a_step_beside_the_teacher_by_hand(toy_graph, method, reduction):
    """Labelled and unlabelled clips pass once, without neighbours; weights are the settings."""
    settings = TrainingSettings(
        **STEP, batch_size=20, label_fraction=0.3, method=method, alpha=0.3, reduction=reduction, layer="fc1"
    )
    run = new_run(toy_graph, settings)
    run.generator.manual_seed(0)
    batch = next(iter(run.loader))
    before, beside = copy.deepcopy(run.student).train(), copy.deepcopy(run.method)
    run.student.train()
    terms = run._step(batch)
    n, nodes = batch.batch_size, batch.n_id
    assert (terms["n_seeds"], len(batch.x), batch.edge_index.numel(), terms["covered"]) == (40, 40, 0, 0)
    out = before(batch.x)
    labelled = labelled_nodes(toy_graph, settings)
    known = labelled[nodes]
    assert int(known.sum()) == 20
    supervised = functional.cross_entropy(out.logits[known], toy_graph.y[nodes][known], reduction=reduction)
    rows = toy_graph.train_mask
    emb = after_speakers(toy_graph, rows)
    scaled = emb / emb[rows].square().mean().sqrt()
    if method == "regress":
        term = regression_loss(beside.head(out.fc1), scaled[nodes], reduction=reduction)
    else:
        said = probe_log_probs(emb, torch.where(labelled, toy_graph.y, -1), rows, 3)
        term = distillation_loss(out.logits, said[nodes], 2.0, reduction=reduction)
    assert terms["supervised_loss"] == pytest.approx(float(supervised.detach()), rel=1e-4)
    assert terms[f"{method}_loss"] == pytest.approx(float(term.detach()), rel=1e-3)
    loss = supervised + 0.3 * term
    assert terms["loss"] == pytest.approx(float(loss.detach()), rel=1e-3)
    assert n == 40
    loss.backward()
    parameters = [*before.parameters(), *beside.parameters()]
    torch.optim.Adam(parameters, 1e-3).step()
    for one, other in zip(parameters, [*run.student.parameters(), *run.method.parameters()], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2.1e-3)
    for name, buffer in before.named_buffers():
        torch.testing.assert_close(buffer, run.student.get_buffer(name), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_an_official_step_by_hand(toy_graph, reduction):
    """Seeds pass alone, then a row for each edge's neighbour: BatchNorm remembers two passes."""
    settings = TrainingSettings(
        **STEP, batch_size=20, semantics="official", label_fraction=0.3, alpha=0.7, reduction=reduction
    )
    run = new_run(toy_graph, settings)
    run.generator.manual_seed(0)
    batch = next(iter(run.loader))
    before = copy.deepcopy(run.student).train()
    run.student.train()
    terms = run._step(batch)
    n, (neighbour, seed) = batch.batch_size, batch.edge_index
    out, of_neighbours = before(batch.x[:n]), before(batch.x[neighbour])
    both = torch.cat([out.fc2, of_neighbours.fc2])
    known = batch.y[:n] >= 0
    assert (int(known.sum()), len(seed) > 0) == (20, True)
    supervised = functional.cross_entropy(out.logits[known], batch.y[:n][known], reduction=reduction)
    edges = torch.stack([torch.arange(n, n + len(seed)), seed])
    term = neighbour_loss(both, edges, batch.edge_weight, reduction=reduction)
    assert terms["supervised_loss"] == pytest.approx(float(supervised.detach()), rel=1e-4)
    assert terms["nsl_loss"] == pytest.approx(float(term.detach()), rel=1e-3)
    (supervised + 0.7 * term).backward()
    torch.optim.Adam(before.parameters(), 1e-3).step()
    for one, other in zip(before.parameters(), run.student.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2.1e-3)
    for name, buffer in before.named_buffers():
        torch.testing.assert_close(buffer, run.student.get_buffer(name), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("normalise", "apart"), [("corpus", 1e-3), ("speaker", 2e-5)])
def test_official_semantics_keep_neighbours_out_of_the_cross_entropy(toy_graph, monkeypatch, normalise, apart):
    """BatchNorm of the seeds alone: the supervised loss of a first step is the baseline's."""
    monkeypatch.setattr(training_module, "UNKNOWN_VOICES", 0.0)
    how = {**STEP, "batch_size": 20, "normalise": normalise}
    losses = {}
    for name, changes in {
        "baseline": {"alpha": 0},
        "official": {"semantics": "official"},
        "together": {},
    }.items():
        run = new_run(toy_graph, TrainingSettings(**how, **changes))
        run.generator.manual_seed(0)
        run.student.train()
        losses[name] = run._step(next(iter(run.loader)))["supervised_loss"]
    assert losses["official"] == pytest.approx(losses["baseline"], rel=1e-6)
    assert losses["together"] != pytest.approx(losses["baseline"], rel=apart)


@pytest.mark.parametrize("method", METHODS_BESIDE)
def test_history_and_info_tell_of_terms_and_labels(toy_graph, method):
    toy_graph.y[0] = -1
    student = train(toy_graph, **QUICK, method=method, alpha=0.7, label_fraction=0.2)
    for row in student.info["history"]:
        weighted = 0.7 * row[f"{method}_loss"]
        assert row["loss"] == pytest.approx(row["supervised_loss"] + weighted, rel=1e-4)
        assert sum(name.endswith("_loss") for name in row) == 2
    assert (student.info["n_train"], student.info["n_labelled"], student.info["n_unlabelled"]) == (75, 15, 60)
    assert student.info["settings"] == TrainingSettings(**student.info["settings"]).model_dump()
    assert (student.info["settings"]["method"], student.info["settings"]["alpha"]) == (method, 0.7)
    assert student.state_dict().keys() == train(toy_graph, **QUICK, alpha=0).state_dict().keys()  # no head is left


@pytest.mark.parametrize("method", ["regress", "distil"])
def test_a_student_learns_what_the_teacher_shows_without_its_labels(toy_graph, method):
    """Labels of three clips; the teacher's space of all of them."""
    how = {**QUICK, "epochs": 4, "batch_size": 15, "label_fraction": 0.04, "center": "none"}
    history = train(toy_graph, **how, method=method).info["history"]
    assert history[-1][f"{method}_loss"] < 0.8 * history[0][f"{method}_loss"]


@pytest.mark.parametrize("method", METHODS_BESIDE)
def test_hidden_labels_and_clips_out_of_training_are_not_used(toy_graph, method, relabel, weights_equal):
    how = {**QUICK, "method": method, "same_label": True, "protocol": "paper", "label_fraction": 0.2}
    student = train(toy_graph, **how)
    hidden = ~labelled_nodes(toy_graph, label_fraction=0.2, protocol="paper")
    relabelled = copy.deepcopy(toy_graph)
    relabel(relabelled, hidden, (relabelled.y[hidden] + 1) % 3)
    # Other labels would choose other clips: what is hidden has to stay hidden by choice.
    chosen = labelled_nodes(relabelled, label_fraction=0.2, protocol="paper")
    assert not torch.equal(chosen, ~hidden)
    relabelled.emb[90:] = 5
    relabelled.x[90:] = 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_module, "labelled_nodes", lambda *_: ~hidden)
        assert weights_equal(student, train(relabelled, **how))


def test_other_corpora_without_labels_teach_as_well(toy_graph, weights_equal):
    """A joint graph: clips of speakers 3 and 4 stand for another corpus, whose emotions are unknown."""
    toy_graph.y[45:75] = -1
    how = {**QUICK, "method": "regress", "center": "speaker"}
    student = train(toy_graph, **how)
    assert (student.info["n_labelled"], student.info["n_unlabelled"]) == (45, 30)
    changed = copy.deepcopy(toy_graph)
    changed.emb[45:75] = toy_graph.emb[45:75].flip(0)
    assert not weights_equal(student, train(changed, **how))
    assert weights_equal(train(toy_graph, **QUICK, alpha=0), train(changed, **QUICK, alpha=0))


@pytest.mark.parametrize("normalise", ["corpus", "utterance", "speaker"])
def test_other_corpora_are_no_measure_of_the_own(toy_graph, normalise):
    """Standardisation and BatchNorm's statistics are those of the corpora that have labels."""
    toy_graph.table["corpus"] = np.where(np.arange(120) // 15 % 5 < 3, "own", "other")
    toy_graph.y[45:75] = -1
    settings = TrainingSettings(**{**STEP, "normalise": normalise, "method": "regress"})
    run = new_run(toy_graph, settings)
    assert sorted(run.counted.tolist()) == list(range(45))
    assert run.student.info["n_unlabelled"] == 30
    other = copy.deepcopy(toy_graph)
    other.x[45:75] = 7 * torch.randn(30, 31, 64).half()
    layer, same = run.student.standardise, new_run(other, settings).student.standardise
    assert torch.equal(layer.std, same.std)
    assert torch.equal(layer.mean, same.mean)


@pytest.mark.parametrize("schedule", ["cosine", "paper"])
def test_history(toy_graph, monkeypatch, schedule):
    monkeypatch.setattr(training_module, "_LOOKS", 2)
    how = {**QUICK, "epochs": 7, "schedule": schedule, "learning_rate": 1e-3}
    history = train(toy_graph, **how).info["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6, 7]
    first_steps = range(0, 21, 3)  # the rate that each epoch began with
    rates = [1e-3 * rate_at(schedule, step, 21, 7) for step in first_steps]
    assert [row["learning_rate"] for row in history] == pytest.approx(rates)
    share = float((toy_graph.degrees()[:75] > 0).double().mean())
    for row in history:
        assert row["edge_coverage"] == pytest.approx(share)
        assert row["loss"] == pytest.approx(row["supervised_loss"] + 0.1 * row["nsl_loss"], rel=1e-4)
        assert row["seconds"] > 0
    looks = [row["epoch"] for row in history if "dev_uar" in row]
    assert looks == [row["epoch"] for row in history if "dev_accuracy" in row] == [3, 6, 7]
    assert all(0 <= history[epoch - 1]["dev_uar"] <= 1 for epoch in looks)
    assert history[2]["supervised_loss"] < history[0]["supervised_loss"]
    every = train(toy_graph, **{**how, "epochs": 2, "keep": "best"}).info["history"]
    assert all("dev_uar" in row for row in every)


def test_the_papers_learning_rate():
    settings = TrainingSettings(protocol="paper")
    assert (settings.learning_rate, settings.batch_size, settings.epochs) == (1e-3, 16, 50)
    rates = [rate_at("paper", step, 50 * 7, 50) for step in range(0, 350, 7)]
    assert rates == pytest.approx([0.9 ** (epoch // 5) for epoch in range(50)])


@pytest.mark.parametrize("schedule", ["cosine", "paper"])
def test_the_baseline_has_no_neighbours(toy_graph, schedule, weights_equal):
    student = train(toy_graph, alpha=0, **QUICK, schedule=schedule)
    assert not any("nsl_loss" in row or row["edge_coverage"] for row in student.info["history"])
    toy_graph.edge_index, toy_graph.edge_weight = toy_graph.edge_index[:, :0], toy_graph.edge_weight[:0]
    with pytest.warns(UserWarning, match="No training clip has a neighbour: alpha has no effect"):
        without_edges = train(toy_graph, alpha=5, **QUICK, schedule=schedule)
    assert weights_equal(student, without_edges)


def test_edges_out_of_the_training_clips_are_refused(toy_graph):
    toy_graph.edge_index[0, :2] = 110
    for method in ("nsl", "graph"):
        with pytest.raises(InputError, match=r"2 edges join training clips to other clips, e.g. s7/110.wav"):
            train(toy_graph, **QUICK, method=method)
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
    with pytest.raises(InputError, match=r"1 edges join training clips to other clips, e.g. s5/080.wav"):
        train(toy_graph, protocol="clean", **QUICK)


def scripted(monkeypatch, scores):
    """Dev scores by a script; returns the weights after every epoch."""
    states = []

    def measure(run):
        run.measured = run.kept()
        states.append({name: value.clone() for name, value in run.measured.state_dict().items()})
        return {"dev_uar": scores[len(states) - 1]} if scores else {}

    monkeypatch.setattr(training_module._Run, "_measure_on_dev", measure)
    return states


@pytest.mark.parametrize("schedule", ["cosine", "paper"])
@pytest.mark.parametrize(("scores", "best"), [([0.2, 0.9, 0.5], 2), ([0.5, 0.4, 0.5], 1), ([0.1, 0.2, 0.3], 3)])
def test_the_best_epoch_is_kept_where_it_is_asked_for(toy_graph, monkeypatch, scores, best, schedule):
    states = scripted(monkeypatch, scores)
    student = train(toy_graph, **{**QUICK, "epochs": 3}, keep="best", schedule=schedule)
    assert student.info["epoch"] == best
    assert all(torch.equal(value, states[best - 1][name]) for name, value in student.state_dict().items())
    assert student.info["n_train"] == 75


@pytest.mark.parametrize("schedule", ["cosine", "paper"])
def test_the_last_epoch_is_kept_whatever_dev_says(toy_graph, monkeypatch, schedule, weights_equal):
    plain = train(toy_graph, **{**QUICK, "epochs": 3}, schedule=schedule)
    states = scripted(monkeypatch, [0.9, 0.5, 0.1])
    student = train(toy_graph, **{**QUICK, "epochs": 3}, schedule=schedule)
    assert student.info["epoch"] == 3
    assert all(torch.equal(value, states[-1][name]) for name, value in student.state_dict().items())
    assert weights_equal(student, plain)


def test_paper_trains_on_dev_too_and_keeps_the_last_epoch(toy_graph, monkeypatch, weights_equal):
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


def test_no_label_outside_the_training_clips_is_used(toy_graph, relabel, weights_equal):
    student = train(toy_graph, protocol="paper", **QUICK)
    relabel(toy_graph, slice(90, None), 0)
    toy_graph.x[90:] = 3
    assert weights_equal(student, train(toy_graph, protocol="paper", **QUICK))


def test_alpha_brings_neighbours_together(toy_graph, relabel):
    shuffled_labels(toy_graph, relabel)
    how = {**QUICK, "epochs": 4}
    weak, strong = (train(toy_graph, alpha=alpha, **how).info["history"] for alpha in (1e-9, 20))
    assert weak[0]["nsl_loss"] > 0
    assert strong[-1]["nsl_loss"] < 0.5 * weak[-1]["nsl_loss"]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "regress"},
        {"method": "graph"},
        {"strategy": "memory_bank", "layer": "fc1"},
        {"strategy": "memory_bank", "layer": "projection"},
    ],
)
def test_a_width_goes_the_whole_way(toy_graph, tmp_path, changes, weights_equal):
    """fc1 has 32 outputs: the memory bank, heads, projections and the stored student must know."""
    how = {**QUICK, "epochs": 1, "backbone": "mobilenet15", "width": 0.125, "alpha": 0.1, **changes}
    student, again = (train(toy_graph, **how) for _ in range(2))
    assert weights_equal(student, again)
    assert student.info["settings"]["width"] == student.width == 0.125
    assert student.backbone.fc1.out_features == 32
    loaded = load_student(student.save(tmp_path / "student"))
    assert torch.equal(predict_outputs(loaded, toy_graph.x).logits, predict_outputs(student, toy_graph.x).logits)


def test_dev_clips_without_edges_are_called_out(toy_graph):
    with pytest.warns(UserWarning, match=r"also trains on dev, but dev clips have no edges .*scope='train\+dev'"):
        train(toy_graph, protocol="paper", **{**QUICK, "epochs": 1})


def test_what_identifies_a_training(toy_graph):
    """Every setting, the data and the initial student: a checkpoint of another one is not continued."""
    settings = TrainingSettings(**STEP)
    same = asked_of_training(toy_graph, settings)
    assert asked_of_training(toy_graph, settings.replace(width=np.float64(0.25), seed=0)) == same
    others = [
        settings.replace(**change)
        for change in ({"width": 0.5}, {"method": "regress"}, {"alpha": 0.2}, {"epochs": 3}, {"keep": "best"})
    ]
    found = [asked_of_training(toy_graph, other) for other in others]
    found.append(asked_of_training(toy_graph, settings, new_run(toy_graph, settings).student))
    assert len({content_hash(one) for one in [same, *found]}) == 7
    assert same["settings"].keys() == TrainingSettings.model_fields.keys()  # defaults too


@pytest.fixture
def grown_up(toy_graph):
    """A student trained on all clips of the toy graph that it may know."""
    return train(toy_graph, **{**QUICK, "epochs": 4})


def first_of(data, settings, init):
    rows = training_nodes(data, settings.protocol)
    device = torch.device("cpu")
    return training_module._Run(data, rows, labelled_nodes(data, settings), settings, device, init).student


def test_a_training_may_start_from_another_student(toy_graph, grown_up):
    settings = TrainingSettings(**{**STEP, "label_fraction": 0.1})
    student = first_of(toy_graph, settings, grown_up)
    state = grown_up.backbone.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in student.backbone.state_dict().items())
    # Fewer steps than a training from the beginning would need.
    how = {**QUICK, "epochs": 1, "label_fraction": 0.1, "learning_rate": 1e-4}
    before = weights_hash(grown_up)
    warm, cold = (train(toy_graph, **how, init=one).info["history"][0] for one in (grown_up, None))
    assert warm["supervised_loss"] < 0.5 * cold["supervised_loss"]
    assert weights_hash(grown_up) == before


def test_size_and_normalisation_come_from_the_initial_student(toy_graph, grown_up, tmp_path):
    grown_up.save(tmp_path / "grown")
    grown_up.standardise.normalise = "speaker"
    quick = {name: value for name, value in QUICK.items() if name not in ("width", "normalise")}
    one = train(toy_graph, **{**quick, "epochs": 1, "normalise": "corpus"}, init=grown_up)
    other = train(toy_graph, **{**quick, "epochs": 1}, init=grown_up)
    assert (one.width, one.standardise.normalise) == (0.25, "corpus")
    assert (other.width, other.standardise.normalise) == (0.25, "speaker")
    stored = train(toy_graph, **{**quick, "epochs": 1}, init=tmp_path / "grown")
    assert (stored.width, stored.standardise.normalise) == (
        0.25,
        load_student(tmp_path / "grown").standardise.normalise,
    )
    with pytest.raises(InputError, match=r"^Bad student 'ready:huge', expected one of \["):
        train(toy_graph, **quick, init="ready:huge")


def test_the_last_layer_of_other_emotions_is_new(toy_graph, grown_up):
    settings = TrainingSettings(**STEP)
    new, grown_up.emotions = first_of(toy_graph, settings, None), ["anger", "fear", "disgust"]
    student = first_of(toy_graph, settings, grown_up)
    assert torch.equal(student.backbone.fc2.weight, new.backbone.fc2.weight)
    assert torch.equal(student.backbone.fc1.weight, grown_up.backbone.fc1.weight)
    with pytest.raises(
        InputError, match=r"^The initial student has width 0.25, the new student 0.125; give both the same$"
    ):
        train(toy_graph, **{**QUICK, "width": 0.125}, init=grown_up)


def test_a_checkpoint_from_another_beginning_is_not_continued(toy_graph, grown_up, tmp_path, weights_equal):
    how = {**QUICK, "epochs": 1}
    path = tmp_path / "c"
    train(toy_graph, checkpoint=path, **how)
    warm = train(toy_graph, init=grown_up, **how)
    assert weights_equal(train(toy_graph, init=grown_up, checkpoint=path, **how), warm)
    assert weights_equal(train(toy_graph, init=grown_up, checkpoint=path, **how), warm)  # and goes on from its own
    assert not weights_equal(train(toy_graph, **how), warm)


def test_learns(toy_graph):
    student = train(toy_graph, **{**QUICK, "epochs": 8})
    assert student.info["history"][-1]["supervised_loss"] < 0.5 * np.log(3)
    assert student.info["history"][-1]["dev_uar"] > 0.9
    assert student.emotions == ["anger", "fear", "sadness"]
    assert student.info["corpus"] == "toy"
    assert student.info["data_hash"] == toy_graph.meta.data_hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"backbone": "cnn7"},
            r"^Bad backbone 'cnn7', expected one of \['cnn6', 'mobilenet15', 'resnet9', 'vgg15'\]; did you mean "
            r"'cnn6'\?$",
        ),
        ({"layer": "fc3"}, r"Bad layer 'fc3', expected one of \['fc1', 'fc2', 'projection'\]"),
        ({"distance": "l1"}, "Bad distance 'l1'"),
        ({"reduction": "max"}, "Bad reduction 'max'"),
        ({"protocol": "dev"}, r"Bad protocol 'dev', expected one of \['clean', 'paper'\]"),
        ({"precision": "float16"}, "Bad precision 'float16'"),
        (
            {"method": "nls"},
            r"Bad method 'nls', expected one of \['baseline', 'distil', 'graph', 'nsl', 'regress'\]",
        ),
        ({"alpha": -0.1}, "^Bad alpha -0.1, expected at least 0, or None$"),
        ({"alpha": float("nan")}, "Bad alpha nan"),
        ({"epochs": 0}, "^Bad epochs 0, expected a whole number, at least 1$"),
        ({"batch_size": 0}, "Bad batch_size 0"),
        ({"epoch_steps": 0}, "Bad epoch_steps 0"),
        ({"n_neighbors": 0}, "Bad n_neighbors 0, expected a whole number, at least 1, or None"),
        ({"alfa": 1}, "Bad setting 'alfa', expected one of"),
        ({"semantics": "tf"}, r"Bad semantics 'tf', expected one of \['official', 'together'\]"),
        ({"schedule": "step"}, r"Bad schedule 'step', expected one of \['cosine', 'paper'\]"),
        ({"keep": "first"}, r"Bad keep 'first', expected one of \['best', 'last'\]"),
        ({"teacher": "mlp"}, r"Bad teacher 'mlp', expected one of \['gnn', 'probe'\]"),
        ({"center": "mean"}, r"Bad center 'mean', expected one of \['corpus', 'none', 'speaker'\]"),
        ({"alpha": float("inf")}, "Bad alpha inf"),
        ({"unlabelled_ratio": "two"}, "Bad unlabelled_ratio 'two'"),
        ({"learning_rate": 0}, "Bad learning_rate 0, expected more than 0"),
        ({"label_fraction": 0}, "Bad label_fraction 0, expected more than 0 and at most 1"),
        ({"label_fraction": 1.01}, "Bad label_fraction 1.01"),
        ({"labelled_speakers": 0}, "Bad labelled_speakers 0, expected a whole number, at least 1, or None"),
        ({"labelled_speakers": 6}, "Bad labelled_speakers 6, expected at most 5"),
        (
            {"n_neighbors": 20},
            "Bad n_neighbors 20, expected at most 4, as many as the graph has; build a graph with more neighbours",
        ),
        ({"seed": "x"}, "Bad seed 'x', expected a whole number, at least 0"),
        ({"label_seed": -1}, "Bad label_seed -1"),
        ({"backbone": ["cnn6"]}, r"Bad backbone \['cnn6'\], expected one of"),
        ({"augment": None}, "Bad augment None, expected a valid string"),
    ],
)
def test_bad_settings(toy_graph, changes, message):
    with pytest.raises(InputError, match=message):
        train(toy_graph, progress=False, **changes)


def test_nothing_to_train_on_and_a_loss_that_explodes(toy_graph):
    with pytest.raises(InputError, match="The loss is not finite in epoch 1; lower learning_rate or alpha"):
        train(toy_graph, **{**QUICK, "learning_rate": 1e30})
    toy_graph.x[3] = torch.inf
    with pytest.raises(InputError, match="The spectrogram of clip 3 holds NaN or infinity"):
        train(toy_graph, **QUICK)
    toy_graph.y[:90] = -1
    with pytest.raises(InputError, match="No labelled training clip"):
        train(toy_graph, **QUICK)
