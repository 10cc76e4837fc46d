import copy
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch_geometric import transforms as T  # noqa: N812
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.loader import ClusterData

import ser_graph as sg
from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph, NeighborLoader, build_graph
from ser_graph.graph.agreement import CODES, MASKS
from ser_graph.graph.building import assemble
from ser_graph.graph.meta import GraphMeta


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("graphs/emovo", "load the folder first: sg.load_graph('graphs/emovo')"),
        (Path("g"), "load the folder first: sg.load_graph('g')"),
        (
            pd.DataFrame(),
            "Bad graph of type DataFrame, expected a ClipGraph; build one: sg.build_graph(table, upstream)",
        ),
        (Data(), "Bad graph of type Data, expected a ClipGraph; build one"),
    ],
)
def test_what_is_no_graph_gets_the_right_call(given, words, tmp_path):
    calls = [sg.train, sg.graph_statistics, sg.graph_card, sg.graph_report, sg.inspect, sg.cross_validate]
    calls += [sg.analysis.homophily, sg.analysis.mixing_table, sg.analysis.score_clips, sg.evaluation.teacher_probe]
    calls += [
        lambda data: sg.write_page(data, tmp_path / "p.html"),
        lambda data: sg.save_graph(data, tmp_path / "g"),
    ]
    for call in calls:
        with pytest.raises(InputError) as caught:
            call(given)
        assert words in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_node_is_found_by_its_file(toy_graph):
    nodes = [toy_graph.node(file) for file in toy_graph.table.index]
    assert nodes == list(range(120)) and {type(node) for node in nodes} == {int}


@pytest.mark.parametrize("file", ["s0/0000.wav", "S0/000.wav", "s0\\000.wav"])
def test_near_names_are_told(toy_graph, file):
    with pytest.raises(InputError, match=r"in the graph; similar names are \[.*'s0/000.wav'") as error:
        toy_graph.node(file)
    assert repr(file) in str(error.value) and "\n" not in str(error.value)


def test_a_name_that_is_near_to_none(toy_graph):
    for file in ("?", 3, None):
        with pytest.raises(InputError, match="expected one of its 120 files"):
            toy_graph.node(file)


def test_a_node_of_a_subgraph_is_counted_in_it(toy_graph):
    part = toy_graph.subgraph(torch.tensor([5, 3]))
    assert [part.node("s0/005.wav"), part.node("s0/003.wav")] == [0, 1]


def test_degrees_are_of_in_edges(four_clips):
    assert four_clips.degrees().tolist() == [3, 0, 1, 0, 2, *[0] * 115]


# What PyG does to nodes and edges. Embeddings are one of a kind: they tell which clip a node was.


def small_graph(n: int, pairs: list[tuple[int, int]], seed: int) -> ClipGraph:
    rng = np.random.default_rng(seed)
    columns = {
        "emotion": rng.choice(["anger", "joy", None], n),
        "speaker": rng.choice(["1", "2"], n),
        "gender": rng.choice(["male", None], n),
        "duration": rng.random(n),
        "split": rng.choice(["train", "dev", "test", None], n),
        "sentence": rng.choice(["a", "b"], n),
    }
    files = pd.Index([f"{clip}.wav" for clip in rng.permutation(n)], name="file")
    edge_index = torch.tensor(sorted(set(pairs), key=lambda pair: pair[::-1]), dtype=torch.int64).view(-1, 2).T
    emb, x = (torch.from_numpy(rng.normal(size=shape)).float() for shape in ((n, 3), (n, 2, 2)))
    weight = torch.from_numpy(rng.random(edge_index.shape[1])).float()
    features = LogMelSettings(n_samples=768, n_mels=2)
    data = assemble(pd.DataFrame(columns, files), emb, x, edge_index, weight, features=features)
    data.pos = torch.from_numpy(rng.normal(size=(n, 3))).float()
    return data


@st.composite
def graphs(draw) -> ClipGraph:
    n = draw(st.integers(2, 9))
    node = st.integers(0, n - 1)
    pairs = draw(st.lists(st.tuples(node, node).filter(lambda pair: pair[0] != pair[1]), max_size=14))
    return small_graph(n, pairs, draw(st.integers(0, 99)))


def was(data: ClipGraph, whole: ClipGraph) -> list[int]:
    """The node of the whole graph that each node was."""
    return [int((whole.emb == emb).all(1).nonzero()[0]) for emb in data.emb]


