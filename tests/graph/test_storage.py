import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from ser_graph.audio.clips import clip_speeds
from ser_graph.audio.settings import LogMelSettings
from ser_graph.corpora import originals
from ser_graph.corpora.splits import leave_speakers_out
from ser_graph.errors import InputError
from ser_graph.graph import (
    ClipGraph,
    NeighborLoader,
    build_graph,
    load_graph,
    save_graph,
    storage as storage_module,
    stored,
)
from ser_graph.inspection.page import page_html


def test_round_trip(toy_graph, tmp_path):
    toy_graph.table = toy_graph.table.assign(emotion=[np.nan, *toy_graph.table["emotion"][1:]])
    assert save_graph(toy_graph, tmp_path / "graph") == tmp_path / "graph"
    loaded = load_graph(str(tmp_path / "graph"))
    assert isinstance(loaded, ClipGraph)
    assert set(loaded.keys()) == set(toy_graph.keys())
    for name in set(loaded.keys()) - {"num_nodes"}:
        assert loaded[name].dtype == toy_graph[name].dtype
        assert torch.equal(loaded[name], toy_graph[name])
    assert loaded.num_nodes == 120
    assert loaded.meta == toy_graph.meta
    pd.testing.assert_frame_equal(loaded.table, toy_graph.table, check_dtype=False)
    assert loaded.table.attrs["corpus"] == "toy"
    assert loaded.validate()


def test_the_order_of_clips_comes_back(toy_graph, mixed_graph, tmp_path):
    """Rows of the table are those of the tensors, in whatever order a user has put them."""
    loaded = load_graph(save_graph(mixed_graph, tmp_path / "graph"))
    assert list(loaded.table.index) == list(mixed_graph.table.index) != list(toy_graph.table.index)
    order = [toy_graph.table.index.get_loc(file) for file in mixed_graph.table.index]
    assert torch.equal(loaded.emb, toy_graph.emb[order])
    speakers = loaded.meta.names["speaker"]
    assert [speakers[code] for code in loaded.speaker.tolist()] == loaded.table["speaker"].tolist()


def test_a_table_made_by_hand_is_stored(tmp_path):
    """Numbers for speakers, columns in any order and no durations."""
    table = pd.DataFrame(
        {"split": "train", "speaker": [2, 1, 2], "emotion": ["fear", "fear", "anger"]}, index=["c", "a", "b"]
    )
    x = torch.zeros(3, 31, 64)
    data = build_graph(
        table, emb=torch.eye(3) + 1, x=x, epsilon=None, n_neighbors=1, features=LogMelSettings(n_samples=8192)
    )
    assert data.speaker.tolist() == [1, 0, 1] and data.meta.names["speaker"] == ["1", "2"]
    loaded = load_graph(save_graph(data, tmp_path / "graph"))
    pd.testing.assert_frame_equal(loaded.table, data.table)
    assert loaded.table["duration"].isna().all()
    assert "<html" in page_html(data, audio="none")


def test_what_may_not_be_read_is_not_called_damaged(toy_graph, tmp_path, monkeypatch):
    folder = save_graph(toy_graph, tmp_path / "graph")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    monkeypatch.setattr(os, "access", lambda path, _: path.name != "graph.safetensors")  # root may read all
    with pytest.raises(PermissionError) as caught:
        load_graph(folder)
    assert caught.value.filename == str(folder / "graph.safetensors")


def test_nothing_is_pickled(toy_graph, tmp_path):
    folder = save_graph(toy_graph, tmp_path / "graph")
    assert {file.name for file in folder.iterdir()} == {"meta.json", "clips.csv", "graph.safetensors", "x.npy"}
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]


def test_spectrograms_stay_on_disk(toy_graph, tmp_path):
    folder = save_graph(toy_graph, tmp_path / "graph")
    before = (folder / "x.npy").read_bytes()
    loaded = load_graph(folder)
    mapped = str((folder / "x.npy").resolve())
    assert any(line.endswith(mapped) for line in open("/proc/self/maps").read().splitlines())  # noqa: PTH123, SIM115
    # Whoever writes to them changes a copy, never the file.
    loaded.x[0] = 7
    assert (folder / "x.npy").read_bytes() == before
    assert torch.equal(load_graph(folder).x, toy_graph.x)
    assert loaded.x[0].unique().tolist() == [7]


