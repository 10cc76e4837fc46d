import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph import build_graph, epsilon as epsilon_module
from ser_graph.graph.epsilon import (
    NoEdgeError,
    UselessEpsilon,
    edge_measures,
    epsilon_of_coverage,
    similarity_measures,
)
from ser_graph.graph.neighbours import nearest_neighbours, unit_rows

pytestmark = pytest.mark.usefixtures("few_random_pairs")


def build(emb, epsilon, table=None, **more):
    if table is None:
        index = pd.Index([f"{clip}.wav" for clip in range(len(emb))], name="file")
        table = pd.DataFrame(
            {"emotion": "anger", "speaker": "s", "gender": "male", "duration": 1.0, "split": "train"}, index=index
        )
    features = LogMelSettings(n_samples=512, n_mels=4)
    return build_graph(table, emb=emb, x=torch.zeros(len(emb), 1, 4), features=features, epsilon=epsilon, **more)


def blob(n, spread, seed=0):
    """Rows around one direction; the smaller the spread, the more similar."""
    return torch.ones(n, 16) + spread * torch.randn(n, 16, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003]), st.integers(3, 60), st.integers(0, 99))
@pytest.mark.filterwarnings("ignore::ser_graph.graph.epsilon.UselessEpsilon")
def test_the_suggested_epsilon_leaves_edges(spread, n, seed):
    emb = blob(n, spread, seed)
    with pytest.raises(InputError, match=r"^epsilon=0.99999999 leaves no edge: ") as caught:
        build(emb, 0.99999999)
    pattern = r"try epsilon=(-?[\d.]+) \(([\d,]+) edges\), or None for no threshold \(([\d,]+) edges\)"
    suggested, *said = re.search(pattern, str(caught.value)).groups()
    made = [build(emb, epsilon).meta.measured.n_edges for epsilon in (float(suggested), None)]
    assert [int(number.replace(",", "")) for number in said] == made
    assert made[0] >= 0.5 * n * min(6, n - 1)


def test_the_suggestion_obeys_the_rules_on_edges():
    """Mutual edges are fewer: the message gives their number, and proposes a smaller epsilon that leaves some."""
    emb = torch.tensor([[1.0, 0.0], [0.99, 0.14], [0.0, 1.0], [0.1, 1.0], [-1.0, 0.1]])
    how = {"mutual": True, "n_neighbors": 1}
    with pytest.raises(NoEdgeError) as caught:
        build(emb, 0.9999999, **how)
    suggested, said = re.search(r"try epsilon=(-?[\d.]+) \((\d+) edges\)", str(caught.value)).groups()
    assert build(emb, float(suggested), **how).meta.measured.n_edges == int(said) > 0


@pytest.mark.filterwarnings("ignore::ser_graph.graph.epsilon.UselessEpsilon")
def test_the_suggestion_for_equal_and_for_opposite_clips():
    for emb, shown in ((torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5]]), "0.49"), (torch.eye(2), "-0.01")):
        with pytest.raises(InputError, match=rf"try epsilon={shown} \(2 edges\), or None"):
            build(emb, 0.9)
        assert build(emb, float(shown)).meta.measured.n_edges == 2
    assert build(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), None).edge_weight.tolist() == [-1, -1]


def test_low_coverage_is_called_out():
    emb = torch.cat([blob(2, 0.001), torch.eye(16).repeat(2, 1) * torch.linspace(-3, 3, 32)[:, None]])
    emb[2:] += torch.randn(32, 16, generator=torch.Generator().manual_seed(0)) * 2
    with pytest.warns(
        UselessEpsilon, match=r"epsilon=0.999 leaves only 5.9% of the clips with a neighbour.*try"
    ) as told:
        data = build(emb, 0.999)
    assert data.meta.measured.coverage == 2 / 34
    assert told[0].filename == build.__code__.co_filename


def test_too_low_an_epsilon_is_called_out():
    with pytest.warns(UselessEpsilon, match="epsilon=0.1 has little effect: 100% of random pairs are above it"):
        build(blob(40, 0.1), 0.1)


def test_a_useful_epsilon_and_none_are_silent(toy_graph):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epsilon in (0.96, None):
            assert build(toy_graph.emb, epsilon).meta.measured.epsilon == epsilon
        build(blob(40, 0.001), None)


def test_measures_by_hand():
    edge_index = torch.tensor([[1, 2, 0], [0, 0, 3]])
    assert edge_measures(edge_index, torch.zeros(8, 2)) == {"n_in_scope": 8, "n_edges": 3, "coverage": 0.25}
    assert edge_measures(edge_index[:, :0], torch.zeros(0, 2)) == {"n_in_scope": 0, "n_edges": 0, "coverage": 0.0}


