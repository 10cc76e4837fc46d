import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.audio.mapped import _mapping_of, map_array
from ser_graph.audio.settings import LogMelSettings
from ser_graph.corpora import with_copies
from ser_graph.errors import InputError
from ser_graph.graph import add_clips, build_graph
from ser_graph.upstream import EmbeddingSettings

SHORT = LogMelSettings(n_samples=512, n_mels=2)


pytestmark = pytest.mark.usefixtures("few_random_pairs")


def clips(names, split="train"):
    return pd.DataFrame(
        {"emotion": "anger", "speaker": split, "gender": "male", "duration": 1.0, "split": split},
        index=pd.Index(list(names), name="file"),
    )


def named_edges(data):
    files = data.table.index
    ends = [(files[a], files[b]) for a, b in data.edge_index.T.tolist()]
    return dict(zip(ends, data.edge_weight.tolist(), strict=True))


def spectrograms(n):
    return torch.arange(2.0 * n).view(n, 1, 2)


@st.composite
def corpora(draw):
    """A corpus in random order, some of its clips equal, and how many of them come first."""
    n, seed = draw(st.integers(2, 30)), draw(st.integers(0, 999))
    generator = np.random.default_rng(seed)
    pool = generator.normal(size=(draw(st.integers(1, 30)), 3))
    names = [f"{name:02d}.wav" for name in generator.permutation(n)]
    table = clips(names, generator.choice(["train", "dev", "test"], n, p=[0.6, 0.2, 0.2]))
    table.iloc[0, table.columns.get_loc("split")] = "train"
    table["speaker"] = table["split"]
    emb = torch.from_numpy(pool[generator.integers(len(pool), size=n)]).float()
    return table, emb, draw(st.integers(1, n - 1))


@settings(deadline=None, max_examples=40)
@given(
    corpora(),
    st.integers(1, 6),
    st.sampled_from([None, -0.9, 0.0, 0.8]),
    st.sampled_from(["train", "train+dev", "all"]),
)
@pytest.mark.filterwarnings("ignore::ser_graph.graph.epsilon.UselessEpsilon")
def test_adding_a_part_equals_building_the_whole(corpus, n_neighbors, epsilon, scope):
    table, emb, first = corpus
    how = {"epsilon": epsilon, "n_neighbors": n_neighbors, "scope": scope, "features": SHORT}
    x = spectrograms(len(table))
    try:
        old = build_graph(table[:first], emb=emb[:first], x=x[:first], **how)
        whole = build_graph(table, emb=emb, x=x, **how)
    except InputError as error:
        assert "leaves no edge" in str(error)
        return
    before = named_edges(old)
    grown = add_clips(old, table[first:], emb=emb[first:], x=x[first:])
    assert torch.equal(grown.edge_index, whole.edge_index)
    assert torch.equal(grown.edge_weight, whole.edge_weight)
    assert named_edges(grown) == named_edges(whole)
    assert grown.meta.data_hash == whole.meta.data_hash
    assert torch.equal(grown.x, x)
    assert torch.equal(grown.emb, emb)
    pd.testing.assert_frame_equal(grown.table, table)
    assert (grown.meta.settings, grown.meta.measured) == (whole.meta.settings, whole.meta.measured)
    assert named_edges(old) == before
    assert old.num_nodes == first


def test_a_better_neighbour_pushes_the_worst_out():
    emb = torch.tensor([[1.0, 0.0], [1.0, 0.5], [1.0, 1.0]])
    old = build_graph(clips("abc"), emb=emb, x=spectrograms(3), features=SHORT, epsilon=None, n_neighbors=1)
    assert sorted(named_edges(old)) == [("b", "a"), ("b", "c"), ("c", "b")]
    grown = add_clips(old, clips("d"), emb=torch.tensor([[1.0, 0.1]]), x=spectrograms(1))
    assert sorted(named_edges(grown)) == [("a", "d"), ("b", "c"), ("c", "b"), ("d", "a")]


def test_new_names_renumber_the_codes():
    old = build_graph(clips("ab"), emb=torch.eye(2), x=spectrograms(2), features=SHORT, epsilon=None)
    new = clips("c").assign(emotion="aaa", speaker="zzz")
    grown = add_clips(old, new, emb=torch.ones(1, 2), x=spectrograms(1))
    assert grown.emotions == ["aaa", "anger"]
    assert grown.y.tolist() == [1, 1, 0]
    assert grown.speaker.tolist() == [0, 0, 1]
    assert old.y.tolist() == [0, 0]


def test_clips_that_are_there_are_refused(toy_graph):
    with pytest.raises(InputError, match=r"2 clips are in the graph already, e.g. s0/000.wav"):
        add_clips(toy_graph, toy_graph.table[:2], emb=toy_graph.emb[:2], x=toy_graph.x[:2])
    numbered = toy_graph.table.reset_index(drop=True)  # names by number are names too
    how = {"features": LogMelSettings(n_samples=8192), "epsilon": None, "n_neighbors": 1}
    data = build_graph(numbered, emb=toy_graph.emb, x=toy_graph.x, **how)
    with pytest.raises(InputError, match=r"2 clips are in the graph already, e.g. 0"):
        add_clips(data, numbered[:2], emb=toy_graph.emb[:2], x=toy_graph.x[:2])


