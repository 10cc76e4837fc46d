"""A stored graph without torch is the same as with it. Damage is tested with `load_graph`, which builds on it."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from ser_graph.errors import InputError
from ser_graph.graph import load_graph, save_graph
from ser_graph.graph.stored import FILES, read_stored_graph


def test_what_is_read_is_what_load_graph_reads(toy_graph, tmp_path):
    toy_graph.table.loc["s0/000.wav", "emotion"] = np.nan
    toy_graph.table["note"] = "a, b\nNA"
    folder = save_graph(toy_graph, tmp_path / "graph")
    assert {path.name for path in folder.iterdir()} == set(FILES)
    whole, (table, x, meta) = load_graph(folder), read_stored_graph(str(folder))
    pd.testing.assert_frame_equal(table, whole.table)
    assert table.attrs == whole.table.attrs and meta == whole.meta
    assert isinstance(x, np.memmap) and not x.flags.writeable
    np.testing.assert_array_equal(x, toy_graph.x.numpy())


def test_parts_that_do_not_fit_each_other(toy_graph, tmp_path):
    folder = save_graph(toy_graph, tmp_path / "graph")
    np.save(folder / "x.npy", np.zeros((119, 31, 64), np.float16))
    with pytest.raises(InputError, match=r"is damaged \(its parts differ in length\); build it anew"):
        read_stored_graph(folder)


def test_torch_is_not_needed():
    program = (
        "import sys, ser_graph.graph.stored; sys.exit(any(name in sys.modules for name in ('torch', 'scipy')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
