"""Embeddings of several corpora, brought together: moments by hand, and what does not move."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from sklearn.covariance import ledoit_wolf

from ser_graph.errors import InputError
from ser_graph.graph.alignment import align_corpora, coral
from ser_graph.graph.centring import centred


@pytest.fixture
def joint(toy_graph):
    """Every third clip is of another corpus, at another place and of another shape."""
    theirs = np.arange(120) % 3 == 1
    speaker = toy_graph.table["speaker"].where(~theirs, "other " + toy_graph.table["speaker"])
    corpus = np.where(theirs, "theirs", "mine")
    split = toy_graph.table["split"].where(~theirs, "train")
    toy_graph.table = toy_graph.table.assign(corpus=corpus, speaker=speaker, split=split)
    toy_graph.train_mask |= torch.from_numpy(theirs)
    toy_graph.val_mask &= ~torch.from_numpy(theirs)
    toy_graph.test_mask &= ~torch.from_numpy(theirs)
    toy_graph.emb[theirs] = toy_graph.emb[theirs] @ torch.diag(torch.linspace(0.5, 4, toy_graph.emb.shape[1])) + 2
    return toy_graph


def rows_of(data, corpus):
    return torch.tensor((data.table["corpus"] == corpus).tolist())


def test_the_other_corpus_is_moved_to_the_targets_training_clips(joint):
    before, found = centred(joint.emb, joint.table, "speaker"), align_corpora(joint, "mine")
    theirs, ours = rows_of(joint, "theirs"), rows_of(joint, "mine") & joint.train_mask
    assert found[theirs].mean(0).numpy() == pytest.approx(before[ours].mean(0).numpy(), abs=1e-5)
    expected = coral(before[theirs].double().numpy(), before[ours].double().numpy())
    np.testing.assert_allclose(found[theirs].numpy(), expected, atol=1e-5)
    assert not torch.allclose(found[theirs], before[theirs], atol=0.1)


def test_the_target_does_not_move(joint):
    ours = rows_of(joint, "mine")
    expected = centred(joint.emb, joint.table, "speaker")
    torch.testing.assert_close(align_corpora(joint, "mine")[ours], expected[ours])
    torch.testing.assert_close(align_corpora(joint, "mine", center="none")[ours], joint.emb[ours])


def test_dev_and_test_of_the_target_do_not_count(joint):
    before = align_corpora(joint, "mine", center="none")
    theirs, ours = rows_of(joint, "theirs"), rows_of(joint, "mine")
    joint.emb[ours & ~joint.train_mask] *= 100
    torch.testing.assert_close(align_corpora(joint, "mine", center="none")[theirs], before[theirs])


def test_labels_do_not_matter(joint):
    before = align_corpora(joint, "mine")
    joint.table = joint.table.assign(emotion=joint.table["emotion"].iloc[::-1].to_numpy())
    assert torch.equal(align_corpora(joint, "mine"), before)


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 2**31))
def test_rows_that_are_the_target_already_stay(n, width, seed):
    rows = np.random.default_rng(seed).normal(size=(n, width)) * np.arange(1, width + 1)
    np.testing.assert_allclose(coral(rows, rows), rows, atol=1e-6 * np.abs(rows).max())


@given(st.integers(5, 60), st.integers(0, 2**31))
def test_the_map_takes_one_covariance_to_the_other(n, seed):
    random = np.random.default_rng(seed)
    source, target = (random.normal(size=(n, 3)) * random.uniform(1, 3, 3) + random.normal(3) for _ in "ab")
    found = coral(source, target)
    np.testing.assert_allclose(found.mean(0), target.mean(0), atol=1e-8)
    linear = np.linalg.lstsq(source - source.mean(0), found - found.mean(0))[0]
    np.testing.assert_allclose(linear.T @ ledoit_wolf(source)[0] @ linear, ledoit_wolf(target)[0], atol=1e-6)


def test_what_cannot_be_aligned_is_refused(joint):
    with pytest.raises(InputError, match=r"Bad target 'yours', expected one of .*mine.*theirs"):
        align_corpora(joint, "yours")
    joint.table = joint.table.assign(corpus=np.where(np.arange(120) == 4, "third", joint.table["corpus"]))
    with pytest.raises(InputError, match="Corpus third has too few clips"):
        align_corpora(joint, "mine")
    joint.table = joint.table.drop(columns="corpus")
    with pytest.raises(InputError, match="join clip tables with join_corpora"):
        align_corpora(joint, "mine")
