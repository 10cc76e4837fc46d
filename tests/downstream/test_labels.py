import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings as examples, strategies as st

from ser_graph.downstream.labels import labelled_nodes, training_nodes
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph
from ser_graph.graph.meta import GraphMeta


def of(data, **changes):
    return labelled_nodes(data, **changes).nonzero()[:, 0]


@given(
    low=st.floats(0.001, 1),
    high=st.floats(0.001, 1),
    seed=st.integers(0, 50),
    protocol=st.sampled_from(["clean", "paper"]),
)
@examples(max_examples=40, deadline=None)
def test_fractions_are_stratified_spread_and_nested(_toy_graph, low, high, seed, protocol):
    data, (low, high) = _toy_graph, sorted((low, high))
    small, large = (
        labelled_nodes(data, label_fraction=share, label_seed=seed, protocol=protocol) for share in (low, high)
    )
    assert not (small & ~large).any()
    training = data.train_mask | data.val_mask if protocol == "paper" else data.train_mask
    assert not (large & ~training).any()
    for emotion in range(3):
        of_all, chosen = (mask & (data.y == emotion) for mask in (training, small))
        n = int(chosen.sum())
        assert n == 1 or abs(n - low * int(of_all.sum())) <= 0.5 + 1e-9
        # All speakers have equally many clips of an emotion here, so none gives two more than another.
        per_speaker = data.speaker[chosen].bincount(minlength=8)[data.speaker[training].unique()]
        assert per_speaker.max() - per_speaker.min() <= 1
    speakers = data.speaker[small].bincount(minlength=8)[data.speaker[training].unique()]
    if int(small.sum()) == 3:
        assert speakers.max() == 1  # one clip of each emotion, each of another speaker


def test_all_labels_are_all_labels(toy_graph):
    toy_graph.y[[3, 80, 100]] = -1
    expected = [clip for clip in range(75) if clip != 3]
    assert of(toy_graph).tolist() == expected
    assert of(toy_graph, protocol="paper").tolist() == [*expected, *(set(range(75, 90)) - {80})]


def test_seeds_draw_other_labels(toy_graph):
    draws = {tuple(of(toy_graph, label_fraction=0.2, label_seed=seed).tolist()) for seed in range(5)}
    assert len(draws) == 5
    # Over many seeds every clip is drawn about as often as any other: 20 times of 100.
    often = sum(labelled_nodes(toy_graph, label_fraction=0.2, label_seed=seed).int() for seed in range(100))[:75]
    assert int(often.min()) > 5
    assert int(often.max()) < 40


@pytest.mark.parametrize("seed", range(3))
def test_speakers_are_nested_and_whole(toy_graph, seed):
    before: set[int] = set()
    for n in range(1, 6):
        chosen = labelled_nodes(toy_graph, labelled_speakers=n, label_seed=seed)
        speakers = set(toy_graph.speaker[chosen].tolist())
        assert len(speakers) == n
        assert speakers > before
        assert torch.equal(chosen, toy_graph.train_mask & torch.isin(toy_graph.speaker, torch.tensor([*speakers])))
        before = speakers
    both = labelled_nodes(toy_graph, labelled_speakers=2, label_fraction=0.4, label_seed=seed)
    assert int(both.sum()) == 12  # of 30 clips
    assert not (both & ~labelled_nodes(toy_graph, labelled_speakers=2, label_seed=seed)).any()


def joined(data, order):
    """The same clips in another order, among clips of another corpus that have no label."""
    n = len(order)
    table = data.table.iloc[order].rename(index=lambda file: f"toy/{file}")
    other = data.table.iloc[:30].rename(index=lambda file: f"other/{file}").assign(emotion=None)
    other["speaker"] = "other/" + other["speaker"]
    graph = ClipGraph(num_nodes=n + 30)
    graph.meta = GraphMeta(names={"emotion": ["aversion"]})  # one more emotion, before the others
    graph.table = pd.concat([table, other])
    return graph


