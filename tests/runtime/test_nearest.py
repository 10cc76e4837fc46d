"""The file of labelled clips: read back, compared with brute force, and refused if it is damaged."""

import re

import numpy as np
import pytest

from ser_graph_runtime import InputError
from ser_graph_runtime.nearest import Nearest, file_hash, load_nearest


def stored(path, model, **changes):
    arrays = {
        "version": np.array(1),
        "model": np.array(file_hash(model)),
        "files": np.array(["a.wav", "bé.wav", "c.wav"]),
        "emotions": np.array(["fear", "anger", "fear"]),
        "fc1": np.eye(3, 4, dtype=np.float16),
        **changes,
    }
    np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_the_nearest_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(5, 8)).astype(np.float32)
    files = [f"{number}.wav" for number in range(50)]
    found = Nearest(files, ["fear"] * 50, known, k=4)(asked)
    for near, one in zip(found, asked, strict=True):
        cosine = [float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)) for other in known]
        order = sorted(range(50), key=lambda clip: -cosine[clip])[:4]
        assert [file for file, _, _ in near] == [files[clip] for clip in order]
        np.testing.assert_allclose([similarity for *_, similarity in near], sorted(cosine)[::-1][:4], atol=1e-5)


def test_a_stored_file_is_read_back(example, tmp_path):
    found = load_nearest(stored(tmp_path / "a.nearest.npz", example), example, k=9)
    assert found([[0, 2, 0, 0]]) == [[("bé.wav", "anger", 1.0), ("a.wav", "fear", 0.0), ("c.wav", "fear", 0.0)]]
    with pytest.raises(InputError, match="Bad number of nearest clips 0, expected at least 1"):
        load_nearest(tmp_path / "a.nearest.npz", example, k=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"fc1": None},
        {"fc1": np.eye(2, 4, dtype=np.float16)},
        {"fc1": np.eye(3, 4)},
        {"fc1": np.full((3, 4), np.nan, np.float16)},
        {"fc1": np.zeros(3, np.float16)},
        {"files": np.array([1, 2, 3])},
        {"files": np.array([["a.wav", "b.wav", "c.wav"]])},
        {"emotions": np.array(["fear", "anger"])},
        {"emotions": np.array(["fear", None, 3], dtype=object)},  # pickled, so it is not read
        {"version": np.array(2)},
        {"version": np.array(["x", "y"])},
        {"files": np.array([], str), "emotions": np.array([], str), "fc1": np.zeros((0, 4), np.float16)},
    ],
)
def test_damaged_files_are_one_line(example, tmp_path, changes):
    path = stored(tmp_path / "a.nearest.npz", example, **changes)
    with pytest.raises(InputError, match=r"a\.nearest\.npz is no file of nearest clips \(.+\); export") as caught:
        load_nearest(path, example)
    assert "\n" not in str(caught.value)


def test_what_is_no_archive_or_of_another_model(example, tmp_path):
    whole = stored(tmp_path / "a.nearest.npz", example).read_bytes()
    for content in (b"", b"text", whole[:-50], example.read_bytes()):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(InputError, match="is no file of nearest clips"):
            load_nearest(tmp_path / "b.npz", example)
    (tmp_path / "other.onnx").write_bytes(example.read_bytes() + b"\0")
    with pytest.raises(InputError, match=r"a\.nearest\.npz belongs to another model than .*other\.onnx; give the"):
        load_nearest(tmp_path / "a.nearest.npz", tmp_path / "other.onnx")
    with pytest.raises(InputError, match=rf"No file {re.escape(str(tmp_path / 'gone.npz'))}; make one with"):
        load_nearest(tmp_path / "gone.npz", example)
