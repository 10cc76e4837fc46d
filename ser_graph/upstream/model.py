"""The upstream: a large speech model that classifies emotions; its projector embeds clips."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

import ser_graph.audio.torchaudio_import  # noqa: F401  (transformers imports torchaudio too)
from ser_graph.audio.settings import SAMPLE_RATE
from ser_graph.common.files import atomic_folder, read_json, write_json
from ser_graph.common.hashing import content_hash
from ser_graph.common.settings import Emotions, Record, read_record, with_settings
from ser_graph.corpora.predictions import prediction_table
from ser_graph.corpora.vocabulary import emotion_name
from ser_graph.errors import InputError, shorten
from ser_graph.upstream.config import check_config
from ser_graph.upstream.settings import EmbeddingSettings, FinetuneSettings
from ser_graph.upstream.transformers_logging import silence_transformers

INFO_FILE = "ser_graph.json"
_WAY_OUT = "fine-tune the upstream again"
_HEAD = ("projector.", "classifier.", "layer_weights")  # what fine-tuning adds to a checkpoint of the encoder alone
_NAMELESS = re.compile(r"LABEL_\d+")  # transformers' name of a class without a name
_ONLY_IN_TRAINING = ("masked_spec_embed",)  # SpecAugment's vector; some checkpoints lack it


class StoredUpstream(Record):
    """The content of `ser_graph.json`: the values that the library reads; there may be others beside them.

    Attributes:
        emotions: the emotions of the head; empty before fine-tuning.
        classes: the emotion of each class of the head, None for a class that is left out.
        weights: origin of the weights, a name or a folder.
        finetuned: whether the weights were fine-tuned.
        untrained: names of the tensors that the checkpoint did not contain.
        corpus: name of the source corpus.
        dev_accuracy: of the fine-tuned model.
        test_accuracy: of the fine-tuned model.
        history: a row per epoch of the fine-tuning.
    """

    model_config = ConfigDict(extra="allow")

    emotions: Emotions = Field(default_factory=list, description="up to 1,000 different names")
    classes: list[str | None] | None = Field(None, description="names or None", max_length=1000)
    weights: str | None = Field(None, description="a name, a folder or None")
    finetuned: bool = False
    untrained: list[str] = Field(default_factory=list, description="a list of names")
    corpus: str | None = Field(None, description="a name or None")
    dev_accuracy: float | None = Field(None, description="a share or None", ge=0, le=1)
    test_accuracy: float | None = Field(None, description="a share or None", ge=0, le=1)
    history: list[dict[str, float]] = Field(default_factory=list, description="numbers by name, for each epoch")


class Upstream:
    """A Hugging Face audio classifier with a `projector`: wav2vec 2.0, HuBERT, WavLM, Whisper and similar models.

    The embedding of a clip is the output of the `projector` layer (hidden size -> 256), averaged over time.

    Attributes:
        model: the `...ForSequenceClassification` / `...ForAudioClassification` module.
        extractor: its feature extractor.
        classes: the emotion of each class of its head, None for a class that is left out; empty before fine-tuning.
            Several classes may have one emotion.
        info: how the model was made: the origin of its weights, the fine-tuning and its accuracy.
    """

    def __init__(
        self,
        model: Any,
        extractor: Any,
        classes: Sequence[str | None] = (),
        info: dict[str, Any] | None = None,
    ) -> None:
        _check_has_projector(model)
        if extractor.sampling_rate != SAMPLE_RATE:
            raise InputError(
                f"The upstream needs {extractor.sampling_rate} Hz, expected a model of {SAMPLE_RATE} Hz"
            )
        self.model = model
        self.extractor = extractor
        self.classes = list(classes)
        self.info = info or {}

    def __repr__(self) -> str:
        """The model in one line.

        Examples:
            >>> Upstream.small()
            Upstream(small, Wav2Vec2ForSequenceClassification, 0.4 M parameters, 2 layers, 256 dimensions, not
            fine-tuned)
        """
        trained = "not fine-tuned"
        if self.info.get("finetuned"):
            trained = f"fine-tuned on {self.info.get('corpus') or 'a corpus'}: {', '.join(self.emotions)}"
        parts = [str(self.info["weights"])] if "weights" in self.info else []
        parts += [type(self.model).__name__, f"{self.n_params / 1e6:.1f} M parameters"]
        return f"Upstream({', '.join(parts)}, {self.n_layers} layers, {self.dim} dimensions, {trained})"

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path, *, seed: int = 0, labels: Mapping[str, str | None] | None = None
    ) -> "Upstream":
        """Load a local folder in the Hugging Face layout, a model of the Hugging Face hub by name, or ``"small"``.

        A model that others fine-tuned keeps its head. Its classes get the names of the vocabulary, e.g. ``ang``
        becomes anger; `predict` and `finetune` use the head.

        Args:
            name_or_folder: e.g. ``"facebook/wav2vec2-base"``, or a folder with `config.json`, `model.safetensors`
                and `preprocessor_config.json`, such as a folder made by `save`.
            seed: random seed of the layers that the checkpoint does not contain (projector and classifier).
            labels: emotions of the classes of a head: the model's name -> our name, e.g. ``{"calm": "neutral",
                "other": None}``. Two classes may get one emotion; None leaves a class out.

        Raises:
            InputError: a class in `labels` that the head does not have; no such folder and no such model; a
                checkpoint without weights of its encoder; or a model without a projector.
        """
        if str(name_or_folder) == "small":
            return cls.small(seed=seed)
        from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

        _check_not_a_cache(Path(name_or_folder).expanduser())
        name = str(Path(name_or_folder).expanduser()) if _is_folder(name_or_folder) else str(name_or_folder)
        check_config(Path(name))
        info = _stored_info(Path(name)) or {"weights": str(name_or_folder), "finetuned": False}
        try:
            with silence_transformers(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model, loading = AutoModelForAudioClassification.from_pretrained(
                    name, output_loading_info=True, use_safetensors=True, dtype=torch.float32
                )
                extractor = AutoFeatureExtractor.from_pretrained(name)
        except Exception as error:  # transformers raises many kinds for a damaged file
            nested = isinstance(error, RecursionError)
            reason = "values nested too deeply" if nested else " ".join(str(error).split())[:200]
            raise InputError(
                f"No upstream {str(name_or_folder)!r}: expected a folder with config.json, model.safetensors "
                f"and preprocessor_config.json, or a model of the Hugging Face hub ({reason})"
            ) from None
        _check_complete(name_or_folder, model, sorted(loading["missing_keys"]))
        # A folder of `save` has every tensor, but it remembers which of them no training has changed.
        info["untrained"] = sorted({*loading["missing_keys"], *info.get("untrained", ())})
        emotions = info.pop("emotions", ())  # the rest is the `info` of the stored model
        classes = info.pop("classes", emotions)
        if classes and len(classes) != model.config.num_labels:
            raise InputError(
                f"{Path(name) / INFO_FILE} names {len(classes)} emotions, but the model has "
                f"{model.config.num_labels} classes; {_WAY_OUT}"
            )
        if labels is not None or not classes:
            classes = _named_classes(model, info["untrained"], labels or {}, str(name_or_folder))
        return cls(model, extractor, classes, info)

    @classmethod
    def small(cls, *, seed: int = 0) -> "Upstream":
        """A small untrained wav2vec 2.0 of the same class as the large one, for demonstrations and tests.

        See `ser_graph.upstream.small`. Train all of its layers with
        ``finetune(..., freeze_feature_encoder=False)``.
        """
        from ser_graph.upstream.small import small_wav2vec2

        model, extractor = small_wav2vec2(seed)
        info = {"weights": "small", "finetuned": False, "untrained": sorted(model.state_dict())}
        return cls(model, extractor, info=info)

    @property
    def emotions(self) -> list[str]:
        """The emotions of its head, in the order of `predict`; empty before fine-tuning."""
        return list(dict.fromkeys(emotion for emotion in self.classes if emotion is not None))

    @property
    def dim(self) -> int:
        """Number of dimensions of an embedding."""
        return self.model.projector.out_features

    @property
    def n_layers(self) -> int:
        """Number of layers of its encoder."""
        return self.model.config.num_hidden_layers

    @property
    def max_samples(self) -> int | None:
        """The longest clip in samples that the model can see (Whisper's window), None for any length."""
        return getattr(self.extractor, "n_samples", None)

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def fingerprint(self) -> str:
        """A hash of weights, architecture and preprocessing: equal hashes mean equal embeddings."""
        config = self.model.config.to_dict()
        skipped = {"_name_or_path", "transformers_version", "dtype", "architectures"}
        parts: list[object] = [{key: value for key, value in config.items() if key not in skipped}]
        parts.append(self.extractor.to_dict())
        for name, value in self.model.state_dict().items():
            parts += [name, value.detach().cpu().contiguous().view(torch.uint8).numpy().data]
        return content_hash(*parts)

    def set_emotions(self, emotions: Sequence[str], *, seed: int = 0, keep: bool = False) -> None:
        """Give the model a new head for these classes; with `keep`, known emotions keep their weights."""
        head = self.model.classifier
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            new_head = nn.Linear(head.in_features, len(emotions))
        for code, emotion in enumerate(emotions):
            if keep and emotion in self.classes:
                with torch.no_grad():
                    new_head.weight[code] = head.weight[self.classes.index(emotion)]
                    new_head.bias[code] = head.bias[self.classes.index(emotion)]
        self.model.classifier = new_head.to(head.weight.device)
        self.model.config.num_labels = len(emotions)
        self.model.config.id2label = dict(enumerate(emotions))
        self.model.config.label2id = {emotion: code for code, emotion in enumerate(emotions)}
        self.model.num_labels = len(emotions)
        self.classes = list(emotions)

    @with_settings(FinetuneSettings)
    def finetune(
        self,
        table: pd.DataFrame,
        settings: FinetuneSettings | None = None,
        *,
        root: str | Path | None = None,
        checkpoints: str | Path | None = None,
        device: str | None = None,
        progress: bool = True,
        **changes: Any,
    ) -> "Upstream":
        """Fine-tune on the training clips of a corpus, in place. The model of the last epoch stays.

        The head gets the emotions of the corpus. It keeps its weights for the emotions that it knows already, see
        `from_pretrained`. If the training is interrupted, the model does not change.

        Args:
            table: clip table with `emotion` and `split`. Clips of `dev` and `test` only measure accuracy.
            settings: how to train.
            root: the corpus folder; by default the folder from which the table was loaded.
            checkpoints: a folder; its subfolder ``finetuning`` stores the state after every epoch. A call with the
                same model, data and settings resumes from this state; a call with others deletes it. Remove the
                folder after you have stored the result.
            device: e.g. ``"cpu"``; by default the GPU, if there is one.
            progress: show progress bars.
            **changes: single settings by name, e.g. ``epochs=5``.

        Returns:
            The same upstream; ``info`` contains settings, accuracies and the history by epoch.

        Raises:
            InputError: no training clip; fewer than two emotions; a clip that cannot be read; the training
                diverged; or another process uses the checkpoints.
        """
        from ser_graph.upstream.finetuning import finetune

        settings = (settings or FinetuneSettings()).replace(**changes)
        finetune(self, table, settings, root=root, checkpoints=checkpoints, device=device, progress=progress)
        return self

    @with_settings(EmbeddingSettings)
    def embed(
        self,
        table: pd.DataFrame,
        settings: EmbeddingSettings | None = None,
        *,
        root: str | Path | None = None,
        cache: str | Path | None = None,
        device: str | None = None,
        progress: bool = True,
        **changes: Any,
    ) -> Tensor:
        """Embed every clip of a table; under ``torchrun`` or ``accelerate`` each process takes a share.

        Args:
            table: clip table of N clips.
            settings: how to embed.
            root: the corpus folder; by default the folder from which the table was loaded.
            cache: a folder that stores embeddings by content (audio, model, settings). Clips in the cache are not
                embedded again; to resume a killed run, call the function again.
            device: e.g. ``"cpu"``; by default the GPU, if there is one.
            progress: show a progress bar.
            **changes: single settings by name, e.g. ``layer=4, seconds=6``.

        Returns:
            [N, D] float32 embeddings, in the order of the table.

        Raises:
            InputError: a clip cannot be read, or an embedding is not finite (the message names the clip); there are
                more processes than clips; or the model has no such layer.
        """
        from ser_graph.upstream.embedding import embed

        settings = (settings or EmbeddingSettings()).replace(**changes)
        return embed(self, table, settings, root=root, cache=cache, device=device, progress=progress)

    @torch.inference_mode()
    def classify(self, emb: Tensor) -> Tensor:
        """The probabilities of its `emotions` by its head, [N, K] float64, from embeddings [N, D] of its projector.

        Classes of one emotion are added; classes that are left out do not count.

        Raises:
            InputError: a model without a trained head, or embeddings of another layer.
        """
        head, emotions = self.model.classifier, self.emotions
        self._check_head()
        if emb.ndim != 2 or emb.shape[1] != head.in_features:
            raise InputError(
                f"Bad embeddings of shape {tuple(emb.shape)}, expected (N, {head.in_features}), those of the "
                "projector"
            )
        probabilities = head(emb.to(head.weight.device).float()).double().softmax(1).cpu()
        rows = torch.tensor([-1 if one is None else emotions.index(one) for one in self.classes])
        added = torch.zeros(len(emb), len(emotions), dtype=torch.float64)
        added.index_add_(1, rows[rows >= 0], probabilities[:, rows >= 0])
        return added / added.sum(1, keepdim=True)

    @with_settings(EmbeddingSettings)
    def predict(
        self, table: pd.DataFrame, settings: EmbeddingSettings | None = None, **further: Any
    ) -> pd.DataFrame:
        """Predict the emotion of every clip with its own head: what the teacher says, without a student.

        Args:
            table: clip table of N clips.
            settings: how to embed; the layer must be the projector.
            **further: as in `embed`.

        Returns:
            A table by file as in `sg.predict`: `emotion`, `speaker`, `predicted`, and ``p_anger`` and so on,
            float64 that sum to 1.

        Raises:
            InputError: a head without emotions, another layer, or the errors of `embed`.
        """
        self._check_head()  # before the long embedding
        return prediction_table(table, self.emotions, self.classify(self.embed(table, settings, **further)).numpy())

    def _check_head(self) -> None:
        if not self.emotions:
            raise InputError(
                "The head of this upstream knows no emotions; fine-tune the upstream, or name the classes of its "
                "head: Upstream.from_pretrained(..., labels={...})"
            )

    def save(self, folder: str | Path) -> Path:
        """Store model, extractor and `info` as a folder that `from_pretrained` and transformers load."""
        folder = Path(folder).expanduser()
        with atomic_folder(folder, INFO_FILE) as part:
            write_upstream(self, part)
        return folder


def write_upstream(upstream: Upstream, folder: Path) -> None:
    """Write the files of an upstream into a folder; see `Upstream.save`."""
    with silence_transformers():
        upstream.model.save_pretrained(folder)
        upstream.extractor.save_pretrained(folder)
        write_json(folder / INFO_FILE, {**upstream.info, **_stored_head(upstream)})


def _stored_head(upstream: Upstream) -> dict[str, Any]:
    """The emotions of the head, and its classes where they differ."""
    emotions = upstream.emotions
    return {"emotions": emotions} | ({"classes": upstream.classes} if upstream.classes != emotions else {})


def _named_classes(
    model: Any, untrained: Sequence[str], labels: Mapping[str, str | None], name: str
) -> list[str | None]:
    """The emotion of each class of a head that others trained; empty if it is untrained or has no names."""
    names = [str(model.config.id2label[code]) for code in range(model.config.num_labels)]
    if unknown := sorted(set(labels) - set(names)):
        raise InputError(f"The model {name!r} has no class {shorten(unknown)}, found {shorten(names, 10)}")
    nameless = all(_NAMELESS.fullmatch(one) for one in names) and not labels
    if nameless or any(key.startswith("classifier.") for key in untrained):
        return []
    mapped = [labels.get(one, one) for one in names]
    return [None if one is None else emotion_name(one) for one in mapped]


def _stored_info(folder: Path) -> dict[str, Any] | None:
    """The checked content of `ser_graph.json`; None if there is no such file, as for models of others."""
    path = folder / INFO_FILE
    if not path.exists():
        return None
    content = read_json(path)
    read_record(StoredUpstream, content, path, _WAY_OUT)
    return content


def _is_folder(name_or_folder: str | Path) -> bool:
    return Path(name_or_folder).expanduser().is_dir()


def _check_not_a_cache(folder: Path) -> None:
    """Refuse the cache folder of a model of the hub: the files of the model are deeper in it."""
    found = sorted(path.parent for path in folder.glob("snapshots/*/config.json"))
    if found and not (folder / "config.json").exists():
        raise InputError(
            f"{folder} is a cache folder of the Hugging Face hub; give the snapshot in it: {found[-1]}"
        )


def _check_complete(name: str | Path, model: nn.Module, missing: list[str]) -> None:
    """Refuse a checkpoint that does not fit its configuration: missing tensors would be random, NaN spreads."""
    lost = [key for key in missing if not key.startswith(_HEAD) and not key.endswith(_ONLY_IN_TRAINING)]
    if lost:
        raise InputError(
            f"The checkpoint of {str(name)!r} lacks {len(lost)} of the {len(model.state_dict())} tensors of "
            f"{type(model).__name__} ({shorten(lost, 2)}); expected the weights of the model that config.json "
            "describes"
        )
    for key, value in model.state_dict().items():
        if not torch.isfinite(value).all():
            raise InputError(f"The checkpoint of {str(name)!r} holds NaN or infinity in {key}; fetch it again")


def _check_has_projector(model: Any) -> None:
    if not isinstance(getattr(model, "projector", None), nn.Linear):
        raise InputError(
            f"{type(model).__name__} has no `projector` layer; expected an audio classifier of the "
            "wav2vec 2.0, HuBERT, WavLM or Whisper kind"
        )
