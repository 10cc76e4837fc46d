"""A graph in shards has every clip and every edge once."""

import pytest
import torch

from ser_graph.corpora import read_table
from ser_graph.errors import InputError
from ser_graph.graph import load_graph_shards, split_graph


@pytest.mark.parametrize("n_shards", [1, 4, 7])
def test_the_shards_are_the_graph(toy_graph, tmp_path, n_shards):
    shards = split_graph(toy_graph, tmp_path / "shards", n_shards, seed=3)
    assert len(shards) == n_shards and shards.starts[-1] == 120
    parts = [shards.load(number) for number in range(n_shards)]
    tables = [read_table(tmp_path / "shards" / f"{number:03d}" / "clips.csv") for number in range(n_shards)]
    files = [file for table in tables for file in table.index]
    assert sorted(files) == sorted(toy_graph.table.index)
    node = torch.tensor([toy_graph.node(file) for file in files])
    for name in ("x", "emb", "y", "speaker", "train_mask", "val_mask"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), toy_graph[name][node])
    edges = [
        (int(node[source]), int(node[seed + part.start]), weight)
        for part in parts
        for source, seed, weight in zip(*part.edge_index.tolist(), part.edge_weight.tolist(), strict=True)
    ]
    expected = zip(*toy_graph.edge_index.tolist(), toy_graph.edge_weight.tolist(), strict=True)
    assert sorted(edges) == sorted(expected)
    labelled = [int((part.train_mask & (part.y >= 0)).sum()) for part in parts]
    assert max(labelled) - min(labelled) <= 1
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_the_deal_is_random_and_repeatable(toy_graph, tmp_path):
    first, again, other = (
        split_graph(toy_graph, tmp_path / name, 2, seed=seed).load(0).y
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_neighbour_keeps_its_rank(toy_graph, tmp_path):
    (shard,) = [split_graph(toy_graph, tmp_path / "shards", 1).load(0)]
    weight, seed = shard.edge_weight, shard.edge_index[1]
    assert (seed.diff() >= 0).all()
    assert (weight.diff()[seed.diff() == 0] <= 0).all()


def test_damaged_shards_are_one_line(toy_graph, tmp_path):
    for n_shards in (0, 76):
        with pytest.raises(InputError, match=rf"Bad n_shards {n_shards}, expected 1 to 75"):
            split_graph(toy_graph, tmp_path / "shards", n_shards)
    with pytest.raises(InputError, match="is no graph in shards"):
        load_graph_shards(tmp_path)
    shards = split_graph(toy_graph, tmp_path / "shards", 2)
    for name in ("x.npy", "emb.npy", "shard.safetensors"):
        file = tmp_path / "shards" / "001" / name
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=r"001 is damaged \(.*; split the graph again") as raised:
            shards.load(1)
        assert "\n" not in str(raised.value)
        file.write_bytes(whole)
    (tmp_path / "shards" / "000" / "x.npy").rename(tmp_path / "x.npy")
    with pytest.raises(InputError, match="000 is damaged"):
        shards.load(0)
