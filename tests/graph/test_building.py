import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch_geometric.data import Data

from ser_graph.analysis import nodes_in_scope
from ser_graph.audio.settings import LogMelSettings
from ser_graph.corpora import with_copies
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph, build_graph, building
from ser_graph.graph.building import data_hash, in_scope
from ser_graph.graph.epsilon import NoEdgeError, UselessEpsilon
from ser_graph.graph.meta import UpstreamMeta, parse_meta
from ser_graph.graph.neighbours import nearest_neighbours
from ser_graph.graph.settings import GraphSettings
from ser_graph.upstream import EmbeddingSettings, Upstream

SHORT = LogMelSettings(n_samples=512, n_mels=4)
SCOPES = {"train": ["train"], "train+dev": ["train", "dev"], "all": ["train", "dev", "test"]}


pytestmark = pytest.mark.usefixtures("few_random_pairs")


def clips(n, split="train", **columns):
    values = {"emotion": "anger", "speaker": split, "gender": "female", "duration": 1.0, "split": split}
    index = pd.Index([f"{clip:03d}.wav" for clip in range(n)], name="file")
    return pd.DataFrame({**values, **columns}, index=index)


def build(table, emb, **settings):
    emb = torch.as_tensor(emb, dtype=torch.float32)
    settings = {"features": SHORT, "x": torch.zeros(len(table), 1, 4), **settings}
    return build_graph(table, emb=emb, **settings)


def at_degrees(*degrees):
    """Unit vectors in a plane: the similarity of two is the cosine of the angle between them."""
    radians = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], 1)


def cosine(degrees):
    return float(np.cos(np.deg2rad(degrees)))


def test_four_clips_by_hand():
    #   angles       0    10    30    90
    #   file         000  001   002   003
    data = build(clips(4), at_degrees(0, 10, 30, 90), epsilon=0.8, n_neighbors=2)
    assert data.edge_index.tolist() == [[1, 2, 0, 2, 1, 0], [0, 0, 1, 1, 2, 2]]  # neighbours above, seeds below
    expected = [cosine(10), cosine(30), cosine(10), cosine(20), cosine(20), cosine(30)]
    torch.testing.assert_close(data.edge_weight, torch.tensor(expected))
    measured = data.meta.measured
    assert (measured.n_edges, measured.n_clips, measured.n_in_scope) == (6, 4, 4)
    assert (measured.coverage, measured.recall, measured.method) == (0.75, 1.0, "exact")
    assert data.degrees().tolist() == [2, 2, 2, 0]


def test_capped_lists_are_directed():
    data = build(clips(4), at_degrees(0, 10, 30, 90), epsilon=None, n_neighbors=1)
    assert data.edge_index.T.tolist() == [[1, 0], [0, 1], [1, 2], [2, 3]]


def test_epsilon_is_strict_and_a_float32():
    emb = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]])  # similarities 0.6, 0.6 and -0.28
    similarity = nearest_neighbours(emb, 1)[1].max()
    with pytest.warns(UselessEpsilon):
        assert build(clips(3), emb, epsilon=0.59).edge_index.shape[1] == 4
    with pytest.raises(InputError, match="leaves no edge"):
        build(clips(3), emb, epsilon=float(similarity))
    with pytest.raises(InputError, match="leaves no edge"):
        build(clips(3), emb, epsilon=0.6)


@st.composite
def corpora(draw):
    """A table with splits and embeddings of which some are equal."""
    n, seed = draw(st.integers(3, 30)), draw(st.integers(0, 999))
    generator = np.random.default_rng(seed)
    pool = generator.normal(size=(draw(st.integers(2, 30)), 3))
    table = clips(n, generator.choice(["train", "dev", "test"], n))
    table.iloc[0, table.columns.get_loc("split")] = "train"
    table["speaker"] = table["split"]
    return table, torch.from_numpy(pool[generator.integers(len(pool), size=n)]).float()


