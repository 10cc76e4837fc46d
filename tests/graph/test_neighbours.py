import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.errors import InputError
from ser_graph.graph import neighbours
from ser_graph.graph.neighbours import (
    EXACT_BELOW,
    compile_nndescent,
    exact_candidates,
    nearest_neighbours,
    nndescent_candidates,
    rank,
    resolve_method,
    sampled_recall,
    unit_rows,
)


def dense_similarity(emb):
    """[N, N] cosines: unit rows in float32, every pair in float64, rounded to float32."""
    rows = emb.numpy().astype("float64")
    unit = (rows / np.sqrt((rows**2).sum(1, keepdims=True))).astype("float32").astype("float64")
    return (unit[:, None] * unit[None]).sum(-1).clip(-1, 1).astype("float32")


def dense_neighbours(emb, k):
    """The oracle: everything compared with everything and sorted by similarity, then by id."""
    similarity = dense_similarity(emb)
    ids = []
    for row, values in enumerate(similarity):
        others = [other for other in range(len(emb)) if other != row]
        ids.append(sorted(others, key=lambda other, values=values: (-values[other], other))[:k])
    ids = np.array(ids, dtype=int).reshape(len(emb), min(k, len(emb) - 1))
    return torch.from_numpy(ids), torch.from_numpy(np.take_along_axis(similarity, ids, 1))


def noise(n, dim=8, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@st.composite
def embeddings(draw):
    """Rows in general position, on a coarse grid (many exact ties), or many times the same."""
    n, kind, seed = (
        draw(st.integers(1, 40)),
        draw(st.sampled_from(["noise", "grid", "same"])),
        draw(st.integers(0, 99)),
    )
    generator = torch.Generator().manual_seed(seed)
    if kind == "noise":
        return torch.randn(n, 6, generator=generator)
    if kind == "same":
        return torch.randn(3, 6, generator=generator)[torch.randint(3, (n,), generator=generator)]
    grid = torch.randint(-1, 2, (n, 4), generator=generator).float()
    grid[grid.eq(0).all(1), 0] = 1
    return grid


@settings(deadline=None, max_examples=80)
@given(embeddings(), st.integers(1, 45))
def test_exact_search_is_the_dense_oracle(emb, k):
    ids, similarity = nearest_neighbours(emb, k, method="exact")
    expected_ids, expected = dense_neighbours(emb, k)
    assert ids.tolist() == expected_ids.tolist()
    torch.testing.assert_close(similarity, expected, rtol=0, atol=1e-7)
    assert (ids >= 0).all()
    assert not (ids == torch.arange(len(emb))[:, None]).any()


@pytest.mark.parametrize("block", [1, 7, 100, 1000])
def test_the_block_size_changes_nothing(block, monkeypatch):
    emb = torch.cat([noise(40), noise(5, seed=1).repeat(12, 1)])
    whole = nearest_neighbours(emb, 4)
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    parts = nearest_neighbours(emb, 4)
    assert torch.equal(whole[0], parts[0])
    assert torch.equal(whole[1], parts[1])


@pytest.mark.parametrize("nudge", [0, 1e-7])
def test_more_equal_clips_than_neighbours(nudge):
    # Nearer to each other than a float32 product of blocks can tell: they are decided pair by pair.
    emb = torch.cat([noise(1).expand(60, -1) + nudge * noise(60, seed=2), noise(20, seed=1)])
    ids, similarity = nearest_neighbours(emb, 5)
    assert ids.tolist() == dense_neighbours(emb, 5)[0].tolist()
    if nudge == 0:
        assert ids[0].tolist() == [1, 2, 3, 4, 5]
        assert ids[3].tolist() == [0, 1, 2, 4, 5]
        assert similarity[:60].unique().numel() == 1


def test_one_and_two_clips():
    ids, similarity = nearest_neighbours(noise(1), 6)
    assert (ids.shape, similarity.shape) == ((1, 0), (1, 0))
    ids, similarity = nearest_neighbours(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), 6)
    assert ids.tolist() == [[1], [0]]
    torch.testing.assert_close(similarity, torch.full((2, 1), 0.5**0.5))


def test_length_does_not_matter():
    emb = noise(50)
    scaled = emb * torch.rand(50, 1, generator=torch.Generator().manual_seed(1)) * 1e4
    assert torch.equal(nearest_neighbours(emb, 3)[0], nearest_neighbours(scaled, 3)[0])


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_rows_without_direction_are_refused(bad):
    emb = noise(6)
    emb[2], emb[4] = bad, bad
    with pytest.raises(InputError, match=r"Embedding 2 is zero or not finite \(2 of 6\)"):
        nearest_neighbours(emb, 2)


@pytest.mark.parametrize(("k", "method"), [(0, "auto"), (-1, "exact"), (3, "hnsw")])
def test_bad_settings(k, method):
    with pytest.raises(InputError, match=r"^Bad (number of neighbours|neighbour search method '?hnsw)"):
        nearest_neighbours(noise(5), k, method=method)


def test_auto_is_exact_below_the_crossover():
    assert resolve_method("auto", EXACT_BELOW - 1) == "exact"
    assert resolve_method("auto", EXACT_BELOW) == "nndescent"
    assert resolve_method("nndescent", 3) == "nndescent"


