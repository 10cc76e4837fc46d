import numpy as np
import pytest
import torch

from ser_graph.audio.mapped import is_mapped, map_array
from ser_graph.errors import InputError
from ser_graph.graph import faiss_search
from ser_graph.graph.faiss_search import faiss_candidates, index_recipe
from ser_graph.graph.neighbours import nearest_neighbours, sampled_recall, unit_rows

pytest.importorskip("faiss")


def clustered(n, dim=80, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(12, dim, generator=generator)
    return centres[torch.randint(12, (n,), generator=generator)] + 0.3 * torch.randn(n, dim, generator=generator)


def mapped(emb, folder):
    np.save(folder / "emb.npy", emb.numpy())
    return map_array(folder / "emb.npy")


@pytest.fixture
def lists(monkeypatch):
    """Lists of some ten rows, small blocks, and nearly all lists searched."""
    monkeypatch.setattr(faiss_search, "_FLAT_BELOW", 100)
    monkeypatch.setattr(faiss_search, "_LISTS", 0.5)
    monkeypatch.setattr(faiss_search, "_BLOCK", 300)


def test_a_flat_index_is_exact_search():
    emb = torch.cat([clustered(400), clustered(1, seed=1).expand(5, -1)])
    for found, expected in zip(
        nearest_neighbours(emb, 6, method="faiss"), nearest_neighbours(emb, 6, method="exact"), strict=True
    ):
        assert torch.equal(found, expected)


def test_every_row_comes_once_and_rows_of_one_list_come_together(lists):
    unit = unit_rows(clustered(1000))
    blocks = list(faiss_candidates(unit, 6, n_jobs=1))
    rows = torch.cat([rows for rows, _ in blocks])
    assert rows.sort().values.tolist() == list(range(1000))
    assert max(len(rows) for rows, _ in blocks) == 300
    near = (unit[rows[:-1]] * unit[rows[1:]]).sum(1).mean()
    assert near > (unit[:-1] * unit[1:]).sum(1).mean() + 0.3  # the order of the corpus is random


def test_lists_of_vectors_and_of_codes_find_nearly_all_and_the_same_every_time(lists, tmp_path):
    emb = clustered(2000)
    exact = nearest_neighbours(emb, 6, method="exact")
    for given in (emb, mapped(emb, tmp_path)):
        ids, similarity = nearest_neighbours(given, 6, method="faiss", seed=1, n_jobs=1)
        again = nearest_neighbours(given, 6, method="faiss", seed=1, n_jobs=1)
        assert torch.equal(ids, again[0])
        shared = (ids[:, :, None] == exact[0][:, None]).any(2)
        assert shared.double().mean() > 0.97
        # The similarities of pairs do not depend on the search.
        assert torch.equal(similarity[ids == exact[0]], exact[1][ids == exact[0]])
        assert sampled_recall(given, ids, sample=2000) == pytest.approx(float(shared.double().mean()), abs=1e-6)


def test_few_searched_lists_lower_the_measured_recall(lists, monkeypatch):
    emb = torch.randn(2000, 16, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(faiss_search, "_LISTS", 2)
    monkeypatch.setattr(faiss_search, "_PROBED", 1)
    assert sampled_recall(emb, nearest_neighbours(emb, 6, method="faiss")[0]) < 0.8


def test_rows_mapped_from_disk_are_scaled_on_disk(tmp_path):
    emb = clustered(500)
    unit = unit_rows(mapped(emb, tmp_path))
    assert is_mapped(unit)
    assert torch.equal(unit, unit_rows(emb))
    assert [path.name for path in tmp_path.iterdir()] == ["emb.npy"]


def test_groups_are_kept_and_filled(lists):
    emb = clustered(1000)
    groups = torch.zeros(1000, 1, dtype=torch.int64)
    groups[::100] = 1  # a row of group 0 has ten possible neighbours, mostly outside the searched lists
    found = nearest_neighbours(emb, 6, method="faiss", groups=groups)
    exact = nearest_neighbours(emb, 6, method="exact", groups=groups)
    assert (found[0] >= 0).all()
    assert (groups[found[0], 0] != groups).all()
    assert (found[0] == exact[0]).double().mean() > 0.9


@pytest.mark.parametrize(
    ("n", "dim", "fits", "recipe"),
    [
        (19_999, 256, False, "Flat"),
        (1_000_000, 256, True, "IVF8000,Flat"),
        (1_000_000, 256, False, "PCA64,IVF8000,SQ8"),
        (1_000_000, 64, False, "IVF8000,SQ8"),
    ],
)
def test_the_index_is_chosen_by_size_and_memory(n, dim, fits, recipe):
    assert index_recipe(n, dim, fits=fits) == recipe


def test_without_faiss_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(InputError, match=r"^faiss is not installed; run pip install 'ser-graph\[faiss\]'$"):
        nearest_neighbours(clustered(10), 2, method="faiss")
