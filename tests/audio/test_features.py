import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_graph.audio import LogMel, LogMelSettings, Standardise, features, fit_length, load_waveform, log_mels
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
    with pytest.raises(InputError, match=r"c\.wav cannot be decoded"):
        log_mels(table, SETTINGS, out=tmp_path / "out" / "x.npy", progress=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failing_clip_leaves_the_older_file(table, tmp_path):
    old = log_mels(table, SETTINGS, out=tmp_path / "x.npy", progress=False).clone()
    (tmp_path / "d.wav").unlink()
    with pytest.raises(InputError, match=r"No file .*d\.wav"):
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


def spectrograms(n: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    scales, levels = rng.uniform(0.5, 4, 6), rng.uniform(-13, 5, 6)
    return torch.from_numpy(levels + scales * rng.normal(size=(n, 9, 6))).float()


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.integers(0, 29), min_size=1, max_size=30, unique=True), half=st.booleans())
def test_mean_and_deviation_of_the_chosen_clips_alone(rows, half):
    x = spectrograms(30)
    others = [row for row in range(30) if row not in rows]
    x[others] += 1000  # seen by the mean at once
    x = x.half() if half else x
    layer = Standardise.fit(x, torch.tensor(rows))
    chosen = x.numpy().astype(np.float64)[rows].reshape(-1, 6)
    np.testing.assert_allclose(layer.mean, chosen.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.std, chosen.std(0), rtol=1e-6)


def test_a_fitted_layer_gives_mean_0_and_deviation_1():
    x = spectrograms(50, seed=1).half()
    z = Standardise.fit(x)(x)
    assert z.dtype == torch.float32
    np.testing.assert_allclose(z.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std((0, 1), correction=0), 1, atol=1e-5)


def test_a_mask_chooses_the_same_clips_as_their_indices():
    x, mask = spectrograms(30), torch.arange(30) % 3 == 0
    by_mask, by_index = Standardise.fit(x, mask), Standardise.fit(x, mask.nonzero()[:, 0])
    assert torch.equal(by_mask.mean, by_index.mean)
    assert torch.equal(by_mask.std, by_index.std)


def test_a_large_offset_costs_no_digits():
    x = spectrograms(40).double() + 1e6
    layer = Standardise.fit(x)
    np.testing.assert_allclose(layer.std, x.numpy().reshape(-1, 6).std(0), rtol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 30, 1000])
def test_the_size_of_the_blocks_does_not_matter(monkeypatch, size):
    x, blocks = spectrograms(30), features._blocks
    whole = Standardise.fit(x)
    monkeypatch.setattr(features, "_blocks", lambda x, rows: blocks(x, rows, size))
    layer = Standardise.fit(x)
    torch.testing.assert_close(layer.mean, whole.mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(layer.std, whole.std, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [0.0, -13.8155, 0.1, 1e4])
@pytest.mark.parametrize("n", [1, 3, 300])
def test_a_bin_that_never_changes_becomes_0(value, n):
    x = spectrograms(n)
    x[:, :, 2] = value
    z = Standardise.fit(x)(x)
    assert torch.isfinite(z).all()
    assert not z[:, :, 2].any()
    assert z[:, :, 1].any()


@pytest.mark.parametrize("rows", [torch.zeros(0, dtype=torch.int64), torch.zeros(30, dtype=torch.bool)])
def test_no_training_clip(rows):
    with pytest.raises(InputError, match="No training clip"):
        Standardise.fit(spectrograms(30), rows)


def test_the_layer_is_stored_with_the_model():
    layer = Standardise.fit(spectrograms(5))
    other = Standardise(6)
    other.load_state_dict(layer.state_dict())
    x = spectrograms(3, seed=2)
    assert torch.equal(other(x), layer(x))
    assert not torch.equal(Standardise(6)(x), layer(x))
    assert list(layer.parameters()) == []


tilts = st.lists(st.floats(-8, 8), min_size=6, max_size=6)


@given(tilt=tilts, n_frames=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_normalised_per_utterance_a_spectral_tilt_leaves_no_trace(tilt, n_frames):
    """A filter, as of a microphone, adds a constant spectrum to a clip's log-mels."""
    layer = Standardise.fit(spectrograms(30), normalise="utterance")
    x = spectrograms(5, seed=3)[:, :1].expand(5, n_frames, 6) + torch.randn(5, n_frames, 6)
    torch.testing.assert_close(layer(x + torch.tensor(tilt)), layer(x), rtol=1e-3, atol=1e-3)


def test_per_utterance_as_numpy_does_it():
    x, rows = spectrograms(300).half(), torch.arange(0, 290, 3)
    own = x.double().numpy()
    centred = own - own.mean(1, keepdims=True)
    layer = Standardise.fit(x, rows, "utterance")
    std = centred[rows].reshape(-1, 6).std(0)
    np.testing.assert_allclose(layer.mean, 0, atol=1e-6)
    np.testing.assert_allclose(layer.std, std, rtol=1e-5)
    np.testing.assert_allclose(layer(x), centred / std, atol=1e-4)
    one = x[0].double().numpy()  # without a batch axis, and of another length
    np.testing.assert_allclose(layer(x[0, :4]), (one[:4] - one[:4].mean(0)) / std, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, -13.8155, 0.1])
def test_per_utterance_a_bin_that_never_changes_becomes_nearly_0(value):
    x = spectrograms(30).repeat(1, 50, 1)
    x[:, :, 2] = value + torch.arange(30)[:, None] % 3  # another value in every clip
    z = Standardise.fit(x, normalise="utterance")(x)
    assert z[:, :, 2].abs().max() < 1e-3
    assert z[:, :, 1].std() > 0.5


def test_an_unknown_normalisation():
    with pytest.raises(InputError, match=r"Bad normalise 'clip', expected one of \['corpus', 'utterance'\]"):
        Standardise(6, "clip")
