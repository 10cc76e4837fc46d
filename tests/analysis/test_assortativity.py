import networkx as nx
import numpy as np
import pytest
import torch_geometric.utils

from ser_graph.analysis import chance_homophily, edge_homophily, homophily, to_networkx
from ser_graph.analysis.permutations import labelled_edges
from ser_graph.errors import InputError


def test_by_hand(make_graph):
    # Clip 0 (a) has neighbours a and b, clip 1 (a) has a, clip 2 (b) has a; clip 3 (b) is isolated.
    data = make_graph([(1, 0), (2, 0), (0, 1), (0, 2)], "aabb")
    value = homophily(data, ["emotion"])["value"]["emotion"]
    assert value["edge"] == pytest.approx(2 / 4)
    # 3 of 4 edges end at a, 3 of 4 start there; 1 of 4 at b.
    by_degree = 9 / 16 + 1 / 16
    assert value["assortativity"] == pytest.approx((2 / 4 - by_degree) / (1 - by_degree))


def test_the_libraries_agree(random_graph):
    table = homophily(random_graph, ["emotion"], n_permutations=50)
    value = table["value"]["emotion"]
    known = random_graph.y >= 0
    edge_index = random_graph.edge_index[:, known[random_graph.edge_index].all(dim=0)]
    clips = known.nonzero()[:, 0]
    assert value["edge"] == pytest.approx(edge_homophily(edge_index, random_graph.y))

    edge_index, _ = torch_geometric.utils.subgraph(clips, edge_index, relabel_nodes=True, num_nodes=40)
    y = random_graph.y[known]
    theirs = torch_geometric.utils.homophily(edge_index, y, method="edge")
    assert value["edge"] == pytest.approx(theirs, abs=1e-6)

    graph = to_networkx(random_graph).subgraph(clips.tolist())
    assert value["assortativity"] == pytest.approx(nx.attribute_assortativity_coefficient(graph, "emotion"))


def test_unknown_clips_change_nothing(make_graph):
    edges = [(1, 0), (2, 0), (0, 1), (0, 2), (3, 1)]
    alone = homophily(make_graph(edges, "aabb"), ["emotion"])
    among = homophily(make_graph([*edges, (4, 0), (2, 5), (5, 4)], "aabb__"), ["emotion"])
    assert among.equals(alone)


def test_columns_are_those_that_the_corpus_has(toy_graph):
    assert homophily(toy_graph).index.unique("column").tolist() == ["emotion", "speaker", "gender"]
    toy_graph.table["sentence"] = ["s1", "s2"] * 60
    assert "sentence" in homophily(toy_graph, n_permutations=10).index.unique("column")
    assert homophily(toy_graph, []).empty
    assert homophily(toy_graph, "gender").equals(homophily(toy_graph, ["gender"]))
    with pytest.raises(InputError, match=r"^Bad column 'gendr', expected one of .*; did you mean 'gender'\?$"):
        homophily(toy_graph, "gendr")
    with pytest.raises(InputError, match="Bad column 'accent'"):
        homophily(toy_graph, ["accent"])


def test_chance_is_what_can_be_calculated(toy_graph):
    table = homophily(toy_graph, n_permutations=2000)
    inside = toy_graph.train_mask
    for column, codes in (("emotion", toy_graph.y), ("speaker", toy_graph.speaker), ("gender", toy_graph.gender)):
        row = table.loc[(column, "edge")]
        error = (row["chance_high"] - row["chance_low"]) / 4 / 2000**0.5
        assert row["chance"] == pytest.approx(chance_homophily(codes[inside]), abs=4 * error)
        assert row["chance_low"] < row["chance"] < row["chance_high"]


def test_only_what_means_something_is_beyond_chance(toy_graph):
    table = homophily(toy_graph)
    emotion, speaker = table.loc["emotion"], table.loc["speaker"]
    assert (emotion["p_value"] == 2 / 1001).all()
    assert (emotion["value"] > emotion["chance_high"]).all()
    assert (speaker["p_value"] > 0.01).all()  # embeddings of the toy graph do not show speakers


def test_p_values_are_even_where_labels_mean_nothing(make_graph):
    rng = np.random.default_rng(0)
    edges = rng.integers(60, size=(200, 2))
    p_values = []
    data = make_graph(edges, "aaabbc" * 10)
    for seed in range(80):
        data.table = data.table.assign(emotion=rng.permutation(data.table["emotion"]))
        p_values.append(homophily(data, ["emotion"], n_permutations=99, seed=seed)["p_value"].to_numpy())
    assert 0.35 < np.mean(p_values) < 0.65
    assert 0.01 < (np.array(p_values) <= 0.1).mean() < 0.2


def test_shuffling_keeps_what_it_says(random_graph):
    labelled = labelled_edges(random_graph, "emotion")
    known = random_graph.y >= 0
    assert labelled.codes.tolist() == random_graph.y[known].tolist()
    blocks = list(labelled.shuffled(100, seed=3, width=2**22 // 30))
    assert [block.shape[1] for block in blocks] == [30, 30, 30, 10]
    for block in blocks:
        assert (np.sort(block, axis=0) == np.sort(labelled.codes)[:, None]).all()
    codes = np.concatenate(blocks, axis=1)
    assert len(np.unique(codes, axis=1).T) == 100  # each clip order its own
    again = np.concatenate(list(labelled.shuffled(100, seed=3, width=2**22 // 30)), axis=1)
    assert (codes == again).all()


def test_one_value_says_nothing(make_graph):
    value = homophily(make_graph([(0, 1), (1, 0)], "aaa"), ["emotion"])["value"]["emotion"]
    assert value["edge"] == 1
    assert np.isnan(value["assortativity"])