@settings(deadline=None, max_examples=40)
@given(corpora(), st.integers(1, 6), st.sampled_from([None, -0.5, 0.0, 0.7]), st.sampled_from(sorted(SCOPES)))
@pytest.mark.filterwarnings("ignore::ser_graph.graph.epsilon.UselessEpsilon")
def test_edges_are_the_top_of_the_epsilon_graph(corpus, n_neighbors, epsilon, scope):
    table, emb = corpus
    try:
        data = build(table, emb, epsilon=epsilon, n_neighbors=n_neighbors, scope=scope)
    except InputError as error:
        assert "leaves no edge" in str(error)
        edges, weights = [], []
    else:
        edges, weights = data.edge_index.T.tolist(), data.edge_weight.tolist()
    inside = [row for row, split in enumerate(table["split"]) if split in SCOPES[scope]]
    # The uncapped epsilon graph of the clips in scope, capped: kNN then filter must be the same.
    unit = (emb.double() / emb.double().norm(dim=1, keepdim=True)).float().double()
    expected = []
    for seed in inside:
        close = []
        for other in inside:
            similarity = float((unit[seed] * unit[other]).sum().clamp(-1, 1).float())
            if other != seed and (epsilon is None or np.float32(similarity) > np.float32(epsilon)):
                close.append((-similarity, other))
        expected += [(other, seed, -negative) for negative, other in sorted(close)[:n_neighbors]]
    assert edges == [[other, seed] for other, seed, _ in expected]
    assert weights == pytest.approx([similarity for *_, similarity in expected], abs=1e-6)


@pytest.mark.parametrize("scope", SCOPES)
def test_scope(scope):
    table = clips(9, ["train", "dev", "test"] * 3)
    data = build(table, at_degrees(*range(9)), epsilon=None, scope=scope, n_neighbors=8)
    ends = {table["split"].iloc[node] for node in data.edge_index.flatten().tolist()}
    assert ends == set(SCOPES[scope])
    assert data.meta.measured.n_in_scope == 3 * len(SCOPES[scope])
    assert in_scope(table, scope).tolist() == [split in ends for split in table["split"]]


def test_codes_and_masks():
    table = clips(4, ["train", "dev", "test", "train"], emotion=["joy", np.nan, "anger", "joy"])
    table["speaker"] = ["b", "a", None, "b"]
    table["gender"] = np.nan
    data = build(table, at_degrees(0, 1, 2, 3), epsilon=None)
    assert data.y.tolist() == [1, -1, 0, 1]
    assert data.speaker.tolist() == [1, 0, -1, 1]
    assert data.gender.tolist() == [-1] * 4
    assert {data[name].dtype for name in ("y", "speaker", "gender", "edge_index")} == {torch.int64}
    assert data.emotions == ["anger", "joy"]
    assert data.train_mask.tolist() == [True, False, False, True]
    assert data.val_mask.tolist() == [False, True, False, False]
    assert data.test_mask.tolist() == [False, False, True, False]
    assert data.table.index.tolist() == table.index.tolist()


def test_data_hash():
    table = clips(5, ["train"] * 3 + ["dev", "test"], emotion=["joy", "joy", "fear", "fear", np.nan])
    emb = at_degrees(0, 20, 40, 60, 80).float()
    hashed = data_hash(table, emb)
    order = [3, 1, 4, 0, 2]
    assert data_hash(table.iloc[order], emb[order]) == hashed
    assert data_hash(table.assign(duration=9.0), emb) == hashed
    assert data_hash(table.iloc[order], emb) != hashed
    others = [
        data_hash(table.assign(emotion="joy"), emb),
        data_hash(table.assign(split="train"), emb),
        data_hash(table.assign(speaker="s2"), emb),
        data_hash(table.rename({"000.wav": "0.wav"}), emb),
        data_hash(table, emb + 1e-6),
    ]
    assert len({hashed, *others}) == 6


def test_order_of_rows_does_not_matter(toy_graph, mixed_graph):
    assert list(mixed_graph.table.index) != list(toy_graph.table.index)
    assert mixed_graph.meta.data_hash == toy_graph.meta.data_hash

    def named(data):
        files = data.table.index
        ends = [(files[a], files[b]) for a, b in data.edge_index.T.tolist()]
        return dict(zip(ends, data.edge_weight.tolist(), strict=True))

    assert named(mixed_graph) == named(toy_graph)


