"""Estimators of scikit-learn: its own checks, brute force, and the functions of the library as oracles."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from ser_graph.errors import InputError
from ser_graph.evaluation import teacher_probe
from ser_graph.graph.estimators import NeighbourTransformer, NeighbourVote, TeacherProbe
from ser_graph.graph.neighbours import nearest_neighbours


@parametrize_with_checks([TeacherProbe(), NeighbourVote(), NeighbourTransformer(min_similarity=0.1)])
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    return rng.normal(size=(3, 16))[y] + 0.8 * rng.normal(size=(90, 16)), np.array(["anger", "fear", "joy"])[y]


def test_the_search_finds_the_neighbours_of_the_graph(clips):
    X, _ = clips
    made = NeighbourTransformer(n_neighbors=6, min_similarity=-1).fit_transform(X)
    ids, similarity = nearest_neighbours(torch.from_numpy(X).float(), 5)
    for row in range(len(X)):
        columns = made[[row]].tocoo().col.tolist()
        assert set(columns) == {row, *ids[row].tolist()}
    np.testing.assert_allclose(np.sort(made.data.reshape(90, 6))[:, :5], similarity.flip(1).numpy(), atol=1e-5)


def test_the_vote_is_that_of_scikit_learn_with_weights(clips):
    X, y = clips
    ours = NeighbourVote(n_neighbors=7, min_similarity=-1).fit(X[:60], y[:60])
    theirs = KNeighborsClassifier(7, metric="cosine", weights=lambda distance: (1 - distance).clip(0))
    np.testing.assert_allclose(ours.predict_proba(X[60:]), theirs.fit(X[:60], y[:60]).predict_proba(X[60:]))


def test_rows_without_a_voter_get_the_frequencies():
    vote = NeighbourVote(n_neighbors=3, min_similarity=0.9).fit([[1, 0], [1, 0.1], [0, 1]], ["a", "a", "b"])
    np.testing.assert_allclose(vote.predict_proba([[-1.0, 0.0], [0.0, 1.0]]), [[2 / 3, 1 / 3], [0, 1]])


def test_the_probe_is_the_teacher_probe(toy_graph):
    emb, y = toy_graph.emb.double().numpy(), toy_graph.table["emotion"].to_numpy()
    expected = teacher_probe(toy_graph, split="test")
    train, test = toy_graph.train_mask.numpy(), toy_graph.test_mask.numpy()
    probe = TeacherProbe(strength=expected.attrs["strength"]).fit(emb[train], y[train])
    found = probe.predict_proba(emb[test])
    np.testing.assert_allclose(found, expected[[f"p_{emotion}" for emotion in probe.classes_]], atol=1e-6)


def test_they_work_in_pipelines_and_searches(clips):
    X, y = clips
    assert cross_val_score(NeighbourVote(), X, y, cv=3).mean() > 0.6
    search = GridSearchCV(TeacherProbe(), {"strength": [1e-3, 1.0]}, cv=3).fit(X, y)
    assert search.best_params_["strength"] in (1e-3, 1.0)
    pipeline = make_pipeline(NeighbourTransformer(n_neighbors=5), clone(NeighbourVote()))
    assert pipeline[0].fit_transform(X).shape == (90, 90)


def test_a_bad_number_of_neighbours():
    for estimator in (NeighbourVote(n_neighbors=0), NeighbourTransformer(n_neighbors=0)):
        with pytest.raises(InputError, match="Bad n_neighbors 0, expected at least 1"):
            estimator.fit([[1.0], [2.0]], ["a", "b"])
