"""`GraphSettings`: the rules that make clips neighbours."""

import math
from typing import Any, Literal

from pydantic import field_serializer, field_validator

from ser_graph.common.settings import Settings, setting
from ser_graph.errors import InputError

Center = Literal["none", "corpus", "speaker"]
Scope = Literal["train", "train+dev", "all"]
Search = Literal["auto", "exact", "nndescent", "faiss"]
SPLITS_OF: dict[str, tuple[str, ...]] = {"train": ("train",), "train+dev": ("train", "dev"), "all": ()}
"""The splits of each scope; an empty tuple means all clips."""

_EPSILON = "a cosine similarity from -1 to below 1, 'none', or 'coverage:0.8'"


class GraphSettings(Settings):
    """The rules that make clips neighbours.

    The neighbours of a clip are the most similar clips in scope: at most `n_neighbors` clips, each with a
    similarity above `epsilon`. The similarity is the cosine of two embeddings, after subtraction of the mean that
    `center` names.
    """

    epsilon: float | str | None = setting(
        0.99,
        "method",
        "an edge needs a cosine similarity above epsilon (the paper uses 0.99 for its wav2vec 2.0); None or 'none' "
        "keeps every nearest neighbour; 'coverage:0.8' takes the largest value with which 80 % of the clips in "
        "scope have a neighbour",
    )
    n_neighbors: int = setting(
        6, "method", "maximum number of neighbours of a clip; the most similar clips come first", ge=1
    )
    center: Center = setting(
        "none",
        "method",
        "mean that is subtracted from the embeddings before the comparison: none, corpus or speaker; the mean is "
        "that of the clips in scope; the graph's `emb` does not change",
    )
    across: tuple[str, ...] = setting(
        (),
        "method",
        "text columns of the clip table in which two neighbours must differ, e.g. speaker, sentence; a missing "
        "value differs from every value",
    )
    mutual: bool = setting(
        False, "method", "keep an edge only if each of its two clips is among the nearest neighbours of the other"
    )
    scope: Scope = setting(
        "train",
        "method",
        "clips that can have neighbours and be neighbours: train (protocol clean), train+dev (protocol paper), or "
        "all (to look at the graph, and for transductive GNNs: edges then join test clips and training clips)",
    )
    method: Search = setting(
        "auto",
        "run",
        "search for neighbours: exact, nndescent, faiss (the extra faiss; for millions of clips), or auto, which "
        "is exact below 80,000 clips and nndescent from there",
    )
    seed: int = setting(
        0, "run", "random seed of NN-descent, of faiss and of the sample that measures its recall", ge=0, lt=2**63
    )
    n_jobs: int | None = setting(
        None, "run", "threads of NN-descent and faiss; the result depends on them; None means all threads", ge=1
    )

    @field_validator("epsilon", mode="before")
    @classmethod
    def _is_epsilon(cls, epsilon: Any) -> Any:
        """Read the text ``"none"`` as None, because TOML and the command line have no None."""
        if epsilon is None or epsilon == "none":
            return None
        if isinstance(epsilon, str):
            coverage_of(epsilon)
        elif isinstance(epsilon, bool) or not (isinstance(epsilon, int | float) and -1 <= epsilon < 1):
            raise InputError(f"Bad epsilon {epsilon!r}, expected {_EPSILON}")
        return epsilon

    @field_serializer("epsilon", when_used="json")
    def _epsilon_as_text(self, epsilon: float | str | None) -> float | str:
        return "none" if epsilon is None else epsilon

    @field_validator("across", mode="before")
    @classmethod
    def _are_columns(cls, across: Any) -> Any:
        if isinstance(across, str):
            raise InputError(f"Bad across {across!r}, expected a list of columns, e.g. [{across!r}]")
        return tuple(across) if isinstance(across, list) else across


def coverage_of(epsilon: str) -> float:
    """The share of clips in ``"coverage:0.8"``.

    Raises:
        InputError: another text, or a share out of range.

    Examples:
        >>> coverage_of("coverage:0.8")
        0.8
        >>> coverage_of("coverage:80")
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: Bad epsilon 'coverage:80', expected a share of clips above 0 and at
        most 1, e.g. 'coverage:0.8'
    """
    way, _, text = epsilon.partition(":")
    if way != "coverage":
        raise InputError(f"Bad epsilon {epsilon!r}, expected {_EPSILON}")
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise InputError(
            f"Bad epsilon {epsilon!r}, expected a share of clips above 0 and at most 1, e.g. 'coverage:0.8'"
        )
    return share
