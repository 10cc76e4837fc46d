import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torch import Tensor
from transformers import (
    TrainerCallback,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from ser_graph.audio import fit_length, load_waveform
from ser_graph.corpora import with_copies
from ser_graph.errors import InputError
from ser_graph.upstream import Upstream, finetuning

PITCHES = {"anger": 300, "fear": 1100, "sadness": 3500}
SPLITS = ["train"] * 6 + ["dev", "test"]
PER_EPOCH = 3  # steps: 18 training clips in batches of 8


@pytest.fixture
def tiny(tiny) -> Callable[..., Upstream]:
    """With dropout and masking, so that its training draws random numbers."""
    return partial(tiny, mask_time_length=2, layerdrop=0.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> pd.DataFrame:
    """24 clips: each emotion is a pitch."""
    root, rng, rows = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0), []
    for emotion, pitch in PITCHES.items():
        for take, split in enumerate(SPLITS):
            time = np.arange(1600) / 16_000
            wave = np.sin(2 * np.pi * (pitch * rng.uniform(0.9, 1.1) * time + rng.uniform()))
            soundfile.write(root / f"{emotion}{take}.wav", 0.3 * wave + rng.normal(0, 0.03, 1600), 16_000)
            rows.append({"file": f"{emotion}{take}.wav", "emotion": emotion, "split": split})
    table = pd.DataFrame(rows).set_index("file").sample(frac=1, random_state=0)
    table.attrs.update(root=str(root), corpus="pitches")
    return table


@pytest.fixture
def table(corpus) -> pd.DataFrame:
    return corpus.copy()


def finetune(upstream: Upstream, table: pd.DataFrame, **settings) -> Upstream:
    usual = {
        "epochs": 2,
        "learning_rate": 3e-3,
        "batch_size": 8,
        "seconds": 0.1,
        "device": "cpu",
        "precision": "float32",
        "progress": False,
    }
    return upstream.finetune(table, **usual | settings)


def weights(upstream: Upstream) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in upstream.model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def accuracy(upstream: Upstream, table: pd.DataFrame) -> float:
    clips = [fit_length(load_waveform(f"{table.attrs['root']}/{file}"), 1600).numpy() for file in table.index]
    inputs = upstream.extractor(clips, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        said = upstream.model.eval()(**inputs).logits.argmax(1)
    return float(np.mean([upstream.emotions[code] for code in said] == table["emotion"]))


class StopAt(TrainerCallback):
    """Count steps, and interrupt the training before one of them."""

    def __init__(self, step: int | None = None) -> None:
        self.step = step
        self.begun: list[int] = []

    def on_step_begin(self, args, state, control, **kwargs):
        self.begun.append(state.global_step)
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def steps(monkeypatch):
    """Follow the training from then on; interrupt it before the step of that number."""

    def follow(step: int | None = None) -> list[int]:
        callback = StopAt(step)
        monkeypatch.setattr(finetuning, "_epoch_bar", lambda progress: callback)
        return callback.begun

    return follow


def test_a_tiny_model_learns_the_training_clips(tiny, table):
    upstream = tiny()
    assert finetune(upstream, table, epochs=16, learning_rate=1e-2, freeze_feature_encoder=False) is upstream
    part = {split: table[table["split"] == split] for split in SPLITS}
    assert upstream.emotions == sorted(PITCHES)
    assert accuracy(upstream, part["train"]) > 0.9  # chance is 1/3
    info = upstream.info
    assert info["dev_accuracy"] == pytest.approx(accuracy(upstream, part["dev"]))
    assert info["test_accuracy"] == pytest.approx(accuracy(upstream, part["test"]))
    history = info["history"]
    assert [row["epoch"] for row in history] == list(range(1, 17))
    assert all(row.keys() == {"epoch", "loss", "dev_loss", "dev_accuracy"} for row in history)
    assert history[-1]["dev_accuracy"] == info["dev_accuracy"]
    assert history[0]["loss"] > 2 * history[-1]["loss"]
    assert info["n_train"] == 18
    assert info["finetuned"] is True
    assert info["corpus"] == "pitches"
    assert info["settings"]["epochs"] == 16


def test_a_fine_tuned_upstream_is_stored_with_its_history(tiny, table, tmp_path):
    upstream = finetune(tiny(), table, epochs=1)
    found = Upstream.from_pretrained(upstream.save(tmp_path / "upstream"))
    assert found.fingerprint() == upstream.fingerprint()
    assert found.info == upstream.info
    assert found.emotions == upstream.emotions


def test_a_frozen_feature_encoder_stays_bit_identical_and_can_be_freed(tiny, table):
    upstream = tiny()
    before = weights(upstream)
    changed = {}
    for freeze in (True, False):
        after = weights(finetune(upstream, table, epochs=1, freeze_feature_encoder=freeze))
        changed[freeze] = {
            name
            for name in before
            if not name.startswith("classifier") and not torch.equal(before[name], after[name])
        }
    encoder = {name for name in before if ".feature_extractor." in name and "bias" not in name}
    assert not {name for name in changed[True] if ".feature_extractor." in name}
    assert {"projector.weight", "wav2vec2.encoder.layers.0.attention.v_proj.weight"} <= changed[True]
    assert encoder <= changed[False]


def test_a_frozen_encoder_trains_the_head_alone_and_is_free_again(tiny, table):
    upstream = tiny()
    before = weights(upstream)
    after = weights(finetune(upstream, table, epochs=1, freeze_encoder=True))
    changed = {
        name for name in before if name.startswith("classifier") or not torch.equal(before[name], after[name])
    }
    assert changed == {"projector.weight", "projector.bias", "classifier.weight", "classifier.bias"}
    assert upstream.info["settings"]["freeze_encoder"] is True
    freed = weights(finetune(upstream, table, epochs=1))
    assert not torch.equal(freed["wav2vec2.encoder.layers.0.attention.v_proj.weight"],
                           after["wav2vec2.encoder.layers.0.attention.v_proj.weight"])  # fmt: skip


def test_the_seed_alone_decides(tiny, table):
    one, again, other = (weights(finetune(tiny(), table, epochs=1, seed=seed)) for seed in (1, 1, 2))
    assert same(one, again)
    assert not torch.equal(one["projector.weight"], other["projector.weight"])


def test_labels_of_other_clips_than_the_training_clips_change_no_weight(tiny, table):
    upstream = finetune(tiny(), table)
    changed = table.copy()
    rows = changed["split"] != "train"
    changed.loc[rows, "emotion"] = changed.loc[rows, "emotion"].map(
        dict(zip(PITCHES, [*PITCHES][1:], strict=False))
    )
    changed.loc[rows, "emotion"] = changed.loc[rows, "emotion"].fillna("anger")
    assert not (changed["emotion"] == table["emotion"])[rows].any()
    other = finetune(tiny(), changed)
    assert same(weights(other), weights(upstream))
    assert other.info["history"] != upstream.info["history"]
    train = table.index[(table["split"] == "train") & (table["emotion"] == "anger")]
    relabelled = table.copy()
    relabelled.loc[train[0], "emotion"] = "fear"
    assert not same(weights(finetune(tiny(), relabelled)), weights(upstream))


@pytest.fixture
def interrupted(tiny, table, tmp_path, steps):
    """The folder of a training of 3 epochs that was interrupted early in the second, and its upstream."""
    upstream = tiny()
    steps(PER_EPOCH + 1)
    with pytest.raises(KeyboardInterrupt):
        finetune(upstream, table, epochs=3, checkpoints=tmp_path)
    folder = tmp_path / "finetuning"
    assert [path.name for path in folder.glob("checkpoint-*")] == [f"checkpoint-{PER_EPOCH}"]
    return folder, upstream


def test_an_interrupted_training_continues_to_the_same_weights(tiny, table, interrupted, steps):
    folder, upstream = interrupted
    assert upstream.fingerprint() == tiny().fingerprint()
    assert upstream.emotions == []
    for step, state in ((2 * PER_EPOCH, None), (3 * PER_EPOCH, '{"epo')):  # killed while it wrote these
        (folder / f"checkpoint-{step}").mkdir()
        (folder / f"checkpoint-{step}" / "model.safetensors").write_bytes(b"half")
        if state:
            (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    begun = steps()
    finetune(upstream, table, epochs=3, checkpoints=folder.parent)
    assert begun == list(range(PER_EPOCH, 3 * PER_EPOCH))
    whole = finetune(tiny(), table, epochs=3)
    assert same(weights(upstream), weights(whole))
    assert upstream.info["history"] == whole.info["history"]
    assert upstream.info["dev_accuracy"] == whole.info["dev_accuracy"]
    again, begun = tiny(), steps()
    finetune(again, table, epochs=3, checkpoints=folder.parent)
    assert begun == []  # it was finished
    assert same(weights(again), weights(whole))


@pytest.mark.parametrize("change", ["weights", "label", "order", "seed", "sound"])
def test_the_checkpoint_of_another_run_is_not_continued(tiny, table, interrupted, steps, change):
    folder, upstream = interrupted
    (folder.parent / "notes.txt").write_text("the user's own")
    if change == "weights":
        upstream = tiny(1)
    if change == "label":
        train = table.index[(table["split"] == "train") & (table["emotion"] == "anger")]
        table.loc[train[0], "emotion"] = "fear"
    if change == "order":
        table = table.iloc[::-1]
    if change == "sound":  # a clip is mended where it lies
        table.attrs["root"] = shutil.copytree(table.attrs["root"], folder.parent / "copy")
        path = Path(table.attrs["root"]) / table.index[table["split"] == "train"][0]
        stat, (samples, rate) = path.stat(), soundfile.read(path)
        soundfile.write(path, -samples, rate)  # of the same size and time
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert path.stat().st_size == stat.st_size
    begun = steps()
    finetune(upstream, table, epochs=3, checkpoints=folder.parent, seed=int(change == "seed"))
    assert begun == list(range(3 * PER_EPOCH))
    assert (folder.parent / "notes.txt").exists()
    assert [path.name for path in folder.glob("checkpoint-*")] == [f"checkpoint-{3 * PER_EPOCH}"]


def test_checkpoints_of_another_program_are_left_alone(tiny, table, tmp_path):
    (tmp_path / "finetuning" / "checkpoint-7").mkdir(parents=True)
    with pytest.raises(InputError, match=r"finetuning holds other things \(checkpoint-7\)"):
        finetune(tiny(), table, checkpoints=tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["finetuning", "checkpoint-7"]


def test_without_a_folder_nothing_is_left(tiny, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    finetune(tiny(), table, epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_only_training_clips_are_needed(tiny, table):
    upstream = finetune(tiny(), table[table["split"] == "train"], epochs=2)
    assert upstream.info["dev_accuracy"] is None
    assert upstream.info["test_accuracy"] is None
    assert [row.keys() for row in upstream.info["history"]] == [{"epoch", "loss"}] * 2


def test_clips_without_a_label_or_of_emotions_never_trained_are_left_out(tiny, table):
    train, dev = (table.index[table["split"] == split] for split in ("train", "dev"))
    table.loc[train[:2], "emotion"] = np.nan
    table.loc[dev, "emotion"] = "boredom"
    table.loc[train[2], "split"] = np.nan
    upstream = finetune(tiny(), table, epochs=1)
    assert upstream.emotions == sorted(PITCHES)
    assert upstream.info["n_train"] == 15
    assert upstream.info["dev_accuracy"] is None


def test_a_whisper_learns_too(table):
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
        max_source_positions=50,
        classifier_proj_size=8,
    )
    upstream = Upstream(
        WhisperForAudioClassification(config), WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    )
    history = finetune(upstream, table, epochs=6, seconds=4.0).info["history"]
    assert history[-1]["loss"] < history[0]["loss"]


def test_a_corpus_that_cannot_teach(tiny, table):
    cases = {
        "no training clip": [table.drop(columns="split"), table.assign(split="dev"), table.assign(split=np.nan)],
        "at least 2 emotions among the training clips, found 1": [table[table["emotion"] == "fear"]],
        "at least 2 emotions among the training clips, found 0": [table.assign(emotion=np.nan)],
    }
    upstream = tiny()
    before = upstream.fingerprint()
    for complaint, tables in cases.items():
        for bad in tables:
            with pytest.raises(InputError, match=complaint) as caught:
                finetune(upstream, bad)
            assert "\n" not in str(caught.value)
    for seconds in (0, float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"Bad seconds {seconds}, expected at least"):
            finetune(upstream, table, seconds=seconds)
    with pytest.raises(InputError, match="Bad learning_rate -1, expected more than 0"):
        finetune(upstream, table, learning_rate=-1)
    assert upstream.fingerprint() == before
    assert upstream.info == {}


def test_a_clip_that_cannot_be_read_is_named_and_leaves_the_model_as_it_was(tiny, table, tmp_path):
    for file in table.index:
        soundfile.write(tmp_path / file, np.ones(1600) / 9, 16_000)
    bad = table.index[table["split"] == "train"][5]
    (tmp_path / bad).write_bytes(b"no sound")
    upstream = tiny()
    before = upstream.fingerprint()
    with pytest.raises(InputError, match=f"{bad} cannot be used"):
        finetune(upstream, table, root=tmp_path)
    assert upstream.fingerprint() == before
    assert upstream.emotions == []


def test_a_training_that_diverges_says_so_and_leaves_the_model_as_it_was(tiny, table):
    upstream = tiny()
    before = weights(upstream)
    with pytest.raises(InputError, match="diverged"):
        finetune(upstream, table, learning_rate=1e30, precision="float32")
    assert same(weights(upstream), before)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_embeddings_of_a_just_trained_model_are_those_of_the_stored_one(tiny, table, tmp_path, precision):
    upstream = finetune(tiny(), table, precision=precision)
    stored = Upstream.from_pretrained(upstream.save(tmp_path / "stored"))
    assert stored.fingerprint() == upstream.fingerprint()
    one, other = (model.embed(table, seconds=0.1, progress=False) for model in (upstream, stored))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_copies_are_heard_at_their_speed(corpus):
    some = corpus[corpus["emotion"] == "fear"].iloc[:2]
    table = with_copies(some.assign(speaker="1"), 1)
    clips = finetuning._Clips(table, ["fear"], 1600, None)
    path, speed = f"{corpus.attrs['root']}/{some.index[1]}", table["speed"].iloc[3]
    for row, expected in ((1, load_waveform(path)), (3, load_waveform(path, speed=speed))):
        waveform, code = clips[row]
        assert torch.equal(waveform, fit_length(expected, 1600))
        assert code == 0
    assert speed < 1
    assert not torch.equal(clips[1][0], clips[3][0])
