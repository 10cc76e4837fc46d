"""`NeighborLoader` with arguments of other types and sizes."""

import random

import numpy as np
import pytest
import torch

from ser_graph.graph import NeighborLoader, load_graph

MOST = 2**24  # bytes
ODD = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        3,
        7,
        2**31,
        2**63,
        10**5_000,
        0.5,
        2.0,
        float("nan"),
        "",
        "x",
        "directional",
    ),
    *([], [0], [0, 5], [6], [-1], [0.5], ["x"], [None], [[0, 1]], (0, 1), {}, {"a": 1}, range(3), np.int64(2)),
    *(np.array([1]), np.array([0.5]), np.ones(6, bool), torch.tensor([1, 5]), torch.tensor(3), torch.ones(6) > 0),
    *(torch.zeros(0), torch.tensor([9]), torch.ones(5) > 0, torch.Generator(), len, object, object()),
]
NAMES = [
    *("batch_size", "input_nodes", "input_id", "shuffle", "drop_last", "num_neighbors", "generator", "transform"),
    *("transform_sampler_output", "neighbor_sampler", "filter_per_worker", "subgraph_type", "disjoint", "replace"),
    *("weight_attr", "time_attr", "input_time", "is_sorted", "directed", "persistent_workers", "prefetch_factor"),
    *("timeout", "custom_cls", "banana", "edge_index", "edge_weight"),
]


@pytest.mark.filterwarnings("ignore")
def test_arguments(formats, trials):
    rng, whole = random.Random(0), load_graph(formats / "graph")
    for number in trials.numbers(500):
        given = {"num_neighbors": [2], "batch_size": 2}
        given |= {rng.choice(NAMES): rng.choice(ODD) for _ in range(rng.choice([1, 1, 2]))}
        data = whole.clone()
        for name in ("edge_index", "edge_weight"):
            if name in given:
                data[name] = given.pop(name)
        given.pop("transform", None) if given.get("transform") in (len, object) else None
        given.pop("transform_sampler_output", None) if callable(given.get("transform_sampler_output")) else None

        def batches(data=data, given=given):
            return list(NeighborLoader(data, **given))

        found = trials(f"{number} {list(given)}", batches, most_bytes=MOST)
        for batch in found or ():
            trials.expect(number, torch.equal(batch.x, whole.x[batch.n_id]))
