import copy

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from ser_graph.graph import ClipGraph
from ser_graph.inspection.layout import graph_layout, second_layout

pytestmark = pytest.mark.filterwarnings("error")


def clips(emb):
    return ClipGraph(emb=torch.as_tensor(emb, dtype=torch.float32), num_nodes=len(emb))


@pytest.fixture(scope="module")
def ten_groups():
    """600 clips in 10 groups of 32 dimensions, more than two axes can hold."""
    rng = np.random.default_rng(0)
    group = np.arange(600) % 10
    return group, rng.normal(size=(10, 32))[group] + 0.5 * rng.normal(size=(600, 32))


def test_near_means_similar(ten_groups):
    group, emb = ten_groups
    places = graph_layout(clips(emb))
    assert places.shape == (600, 2)
    assert places.dtype == np.float32
    kept = trustworthiness(emb, places, n_neighbors=10, metric="cosine")
    of_components = trustworthiness(emb, PCA(2).fit_transform(emb), n_neighbors=10, metric="cosine")
    assert 1 - kept < 0.5 * (1 - of_components)
    between = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(between, np.inf)
    assert (group[between.argmin(1)] == group).mean() > 0.98
    assert np.abs(places).max() == pytest.approx(1)


def test_edges_and_splits_do_not_count_but_embeddings_do(toy_graph):
    places = graph_layout(toy_graph)
    bare = clips(toy_graph.emb)
    np.testing.assert_array_equal(graph_layout(bare), places)


def test_a_second_layout_lies_like_the_first(ten_groups):
    """The same embeddings give the same map, whatever turned or mirrored places it is compared with."""
    emb = torch.as_tensor(ten_groups[1]).float()
    places = graph_layout(clips(emb))
    np.testing.assert_allclose(second_layout(emb, places), places, atol=1e-4)
    turned = places @ np.array([[0.6, 0.8], [0.8, -0.6]], dtype=np.float32)
    again = second_layout(emb, turned)
    scale = np.abs(again).max() / np.abs(turned).max()
    centred = [one - one.mean(0) for one in (again, scale * turned)]
    assert np.corrcoef(centred[0].ravel(), centred[1].ravel())[0, 1] > 0.999
    assert np.abs(again).max() == pytest.approx(1) and again.dtype == np.float32


@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_in_every_run(ten_groups, threads):
    before = torch.get_num_threads()
    reference = graph_layout(clips(ten_groups[1]))
    try:
        torch.set_num_threads(threads)
        again = graph_layout(clips(ten_groups[1]))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(again, reference)
    assert not np.array_equal(graph_layout(clips(ten_groups[1]), seed=1), reference)


def test_computed_once(ten_groups):
    data = clips(ten_groups[1])
    places = graph_layout(data)
    assert graph_layout(data) is places
    assert graph_layout(data, seed=1) is not places
    assert graph_layout(data) is places
    assert set(data.to_dict()) == {"emb", "num_nodes"}  # nothing of it among PyG's attributes
    with pytest.raises(ValueError, match="read-only"):
        places[0] = 0
    assert copy.deepcopy(data).emb is not data.emb
    np.testing.assert_array_equal(graph_layout(copy.deepcopy(data)), places)


def test_computed_anew_for_a_part_or_for_other_embeddings(ten_groups):
    data = clips(ten_groups[1])
    graph_layout(data)
    data.emb = data.emb[:50]
    assert graph_layout(data).shape == (50, 2)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 16])
def test_few_clips(n):
    places = graph_layout(clips(np.eye(16)[:n]))
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()
    assert len({tuple(place) for place in places}) == n


@pytest.mark.parametrize("spread", [0, 1e-3])
def test_clips_do_not_cover_one_another(spread):
    rng = np.random.default_rng(0)
    emb = rng.normal(size=(5, 16))[np.arange(400) % 5] + spread * rng.normal(size=(400, 16))
    places = graph_layout(clips(emb))
    nearest = KDTree(places).query(places, k=2)[0][:, 1]
    assert np.quantile(nearest, 0.05) > 0.02  # 400 discs of this width cover a thirtieth of the map
    assert np.abs(places).max() == pytest.approx(1)


def test_embeddings_of_one_dimension():
    places = graph_layout(clips(np.array([[1.0], [2.0], [-1.0], [-3.0]])))
    between = np.linalg.norm(places[:, None] - places, axis=2)
    assert np.isfinite(places).all()
    assert between[0, 1] < between[0, 2]


def test_clips_without_a_direction_lie_in_the_corner(ten_groups):
    emb = ten_groups[1].copy()
    emb[3], emb[7] = 0, np.nan
    places = graph_layout(clips(emb))
    usable = np.delete(np.arange(600), [3, 7])
    assert places[[3, 7]].tolist() == [[-1, -1], [-1, -1]]
    np.testing.assert_array_equal(places[usable], graph_layout(clips(emb[usable])))
    assert graph_layout(clips(np.zeros((2, 4)))).tolist() == [[-1, -1], [-1, -1]]


def test_nothing_is_printed(ten_groups, capfd):
    graph_layout(clips(ten_groups[1]))
    assert capfd.readouterr() == ("", "")