def edges_of(data: ClipGraph, whole: ClipGraph) -> dict[tuple[int, int], float]:
    nodes = was(data, whole)
    pairs = zip(data.edge_index.T.tolist(), data.edge_weight.tolist(), strict=True)
    return {(nodes[source], nodes[target]): weight for (source, target), weight in pairs}


def says_the_truth(data: ClipGraph, whole: ClipGraph) -> None:
    """Each node's row is that of the clip it was, with the split that its masks say."""
    nodes, table = was(data, whole), data.table
    same = [column for column in whole.table if column != "split"]
    pd.testing.assert_frame_equal(table[same], whole.table.iloc[nodes][same])
    assert data.x.equal(whole.x[nodes]) and data.y.equal(whole.y[nodes])
    masks = torch.stack([data[mask] for mask in MASKS.values()], 1).tolist()
    assert [[said == split for split in MASKS] for said in table["split"]] == masks


def has_the_edges(data: ClipGraph, whole: ClipGraph) -> None:
    """The edges are those among the nodes that are left."""
    left = set(was(data, whole))
    expected = {pair: weight for pair, weight in edges_of(whole, whole).items() if left.issuperset(pair)}
    assert edges_of(data, whole) == expected and data.num_edges == len(expected)


@settings(deadline=None)
@given(graphs(), st.data())
def test_a_subgraph_has_the_rows_and_edges_of_its_clips(whole, drawn):
    order = drawn.draw(st.permutations(range(whole.num_nodes)))
    rows = torch.tensor(order[: drawn.draw(st.integers(1, whole.num_nodes))])
    mask = torch.zeros(whole.num_nodes, dtype=torch.bool).index_fill_(0, rows, True)
    for part in (
        whole.subgraph(rows),
        whole.subgraph(mask),
        whole.subgraph(rows).subgraph(torch.arange(len(rows))),
    ):
        part.check()
        says_the_truth(part, whole)
        has_the_edges(part, whole)
    assert was(whole.subgraph(rows), whole) == rows.tolist()
    assert whole.table.shape == (whole.num_nodes, 6)


@settings(deadline=None)
@given(graphs(), st.integers(1, 3))
def test_transforms_that_drop_nodes(whole, number):
    for transform in (
        T.RemoveIsolatedNodes(),
        T.LargestConnectedComponents(number),
        T.Compose([T.LargestConnectedComponents(number), T.RandomNodeSplit(num_val=1, num_test=1)]),
        T.Compose([T.RandomNodeSplit(num_val=1, num_test=1), T.RemoveIsolatedNodes()]),
    ):
        part = transform(whole)
        part.check()
        says_the_truth(part, whole)
        has_the_edges(part, whole)
    for part in whole.connected_components():
        says_the_truth(part, whole)
        has_the_edges(part, whole)


def sent(whole):
    """The graph as another process gets it."""
    queue = multiprocessing.Queue()
    queue.put(whole)
    return queue.get(timeout=60)


@settings(deadline=None)
@given(graphs())
def test_copies_keep_everything(whole):
    for same in (
        whole.clone(),
        copy.copy(whole),
        copy.deepcopy(whole),
        sent(whole),
        whole.to("cpu"),
        whole.contiguous(),
        T.ToDevice("cpu")(whole),
        InMemoryDataset.collate([whole])[0],
    ):
        same.check()
        pd.testing.assert_frame_equal(same.table, whole.table)
        assert same.meta == whole.meta
        has_the_edges(same, whole)


@settings(deadline=None)
@given(graphs())
def test_what_is_done_to_edges_leaves_the_clips(whole):
    for same in (whole.sort(), whole.sort(sort_by_row=False), whole.coalesce(), T.RemoveSelfLoops()(whole)):
        same.check()
        says_the_truth(same, whole)
        has_the_edges(same, whole)
    half = torch.arange(whole.num_edges) % 2 == 0
    part = whole.edge_subgraph(half)
    says_the_truth(part, whole)
    assert edges_of(part, whole).items() <= edges_of(whole, whole).items() and part.num_edges == int(half.sum())
    both = T.ToUndirected(reduce="max")(whole)
    both.check()
    assert both.is_undirected() and edges_of(both, whole).keys() >= edges_of(whole, whole).keys()
    says_the_truth(both, whole)