def test_batches_from_disk_equal_those_in_memory(toy_graph, tmp_path):
    loaded = load_graph(save_graph(toy_graph, tmp_path / "graph"))
    assert torch.equal(loaded.x, toy_graph.x)
    how = {"num_neighbors": [3], "batch_size": 20, "input_nodes": toy_graph.train_mask}
    for one, other in zip(NeighborLoader(toy_graph, **how), NeighborLoader(loaded, **how), strict=True):
        assert set(one.keys()) == set(other.keys())
        for name, value in one.items():
            assert torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]


def test_spectrograms_are_moved_in(toy_graph, tmp_path):
    np.save(tmp_path / "made.npy", toy_graph.x.numpy())
    toy_graph.x = torch.from_numpy(np.load(tmp_path / "made.npy", mmap_mode="c"))
    inode = (tmp_path / "made.npy").stat().st_ino
    folder = save_graph(toy_graph, tmp_path / "graph", x_file=tmp_path / "made.npy")
    assert not (tmp_path / "made.npy").exists()
    assert (folder / "x.npy").stat().st_ino == inode
    assert torch.equal(load_graph(folder).x, toy_graph.x)  # and the old mapping still holds


def test_an_older_graph_is_replaced_even_by_itself(toy_graph, tmp_path):
    folder = save_graph(toy_graph, tmp_path / "graph")
    (folder / "stray").write_text("of the old one")
    loaded = load_graph(folder)
    loaded.meta = loaded.meta.replace(corpus="new")
    save_graph(loaded, folder)
    assert load_graph(folder).meta.corpus == "new"
    assert torch.equal(load_graph(folder).x, toy_graph.x)
    assert len(list(folder.iterdir())) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]


@pytest.mark.parametrize("step", ["write_json", "write_table", "save_file"])
def test_a_failing_save_leaves_the_old_graph(toy_graph, tmp_path, monkeypatch, step):
    folder = save_graph(toy_graph, tmp_path / "graph")

    def fail(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage_module, step, fail)
        with pytest.raises(OSError, match="No space"):
            save_graph(toy_graph, folder)
        with pytest.raises(OSError, match="No space"):
            save_graph(toy_graph, tmp_path / "other")
    assert torch.equal(load_graph(folder).x, toy_graph.x)
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def shorten_table(path):
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[:-1]) + "\n", "utf-8")


def edit_meta(**changes):
    def edit(path):
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")

    return edit


def other_tensors(path):
    storage_module.save_file({"weight": torch.zeros(120)}, path)


def fewer_rows(path):
    tensors = storage_module.load_file(path)
    storage_module.save_file({**tensors, "val_mask": tensors["val_mask"][:-1]}, path)


DAMAGES = {
    "meta.json": [cut, edit_meta(format="other"), edit_meta(version=99), lambda path: path.write_text("[]")],
    "clips.csv": [shorten_table, lambda path: path.write_text(""), lambda path: path.write_bytes(b"\xff\xfe\x00")],
    "graph.safetensors": [cut, other_tensors, fewer_rows, lambda path: path.write_bytes(b"")],
    "x.npy": [
        cut,
        lambda path: np.save(path, np.zeros((119, 31, 64), "float16")),
        lambda path: path.write_bytes(b""),
    ],
}


@pytest.mark.parametrize(
    ("name", "damage"), [(name, damage) for name, found in DAMAGES.items() for damage in found]
)
def test_damage_is_one_line_that_names_the_folder(toy_graph, tmp_path, name, damage):
    folder = save_graph(toy_graph, tmp_path / "graph")
    damage(folder / name)
    with pytest.raises(InputError, match=str(folder)) as caught:
        load_graph(folder)
    assert "\n" not in str(caught.value)


# Files that can be read, and hold what no graph holds.


def x_with(value, *place):
    def edit(folder):
        x = np.load(folder / "x.npy", mmap_mode="r+")
        x[place] = value
        x.flush()

    return edit


