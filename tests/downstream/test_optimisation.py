import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings as examples, strategies as st
from torch import nn
from torch.nn import functional

from ser_graph.audio.settings import LogMelSettings
from ser_graph.audio.standardise import Standardise, Voices, speaker_voices
from ser_graph.common.hashing import content_hash
from ser_graph.downstream import TrainingSettings, train, training as training_module
from ser_graph.downstream.backbones import resnet9
from ser_graph.downstream.labels import labelled_nodes, training_nodes
from ser_graph.downstream.optimisation import (
    AVERAGED,
    COUNTED,
    WARM_UP,
    WEIGHT_DECAY,
    Average,
    count_statistics,
    make_optimiser,
    rate_at,
)
from ser_graph.downstream.student import Student

SHORT = LogMelSettings(n_samples=8192)
QUICK = {
    "epochs": 3,
    "epoch_steps": 1,
    "batch_size": 25,
    "width": 0.25,
    "augment": "none",
    "normalise": "corpus",
    "precision": "float32",
    "progress": False,
    "device": "cpu",
}


@pytest.fixture
def student():
    torch.manual_seed(0)
    made = Student("resnet9", ["anger", "fear", "joy"], SHORT, width=0.25)
    made.standardise.mean.fill_(-5)
    made.standardise.std.fill_(1.5)
    return made


def norms_of(model):
    return {name: one for name, one in model.named_modules() if isinstance(one, nn.BatchNorm2d)}


@torch.no_grad()
def by_numpy(student, blocks):
    """Mean and variance before each BatchNorm, the average of those of blocks that passed with their own."""
    model, found = copy.deepcopy(student).train(), {name: [] for name in norms_of(student)}

    def remember(name):
        def hook(_, given):
            flat = given[0].double().transpose(0, 1).flatten(1).numpy()
            found[name].append((flat.mean(1), flat.var(1, ddof=1)))

        return hook

    for name, norm in norms_of(model).items():
        norm.register_forward_pre_hook(remember(name))
    for block in blocks:
        model.backbone(model.standardise(block))
    return {name: np.mean(values, axis=0) for name, values in found.items()}