def test_is_a_sound_pyg_graph(toy_graph, tmp_path):
    assert isinstance(toy_graph, Data)
    assert toy_graph.validate(raise_on_error=True)
    assert toy_graph.num_nodes == 120
    assert toy_graph.is_directed()
    assert not toy_graph.has_self_loops()
    assert not toy_graph.is_coalesced() or toy_graph.edge_index.shape[1] == toy_graph.coalesce().edge_index.shape[1]
    torch.save(toy_graph.to_dict(), tmp_path / "data.pt")
    loaded = Data.from_dict(torch.load(tmp_path / "data.pt", weights_only=True))
    names = set(toy_graph.keys())
    assert set(loaded.keys()) == names
    assert all(torch.equal(loaded[name], toy_graph[name]) for name in names - {"num_nodes"})
    assert loaded.num_nodes == 120


def test_table_and_meta_follow_copies(toy_graph):
    copy = toy_graph.clone()
    assert isinstance(copy, ClipGraph)
    assert copy.table.equals(toy_graph.table)
    assert copy.meta == toy_graph.meta
    assert not {"table", "meta", "_table", "_meta"} & set(toy_graph.keys())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scope": "dev"}, "Bad scope 'dev', expected one of"),
        ({"method": "hnsw"}, "Bad method 'hnsw', expected one of"),
        ({"epsilon": 1.0}, "Bad epsilon 1.0"),
        ({"epsilon": -1.5}, "Bad epsilon -1.5"),
        ({"epsilon": float("nan")}, "Bad epsilon nan"),
        ({"n_neighbors": 0}, "Bad n_neighbors 0"),
        (
            {"seconds": 1.0, "whiten": True},
            "Bad setting 'whiten', expected one of .*'epsilon'.*'layer'",
        ),
        ({"emb": None}, "needs an upstream"),
        ({"emb": torch.ones(2, 5)}, "emb has 2 rows, expected 3"),
        ({"emb": torch.zeros(3, 5)}, "Embedding 0 is zero or not finite"),
        ({"x": torch.zeros(4, 1, 4)}, "x has 4 rows, expected 3"),
        ({"x": torch.zeros(3, 2, 4)}, r"x has spectrograms of shape \(2, 4\), expected \(1, 4\)"),
        ({"table": clips(3, "test")}, "No clip in the split train"),
        ({"table": clips(3, np.nan), "scope": "train+dev"}, r"No clip in the split train\+dev"),
        ({"table": clips(3).rename({"001.wav": "000.wav"})}, "000.wav is in the table twice"),
    ],
)
def test_bad_input_is_one_line(settings, message):
    given = {"table": clips(3), "emb": torch.ones(3, 5), "x": torch.zeros(3, 1, 4), "features": SHORT, **settings}
    with pytest.raises(InputError, match=message) as caught:
        build_graph(given.pop("table"), **given)
    assert "\n" not in str(caught.value)


def test_embeddings_are_not_lost_where_epsilon_leaves_no_edge():
    x, upstream = torch.zeros(5, 1, 4), FakeUpstream()
    with pytest.raises(NoEdgeError, match="the attribute emb of this error holds the embeddings") as caught:
        build_graph(clips(5), upstream, x=x, features=SHORT, epsilon=0.999999, progress=False)
    torch.testing.assert_close(caught.value.emb, upstream.embed(clips(5), GraphSettings()))
    with pytest.raises(NoEdgeError) as caught:
        build_graph(clips(5), upstream, x=x, features=SHORT, epsilon=0.999999, cache="kept", progress=False)
    assert "attribute" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("data/emovo", r"Bad table 'data/emovo', expected a clip table; load a corpus: sg.load_corpus\('emovo'"),
        (Path("l.csv"), r"Bad table 'l.csv', .*sg.load_corpus\('table', 'labels.csv'\)"),
        (clips(3).reset_index(), r"stand in the column 'file', .*sg.load_corpus\('table', 'labels.csv'\)"),
        (clips(3).reset_index(names="Path"), r"stand in the column 'Path', .*sg.load_corpus\('table'"),
        ([1, 2], "Bad table of type list, expected a clip table"),
    ],
)
def test_what_is_no_clip_table_gets_the_right_call(table, words):
    for embed in (lambda: build_graph(table, FakeUpstream()), lambda: Upstream.small().embed(table)):
        with pytest.raises(InputError, match=words) as caught:
            embed()
        assert "\n" not in str(caught.value)


