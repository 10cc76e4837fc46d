"""A recipe: everything that decides a run, typed, from a TOML file."""

import tomllib
from dataclasses import asdict, replace
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.corpora import ADAPTERS
from ser_graph.devices import Precision
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.errors import InputError, bad_value


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Corpus(_Part):
    """A folder of clips and how it is split.

    Attributes:
        corpus: name of a corpus, or ``"table"``.
        root: its folder, relative to where the command runs; for ``"table"`` the table's file.
        split: ``"default"`` (the corpus's own norm; a table's own column) or ``"speaker-independent"``.
        fractions: of speakers in train, dev and test, for ``"speaker-independent"``.
        seed: of the split.
        shared_speakers: allow a speaker in two splits.
        emotions: which clips to use: ``"default"``, ``"all"``, or a list of emotions; see `load_corpus`.
        labels: other names of emotions, e.g. ``{calm = "neutral"}``.
        make: for ``"synthetic"``: how to make it, e.g. ``{preset = "source", n_clips = 576}``; what is in
            `root` is taken as it is without.
    """

    corpus: str
    root: str = ""
    split: Literal["default", "speaker-independent"] = "default"
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    seed: int = 0
    shared_speakers: bool = False
    emotions: Literal["default", "all"] | list[str] = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    make: dict[str, str | int | float] = Field(default_factory=dict)

    @field_validator("corpus")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in {*ADAPTERS, "table"}:
            raise bad_value("corpus", name, {*ADAPTERS, "table"})
        return name


class UpstreamPart(_Part):
    """The upstream and its fine-tuning on the source corpus; the settings are those of `Upstream.finetune`.

    Attributes:
        model: ``"facebook/wav2vec2-base"``, another model of the hub, a local folder, or ``"small"``.
        finetune: train it on the source corpus; false takes the model as it is.
    """

    model: str = "facebook/wav2vec2-base"
    finetune: bool = True
    epochs: int = Field(20, ge=1)
    learning_rate: float = Field(3e-5, gt=0)
    batch_size: int = Field(16, ge=1)
    seconds: float = Field(4.0, gt=0)
    freeze_feature_encoder: bool = True
    seed: int = 0
    precision: Precision = "auto"


class EmbeddingPart(_Part):
    """How clips of the target corpus are embedded; the settings are those of `Upstream.embed`.

    Attributes:
        seconds: clips are repeated or cut to this length; ``"own"`` keeps each clip's own.
    """

    seconds: float | Literal["own"] = 8.43
    batch_size: int = Field(16, ge=1)
    precision: Precision = "float32"


class GraphPart(_Part):
    """How the graph is built; the settings are those of `build_graph`. TOML has no null: epsilon = "none".

    Attributes:
        scope: ``"protocol"``: the training clips of the protocol in use.
    """

    epsilon: float | Literal["none"] = 0.99
    n_neighbors: int = Field(6, ge=1)
    scope: Literal["protocol", "train", "train+dev", "all"] = "protocol"
    method: Literal["auto", "exact", "nndescent"] = "auto"
    seed: int = 0


class Students(_Part):
    """The students: one for each combination of the lists; alpha = 0 is the baseline, trained once.

    Attributes:
        transfer: ``"add"``, ``"max"``, ``"avg"``: further baselines, with alpha = 0, for each backbone and seed.
        training: settings that all share; see `TrainingSettings`.
    """

    backbone: list[str] = Field(["resnet9"], min_length=1)
    alpha: list[float] = Field([0.0, 0.1], min_length=1)
    n_neighbors: list[int] = Field([6], min_length=1)
    layer: list[str] = Field(["fc2"], min_length=1)
    seed: list[int] = Field([0], min_length=1)
    transfer: list[Literal["add", "max", "avg"]] = Field(default_factory=list)
    training: dict[str, Any] = Field(default_factory=dict)


