import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torch import Tensor
from transformers import (
    HubertConfig,
    HubertForSequenceClassification,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WavLMConfig,
    WavLMForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from ser_graph.audio import fit_length, load_waveform
from ser_graph.audio.torchaudio_import import torchaudio
from ser_graph.corpora import with_copies
from ser_graph.errors import InputError
from ser_graph.upstream import Upstream, embedding

# a frame each 40 samples
CONVOLVING = {
    "conv_dim": (16, 16),
    "conv_kernel": (10, 8),
    "conv_stride": (5, 8),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
    "initializer_range": 0.3,  # with the usual 0.02 the clip hardly matters beside the biases
}
FAMILIES = {
    "wav2vec 2.0": (Wav2Vec2Config, Wav2Vec2ForSequenceClassification),
    "HuBERT": (HubertConfig, HubertForSequenceClassification),
    "WavLM": (WavLMConfig, WavLMForSequenceClassification),
}
NAMES = ["b.wav", "a.wav", "d.wav", "c.wav"]
SECONDS = {"a.wav": 0.05, "b.wav": 0.1, "c.wav": 0.1, "d.wav": 0.24}


def convolving(family: str = "wav2vec 2.0", norm: str = "group", mask: bool = False, seed: int = 0) -> Upstream:
    config, model = FAMILIES[family]
    torch.manual_seed(seed)
    made = model(config(**CONVOLVING, feat_extract_norm=norm))
    return Upstream(made, Wav2Vec2FeatureExtractor(return_attention_mask=mask))


def whisper(window: float = 1.0) -> Upstream:
    """A Whisper for clips of that many seconds, with a frame each 20 ms."""
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        vocab_size=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
        num_mel_bins=16,
        max_source_positions=round(window * 50),
        classifier_proj_size=8,
        init_std=0.3,
    )
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    assert extractor.n_samples == 16_000
    return Upstream(WhisperForAudioClassification(config), extractor)


MODELS = {
    "wav2vec 2.0, group norm, no mask": convolving,
    "wav2vec 2.0, layer norm, mask": lambda: convolving(norm="layer", mask=True),
    "wav2vec 2.0, layer norm, no mask": lambda: convolving(norm="layer"),
    "wav2vec 2.0, group norm, mask": lambda: convolving(mask=True),
    "HuBERT, group norm, no mask": lambda: convolving("HuBERT"),
    "HuBERT, layer norm, mask": lambda: convolving("HuBERT", norm="layer", mask=True),
    "WavLM, group norm, mask": lambda: convolving("WavLM", mask=True),
    "WavLM, layer norm, mask": lambda: convolving("WavLM", norm="layer", mask=True),
    "Whisper": whisper,
}
models = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@pytest.fixture
def table(make_clips) -> pd.DataFrame:
    for name, seconds in SECONDS.items():
        root = make_clips(name, seconds=seconds)
    table = pd.DataFrame({"emotion": "fear"}, index=pd.Index(NAMES, name="file"))
    table.attrs["root"] = str(root)
    return table


def embed(upstream: Upstream, table: pd.DataFrame, **settings) -> Tensor:
    return upstream.embed(table, **{"device": "cpu", "progress": False, "seconds": "own"} | settings)


