"""A stored graph without torch is the same as with it. Damage is tested with `load_graph`, which builds on it."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from ser_graph.errors import InputError
from ser_graph.graph import load_graph, save_graph
from ser_graph.graph.meta import parse_meta
from ser_graph.graph.stored import FILES, read_stored_graph


def test_what_is_read_is_what_load_graph_reads(toy_graph, tmp_path):
    toy_graph.table = toy_graph.table.assign(emotion=[np.nan, *toy_graph.table["emotion"][1:]])
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
    with pytest.raises(InputError, match=r"is damaged \(its parts have different lengths\); build it again"):
        read_stored_graph(folder)


@pytest.mark.parametrize("module", ["graph.stored", "graph.meta", "graph.compatibility", "common.devices"])
def test_torch_is_not_imported(module):
    program = f"import sys, ser_graph.{module}; print([name for name in ('torch', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_graph_is_read_without_torch(toy_graph, tmp_path):
    """Its meta too, which holds settings of what is done with torch."""
    folder = save_graph(toy_graph, tmp_path / "graph")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from ser_graph.graph.stored import read_stored_graph\n"
        f"print(read_stored_graph({str(folder)!r}).meta.model_dump_json())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert parse_meta(json.loads(done.stdout)) == toy_graph.meta
