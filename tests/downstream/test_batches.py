import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.batches import LabelledBatches
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
    batches = LabelledBatches(labelled, unlabelled, steps, batch_size, ratio, torch.Generator().manual_seed(0))
    drawn = list(batches)
    assert len(drawn) == len(batches) == steps
    for batch in drawn:
        assert sum(seed < 100 for seed in batch) == batch_size
        assert all(seed < 100 for seed in batch[:batch_size])
        assert len(batch) - batch_size == (round(ratio * batch_size) if n_unlabelled else 0)
    for lower, upper in ((0, 100), (100, 200)):
        seeds = [seed for batch in drawn for seed in batch if lower <= seed < upper]
        size = n_labelled if lower == 0 else n_unlabelled
        # All come once before one comes again: each stretch of that length is a permutation.
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
