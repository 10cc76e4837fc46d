"""Three real processes, started by torchrun and connected by gloo, search one index."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ser_graph.graph import save_graph

pytest.importorskip("faiss")

SCRIPT = Path(__file__).with_name("searching_processes.py")


@pytest.fixture(scope="module")
def searched(_toy_graph, tmp_path_factory, start_script):
    """What one process found, what each of three found, and the end of the three."""
    folder = tmp_path_factory.mktemp("searched")
    generator = torch.Generator().manual_seed(0)
    emb = torch.randn(12, 80, generator=generator)[torch.randint(12, (1000,), generator=generator)]
    emb += 0.3 * torch.randn(1000, 80, generator=generator)
    groups = torch.randint(-1, 3, (1000, 1), generator=generator)
    np.save(folder / "rows.npy", emb.numpy())
    np.save(folder / "codes.npy", groups.numpy())
    graph, done = save_graph(_toy_graph, folder / "graph"), {}
    for number in (1, 3):
        (folder / str(number)).mkdir()
        given = (SCRIPT, graph, folder / str(number), folder / "rows.npy", folder / "codes.npy")
        done[number] = start_script(*given, processes=number)
    assert done[1].returncode == 0, done[1].stderr
    found = [load_file(folder / "3" / f"{rank}.safetensors") for rank in range(3)]
    return load_file(folder / "1" / "0.safetensors"), found, done[3]


def test_three_processes_find_what_one_finds(searched):
    one, three, _ = searched
    for found in three:
        assert found.keys() == one.keys()
        for name, expected in one.items():
            assert torch.equal(found[name], expected), name


def test_the_neighbours_are_right(searched):
    one, _, _ = searched
    for name in ("vectors", "codes"):
        shared = (one[f"{name}.ids"][:, :, None] == one["first.ids"][:, None]).any(2)
        assert shared.double().mean() > 0.97


def test_more_processes_than_rows_are_refused_in_one_line(searched):
    _, _, done = searched
    assert done.returncode != 0
    assert "3 processes for 2 clips of a neighbour search; start no more processes than clips" in done.stderr
