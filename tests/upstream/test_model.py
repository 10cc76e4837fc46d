import json
import warnings

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WhisperFeatureExtractor,
)

from ser_graph.errors import InputError
from ser_graph.upstream import Upstream


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def refusal(source) -> str:
    with pytest.raises(InputError) as caught:
        Upstream.from_pretrained(source)
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)
    return str(caught.value)


def test_the_small_upstream_is_made_by_its_seed_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one, again, other = Upstream.small(seed=3), Upstream.small(seed=3), Upstream.small(seed=4)
    assert torch.equal(torch.rand(3), expected)  # the user's own random numbers are left alone
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    assert one.dim == 256
    assert one.max_samples is None
    assert one.n_params == sum(value.numel() for value in one.model.state_dict().values())


def test_every_weight_counts_in_the_fingerprint(tiny):
    upstream = tiny()
    seen = {upstream.fingerprint()}
    weights = upstream.model.state_dict()
    assert len(weights) > 20
    for value in weights.values():
        last = value.view(-1)[-1:]
        before = last.clone()
        last.copy_(torch.nextafter(before, before + 1))
        seen.add(upstream.fingerprint())
        last.copy_(before)
    assert len(seen) == len(weights) + 1
    assert upstream.fingerprint() == tiny().fingerprint()


def test_architecture_and_preprocessing_count_in_the_fingerprint(tiny):
    seen = [tiny().fingerprint(), tiny(layer_norm_eps=1e-3).fingerprint()]
    for change in ({"do_normalize": False}, {"return_attention_mask": False}, {"padding_value": 1.0}):
        upstream = tiny()
        vars(upstream.extractor).update(change)
        seen.append(upstream.fingerprint())
    assert len(set(seen)) == len(seen)


def test_neither_training_mode_nor_frozen_layers_count_in_the_fingerprint(tiny):
    upstream = tiny()
    before = upstream.fingerprint()
    upstream.model.train().freeze_feature_encoder()
    assert upstream.fingerprint() == before


@pytest.mark.parametrize("emotions", [[], ["joy", "anger", "fear"]])
def test_a_stored_upstream_comes_back(tiny, tmp_path, make_clips, emotions):
    upstream = tiny()
    if emotions:
        upstream.set_emotions(emotions)
    upstream.info["note"] = "kept"
    upstream.save(tmp_path / "upstream")
    found = Upstream.from_pretrained(tmp_path / "upstream")
    assert found.fingerprint() == upstream.fingerprint()
    assert found.emotions == emotions
    assert found.info["note"] == "kept"
    assert found.info["untrained"] == []
    table = pd.DataFrame(index=["a.wav", "b.wav"])
    root = make_clips("a.wav", "b.wav")
    assert torch.equal(
        found.embed(table, root=root, device="cpu", progress=False),
        upstream.embed(table, root=root, device="cpu", progress=False),
    )
    found.save(tmp_path / "again")
    assert Upstream.from_pretrained(tmp_path / "again").fingerprint() == upstream.fingerprint()


def test_a_stored_upstream_replaces_an_older_one(tiny, tmp_path):
    assert tiny(0).save(tmp_path / "upstream") == tmp_path / "upstream"
    (tmp_path / "upstream" / "old.txt").touch()
    tiny(1).save(tmp_path / "upstream")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["upstream"]
    assert sorted(path.name for path in (tmp_path / "upstream").iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "ser_graph.json",
    ]
    assert Upstream.from_pretrained(tmp_path / "upstream").fingerprint() == tiny(1).fingerprint()


