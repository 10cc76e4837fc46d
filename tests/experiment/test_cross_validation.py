import copy

import numpy as np
import pandas as pd
import pytest
import torch

from ser_graph.corpora import originals, with_copies
from ser_graph.downstream import TrainingSettings
from ser_graph.errors import InputError
from ser_graph.evaluation import evaluate
from ser_graph.experiment import cross_validation
from ser_graph.experiment.cross_validation import cross_validate
from ser_graph.graph import build_graph

TRAINING = {"epochs": 1, "epoch_steps": 1, "batch_size": 60, "precision": "float32"}
QUICK = {**TRAINING, "progress": False, "device": "cpu"}


@pytest.fixture
def four_speakers(toy_graph):
    """60 clips of the toy graph, in an order that mixes the speakers."""
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    table = toy_graph.table.iloc[order.numpy()]
    table = table.assign(split=np.where(table["speaker"] == "s3", "test", "train"))
    x = toy_graph.x[order] + toy_graph.speaker[order][:, None, None]  # speakers differ in their mean
    emb, features = toy_graph.emb[order], toy_graph.meta.features
    return build_graph(table, emb=emb, x=x, epsilon=0.9, n_neighbors=3, features=features)


@pytest.fixture
def watched(monkeypatch):
    """The graph and the student of every training."""
    seen, train = [], cross_validation.train

    def watch(data, *args, **kwargs):
        student = train(data, *args, **kwargs)
        seen.append((data, student))
        return student

    monkeypatch.setattr(cross_validation, "train", watch)
    return seen


@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_no_fold_has_seen_whom_it_is_tested_on(four_speakers, watched, protocol):
    found = cross_validate(four_speakers, protocol=protocol, normalise="corpus", **QUICK)
    assert found.folds.index.tolist() == ["s0", "s1", "s2", "s3"]
    clean = protocol == "clean"
    assert found.folds["dev_speakers"].tolist() == (["s1", "s2", "s3", "s0"] if clean else [None] * 4)
    speakers = four_speakers.table["speaker"].to_numpy()
    for (graph, student), (speaker, row) in zip(watched, found.folds.iterrows(), strict=True):
        held_out = {speaker, row["dev_speakers"]}
        trained = ~np.isin(speakers, [name for name in held_out if name is not None])
        ends = graph.edge_index.unique().numpy()
        assert len(ends)
        assert trained[ends].all()
        # The edges are those of a graph of the training clips alone.
        alone = build_graph(
            graph.table[trained],
            emb=graph.emb[trained],
            x=graph.x[trained],
            epsilon=0.9,
            n_neighbors=3,
            scope="all",
            features=student.features,
        )
        nodes = torch.from_numpy(np.flatnonzero(trained))
        assert torch.equal(nodes[alone.edge_index], graph.edge_index)
        clips = four_speakers.x[trained].double().numpy().reshape(-1, 64)
        np.testing.assert_allclose(student.standardise.mean, clips.mean(0), rtol=1e-5)
        np.testing.assert_allclose(student.standardise.std, clips.std(0), rtol=1e-5)
        assert (row["n_train"], row["n_test"]) == (30 if clean else 45, 15)
        assert row["n_edges"] == graph.edge_index.shape[1]
    # Every clip once, by its own fold's student.
    assert found.predictions.index.equals(four_speakers.table.index)
    assert found.predictions["emotion"].tolist() == four_speakers.table["emotion"].tolist()
    for (graph, student), speaker in zip(watched, found.folds.index, strict=True):
        rows = np.flatnonzero(speakers == speaker)
        with torch.inference_mode():
            logits = student(graph.x[rows]).logits.double()
        np.testing.assert_allclose(found.predictions.iloc[rows, 3:-1], logits.softmax(1), atol=1e-5)
    assert found.predictions["fold"].tolist() == [int(speaker[1]) for speaker in speakers]
    metrics = dict(found.metrics)
    assert (metrics.pop("needs_teacher"), metrics.pop("transductive")) == (False, False)
    assert metrics == evaluate(found.predictions)
    assert (metrics["n_test"], metrics["n_test_speakers"]) == (60, 4)
    assert found.folds["uar"].mean() == pytest.approx(metrics["uar"])  # here everyone says each emotion 5 times


