"""Embeddings of several corpora, brought together: moments by hand, and what does not move."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st
from sklearn.covariance import ledoit_wolf

from ser_graph.errors import InputError
from ser_graph.graph.alignment import aligned, coral

TABLE = pd.DataFrame({"corpus": ["mine", "theirs", "mine", "third"] * 30})


def rows_of(corpus):
    return torch.tensor((TABLE["corpus"] == corpus).tolist())


@pytest.fixture
def emb():
    """Each corpus at another place and of another shape."""
    found = torch.randn(120, 5, generator=torch.Generator().manual_seed(0))
    found[rows_of("theirs")] = found[rows_of("theirs")] @ torch.diag(torch.linspace(0.5, 4, 5)) + 2
    found[rows_of("third")] *= 10
    return found


def test_each_other_corpus_is_moved_to_the_target(emb):
    found, ours = aligned(emb, TABLE, "mine"), emb[rows_of("mine")]
    assert found.dtype == torch.float32 and torch.equal(found[rows_of("mine")], ours)
    for name in ("theirs", "third"):
        theirs = rows_of(name)
        assert found[theirs].mean(0).numpy() == pytest.approx(ours.mean(0).numpy(), abs=1e-5)
        expected = coral(emb[theirs].double().numpy(), ours.double().numpy())
        np.testing.assert_allclose(found[theirs].numpy(), expected, atol=1e-5)
        assert not torch.allclose(found[theirs], emb[theirs], atol=0.1)


def test_the_embeddings_that_were_given_stay(emb):
    before = emb.double()
    given_rows = before.clone()
    aligned(given_rows, TABLE, "mine")
    assert torch.equal(given_rows, before)


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


def test_what_cannot_be_aligned_is_refused(emb):
    with pytest.raises(InputError, match=r"Bad align 'yours', expected one of .*mine.*theirs"):
        aligned(emb, TABLE, "yours")
    with pytest.raises(InputError, match="Bad align 'mine': corpus theirs has one clip to train on"):
        aligned(emb[:3], TABLE[:3], "mine")
    for table in (TABLE.drop(columns="corpus"), TABLE.assign(corpus="mine")):
        with pytest.raises(InputError, match="Bad align 'mine': it needs clips of several corpora"):
            aligned(emb, table, "mine")
