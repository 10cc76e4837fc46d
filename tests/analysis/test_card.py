"""The graph card: shares counted by hand, training labels alone, and a word for graphs whose answer is known."""

import json

import numpy as np
import pytest
import torch

from ser_graph.analysis import graph_card, homophily, report_json
from ser_graph.errors import InputError


def planted(toy_graph, share, column="y"):
    """The toy graph with edges into training clips of which a share joins equal values of a column."""
    rng = np.random.default_rng(0)
    clips = toy_graph.train_mask.nonzero()[:, 0].numpy()
    codes = toy_graph[column].numpy()
    edges = []
    for seed in clips:
        for _ in range(4):
            like = (codes[clips] == codes[seed]) == (rng.random() < share)
            edges.append((rng.choice(clips[like & (clips != seed)]), seed))
    toy_graph.edge_index = torch.tensor(edges).T
    toy_graph.edge_weight = torch.ones(len(edges))
    return toy_graph


def test_shares_are_counted_by_hand(toy_graph):
    card = graph_card(toy_graph, n_permutations=50)
    source, target = toy_graph.edge_index.tolist()
    emotion, speaker = toy_graph.table["emotion"], toy_graph.table["speaker"]
    pairs = list(zip(source, target, strict=True))
    same = np.mean([emotion.iloc[a] == emotion.iloc[b] for a, b in pairs])
    assert card["same_emotion"] == pytest.approx(same)
    assert card["contradicting"] == pytest.approx(1 - same)
    assert card["same_speaker"] == pytest.approx(np.mean([speaker.iloc[a] == speaker.iloc[b] for a, b in pairs]))
    assert card["unlabelled"] == 0
    assert card["coverage"] == toy_graph.meta.measured.coverage
    expected = homophily(toy_graph, ["emotion"], n_permutations=50).loc["emotion"]
    assert card["same_emotion_high"] == expected.loc["edge", "chance_high"]
    assert card["emotion_assortativity"] == expected.loc["assortativity", "value"]


@pytest.mark.parametrize(
    ("share", "word", "said"),
    [
        (1 / 3, "nothing", "can teach nothing about emotion"),  # three emotions of the same size: that is chance
        (0.1, "nothing", "no more than chance"),
        (0.45, "contradictory", "mostly contradicts the labels"),
        (0.8, "agreeing", "mostly agrees with the labels"),
    ],
)
def test_the_word_of_planted_graphs(toy_graph, share, word, said):
    card = graph_card(planted(toy_graph, share), n_permutations=200)
    assert card["word"] == word
    assert said in card["text"]
    assert f"{card['same_emotion']:.1%}" in card["text"]
    assert "prediction" in card["text"] and "\n" not in card["text"]


def test_it_says_whether_speakers_are_joined(toy_graph):
    assert graph_card(planted(toy_graph, 0.9, "speaker"), n_permutations=100)["joins_speakers"] is True
    assert "joins clips by speaker, more than by emotion" in graph_card(toy_graph, n_permutations=100)["text"]
    apart = graph_card(planted(toy_graph, 0.2, "speaker"), n_permutations=100)  # five speakers
    assert apart["joins_speakers"] is False and "does not join clips by speaker" in apart["text"]
    toy_graph.speaker[:] = -1
    unknown = graph_card(toy_graph, n_permutations=100)
    assert unknown["joins_speakers"] is None and "one speaker" not in unknown["text"]


def test_only_training_labels_are_looked_at(toy_graph):
    toy_graph.edge_index = torch.cat([toy_graph.edge_index, torch.tensor([[80, 0], [1, 110]])], dim=1)
    toy_graph.edge_weight = torch.cat([toy_graph.edge_weight, torch.ones(2)])
    toy_graph.meta = toy_graph.meta.replace(settings=toy_graph.meta.settings.replace(scope="all"))
    card = graph_card(toy_graph, n_permutations=50)
    toy_graph.table = toy_graph.table.assign(
        emotion=toy_graph.table["emotion"].where(toy_graph.train_mask.numpy(), "sadness")
    )
    other = graph_card(toy_graph, n_permutations=50)
    assert card.equals(other)
    assert card["unlabelled"] == 2 / toy_graph.edge_index.shape[1]


def test_without_edges_or_labels_there_is_nothing(toy_graph):
    toy_graph.y[:] = -1
    card = graph_card(toy_graph, n_permutations=20)
    assert card["word"] == "nothing" and "no edge joins two labelled" in card["text"]
    assert card["unlabelled"] == 1
    toy_graph.edge_index, toy_graph.edge_weight = torch.empty(2, 0, dtype=torch.int64), torch.empty(0)
    card = graph_card(toy_graph, n_permutations=20)
    assert card["word"] == "nothing" and np.isnan(card["unlabelled"])
    assert json.loads(json.dumps(report_json({"card": card}), allow_nan=False))["card"]["unlabelled"] is None
    assert "nan" not in card["text"]


def test_one_emotion_alone_is_no_news(toy_graph):
    toy_graph.table = toy_graph.table.assign(emotion="anger")
    card = graph_card(toy_graph, n_permutations=20)
    assert (card["same_emotion"], card["same_emotion_low"], card["word"]) == (1, 1, "nothing")


def test_chance_needs_permutations(toy_graph):
    with pytest.raises(InputError, match="Bad n_permutations 0"):
        graph_card(toy_graph, n_permutations=0)