@pytest.mark.parametrize("method", ["nsl", "graph"])
def test_the_split_of_the_graph_does_not_matter(four_speakers, method):
    """Neither does what it held of the speakers: labels of dev and test are seen by no training."""
    other = build_graph(
        four_speakers.table.assign(split="train"),
        emb=four_speakers.emb,
        x=four_speakers.x,
        epsilon=0.9,
        n_neighbors=3,
        features=four_speakers.meta.features,
    )
    one, two = (cross_validate(data, method=method, **QUICK) for data in (four_speakers, other))
    pd.testing.assert_frame_equal(one.predictions, two.predictions)


def test_few_dev_speakers_leave_the_others_to_train_on(toy_graph, watched, tmp_path):
    how = {"n_folds": 4, "method": "baseline", "out": tmp_path, **QUICK}
    found = cross_validate(toy_graph, n_dev=1, **how)
    groups = [set(names.split()) for names in found.folds.index]
    assert [len(group) for group in groups] == [2] * 4
    following = groups[1:] + groups[:1]
    for (graph, _), group, others, dev in zip(watched, groups, following, found.folds["dev_speakers"], strict=True):
        assert dev in others
        trained = graph.table["speaker"][graph.table["split"] == "train"]
        assert set(trained) == set.union(*groups) - group - {dev}
    assert (len(found.predictions), len(found.dev_predictions)) == (120, 60)
    with pytest.raises(InputError, match="holds the result of other settings"):
        cross_validate(toy_graph, **how)


class KilledError(Exception):
    pass


def test_a_killed_run_goes_on(four_speakers, tmp_path, monkeypatch):
    how = {**QUICK, "protocol": "paper", "alpha": 0.1, "augment": "shift+masks"}
    whole = cross_validate(four_speakers, **how)
    trained, train = [], cross_validation.train

    def killed_in_the_third(data, *args, **kwargs):
        trained.append(data)
        if len(trained) == 3:
            raise KilledError
        return train(data, *args, **kwargs)

    monkeypatch.setattr(cross_validation, "train", killed_in_the_third)
    with pytest.raises(KilledError):
        cross_validate(four_speakers, out=tmp_path / "cv", **how)
    assert sorted(path.name for path in (tmp_path / "cv").iterdir()) == ["fold-00", "fold-01"]
    resumed = cross_validate(four_speakers, out=tmp_path / "cv", **how)
    assert len(trained) == 3 + 2
    again = cross_validate(four_speakers, out=tmp_path / "cv", **how)
    assert len(trained) == 5
    for found in (resumed, again):
        pd.testing.assert_frame_equal(found.predictions, whole.predictions, check_exact=True, check_dtype=False)
        pd.testing.assert_frame_equal(found.folds, whole.folds, check_exact=True)
        assert found.metrics == whole.metrics
    with pytest.raises(
        InputError, match=r"fold-00 holds the result of other .* \(settings.alpha: 0.1 before, 0.2 now\)"
    ):
        cross_validate(four_speakers, out=tmp_path / "cv", **{**how, "alpha": 0.2})
    relabelled = copy.deepcopy(four_speakers)
    relabelled.table = relabelled.table.assign(emotion=relabelled.table["emotion"].to_numpy()[::-1])
    with pytest.raises(InputError, match=r"holds the result of other .* \(data: "):
        cross_validate(relabelled, out=tmp_path / "cv", **how)


def test_clips_without_an_emotion_and_names_that_pandas_takes_for_none(four_speakers, tmp_path):
    table = four_speakers.table.copy()
    table["emotion"] = table["emotion"].replace("fear", "null")
    table["speaker"] = table["speaker"].replace("s1", "NA")
    table.loc[table["speaker"] == "s2", "emotion"] = np.nan
    four_speakers.table = table
    found = cross_validate(four_speakers, out=tmp_path, protocol="paper", alpha=0, **QUICK)
    assert "s2" not in set(found.predictions["speaker"])  # nothing can be measured on them: they stay in train
    assert len(found.predictions) == 45
    assert set(found.predictions["emotion"].dropna()) == {"anger", "null", "sadness"}
    assert found.folds.index.tolist() == ["NA", "s0", "s3"]
    assert found.folds["n_train"].tolist() == [45] * 3
    assert (found.metrics["n_test"], found.metrics["n_test_speakers"]) == (45, 3)