def test_histogram_and_quantiles():
    emb = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    unit, nearest = unit_rows(emb), nearest_neighbours(emb, 5)[1]
    measured = similarity_measures(unit, nearest, 0.4, n_pairs=2000)
    histogram = measured["similarity_histogram"]
    assert sum(histogram.nearest) == 1000
    assert sum(histogram.pairs) == 2000
    edges = np.linspace(histogram.low, histogram.high, 61)
    expected = np.histogram(nearest.double().numpy(), edges)[0]
    assert np.abs(np.array(histogram.nearest) - expected).sum() <= 2  # a value on an edge may round either way
    assert edges[0] <= float(nearest.min())
    assert edges[-1] > float(nearest.max())
    quantiles = measured["similarity_quantiles"]
    for share, value in quantiles.items():
        assert value == pytest.approx(np.quantile(nearest.double().numpy(), float(share)))
    # Random pairs are pairs of two different clips: the share above epsilon is that of all pairs.
    similarity = (unit @ unit.T)[~torch.eye(200, dtype=torch.bool)]
    assert measured["pairs_above_epsilon"] == pytest.approx(float((similarity > 0.4).double().mean()), abs=0.03)
    assert similarity_measures(unit, nearest, None)["pairs_above_epsilon"] == 1.0


def test_quantiles_of_very_many_look_at_all_columns(monkeypatch):
    monkeypatch.setattr(epsilon_module, "_QUANTILES_OF", 5_000)
    nearest = torch.linspace(0.9, 0.4, 6).repeat(10_000, 1)
    quantiles = similarity_measures(torch.eye(3), nearest, None)["similarity_quantiles"]
    assert quantiles["0.5"] in (pytest.approx(0.6), pytest.approx(0.7))
    assert (quantiles["0.25"], quantiles["0.99"]) == (pytest.approx(0.5), pytest.approx(0.9))


def test_missing_neighbours_are_not_counted():
    unit = torch.eye(3)
    nearest = torch.tensor([[0.5, -torch.inf], [0.5, 0.25], [-torch.inf, -torch.inf]])
    measured = similarity_measures(unit, nearest, 0.4, n_pairs=10)
    assert sum(measured["similarity_histogram"].nearest) == 3
    assert measured["similarity_quantiles"]["0.5"] == 0.5


@pytest.mark.filterwarnings("ignore::ser_graph.graph.epsilon.UselessEpsilon")
def test_two_clips_and_one():
    measured = build(blob(2, 0.001), 0.9).meta.measured
    assert (measured.n_edges, measured.coverage) == (2, 1.0)
    assert sum(measured.similarity_histogram.nearest) == 2
    alone = build(blob(1, 0.1), 0.9)
    assert alone.edge_index.shape == (2, 0)
    assert alone.meta.measured.similarity_quantiles == {}
    assert alone.meta.measured.similarity_histogram is None


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 20), st.floats(0.05, 1), st.integers(0, 999))
def test_epsilon_of_coverage_is_the_largest_that_covers_so_many(n, share, seed):
    rng = np.random.default_rng(seed)
    edges = torch.from_numpy(np.stack([rng.integers(n, size=3 * n), np.tile(np.arange(n), 3)]))
    similarity = torch.from_numpy(rng.choice([0.1, 0.2, 0.5, 0.7, 0.9], 3 * n)).float()
    epsilon = epsilon_of_coverage(edges, similarity, n, share)

    def covered(threshold):
        return len(set(edges[1, similarity > threshold].tolist())) / n

    assert covered(epsilon) >= share - 1e-9
    assert all(covered(other) < share for other in similarity.unique().tolist() if other > epsilon)


def test_a_chosen_epsilon_is_noted_and_covers(toy_graph):
    data = build(toy_graph.emb, "coverage:0.6", toy_graph.table)
    epsilon = data.meta.measured.epsilon
    assert data.meta.settings.epsilon == "coverage:0.6"
    assert data.meta.measured.coverage >= 0.6
    again = build(toy_graph.emb, epsilon, toy_graph.table)
    assert torch.equal(again.edge_index, data.edge_index)
    assert again.meta.settings.epsilon == again.meta.measured.epsilon == epsilon


@pytest.mark.parametrize(
    ("epsilon", "message"),
    [
        ("coverage:1.2", "Bad epsilon 'coverage:1.2', expected a share of clips above 0 and at most 1"),
        ("coverage:0", "Bad epsilon 'coverage:0'"),
        ("coverage:nan", "Bad epsilon 'coverage:nan'"),
        ("coverage", "Bad epsilon 'coverage'"),
        ("much", "Bad epsilon 'much', expected a cosine similarity from -1 to below 1, 'none', or 'coverage:0.8'"),
    ],
)
def test_epsilons_that_cannot_be_chosen(epsilon, message, toy_graph):
    with pytest.raises(InputError, match=message):
        build(toy_graph.emb, epsilon, toy_graph.table)


def test_coverage_that_cannot_be_had_says_what_can(toy_graph):
    with pytest.raises(InputError, match=r"'coverage:1' is impossible: only \d+ of 75 clips \([\d.]+%\) have any"):
        build(toy_graph.emb, "coverage:1", toy_graph.table, mutual=True, n_neighbors=1)