@pytest.mark.parametrize(("n", "size", "blocks"), [(40, 64, [40]), (40, 20, [20, 20]), (41, 20, [14, 14, 13])])
def test_counted_statistics_are_those_of_the_clips(student, toy_graph, n, size, blocks):
    """Of one block exactly; of several, which are of about one size, the average."""
    rows = torch.randperm(120, generator=torch.Generator().manual_seed(1))[:n]
    expected = by_numpy(student, toy_graph.x[rows].split(blocks))
    count_statistics(student, toy_graph.x, rows, None, "float32", size)
    assert len(expected) == 7
    for name, norm in norms_of(student).items():
        np.testing.assert_allclose(norm.running_mean, expected[name][0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(norm.running_var, expected[name][1], rtol=1e-3)


def test_counting_forgets_what_was_there_and_changes_nothing_else(student, toy_graph):
    other = copy.deepcopy(student)
    other(torch.randn(8, 31, 64) * 3)  # its BatchNorm has seen something
    for norm in norms_of(other).values():
        norm.momentum = 0.5
    weights = [one.clone() for one in other.parameters()]
    for one in (student, other):
        count_statistics(one, toy_graph.x, torch.arange(40), None, "float32")
        assert not one.training
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in student.state_dict().items())
    assert all(torch.equal(one, before) for one, before in zip(other.parameters(), weights, strict=True))
    assert {norm.momentum for norm in norms_of(other).values()} == {0.5}
    assert {norm.momentum for norm in norms_of(student).values()} == {0.01}


def test_counting_hears_the_voices(student, toy_graph):
    rows = torch.arange(40)
    student.standardise = Standardise.fit(toy_graph.x, rows, normalise="speaker", speaker=toy_graph.speaker)
    voices = Voices(speaker_voices(toy_graph.x, toy_graph.speaker), toy_graph.speaker)
    model = copy.deepcopy(student).train()
    for norm in norms_of(model).values():
        norm.momentum = 1.0
    model.backbone(model.standardise(toy_graph.x[:40], voices.of(rows)))
    count_statistics(student, toy_graph.x, rows, voices, "float32")
    for name, norm in norms_of(student).items():
        torch.testing.assert_close(norm.running_mean, norms_of(model)[name].running_mean, rtol=1e-4, atol=1e-5)
    unheard = copy.deepcopy(student)
    count_statistics(unheard, toy_graph.x, rows, None, "float32")
    first = next(iter(norms_of(student)))
    assert not torch.allclose(norms_of(unheard)[first].running_var, norms_of(student)[first].running_var)


def test_with_its_own_statistics_a_student_says_in_evaluation_what_it_says_in_training(student, toy_graph):
    """But for n / (n - 1) in the variance, where n is 80 in the last layers: 0.02 of logits that spread by 0.4."""
    with torch.no_grad():
        trained = student.train()(toy_graph.x[:40]).logits
        lagging = student.eval()(toy_graph.x[:40]).logits
        count_statistics(student, toy_graph.x, torch.arange(40), None, "float32")
        evaluated = student.eval()(toy_graph.x[:40]).logits
    assert (evaluated - trained).abs().max() < 0.05
    assert (lagging - trained).abs().max() > 0.5


@given(n_steps=st.integers(1, 60), seed=st.integers(0, 9))
@examples(max_examples=15, deadline=None)
def test_the_average_is_a_plain_loop(n_steps, seed):
    torch.manual_seed(seed)
    made = Student("mobilenet15", ["anger", "fear"], SHORT, width=0.01)
    average = Average(made)
    shadow = None
    for step in range(n_steps):
        with torch.no_grad():
            for one in made.parameters():
                one.add_(torch.randn_like(one))
        average.update_parameters(made)
        now = [one.detach().double().clone() for one in made.parameters()]
        keep = 0 if step == 0 else min(0.998, (1 + step) / (10 + step))
        shadow = [keep * old + (1 - keep) * new for old, new in zip(shadow or now, now, strict=True)]
    for one, expected in zip(average.module.parameters(), shadow, strict=True):
        torch.testing.assert_close(one.detach().double(), expected, rtol=1e-4, atol=1e-4)


def test_the_averaged_student(student, toy_graph):
    """Weights of the average, statistics of the first clips; it shares nothing with the average or the student."""
    average = Average(student)
    for _ in range(3):
        with torch.no_grad():
            student.backbone.fc1.bias.add_(1)
        average.update_parameters(student)
    rows = torch.arange(120).flip(0).repeat(10)
    before = copy.deepcopy(average.state_dict())
    given, again = (average.with_statistics(toy_graph.x, rows, None, "float32") for _ in range(2))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in given.state_dict().items())
    assert torch.equal(given.backbone.fc1.bias, average.module.backbone.fc1.bias)
    assert not torch.equal(given.backbone.fc1.bias, student.backbone.fc1.bias)
    assert COUNTED == 1024 < len(rows)
    few = copy.deepcopy(average.module)
    count_statistics(few, toy_graph.x, rows[:1024], None, "float32")
    assert all(torch.equal(value, few.state_dict()[name]) for name, value in given.state_dict().items())
    with torch.no_grad():
        given.backbone.fc1.bias.zero_()
    assert all(torch.equal(value, before[name]) for name, value in average.state_dict().items())
    assert given.augment is None


@given(steps=st.integers(1, 3000), epochs=st.integers(1, 40))
@examples(max_examples=100, deadline=None)
def test_the_cosine_rises_and_falls(steps, epochs):
    rates = np.array([rate_at("cosine", step, steps, epochs) for step in range(steps)])
    warm = max(round(WARM_UP * steps), 1)
    np.testing.assert_allclose(rates[:warm], (np.arange(warm) + 1) / warm)
    rest = steps - warm
    np.testing.assert_allclose(rates[warm:], (1 + np.cos(np.pi * (np.arange(rest) + 1) / max(rest, 1))) / 2)
    assert rates.max() == 1
    assert rates.argmax() == warm - 1
    assert (np.diff(rates[warm - 1 :]) < 0).all()
    if rest:
        assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert math.isfinite(rate_at("cosine", steps, steps, epochs))  # asked for after the last step


