"""Fine-tuning of the upstream on a source corpus, with transformers' Trainer."""

import copy
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ser_graph.audio.clips import clip_paths, clip_speeds
from ser_graph.audio.reading import fit_length, load_waveform
from ser_graph.audio.settings import SAMPLE_RATE
from ser_graph.common.devices import pick_device, uses_bfloat16
from ser_graph.common.files import naming_full_disk
from ser_graph.common.hashing import content_hash, file_contents
from ser_graph.common.progress import progress_bar
from ser_graph.common.stages import working
from ser_graph.corpora.adapter import check_is_clip_table
from ser_graph.errors import InputError
from ser_graph.upstream.embedding import length_in_samples
from ser_graph.upstream.settings import FinetuneSettings
from ser_graph.upstream.transformers_logging import silence_transformers

if TYPE_CHECKING:
    from ser_graph.upstream.model import Upstream


def finetune(
    upstream: "Upstream",
    table: pd.DataFrame,
    settings: FinetuneSettings,
    *,
    root: str | Path | None,
    checkpoints: str | Path | None,
    device: str | None,
    progress: bool,
) -> None:
    """See `Upstream.finetune`."""
    check_is_clip_table(table)
    labelled = _labelled(table)
    emotions = sorted(labelled.loc[labelled["split"] == "train", "emotion"].unique())
    n_samples = length_in_samples(upstream, settings.seconds)
    sets = {
        str(split): _Clips(part, emotions, n_samples, root)
        for split, part in labelled.groupby("split")
        if split in ("train", "dev", "test")
    }
    before = copy.deepcopy(upstream.model), upstream.classes
    try:
        upstream.set_emotions(emotions, seed=settings.seed, keep=True)
        _freeze_feature_encoder(upstream.model, settings.freeze_feature_encoder)
        with (
            _place(checkpoints, upstream, settings, sets) as folder,
            _frozen_encoder(upstream.model, settings.freeze_encoder),
        ):
            history = _train(upstream, sets, settings, folder, checkpoints is not None, device, progress)
        _check_finite(upstream.model)
    except BaseException:  # the same call can resume: it finds the same model and its checkpoints
        upstream.model, upstream.classes = before
        raise
    upstream.info.update(
        {
            "finetuned": True,
            "untrained": [],
            "corpus": table.attrs.get("corpus"),
            "settings": settings.model_dump(),
            "n_train": len(sets["train"]),
            "dev_accuracy": history["dev"],
            "test_accuracy": history["test"],
            "history": history["epochs"],
        }
    )


@contextmanager
def _place(
    checkpoints: str | Path | None, upstream: "Upstream", settings: FinetuneSettings, sets: dict[str, "_Clips"]
) -> Iterator[Path]:
    """The folder of the Trainer; all checkpoints in it belong to this training."""
    if checkpoints is None:
        with TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    asked = {
        "settings": settings.asked(),
        "upstream": upstream.fingerprint(),
        "clips": {split: content_hash(clips.content) for split, clips in sets.items()},
    }
    with working(Path(checkpoints).expanduser() / "finetuning", asked) as folder:
        yield folder


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    if "split" not in table or not (table["split"] == "train").any():
        raise InputError("The source corpus has no training clip; add a split with load_corpus(..., split=...)")
    labelled = table[table["emotion"].notna()]
    n_emotions = labelled.loc[labelled["split"] == "train", "emotion"].nunique()
    if n_emotions < 2:
        raise InputError(f"Fine-tuning needs at least 2 emotions among the training clips, found {n_emotions}")
    return labelled


def _check_finite(model: Any) -> None:
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise InputError("The fine-tuning diverged (weights are not finite); lower learning_rate")


def _freeze_feature_encoder(model: Any, freeze: bool) -> None:
    if not hasattr(model, "freeze_feature_encoder"):
        return
    model.base_model.feature_extractor.requires_grad_(True)  # an earlier training may have frozen it
    model.base_model.feature_extractor._requires_grad = True
    if freeze:
        model.freeze_feature_encoder()


@contextmanager
def _frozen_encoder(model: Any, freeze: bool) -> Iterator[None]:
    """Train only the head, i.e. the layers after the encoder; at the end, undo the freezing."""
    head = ("projector.", "classifier.", "layer_weights")
    frozen = [
        parameter
        for name, parameter in model.named_parameters()
        if freeze and parameter.requires_grad and not name.startswith(head)
    ]
    for parameter in frozen:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad = True


