"""Who is first, and what one alone does; several together are tested in `tests/downstream/test_spreading.py`."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ser_graph.common.distributed import ALONE, Processes, processes
from ser_graph.common.processes import is_first


@pytest.mark.parametrize("others", [{}, {"WORLD_SIZE": "4"}, {"MASTER_ADDR": "127.0.0.1"}])
def test_a_rank_without_others_is_alone_and_writes(monkeypatch, others):
    """A scheduler may set RANK for everything that it starts."""
    for name in ("WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"RANK": "1", **others}.items():
        monkeypatch.setenv(name, value)
    assert processes() is ALONE
    assert is_first()


def test_of_several_the_first_writes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        assert is_first() == (rank == 0)


def test_the_first_goes_on_when_all_have_found_what_it_stored(tmp_path):
    """It moved the spectrograms of a graph while another process was about to map them."""
    barrier, file = threading.Barrier(2), tmp_path / "x.npy"

    class Threads(Processes):
        def wait(self) -> None:
            barrier.wait(timeout=60)

    def find() -> str:
        time.sleep(0.2)  # a slow process
        return file.read_text()

    def first() -> None:
        Threads(0, 2).after_first(lambda: file.write_text("stored"))
        file.rename(tmp_path / "moved.npy")

    with ThreadPoolExecutor(2) as pool:
        moved, found = pool.submit(first), pool.submit(Threads(1, 2).after_first, find)
        moved.result()
        assert found.result() == "stored"