def test_an_emotion_that_only_the_speakers_held_out_have(four_speakers):
    table = four_speakers.table.copy()
    table.loc[table["speaker"].isin(["s0", "s3"]) & (table["emotion"] == "fear"), "emotion"] = "anger"
    four_speakers.table = table.copy()
    with pytest.raises(
        InputError, match=r"^Without the speaker s1 and s2 \(dev\) no clip of fear is left to train"
    ):
        cross_validate(four_speakers, alpha=0, **QUICK)
    table.loc[(table["speaker"] == "s1") & (table["emotion"] == "fear"), "emotion"] = "anger"
    four_speakers.table = table
    with pytest.raises(InputError, match=r"^Without the speaker s2 no clip of fear is left to train on; leave out"):
        cross_validate(four_speakers, TrainingSettings(protocol="paper", alpha=0), **QUICK)


def test_too_few_speakers_no_speaker_and_unknown_settings(four_speakers):
    with pytest.raises(InputError, match="Bad setting 'alfa', expected one of"):
        cross_validate(four_speakers, alfa=1)
    four_speakers.table = four_speakers.table.assign(speaker="s0")
    with pytest.raises(InputError, match="Leaving one speaker out needs 3 speakers, the table has 1"):
        cross_validate(four_speakers, **QUICK)
    four_speakers.table = four_speakers.table.assign(speaker=[None, *four_speakers.table["speaker"][1:]])
    with pytest.raises(InputError, match="1 of 60 clips have no speaker"):
        cross_validate(four_speakers, **QUICK)


def test_a_student_that_needs_the_teacher_says_so(four_speakers):
    four_speakers.emb = torch.nn.functional.pad(four_speakers.emb, (0, 240))
    found = cross_validate(four_speakers, protocol="paper", alpha=0, transfer="avg", **QUICK)
    assert found.metrics["needs_teacher"] is True


@pytest.mark.parametrize("method", ["baseline", "distil+regress", "nsl"])
@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_no_fold_hears_a_copy_of_whom_it_is_tested_on(four_speakers, watched, protocol, method):
    """Every original is predicted once, a copy never; copies follow the split of each fold."""
    table = with_copies(four_speakers.table, 2)
    emb, x = four_speakers.emb, four_speakers.x
    rng = torch.Generator().manual_seed(1)
    copied = build_graph(
        table,
        emb=torch.cat([emb, emb + torch.randn(60, 16, generator=rng), emb + torch.randn(60, 16, generator=rng)]),
        x=torch.cat([x, x + 1, x - 1]),
        epsilon=0.9,
        n_neighbors=3,
        features=four_speakers.meta.features,
    )
    found = cross_validate(copied, protocol=protocol, method=method, **QUICK)
    plain = cross_validate(four_speakers, protocol=protocol, method=method, **QUICK)
    assert found.predictions.index.tolist() == four_speakers.table.index.tolist()
    assert found.folds.index.tolist() == plain.folds.index.tolist() == ["s0", "s1", "s2", "s3"]
    for name in ("dev_speakers", "n_train", "n_test", "n_edges", "coverage"):
        assert found.folds[name].tolist() == plain.folds[name].tolist()
    assert found.predictions["fold"].tolist() == plain.predictions["fold"].tolist()
    assert (found.metrics["n_test"], found.metrics["n_test_speakers"]) == (60, 4)
    assert not np.allclose(found.predictions["p_fear"], plain.predictions["p_fear"], atol=1e-4)  # they were heard
    if protocol == "clean":
        assert found.dev_predictions.index.tolist() == four_speakers.table.index.tolist()
    own = originals(table)
    said_by = table["copy_of"].fillna(table.index.to_series()).map(four_speakers.table["speaker"]).to_numpy()
    for (graph, _), (speaker, row) in zip(watched[:4], found.folds.iterrows(), strict=True):
        split, trained = graph.table["split"], graph.train_mask.numpy()
        held_out = [speaker, row["dev_speakers"]]
        assert not np.isin(said_by[trained], held_out).any()
        assert set(said_by[trained & ~own]) == {"s0", "s1", "s2", "s3"} - set(held_out)
        assert split[~own].dropna().isin(["train"]).all()
        assert (trained & ~own).sum() == 2 * 15 * (4 - (2 if protocol == "clean" else 1))
        assert own[graph.edge_index.numpy()].all()
        assert (said_by[(split == "test").to_numpy()] == speaker).all()
