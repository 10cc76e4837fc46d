from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
import torch

from ser_graph.audio.settings import LogMelSettings
from ser_graph.graph import ClipGraph, GraphSettings
from ser_graph.graph.building import assemble
from ser_graph.graph.meta import GraphMeasures


@pytest.fixture
def make_graph() -> Callable[..., ClipGraph]:
    """A graph written by hand: edges (neighbour, seed), and for each column a letter a clip, _ = unknown."""

    def make(
        edges: Sequence[tuple[int, int]],
        emotion: str | Sequence[str],
        *,
        emb: torch.Tensor | None = None,
        x: torch.Tensor | None = None,
        scope: str = "all",
        **columns: str | Sequence[str],
    ) -> ClipGraph:
        n = len(emotion)
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"emotion": list(emotion), "speaker": "_", "gender": "_", "duration": 1.0})
        table["split"] = "train"
        for name, values in columns.items():
            table[name] = list(values)
        table = table.set_index(pd.Index([f"{clip}.wav" for clip in range(n)], name="file")).replace("_", np.nan)
        edge_index = torch.tensor(edges, dtype=torch.int64).view(-1, 2).T
        edge_weight = torch.linspace(0.99, 0.9, edge_index.shape[1])
        emb = torch.from_numpy(rng.normal(size=(n, 8))).float() if emb is None else emb
        x = torch.from_numpy(rng.normal(size=(n, 5, 4))).half() if x is None else x
        return assemble(
            table,
            emb,
            x,
            edge_index,
            edge_weight,
            features=LogMelSettings(n_samples=512 + 256 * (x.shape[1] - 1), n_mels=x.shape[2]),
            settings=GraphSettings(scope=scope),
            measured=GraphMeasures(coverage=len(edge_index[1].unique()) / n),
        )

    return make


@pytest.fixture
def random_graph(make_graph) -> ClipGraph:
    """40 clips, 110 edges, 3 emotions; some clips without an edge, some of unknown emotion."""
    rng = np.random.default_rng(1)
    pairs = {(int(a), int(b)) for a, b in rng.integers(34, size=(130, 2)) if a != b}
    return make_graph(sorted(pairs, key=lambda edge: edge[1]), "".join(rng.choice(list("aaabbc_"), 40)))