def tensors_with(name, change):
    def edit(folder):
        tensors = storage_module.load_file(folder / "graph.safetensors")
        tensors[name] = change(tensors[name].clone()).contiguous()
        storage_module.save_file(tensors, folder / "graph.safetensors")

    return edit


def put(value, *place):
    def change(tensor):
        tensor[place] = value
        return tensor

    return change


def masks_swapped(folder):
    tensors = storage_module.load_file(folder / "graph.safetensors")
    tensors["train_mask"], tensors["test_mask"] = tensors["test_mask"], tensors["train_mask"]
    storage_module.save_file(tensors, folder / "graph.safetensors")


def rows_of_clips(order):
    def edit(folder):
        header, *rows = (folder / "clips.csv").read_text("utf-8").splitlines()
        rows = [rows[place] for place in order]
        (folder / "clips.csv").write_text("\n".join([header, *rows, ""]), "utf-8")

    return edit


def names_reversed(folder):
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    meta["names"]["emotion"].reverse()
    (folder / "meta.json").write_text(json.dumps(meta), "utf-8")


def other_label(folder):
    text = (folder / "clips.csv").read_text("utf-8")
    (folder / "clips.csv").write_text(text.replace('"anger"', '"fear"', 1), "utf-8")


def spectrograms(*shape, dtype="float16"):
    return lambda folder: np.save(folder / "x.npy", np.zeros(shape, dtype))


def meta_with(**changes):
    return lambda folder: edit_meta(**changes)(folder / "meta.json")


def meta_part_with(part, **changes):
    def edit(folder):
        content = json.loads((folder / "meta.json").read_text("utf-8"))
        content[part] |= changes
        (folder / "meta.json").write_text(json.dumps(content), "utf-8")

    return edit


def meta_without(*names):
    def edit(folder):
        content = part = json.loads((folder / "meta.json").read_text("utf-8"))
        for name in names[:-1]:
            part = part[name]
        del part[names[-1]]
        (folder / "meta.json").write_text(json.dumps(content), "utf-8")

    return edit


NONSENSE = {
    "an edge to -1": (tensors_with("edge_index", put(-1, 0, 3)), "runs from -1 to"),
    "an edge to N": (tensors_with("edge_index", put(120, 1, 3)), "to 120, expected nodes from 0 to 119"),
    "a far edge": (tensors_with("edge_index", put(2**40, 0, 0)), f"to {2**40}"),
    "float edges": (tensors_with("edge_index", lambda edges: edges.float()), "edge_index of the graph is float32"),
    "three rows": (tensors_with("edge_index", lambda edges: edges[[0, 1, 0]]), r"is \[3, 162\], expected \[2"),
    "fewer weights": (
        tensors_with("edge_weight", lambda weight: weight[1:]),
        r"edge_weight of the graph is \[161\]",
    ),
    "NaN in weights": (
        tensors_with("edge_weight", put(torch.nan, 7)),
        "edge_weight of the graph is not finite in row 7",
    ),
    "NaN in emb": (tensors_with("emb", put(torch.nan, 5, 2)), "emb of the graph is not finite in row 5"),
    "infinity in emb": (tensors_with("emb", put(torch.inf, 119)), "emb of the graph is not finite in row 119"),
    "NaN in x": (x_with(np.nan, 77, 3, 2), "spectrogram of clip 77 holds NaN or infinity"),
    "infinity in x": (x_with(-np.inf, 119, 30, 63), "spectrogram of clip 119 holds NaN or infinity"),
    "half emb": (tensors_with("emb", lambda emb: emb.half()), "emb of the graph is float16, expected float32"),
    "flat emb": (tensors_with("emb", lambda emb: emb[:, 0]), "emb of the graph is"),
    "a wrong y": (
        tensors_with("y", put(2, 0)),
        "y of clip s0/000.wav is 2, but its emotion in the table is 'anger'",
    ),
    "no such y": (tensors_with("y", put(3, 0)), "y of clip s0/000.wav is 3"),
    "short y": (tensors_with("y", lambda y: y.int()), "y of the graph is int32, expected int64"),
    "a wrong speaker": (
        tensors_with("speaker", lambda speaker: speaker.flip(0)),
        "speaker of clip s0/000.wav is 7",
    ),
    "numbers as masks": (tensors_with("val_mask", lambda mask: mask.long()), "val_mask of the graph is int64"),
    "masks swapped": (
        masks_swapped,
        "train_mask contradicts the split in clips.csv",
    ),
    "two masks": (tensors_with("test_mask", put(True, 0)), "test_mask contradicts the split"),
    "other clips": (tensors_with("clip", put(7, 0)), "clips.csv do not match the tensors"),
    "clips.csv shuffled": (rows_of_clips(np.random.default_rng(0).permutation(120)), "are in another order"),
    "two alike swapped": (rows_of_clips([3, 1, 2, 0, *range(4, 120)]), "are in another order"),
    "a clip twice": (rows_of_clips([0, 0, *range(2, 120)]), "is in the table twice"),
    "names reversed": (names_reversed, "names in meta.json differ from clips.csv"),
    "another label": (other_label, "y of clip s0/000.wav is 0, but its emotion in the table is 'fear'"),
    "no names": (meta_with(names=None), r"damaged \(meta.json: Bad names None"),
    "names of another make": (meta_with(names=["anger"]), r"meta.json: Bad names \['anger'\]"),
    "no version": (meta_with(version="1"), "meta.json has no version"),
    "unknown features": (meta_with(features={"n_samples": 8192, "n_bins": 3}), "meta.json: Bad setting 'n_bins'"),
    "features of another size": (meta_part_with("features", n_samples=2**24), r"\[N, 65535, 64\] as meta"),
    "no settings": (meta_without("settings"), r"meta.json: settings is missing"),
    "a setting is missing": (meta_without("settings", "scope"), "meta.json: settings.scope is missing"),
    "a key of another make": (meta_with(graph={}), "meta.json: Bad field 'graph'"),
    "coverage of 2": (meta_part_with("measured", coverage=2), "meta.json: Bad coverage 2, expected at least 0"),
    "other frames": (spectrograms(120, 30, 64), r"x.npy is \[120, 30, 64\], expected \[N, 31, 64\]"),
    "flat x": (spectrograms(120, 31), r"x.npy is \[120, 31\]"),
    "double x": (spectrograms(120, 31, 64, dtype="float64"), r"x.npy is \[120, 31, 64\] float64"),
}


