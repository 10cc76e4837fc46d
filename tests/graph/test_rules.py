"""Who becomes a neighbour: every rule against the same graph made by brute force."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph import EdgeRules, Space, add_clips, build_graph
from ser_graph.graph import epsilon as epsilon_module
from ser_graph.graph.building import find_edges
from ser_graph.graph.neighbours import local_penalty, nearest_neighbours, sampled_recall
from ser_graph.graph.rules import trust

SHORT = LogMelSettings(n_samples=512, n_mels=2)


@pytest.fixture(autouse=True)
def few_random_pairs(monkeypatch):
    """The histogram's 200,000 random pairs are most of the time of building a small graph."""
    whole = epsilon_module._random_pairs
    monkeypatch.setattr(epsilon_module, "_random_pairs", lambda unit, n, seed: whole(unit, min(n, 2000), seed))


def table_of(n, **columns):
    values = {"emotion": "anger", "speaker": "a", "gender": "male", "duration": 1.0, "split": "train"}
    return pd.DataFrame({**values, **columns}, index=pd.Index([f"{row:02d}.wav" for row in range(n)], name="file"))


def build(table, emb, rules=None, **how):
    x = torch.zeros(len(table), 1, 2)
    how = {"epsilon": None, "features": SHORT, "x": x, "rules": rules or EdgeRules(), **how}
    return build_graph(table, emb=torch.as_tensor(emb, dtype=torch.float32), **how)


def search(table, emb, rules, k, epsilon=None):
    """The edges as `build_graph` finds them, without the rest of a graph."""
    how = {"epsilon": epsilon, "n_neighbors": k, "method": "exact", "seed": 0, "n_jobs": None}
    edge_index, _, figures = find_edges(emb, table, {**how, "space": {}, "rules": rules.to_dict()})
    return [tuple(edge) for edge in edge_index.T.tolist()], figures


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
    edges, figures = search(table, emb, EdgeRules(across=across), k, epsilon)
    assert edges == expected
    assert figures["recall"] == 1


def differ(one, other):
    return pd.isna(one) or pd.isna(other) or one != other


def test_missing_values_differ_from_all():
    table = table_of(3, sentence=["1", None, None])
    data = build(table, [[1, 0], [1, 0.1], [1, 0.2]], EdgeRules(across=("sentence",)))
    assert sorted(edges_of(data)) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


@settings(deadline=None, max_examples=20)
@given(corpora(), st.integers(1, 5))
def test_mutual_edges_are_those_networkx_finds_in_both_directions(corpus, k):
    table, emb = corpus
    both = nx.DiGraph(search(table, emb, EdgeRules(), k)[0]).to_undirected(reciprocal=True)
    edges, figures = search(table, emb, EdgeRules(mutual=True), k)
    assert {frozenset(edge) for edge in edges} == {frozenset(edge) for edge in both.edges}
    assert len(edges) == 2 * both.number_of_edges()
    assert figures["coverage"] == sum(degree > 0 for _, degree in both.degree) / len(table)


@settings(deadline=None, max_examples=20)
@given(st.integers(3, 30), st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_local_scaling_chooses_by_csls(n, k, seed, apart):
    emb = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    groups = torch.arange(n)[:, None] % 3 if apart else None
    similarity = cosines(emb).astype(float)
    allowed = ~np.eye(n, dtype=bool)
    if apart:
        allowed &= (np.arange(n)[:, None] % 3) != (np.arange(n) % 3)
    near = np.where(allowed, similarity, -np.inf)
    r = np.array([np.mean(np.sort(row[row > -np.inf])[::-1][:10]) for row in near])
    csls = np.where(allowed, 2 * similarity - r[:, None] - r[None], -np.inf)
    penalty = local_penalty(emb, groups)
    ids, found = nearest_neighbours(emb, k, groups=groups, penalty=penalty)
    for row in range(n):
        chosen = [other for other in ids[row].tolist() if other >= 0]
        best = np.argsort(-csls[row])[: min(k, allowed[row].sum())]
        np.testing.assert_allclose(sorted(csls[row, chosen]), sorted(csls[row, best]), atol=1e-5)
        assert found[row, : len(chosen)].tolist() == sorted(found[row, : len(chosen)].tolist(), reverse=True)
    assert sampled_recall(emb, ids, groups=groups, penalty=penalty) == 1


def test_local_scaling_takes_a_hub_off_its_place():
    # Clip 0 lies in the middle of a ring of five: cos 45° = .71 from each, the next on the ring are at .65.
    angles = torch.arange(5) * 2 * torch.pi / 5
    emb = torch.cat([torch.tensor([[0.0, 0.0, 1.0]]), torch.stack([angles.cos(), angles.sin(), torch.ones(5)], 1)])
    plain = build(table_of(6), emb, n_neighbors=1)
    scaled = build(table_of(6), emb, EdgeRules(local_scaling=True), n_neighbors=1)
    assert [int((data.edge_index[0] == 0).sum()) for data in (plain, scaled)] == [5, 0]
    torch.testing.assert_close(scaled.edge_weight[0], torch.tensor(cosines(emb)[0, edges_of(scaled)[0][0]]))


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(0, 999))
def test_trust_is_counted_by_hand(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 3, n)
    labels[0] = 2
    edges = rng.integers(0, n, (2, 20))
    expected = []
    for clip in range(n):
        votes = [labels[a] for a, b in edges.T if b == clip and labels[a] >= 0]
        counts = [votes.count(label) for label in range(3)]
        own = counts[labels[clip]] if labels[clip] >= 0 else max(counts)
        expected.append((own + 1) / (len(votes) + 3))
    found = trust(torch.from_numpy(edges), torch.from_numpy(labels))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_weights_by_agreement_look_at_training_labels_alone():
    rng = np.random.default_rng(0)
    emotion = rng.choice(["anger", "fear"], 30)
    split = np.array(["train", "dev"])[np.arange(30) % 2]
    table = table_of(30, emotion=emotion, split=split, speaker=split)
    emb, rules = torch.randn(30, 4, generator=torch.Generator().manual_seed(1)), EdgeRules(weights="agreement")
    data = build(table, emb, rules, scope="train+dev")
    other = build(table.assign(emotion=np.where(split == "dev", "fear", emotion)), emb, rules, scope="train+dev")
    assert torch.equal(data.edge_weight, other.edge_weight)
    plain = build(table, emb, scope="train+dev")
    assert sorted(edges_of(data)) == sorted(edges_of(plain))
    similarity = dict(zip(edges_of(plain), plain.edge_weight.tolist(), strict=True))
    labels = torch.tensor(
        [{"anger": 0, "fear": 1}[e] if s == "train" else -1 for e, s in zip(emotion, split, strict=True)]
    )
    trusted = trust(plain.edge_index, labels)
    for edge, weight in zip(edges_of(data), data.edge_weight.tolist(), strict=True):
        assert weight == pytest.approx(similarity[edge] * float(trusted[edge[0]]), rel=1e-6)
    for seed in range(30):  # the strongest first, as in every graph
        own = data.edge_weight[data.edge_index[1] == seed]
        assert own.tolist() == sorted(own.tolist(), reverse=True)


