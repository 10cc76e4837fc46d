"""The students of a recipe: lists of settings, their grid, and the names of the students."""

import math
from itertools import product
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ser_graph.common.settings import names_of, without_effect_on
from ser_graph.downstream.settings import PAPER, TrainingSettings
from ser_graph.errors import InputError, bad_value

# Settings of training with a separate list in [students].
_GRID = ("backbone", "seed", "method", "alpha", "n_neighbors", "layer")
_DEFAULT = TrainingSettings()
MOST_STUDENTS = 10_000
_FIRST_IN_NAME = ("backbone", "method", "transfer")


class Students(BaseModel):
    """The students: one for each combination of the lists. All methods share one baseline.

    Attributes:
        backbone: names of the networks.
        method: what the students learn in addition to the labels, see `METHODS`.
        alpha: weights of the methods. An empty list means the default of each method; 0 is the baseline.
        n_neighbors: neighbours per clip. An empty list means all neighbours in the graph.
        layer: outputs in which the neighbour loss compares neighbours.
        seed: random seeds.
        transfer: ``"add"``, ``"max"``, ``"avg"``: further baselines with alpha = 0, for each backbone and seed.
        training: further settings, see `TrainingSettings`. A list adds a dimension to the grid, e.g.
            ``{epochs = 20, label_fraction = [0.02, 0.1, 1.0]}``, but not for settings that all students of a run
            share, such as `epochs`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    backbone: list[str] = Field([_DEFAULT.backbone], min_length=1)
    method: list[str] = Field(["baseline", _DEFAULT.method], min_length=1)
    alpha: list[float] = Field(default_factory=list)
    n_neighbors: list[int] = Field(default_factory=list)
    layer: list[str] = Field([_DEFAULT.layer], min_length=1)
    seed: list[int] = Field([_DEFAULT.seed], min_length=1)
    transfer: list[Literal["add", "max", "avg"]] = Field(default_factory=list)
    training: dict[str, Any] = Field(default_factory=dict)


def training_settings(students: Students, protocol: str) -> list[TrainingSettings]:
    """The settings of each student of the grid, baselines first."""
    grid = {name: values for name in _GRID if (values := getattr(students, name))}
    grid |= _training_lists(students.training)
    if (n_students := math.prod(map(len, grid.values()))) > MOST_STUDENTS:
        raise InputError(
            f"The lists in [students] make {n_students:,} students, expected at most {MOST_STUDENTS:,}; shorten one"
        )
    transfers = {**grid, "method": ["baseline"], "transfer": students.transfer}
    cells: dict[str, TrainingSettings] = {}
    for lists in (grid, transfers):
        for values in product(*lists.values()):
            cell = TrainingSettings(**{"protocol": protocol, **dict(zip(lists, values, strict=True))})
            cells.setdefault(student_name(cell), essential(cell))  # one baseline for all methods and layers
    methods = {"": 0, **{method: number for number, method in enumerate(students.method, 1)}}
    return sorted(cells.values(), key=lambda cell: (not cell.is_baseline, methods.get(cell.learns_from or "", 0)))


def _training_lists(training: dict[str, Any]) -> dict[str, list[Any]]:
    """Each setting of `students.training` with the list of its values."""
    for name, value in training.items():
        if name in Students.model_fields:
            raise InputError(f"students.training.{name} has a separate key; write students.{name} = [...]")
        if name == "protocol":
            raise InputError("students.training.protocol is a key of the whole recipe; write protocol = ... there")
        if name not in TrainingSettings.model_fields:
            raise bad_value("key in students.training", name, TrainingSettings.model_fields)
        if isinstance(value, list) and name in names_of(TrainingSettings, "run"):
            raise InputError(f"students.training.{name} cannot be a list; give one value per run")
        if value == []:
            raise InputError(f"students.training.{name} is an empty list; give at least one value")
    return {name: value if isinstance(value, list) else [value] for name, value in training.items()}


def student_name(settings: TrainingSettings) -> str:
    """The name of a student's folder and row: backbone, method, settings other than the default, and seed.

    The name leaves out settings that all students of a run share (epochs, batch size, precision, protocol). It also
    leaves out settings without effect, such as the layer of a baseline; see `unusual`.

    Examples:
        >>> student_name(TrainingSettings(n_neighbors=6))
        'resnet9-nsl-n_neighbors=6-seed0'
        >>> student_name(TrainingSettings(alpha=0))
        'resnet9-baseline-seed0'
        >>> student_name(TrainingSettings(method="regress", label_fraction=0.1, width=0.25))
        'resnet9-regress-width=0.25-label_fraction=0.1-seed0'
    """
    if settings.transfer != "none":
        parts = [settings.backbone, f"transfer-{settings.transfer}"]
    else:
        parts = [settings.backbone, settings.learns_from or "baseline"]
    further = {name: value for name, value in unusual(settings).items() if name not in _FIRST_IN_NAME}
    return "-".join([*parts, *(_part_of_name(*item) for item in further.items()), f"seed{settings.seed}"])


def unusual(settings: TrainingSettings) -> dict[str, Any]:
    """The settings of a student that have an effect and differ from the default.

    Settings that all students of a run share are left out. With ``schedule="paper"``, the defaults are those of the
    paper in both protocols, so that students of both protocols have the same names.
    """
    of_paper: dict[str, Any] = PAPER if settings.schedule == "paper" else {}
    default = {**TrainingSettings(**of_paper).model_dump(), "schedule": TrainingSettings().schedule}
    values = essential(settings).model_dump(exclude=names_of(TrainingSettings, "run"))
    return {name: value for name, value in values.items() if value != default[name]}


def essential(settings: TrainingSettings) -> TrainingSettings:
    """The same training, with the default for every setting that has no effect."""
    hidden = without_effect_on(TrainingSettings, settings.learns_from or "baseline")
    if settings.label_fraction == 1 and settings.labelled_speakers is None:
        hidden |= {"label_seed"}
    if settings.weight == settings.default_weight or settings.learns_from is None:
        hidden |= {"alpha"}
    values = {name: value for name, value in settings.given.items() if name not in hidden}
    if settings.semantics == "official":  # which may be hidden, but has filled these in
        values = {**{name: getattr(settings, name) for name in PAPER}, **values}
    return TrainingSettings(**{**values, "method": settings.learns_from or "baseline"})


def _part_of_name(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"no_{name}"
    return f"{name}={value:g}" if isinstance(value, int | float) else f"{name}={value}"
