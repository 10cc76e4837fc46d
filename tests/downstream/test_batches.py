import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings as examples, strategies as st
from scipy.stats import binom

from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.batches import LabelledBatches, balance
from ser_graph.downstream.labels import labelled_nodes
from ser_graph.downstream.settings import METHODS
from ser_graph.downstream.training import _Run


def new_run(data, settings):
    return _Run(data, data.train_mask, labelled_nodes(data, settings), settings, torch.device("cpu"))


@given(
    n_labelled=st.integers(1, 20),
    n_unlabelled=st.integers(0, 20),
    steps=st.integers(1, 15),
    batch_size=st.integers(1, 9),
    ratio=st.sampled_from([0, 0.3, 1, 2.5]),
)
@examples(max_examples=60, deadline=None)
def test_an_epoch(n_labelled, n_unlabelled, steps, batch_size, ratio):
    labelled, unlabelled = torch.arange(n_labelled), 100 + torch.arange(n_unlabelled)
    batches = LabelledBatches(
        labelled, unlabelled, None, steps, batch_size, ratio, torch.Generator().manual_seed(0)
    )
    drawn = list(batches)
    assert len(drawn) == len(batches) == steps
    for batch in drawn:
        assert sum(seed < 100 for seed in batch) == batch_size
        assert all(seed < 100 for seed in batch[:batch_size])
        assert len(batch) - batch_size == (round(ratio * batch_size) if n_unlabelled else 0)
    for lower, upper in ((0, 100), (100, 200)):
        seeds = [seed for batch in drawn for seed in batch if lower <= seed < upper]
        size = n_labelled if lower == 0 else n_unlabelled
        # All are used once before one is used again: each stretch of that length is a permutation.
        for start in range(0, len(seeds), max(size, 1)):
            stretch = seeds[start : start + size]
            assert len(set(stretch)) == len(stretch)


def epoch_of(run, number=0):
    run.generator.manual_seed(number)
    return [batch.n_id[: batch.batch_size].tolist() for batch in run.loader]


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.7])
@pytest.mark.parametrize("alpha", [0, 0.1])
def test_steps_are_as_many_for_every_fraction(toy_graph, fraction, alpha):
    how = {"alpha": alpha, "batch_size": 8, "epoch_steps": 1, "width": 0.25}
    run = new_run(toy_graph, TrainingSettings(label_fraction=fraction, **how))
    batches = epoch_of(run)
    full = epoch_of(new_run(toy_graph, TrainingSettings(**how)))
    assert len(batches) == len(full) == math.ceil(75 / 8)
    visits = Counter(clip for batch in batches for clip in batch)
    known = {clip: visits[clip] for clip in range(75) if run.loader.data.y[clip] >= 0}
    assert sum(known.values()) == 80  # full batches
    assert max(known.values()) - min(known.values()) <= 1
    unlabelled = sum(visits.values()) - 80
    assert unlabelled == (80 if alpha else 0)  # a baseline cannot learn from them
    assert batches != epoch_of(run, 1)
    assert batches == epoch_of(run)


@pytest.mark.parametrize("fraction", [0.2, 1.0])
def test_an_epoch_has_no_fewer_steps_than_asked_for(toy_graph, fraction):
    how = {"label_fraction": fraction, "batch_size": 8, "width": 0.25}
    run = new_run(toy_graph, TrainingSettings(epoch_steps=23, **how))
    batches = epoch_of(run)
    assert len(batches) == len(run.loader) == 23
    visits = Counter(clip for batch in batches for clip in batch if run.loader.data.y[clip] >= 0)
    assert len(visits) == round(75 * fraction)
    assert sum(visits.values()) == 23 * 8
    assert max(visits.values()) - min(visits.values()) <= 1
    # Where all clips come anyway, each comes once: the last batch has the rest.
    for steps in (1, 10):
        once = epoch_of(new_run(toy_graph, TrainingSettings(epoch_steps=steps, **{**how, "label_fraction": 1.0})))
        assert [len(batch) for batch in once] == [8] * 9 + [3]
        assert sorted(clip for batch in once for clip in batch) == list(range(75))


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        *(({"method": method}, method != "baseline") for method in METHODS),
        *(({"method": method, "unlabelled_ratio": 0.0}, False) for method in METHODS),
        *(({"method": method, "alpha": 0}, False) for method in METHODS),
        ({"same_label": True}, False),
        ({"same_label": True, "method": "regress"}, True),
    ],
)
def test_unlabelled_seeds_come_where_they_are_of_use(toy_graph, changes, used):
    run = new_run(toy_graph, TrainingSettings(labelled_speakers=2, epoch_steps=3, width=0.25, **changes))
    assert any((batch.y[: batch.batch_size] < 0).any() for batch in run.loader) is used