def test_rank_drops_nothing_self_and_repetitions():
    unit = unit_rows(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]))
    candidates = torch.tensor([[-1, 2, 1, 1, 0], [1, -1, -1, 2, 2], [2, 2, -1, -1, 2]])
    ids, similarity = rank(unit, candidates, 3)
    assert ids.tolist() == [[1, 2, -1], [2, -1, -1], [-1, -1, -1]]
    assert similarity[0, 1] == 0
    assert (similarity[ids < 0] == -torch.inf).all()


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(1, 8), st.integers(1, 5))
def test_rank_sorts_what_it_is_given(drawn, n, k):
    emb = torch.randint(-1, 2, (n, 3), generator=torch.Generator().manual_seed(n)).float()
    emb[:, 0] += 2
    rows = st.lists(st.integers(-1, n - 1), min_size=6, max_size=6)
    candidates = torch.tensor(drawn.draw(st.lists(rows, min_size=n, max_size=n)))
    similarity = dense_similarity(emb)
    ids = rank(unit_rows(emb), candidates, k)[0]
    for row in range(n):
        allowed = set(candidates[row].tolist()) - {-1, row}
        expected = sorted(allowed, key=lambda other, row=row: (-similarity[row, other], other))[:k]
        assert ids[row].tolist() == expected + [-1] * (k - len(expected))


def test_recall_of_exact_search_is_one():
    emb = torch.cat([noise(100), noise(1, seed=3).expand(30, -1)])
    assert sampled_recall(emb, nearest_neighbours(emb, 6)[0]) == 1
    assert sampled_recall(emb, torch.empty(130, 0, dtype=torch.int64)) == 1


def test_recall_counts_what_is_missing():
    emb = noise(100)
    ids = nearest_neighbours(emb, 4)[0]
    ids[:, 2] = -1
    assert sampled_recall(emb, ids) == 0.75
    ids[:50, 0] = nearest_neighbours(emb, 99)[0][:50, -1]  # the furthest of all
    assert sampled_recall(emb, ids) == (50 * 0.5 + 50 * 0.75) / 100


def test_recall_does_not_depend_on_what_is_compared_at_a_time(monkeypatch):
    emb = noise(300)
    ids = nearest_neighbours(emb, 5)[0]
    ids[::3, 1] = -1
    whole = sampled_recall(emb, ids, sample=100)
    assert 0.9 < whole < 1
    monkeypatch.setattr(neighbours, "_BLOCK", 7 * 300)
    assert sampled_recall(emb, ids, sample=100) == whole


def test_recall_accepts_any_of_equal_neighbours():
    emb = torch.cat([noise(1).expand(9, -1), -noise(1)])
    others = torch.tensor([[(row + 4) % 9, (row + 5) % 9] for row in range(9)] + [[3, 7]])
    assert sampled_recall(emb, others) == 1


def test_exact_candidates_leave_room_for_ties():
    emb = noise(30)
    candidates = exact_candidates(unit_rows(emb), torch.arange(len(emb)), 4)
    assert candidates.shape == (30, 4 + 9)
    assert all(len(set(row)) == len(row) for row in candidates.tolist())


@pytest.mark.slow
def test_nndescent_finds_nearly_all_and_the_same_every_time():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(60, 32, generator=generator)
    emb = centres[torch.randint(60, (2000,), generator=generator)] + 0.3 * torch.randn(
        2000, 32, generator=generator
    )
    ids, similarity = nearest_neighbours(emb, 6, method="nndescent", seed=3, n_jobs=1)
    again = nearest_neighbours(emb, 6, method="nndescent", seed=3, n_jobs=1)
    assert torch.equal(ids, again[0])
    assert torch.equal(similarity, again[1])
    exact_ids, exact = nearest_neighbours(emb, 6, method="exact")
    shared = (ids[:, :, None] == exact_ids[:, None]).any(2)
    assert shared.double().mean() > 0.95
    torch.testing.assert_close(similarity[shared].sort().values[-100:], exact.flatten().sort().values[-100:])
    assert sampled_recall(emb, ids) == pytest.approx(float(shared.double().mean()), abs=0.02)
    assert not (ids == torch.arange(2000)[:, None]).any()


def test_a_search_waits_for_the_compilation(monkeypatch):
    order = []

    class Compilation:
        def join(self):
            order.append("compiled")

    class Index:
        def __init__(self, rows, n_neighbors, **_):
            order.append("searched")
            self.neighbor_graph = np.zeros((len(rows), n_neighbors), dtype=np.int32), None

    monkeypatch.setattr(neighbours, "compile_nndescent", Compilation)
    monkeypatch.setitem(sys.modules, "pynndescent", SimpleNamespace(NNDescent=Index))
    assert nndescent_candidates(unit_rows(noise(50)), 6).shape == (50, 20)
    assert nndescent_candidates(unit_rows(noise(50)), 30).shape == (50, 31)
    assert nndescent_candidates(unit_rows(noise(8)), 6).shape == (8, 8)
    assert order == ["compiled", "searched"] * 3


def test_it_is_compiled_once(monkeypatch):
    done = []
    monkeypatch.setattr(neighbours, "_compiling", None)
    monkeypatch.setattr(neighbours, "_search_made_up_rows", lambda: done.append(1))
    threads = [compile_nndescent(), compile_nndescent()]
    for thread in threads:
        thread.join()
    assert threads[0] is threads[1]
    assert done == [1]
