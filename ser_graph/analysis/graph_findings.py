"""What is wrong with a corpus according to its graph: suspicious labels, voices, edges between splits."""

from collections.abc import Iterator

import pandas as pd

from ser_graph.analysis.card import graph_card
from ser_graph.analysis.columns import column_codes
from ser_graph.analysis.findings import Finding, clip_rows
from ser_graph.analysis.scores import score_clips
from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.graph.neighbours import Neighbours

SUSPICIOUS = 0.225
"""Label scores below this are suspicious: of ten neighbours, one other label has at least six more than the own."""


def label_findings(
    data: ClipGraph, *, nearest: Neighbours | None = None, duplicates: pd.DataFrame | None = None
) -> Iterator[Finding]:
    """Clips whose neighbours by embedding mostly share one other label; the arguments are as in `score_clips`."""
    scores = score_clips(data, nearest=nearest, duplicates=duplicates)
    scored = scores[scores["label_score"].notna()]
    bad = scored[scored["label_score"] < SUSPICIOUS]
    if not len(bad):
        return
    agreeing = float((scored["suggested"] == scored["emotion"]).mean())
    weak = agreeing < 0.5
    listed = [
        (
            str(file),
            None,
            float(row["label_score"]),
            f"labelled {row['emotion']}, its neighbours say {row['suggested']}",
        )
        for file, row in bad.iterrows()
    ]
    trust = (
        "The embeddings know little about emotions here, so these clips are weak evidence."
        if weak
        else "Most of the other labels agree with their neighbours, so these clips are worth hearing."
    )
    yield Finding(
        "suspicious labels",
        "note" if weak else "warning",
        f"{len(bad):,} of {len(scored):,} labelled clips {'has' if len(bad) == 1 else 'have'} neighbours that "
        "mostly share one other label; for "
        f"{agreeing:.0%} of the clips, the neighbours' most frequent label is that of the clip.",
        f"The label may be wrong, or the emotion may be weak. {trust}",
        "Listen to them ('ser-graph inspect', sorted by label_score); correct or leave out those that are wrong. "
        "Do not leave out clips without listening: a test set without its difficult clips makes results too good.",
        clip_rows(listed),
    )


def voice_findings(data: ClipGraph, *, seed: int = 0) -> Iterator[Finding]:
    """Whether the graph joins voices instead of emotions, or contains no emotion; see `graph_card`."""
    card = graph_card(data, seed=seed)
    rows = {
        kind: [
            card[f"same_{kind}"],
            card[f"same_{kind}_low"],
            card[f"same_{kind}_high"],
            card[f"{kind}_assortativity"],
        ]
        for kind in ("emotion", "speaker")
    }
    columns = ["edges that join one", "shuffled, low", "shuffled, high", "assortativity"]
    evidence = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("column").astype(float)
    centre = "" if data.meta.settings.center == "speaker" else "Subtract each speaker's mean (center='speaker'). "
    if card["joins_speakers"] and not card["emotion_assortativity"] >= card["speaker_assortativity"]:
        yield Finding(
            "voices instead of emotions",
            "warning",
            f"{card['same_speaker']:.0%} of the edges join one speaker (shuffled: {card['same_speaker_low']:.0%} "
            f"to {card['same_speaker_high']:.0%}); {card['same_emotion']:.0%} join one emotion (shuffled: "
            f"{card['same_emotion_low']:.0%} to {card['same_emotion_high']:.0%}).",
            "The graph tells a student who speaks, more than what they feel.",
            f"{centre}Join no clips of one speaker (across=['speaker']), or fine-tune the teacher on more "
            "speakers.",
            evidence=evidence,
        )
    if card["word"] == "nothing":
        yield Finding(
            "no emotion in the graph",
            "warning",
            "The edges join one emotion no more often than shuffled labels do."
            if card["same_emotion"] == card["same_emotion"]
            else "No edge joins two labelled training clips.",
            "A student can learn nothing about emotions from this graph.",
            "Fine-tune the teacher, or use another layer; see 'ser-graph stats'.",
            evidence=evidence,
        )


def edge_findings(data: ClipGraph) -> Iterator[Finding]:
    """Edges between two splits."""
    names, codes = column_codes(data, "split")
    ends = codes[data.edge_index].sort(dim=0).values
    crossing = ends[:, (ends[0] >= 0) & (ends[0] != ends[1])]
    if crossing.shape[1]:
        pairs = pd.Series([f"{names[one]} - {names[other]}" for one, other in crossing.T.tolist()], name="splits")
        yield Finding(
            "edges between splits",
            "warning",
            f"{crossing.shape[1]:,} of {data.edge_index.shape[1]:,} edges join clips of two splits.",
            "A student that trains on these edges sees dev and test clips. Its results are transductive.",
            "Build the graph for training with scope='train', or say beside the results that test clips were in "
            "it.",
            evidence=pairs.value_counts().to_frame("edges"),
        )
