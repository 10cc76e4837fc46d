"""`GraphMeta`: how a graph was made, and its measurements; without torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.settings import Record
from ser_graph.errors import InputError, bad_value
from ser_graph.graph.settings import GraphSettings
from ser_graph.upstream.settings import EmbeddingSettings

Names = dict[str, list[str]]
"""For each column of `CODED`, the names in code order."""

CODED = ("emotion", "speaker", "gender")
"""The columns of the clip table that the graph contains as codes."""

_Count = Annotated[int, Field(ge=0)]
_NAMES = f"lists of text under {', '.join(CODED)}"


class SimilarityHistogram(Record):
    """Similarities counted in bins of equal width.

    Attributes:
        low: lower edge of the first bin.
        high: upper edge of the last bin.
        nearest: for each bin, the number of pairs of a clip and one of its nearest neighbours.
        pairs: for each bin, the number of random pairs.
    """

    low: float = Field(description="a number")
    high: float = Field(description="a number")
    nearest: list[_Count] = Field(description="a list of counts", min_length=1)
    pairs: list[_Count] = Field(description="a list of counts", min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> "SimilarityHistogram":
        if not self.low < self.high:
            raise InputError(f"Bad low={self.low} and high={self.high} of a histogram, expected low < high")
        if len(self.nearest) != len(self.pairs):
            raise InputError(
                f"A histogram has {len(self.nearest)} bins for nearest and {len(self.pairs)} for pairs, expected "
                "the same number"
            )
        return self


class GraphMeasures(Record):
    """The measurements of a graph when it was built; the defaults belong to a graph without edges.

    Attributes:
        n_clips: number of clips without copies.
        n_in_scope: number of clips that can have neighbours and be neighbours.
        n_edges: number of directed edges.
        method: the method that the neighbour search used (the setting may be auto).
        epsilon: the threshold that was used (the setting may be a coverage); None: no threshold.
        coverage: share of the clips in scope with a neighbour.
        recall: share of the true nearest neighbours that the search found, for a sample of clips.
        similarity_quantiles: quantiles of the similarities of nearest neighbours, by share (``"0.5"`` is the
            median); empty without neighbours.
        similarity_histogram: histogram of nearest neighbours and random pairs; None without neighbours.
        pairs_above_epsilon: share of random pairs with a similarity above epsilon.
    """

    n_clips: int = Field(0, ge=0)
    n_in_scope: int = Field(0, ge=0)
    n_edges: int = Field(0, ge=0)
    method: Literal["exact", "nndescent", "faiss"] = "exact"
    epsilon: float | None = Field(None, description="a number or None")
    coverage: float = Field(0.0, ge=0, le=1)
    recall: float = Field(1.0, ge=0, le=1)
    similarity_quantiles: dict[str, float] = Field(default_factory=dict, description="numbers by their share")
    similarity_histogram: SimilarityHistogram | None = Field(None, description="a histogram or None")
    pairs_above_epsilon: float = Field(0.0, ge=0, le=1)


class UpstreamMeta(Record):
    """The upstream that embedded the clips of a graph.

    Attributes:
        fingerprint: see `Upstream.fingerprint`.
        weights: origin of its weights, a name or a folder.
        finetuned: whether the weights were fine-tuned.
        info: the other entries of ``Upstream.info``.
    """

    fingerprint: str = Field(description="a hash")
    weights: str | None = Field(None, description="a name, a folder or None")
    finetuned: bool = False
    info: dict[str, Any] = Field(default_factory=dict, description="values by name")

    @classmethod
    def of(cls, fingerprint: str, info: Mapping[str, Any]) -> "UpstreamMeta":
        """From an upstream's `fingerprint` and `info`.

        Examples:
            >>> UpstreamMeta.of("f00", {"weights": "small", "finetuned": True, "corpus": "emovo"}).info
            {'corpus': 'emovo'}
        """
        own = {name: info[name] for name in ("weights", "finetuned") if name in info}
        return cls(
            fingerprint=fingerprint, **own, info={name: value for name, value in info.items() if name not in own}
        )


class GraphMeta(Record):
    """How a graph was made, and the names behind its codes. It is frozen: `replace` returns a changed copy.

    Attributes:
        corpus: name of the corpus.
        root: its folder.
        names: for emotion, speaker and gender, the names in code order.
        data_hash: hash of the clips, labels, split and embeddings; empty while the graph is being made.
        environment: versions, machine and threads.
        features: settings of the spectrograms.
        settings: the rules for neighbours.
        embedding: how the upstream embedded the clips.
        shared_speakers: whether a speaker may be in two splits.
        upstream: the model that embedded the clips; None if the user gave the embeddings.
        measured: the measurements.

    Examples:
        >>> meta = GraphMeta(corpus="emovo")
        >>> meta.replace(features=meta.features.replace(n_mels=40)).features.n_mels
        40
        >>> meta.replace(corpus=3)
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: Bad corpus 3, expected a name or None
    """

    corpus: str | None = Field(None, description="a name or None")
    root: str | None = Field(None, description="a folder or None")
    names: Names = Field(default_factory=dict, description=_NAMES)
    data_hash: str = ""
    environment: dict[str, Any] = Field(default_factory=dict, description="values by name")
    features: LogMelSettings = LogMelSettings()
    settings: GraphSettings = GraphSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    shared_speakers: bool = False
    upstream: UpstreamMeta | None = Field(None, description="an upstream or None")
    measured: GraphMeasures = GraphMeasures()

    @field_validator("names", mode="after")
    @classmethod
    def _of_coded_columns(cls, names: Names) -> Names:
        """Give every column a list of names, which may be empty."""
        if unknown := sorted(names.keys() - set(CODED)):
            raise bad_value("column of names", unknown[0], CODED)
        return {column: names.get(column, []) for column in CODED}


def parse_meta(content: object) -> GraphMeta:
    """Read a meta from JSON. Every value must be there: a default says nothing about a graph that was built.

    Args:
        content: the result of `GraphMeta.model_dump` with ``mode="json"``.

    Raises:
        InputError: a name is missing or unknown, or a value has a wrong type or size.

    Examples:
        >>> parse_meta(GraphMeta().model_dump(mode="json")) == GraphMeta()
        True
        >>> parse_meta({})
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: corpus is missing
    """
    if not isinstance(content, dict):
        raise InputError(f"Bad meta of type {type(content).__name__}, expected an object")
    meta = GraphMeta(**content)
    if missing := _missing(meta.model_dump(mode="json"), content):
        raise InputError(f"{missing} is missing")
    return meta


def _missing(whole: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """The first name that is in `whole` but not in `given`, as a dotted path."""
    for name, value in whole.items():
        if name not in given:
            return name
        if isinstance(value, dict) and (below := _missing(value, given[name])):
            return f"{name}.{below}"
    return None