@given(per_epoch=st.integers(1, 200), epochs=st.integers(1, 60))
@examples(max_examples=50, deadline=None)
def test_the_papers_rate_falls_by_a_tenth_every_five_epochs(per_epoch, epochs):
    steps = per_epoch * epochs
    for epoch in range(epochs):
        for step in (epoch * per_epoch, (epoch + 1) * per_epoch - 1):
            assert rate_at("paper", step, steps, epochs) == pytest.approx(0.9 ** (epoch // 5))


def test_the_optimisers():
    cosine, paper = (make_optimiser([nn.Parameter(torch.ones(1))], one, 0.3) for one in ("cosine", "paper"))
    assert type(cosine) is torch.optim.AdamW
    assert type(paper) is torch.optim.Adam
    group = cosine.param_groups[0]
    assert (group["lr"], group["weight_decay"], WEIGHT_DECAY) == (0.3, 0.05, 0.05)
    group = paper.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"], group["eps"]) == (0.3, 0, (0.9, 0.999), 1e-8)


def test_training_by_the_cosine_is_a_plain_loop(toy_graph):
    """AdamW, the rate of each step, averaged weights and statistics of the training clips, all by hand."""
    student = train(toy_graph, **QUICK, alpha=0, seed=3, learning_rate=1e-3)
    rows, y = toy_graph.train_mask.nonzero()[:, 0], toy_graph.y
    x = (toy_graph.x.float() - student.standardise.mean) / student.standardise.std
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = resnet9(3, 0.25).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    shadow, step = None, 0
    for epoch in range(3):
        generator = torch.Generator().manual_seed(int(content_hash(3, epoch)[:15], 16))
        for batch in torch.utils.data.DataLoader(rows.tolist(), batch_size=25, shuffle=True, generator=generator):
            # 9 steps, none of them a twentieth: the first is one of warm-up all the same.
            share = 1.0 if step == 0 else (1 + math.cos(math.pi * step / 8)) / 2
            optimiser.param_groups[0]["lr"] = 1e-3 * share
            optimiser.zero_grad()
            functional.cross_entropy(model(x[batch]).logits, y[batch]).backward()
            optimiser.step()
            keep = min(AVERAGED, (1 + step) / (10 + step)) if step else 0
            now = [one.detach().clone() for one in model.parameters()]
            shadow = [keep * old + (1 - keep) * new for old, new in zip(shadow or now, now, strict=True)]
            step += 1
    with torch.no_grad():
        for one, averaged in zip(model.parameters(), shadow, strict=True):
            one.copy_(averaged)
        order = rows[torch.randperm(75, generator=torch.Generator().manual_seed(3))]
        for norm in norms_of(model).values():
            norm.reset_running_stats()
            norm.momentum = None  # torch's average of all batches
        model.train()
        for block in (order[:38], order[38:]):
            model(x[block])
    for name, value in model.state_dict().items():
        torch.testing.assert_close(student.backbone.state_dict()[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "paper"])
@pytest.mark.parametrize("method", ["nsl", "graph"])
def test_looking_at_the_student_does_not_disturb_its_training(toy_graph, monkeypatch, schedule, method):
    how = {**QUICK, "schedule": schedule, "method": method, "augment": "shift+masks"}
    plain = train(toy_graph, **how)
    measure = training_module._Run._measure_on_dev

    def looked(run):
        run.kept()
        run.kept()
        return measure(run)

    watched = train(toy_graph, **how, keep="best")
    monkeypatch.setattr(training_module._Run, "_measure_on_dev", looked)
    often = train(toy_graph, **how)
    # The last epoch of all: what is kept in the end may be another one, where it is the best.
    for other in (watched, often):
        losses = [
            [{name: row[name] for name in row if name.endswith("loss")} for row in one.info["history"]]
            for one in (plain, other)
        ]
        assert losses[0] == losses[1]
    assert all(torch.equal(value, often.state_dict()[name]) for name, value in plain.state_dict().items())
    blind = copy.deepcopy(toy_graph)
    blind.y[toy_graph.val_mask] = -1  # nothing to look at
    monkeypatch.undo()
    unseen = train(blind, **how)
    assert not any("dev_uar" in row for row in unseen.info["history"])
    assert all(torch.equal(value, unseen.state_dict()[name]) for name, value in plain.state_dict().items())


def test_what_is_measured_on_dev_is_what_is_kept(toy_graph):
    settings = TrainingSettings(**{name: QUICK[name] for name in QUICK if name not in ("progress", "device")})
    rows = training_nodes(toy_graph, "clean")
    run = training_module._Run(toy_graph, rows, labelled_nodes(toy_graph, settings), settings, torch.device("cpu"))
    for _ in range(3):
        run.epoch()
    kept, finished = run.kept().state_dict(), run.finish().state_dict()
    measured = run.measured.state_dict()
    assert kept.keys() == finished.keys() == measured.keys()
    for name, value in finished.items():
        assert torch.equal(value, kept[name])
        assert torch.equal(value, measured[name])
    assert set(run.counted.tolist()) == set(range(75))
