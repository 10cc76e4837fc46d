"""Copies at other speeds are there to train on: no figure counts them."""

import pandas as pd
import pytest
import torch

from ser_graph.analysis import (
    bridge_clips,
    communities,
    degree_distribution,
    format_report,
    graph_card,
    graph_report,
    graph_statistics,
    leakage,
    near_duplicates,
    nodes_in_scope,
    score_clips,
    subgraph_statistics,
)
from ser_graph.analysis.duplicates import nearest_clips
from ser_graph.evaluation.probes import label_propagation, teacher_probe


@pytest.mark.parametrize("scope", ["train", "train+dev", "all"])
def test_statistics_of_the_graph_are_those_without_copies(toy_graph, copied_graph, scope):
    for data in (toy_graph, copied_graph):
        data.meta = data.meta.replace(settings=data.meta.settings.replace(scope=scope))
    assert not nodes_in_scope(copied_graph)[120:].any()
    pd.testing.assert_series_equal(graph_statistics(copied_graph), graph_statistics(toy_graph))
    assert graph_statistics(copied_graph)["n_clips"] == 120
    for make in (degree_distribution, subgraph_statistics, bridge_clips, leakage, near_duplicates):
        pd.testing.assert_frame_equal(make(copied_graph), make(toy_graph))
    pd.testing.assert_series_equal(communities(copied_graph), communities(toy_graph))
    card, plain = (graph_card(data, n_permutations=20) for data in (copied_graph, toy_graph))
    for name in ("word", "same_emotion", "same_speaker", "unlabelled", "coverage"):
        assert card[name] == plain[name]


@pytest.mark.parametrize("how", [{}, {"by": "speaker", "n_neighbors": 3}], ids=str)
def test_no_copy_confirms_a_label_nor_has_a_score(toy_graph, copied_graph, how):
    """A clip of a wrong label would have copies of it for its neighbours."""
    copied_graph.emb[120:] = copied_graph.emb[:120]
    copied_graph.x[120:] = copied_graph.x[:120]
    found, plain = score_clips(copied_graph, **how), score_clips(toy_graph, **how)
    pd.testing.assert_frame_equal(found[: len(plain)], plain)
    copies = found[len(plain) :]
    assert sorted(copies.index) == sorted(copied_graph.table.index[120:])
    assert copies[["label_score", "outlier_score", "suggested", "near_duplicate_of"]].isna().all(axis=None)
    assert (copies[["hub_score", "near_duplicate_score"]] == 1).all(axis=None)
    assert near_duplicates(copied_graph).equals(near_duplicates(toy_graph))


def test_the_nearest_are_originals_in_whatever_order(toy_graph, copied_graph):
    order = torch.randperm(240, generator=torch.Generator().manual_seed(0))
    ids, similarity = nearest_clips(copied_graph, 5)
    expected = nearest_clips(toy_graph, 5)
    assert torch.equal(ids[:120], expected[0])
    assert torch.equal(similarity[:120], expected[1])
    assert (ids[120:] == -1).all() and similarity[120:].isneginf().all()
    copied_graph.table, copied_graph.emb = copied_graph.table.iloc[order.numpy()], copied_graph.emb[order]
    mixed, _ = nearest_clips(copied_graph, 5)
    place = order.argsort()
    assert torch.equal(order[mixed[place[:120]]], ids[:120])
    assert (mixed[place[120:]] == -1).all()
    few, _ = nearest_clips(copied_graph, 500)
    assert few.shape == (240, 119)


def test_a_recording_that_leaks_is_found_beside_copies(toy_graph, copied_graph):
    for data in (toy_graph, copied_graph):
        data.emb[100], data.x[100] = data.emb[3], data.x[3]
    found = leakage(copied_graph)
    pd.testing.assert_frame_equal(found, leakage(toy_graph))
    assert found.loc[("train", "test"), "identical"] == 1


def test_the_report(toy_graph, copied_graph):
    report, plain = (graph_report(data, n_permutations=20, progress=False) for data in (copied_graph, toy_graph))
    for name in ("statistics", "degrees", "subgraphs", "mixing", "bridge_pairs", "near_duplicates", "leakage"):
        assert report[name].equals(plain[name]), name
    assert len(report["scores"]) == 240
    assert report["scores"].iloc[:120].equals(plain["scores"])
    assert "@" not in format_report(report)


@pytest.mark.parametrize("method", [teacher_probe, label_propagation])
def test_probes_learn_from_originals(toy_graph, copied_graph, method):
    found, plain = method(copied_graph), method(toy_graph)
    pd.testing.assert_frame_equal(found, plain, atol=1e-6)
    assert found.attrs == plain.attrs
    assert found.attrs["n_labels"] == 75
    every = torch.ones(240, dtype=torch.bool) & ~copied_graph.test_mask
    assert method(copied_graph, label_mask=every, split="test").attrs["n_labels"] == 90
