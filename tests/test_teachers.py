"""The benchmark of teachers and their adaptation: its steps, by hand, on a few clips."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.covariance import ledoit_wolf


@pytest.fixture(scope="module")
def teachers(load_benchmark):
    """benchmarks/teachers.py as a module."""
    return load_benchmark("teachers")


@pytest.fixture
def fold(teachers):
    """Makes a fold: embeddings and emotions by row, and which rows are what; all other masks are empty."""

    def make(emb, y, **masks):
        n = len(y)
        rows = {name: np.isin(np.arange(n), masks.get(name, [])) for name in teachers.Fold._fields[3:-1]}
        emb, y = np.array(emb, "float32"), np.array(y, "int64")
        return teachers.Fold(emb, y, np.arange(n), weight=np.ones(n, "float32"), **rows)

    return make


def corners(width, height, center):
    """Four clips at the ends of a cross; their covariance is diagonal, half of each square."""
    return np.array([[width, 0], [-width, 0], [0, height], [0, -height]]) + center


def test_coral_gives_the_source_mean_and_covariance_of_the_target(teachers, fold):
    source, target = corners(1, 1, (5, 5)), corners(4, 2, (1, 2))
    given = fold(np.concatenate([source, target]), [0] * 8, source=range(4), train=range(4, 8))
    found = teachers.coral(given).emb
    assert found[4:].tolist() == target.tolist()
    assert found[:4].mean(0) == pytest.approx([1, 2], abs=1e-5)
    assert np.cov(found[:4].T, bias=True) == pytest.approx(ledoit_wolf(target)[0], abs=1e-4)


def test_of_many_clips_the_covariance_is_the_plain_one(teachers, fold):
    source, target = (np.tile(part, (2000, 1)) for part in (corners(3, 1, 0.0), corners(4, 2, 0.0)))
    n = len(source)
    given = fold(np.concatenate([source, target]), [0] * 2 * n, source=range(n), train=range(n, 2 * n))
    found = teachers.coral(given).emb[:n]
    assert np.cov(found.T, bias=True) == pytest.approx(np.diag([8, 2]), rel=0.01, abs=0.01)


def test_labels_reach_along_edges_and_not_beyond(teachers):
    emb = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]).numpy()
    graph = teachers.edges(emb)
    weights = dict(zip(map(tuple, graph[0].T.tolist()), graph[1].tolist(), strict=True))
    assert weights[0, 1] == weights[3, 2] == 1  # the only neighbour that is near
    assert weights[0, 2] == 0
    y, known = torch.tensor([0, -1, 1, -1]), torch.tensor([True, False, True, False])
    found = teachers.spread("propagation", torch.zeros(4, 2), y, known, graph, 0.5)
    # (1 - a) (I - a S)^-1 of two joined clips, one labelled: 1 / (1 + a) and a / (1 + a)
    assert found.numpy() == pytest.approx(np.array([[2, 0], [1, 0], [0, 2], [0, 1]]) / 3, abs=1e-5)


def test_an_edge_of_one_side_runs_both_ways(teachers, monkeypatch):
    nearest, cosines = torch.tensor([[1], [2], [0]]), torch.tensor([[0.5], [0.25], [-1.0]])
    monkeypatch.setattr(teachers, "nearest_neighbours", lambda *_, **__: (nearest, cosines))
    pairs, weights = teachers.edges(np.eye(3, dtype="float32"))
    found = dict(zip(map(tuple, pairs.T.tolist()), weights.tolist(), strict=True))
    assert found.keys() == {(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)}
    # Degrees .5, .75 and .25: each cosine is divided by the root of both of its ends.
    assert found[0, 1] == found[1, 0] == pytest.approx(0.5 / (0.5 * 0.75) ** 0.5)
    assert found[1, 2] == found[2, 1] == pytest.approx(0.25 / (0.75 * 0.25) ** 0.5)
    assert found[0, 2] == found[2, 0] == 0


@pytest.mark.parametrize(("against", "group"), [("speaker", [0, 1, 2, 3]), ("corpus", [1, 1, 0, 0])])
def test_the_map_is_learnt_against_what_it_says(teachers, fold, monkeypatch, against, group):
    given, asked = fold(np.eye(4), [0, 1, 0, 1], source=[0, 1], train=[2, 3], known=[0, 1]), []
    monkeypatch.setattr(teachers, "mapped", lambda fold, group, strength: asked.append(group.tolist()) or fold.emb)
    assert len(list(teachers.adversarial(given, against))) == len(teachers.TURNED)
    assert asked == [group] * len(teachers.TURNED)


def test_neighbours_correct_what_the_probe_says(teachers):
    emb = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]], "float32")
    y, known = torch.tensor([0, -1, 1, -1]), torch.tensor([True, False, True, False])
    said = torch.tensor([[0.5, 0.5], [0.4, 0.6], [0.5, 0.5], [0.5, 0.5]])
    found = teachers.spread("correct and smooth", said, y, known, teachers.edges(emb), 0.5)
    assert found.argmax(1).tolist() == [0, 0, 1, 1]
    assert teachers.spread("self-training", said, y, known, teachers.edges(emb), 0.0) is said


def test_the_target_alone_knows_no_label_of_the_source(teachers, fold):
    given = fold(np.eye(4), [0, 1, 0, 1], source=[0, 1], train=[2, 3], known=[0, 1, 2])
    (found,) = teachers.METHODS[teachers.ALONE](given)
    assert np.flatnonzero(found.known).tolist() == [2]


def test_self_training_labels_the_training_clips_only(teachers, fold):
    emb = [[3, 0], [-3, 0], [2, 1], [-2, 1], [2, -1], [-2, -1]]
    given = fold(emb, [0, 1, 1, 0, 0, 1], known=[0, 1], train=[0, 1, 2, 3], dev=[4, 5])
    for by in teachers.SELF_TRAINED:
        variants = list(teachers.self_training(given, by))
        assert variants
        for found in variants:
            assert found.y.tolist() == [0, 1, 0, 1, 0, 1]  # not the true ones of clips 2 and 3
            assert found.known.tolist() == [True] * 4 + [False] * 2
            assert (found.weight[[0, 1, 4, 5]] == 1).all()
            assert ((found.weight[2:4] > 0.5) & (found.weight[2:4] <= 1)).all()


def test_agreement_counts_edges_into_the_seeds(teachers, fold, monkeypatch):
    given = fold([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], [0, 0, 0, 1], train=[0, 1, 2], source=[3], known=[3])
    nearest = torch.tensor([[1], [0], [3], [2]])
    monkeypatch.setattr(teachers, "nearest_neighbours", lambda *_, **__: (nearest, None))
    found = teachers.agreement(given, given.train)
    assert found["same_emotion"] == pytest.approx(2 / 3)
    assert found["chance_emotion"] == pytest.approx(6 / 9)  # of three seeds with three others each
    assert found["same_corpus"] == pytest.approx(2 / 3)
    assert found["same_speaker"] == 0


def test_the_learnt_map_brings_corpora_nearer(teachers, fold):
    y, source, rows = np.tile([0, 1], 100), np.repeat([1, 0], 100), np.arange(200)
    emb = np.random.default_rng(0).normal(size=(200, 64))
    emb[:, 0] += 3 * y
    emb[:, 1] += 3 * source
    given = fold(emb, y, source=rows[:100], train=rows[100:], known=rows[:100])

    def apart(strength):
        found = teachers.mapped(given, torch.from_numpy(source), strength)
        return np.linalg.norm(found[:100].mean(0) - found[100:].mean(0)) / found.std()

    assert apart(1.0) < 0.9 * apart(0.0)


def test_the_variant_is_the_best_on_dev(teachers, fold, monkeypatch):
    given = fold(np.eye(4), [0, 1, 0, 1], train=[0, 1], dev=[2], test=[3], known=[0, 1])
    variants = [given._replace(emb=given.emb * scale) for scale in (1, 2, 3)]
    says = {1: (0.4, 0), 2: (0.9, 1), 3: (0.6, 0)}  # of each variant: UAR on dev, the emotion of every clip
    monkeypatch.setitem(teachers.METHODS, "three", lambda _: variants)
    monkeypatch.setattr(teachers, "agreement", lambda *_: {})

    def probe(variant):
        dev, emotion = says[int(variant.emb.max())]
        return dev, np.eye(2)[[emotion] * 4]

    monkeypatch.setattr(teachers, "probe", probe)
    table = pd.DataFrame(
        {"emotion": ["anger", "fear"] * 2, "speaker": list("abcd")}, [f"{n}.wav" for n in range(4)]
    )
    found = teachers.measure(table, "three", iter([given]))
    assert found[["predicted", "dev"]].values.tolist() == [["fear", 0.9]]


def test_each_fold_is_said_by_the_method_that_dev_prefers(teachers):
    def said(name, *devs):
        return pd.DataFrame({"predicted": name, "fold": [0, 1], "dev": devs}, ["0.wav", "1.wav"])

    cells = {"a": said("a", 0.5, 0.5), "b": said("b", 0.5, 0.6)}
    assert teachers.chosen(cells)["predicted"].tolist() == ["a", "b"]


def test_a_study_is_stored_and_not_done_again(teachers, tmp_path, monkeypatch):
    rows = list(product("abcxy", ("fear", "joy"), range(6)))
    files = pd.Index(["-".join(map(str, row)) for row in rows], name="file")
    table = pd.DataFrame(rows, files, ["speaker", "emotion", "take"]).assign(gender="female", split="train")
    table["source"] = table["speaker"].isin(["x", "y"])
    emb = torch.randn(len(table), 4, generator=torch.Generator().manual_seed(0))
    emb += 3 * torch.tensor((table["emotion"] == "joy").to_numpy())[:, None]
    monkeypatch.setattr(teachers, "LABELS", (1.0, 0.2, 0.0))
    monkeypatch.setattr(teachers, "STRENGTHS", (1e-2,))
    monkeypatch.setattr(teachers, "STEPS", 5)
    found = teachers.study(table, {"4": emb}, tmp_path, ["4, centred"], None, None)
    assert all(f"| {method} |" in found for method in [*teachers.METHODS, teachers.CHOSEN])
    stored = pd.read_csv(tmp_path / "teachers.csv")
    zero = stored[(stored["labels"] == 0) & (stored["method"] == teachers.TOGETHER)]
    assert (zero["uar"] > 0.8).all()
    monkeypatch.setattr(teachers, "measure", None)
    assert teachers.study(table, {"4": emb}, tmp_path, ["4, centred"], None, None) == found