@pytest.mark.parametrize("name", list(NONSENSE))
def test_what_no_graph_holds_is_not_loaded(toy_graph, tmp_path, name):
    folder = save_graph(toy_graph, tmp_path / "graph")
    damage, said = NONSENSE[name]
    damage(folder)
    with pytest.raises(InputError, match=said) as caught:
        load_graph(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


WRONG = {
    "y": lambda data: data.y.__setitem__(0, 2),
    "edge_index": lambda data: data.edge_index[0].__setitem__(0, 120),
    "edge_weight": lambda data: data.edge_weight.__setitem__(0, torch.nan),
    "emb": lambda data: data.emb[3].__setitem__(0, torch.inf),
    "train_mask": lambda data: data.update({"train_mask": None}),
    "clip 77": lambda data: data.x[77, 3].__setitem__(0, torch.nan),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_graph_does_not_replace_a_good_one(toy_graph, tmp_path, name):
    folder = save_graph(toy_graph, tmp_path / "graph")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    WRONG[name](toy_graph)
    with pytest.raises(InputError, match=name) as caught:
        save_graph(toy_graph, folder)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]


def test_spectrograms_that_are_not_finite_are_not_moved_in(toy_graph, tmp_path):
    x = toy_graph.x.clone()
    x[5, 1, 1] = torch.inf
    np.save(tmp_path / "x.npy", x.numpy())
    with pytest.raises(InputError, match="The spectrogram of clip 5 holds NaN or infinity"):
        save_graph(toy_graph, tmp_path / "graph", x_file=tmp_path / "x.npy")
    assert not (tmp_path / "graph").exists() and (tmp_path / "x.npy").exists()


def test_spectrograms_are_read_at_loading_only_if_their_file_changed(toy_graph, tmp_path, monkeypatch):
    folder = save_graph(toy_graph, tmp_path / "graph")
    read = []
    monkeypatch.setattr(stored, "check_finite", read.append)
    load_graph(folder)
    assert not read
    shutil.copytree(folder, tmp_path / "copy")  # with the times of the files
    load_graph(tmp_path / "copy")
    assert not read
    (tmp_path / "copy" / "x.npy").touch()
    load_graph(tmp_path / "copy")
    assert len(read) == 1
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    for mark in (None, 3, {}, {"size": 0}, {**meta["x.npy"], "more": 1}):
        edit_meta(**{"x.npy": mark})(folder / "meta.json")
        load_graph(folder)
    assert len(read) == 6


def test_spectrograms_of_another_graph_are_not_moved_in(toy_graph, tmp_path):
    np.save(tmp_path / "made.npy", toy_graph.x[:100].numpy())
    with pytest.raises(InputError, match=r"made.npy holds \[100, 31, 64\] .*; give the file from which x"):
        save_graph(toy_graph, tmp_path / "graph", x_file=tmp_path / "made.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["made.npy"]


def test_a_part_of_a_graph_comes_back(toy_graph, tmp_path):
    part = toy_graph.subgraph(torch.tensor([7, 100, 3, 60]))
    part.y[0] = -1  # hidden
    loaded = load_graph(save_graph(part, tmp_path / "graph"))
    loaded.check()
    assert list(loaded.table.index) == list(toy_graph.table.index[[7, 100, 3, 60]])
    for name in ("clip", "y", "x", "emb", "train_mask", "edge_index"):
        assert torch.equal(loaded[name], part[name])


@pytest.mark.parametrize("name", list(DAMAGES))
def test_missing_parts(toy_graph, tmp_path, name):
    folder = save_graph(toy_graph, tmp_path / "graph")
    (folder / name).unlink()
    with pytest.raises(InputError, match=str(folder)):
        load_graph(folder)


def test_newer_and_foreign_folders_say_so(toy_graph, tmp_path):
    folder = save_graph(toy_graph, tmp_path / "graph")
    edit_meta(version=storage_module.FORMAT_VERSION - 1)(folder / "meta.json")
    with pytest.raises(InputError, match="stored by an older ser_graph in another format; build the graph again"):
        load_graph(folder)
    edit_meta(version=storage_module.FORMAT_VERSION + 1)(folder / "meta.json")
    with pytest.raises(
        InputError, match=r"stored by a newer ser_graph; update this one \(pip install -U ser-graph\)"
    ):
        load_graph(folder)
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="is not a stored graph"):
        load_graph(folder)


def test_pickles_are_not_loaded(toy_graph, tmp_path):
    folder = save_graph(toy_graph, tmp_path / "graph")
    np.save(folder / "x.npy", np.array([{"a": 1}] * 120, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="damaged"):
        load_graph(folder)


def test_copies_come_back_as_such(copied_graph, tmp_path):
    loaded = load_graph(save_graph(copied_graph, tmp_path / "graph"))
    pd.testing.assert_frame_equal(loaded.table, copied_graph.table, check_dtype=False)
    own = originals(loaded.table)
    assert own.tolist() == [True] * 120 + [False] * 120
    assert loaded.table["copy_of"][:120].isna().all()
    assert loaded.table["copy_of"][120:].tolist() == loaded.table.index[:120].tolist()
    assert loaded.table["speed"].dtype == "float64"
    assert clip_speeds(loaded.table) == clip_speeds(copied_graph.table)
    assert (loaded.table["speed"][:120] == 1).all() and (loaded.table["speed"][120:] < 1).all()
    assert loaded.table["split"][120:].isna().tolist() == (~loaded.train_mask[:120]).tolist()
    for name in ("train_mask", "val_mask", "test_mask", "edge_index", "y", "speaker"):
        assert torch.equal(loaded[name], copied_graph[name])
    for (_, one), (_, other) in zip(
        leave_speakers_out(loaded.table, 3), leave_speakers_out(copied_graph.table, 3), strict=True
    ):
        assert one["split"].astype(object).equals(other["split"].astype(object))
    again = load_graph(save_graph(loaded, tmp_path / "again"))
    assert (tmp_path / "again" / "clips.csv").read_bytes() == (tmp_path / "graph" / "clips.csv").read_bytes()
    assert torch.equal(again.x, copied_graph.x)
