"""A recipe: everything that decides a run."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.settings import setting
from ser_graph.corpora import ADAPTERS
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.errors import InputError, bad_value
from ser_graph.experiment.grid import Students, training_settings
from ser_graph.graph import GraphSettings
from ser_graph.upstream.settings import EmbeddingSettings, FinetuneSettings


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


class UpstreamPart(FinetuneSettings):
    """The upstream, and how it is fine-tuned on the source corpora."""

    model: str = setting(
        "facebook/wav2vec2-base", "condition", "a model of the Hugging Face hub, a local folder, or small"
    )
    finetune: bool = setting(True, "condition", "train it on the source corpora; false takes the model as it is")

    @property
    def finetuning(self) -> FinetuneSettings:
        """The settings of the fine-tuning alone."""
        return FinetuneSettings(**self.model_dump(include=set(FinetuneSettings.model_fields)))


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
        graph: see `GraphSettings`; by default, its scope is what the protocol trains on.
        unlabelled: corpora that lend their clips to the graph, without their labels: ``[[unlabelled]]``; see
            `join_corpora`.
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
    embedding: EmbeddingSettings = EmbeddingSettings()
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
        return training_settings(self.students, self.protocol)