@pytest.mark.parametrize("changes", [{"label_fraction": 0.1}, {"labelled_speakers": 2, "label_fraction": 0.3}])
def test_the_choice_goes_by_name_not_by_order_nor_by_company(toy_graph, changes):
    order = np.random.default_rng(0).permutation(120)
    graph = joined(toy_graph, order)
    assert {graph.table.index[clip].removeprefix("toy/") for clip in of(graph, **changes).tolist()} == {
        toy_graph.table.index[clip] for clip in of(toy_graph, **changes).tolist()
    }


def test_clips_of_unknown_speakers_are_nobodys(toy_graph):
    toy_graph.speaker[:15] = -1
    assert set(toy_graph.speaker[of(toy_graph, labelled_speakers=4)].tolist()) == {1, 2, 3, 4}
    with pytest.raises(
        InputError, match=r"^Bad labelled_speakers 5, expected at most 4, the number of training speakers"
    ):
        labelled_nodes(toy_graph, labelled_speakers=5)
    assert (toy_graph.speaker[of(toy_graph, label_fraction=0.4)] == -1).any()


def test_mistakes(toy_graph, relabel):
    with pytest.raises(InputError, match=r"^Bad setting 'fraction', expected one of"):
        labelled_nodes(toy_graph, fraction=0.1)
    relabel(toy_graph, (toy_graph.y == 2) & (toy_graph.speaker > 0), 0)  # sadness of one speaker only
    seeds = range(20)
    lacking = []
    for seed in seeds:
        try:
            labelled_nodes(toy_graph, labelled_speakers=1, label_seed=seed)
        except InputError as error:
            lacking.append(str(error))
    assert 10 <= len(lacking) < 20
    assert lacking[0].endswith("have no clip of sadness; take more speakers or another label_seed")
    assert of(toy_graph, labelled_speakers=5).tolist() == list(range(75))
    toy_graph.y[:75] = -1
    with pytest.raises(InputError, match="No labelled training clip"):
        labelled_nodes(toy_graph, label_fraction=0.5)


@pytest.mark.parametrize("protocol", ["clean", "paper"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_fraction": 0.2},
        {"label_fraction": 0.01},
        {"labelled_speakers": 2},
        {"labelled_speakers": 3, "label_fraction": 0.5, "label_seed": 4},
    ],
    ids=str,
)
def test_a_copy_has_a_label_where_its_original_has(toy_graph, copied_graph, changes, protocol):
    """Which ones is the same with and without copies; copies of dev and test are neither known nor learnt from."""
    plain = labelled_nodes(toy_graph, protocol=protocol, **changes)
    found = labelled_nodes(copied_graph, protocol=protocol, **changes)
    assert torch.equal(found[:120], plain)
    assert torch.equal(found[120:], plain & toy_graph.train_mask)
    trained = training_nodes(copied_graph, protocol)
    assert torch.equal(trained[:120], training_nodes(toy_graph, protocol))
    assert torch.equal(trained[120:], toy_graph.train_mask)
    assert not (found & ~trained).any()


@pytest.mark.parametrize("changes", [{"label_fraction": 0.2}, {"labelled_speakers": 2}])
def test_the_labels_of_copies_do_not_go_by_the_order_of_rows(copied_graph, changes):
    order = np.random.default_rng(3).permutation(240)
    other = ClipGraph(
        **{name: copied_graph[name][order] for name in ("y", "speaker", "train_mask", "val_mask", "test_mask")},
        num_nodes=240,
    )
    other.table, other.meta = copied_graph.table.iloc[order], copied_graph.meta
    one, two = (set(data.table.index[labelled_nodes(data, **changes).numpy()]) for data in (copied_graph, other))
    assert one == two
    assert len(one) == 2 * len([file for file in one if "@" not in file])


def test_copies_of_clips_without_an_emotion_have_none(copied_graph):
    copied_graph.y[[3, 123]] = -1
    found = labelled_nodes(copied_graph)
    assert not found[[3, 123]].any()
    assert int(found.sum()) == 148
    copied_graph.y[:120] = -1  # a label of copies alone is none
    with pytest.raises(InputError, match="No labelled training clip"):
        labelled_nodes(copied_graph)
