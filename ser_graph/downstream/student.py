"""A student: a small CNN with its standardisation, and everything needed to use it alone."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, StringConstraints, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ser_graph.audio.settings import LogMelSettings
from ser_graph.audio.standardise import Normalisation, Standardise
from ser_graph.common.files import atomic_folder, check_readable, read_json, write_json
from ser_graph.common.hashing import content_hash
from ser_graph.common.settings import Emotions, Name, Record, checked_by, read_record
from ser_graph.downstream.augmentation import Augmentation
from ser_graph.downstream.backbones import (
    MAX_WIDTH,
    BackboneName,
    Output,
    count_macs,
    count_parameters,
    make_backbone,
)
from ser_graph.downstream.card import CARD, model_card
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.downstream.transfer import TRANSFERS, Transfer, fuse
from ser_graph.errors import InputError, bad_value, one_line
from ser_graph.graph.settings import GraphSettings
from ser_graph_runtime.ready import READY

MARK = "model.json"
FORMAT = "ser_graph.student"
FORMAT_VERSION = 1
_WEIGHTS = "model.safetensors"
_WAY_OUT = "train the student again"
_DEFAULT = TrainingSettings()
_READY_FOLDER = Path(__file__).parent / "ready"


_Hash = Annotated[str, StringConstraints(max_length=100)] | None


class GraphInfo(Record):
    """The graph of a student's training.

    Attributes:
        settings: its rules for neighbours.
        epsilon: the threshold that was used, None without one.
        n_edges: number of directed edges.
    """

    settings: dict[str, Any] = Field(description="settings of a graph")
    epsilon: float | None = Field(None, description="a number or None", ge=-2, le=2)
    n_edges: int = Field(0, description="a number", ge=0, lt=2**63)

    _are_settings = field_validator("settings")(checked_by(GraphSettings))


class StudentInfo(Record):
    """How a stored student was made.

    Attributes:
        backbone: name of the network.
        settings: settings of the training.
        history: a row per epoch.
        epoch: the epoch that was kept.
        corpus: name of the corpus.
        data_hash: hash of the graph's data.
        graph: the graph of the training.
        n_train: number of training clips, without copies.
        n_labelled: number of them whose labels were used.
        n_unlabelled: number of the others.
        teacher: fingerprint of the upstream, if the student needs its embeddings.
        needs_teacher: whether it does.
    """

    backbone: BackboneName = Field(description="the name of a network")
    settings: dict[str, Any] = Field(default_factory=dict, description="settings of a training")
    history: list[dict[Name, float]] = Field(
        default_factory=list, description="numbers by name, for each of up to 100,000 epochs", max_length=100_000
    )
    epoch: int | None = Field(None, description="a number or None", ge=0, lt=2**63)
    corpus: str | None = Field(None, description="a name or None", max_length=1000)
    data_hash: _Hash = Field(None, description="a hash or None")
    graph: GraphInfo | None = Field(None, description="the graph of a training, or None")
    n_train: int = Field(0, description="a number", ge=0, lt=2**63)
    n_labelled: int = Field(0, description="a number", ge=0, lt=2**63)
    n_unlabelled: int = Field(0, description="a number", ge=0, lt=2**63)
    teacher: _Hash = Field(None, description="a hash or None")
    needs_teacher: bool = False

    _are_settings = field_validator("settings")(checked_by(TrainingSettings))


class StoredStudent(Record):
    """The content of `model.json`; see `Student` for its values."""

    format: Literal["ser_graph.student"] = Field(description="ser_graph.student")
    version: int = Field(description="a number")
    emotions: Emotions = Field(description="up to 1,000 different names", min_length=1)
    features: LogMelSettings = Field(description="settings of the spectrograms")
    normalise: Normalisation = Field(description="corpus, utterance or speaker")
    transfer: Transfer = Field(description="none, add, max or avg")
    width: float = Field(description="a multiplier", gt=0, le=MAX_WIDTH)
    info: StudentInfo = Field(description="values by name")


class Student(nn.Module):
    """A student: log-mel spectrograms as measured -> standardisation -> backbone.

    Args:
        backbone: ``"cnn6"``, ``"mobilenet15"``, ``"resnet9"`` or ``"vgg15"``.
        emotions: the classes in code order.
        features: settings of the spectrograms; the paper's by default.
        info: how the student was made.
        normalise: ``"corpus"``, ``"utterance"`` or ``"speaker"``, see `Standardise`.
        transfer: ``"none"``, or how the teacher's embedding joins `fc1`: ``"add"``, ``"max"`` or ``"avg"``.
        width: multiplier of the backbone's channels and of `fc1`.

    Attributes:
        emotions: the classes in code order.
        features: settings of the spectrograms.
        info: how the student was made: backbone, training settings, data hash, history; `needs_teacher` if it needs
            the teacher.
        standardise: the first layer, fitted on the training clips.
        width: multiplier of the backbone's channels and of `fc1`.
        augment: augmentation of the spectrograms in training mode, like dropout, or None; never stored.
        backbone: the CNN.
    """

    def __init__(
        self,
        backbone: str,
        emotions: list[str],
        features: LogMelSettings | None = None,
        info: dict[str, Any] | None = None,
        *,
        normalise: str = _DEFAULT.normalise,
        transfer: str = _DEFAULT.transfer,
        width: float = _DEFAULT.width,
    ) -> None:
        super().__init__()
        if transfer not in TRANSFERS:
            raise bad_value("transfer", transfer, TRANSFERS)
        self.emotions = list(emotions)
        self.features = features or LogMelSettings()
        _check_long_enough(backbone, self.features)
        self.info = {"backbone": backbone, **(info or {})}
        self.transfer = transfer
        if self.needs_teacher:
            self.info["needs_teacher"] = True
        self.standardise = Standardise(self.features.n_mels, normalise)
        self.augment: Augmentation | None = None
        self.width = width
        self.backbone = make_backbone(backbone, len(self.emotions), width)

    def __repr__(self) -> str:
        """The student in one line; `print(student.backbone)` shows its layers.

        Examples:
            >>> Student("resnet9", ["anger", "fear"], width=0.25)
            Student(resnet9 x 0.25, 311,154 parameters, anger/fear, untrained)
        """
        size = "" if self.width == 1 else f" x {self.width:g}"
        parts = [f"{self.info['backbone']}{size}", f"{self.n_params:,} parameters", "/".join(self.emotions)]
        return f"Student({', '.join([*parts, *self._training()])})"

    def _training(self) -> list[str]:
        """The training in words, with the kept epoch and its UAR on dev."""
        if "settings" not in self.info:
            return ["untrained"]
        epoch, history = self.info.get("epoch"), self.info.get("history", [])
        parts = [f"trained on {self.info.get('corpus') or 'a corpus'}", str(self.info["settings"].get("method"))]
        if epoch is None or not 0 < epoch <= len(history):  # a ready student has no history
            return parts
        uar = history[epoch - 1].get("dev_uar")
        measured = "not measured on dev" if uar is None else f"dev UAR {100 * uar:.1f} %"
        return [*parts, f"epoch {epoch} of {len(history)} kept, {measured}"]

    def forward(self, x: Tensor, emb: Tensor | None = None, voice: Tensor | None = None) -> Output:
        """[B, n_frames, n_mels] spectrograms of any float type -> `fc1` and `fc2` (the logits).

        Args:
            x: the spectrograms.
            emb: [B, F] the teacher's embeddings, as wide as `fc1`, of the same clips, where the student needs them.
            voice: [B, 3, n_mels] statistics of the clips' speakers, see `Standardise`; used if the student
                normalises by speaker. By default, all speakers are unknown.

        Raises:
            InputError: the student needs the teacher's embeddings and got none.
        """
        if self.needs_teacher and emb is None:
            raise InputError(
                f"This student needs the teacher's embedding of every clip (transfer={self.transfer!r}): give it "
                "as emb, predict on a graph, or train a student with transfer='none'"
            )
        augment = self.augment if self.training else None
        if augment is not None:
            x = augment.distort(x)
        z = self.standardise(x, voice)
        if augment is not None:
            z = augment.mask(z)
        if emb is None or not self.needs_teacher:
            return self.backbone(z)
        return self.backbone(z, partial(fuse, emb=emb, transfer=self.transfer))

    @property
    def needs_teacher(self) -> bool:
        """Whether the student needs the teacher at inference, so that it cannot run on a device."""
        return self.transfer != "none"

    @property
    def n_params(self) -> int:
        """Number of trainable parameters."""
        return count_parameters(self)

    @property
    def macs(self) -> int:
        """Multiplications (each with an addition) of its convolutions and dense layers for one clip.

        Examples:
            >>> Student("resnet9", ["anger", "fear"]).macs
            281303552
        """
        return count_macs(self, self.features.n_frames, self.features.n_mels)

    def save(
        self,
        folder: str | Path,
        *,
        card: bool = False,
        license: str | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> Path:
        """Store the student as a folder: `model.safetensors` and `model.json`.

        Args:
            folder: the folder.
            card: add `README.md`, a model card for the Hugging Face Hub; upload the folder with
                ``huggingface_hub.upload_folder``.
            license: of the weights, for the card; see `ser_graph.downstream.card.model_card`.
            metrics: results on test clips for the card, as `sg.evaluate` returns them.
        """
        with atomic_folder(folder, MARK) as part:
            write_student(self, part)
            if card:
                (part / CARD).write_text(model_card(self, license=license, metrics=metrics), "utf-8")
        return Path(folder)


def start_from(student: Student, other: Student) -> None:
    """Copy the weights of another student, in place; the last layer only if both have the same emotions.

    Raises:
        InputError: another backbone or width, or spectrograms of another rate or of other bins.
    """
    expected, given = student.features.model_dump(), other.features.model_dump()
    differ = [name for name in expected if name != "n_samples" and expected[name] != given[name]]
    for name, one, two in (
        ("backbone", student.info["backbone"], other.info["backbone"]),
        ("width", student.width, other.width),
        *((f"features.{name}", expected[name], given[name]) for name in differ),
    ):
        if one != two:
            raise InputError(f"The initial student has {name} {two!r}, the new student {one!r}; give both the same")
    state = other.backbone.state_dict()
    if student.emotions != other.emotions:
        state = {name: value for name, value in state.items() if not name.startswith("fc2.")}
    student.backbone.load_state_dict(state, strict=False)


def weights_hash(student: Student) -> str:
    """A hash of a student's weights."""
    return content_hash(*(value.detach().cpu().numpy().tobytes() for value in student.state_dict().values()))


