"""The words of clip tables, and other spellings with the same meaning.

Canonical emotions are nouns, genders are ``female`` and ``male``, splits are ``train``, ``dev`` and ``test``.
"""

import unicodedata
from collections.abc import Mapping

from ser_graph.common.text import without_controls

EMOTIONS = (
    "anger",
    "boredom",
    "calm",
    "disgust",
    "fear",
    "guilt",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
)
GENDERS = ("female", "male")
SPLITS = ("train", "dev", "test")

COLUMNS = ("emotion", "speaker", "gender", "duration", "split")
"""The columns of every clip table, in this order."""

NUMBERS = ("duration", "age", "arousal", "valence", "dominance", "speed")
"""The columns of numbers; all other columns hold text, so that speaker ``03`` stays ``03``."""

_EMOTION_SPELLINGS = {
    "anger": "angry ang rage",
    "boredom": "bored bor boredem",
    "calm": "calmness cal",
    "disgust": "disgusted dis",
    "fear": "fearful fea afraid scared anxiety",
    "guilt": "guilty gui",
    "happiness": "happy hap joy joyful",
    "neutral": "neutrality neu",
    "sadness": "sad",
    "surprise": "surprised sur ps pleasant_surprise pleasant_surprised",
}
_GENDER_SPELLINGS = {"female": "f fem woman w", "male": "m man"}
_SPLIT_SPELLINGS = {
    "train": "training trn",
    "dev": "devel development val valid validation",
    "test": "testing tst eval evaluation",
}
_COLUMN_SPELLINGS = {
    "file": "path wav filename file_name filepath file_path audio",
    "emotion": "label emo emotions",
    "speaker": "speaker_id spk actor spk_id speakers",
    "gender": "sex",
    "split": "subset partition",
}


def _spellings(table: Mapping[str, str]) -> dict[str, str]:
    return {word: name for name, others in table.items() for word in (name, *others.split())}


EMOTION_ALIASES = _spellings(_EMOTION_SPELLINGS)
GENDER_ALIASES = _spellings(_GENDER_SPELLINGS)
SPLIT_ALIASES = _spellings(_SPLIT_SPELLINGS)
COLUMN_ALIASES = _spellings(_COLUMN_SPELLINGS)


def clean(text: object) -> str:
    """Text without outer blanks, in Unicode's composed form: equal names are then equal texts.

    Control characters are shown, so that no terminal obeys a name.

    Examples:
        >>> clean(" Zoe\u0308 ") == "Zo\u00eb"
        True
    """
    return without_controls(unicodedata.normalize("NFC", str(text)).strip())


def plain(spelling: object) -> str:
    """A spelling without differences of case, outer blanks, and ``-`` or blanks for ``_``.

    Examples:
        >>> plain(" Pleasant-Surprise ")
        'pleasant_surprise'
    """
    return clean(clean(spelling).lower()).replace("-", "_").replace(" ", "_")


def emotion_name(spelling: str) -> str:
    """The name of an emotion: the noun of the vocabulary, or else the plain spelling.

    Examples:
        >>> emotion_name("Happy"), emotion_name(" Contempt")
        ('happiness', 'contempt')
    """
    return canonical_emotion(spelling) or plain(spelling)


def canonical_emotion(spelling: str) -> str | None:
    """The canonical noun for a spelling of an emotion, or None if the spelling is unknown.

    Examples:
        >>> canonical_emotion("Angry"), canonical_emotion("ps"), canonical_emotion("contempt")
        ('anger', 'surprise', None)
    """
    return EMOTION_ALIASES.get(plain(spelling))