def test_an_edge_twice_keeps_its_larger_weight(toy_graph):
    first, weight = toy_graph.edge_index[:, :1], toy_graph.edge_weight[:1]
    doubled = copy.copy(toy_graph)
    doubled.edge_index = torch.cat([toy_graph.edge_index, first], 1)
    doubled.edge_weight = torch.cat([toy_graph.edge_weight, weight - 1])
    assert edges_of(doubled.coalesce(), toy_graph) == edges_of(toy_graph, toy_graph)


def test_a_new_split_is_the_one_that_is_predicted(toy_graph):
    torch.manual_seed(0)
    other = T.RandomNodeSplit(num_val=10, num_test=20)(toy_graph)
    counts = other.table["split"].value_counts().to_dict()
    assert counts == {"train": 90, "test": 20, "dev": 10}
    assert toy_graph.table["split"].value_counts().to_dict() == {"train": 75, "dev": 15, "test": 30}
    other.train_mask[other.train_mask.nonzero()[:3, 0]] = False  # in place
    assert other.table["split"].isna().sum() == 3


# All transforms that this PyG has: the clip table of the result is right, or nothing but an error is had.

ARGUMENTS: dict[str, tuple] = {
    "BaseTransform": (),
    "Compose": ([],),
    "ComposeFilters": ([],),
    "ToDevice": ("cpu",),
    "SVDFeatureReduction": (2,),
    "RemoveTrainingClasses": ([0],),
    "RandomNodeSplit": ("train_rest", 1, "y", 20, 1, 1),
    "RandomLinkSplit": (0.2, 0.2),
    "NodePropertySplit": ("popularity", [0.2] * 5),
    "Pad": (12, 99),
    "RadiusGraph": (1.0,),
    "AddMetaPaths": ([],),
    "AddRandomMetaPaths": ([],),
    "RootedEgoNets": (1,),
    "RootedRWSubgraph": (1,),
    "SIGN": (1,),
    "AddLaplacianEigenvectorPE": (1,),
    "AddRandomWalkPE": (2,),
    "AddGPSE": (None,),
    "FeaturePropagation": (torch.zeros(1, dtype=torch.bool),),
    "RandomJitter": (0.1,),
    "RandomFlip": (0,),
    "LinearTransformation": (torch.eye(3),),
    "RandomScale": ((0.5, 2),),
    "RandomRotate": (10,),
    "RandomShear": (0.1,),
    "SamplePoints": (5,),
    "FixedPoints": (5,),
    "GridSampling": (0.5,),
}
TRANSFORMS = [name for name in T.__all__ if isinstance(getattr(T, name), type)]
FURTHER: dict[str, Callable[[Data], Data]] = {
    "two splits": T.RandomNodeSplit(num_splits=2, num_val=1, num_test=1),
    "all points": T.FixedPoints(9, replace=False, allow_duplicates=False),
    "points drawn with replacement": T.FixedPoints(9, replace=True),
    "masks as indices": T.MaskToIndex(replace=True),
    "masks as indices and back": lambda data: T.IndexToMask(sizes=9)(T.MaskToIndex(replace=True)(data)),
    "dense, padded": T.ToDense(12),
    "padded without the clips": T.Pad(12, 99, exclude_keys=["clip"]),
    "half-hopped": lambda data: T.HalfHop(p=1.0)(without_weights(data)),
    "concatenated with itself": lambda data: data.concat(data),
    "joined with another graph": lambda data: data.concat(small_graph(9, [(0, 1)], 7)),
    "updated with another graph": lambda data: copy.copy(data).update(small_graph(9, [(0, 1)], 7)),
    "from a dictionary": lambda data: ClipGraph.from_dict(data.to_dict()),
    "batched": lambda data: Batch.from_data_list([data, data]),
    "unbatched": lambda data: Batch.from_data_list([data, data]).get_example(1),
    "collated": lambda data: InMemoryDataset.collate([data, data])[0],
    "heterogeneous": lambda data: data.to_heterogeneous(),
}


def without_weights(data: ClipGraph) -> ClipGraph:
    out = copy.copy(data)
    del out["edge_weight"]
    return out


