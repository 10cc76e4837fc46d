"""TESS, the Toronto Emotional Speech Set: English, acted, two women.

Layout: ``{OAF|YAF}_{word}_{emotion}.wav``, often in folders such as ``OAF_angry/``.

OAF is the older woman (64), YAF the younger woman (26). Emotions: angry, disgust, fear, happy, neutral, ps
(pleasant surprise), sad. The word is the last word of "Say the word ...". One name in the archive has ``OA``
instead of ``OAF``.

2,800 clips. The default split trains on one of the two speakers and tests on the other; there is no dev split.

From https://doi.org/10.5683/SP2/E8H2MF, CC BY-NC-ND 4.0. Pichora-Fuller and Dupuis, "Toronto emotional speech
set (TESS)", Borealis, 2020.
"""

import re
from pathlib import PurePosixPath

import pandas as pd

from ser_graph.corpora.adapter import Adapter, Record
from ser_graph.corpora.splits import speaker_split

EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sadness",
}
AGES = {"OAF": 64, "YAF": 26}

_NAME = re.compile(rf"(OAF?|YAF)_([a-z]+)_({'|'.join(EMOTIONS)})", re.IGNORECASE)


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip.

    Examples:
        >>> parse(PurePosixPath("OAF_Pleasant_surprise/OAF_back_ps.wav"))
        {'emotion': 'surprise', 'speaker': 'OAF', 'gender': 'female', 'sentence': 'back', 'age': 64}
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, word, emotion = match.groups()
    speaker = "YAF" if speaker.upper() == "YAF" else "OAF"
    return {
        "emotion": EMOTIONS[emotion.lower()],
        "speaker": speaker,
        "gender": "female",
        "sentence": word.lower(),
        "age": AGES[speaker],
    }


def split(table: pd.DataFrame) -> pd.DataFrame:
    """One woman is in train, the other in test."""
    return speaker_split(table, (0.5, 0, 0.5))


ADAPTER = Adapter(
    name="tess",
    title="TESS",
    pattern="{OAF|YAF}_{word}_{emotion}.wav",
    parse=parse,
    emotions=tuple(sorted(EMOTIONS.values())),
    n_clips=(2800,),
    language="en",
    split=split,
)