class FakeUpstream:
    def __init__(self, fingerprint):
        self.info = {}
        self.asked = []
        self._fingerprint = fingerprint

    def fingerprint(self):
        return self._fingerprint

    def embed(self, table, settings, **_):
        self.asked.append(settings.seconds)
        return torch.rand(len(table), 4, generator=torch.Generator().manual_seed(len(table)))


def test_another_upstream_is_refused():
    upstream = FakeUpstream("one")
    how = {"x": spectrograms(3), "features": SHORT, "epsilon": None, "seconds": 3.0}
    old = build_graph(clips("abc"), upstream, **how)
    with pytest.raises(InputError, match="Another upstream made this graph"):
        add_clips(old, clips("d"), FakeUpstream("two"), x=spectrograms(1))
    grown = add_clips(old, clips("d"), upstream, x=spectrograms(1))
    assert upstream.asked == [3.0, 3.0]  # the new clips are embedded as the old ones were
    assert grown.meta.upstream.fingerprint == "one"
    assert grown.meta.embedding == EmbeddingSettings(seconds=3.0)
    by_hand = add_clips(old, clips("d"), emb=torch.ones(1, 4), x=spectrograms(1))
    assert by_hand.meta.upstream.fingerprint == "one"
    with pytest.raises(InputError, match="add_clips needs the graph's upstream"):
        add_clips(old, clips("d"), x=spectrograms(1))


def test_other_spectrograms_are_refused(toy_graph):
    with pytest.raises(InputError, match=r"x has spectrograms of shape \(1, 2\), expected \(31, 64\)"):
        add_clips(toy_graph, clips("z"), emb=toy_graph.emb[:1], x=spectrograms(1))


def test_other_embeddings_are_refused(toy_graph):
    with pytest.raises(InputError, match="emb has 3 dimensions, expected 16"):
        add_clips(toy_graph, clips("z"), emb=torch.ones(1, 3), x=toy_graph.x[:1])


def test_a_speaker_does_not_come_into_a_second_split():
    old = build_graph(clips("ab"), emb=torch.eye(2), x=spectrograms(2), features=SHORT, epsilon=None)
    new = clips("c", "test").assign(speaker="train")
    with pytest.raises(InputError, match="1 speaker is in two splits"):
        add_clips(old, new, emb=torch.ones(1, 2), x=spectrograms(1))


def test_spectrograms_of_all_clips_are_written_to_a_file(tmp_path):
    names, emb, x = [f"{name}.wav" for name in range(6)], torch.eye(6) + 1, spectrograms(6).half()
    np.save(tmp_path / "old.npy", x[:4].numpy())
    data = build_graph(
        clips(names[:4]), emb=emb[:4], x=map_array(tmp_path / "old.npy"), epsilon=None, features=SHORT
    )
    more = add_clips(data, clips(names[4:]), emb=emb[4:], x=x[4:], out=tmp_path / "new.npy")
    assert _mapping_of(more.x) is not None
    assert torch.equal(more.x, x)
    in_memory = add_clips(data, clips(names[4:]), emb=emb[4:], x=x[4:])
    assert _mapping_of(in_memory.x) is None
    assert torch.equal(in_memory.x, x)
    assert torch.equal(in_memory.edge_index, more.edge_index)
    assert {path.name for path in tmp_path.iterdir()} == {"old.npy", "new.npy"}


@pytest.mark.parametrize("copied", ["all", "old", "new"])
@pytest.mark.parametrize("scope", ["train", "all"])
def test_copies_of_old_and_new_clips(scope, copied):
    """Clips with copies, or without, join a graph of clips with copies: edges are those of the originals."""
    rng = np.random.default_rng(0)
    table = clips([f"{name:02d}.wav" for name in range(16)], ["train", "train", "train", "dev"] * 4)
    emb = torch.from_numpy(rng.normal(size=(16, 3))).float()
    how = {"epsilon": None, "n_neighbors": 3, "scope": scope, "features": SHORT}
    whole = build_graph(table, emb=emb, x=spectrograms(16), **how)

    def part(rows, wanted):
        own = with_copies(table[rows], 1) if copied in ("all", wanted) else table[rows]
        times = len(own) // len(table[rows])
        return own, {"emb": emb[rows].repeat(times, 1), "x": spectrograms(16)[rows].repeat(times, 1, 1)}

    old, values = part(slice(0, 10), "old")
    new, added = part(slice(10, 16), "new")
    data = add_clips(build_graph(old, **values, **how), new, **added)
    assert data.num_nodes == len(old) + len(new)
    assert named_edges(data) == pytest.approx(named_edges(whole))
    assert (data.meta.measured.n_clips, data.meta.measured.coverage) == (16, whole.meta.measured.coverage)
