import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from ser_graph.audio import LogMel, LogMelSettings, features, fit_length, load_waveform, log_mels
from ser_graph.audio.torchaudio_import import torchaudio
from ser_graph.corpora import with_copies
from ser_graph.errors import InputError

SETTINGS = LogMelSettings(n_samples=4096)
FILES = ["b.wav", "a.flac", "s/c.wav", "d.wav", "b.wav"]


@pytest.fixture
def table(make_clips):
    root = make_clips("a.flac", "b.wav")
    make_clips("s/c.wav", seconds=0.5)
    make_clips("d.wav", rate=44_100, seconds=0.1)
    table = pd.DataFrame({"emotion": "fear"}, index=pd.Index(FILES, name="file"))
    table.attrs["root"] = str(root)
    return table


def one_by_one(table, root) -> torch.Tensor:
    layer = LogMel(SETTINGS)
    return torch.stack([layer(fit_length(load_waveform(root / file), 4096)) for file in table.index])


def test_spectrograms_are_those_of_each_file_in_the_order_of_the_table(table, tmp_path):
    x = log_mels(table, SETTINGS, dtype="float32", progress=False)
    assert x.shape == (5, SETTINGS.n_frames, 64)
    assert torch.equal(x, one_by_one(table, tmp_path))
    assert not torch.equal(x[0], x[1])
    table.attrs.clear()
    assert torch.equal(log_mels(table, SETTINGS, root=tmp_path, dtype="float32", progress=False), x)


def test_float16_is_within_a_hundredth(table, tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros(5000), 16_000)
    loud = np.sign(np.sin(np.arange(8000) / 9))
    soundfile.write(tmp_path / "d.wav", loud, 16_000)
    x = log_mels(table, SETTINGS, progress=False)
    assert x.dtype == torch.float16
    exact = one_by_one(table, tmp_path)
    assert exact.max() > 9
    assert exact.min() < -13
    assert (x.float() - exact).abs().max() < 0.01


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_file_of_spectrograms_is_mapped_and_the_same(table, tmp_path, dtype):
    out = tmp_path / "new" / "x.npy"
    mapped = log_mels(table, SETTINGS, out=out, dtype=dtype, progress=False)
    x = log_mels(table, SETTINGS, dtype=dtype, progress=False)
    assert torch.equal(mapped, x)
    assert mapped.dtype == x.dtype
    assert [path.name for path in out.parent.iterdir()] == ["x.npy"]
    np.testing.assert_array_equal(np.load(out), x.numpy())


def test_writing_to_a_mapped_tensor_does_not_change_its_file(table, tmp_path):
    mapped = log_mels(table, SETTINGS, out=tmp_path / "x.npy", progress=False)
    before = np.load(tmp_path / "x.npy")
    mapped[0] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), before)
    np.testing.assert_array_equal(features.map_array(tmp_path / "x.npy").numpy(), before)


def test_a_failing_clip_is_named_and_leaves_no_file(table, tmp_path):
    (tmp_path / "s" / "c.wav").write_bytes(b"not audio")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"c\.wav cannot be used"):
        log_mels(table, SETTINGS, out=tmp_path / "out" / "x.npy", progress=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failing_clip_leaves_the_older_file(table, tmp_path):
    old = log_mels(table, SETTINGS, out=tmp_path / "x.npy", progress=False).clone()
    (tmp_path / "d.wav").unlink()
    with pytest.raises(InputError, match=r"d\.wav cannot be used .missing"):
        log_mels(table, SETTINGS, out=tmp_path / "x.npy", progress=False)
    assert torch.equal(features.map_array(tmp_path / "x.npy"), old)


def test_the_file_of_a_home_folder(table, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    log_mels(table, SETTINGS, out="~/x.npy", progress=False)
    assert (tmp_path / "home" / "x.npy").exists()


def test_where_space_cannot_be_taken_in_advance(table, tmp_path, monkeypatch):
    monkeypatch.delattr(features.os, "posix_fallocate", raising=False)
    mapped = log_mels(table, SETTINGS, out=tmp_path / "x.npy", progress=False)
    assert torch.equal(mapped, log_mels(table, SETTINGS, progress=False))


def test_no_clips(table, tmp_path):
    assert log_mels(table[:0], SETTINGS, progress=False).shape == (0, SETTINGS.n_frames, 64)
    with pytest.raises(InputError, match="No clip"):
        log_mels(table[:0], SETTINGS, out=tmp_path / "x.npy", progress=False)
    assert not (tmp_path / "x.npy").exists()


def test_a_bad_dtype(table):
    with pytest.raises(InputError, match="Bad dtype 'bfloat16', expected one of"):
        log_mels(table, SETTINGS, dtype="bfloat16", progress=False)


@pytest.mark.parametrize("mapped", [False, True])
def test_spectrograms_of_copies_are_those_of_resampled_files(table, tmp_path, mapped):
    table = table.iloc[:4].assign(speaker=["1", "2", "2", None], split="train")
    copies = with_copies(table, 2)
    out = tmp_path / "x.npy" if mapped else None
    x = log_mels(copies, SETTINGS, out=out, dtype="float32", progress=False)
    assert x.shape == (12, SETTINGS.n_frames, 64)
    assert torch.equal(x[:4], one_by_one(table, tmp_path))
    for row, (name, original) in enumerate(copies["copy_of"].iloc[4:].items()):
        percent = int(name.rpartition("@")[2])
        waveform = torchaudio.functional.resample(load_waveform(tmp_path / original), percent, 100)
        soundfile.write(tmp_path / f"{row}.wav", waveform.numpy(), 16_000, subtype="FLOAT")
    files = pd.DataFrame({"emotion": "fear"}, index=[f"{row}.wav" for row in range(8)])
    again = log_mels(files, SETTINGS, root=tmp_path, dtype="float32", progress=False)
    torch.testing.assert_close(x[4:], again, atol=1e-4, rtol=1e-4)
    assert all((x[row] - x[row % 4]).abs().max() > 0.1 for row in range(4, 12))
    some = log_mels(copies.iloc[[7, 0]], SETTINGS, dtype="float32", progress=False)
    assert torch.equal(some, x[[7, 0]])
