"""Edges and packing order against TensorFlow's tools, as benchmarks/tensorflow_nsl.py recorded them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import Data

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph import NeighborLoader, TopNeighborSampler, build_graph

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "tensorflow_nsl.json").read_text("utf-8"))
GRAPHS = {case["name"]: case for case in RECORDED["graphs"]}
THRESHOLDS = ["0.5", "0.8", "0.95"]
CAPS = ["1", "2", "3", "None"]
SIX_DECIMALS = 6e-7  # TensorFlow's graphs are text of six decimals


def build(emb, threshold, n_neighbors=None, emotion="anger"):
    n = len(emb)
    columns = {"emotion": emotion, "speaker": "s", "gender": "female", "duration": 1.0, "split": "train"}
    return build_graph(
        pd.DataFrame(columns, index=pd.Index([f"{clip:02d}.wav" for clip in range(n)], name="file")),
        emb=torch.tensor(emb),
        x=torch.zeros(n, 1, 4),
        features=LogMelSettings(n_samples=512, n_mels=4),
        epsilon=threshold,
        n_neighbors=n_neighbors or n,
    )


def lists(edge_index, edge_weight):
    """seed -> [(neighbour, weight)] in the order of the edges."""
    found = {}
    for (neighbour, seed), weight in zip(edge_index.T.tolist(), edge_weight.tolist(), strict=True):
        found.setdefault(seed, []).append((neighbour, weight))
    return found


def packed(name, threshold, cap, naming="backwards"):
    recorded = GRAPHS[name]["thresholds"][threshold]["packed"][naming][cap]
    return {int(seed): [tuple(pair) for pair in found] for seed, found in recorded.items()}


def labelled(name):
    return torch.tensor(GRAPHS[name]["labelled"])


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.filterwarnings("ignore::ser_graph.graph.epsilon.UselessEpsilon")
def test_edges_of_the_graph_builder(name, threshold):
    data = build(GRAPHS[name]["emb"], float(threshold))
    expected = {(other, seed): weight for seed, other, weight in GRAPHS[name]["thresholds"][threshold]["edges"]}
    ours = dict(zip(map(tuple, data.edge_index.T.tolist()), data.edge_weight.tolist(), strict=True))
    assert ours.keys() == expected.keys()
    assert len(ours) == data.num_edges
    assert [ours[pair] for pair in expected] == pytest.approx(list(expected.values()), abs=SIX_DECIMALS, rel=0)


@pytest.mark.parametrize("name", GRAPHS)
def test_recorded_edges_are_those_of_every_pair(name):
    unit = np.array(GRAPHS[name]["emb"])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -1)
    for threshold in THRESHOLDS:
        recorded = {(seed, other) for seed, other, _ in GRAPHS[name]["thresholds"][threshold]["edges"]}
        assert recorded == set(
            zip(*(side.tolist() for side in np.nonzero(similarity >= float(threshold))), strict=True)
        )


@pytest.mark.parametrize("name", GRAPHS)
def test_the_papers_hashing_invents_no_edge(name):
    exact = GRAPHS[name]["thresholds"]["0.8"]["edges"]
    hashed = GRAPHS[name]["hashed_at_0.8"]
    assert {tuple(edge) for edge in hashed} <= {tuple(edge) for edge in exact}
    data = build(GRAPHS[name]["emb"], 0.8)
    assert {(seed, other) for seed, other, _ in hashed} <= set(map(tuple, data.edge_index.flip(0).T.tolist()))


@pytest.mark.filterwarnings("ignore::ser_graph.graph.epsilon.UselessEpsilon")
def test_a_similarity_of_exactly_the_threshold():
    """TensorFlow keeps it (>=), the paper and ours do not (>)."""
    case = RECORDED["at_threshold"]
    expected = {(seed, other): weight for seed, other, weight in case["edges"]}
    assert expected[0, 1] == expected[1, 0] == case["threshold"]
    data = build(case["emb"], case["threshold"])
    ours = set(map(tuple, data.edge_index.flip(0).T.tolist()))
    assert expected.keys() - ours == {(0, 1), (1, 0)}
    assert ours <= expected.keys()
    # The next smaller float32 is the same threshold as TensorFlow's.
    below = build(case["emb"], float(np.nextafter(np.float32(case["threshold"]), np.float32(0))))
    assert set(map(tuple, below.edge_index.flip(0).T.tolist())) == expected.keys()


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("name", GRAPHS)
def test_order_and_cap_of_packed_neighbours(name, threshold, cap):
    """The sampler on TensorFlow's own edges, given in any order: the same neighbours in the same order.

    Its ties go to the larger name and ours to the edge that stands first, so the clips were named backwards
    and the edges stand by ascending neighbour.
    """
    edges = torch.tensor(
        [[other, seed] for seed, other, _ in GRAPHS[name]["thresholds"][threshold]["edges"]]
    ).T.contiguous()
    weight = torch.tensor([weight for *_, weight in GRAPHS[name]["thresholds"][threshold]["edges"]])
    mixed = torch.randperm(len(weight), generator=torch.Generator().manual_seed(0))
    mixed = mixed[edges[0, mixed].argsort(stable=True)]
    seeds = labelled(name).nonzero()[:, 0]
    data = Data(edge_index=edges[:, mixed], edge_weight=weight[mixed], num_nodes=len(labelled(name)))
    count = -1 if cap == "None" else int(cap)
    (batch,) = NeighborLoader(
        data,
        [count],
        neighbor_sampler=TopNeighborSampler(data, [count]),
        input_nodes=seeds,
        batch_size=len(seeds),
    )
    expected = {seed: found for seed, found in packed(name, threshold, cap).items() if found}
    assert packed(name, threshold, cap).keys() == set(seeds.tolist())  # seeds without a neighbour are seeds too
    ours = lists(batch.n_id[batch.edge_index], batch.edge_weight)
    assert ours.keys() == expected.keys()
    for seed, found in expected.items():
        assert [neighbour for neighbour, _ in ours[seed]] == [neighbour for neighbour, _ in found]
        assert [value for _, value in ours[seed]] == pytest.approx([value for _, value in found], abs=1e-7)


@pytest.mark.parametrize("cap", ["1", "2", "3"])
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.filterwarnings("ignore::ser_graph.graph.epsilon.UselessEpsilon")
def test_a_graph_built_here_is_packed_as_there(name, threshold, cap):
    """From embeddings on, the cap laid while building; unlabelled clips are neighbours, but no seeds."""
    data = build(GRAPHS[name]["emb"], float(threshold), int(cap))
    ours = lists(data.edge_index, data.edge_weight)
    for seed, found in packed(name, threshold, cap).items():
        own = ours.get(seed, [])
        assert [neighbour for neighbour, _ in own] == [neighbour for neighbour, _ in found]
        assert [value for _, value in own] == pytest.approx([value for _, value in found], abs=SIX_DECIMALS)
    some = {neighbour for found in packed(name, threshold, cap).values() for neighbour, _ in found}
    assert name == "tied" or threshold != "0.5" or some & set((~labelled(name)).nonzero()[:, 0].tolist())


@pytest.mark.parametrize("cap", ["1", "2", "3"])
def test_ties_fall_to_names_in_tensorflow(cap):
    """Named by row: of equally similar clips TensorFlow takes the last and ours the first, which weigh the same."""
    data = build(GRAPHS["tied"]["emb"], 0.8, int(cap))
    ours, differ = lists(data.edge_index, data.edge_weight), 0
    for seed, found in packed("tied", "0.8", cap, "forwards").items():
        own = ours.get(seed, [])
        assert [value for _, value in own] == pytest.approx([value for _, value in found], abs=SIX_DECIMALS)
        # Runs of equal weight, of which none is cut by the cap, hold the same clips.
        whole = packed("tied", "0.8", "None", "forwards")[seed]
        for value in {value for _, value in found}:
            run = {neighbour for neighbour, other in whole if other == value}
            there = {neighbour for neighbour, other in found if other == value}
            here = {neighbour for neighbour, other in own if abs(other - value) < SIX_DECIMALS}
            assert (here, there) == (run, run) if len(there) == len(run) else min(here) < min(there)
        differ += [neighbour for neighbour, _ in own] != [neighbour for neighbour, _ in found]
    assert differ


def test_a_threshold_without_edges_is_a_mistake_here():
    """TensorFlow writes an empty graph, and trains without one."""
    with pytest.raises(InputError, match="leaves no edge"):
        build(GRAPHS["distinct"]["emb"], 0.9999)
