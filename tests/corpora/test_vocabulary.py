import pytest

from ser_graph.corpora.vocabulary import (
    EMOTION_ALIASES,
    EMOTIONS,
    GENDER_ALIASES,
    SPLIT_ALIASES,
    canonical_emotion,
)


@pytest.mark.parametrize(
    ("spelling", "noun"),
    [
        ("angry", "anger"),
        ("Anger", "anger"),
        ("ANG", "anger"),
        ("happy", "happiness"),
        ("hap", "happiness"),
        (" sad ", "sadness"),
        ("fearful", "fear"),
        ("surprised", "surprise"),
        ("ps", "surprise"),
        ("Pleasant Surprise", "surprise"),
        ("neu", "neutral"),
        ("contempt", None),
        ("", None),
    ],
)
def test_spellings_of_emotions(spelling, noun):
    assert canonical_emotion(spelling) == noun


def test_every_canonical_word_is_its_own_alias():
    assert {word: EMOTION_ALIASES[word] for word in EMOTIONS} == {word: word for word in EMOTIONS}
    assert set(EMOTION_ALIASES.values()) == set(EMOTIONS)


def test_genders_and_splits_of_others():
    assert GENDER_ALIASES["f"] == "female"
    assert {SPLIT_ALIASES[word] for word in ("valid", "val", "devel", "validation")} == {"dev"}
