"""A recipe: all settings of a run."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.settings import setting
from ser_graph.corpora import ADAPTERS
from ser_graph.corpora.splits import check_fractions
from ser_graph.downstream.settings import Protocol, TrainingSettings
from ser_graph.errors import InputError, bad_value
from ser_graph.experiment.grid import Students, training_settings
from ser_graph.graph import GraphSettings
from ser_graph.upstream.settings import EmbeddingSettings, FinetuneSettings

_OTHERS = ("table", "shards")  # beside the corpora that are known by name


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Corpus(_Part):
    """A folder of clips and its split.

    Attributes:
        corpus: name of a corpus, or ``"table"``. Among `Recipe.other` also ``"shards"``: WebDataset tar files
            or Parquet files with recordings of any length, see `process_shards`.
        root: the folder of the corpus, relative to the current folder; for ``"table"``, the file of the table.
        split: ``"default"`` (the usual split of the corpus, or the column ``split`` of a table) or
            ``"speaker-independent"``.
        fractions: shares of the speakers in train, dev and test, for ``"speaker-independent"``.
        seed: random seed of the split.
        shared_speakers: allow a speaker in two splits.
        emotions: the clips to use: ``"default"``, ``"all"``, or a list of emotions; see `load_corpus`.
        labels: new names of emotions, e.g. ``{calm = "neutral"}``.
        make: for ``"synthetic"``: arguments of `make_corpus`, e.g. ``{preset = "source", n_clips = 576}``; without
            them, the run uses the clips that are in `root`.
    """

    corpus: str
    root: str = ""
    split: Literal["default", "speaker-independent"] = "default"
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    seed: int = Field(0, ge=0, lt=2**63)
    shared_speakers: bool = False
    emotions: Literal["default", "all"] | list[str] = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    make: dict[str, str | int | float] = Field(default_factory=dict)

    @field_validator("fractions")
    @classmethod
    def _add_up(cls, fractions: tuple[float, float, float]) -> tuple[float, float, float]:
        check_fractions(fractions)
        return fractions

    @field_validator("corpus")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in {*ADAPTERS, *_OTHERS}:
            raise bad_value("corpus", name, {*ADAPTERS, *_OTHERS})
        return name


class UpstreamPart(FinetuneSettings):
    """The upstream and its fine-tuning on the source corpora."""

    model: str = setting(
        "facebook/wav2vec2-base",
        "condition",
        "a model of the Hugging Face hub, a local folder, or small (an untrained toy model)",
    )
    finetune: bool = setting(
        True, "condition", "fine-tune the model on the source corpora; false uses the model unchanged"
    )

    @property
    def finetuning(self) -> FinetuneSettings:
        """The settings of the fine-tuning alone."""
        return FinetuneSettings(**self.model_dump(include=set(FinetuneSettings.model_fields)))


class Recipe(_Part):
    """A whole run: source -> upstream -> target -> graph -> students.

    Attributes:
        name: name of the run.
        protocol: ``"clean"`` trains on train and evaluates on dev and test; ``"paper"`` trains on train and dev.
        folds: leave out groups of target speakers in turn, and train every student once for each group. A number
            of groups, or ``"speakers"`` for one speaker at a time; see `cross_validate`. By default, the run uses
            the split of the target.
        dev_speakers: with `folds`: number of speakers of the next group that are dev; the others of that group
            train. By default, all speakers of the next group are dev.
        chosen_by: the split that chose these settings in earlier runs, ``"dev"`` or ``"test"``. With ``"test"``, a
            report calls no number a test result.
        source: one corpus, or several as ``[[source]]``. The run joins their clips and uses all labels. The
            emotions of each must be among the emotions of the first; rename them with `Corpus.labels`.
        target: the corpus that the students learn, or several as ``[[target]]``. The run joins their clips, and the
            students learn the labels of all. The emotions of each must be among the emotions of the first.
        other: corpora that add their clips, as ``[[other]]``. The students do not learn their labels; the teacher's
            probe may, see `TrainingSettings.other_labels` and `join_corpora`.
        copies: number of copies at other speeds of each clip of target and other corpora; copies are used
            only in training; see `with_copies`.
        upstream: see `UpstreamPart`.
        embedding: see `EmbeddingSettings`.
        features: see `LogMelSettings`.
        graph: see `GraphSettings`; by default, its scope is the training clips of the protocol.
        students: see `Students`.
    """

    name: str
    protocol: Protocol = TrainingSettings().protocol
    folds: Annotated[int, Field(ge=2)] | Literal["speakers"] | None = None
    dev_speakers: Annotated[int, Field(ge=1)] | None = None
    chosen_by: Literal["dev", "test"] | None = None
    source: Corpus | list[Corpus] | None = None
    target: Corpus | Annotated[list[Corpus], Field(min_length=1)]
    other: list[Corpus] = Field(default_factory=list)
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
        """Check settings that must fit together."""
        if self.upstream.finetune and not self.source:
            raise InputError("upstream.finetune = true needs a [source] corpus")
        self._check_shards()
        if self.dev_speakers is not None and self.folds is None:
            raise InputError("dev_speakers needs folds; give both or neither")
        for cell in self.training_settings():  # find a bad setting before the long work
            self._check_cell(cell)
        most = max(self.students.n_neighbors, default=0)
        if most > self.graph.n_neighbors:
            raise InputError(
                f"students.n_neighbors = {most} is more than the graph has (graph.n_neighbors = "
                f"{self.graph.n_neighbors}); increase graph.n_neighbors"
            )

    def _check_shards(self) -> None:
        if any(corpus.corpus == "shards" for corpus in [*self.sources, *self.targets]):
            raise InputError("shards have no labels; give them as [[other]], not as source or target")
        for corpus in self.shards:
            plain = Corpus(corpus="shards", root=corpus.root)
            if given := [name for name in Corpus.model_fields if getattr(corpus, name) != getattr(plain, name)]:
                raise InputError(f"{given[0]} is not for shards, which only have a root; leave it out")
            if not corpus.root:
                raise InputError("shards need a root: the folder of their tar or Parquet files")

    def _check_cell(self, cell: TrainingSettings) -> None:
        if self.graph.scope == "all" and self.folds is None and cell.uses_graph and not cell.transductive:
            raise InputError(
                "graph.scope = 'all' joins training clips with clips of dev or test; leave it out, or set "
                "students.training.transductive = true to allow this"
            )

    @property
    def sources(self) -> list[Corpus]:
        """The corpora that the upstream is fine-tuned on."""
        return [self.source] if isinstance(self.source, Corpus) else self.source or []

    @property
    def targets(self) -> list[Corpus]:
        """The corpora that the students learn."""
        return [self.target] if isinstance(self.target, Corpus) else self.target

    @property
    def other_files(self) -> list[Corpus]:
        """The other corpora that are files, not shards."""
        return [corpus for corpus in self.other if corpus.corpus != "shards"]

    @property
    def shards(self) -> list[Corpus]:
        """The folders of shards."""
        return [corpus for corpus in self.other if corpus.corpus == "shards"]

    @property
    def shared_speakers(self) -> bool:
        """Whether a speaker may be in two splits of the targets."""
        return any(corpus.shared_speakers for corpus in self.targets)

    def training_settings(self) -> list[TrainingSettings]:
        """One for each student, baselines first."""
        return training_settings(self.students, self.protocol)