class _Clips(Dataset):
    """Waveforms of one length with their emotion codes; clips of emotions without training clips are left out."""

    def __init__(
        self, table: pd.DataFrame, emotions: Sequence[str], n_samples: int, root: str | Path | None
    ) -> None:
        known = table[table["emotion"].isin(emotions)]
        self._paths, self._speeds = clip_paths(known, root), clip_speeds(known)
        self._codes = [list(emotions).index(emotion) for emotion in known["emotion"]]
        self._n_samples = n_samples
        self._files = [str(file) for file in known.index]

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def content(self) -> list[list[Any]]:
        """Files, codes, speeds and contents of the clips, in order."""
        return [self._files, self._codes, self._speeds, file_contents(self._paths)]

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        waveform = load_waveform(self._paths[row], speed=self._speeds[row])
        return fit_length(waveform, self._n_samples), self._codes[row]


def _train(
    upstream: "Upstream",
    sets: dict[str, _Clips],
    settings: FinetuneSettings,
    folder: Path,
    resumable: bool,
    device: str | None,
    progress: bool,
) -> dict[str, Any]:
    """Run the Trainer of transformers; return dev accuracy, test accuracy and the history by epoch."""
    from transformers import Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    target = pick_device(device)
    has_dev = "dev" in sets and len(sets["dev"]) > 0
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,  # AdamW without decay equals Adam, the paper's optimiser
        max_grad_norm=0.0,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        seed=settings.seed,
        bf16=uses_bfloat16(target, settings.precision),
        use_cpu=target.type == "cpu",
        eval_strategy="epoch" if has_dev else "no",
        save_strategy="epoch" if resumable else "no",
        save_total_limit=1,
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,  # _epoch_bar shows one bar instead of three
        dataloader_pin_memory=target.type == "cuda",
        remove_unused_columns=False,
    )

    def collate(clips: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
        inputs = upstream.extractor(
            [waveform.numpy() for waveform, _ in clips],
            sampling_rate=SAMPLE_RATE,
            padding="max_length" if upstream.max_samples else True,
            return_tensors="pt",
        )
        return {**inputs, "labels": torch.tensor([code for _, code in clips])}

    def accuracy(outputs: Any) -> dict[str, float]:
        return {"accuracy": float((np.argmax(outputs.predictions, 1) == outputs.label_ids).mean())}

    config = dict(vars(upstream.model.config))
    trainer = Trainer(
        model=upstream.model,
        args=arguments,
        data_collator=collate,
        train_dataset=sets["train"],
        eval_dataset=sets["dev"] if has_dev else None,
        compute_metrics=accuracy,
    )
    vars(upstream.model.config).clear()  # the Trainer sets use_cache, which would change the fingerprint
    vars(upstream.model.config).update(config)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_epoch_bar(progress))
    with silence_transformers(), naming_full_disk(folder):
        trainer.train(resume_from_checkpoint=_resume_point(folder))
        epochs = _history(trainer.state.log_history)
        tested = trainer.evaluate(sets["test"]) if len(sets.get("test", ())) else {}
    # The Trainer leaves bfloat16 autocast around the forward of the model. Embeddings would then differ from those
    # of the same model loaded from disk, and not be float32.
    trainer.accelerator.unwrap_model(upstream.model, keep_fp32_wrapper=False)
    return {
        "dev": epochs[-1].get("dev_accuracy") if epochs else None,
        "test": tested.get("eval_accuracy"),
        "epochs": epochs,
    }


def _epoch_bar(progress: bool) -> Any:
    """A Trainer callback with one progress bar for the whole training, which shows the dev accuracy."""
    from transformers import TrainerCallback

    bar = progress_bar(desc="fine-tuning", unit="step", disable=not progress, delay=1)

    class EpochBar(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            bar.reset(state.max_steps)
            bar.update(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            bar.update()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            shown = {"loss": "loss", "eval_accuracy": "dev accuracy"}
            text = [f"{name} {float(logs[key]):.3f}" for key, name in shown.items() if key in (logs or {})]
            if text:
                bar.set_postfix_str(", ".join(text))

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            bar.close()

    return EpochBar()


def _resume_point(folder: Path) -> str | None:
    """The last complete checkpoint. Incomplete checkpoints of a killed process are removed."""
    whole: list[Path] = []
    for checkpoint in folder.glob("checkpoint-[0-9]*"):
        if _is_whole(checkpoint):
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return str(max(whole, key=lambda path: int(path.name.partition("-")[2]))) if whole else None


def _is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is complete: the Trainer writes its own state last."""
    try:
        return bool(json.loads((checkpoint / "trainer_state.json").read_text("utf-8")))
    except (OSError, ValueError):
        return False


def _history(log: list[dict[str, float]]) -> list[dict[str, float]]:
    """The log of the Trainer, one row per epoch: epoch, loss, dev_loss, dev_accuracy."""
    names = {"loss": "loss", "eval_loss": "dev_loss", "eval_accuracy": "dev_accuracy"}
    rows: dict[int, dict[str, float]] = {}
    for entry in log:
        row = rows.setdefault(round(entry["epoch"]), {"epoch": round(entry["epoch"])})
        row.update({new: entry[old] for old, new in names.items() if old in entry})
    return [row for row in rows.values() if "loss" in row]