def _check_long_enough(backbone: str, features: LogMelSettings) -> None:
    """Refuse spectrograms that are too small: every max pooling halves both axes."""
    least = {"vgg15": 32, "cnn6": 16}.get(backbone, 1)
    if min(features.n_frames, features.n_mels) < least:
        raise InputError(
            f"{backbone} needs spectrograms of at least {least} frames and mel bins, these have "
            f"{features.n_frames} and {features.n_mels}; raise n_samples or n_mels, or take resnet9"
        )


def write_student(student: Student, folder: Path) -> None:
    """Write a student's two files into a folder."""
    content = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "emotions": student.emotions,
        "features": student.features.model_dump(),
        "normalise": student.standardise.normalise,
        "transfer": student.transfer,
        "width": student.width,
        "info": student.info,
    }
    read_record(StoredStudent, content, "The student", "correct student.info")
    save_file(
        {name: value.contiguous() for name, value in student.state_dict().items()},
        folder / _WEIGHTS,
    )
    write_json(folder / MARK, content)


def ready_students() -> list[str]:
    """The names of the students that come with the package, for `load_student` and the `init` of `train`."""
    return sorted(f"{READY}{path.parent.name}" for path in _READY_FOLDER.glob(f"*/{MARK}"))


def load_student(folder: str | Path) -> Student:
    """Load a stored student in evaluation mode.

    Args:
        folder: the folder of a student, or the name of one that comes with the package, e.g. ``"ready:good"``.

    Raises:
        InputError: no student in the folder, a damaged student, a student of a newer format, or an unknown name.
    """
    if str(folder).startswith(READY):
        if str(folder) not in ready_students():
            raise bad_value("student", str(folder), ready_students())
        folder = _READY_FOLDER / str(folder).removeprefix(READY)
    folder = Path(folder).expanduser()
    if not (folder / MARK).exists() or not (folder / _WEIGHTS).exists():
        raise InputError(f"{folder} is not a trained student; expected {MARK} and {_WEIGHTS} in it")
    check_readable(folder / MARK, folder / _WEIGHTS)
    content = read_json(folder / MARK)
    if not isinstance(content, dict) or [content.get("format"), content.get("version")] != [FORMAT, FORMAT_VERSION]:
        raise InputError(f"{folder} was stored by another version of ser_graph; {_WAY_OUT}")
    stored = read_record(StoredStudent, content, folder / MARK, _WAY_OUT)
    how: dict[str, Any] = {"normalise": stored.normalise, "transfer": stored.transfer, "width": stored.width}
    make = partial(Student, stored.info.backbone, stored.emotions, stored.features, content["info"], **how)
    try:
        with torch.device("meta"):  # takes no memory
            needed = sum(value.numel() for value in make().state_dict().values())
        if needed > (folder / _WEIGHTS).stat().st_size:
            raise ValueError(f"{_WEIGHTS} is too short for the network that {MARK} describes")
        student = make()
        student.load_state_dict(load_file(folder / _WEIGHTS))
        check_finite(student)
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        reason = one_line(error).removeprefix("Error(s) in loading state_dict for Student: ")[:300]
        raise InputError(f"The student in {folder} is damaged ({reason}); {_WAY_OUT}") from None
    return student.eval()


def check_finite(student: Student) -> None:
    """Refuse weights of a file that no training gives; `ValueError` names the tensor."""
    for name, value in student.state_dict().items():
        if not value.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity")
    if not (student.standardise.std > 0).all():
        raise ValueError("standardise.std is not above 0")