def keeps_or_refuses(made: object, whole: ClipGraph) -> bool:
    """Whether the result has a table, which then must be right."""
    if not isinstance(made, ClipGraph):
        assert not hasattr(made, "table")
        return False
    try:
        made.check()
    except InputError as error:
        assert "\n" not in str(error)
        return False
    says_the_truth(made, whole)
    for pair, weight in edges_of(made, whole).items():  # none has the weight of another
        assert edges_of(whole, whole).get(pair, weight) == weight or set(made.edge_weight.tolist()) != set(
            whole.edge_weight.tolist()
        )
    return True


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(max_examples=10, deadline=None)
@given(graphs())
def test_every_transform_keeps_or_refuses(name, whole):
    before = copy.deepcopy(whole)
    try:
        transform = getattr(T, name)(*ARGUMENTS.get(name, ()))
        made = transform(whole)
    except Exception:  # PyG's own refusals: no faces, no compiled library, three dimensions
        return
    for one in made if isinstance(made, tuple) else [made]:
        if isinstance(one, ClipGraph) and name not in ("NormalizeFeatures", "Constant"):  # which change x
            keeps_or_refuses(one, before)
    says_the_truth(whole, before)


KEPT = {"masks as indices and back"}


@pytest.mark.parametrize("name", list(FURTHER))
def test_the_rest_of_pyg_keeps_or_refuses(name):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (FixedPoints draws from it)
    whole = small_graph(9, [(0, 1), (1, 2), (2, 0), (5, 6), (6, 5)], 1)
    assert keeps_or_refuses(FURTHER[name](whole), whole) == (name in KEPT)
    whole.check()


def test_as_many_edges_as_clips():
    """PyG tells node attributes from edge attributes by their length; here both are 5."""
    whole = small_graph(5, [(0, 1), (1, 0), (2, 1), (3, 2), (0, 2)], 0)
    assert whole.num_edges == whole.num_nodes
    for part in (whole.subgraph(torch.tensor([3, 1, 0])), T.RemoveIsolatedNodes()(whole)):
        says_the_truth(part, whole)
        has_the_edges(part, whole)
    with pytest.raises(InputError):
        T.LineGraph()(whole).check()


def test_a_batch_has_the_rows_of_its_nodes(toy_graph):
    loader = NeighborLoader(toy_graph, [3], batch_size=20, input_nodes=toy_graph.train_mask)
    for batch in loader:
        assert list(batch.table.index) == list(toy_graph.table.index[batch.n_id.numpy()])
    seeds = torch.tensor([4, 4, 7])
    (batch,) = NeighborLoader(toy_graph, [0], batch_size=3, input_nodes=seeds)
    assert list(batch.table.index) == list(toy_graph.table.index[seeds.numpy()])
    with pytest.raises(InputError, match=r"s0/004\.wav is two nodes"):
        batch.check()


def test_clusters_have_the_rows_of_their_nodes(toy_graph, monkeypatch):
    monkeypatch.setattr(ClusterData, "_metis", lambda self, edge_index, n: torch.arange(n) % 2)
    for part, cluster in enumerate(ClusterData(toy_graph, 2, log=False)):
        assert isinstance(cluster, ClipGraph)
        assert set(cluster.table.index) == set(toy_graph.table.index[part::2])
        says_the_truth(cluster, toy_graph)


# What users do by hand.


def test_columns_added_in_place_stay(toy_graph):
    toy_graph.table["note"] = range(120)
    part = toy_graph.subgraph(torch.tensor([9, 4]))
    assert part.table["note"].tolist() == [9, 4]
    part.table["note"] = 0
    assert toy_graph.table["note"].tolist() == list(range(120))


def test_a_clone_shares_nothing(toy_graph):
    other = toy_graph.clone()
    other.table["note"] = 1
    other.meta.names["emotion"].append("joy")
    other.y[0] = -1
    assert "note" not in toy_graph.table and toy_graph.emotions == ["anger", "fear", "sadness"]
    assert toy_graph.y[0] == 0


def test_meta_changes_as_a_whole(toy_graph):
    toy_graph.meta = toy_graph.meta.replace(corpus="other")
    assert toy_graph.meta.corpus == "other" and toy_graph.emotions == ["anger", "fear", "sadness"]
    for wrong in ({"corpus": "third"}, None, "third"):
        with pytest.raises(InputError, match=r"^Bad meta of type \w+, expected a GraphMeta, e.g. data") as caught:
            toy_graph.meta = wrong
        assert "\n" not in str(caught.value)
    assert toy_graph.meta.corpus == "other"


