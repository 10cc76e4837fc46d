import numpy as np
import pytest
import torch

from ser_graph.analysis import near_duplicates


@pytest.fixture
def copied(toy_graph):
    """Clip 100 (test) is clip 7 (train), clip 9 is clip 8 with another gain and a little noise."""
    toy_graph.emb[100], toy_graph.x[100] = toy_graph.emb[7], toy_graph.x[7]
    noise = torch.randn(31, 64, generator=torch.Generator().manual_seed(0))
    toy_graph.emb[9], toy_graph.x[9] = toy_graph.emb[8] + 1e-4, (toy_graph.x[8].float() + 3 + 0.1 * noise).half()
    return toy_graph


def test_copies_are_found_and_others_are_not(copied):
    pairs = near_duplicates(copied)
    files = copied.table.index
    assert pairs[["file", "other"]].to_numpy().tolist() == [[files[7], files[100]], [files[8], files[9]]]
    assert pairs["identical"].tolist() == [True, False]
    assert pairs[["split", "other_split"]].to_numpy().tolist() == [["train", "test"], ["train", "train"]]
    a, b = copied.x[[8, 9]].double().flatten(1).numpy()
    assert pairs["correlation"].tolist() == pytest.approx([1, np.corrcoef(a, b)[0, 1]], abs=1e-5)
    assert pairs["similarity"].tolist() == pytest.approx([1, 1], abs=1e-6)


def test_the_threshold_is_one_of_correlation(copied):
    assert len(near_duplicates(copied, threshold=1.01)) == 1  # the identical one stays
    assert len(near_duplicates(copied, threshold=-1)) > 20


def test_the_order_of_clips_plays_no_part(copied):
    found = {frozenset(pair) for pair in near_duplicates(copied)[["file", "other"]].to_numpy().tolist()}
    order = torch.randperm(120, generator=torch.Generator().manual_seed(1))
    copied.emb, copied.x, copied.table = copied.emb[order], copied.x[order], copied.table.iloc[order.numpy()]
    assert {frozenset(pair) for pair in near_duplicates(copied)[["file", "other"]].to_numpy().tolist()} == found


def test_silence_is_identical_to_silence_alone(make_graph):
    x = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))
    x[:2], x[2] = -20.0, -19.0
    pairs = near_duplicates(make_graph([], "aaaaaa", x=x, emb=torch.ones(6, 3)))
    assert pairs[["file", "other", "identical"]].to_numpy().tolist() == [["0.wav", "1.wav", True]]
