import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.batches import LabelledBatches, PartitionBatches
from ser_graph.downstream.labels import labelled_nodes
from ser_graph.downstream.training import _Run


def new_run(data, settings):
    return _Run(data, data.train_mask, labelled_nodes(data, settings), settings, torch.device("cpu"))


@given(
    n_labelled=st.integers(1, 20),
    n_unlabelled=st.integers(0, 20),
    more=st.integers(0, 40),
    batch_size=st.integers(1, 9),
    ratio=st.sampled_from([0, 0.3, 1, 2.5]),
)
@examples(max_examples=60, deadline=None)
def test_an_epoch(n_labelled, n_unlabelled, more, batch_size, ratio):
    n_seeds = n_labelled + more
    labelled, unlabelled = torch.arange(n_labelled), 100 + torch.arange(n_unlabelled)
    batches = LabelledBatches(labelled, unlabelled, n_seeds, batch_size, ratio, torch.Generator().manual_seed(0))
    drawn = list(batches)
    assert len(drawn) == len(batches) == math.ceil(n_seeds / batch_size)
    for number, batch in enumerate(drawn):
        n = sum(seed < 100 for seed in batch)
        assert n == min(batch_size, n_seeds - number * batch_size)
        assert all(seed < 100 for seed in batch[:n])
        assert len(batch) - n == (round(ratio * n) if n_unlabelled else 0)
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
    settings = TrainingSettings(label_fraction=fraction, alpha=alpha, batch_size=8)
    run = new_run(toy_graph, settings)
    batches = epoch_of(run)
    full = epoch_of(new_run(toy_graph, TrainingSettings(alpha=alpha, batch_size=8)))
    assert len(batches) == len(full) == math.ceil(75 / 8)
    visits = Counter(clip for batch in batches for clip in batch)
    known = {clip: visits[clip] for clip in range(75) if run.loader.data.y[clip] >= 0}
    assert sum(known.values()) == 75
    assert max(known.values()) - min(known.values()) <= 1
    unlabelled = sum(visits.values()) - 75
    assert unlabelled == (75 if alpha else 0)  # a baseline cannot learn from them
    assert batches != epoch_of(run, 1)
    assert batches == epoch_of(run)


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({"alpha": 0.1}, True),
        ({"alpha": 0.1, "same_label": True}, False),
        ({"alpha": 0.1, "same_label": True, "regression": 1}, True),
        ({"similarity": 1}, True),
        ({"regression": 1}, True),
        ({"posteriors": 1}, True),
        ({"posteriors": 1, "unlabelled_ratio": 0}, False),
        ({}, False),
    ],
)
def test_unlabelled_seeds_come_where_they_are_of_use(toy_graph, changes, used):
    run = new_run(toy_graph, TrainingSettings(**{"alpha": 0, "labelled_speakers": 2, **changes}))
    assert any((batch.y[: batch.batch_size] < 0).any() for batch in run.loader) is used


@given(
    part=st.lists(st.integers(0, 6), min_size=1, max_size=30),
    parts_per_batch=st.integers(1, 4),
)
@examples(max_examples=60, deadline=None)
def test_batches_of_whole_parts(part, parts_per_batch):
    part = torch.tensor(part).unique(return_inverse=True)[1]
    batches = PartitionBatches(part, parts_per_batch, torch.Generator().manual_seed(0))
    drawn = list(batches)
    assert sorted(seed for batch in drawn for seed in batch) == list(range(len(part)))
    inside = [set(part[batch].tolist()) for batch in drawn]
    assert len(drawn) == len(batches)
    assert [len(one) for one in inside[:-1]] == [parts_per_batch] * (len(drawn) - 1)
    assert sum(len(one) for one in inside) == len(part.unique())
    if len(drawn) > 3:
        assert list(batches) != drawn  # another order in the next epoch