def test_a_graph_that_is_put_together_by_hand():
    """Names are those of the table; whoever says nothing of the spectrograms has made the usual ones."""
    data = ClipGraph(num_nodes=2)
    data.table = pd.DataFrame({"emotion": ["joy", "fear"]}, ["a", "b"])
    assert data.meta == GraphMeta(names={"emotion": ["fear", "joy"]})
    assert data.meta.features == LogMelSettings()


def test_labels_may_be_hidden(toy_graph):
    toy_graph.y[5:] = -1
    toy_graph.speaker[3] = -1
    toy_graph.check()
    assert toy_graph.table["emotion"].notna().all()


@pytest.mark.parametrize(
    ("name", "row", "value", "said"),
    [
        (
            "y",
            3,
            1,
            r"y of clip s0/003.wav is 1, but its emotion in the table is 'anger' \(code 0\); change both",
        ),
        ("y", 3, 7, "y of clip s0/003.wav is 7"),
        ("speaker", 0, 1, "speaker of clip s0/000.wav is 1, but its speaker in the table is 's0'"),
        ("gender", 0, -2, "gender of clip s0/000.wav is -2"),
        ("test_mask", 0, True, "s0/000.wav is in train_mask and test_mask, expected at most one of train_mask"),
        ("clip", 0, 0, r"1 of 120 nodes are not in the graph's clip table \(first: 0\)"),
    ],
)
def test_numbers_that_contradict_the_table(toy_graph, name, row, value, said):
    toy_graph[name][row] = value
    for look in (toy_graph.check, lambda: toy_graph.table, lambda: toy_graph.node("s0/000.wav")):
        with pytest.raises(InputError, match=said) as error:
            look()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("column", [*CODES, "split"])
def test_names_changed_in_place_are_refused_and_put_back(toy_graph, column):
    toy_graph.table["note"] = 1
    before = toy_graph.table.copy()
    toy_graph.table[column] = before[column].iloc[::-1].to_numpy()
    with pytest.raises(InputError, match=rf"change both with data.table = data.table.assign\({column}="):
        toy_graph.check()
    pd.testing.assert_frame_equal(toy_graph.table, before)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: setattr(table, "index", table.index[::-1]),
        lambda table: table.loc.__setitem__("new.wav", table.iloc[0]),
    ],
)
def test_rows_changed_in_place_are_refused_and_put_back(toy_graph, change):
    before = toy_graph.table.copy()
    change(toy_graph.table)
    with pytest.raises(InputError, match="were sorted, dropped or renamed in place"):
        toy_graph.check()
    pd.testing.assert_frame_equal(toy_graph.table, before)


def test_codes_and_names_changed_together_are_fine(toy_graph):
    toy_graph.table.iloc[0, 0] = "fear"
    toy_graph.y[0] = 1
    toy_graph.train_mask[1] = False
    toy_graph.table.iloc[2, 0] = "anger"
    toy_graph.y[2] = 0
    toy_graph.check()
    assert toy_graph.table["emotion"][:3].tolist() == ["fear", "fear", "anger"]
    assert pd.isna(toy_graph.table["split"].iloc[1])


def test_a_table_that_is_assigned_sets_codes_and_masks(toy_graph):
    old = copy.copy(toy_graph)
    emotion = ["joy", *toy_graph.table["emotion"][1:]]
    toy_graph.table = toy_graph.table.assign(emotion=emotion, split=["test", *toy_graph.table["split"][1:]])
    assert toy_graph.emotions == ["anger", "fear", "joy", "sadness"]
    assert toy_graph.y[:3].tolist() == [2, 1, 3]
    assert (bool(toy_graph.train_mask[0]), bool(toy_graph.test_mask[0])) == (False, True)
    toy_graph.check()
    old.check()  # a shallow copy keeps what it had
    assert old.y[:3].tolist() == [0, 1, 2] and old.emotions == ["anger", "fear", "sadness"]


def test_tables_that_do_not_fit(toy_graph):
    with pytest.raises(InputError, match="The table has 2 rows, expected 120, one for each node"):
        toy_graph.table = toy_graph.table[:2]
    with pytest.raises(InputError, match=r"The clip s0/001\.wav is in the table twice"):
        toy_graph.table = toy_graph.table.iloc[[1, *range(1, 120)]]