class Recipe(_Part):
    """A whole run: source -> upstream -> target -> graph -> students."""

    name: str
    protocol: Literal["clean", "paper"] = "clean"
    source: Corpus | None = None
    target: Corpus
    upstream: UpstreamPart = UpstreamPart()
    embedding: EmbeddingPart = EmbeddingPart()
    features: LogMelSettings = LogMelSettings()
    graph: GraphPart = GraphPart()
    students: Students = Students()

    def model_post_init(self, _: Any) -> None:
        """Check what only the whole recipe can tell."""
        if self.upstream.finetune and self.source is None:
            raise InputError("upstream.finetune = true needs a [source] corpus")
        self.training_settings()  # a bad setting is found before the long work begins
        most = max(self.students.n_neighbors)
        if most > self.graph.n_neighbors:
            raise InputError(
                f"students.n_neighbors = {most} is more than the graph holds (graph.n_neighbors = "
                f"{self.graph.n_neighbors}); raise the latter"
            )

    @property
    def epsilon(self) -> float | None:
        """The threshold; None for none."""
        return None if self.graph.epsilon == "none" else self.graph.epsilon

    @property
    def scope(self) -> str:
        """Which clips have and are neighbours."""
        if self.graph.scope != "protocol":
            return self.graph.scope
        return "train+dev" if self.protocol == "paper" else "train"

    def training_settings(self) -> list[TrainingSettings]:
        """One for each student, baselines first."""
        students = self.students
        try:
            shared = replace(TrainingSettings(protocol=self.protocol), **students.training)
        except TypeError as error:
            wrong = str(error).rpartition("'")[0].rpartition("'")[2]
            raise bad_value("key in students.training", wrong, TrainingSettings.__dataclass_fields__) from None
        grid = product(students.backbone, students.seed, students.alpha, students.n_neighbors, students.layer)
        cells: dict[tuple[Any, ...], TrainingSettings] = {}
        for backbone, seed, alpha, n_neighbors, layer in grid:
            # A baseline has no neighbours: it is the same for all n_neighbors and layers.
            key = (backbone, seed, alpha) if alpha == 0 else (backbone, seed, alpha, n_neighbors, layer)
            cell = replace(shared, backbone=backbone, seed=seed, alpha=alpha, n_neighbors=n_neighbors, layer=layer)
            cells.setdefault(key, cell)
        for backbone, seed, transfer in product(students.backbone, students.seed, students.transfer):
            cell = replace(shared, backbone=backbone, seed=seed, alpha=0.0, transfer=transfer)
            cells[backbone, seed, transfer] = cell
        return sorted(cells.values(), key=lambda settings: settings.alpha > 0)


def student_name(settings: TrainingSettings) -> str:
    """The folder and row name of a student.

    Examples:
        >>> student_name(TrainingSettings(alpha=0.1, n_neighbors=6))
        'resnet9-nsl-a0.1-n6-fc2-seed0'
        >>> student_name(TrainingSettings(alpha=0))
        'resnet9-baseline-seed0'
    """
    if settings.alpha == 0 and settings.transfer != "none":
        return f"{settings.backbone}-transfer-{settings.transfer}-seed{settings.seed}"
    if settings.alpha == 0:
        return f"{settings.backbone}-baseline-seed{settings.seed}"
    neighbors = "all" if settings.n_neighbors is None else settings.n_neighbors
    return f"{settings.backbone}-nsl-a{settings.alpha:g}-n{neighbors}-{settings.layer}-seed{settings.seed}"


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("ser_graph.recipes")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_recipe(name_or_file: str | Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name_or_file: a shipped recipe's name, or a TOML file.
        changes: single settings by dotted key, e.g. ``{"upstream.model": "models/whisper"}``.

    Raises:
        InputError: no such recipe, broken TOML, or a wrong key or value; names the key.
    """
    text = _read(name_or_file)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name_or_file} is not valid TOML: {error}") from None
    for key, value in (changes or {}).items():
        _set(values, key, value)
    return make_recipe(values, str(name_or_file))


def make_recipe(values: dict[str, Any], where: str = "the recipe") -> Recipe:
    """A recipe from nested values; `where` is named in messages."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {_first_complaint(error)}") from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """A recipe as the plain values of a TOML file, every default written out."""
    features = {key: value for key, value in asdict(recipe.features).items() if value is not None}
    return {**recipe.model_dump(mode="json", exclude_none=True), "features": features}


def parse_changes(assignments: list[str]) -> dict[str, Any]:
    """``["graph.epsilon=0.9", "upstream.model=small"]`` -> values, read as TOML where they are, else as text.

    Examples:
        >>> parse_changes(["graph.epsilon=0.9", "students.seed=[0, 1]", "upstream.model=small"])
        {'graph.epsilon': 0.9, 'students.seed': [0, 1], 'upstream.model': 'small'}
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise InputError(f"Bad setting {assignment!r}, expected KEY=VALUE, e.g. graph.epsilon=0.9")
        try:
            changes[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = value.strip()
    return changes


def _read(name_or_file: str | Path) -> str:
    path = Path(name_or_file).expanduser()
    if path.is_file():
        return path.read_text("utf-8")
    if str(name_or_file) in shipped_recipes():
        return (resources.files("ser_graph.recipes") / f"{name_or_file}.toml").read_text("utf-8")
    raise InputError(f"No recipe {str(name_or_file)!r}, expected a TOML file or one of {shipped_recipes()}")


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise InputError(f"Bad key {key!r}: {part!r} is a value, not a table")
    values[last] = value


def _first_complaint(error: ValidationError) -> str:
    """One line for the first thing that is wrong, with the key as it stands in the file."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {key!r}, expected one of {_keys_beside(first['loc'])}{more}"
    if first["type"] == "missing":
        return f"missing key {key!r}{more}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key} = {first['input']!r}: {message}{more}" if key else f"{message}{more}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    part: Any = Recipe
    for name in location[:-1]:
        part = part.model_fields[name].annotation if hasattr(part, "model_fields") else part
    fields = part.model_fields if hasattr(part, "model_fields") else part.__dataclass_fields__
    return sorted(fields)
