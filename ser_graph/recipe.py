"""A recipe: everything that decides a run, typed, from a TOML file."""

import tomllib
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.corpora import ADAPTERS
from ser_graph.devices import Precision
from ser_graph.downstream.settings import PAPER, TrainingSettings
from ser_graph.errors import InputError, bad_value
from ser_graph.graph.settings import GraphSettings
from ser_graph.settings import names_of, without_effect_on
from ser_graph.upstream.embedding import Layer

# Settings of training that have a list of their own in [students].
_GRID = ("backbone", "seed", "method", "alpha", "n_neighbors", "layer")
_FIRST_IN_NAME = ("backbone", "method", "transfer")


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
        finetune: train it on the source corpora; false takes the model as it is.
    """

    model: str = "facebook/wav2vec2-base"
    finetune: bool = True
    epochs: int = Field(20, ge=1)
    learning_rate: float = Field(3e-5, gt=0)
    batch_size: int = Field(16, ge=1)
    seconds: float = Field(4.0, gt=0)
    freeze_feature_encoder: bool = True
    freeze_encoder: bool = False
    seed: int = 0
    precision: Precision = "auto"


class EmbeddingPart(_Part):
    """How clips of the target corpus are embedded; the settings are those of `Upstream.embed`.

    Attributes:
        seconds: clips are repeated or cut to this length; ``"own"`` keeps each clip's own.
        layer: ``"projector"``, or the number of a layer of the encoder.
    """

    seconds: float | Literal["own"] = 8.43
    layer: Layer = "projector"
    batch_size: int = Field(16, ge=1)
    precision: Precision = "float32"


class Students(_Part):
    """The students: one for each combination of the lists; the baseline is trained once for all methods.

    Attributes:
        method: what they learn from, see `METHODS`.
        alpha: weights of the methods; none is each method's own, 0 is the baseline.
        n_neighbors: none is all that the graph holds.
        transfer: ``"add"``, ``"max"``, ``"avg"``: further baselines, with alpha = 0, for each backbone and seed.
        training: further settings, see `TrainingSettings`; a list is one more dimension of the grid, e.g.
            ``{epochs = 20, label_fraction = [0.02, 0.1, 1.0]}``.
    """

    backbone: list[str] = Field(["resnet9"], min_length=1)
    method: list[str] = Field(["baseline", "nsl"], min_length=1)
    alpha: list[float] = Field(default_factory=list)
    n_neighbors: list[int] = Field(default_factory=list)
    layer: list[str] = Field(["fc2"], min_length=1)
    seed: list[int] = Field([0], min_length=1)
    transfer: list[Literal["add", "max", "avg"]] = Field(default_factory=list)
    training: dict[str, Any] = Field(default_factory=dict)


class Recipe(_Part):
    """A whole run: source -> upstream -> target -> graph -> students.

    Attributes:
        source: one corpus, or several as ``[[source]]``: their clips are joined, with all of their labels, whose
            emotions must be among those of the first (see `Corpus.labels`).
        folds: train every student once for each group of target speakers, left out in turn, instead of once on the
            target's split: a number of groups, or ``"speakers"`` for one speaker at a time; see `cross_validate`.
        dev_speakers: with `folds`, how many speakers of the next group are dev, while the others train; by default
            all.
        chosen_by: the split that chose these settings in earlier runs, ``"dev"`` or ``"test"``, if any did: where
            it was test, a report calls no number a test result.
        copies: of every clip of target and unlabelled corpora, at other speeds, to train on; see `with_copies`.
        unlabelled: corpora that lend their clips to the graph, without their labels: ``[[unlabelled]]``; see
            `join_corpora`.
        graph: see `GraphSettings`; by default, its scope is what the protocol trains on.
    """

    name: str
    protocol: Literal["clean", "paper"] = "clean"
    folds: Annotated[int, Field(ge=2)] | Literal["speakers"] | None = None
    dev_speakers: Annotated[int, Field(ge=1)] | None = None
    chosen_by: Literal["dev", "test"] | None = None
    source: Corpus | list[Corpus] | None = None
    target: Corpus
    unlabelled: list[Corpus] = Field(default_factory=list)
    copies: int = Field(0, ge=0, le=10)
    upstream: UpstreamPart = UpstreamPart()
    embedding: EmbeddingPart = EmbeddingPart()
    features: LogMelSettings = LogMelSettings()
    graph: GraphSettings = GraphSettings()
    students: Students = Students()

    @model_validator(mode="before")
    @classmethod
    def _scope_of_the_protocol(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("graph", {}), dict):
            return values
        scope = "train+dev" if values.get("protocol") == "paper" else "train"
        return {**values, "graph": {"scope": scope, **values.get("graph", {})}}

    def model_post_init(self, _: Any) -> None:
        """Check what only the whole recipe can tell."""
        if self.upstream.finetune and not self.source:
            raise InputError("upstream.finetune = true needs a [source] corpus")
        if self.dev_speakers is not None and self.folds is None:
            raise InputError("dev_speakers is of folds; give both, or neither")
        for cell in self.training_settings():  # a bad setting is found before the long work begins
            self._check_cell(cell)
        most = max(self.students.n_neighbors, default=0)
        if most > self.graph.n_neighbors:
            raise InputError(
                f"students.n_neighbors = {most} is more than the graph holds (graph.n_neighbors = "
                f"{self.graph.n_neighbors}); raise the latter"
            )

    def _check_cell(self, cell: TrainingSettings) -> None:
        if self.graph.scope == "all" and self.folds is None and cell.uses_graph and not cell.transductive:
            raise InputError(
                "graph.scope = 'all' joins training clips to those of dev or test; leave it out, or say "
                "students.training.transductive = true if that is meant"
            )

    @property
    def sources(self) -> list[Corpus]:
        """The corpora that the upstream is fine-tuned on."""
        return [self.source] if isinstance(self.source, Corpus) else self.source or []

    def training_settings(self) -> list[TrainingSettings]:
        """One for each student, baselines first."""
        students = self.students
        grid = {name: values for name in _GRID if (values := getattr(students, name))}
        grid |= _training_lists(students.training)
        transfers = {**grid, "method": ["baseline"], "transfer": students.transfer}
        cells: dict[str, TrainingSettings] = {}
        for lists in (grid, transfers):
            for values in product(*lists.values()):
                cell = TrainingSettings(**{"protocol": self.protocol, **dict(zip(lists, values, strict=True))})
                cells.setdefault(student_name(cell), essential(cell))  # one baseline for all methods and layers
        return sorted(cells.values(), key=lambda cell: (not cell.is_baseline, cell.learns_from is not None))


def _training_lists(training: dict[str, Any]) -> dict[str, list[Any]]:
    """Each of `students.training` as the list of its values."""
    for name, value in training.items():
        if name in Students.model_fields:
            raise InputError(f"students.training.{name} is set elsewhere, write students.{name} = [...]")
        if name == "protocol":
            raise InputError(
                "students.training.protocol is set elsewhere, write protocol = ... of the whole recipe"
            )
        if name not in TrainingSettings.model_fields:
            raise bad_value("key in students.training", name, TrainingSettings.model_fields)
        if isinstance(value, list) and name in names_of(TrainingSettings, "run"):
            raise InputError(f"students.training.{name} cannot be a list; give one value, and a run for each other")
        if value == []:
            raise InputError(f"students.training.{name} is an empty list; give a value, or several")
    return {name: value if isinstance(value, list) else [value] for name, value in training.items()}


def student_name(settings: TrainingSettings) -> str:
    """The folder and row name of a student: what it learns from, and whatever else is not the default.

    What all students of a run share (epochs, batch size, precision, protocol) is not in the name, nor what makes
    no difference to it, such as the layer of a baseline; see `unusual`.

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
    """What tells a student from the usual one: settings that make a difference to it and are not the default.

    What all students of a run share is left out. Beside ``schedule="paper"``, the default is what belongs to it, in
    both protocols, so that students of both have the same names.
    """
    of_paper: dict[str, Any] = PAPER if settings.schedule == "paper" else {}
    default = {**TrainingSettings(**of_paper).model_dump(), "schedule": TrainingSettings().schedule}
    values = essential(settings).model_dump(exclude=names_of(TrainingSettings, "run"))
    return {name: value for name, value in values.items() if value != default[name]}