WRONG: dict[str, tuple[Callable[[ClipGraph], object], str]] = {
    "no edge_index": (lambda data: data.update({"edge_index": None}), "edge_index of the graph is missing"),
    "a list": (lambda data: data.update({"y": [0] * 120}), "y of the graph is list, expected a tensor of int64"),
    "float edges": (lambda data: data.update({"edge_index": data.edge_index.float()}), "edge_index .* is float32"),
    "three rows": (
        lambda data: data.update({"edge_index": torch.zeros(3, 162, dtype=torch.int64)}),
        r"edge_index of the graph is \[3, 162\], expected \[2, number of edges\]",
    ),
    "edges to -1": (lambda data: data.edge_index[0].__setitem__(0, -1), "from -1 to .* nodes from 0 to 119"),
    "edges to N": (lambda data: data.edge_index[1].__setitem__(0, 120), "to 120, expected nodes from 0 to 119"),
    "far edges": (lambda data: data.edge_index[1].__setitem__(0, 2**40), f"to {2**40}, expected"),
    "too few weights": (
        lambda data: data.update({"edge_weight": data.edge_weight[1:]}),
        r"edge_weight of the graph is \[161\], expected 1 dimensions, the first of 162",
    ),
    "double weights": (
        lambda data: data.update({"edge_weight": data.edge_weight.double()}),
        "edge_weight .* float64",
    ),
    "masks of numbers": (lambda data: data.update({"val_mask": data.val_mask.long()}), "val_mask .* is int64"),
    "short y": (lambda data: data.update({"y": data.y[1:]}), r"y of the graph is \[119\]"),
    "short x": (lambda data: data.update({"x": data.x[1:]}), r"x of the graph is \[119, 31, 64\]"),
    "flat x": (lambda data: data.update({"x": data.x.flatten(1)}), r"x of the graph is \[120, 1984\], expected 3"),
    "double x": (lambda data: data.update({"x": data.x.double()}), "x .* is float64, expected float16 or float32"),
    "fewer frames": (lambda data: data.update({"x": data.x[:, 1:]}), r"x .* \[30, 64\], expected \[31, 64\]"),
    "other emb": (lambda data: data.update({"emb": data.emb[0]}), r"emb of the graph is \[16\]"),
    "an attribute of edges": (
        lambda data: data.update({"edge_attr": data.edge_weight}),
        "edge_attr and edge_weight",
    ),
    "more nodes": (lambda data: data.update({"num_nodes": 121}), "expected .* the first of 121"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_tensors_that_are_wrong_are_named(toy_graph, name):
    change, said = WRONG[name]
    toy_graph.check()
    change(toy_graph)
    with pytest.raises(InputError, match=said) as error:
        toy_graph.check()
    assert "\n" not in str(error.value)


def test_edges_that_stayed_where_nodes_moved(toy_graph):
    points = T.FixedPoints(120, replace=False)(toy_graph)
    with pytest.raises(InputError, match="The nodes changed or moved, but edge_index did not change"):
        points.check()
    other = copy.copy(toy_graph)
    order = torch.randperm(162, generator=torch.Generator().manual_seed(0))
    other.edge_index = toy_graph.edge_index[:, order]
    with pytest.raises(InputError, match="edge_index has a new order, but edge_weight did not change"):
        other.check()
    other.edge_weight = toy_graph.edge_weight[order]
    other.check()
    isolated = int((toy_graph.degrees() + toy_graph.edge_index[0].bincount(minlength=120) == 0).nonzero()[-1])
    kept = [*(node for node in range(120) if node != isolated)]
    assert toy_graph.edge_index.max() < isolated  # so that no edge gets another number
    toy_graph.subgraph(torch.tensor(kept)).check()


def test_pyg_reads_numbers_of_classes_and_features(toy_graph):
    assert toy_graph.num_classes == 3
    assert toy_graph.num_node_features == toy_graph.num_features == toy_graph.emb.shape[1]
    assert Batch.from_data_list([toy_graph, toy_graph]).num_node_features == toy_graph.emb.shape[1]
    assert ClipGraph(x=torch.zeros(2, 5), num_nodes=2).num_node_features == 5


def test_scope_all_gives_test_clips_neighbours_and_the_default_does_not(toy_graph):
    tested = toy_graph.test_mask
    assert not toy_graph.degrees()[tested].any()
    parts = {"emb": toy_graph.emb, "x": toy_graph.x, "features": toy_graph.meta.features}
    everywhere = build_graph(toy_graph.table, scope="all", epsilon=None, n_neighbors=4, **parts)
    assert (everywhere.degrees()[tested] == 4).all()
