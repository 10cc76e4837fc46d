"""Folders of graphs with a damaged `meta.json`, `clips.csv` or `x.npy`; and the marks of stages."""

import json
import random
import shutil

import numpy as np
import pytest

from ser_graph.common.stages import MARK, Stage
from ser_graph.graph import load_graph
from ser_graph.graph.meta import GraphMeta

MOST = 2**24  # bytes


@pytest.fixture
def folder(formats, tmp_path):
    load_graph(formats / "graph")  # imports do not count
    return shutil.copytree(formats / "graph", tmp_path / "graph")


def test_meta_json(folder, trials, mutated_json):
    rng, path = random.Random(0), folder / "meta.json"
    stored = json.loads(path.read_text("utf-8"))
    for number in trials.numbers(400):
        path.write_bytes(content := mutated_json(rng, stored))
        data = trials(f"{number} {content[:80]!r}", lambda: load_graph(folder), most_bytes=MOST, naming=str(folder))
        if data is not None:
            trials.expect(number, isinstance(data.meta, GraphMeta) and data.emotions == ["anger", "fear"])


@pytest.mark.parametrize("name", ["clips.csv", "x.npy", "graph.safetensors"])
def test_other_files(folder, trials, damaged, name):
    rng, path = random.Random(1), folder / name
    whole = path.read_bytes()
    for number in range(200):  # few of the first are readable
        # The sound of clips is not checked: damage the start, which tells what the file is.
        head = 130 if name == "x.npy" else len(whole)
        path.write_bytes(damaged(rng, whole[:head]) + whole[head:])
        data = trials(number, lambda: load_graph(folder), most_bytes=MOST, naming=str(folder))
        if data is not None:
            trials.expect(number, len(data.table) == data.num_nodes == 6)
    path.write_bytes(b"")
    trials("empty", lambda: load_graph(folder), most_bytes=MOST, naming=str(folder))


def test_spectrograms(folder, trials):
    """NaN anywhere in a file that is not the one that was checked; its mark may be anything."""
    rng, path = random.Random(3), folder / "x.npy"
    stored, whole = json.loads((folder / "meta.json").read_text("utf-8")), np.load(path)
    for number in trials.numbers(200):
        x = whole.copy()
        is_odd = rng.random() < 0.5
        if is_odd:
            x[tuple(rng.randrange(size) for size in x.shape)] = rng.choice([np.nan, np.inf, -np.inf])
        np.save(path, x)
        mark = rng.choice([None, 3, "x", [], {}, {"size": -1}, {"size": path.stat().st_size, "mtime_ns": 0}])
        (folder / "meta.json").write_text(json.dumps({**stored, "x.npy": mark}), "utf-8")
        data = trials(number, lambda: load_graph(folder), most_bytes=MOST, naming=str(folder))
        trials.expect(number, (data is None) == is_odd)


def test_stage_json(tmp_path, trials, mutated_json):
    rng, asked = random.Random(2), {"terms": [1, 2], "graph": {"epsilon": 0.9, "name": "x"}}
    stage = Stage(tmp_path / "sum", asked)
    with stage.write() as part:
        (part / "sum.txt").write_text("3")
    stored = json.loads((stage.folder / MARK).read_text("utf-8"))
    for number in range(300):  # few of the first are readable
        (stage.folder / MARK).write_bytes(content := mutated_json(rng, stored))
        name = f"{number} {content[:80]!r}"
        finished = trials(name, stage.is_finished, most_bytes=MOST, naming=str(stage.folder))
        if finished is not None:
            trials.expect(name, finished and json.loads(content)["asked"] == asked)