@pytest.mark.parametrize(
    ("rules", "columns", "message"),
    [
        ({"across": ["sentence"]}, {}, "Bad column in across 'sentence', expected one of"),
        ({"across": ["sentence"]}, {"sentence": None}, "Bad column in across 'sentence'"),
        ({"across": ["duration"]}, {}, "Bad column in across 'duration'"),
        ({"weights": "agreement"}, {"emotion": None}, "labelled training clips, and there are none"),
        ({"across": "speaker"}, {}, r"Bad across 'speaker', expected a list .* \['speaker'\]"),
        ({"weights": "labels"}, {}, r"Bad weights 'labels', expected one of \['agreement', 'similarity'\]"),
    ],
)
def test_bad_rules_are_one_line(rules, columns, message):
    with pytest.raises(InputError, match=message) as caught:
        build(table_of(4, **columns), torch.eye(4) + 0.1, EdgeRules(**rules))
    assert "\n" not in str(caught.value)


class Unasked:
    """An upstream that is not to be asked: embedding is the long work."""

    emotions = ()

    def embed(self, *_, **__):
        raise AssertionError("embedded before the mistake was found")


@pytest.mark.parametrize(
    "how",
    [
        {"rules": EdgeRules(across=("accent",))},
        {"rules": EdgeRules(weights="agreement")},
        {"epsilon": "agreement"},
        {"epsilon": "coverage:2"},
        {"space": Space(center="speaker")},
        {"space": Space(posterior=True)},
    ],
)
def test_mistakes_are_found_before_the_long_work(how):
    with pytest.raises(InputError):
        build_graph(table_of(4, emotion=None, speaker=list("abcd")), Unasked(), **how)


def test_one_speaker_alone_has_no_other_speakers():
    data = build(table_of(4), torch.eye(4) + 0.1, EdgeRules(across=("speaker",)))
    assert data.edge_index.shape == (2, 0)
    assert data.meta["graph"]["coverage"] == 0


@pytest.mark.parametrize(
    "how",
    [
        {"rules": EdgeRules(across=("speaker",))},
        {"rules": EdgeRules(mutual=True)},
        {"rules": EdgeRules(local_scaling=True)},
        {"rules": EdgeRules(weights="agreement")},
        {"space": Space(center="speaker")},
        {"epsilon": "coverage:0.5"},
        {"epsilon": "agreement"},
    ],
)
def test_adding_clips_equals_building_the_whole(how):
    rng = np.random.default_rng(0)
    table = table_of(24, speaker=rng.permutation(["a", "b", "c"] * 8), emotion=rng.choice(["x", "y"], 24))
    emb = torch.from_numpy(rng.normal(size=(24, 3))).float()
    whole = build(table, emb, **how)
    grown = add_clips(build(table[:16], emb[:16], **how), table[16:], emb=emb[16:], x=torch.zeros(8, 1, 2))
    assert torch.equal(grown.edge_index, whole.edge_index)
    assert torch.equal(grown.edge_weight, whole.edge_weight)
    assert grown.meta["graph"] == whole.meta["graph"]


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
