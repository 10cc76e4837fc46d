"""The graph card: what a graph can teach, before a student is trained with it."""

import copy
from typing import Any

import numpy as np
import pandas as pd
import torch

from ser_graph.analysis.assortativity import homophily
from ser_graph.errors import InputError
from ser_graph.graph.clip_graph import ClipGraph, check_is_graph


def graph_card(data: ClipGraph, *, n_permutations: int = 1000, seed: int = 0) -> pd.Series:
    """Whether the neighbour loss can teach emotions with this graph, according to the labels of training clips.

    The card describes the graph. It does not predict the gain of a student. An edge brings the outputs of its two
    clips together. This is right if both clips have the same emotion, and contradicts the labels if they have two
    emotions. `word` has three values:

    - ``"nothing"``: no edge joins two labelled training clips, or edges join the same emotion no more often than
      97.5 % of the shuffled labels do (see `homophily`). The graph contains no emotions.
    - ``"contradictory"``: edges join the same emotion more often than that, but at most half of the edges do. The
      loss mostly brings clips together that have different labels.
    - ``"agreeing"``: more than half of the edges join the same emotion.

    Even ``"agreeing"`` promises no gain. A labelled clip has its label already, so a graph helps only with what the
    labels do not say. In our measurements, graphs whose edges joined one emotion in 40 to 50 % (chance: 14 to 17 %)
    made no student better than its baseline.

    Args:
        data: the graph.
        n_permutations: number of shufflings of the labels that measure chance.
        seed: random seed of the shufflings.

    Returns:
        A Series; NaN if there is nothing to count:

        - `word`, and `text`, the card in sentences;
        - `same_emotion`: the share of edges that join the same emotion, among edges between labelled training
          clips; `same_emotion_low` and `same_emotion_high`: 95 % of the shuffled labels lie between them;
          `contradicting`: the share of edges that join two emotions;
        - `same_speaker`, `same_speaker_low` and `same_speaker_high`: the same for speakers, over all clips in
          scope; `joins_speakers`: whether the first is above the last, None if speakers are unknown;
        - `emotion_assortativity` and `speaker_assortativity`: Newman's coefficients, which are comparable for
          different numbers of emotions and speakers;
        - `unlabelled`: the share of edges with at least one clip without a training label; there the graph adds to
          the labels;
        - `coverage`: the share of clips in scope with a neighbour.

    Raises:
        InputError: `n_permutations` is below 1.

    Examples:
        >>> from ser_graph.graph import build_graph
        >>> table = pd.DataFrame({"emotion": ["joy", "fear"] * 20, "split": "train"})
        >>> table[["speaker", "gender"]] = None
        >>> emb = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(20, 1)
        >>> data = build_graph(table, emb=emb, x=torch.zeros(40, 373, 64), epsilon=None, n_neighbors=3)
        >>> card = graph_card(data)
        >>> card["word"], card["same_emotion"], card["contradicting"]
        ('agreeing', 1.0, 0.0)
    """
    if n_permutations < 1:
        raise InputError(f"Bad n_permutations {n_permutations!r}, expected at least 1, because they measure chance")
    check_is_graph(data)
    data.check()
    known = copy.copy(data)
    known.y = torch.where(data.train_mask, data.y, -1)
    joined = homophily(known, ["emotion", "speaker"], n_permutations=n_permutations, seed=seed)
    measured: dict[Any, dict[str, float]] = joined.astype(float).to_dict("index")  # type: ignore[assignment]
    emotion, speaker = measured["emotion", "edge"], measured["speaker", "edge"]
    same, high = emotion["value"], emotion["chance_high"]
    joins_speakers = None if np.isnan(speaker["value"]) else speaker["value"] > speaker["chance_high"]
    ends = known.y[data.edge_index]
    numbers: dict[str, Any] = {
        "word": _word(same, high),
        "same_emotion": same,
        "same_emotion_low": emotion["chance_low"],
        "same_emotion_high": high,
        "contradicting": 1 - same,
        "same_speaker": speaker["value"],
        "same_speaker_low": speaker["chance_low"],
        "same_speaker_high": speaker["chance_high"],
        "joins_speakers": joins_speakers,
        "emotion_assortativity": measured["emotion", "assortativity"]["value"],
        "speaker_assortativity": measured["speaker", "assortativity"]["value"],
        "unlabelled": float((ends < 0).any(dim=0).double().mean()),
        "coverage": data.meta.measured.coverage,
    }
    return pd.Series({**numbers, "text": _text(numbers)}, name="card", dtype=object)


def _word(same: float, high: float) -> str:
    if not same > high:  # also without an edge to count
        return "nothing"
    return "agreeing" if same > 0.5 else "contradictory"


def _text(card: dict[str, Any]) -> str:
    """The card in plain sentences."""
    return " ".join([_on_emotion(card), *_on_speakers(card), _on_reach(card), _CAVEAT])


_CAVEAT = "This is only a prediction: to see whether a student gains, train it and its baseline (alpha = 0)."


def _on_emotion(card: dict[str, Any]) -> str:
    if np.isnan(card["same_emotion"]):
        return "The graph can teach nothing: no edge joins two labelled training clips."
    seen = (
        f"{card['same_emotion']:.1%} of the edges join one emotion (shuffled labels: "
        f"{card['same_emotion_low']:.1%} to {card['same_emotion_high']:.1%})"
    )
    if card["word"] == "nothing":
        return f"The graph can teach nothing about emotion: {seen}, no more than chance."
    pulls = f"{card['contradicting']:.1%} pull clips of different emotions together."
    if card["word"] == "contradictory":
        return f"The graph contains emotion but mostly contradicts the labels: {seen}, and {pulls}"
    return f"The graph mostly agrees with the labels: {seen}; {pulls}"


def _on_speakers(card: dict[str, Any]) -> list[str]:
    if card["joins_speakers"] is None:
        return []
    seen = f"{card['same_speaker']:.1%} of the edges join one speaker (shuffled: {card['same_speaker_high']:.1%})"
    if not card["joins_speakers"]:
        return [f"It does not join clips by speaker: {seen}."]
    more = card["speaker_assortativity"] > card["emotion_assortativity"]
    return [f"It joins clips by speaker, {'more' if more else 'less'} than by emotion: {seen}."]


def _on_reach(card: dict[str, Any]) -> str:
    reach = f"{card['coverage']:.1%} of the clips have a neighbour"
    if np.isnan(card["unlabelled"]):
        return f"{reach}."
    return f"{reach}, and {card['unlabelled']:.1%} of the edges have an end without a training label."