WEIGHTS = torch.tensor([1.0, 3.0, 0.0, 6.0])


def weighted(weights, seed=0, labelled=3):
    """100 steps of 4 labelled clips from 0 on and 20 unlabelled ones from 10 on."""
    generator = torch.Generator().manual_seed(seed)
    return LabelledBatches(torch.arange(labelled), torch.arange(10, 14), weights, 100, 4, 5.0, generator)


def assert_often(found, n, share):
    """So often as no more than one of a million honest draws would fall short of or exceed."""
    low, high = binom.interval(1 - 1e-6, n, share)
    assert low <= found <= high


@pytest.mark.parametrize("seed", range(3))
def test_weights_say_how_often_unlabelled_clips_come(seed):
    batches = list(weighted(WEIGHTS, seed))
    drawn = Counter(clip for batch in batches for clip in batch[4:])
    assert sum(drawn.values()) == 2000
    for clip, share in zip(range(10, 14), (0.1, 0.3, 0.0, 0.6), strict=True):
        assert_often(drawn[clip], 2000, share)
    # Each is drawn alone: a step may have one twice, and how often differs from step to step.
    assert len({batch[4:].count(13) for batch in batches}) > 5
    # Of labelled clips nothing changes.
    assert [batch[:4] for batch in batches] == [batch[:4] for batch in weighted(None, seed)]


def test_weighted_draws_follow_the_generator_alone():
    state = torch.random.get_rng_state()
    one = list(weighted(WEIGHTS))
    torch.manual_seed(7)
    assert list(weighted(WEIGHTS)) == one
    assert list(weighted(2 * WEIGHTS)) == one  # in proportion
    assert list(weighted(WEIGHTS, seed=1)) != one
    batches = weighted(WEIGHTS)
    first, second = list(batches), list(batches)
    assert first == one != second
    batches.generator.manual_seed(0)
    assert list(batches) == one
    torch.random.set_rng_state(state)


def test_no_unlabelled_clip_needs_no_weight():
    nobody = torch.empty(0, dtype=torch.int64)
    batches = LabelledBatches(torch.arange(2), nobody, balance(nobody), 2, 3, 1.0)
    assert [len(batch) for batch in batches] == [3, 3]


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=60))
@examples(max_examples=50, deadline=None)
def test_speakers_weigh_the_root_of_their_clips(speakers):
    weights = balance(torch.tensor(speakers))
    assert weights.dtype == torch.float64
    for speaker, n in Counter(speakers).items():
        own = [weight for weight, one in zip(weights.tolist(), speakers, strict=True) if one == speaker]
        assert len(set(own)) == 1
        assert sum(own) == pytest.approx(math.sqrt(n))  # of n clips; 1 for all alike, n for all clips alike


def test_a_training_balances_the_speakers_of_its_unlabelled_clips(toy_graph):
    speaker = toy_graph.table["speaker"].to_numpy(object, copy=True)
    speaker[60:75] = "s3"  # who has 30 clips now, where speaker 2 has 15
    toy_graph.table = toy_graph.table.assign(speaker=speaker)
    toy_graph.y[30:75] = -1
    run = new_run(toy_graph, TrainingSettings(method="regress", epoch_steps=200, batch_size=8, width=0.25))
    seeds = [clip for batch in epoch_of(run) for clip in batch]
    unlabelled = Counter(toy_graph.speaker[clip].item() for clip in seeds if clip >= 30)
    assert set(unlabelled) == {2, 3}
    assert sum(unlabelled.values()) == 1600
    share = math.sqrt(15) / (math.sqrt(15) + math.sqrt(30))
    assert_often(unlabelled[2], 1600, share)
    for clip in range(30, 75):
        often = share / 15 if clip < 45 else (1 - share) / 30
        assert_often(seeds.count(clip), 1600, often)


def test_copies_are_drawn_but_make_no_epoch_longer(copied_graph, toy_graph):
    """As labelled clips where their originals are labelled, as unlabelled ones elsewhere; none of dev and test."""
    how = {"method": "regress", "label_fraction": 0.4, "batch_size": 8, "width": 0.25}
    run = new_run(copied_graph, TrainingSettings(epoch_steps=1, **how))
    assert len(run.loader) == len(new_run(toy_graph, TrainingSettings(epoch_steps=1, **how)).loader) == 10
    many = new_run(copied_graph, TrainingSettings(epoch_steps=400, **how))
    visits = Counter(clip for batch in epoch_of(many) for clip in batch)
    train = {*range(75), *range(120, 195)}
    assert set(visits) == train
    labelled = {clip for clip in train if many.loader.data.y[clip] >= 0}
    assert len(labelled) == 60
    assert {clip % 120 for clip in labelled} == {clip for clip in labelled if clip < 120}
    often = [visits[clip] for clip in labelled]
    assert max(often) - min(often) <= 1
