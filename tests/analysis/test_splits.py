import numpy as np
import torch

from ser_graph.analysis import leakage


def test_by_hand(make_graph):
    x = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))
    x[4] = x[0]
    emb = torch.eye(6)
    emb[4] = emb[0]
    data = make_graph(
        [(0, 2), (2, 0), (1, 0), (5, 2)],
        "aaaaaa",
        split=["train", "train", "dev", "dev", "test", "_"],
        speaker="stsuv_",
        sentence="111_2_",
        emb=emb,
        x=x,
    )
    table = leakage(data)
    assert list(table.index) == [("train", "dev"), ("train", "test"), ("dev", "test")]
    assert table["shared_speakers"].tolist() == [1, 0, 0]
    assert table["shared_sentences"].tolist() == [1, 0, 0]
    assert table["identical"].tolist() == [0, 1, 0]
    assert table["near_identical"].tolist() == [0, 0, 0]
    assert table["edges"].tolist() == [2, 0, 0]


def test_what_is_unknown_is_nan(toy_graph):
    table = leakage(toy_graph)
    assert table["shared_sentences"].isna().all()
    assert table.drop(columns="shared_sentences").to_numpy().tolist() == np.zeros((3, 4)).tolist()
    toy_graph.speaker[:] = -1
    assert leakage(toy_graph)["shared_speakers"].isna().all()


def test_one_split_leaks_into_none(make_graph):
    assert leakage(make_graph([(0, 1)], "ab")).empty