class FakeUpstream:
    """Stands in for the large model: embeds nothing, remembers what it was asked."""

    def __init__(self):
        self.info = {"weights": "fake", "corpus": "made up"}

    def embed(self, table, settings, **how):
        self.asked = {**settings.given, **how}
        return at_degrees(*range(len(table))).float()

    def fingerprint(self):
        return "f00"


def test_what_made_the_graph_is_recorded():
    upstream = FakeUpstream()
    x = torch.zeros(5, 1, 4)
    data = build_graph(clips(5), upstream, x=x, features=SHORT, epsilon=None, seconds=2.0, progress=False)
    assert upstream.asked == {"cache": None, "root": None, "device": None, "progress": False, "seconds": 2.0}
    assert data.meta.upstream == UpstreamMeta(fingerprint="f00", weights="fake", info={"corpus": "made up"})
    assert data.meta.embedding == EmbeddingSettings(seconds=2.0)
    assert data.meta.settings == GraphSettings(epsilon=None)
    assert parse_meta(json.loads(json.dumps(data.meta.model_dump(mode="json")))) == data.meta
    assert data.meta.features == SHORT
    assert data.meta.environment["packages"]["torch"]


def test_settings_are_an_object_or_single_fields():
    table, emb = clips(4), at_degrees(0, 10, 30, 90)
    whole = GraphSettings(epsilon=0.8, n_neighbors=2, across=["emotion"])
    one = build(table, emb, settings=whole, across=())
    other = build(table, emb, epsilon=0.8, n_neighbors=2)
    assert one.edge_index.shape[1] == 6
    assert torch.equal(one.edge_index, other.edge_index)
    assert (one.meta.settings, one.meta.measured) == (other.meta.settings, other.meta.measured)


def test_spectrograms_are_made_where_none_are_given(make_clips):
    folder = make_clips("000.wav", "001.wav", "002.wav")
    features = LogMelSettings(n_samples=2048)
    data = build_graph(
        clips(3), emb=torch.eye(3) + 1, epsilon=None, features=features, root=folder, out=folder / "x.npy"
    )
    assert data.x.shape == (3, features.n_frames, 64)
    assert (folder / "x.npy").exists()
    assert torch.isfinite(data.x).all()


def test_a_speaker_in_two_splits_is_refused_unless_asked_for():
    table = clips(4, ["train", "train", "test", "dev"], speaker=["a", "b", "b", "c"])
    with pytest.raises(InputError, match=r"1 speaker is in two splits: b \(train, test\)"):
        build(table, at_degrees(0, 1, 2, 3), epsilon=None)
    data = build(table, at_degrees(0, 1, 2, 3), epsilon=None, shared_speakers=True)
    assert data.meta.shared_speakers is True
    assert build(table, at_degrees(0, 1, 2, 3), epsilon=None, scope="all").num_nodes == 4