def test_home_folders(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tiny().save("~/upstream") == tmp_path / "upstream"
    assert Upstream.from_pretrained("~/upstream").fingerprint() == tiny().fingerprint()


def test_plain_transformers_loads_a_stored_upstream(tiny, tmp_path):
    upstream = tiny()
    upstream.set_emotions(["joy", "anger"])
    upstream.save(tmp_path / "upstream")
    model, loading = AutoModelForAudioClassification.from_pretrained(
        tmp_path / "upstream", output_loading_info=True
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert model.config.id2label == {0: "joy", 1: "anger"}
    assert model.config.label2id == {"joy": 0, "anger": 1}
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path / "upstream")
    inputs = extractor([0.1, -0.2] * 400, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(model.eval()(**inputs).logits, upstream.model.eval()(**inputs).logits)


def test_layers_that_a_checkpoint_lacks_are_named_and_made_by_the_seed(tiny_config, tmp_path):
    torch.manual_seed(0)
    base = Wav2Vec2Model(tiny_config())
    base.save_pretrained(tmp_path / "base")
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "base")
    one, again, other = (Upstream.from_pretrained(tmp_path / "base", seed=seed) for seed in (5, 5, 6))
    heads = ["classifier.bias", "classifier.weight", "projector.bias", "projector.weight"]
    assert one.info["untrained"] == heads
    assert one.info["finetuned"] is False
    assert one.info["weights"] == str(tmp_path / "base")
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    for name, value in base.state_dict().items():
        assert torch.equal(other.model.wav2vec2.state_dict()[name], value)


def test_a_checkpoint_that_does_not_fit_is_refused(tiny, tmp_path):
    """Otherwise the missing tensors would be random, without a word."""
    path = tiny().save(tmp_path / "upstream") / "model.safetensors"
    tensors = load_file(path)
    save_file({f"model.{name}": value for name, value in tensors.items()}, path, {"format": "pt"})
    n = len(tensors)  # head and SpecAugment's vector may be missing
    assert f"lacks {n - 5} of the {n} tensors of Wav2Vec2ForSequenceClassification" in refusal(
        tmp_path / "upstream"
    )
    lost = {name: value for name, value in tensors.items() if "attention.k_proj" not in name}
    save_file(lost, path, {"format": "pt"})
    assert f"lacks 2 of the {n} tensors" in refusal(tmp_path / "upstream")


def test_weights_that_are_not_finite_are_not_blamed_on_a_clip(tiny, tmp_path):
    path = tiny().save(tmp_path / "upstream") / "model.safetensors"
    tensors = load_file(path)
    tensors["projector.weight"][1, 2] = torch.nan
    save_file(tensors, path, {"format": "pt"})
    assert "holds NaN or infinity in projector.weight; fetch it again" in refusal(tmp_path / "upstream")


def test_a_checkpoint_may_lack_what_only_training_uses(tiny, tmp_path):
    path = tiny(mask_time_prob=0.05).save(tmp_path / "upstream") / "model.safetensors"
    tensors = load_file(path)
    del tensors["wav2vec2.masked_spec_embed"]
    save_file(tensors, path, {"format": "pt"})
    assert Upstream.from_pretrained(tmp_path / "upstream").info["untrained"] == ["wav2vec2.masked_spec_embed"]


def test_a_random_projector_gives_a_warning_and_a_layer_none(tiny, tiny_config, tmp_path, make_clips):
    Wav2Vec2Model(tiny_config()).save_pretrained(tmp_path / "base")
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "base")
    upstream = Upstream.from_pretrained(tmp_path / "base")
    table, how = pd.DataFrame(index=["a.wav"]), {"root": make_clips("a.wav"), "device": "cpu", "progress": False}
    words = r"The projector of this upstream is untrained.*ser-graph finetune.*--layer -1"
    for one in (upstream, Upstream.from_pretrained(upstream.save(tmp_path / "stored"))):
        with pytest.warns(UserWarning, match=words):
            one.embed(table, **how)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        upstream.embed(table, layer=-1, **how)
        tiny().embed(table, **how)


def test_a_model_without_any_training_gives_a_warning(tmp_path, make_clips):
    table, how = pd.DataFrame(index=["a.wav"]), {"root": make_clips("a.wav"), "device": "cpu", "progress": False}
    for layer in ("projector", -1):
        with pytest.warns(UserWarning, match=r"No layer of this upstream is trained.*ser-graph finetune"):
            Upstream.small().embed(table, layer=layer, **how)


def test_one_line_shows_what_it_is(tiny, tmp_path):
    assert repr(tiny()).startswith("Upstream(Wav2Vec2ForSequenceClassification, 0.0 M parameters, 1 layers, 8 dim")
    assert repr(Upstream.small()).startswith("Upstream(small, ") and "not fine-tuned" in repr(Upstream.small())
    upstream = tiny()
    upstream.set_emotions(["anger", "fear"])
    upstream.info.update(finetuned=True, corpus="emovo")
    upstream.save(tmp_path / "upstream")
    assert repr(Upstream.from_pretrained(tmp_path / "upstream")).endswith("fine-tuned on emovo: anger, fear)")


