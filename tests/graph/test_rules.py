"""Who becomes a neighbour: every rule against the same graph made by brute force."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph import GraphSettings, build_graph
from ser_graph.graph.building import find_edges
from ser_graph.graph.epsilon import NoEdgeError
from ser_graph.graph.neighbours import nearest_neighbours, sampled_recall

SHORT = LogMelSettings(n_samples=512, n_mels=2)


pytestmark = pytest.mark.usefixtures("few_random_pairs")


def table_of(n, **columns):
    values = {"emotion": "anger", "speaker": "a", "gender": "male", "duration": 1.0, "split": "train"}
    return pd.DataFrame({**values, **columns}, index=pd.Index([f"{row:02d}.wav" for row in range(n)], name="file"))


def build(table, emb, **how):
    how = {"epsilon": None, "features": SHORT, "x": torch.zeros(len(table), 1, 2), **how}
    return build_graph(table, emb=torch.as_tensor(emb, dtype=torch.float32), **how)


def search(table, emb, k, epsilon=None, **rules):
    """The edges as `build_graph` finds them, without the rest of a graph."""
    edge_index, _, measured = find_edges(emb, table, GraphSettings(epsilon=epsilon, n_neighbors=k, **rules))
    return [tuple(edge) for edge in edge_index.T.tolist()], measured


def edges_of(data):
    return [tuple(edge) for edge in data.edge_index.T.tolist()]


def cosines(emb):
    unit = (emb.double() / emb.double().norm(dim=1, keepdim=True)).float().double()
    return (unit @ unit.T).clamp(-1, 1).float().numpy()


@st.composite
def corpora(draw):
    """Clips of a few speakers and sentences, some unknown, and embeddings of which some are equal."""
    n, seed = draw(st.integers(2, 25)), draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    pool = rng.normal(size=(draw(st.integers(2, 25)), 3))
    table = table_of(n, speaker=rng.choice(["a", "b", "c"], n), sentence=rng.choice(["1", "2", None], n))
    table.iloc[0, table.columns.get_loc("sentence")] = "1"
    return table, torch.from_numpy(pool[rng.integers(len(pool), size=n)]).float()


@settings(deadline=None, max_examples=20)
@given(
    corpora(),
    st.integers(1, 6),
    st.sampled_from([None, 0.3]),
    st.sampled_from([["speaker"], ["sentence", "speaker"]]),
)
def test_across_is_the_top_of_those_who_differ(corpus, k, epsilon, across):
    table, emb = corpus
    similarity, expected = cosines(emb), []
    for seed in range(len(table)):
        others = [
            other
            for other in range(len(table))
            if other != seed
            and all(differ(table[name].iloc[other], table[name].iloc[seed]) for name in across)
            and (epsilon is None or similarity[seed, other] > np.float32(epsilon))
        ]
        expected += [(other, seed) for other in sorted(others, key=lambda o, s=seed: (-similarity[s, o], o))[:k]]
    try:
        edges, measured = search(table, emb, k, epsilon, across=across)
    except NoEdgeError:
        assert epsilon is not None and not expected
        return
    assert edges == expected
    assert measured.recall == 1


def differ(one, other):
    return pd.isna(one) or pd.isna(other) or one != other


def test_missing_values_differ_from_all():
    table = table_of(3, sentence=["1", None, None])
    data = build(table, [[1, 0], [1, 0.1], [1, 0.2]], across=("sentence",))
    assert sorted(edges_of(data)) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


@settings(deadline=None, max_examples=20)
@given(corpora(), st.integers(1, 5))
def test_mutual_edges_are_those_networkx_finds_in_both_directions(corpus, k):
    table, emb = corpus
    both = nx.DiGraph(search(table, emb, k)[0]).to_undirected(reciprocal=True)
    edges, measured = search(table, emb, k, mutual=True)
    assert {frozenset(edge) for edge in edges} == {frozenset(edge) for edge in both.edges}
    assert len(edges) == 2 * both.number_of_edges()
    assert measured.coverage == sum(degree > 0 for _, degree in both.degree) / len(table)


@pytest.mark.parametrize(
    ("rules", "columns", "message"),
    [
        ({"across": ["sentence"]}, {}, "Bad column in across 'sentence', expected one of"),
        ({"across": ["sentence"]}, {"sentence": None}, "Bad column in across 'sentence'"),
        ({"across": ["duration"]}, {}, "Bad column in across 'duration'"),
        ({"across": "speaker"}, {}, r"Bad across 'speaker', expected a list .* \['speaker'\]"),
    ],
)
def test_bad_rules_are_one_line(rules, columns, message):
    with pytest.raises(InputError, match=message) as caught:
        build(table_of(4, **columns), torch.eye(4) + 0.1, **rules)
    assert "\n" not in str(caught.value)


class Unasked:
    """An upstream that is not to be asked: embedding is the long work."""

    emotions = ()

    def embed(self, *_, **__):
        raise AssertionError("embedded before the mistake was found")


@pytest.mark.parametrize(
    "how",
    [
        {"across": ("accent",)},
        {"epsilon": "coverage:2"},
        {"center": "speaker"},
        {"scope": "dev"},
        {"secs": 3.0},
    ],
)
def test_mistakes_are_found_before_the_long_work(how):
    with pytest.raises(InputError):
        build_graph(table_of(4, emotion=None, speaker=list("abcd")), Unasked(), **how)


def test_one_speaker_alone_has_no_other_speakers():
    data = build(table_of(4), torch.eye(4) + 0.1, across=("speaker",))
    assert data.edge_index.shape == (2, 0)
    assert data.meta.measured.coverage == 0


@pytest.mark.slow
def test_nndescent_keeps_the_rules_and_says_what_it_missed():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(30, 16, generator=generator)  # a voice each: the nearest are of one's own
    speaker = torch.randint(30, (1500,), generator=generator)
    emb = centres[speaker] + 0.3 * torch.randn(1500, 16, generator=generator)
    groups = speaker[:, None]
    exact, _ = nearest_neighbours(emb, 6, groups=groups)
    ids, _ = nearest_neighbours(emb, 6, method="nndescent", n_jobs=1, groups=groups)
    assert (ids >= 0).all()
    assert not (speaker[ids] == speaker[:, None]).any()
    shared = (ids[:, :, None] == exact[:, None]).any(2).double().mean()
    assert sampled_recall(emb, ids, groups=groups) == pytest.approx(float(shared), abs=0.03)
    assert shared > 0.9