def averaged(upstream: Upstream, waveform: Tensor, n_frames: int | None = None) -> Tensor:
    """The projector's output for one waveform alone, averaged over all its frames or the first few."""
    model = upstream.model.eval()
    inputs = upstream.extractor(waveform.numpy(), sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        if isinstance(model, WhisperForAudioClassification):
            hidden = model.encoder(inputs["input_features"])[0]
        else:
            hidden = model.base_model(inputs["input_values"])[0]
        return (hidden @ model.projector.weight.T + model.projector.bias)[0, :n_frames].mean(0)


def waveforms(table: pd.DataFrame) -> list[Tensor]:
    return [load_waveform(f"{table.attrs['root']}/{file}") for file in table.index]


@pytest.fixture
def forwards():
    """Follow an upstream: the number of clips in each of its forward passes from then on."""

    def follow(upstream: Upstream) -> list[int]:
        seen: list[int] = []

        def count(_model, _given, named):
            seen.append(len(next(iter(named.values()))))

        upstream.model.register_forward_pre_hook(count, with_kwargs=True)
        return seen

    return follow


@models
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_padding_is_not_averaged_in(table, make, batch_size):
    upstream = make()
    emb = embed(upstream, table, batch_size=batch_size)
    assert emb.dtype == torch.float32
    assert emb.shape == (4, 8)
    for row, waveform in enumerate(waveforms(table)):
        # Whisper pads each clip to its window: a frame of 320 samples counts if it holds any of the clip
        n_frames = -(-len(waveform) // 320) if upstream.max_samples else None
        torch.testing.assert_close(emb[row], averaged(upstream, waveform, n_frames), atol=1e-5, rtol=0)
    assert (emb[0] - emb[3]).abs().max() > 0.01  # two clips of one length


@models
def test_a_clip_says_the_same_alone_and_beside_longer_ones(table, make):
    upstream = make()
    together = embed(upstream, table)
    alone = torch.cat([embed(upstream, table.loc[[file]]) for file in table.index])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


@models
def test_the_projector_of_the_averaged_last_layer_is_the_embedding(table, make):
    """A linear layer of a mean is the mean of the linear layer; and the first layer is not the last."""
    upstream = make()
    last, first = embed(upstream, table, layer=-1), embed(upstream, table, layer=1)
    projector = upstream.model.projector
    with torch.inference_mode():
        torch.testing.assert_close(projector(last), embed(upstream, table), atol=1e-4, rtol=1e-4)
    assert last.shape == first.shape == (4, 16)
    torch.testing.assert_close(last, embed(upstream, table, layer=upstream.n_layers))
    if upstream.n_layers > 1:
        assert not torch.allclose(last, first)


@models
@pytest.mark.parametrize("asked", [[0], [1], [2], [1, 0], [-2, 2], [0, "projector"]], ids=str)
def test_layers_are_those_of_transformers_and_later_layers_do_not_run(table, make, asked):
    upstream = make()
    n_layers = upstream.n_layers
    layers = [min(layer, n_layers) if isinstance(layer, int) else layer for layer in asked]
    ran: list[int] = []
    blocks = next(block for name, block in upstream.model.named_modules() if name.endswith("encoder.layers"))
    for number, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    found = embed(upstream, table[:1], layer=layers)
    depths = [n_layers if layer == "projector" else layer % (n_layers + 1) for layer in layers]
    assert ran == list(range(max(depths)))

    wave = upstream.extractor(waveforms(table)[0].numpy(), sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        hidden = upstream.model(**wave, output_hidden_states=True).hidden_states
        project = upstream.model.projector
        parts = [project(hidden[-1]) if layer == "projector" else hidden[layer] for layer in layers]
    counted = embedding._frame_counts(upstream, torch.tensor([1600]), hidden[0].shape[1])
    torch.testing.assert_close(found[0], torch.cat(parts, -1)[0, :counted].mean(0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [3, -4, 1.5, "last"])
def test_a_layer_that_is_none(table, layer):
    expected = "'projector', or a layer from 0 to 2$" if isinstance(layer, int) else "projector, a layer of"
    with pytest.raises(InputError, match=rf"^Bad layer {layer!r}, expected {expected}"):
        embed(convolving(), table, layer=layer)


@models
@pytest.mark.parametrize("layers", [["projector"], [1], [-1, "projector"], ["projector", 0, 1, 0]], ids=str)
def test_several_layers_stand_side_by_side(table, make, layers):
    upstream = make()
    found = embed(upstream, table, layer=layers)
    alone = [embed(upstream, table, layer=layer) for layer in layers]
    assert found.shape == (4, sum(8 if layer == "projector" else 16 for layer in layers))
    torch.testing.assert_close(found, torch.cat(alone, 1), atol=1e-6, rtol=1e-6)


def test_a_list_with_a_layer_that_is_none(table):
    with pytest.raises(InputError, match=r"^Bad layer 3, expected 'projector', or a layer from 0 to 2$"):
        embed(convolving(), table, layer=["projector", 3])


def test_a_cache_of_several_layers(table, tmp_path, forwards):
    upstream = convolving()
    how = {"layer": [1, "projector"], "cache": tmp_path / "cache"}
    found = embed(upstream, table, **how)
    seen = forwards(upstream)
    assert torch.equal(embed(upstream, table, **how), found)
    assert seen == []
    other = embed(upstream, table, **{**how, "layer": ["projector", 1]})  # another order is another embedding
    torch.testing.assert_close(other, found.roll(8, 1), atol=1e-6, rtol=1e-6)
    assert sum(seen) == 4


@pytest.fixture
def copies(table) -> pd.DataFrame:
    """The four clips, and two copies of each at other speeds."""
    return with_copies(table.assign(speaker=["1", "1", "2", "3"], split="train"), 2)


@models
@pytest.mark.parametrize("seconds", ["own", 0.1])
def test_a_copy_is_embedded_as_it_sounds_alone(copies, make, seconds):
    """Resampled: at 0.9 of the speed, ten samples become eleven and a bit."""
    upstream = make()
    emb = embed(upstream, copies, seconds=seconds)
    assert emb.shape == (12, 8)
    files = copies["copy_of"].fillna(copies.index.to_series())
    for row, (file, speed) in enumerate(zip(files, copies["speed"], strict=True)):
        waveform = load_waveform(f"{copies.attrs['root']}/{file}")
        if speed != 1:
            waveform = torchaudio.functional.resample(waveform, round(100 * speed), 100)
        if seconds != "own":
            waveform = fit_length(waveform, round(seconds * 16_000))
        n_frames = -(-len(waveform) // 320) if upstream.max_samples else None
        torch.testing.assert_close(emb[row], averaged(upstream, waveform, n_frames), atol=1e-5, rtol=0)
    for one, other in ((0, 4), (0, 8), (4, 8)):
        assert (emb[one] - emb[other]).abs().max() > 1e-3
    torch.testing.assert_close(emb[:4], embed(upstream, copies.iloc[:4], seconds=seconds), atol=1e-6, rtol=0)


def test_a_cache_tells_copies_from_originals(copies, tmp_path, forwards):
    upstream = convolving()
    expected = embed(upstream, copies)
    seen = forwards(upstream)
    embed(upstream, copies.iloc[:4], cache=tmp_path / "cache")
    assert sum(seen) == 4
    assert torch.equal(embed(upstream, copies, cache=tmp_path / "cache"), expected)
    assert sum(seen) == 12
    some = copies.iloc[[9, 1, 5]]
    assert torch.equal(embed(upstream, some, cache=tmp_path / "cache"), expected[[9, 1, 5]])
    assert sum(seen) == 12


@models
@pytest.mark.parametrize("seconds", [0.1, 0.15])
def test_clips_are_repeated_or_cut_to_the_length_asked_for(table, make, seconds):
    upstream = make()
    emb = embed(upstream, table, seconds=seconds)
    n_samples = round(seconds * 16_000)
    for row, waveform in enumerate(waveforms(table)):
        n_frames = -(-n_samples // 320) if upstream.max_samples else None
        expected = averaged(upstream, fit_length(waveform, n_samples), n_frames)
        torch.testing.assert_close(emb[row], expected, atol=1e-5, rtol=0)


def test_clips_are_not_longer_than_the_model_can_see(table):
    upstream = whisper()
    torch.testing.assert_close(embed(upstream, table, seconds=8.43), embed(upstream, table, seconds=1.0))
    long = waveforms(table)[2].repeat(6)
    soundfile.write(f"{table.attrs['root']}/a.wav", long.numpy(), 16_000, subtype="FLOAT")
    assert len(long) > 16_000
    torch.testing.assert_close(embed(upstream, table)[1], averaged(upstream, long[:16_000]), atol=1e-5, rtol=0)


def test_the_order_of_rows_is_that_of_the_table_and_clips_may_come_twice(table, forwards):
    upstream = convolving()
    emb = embed(upstream, table)
    seen = forwards(upstream)
    rows = [3, 0, 0, 2, 1, 3, 0]
    torch.testing.assert_close(embed(upstream, table.iloc[rows]), emb[rows], atol=1e-6, rtol=0)
    assert sum(seen) == 4  # each sound once


def test_batches_are_of_the_size_asked_for(table, forwards):
    upstream = convolving(norm="layer", mask=True)
    seen = forwards(upstream)
    embed(upstream, table, batch_size=3)
    assert seen == [3, 1]


def test_the_model_is_left_without_our_hook_and_in_eval_mode(table):
    upstream = convolving()
    upstream.model.train()
    embed(upstream, table)
    assert not upstream.model.projector._forward_hooks
    assert not upstream.model.training


def test_precision(table):
    upstream = convolving()
    exact, coarse = (embed(upstream, table, precision=precision) for precision in ("float32", "bfloat16"))
    assert coarse.dtype == torch.float32
    assert not torch.equal(exact, coarse)
    torch.testing.assert_close(exact, coarse, atol=0.1, rtol=0.1)


def test_a_cache_spares_the_second_call(table, tmp_path, forwards):
    upstream = convolving()
    emb = embed(upstream, table, cache=tmp_path / "cache")
    seen = forwards(upstream)
    again = embed(upstream, table.iloc[::-1], cache=tmp_path / "cache")
    assert torch.equal(again, emb.flip(0))
    assert seen == []
    assert torch.equal(embed(convolving(), table, cache=tmp_path / "cache"), emb)  # an equal model


def test_a_cache_goes_by_what_is_heard_not_by_names(table, tmp_path, forwards):
    upstream = convolving()
    emb = embed(upstream, table, cache=tmp_path / "cache")
    seen = forwards(upstream)
    root = tmp_path / "moved"
    root.mkdir()
    for name in NAMES:
        (tmp_path / name).rename(root / f"x{name}")
    renamed = table.rename(index=lambda name: f"x{name}")
    assert torch.equal(embed(upstream, renamed, root=root, cache=tmp_path / "cache"), emb)
    assert seen == []
    soundfile.write(root / "xa.wav", np.ones(1000) / 2, 16_000)
    changed = embed(upstream, renamed, root=root, cache=tmp_path / "cache")
    assert seen == [1]
    assert (changed != emb).any(1).tolist() == [False, True, False, False]


def test_only_what_a_cache_lacks_is_embedded(table, tmp_path, forwards):
    upstream = convolving()
    some = embed(upstream, table.iloc[[1, 2]], cache=tmp_path / "cache")
    seen = forwards(upstream)
    emb = embed(upstream, table, cache=tmp_path / "cache")
    assert sum(seen) == 2
    assert torch.equal(emb[1:3], some)
    seen.clear()
    assert torch.equal(embed(upstream, table, cache=tmp_path / "cache"), emb)
    assert seen == []


@pytest.mark.parametrize("change", ["weights", "preprocessing", "seconds", "precision", "layer", "layers"])
def test_other_models_and_settings_have_their_own_cache(table, tmp_path, forwards, change):
    embed(convolving(), table, cache=tmp_path / "cache")
    upstream = convolving(seed=1 if change == "weights" else 0)
    upstream.extractor.do_normalize = change != "preprocessing"
    settings = {
        "seconds": {"seconds": 0.1},
        "precision": {"precision": "bfloat16"},
        "layer": {"layer": 1},
        "layers": {"layer": ["projector"]},
    }.get(change, {})
    expected = embed(upstream, table, **settings)
    seen = forwards(upstream)
    assert torch.equal(embed(upstream, table, cache=tmp_path / "cache", **settings), expected)
    assert sum(seen) == 4


@pytest.mark.parametrize("content", [b"", b"not a tensor", None])
def test_a_damaged_file_of_the_cache_is_named(table, tmp_path, content):
    embed(convolving(), table, cache=tmp_path / "cache")
    (shard,) = (tmp_path / "cache").glob("*/*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-8] if content is None else content)
    with pytest.raises(InputError, match=r"is damaged .*; delete it") as caught:
        embed(convolving(), table, cache=tmp_path / "cache")
    assert str(shard) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_killed_run_continues_where_it_was(table, tmp_path, monkeypatch, forwards):
    monkeypatch.setattr(embedding, "_SHARD", 2)
    upstream = convolving(norm="layer", mask=True)
    whole = embed(upstream, table)
    seen = forwards(upstream)

    def kill(_module, _inputs, _output):
        if len(seen) == 2:
            raise KeyboardInterrupt

    killer = upstream.model.projector.register_forward_hook(kill)
    with pytest.raises(KeyboardInterrupt):
        embed(upstream, table, cache=tmp_path / "cache")
    killer.remove()
    assert [path.suffix for path in (tmp_path / "cache").glob("*/*")] == [".safetensors"]
    assert seen == [2, 2]
    assert torch.equal(embed(upstream, table, cache=tmp_path / "cache"), whole)
    assert seen == [2, 2, 2]


def test_a_clip_that_cannot_be_read_is_named(table, tmp_path):
    (tmp_path / "d.wav").write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"d\.wav cannot be used"):
        embed(convolving(), table)


def test_an_embedding_that_is_not_finite_is_named(table):
    upstream = convolving()
    n_frames = upstream.model._get_feat_extract_output_lengths(round(0.24 * 16_000))  # d.wav alone is that long
    upstream.model.projector.register_forward_hook(
        lambda _module, _inputs, output: output / 0 if output.shape[1] == n_frames else output
    )
    with pytest.raises(InputError, match=r"embedding of .*d\.wav is not finite"):
        embed(upstream, table)


def test_a_clip_shorter_than_a_frame_is_named(table, tmp_path):
    upstream = convolving()
    soundfile.write(tmp_path / "c.wav", np.ones(44), 16_000)
    with pytest.raises(InputError, match=r"c\.wav is too short for the model \(44 samples\); set seconds="):
        embed(upstream, table)
    soundfile.write(tmp_path / "c.wav", np.linspace(-0.5, 0.5, 45), 16_000)  # 8 steps of 5 samples, and 10 - 5
    assert torch.isfinite(embed(upstream, table)).all()


def test_bad_requests(table):
    with pytest.raises(InputError, match="No clip to embed"):
        embed(convolving(), table[:0])
    for seconds in (0, -1, 0.05):
        with pytest.raises(InputError, match=rf"Bad seconds {seconds}, expected length in seconds \(0.1 to 600\)"):
            embed(convolving(), table, seconds=seconds)
    with pytest.raises(InputError, match="Bad precision 'float16'"):
        embed(convolving(), table, precision="float16")


def test_a_real_encoder(whisper_folder, real_corpus):
    upstream = Upstream.from_pretrained(whisper_folder)
    paths = sorted(path for path in real_corpus("emovo").rglob("*") if path.suffix in (".wav", ".flac", ".ogg"))[
        ::99
    ]
    table = pd.DataFrame(index=[str(path) for path in paths[:4]])
    emb = embed(upstream, table, root="/")
    assert emb.shape == (4, 256)
    assert torch.isfinite(emb).all()
    assert (emb[0] - emb[1]).abs().max() > 0.01
    torch.testing.assert_close(embed(upstream, table[2:3], root="/")[0], emb[2], atol=1e-4, rtol=0)