def test_a_float16_checkpoint_is_computed_in_float32(tiny, tmp_path, make_clips):
    upstream = tiny()
    upstream.model.half()
    upstream.save(tmp_path / "half")
    assert load_file(tmp_path / "half" / "model.safetensors")["projector.weight"].dtype == torch.float16
    found = Upstream.from_pretrained(tmp_path / "half")
    assert {value.dtype for value in found.model.parameters()} == {torch.float32}
    emb = found.embed(pd.DataFrame(index=["a.wav"]), root=make_clips("a.wav"), device="cpu", progress=False)
    assert emb.isfinite().all()


def test_the_cache_folder_of_the_hub_is_named(tiny, tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123abc"
    tiny().save(snapshot)
    assert f"give the snapshot in it: {snapshot}" in refusal(tmp_path / "models--a--b")


def test_a_folder_that_is_not_there(tmp_path, offline):
    assert "No upstream" in refusal(tmp_path / "none")
    assert "Hugging Face hub" in refusal("nobody/no-such-model")


def test_a_folder_without_files(tmp_path, offline):
    assert "expected a folder with config.json" in refusal(tmp_path)


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "preprocessor_config.json"])
@pytest.mark.parametrize(
    "content",
    [None, b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n"],
    ids=["missing", "empty", "pointer"],
)
def test_a_folder_with_a_file_that_is_lost(tiny, tmp_path, offline, lost, content):
    tiny().save(tmp_path / "upstream")
    (tmp_path / "upstream" / lost).unlink()
    if content is not None:
        (tmp_path / "upstream" / lost).write_bytes(content)
    is_json = content is not None and lost.endswith(".json")
    said = f"{lost} is not readable JSON" if is_json else "No upstream"
    assert said in refusal(tmp_path / "upstream")


def test_a_truncated_model(tiny, tmp_path, offline):
    path = tiny().save(tmp_path / "upstream") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "No upstream" in refusal(tmp_path / "upstream")


def test_a_model_without_a_projector(tmp_path):
    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_length=32,
        num_mel_bins=16,
    )
    ASTForAudioClassification(config).save_pretrained(tmp_path)
    ASTFeatureExtractor(max_length=32, num_mel_bins=16).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="ASTForAudioClassification has no `projector` layer") as caught:
        Upstream.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_of_another_sampling_rate(tiny):
    with pytest.raises(InputError, match="needs 8000 Hz, expected a model of 16000 Hz"):
        Upstream(tiny().model, WhisperFeatureExtractor(sampling_rate=8000))


def test_a_new_head_for_new_emotions(tiny, tmp_path):
    upstream, other = tiny(), tiny()
    before = {name: value.clone() for name, value in upstream.model.state_dict().items()}
    upstream.set_emotions(["joy", "anger", "fear"], seed=1)
    other.set_emotions(["joy", "anger", "fear"], seed=2)
    assert upstream.emotions == ["joy", "anger", "fear"]
    after = upstream.model.state_dict()
    assert after["classifier.weight"].shape == (3, 8)
    assert not torch.equal(after["classifier.weight"], other.model.classifier.weight)
    assert {name for name in before if not name.startswith("classifier")} == {
        name for name, value in before.items() if torch.equal(value, after[name])
    }
    other.set_emotions(["joy", "anger", "fear"], seed=1)
    assert upstream.fingerprint() == other.fingerprint()
    upstream.save(tmp_path / "upstream")
    config = json.loads((tmp_path / "upstream" / "config.json").read_text())
    assert config["id2label"] == {"0": "joy", "1": "anger", "2": "fear"}


def test_a_new_head_can_be_trained(tiny):
    upstream = tiny()
    upstream.set_emotions(["a", "b", "c", "d", "e"])
    output = upstream.model(torch.zeros(2, 4000), labels=torch.tensor([4, 0]))
    assert output.logits.shape == (2, 5)
    output.loss.backward()
    assert upstream.model.classifier.weight.grad.any()
