import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from ser_graph.analysis import near_duplicates, score_clips

SCORES = ["label_score", "outlier_score", "hub_score", "near_duplicate_score"]


@pytest.fixture
def angles(make_graph):
    """A graph of clips whose embeddings point in directions given in degrees."""

    def make(degrees, emotion, **columns):
        turned = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
        return make_graph([], emotion, emb=torch.stack([turned.cos(), turned.sin()], 1).float(), **columns)

    return make


def test_label_scores_by_hand(angles):
    data = angles([0, 1, 3, 90, 92, 93, 180], "aab_bc_")
    table = score_clips(data, n_neighbors=2)
    score, suggested = table["label_score"], table["suggested"]
    # 0: a and b, one each: a tie, which is the given label's. 1: a and b likewise. 2: a and a, not b.
    assert score[["0.wav", "1.wav", "2.wav"]].tolist() == [0.5, 0.5, 0.0]
    assert suggested[["0.wav", "1.wav", "2.wav"]].tolist() == ["a", "a", "a"]
    # 4 (b): c and one unknown, which has no vote. 3 is unknown itself: no score, but a suggestion.
    assert score["4.wav"] == 0.0 and suggested["4.wav"] == "c"
    assert np.isnan(score["3.wav"]) and suggested["3.wav"] in ("b", "c")
    assert table.index[-2:].isin(["3.wav", "6.wav"]).all()
    assert score.dropna().is_monotonic_increasing


def test_scores_are_those_of_brute_force(toy_graph):
    rng = np.random.default_rng(0)
    emotion = toy_graph.table["emotion"].to_numpy(object, copy=True)
    emotion[rng.choice(120, 30, replace=False)] = rng.choice([np.nan, *toy_graph.emotions], 30)
    toy_graph.table = toy_graph.table.assign(emotion=emotion)
    table = score_clips(toy_graph, n_neighbors=7).loc[toy_graph.table.index]
    index = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(toy_graph.emb.double().numpy())
    distances, ids = index.kneighbors()  # without the clips themselves
    mean = distances.mean(1)
    y = toy_graph.y.numpy()
    for clip, row in enumerate(table.itertuples()):
        votes = np.bincount(y[ids[clip]][y[ids[clip]] >= 0], minlength=3)
        margin = votes[y[clip]] - np.delete(votes, y[clip]).max()
        expected = (margin / votes.sum() + 1) / 2 if y[clip] >= 0 else np.nan
        assert row.label_score == pytest.approx(expected, nan_ok=True)
        assert votes[toy_graph.emotions.index(row.suggested)] == votes.max()
    assert table["outlier_score"].to_numpy() == pytest.approx(np.exp(-mean / np.median(mean)), rel=0.03)
    times = np.bincount(ids.ravel(), minlength=120)
    assert table["hub_score"].to_numpy() == pytest.approx(np.minimum(1, 7 / np.maximum(times, 1)))
    assert table["hub_score"].min() < 0.7


def test_a_wrong_label_comes_first_in_every_split(toy_graph):
    true = toy_graph.table["emotion"]
    wrong = true.copy()
    wrong.iloc[[4, 110]] = "anger"  # they are fear and sadness
    toy_graph.table = toy_graph.table.assign(emotion=wrong)
    table = score_clips(toy_graph)
    assert set(table.index[:2]) == set(true.index[[4, 110]])
    assert (table["suggested"] == true[table.index]).all()
    assert (table["emotion"] != true[table.index]).sum() == 2


def test_an_outlier_and_a_hub_are_low(angles):
    around = [*range(0, 20, 2), 120]
    outlier = score_clips(angles(around, "a" * 11), n_neighbors=3)["outlier_score"]
    assert outlier.idxmin() == "10.wav" and outlier.min() < 0.01
    emb = torch.cat([10 * torch.eye(8), torch.ones(1, 8)])  # the last is in the middle of all others
    data = angles([0] * 9, "a" * 9)
    data.emb = emb
    hub = score_clips(data, n_neighbors=1)["hub_score"]
    assert hub["8.wav"] == pytest.approx(1 / 8)
    assert (hub.drop("8.wav") == 1).all()


def test_duplicates_point_at_each_other(toy_graph):
    toy_graph.emb[100], toy_graph.x[100] = toy_graph.emb[7], toy_graph.x[7]
    files = toy_graph.table.index
    table = score_clips(toy_graph)
    assert table["near_duplicate_of"].dropna().to_dict() == {files[7]: files[100], files[100]: files[7]}
    assert table.loc[files[[7, 100]], "near_duplicate_score"].tolist() == [0, 0]
    assert (table["near_duplicate_score"].drop(files[[7, 100]]) == 1).all()
    assert score_clips(toy_graph, duplicates=near_duplicates(toy_graph)).equals(table)


def test_edges_and_scope_play_no_part(toy_graph):
    table = score_clips(toy_graph)
    toy_graph.edge_index, toy_graph.edge_weight = torch.empty(2, 0, dtype=torch.int64), torch.empty(0)
    toy_graph.meta = toy_graph.meta.replace(settings=toy_graph.meta.settings.replace(scope="all"))
    assert score_clips(toy_graph).equals(table)
    assert table[SCORES].min().min() >= 0 and table[SCORES].max().max() <= 1
    assert sorted(table.index) == sorted(toy_graph.table.index)