@pytest.mark.parametrize(("method", "order"), [("nndescent", ["compile", "embed"]), ("auto", ["embed"])])
def test_compilation_begins_before_clips_are_embedded_and_only_where_it_is_needed(monkeypatch, method, order):
    done = []

    class Watched(FakeUpstream):
        def embed(self, table, settings, **how):
            done.append("embed")
            return super().embed(table, settings, **how)

    monkeypatch.setattr(building, "compile_nndescent", lambda: done.append("compile"))
    monkeypatch.setattr(building, "nearest_neighbours", lambda emb, k, method, **_: nearest_neighbours(emb, k))
    x = torch.zeros(5, 1, 4)
    build_graph(clips(5), Watched(), x=x, features=SHORT, epsilon=None, method=method, progress=False)
    assert done == order


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"epsilon": "coverage:0.5"},
        {"center": "speaker"},
        {"center": "corpus"},
        {"across": ("speaker",), "mutual": True},
    ],
    ids=str,
)
def test_copies_are_nobodys_neighbours_and_have_none(scope, options):
    """Although each is as near to its original as can be; all figures are those of a graph without them."""
    rng = np.random.default_rng(0)
    table = clips(36, ["train", "train", "dev", "test"] * 9, emotion=["joy", "fear", "anger"] * 12)
    table["speaker"] = [f"{split}{row % 3}" for row, split in enumerate(table["split"])]
    emb = rng.normal(size=(36, 5))
    copies = np.concatenate([emb, emb * 1.0001, emb + 0.01 * rng.normal(size=emb.shape)])
    how = {"epsilon": None, "n_neighbors": 4, "scope": scope, **options}
    plain, data = build(table, emb, **how), build(with_copies(table, 2), copies, **how)
    assert data.edge_index.shape[1] >= 9
    assert torch.equal(data.edge_index, plain.edge_index)
    assert torch.equal(data.edge_weight, plain.edge_weight)
    assert (data.meta.settings, data.meta.measured) == (plain.meta.settings, plain.meta.measured)
    assert data.meta.measured.n_clips == 36
    assert nodes_in_scope(data).tolist() == [*in_scope(table, scope), *[False] * 72]
    assert data.meta.data_hash != plain.meta.data_hash
    # They are there to train on where their originals are, and nowhere else.
    assert data.num_nodes == 108
    for copy in (slice(36, 72), slice(72, 108)):
        assert torch.equal(data.train_mask[copy], data.train_mask[:36])
        assert torch.equal(data.y[copy], data.y[:36])
    assert not (data.val_mask | data.test_mask)[36:].any()


def test_another_number_or_speed_of_copies_is_another_graph():
    table = clips(6, speaker=list("aabbcc"))
    emb = at_degrees(*range(6)).repeat(3, 1)
    tables = [table, with_copies(table, 1), with_copies(table, 2), with_copies(table, 2, seed=1)]
    assert len({data_hash(one, emb[: len(one)].float()) for one in tables}) == 4


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int32"])
def test_arrays_are_taken_for_tensors(toy_graph, tmp_path, kind):
    how = {"epsilon": None, "n_neighbors": 3, "features": toy_graph.meta.features}
    emb, x = (10 * toy_graph.emb).numpy().astype(kind), (10 * toy_graph.x).numpy().astype(kind)
    np.save(tmp_path / "x.npy", x)
    expected = build_graph(toy_graph.table, emb=torch.from_numpy(emb).float(), x=torch.from_numpy(x).float(), **how)
    for array in (x, np.load(tmp_path / "x.npy", mmap_mode="r"), x[:, ::-1].copy()[:, ::-1]):
        data = build_graph(toy_graph.table, emb=emb, x=array, **how)
        assert data.emb.dtype == torch.float32
        assert data.x.dtype == (torch.float16 if kind == "float16" else torch.float32)
        assert torch.equal(data.x.float(), expected.x) and torch.equal(data.edge_index, expected.edge_index)
        data.check()


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("emb", 3, r"^emb is \[\] of int64, expected 2 dimensions of float32"),
        ("emb", "x", "^Bad emb of type str, expected a tensor or an array"),
        ("emb", [[1.0], ["a"]], "^Bad emb of type list"),
        ("emb", np.zeros(120), r"^emb is \[120\] of float64"),
        ("emb", np.zeros((120, 2), complex), "^emb is .* of complex128"),
        ("x", np.zeros((120, 3)), "^x is .* expected 3 dimensions"),
        ("x", np.zeros((120, 31, 64), bool), "^x is .* of bool"),
        ("x", np.zeros((119, 31, 64)), "^x has 119 rows, expected 120"),
    ],
)
def test_what_is_no_array_of_numbers_is_one_line(toy_graph, name, values, said):
    arrays = {"emb": toy_graph.emb, "x": toy_graph.x, name: values}
    with pytest.raises(InputError, match=said):
        build_graph(toy_graph.table, **arrays, epsilon=None, features=toy_graph.meta.features)