def essential(settings: TrainingSettings) -> TrainingSettings:
    """The same training, with the default wherever a value makes no difference beside the others."""
    hidden = without_effect_on(TrainingSettings, settings.learns_from or "baseline")
    if settings.label_fraction == 1 and settings.labelled_speakers is None:
        hidden |= {"label_seed"}
    if settings.weight == settings.own_weight or settings.learns_from is None:
        hidden |= {"alpha"}
    values = {name: value for name, value in settings.given.items() if name not in hidden}
    if settings.semantics == "official":  # which may be hidden, but has filled these in
        values = {**{name: getattr(settings, name) for name in PAPER}, **values}
    return TrainingSettings(**{**values, "method": settings.learns_from or "baseline"})


def _part_of_name(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"no_{name}"
    return f"{name}={value:g}" if isinstance(value, int | float) else f"{name}={value}"


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
    return _without_none(recipe.model_dump(mode="json"))


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """What TOML can write; unlike ``exclude_none``, after settings have written a None of theirs as a text."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


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
    if isinstance(first["input"], dict):  # settings that say themselves what is wrong in them
        return f"{key}: {message}{more}" if key else f"{message}{more}"
    return f"{key} = {first['input']!r}: {message}{more}" if key else f"{message}{more}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    part: Any = Corpus if location[0] in ("source", "target", "unlabelled") else Recipe
    for name in location[:-1] if part is Recipe else ():
        part = part.model_fields[name].annotation if hasattr(part, "model_fields") else part
    fields = part.model_fields if hasattr(part, "model_fields") else part.__dataclass_fields__
    return sorted(fields)
