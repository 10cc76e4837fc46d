"""EmoDB, the Berlin Database of Emotional Speech: German, acted.

Layout: ``wav/SSTTTEv.wav``, e.g. ``wav/03a01Fa.wav``.

====  =============================================================================================
code  meaning
====  =============================================================================================
SS    speaker: 03 m, 08 f, 09 f, 10 m, 11 m, 12 m, 13 f, 14 f, 15 m, 16 f
TTT   text: a01 a02 a04 a05 a07 b01 b02 b03 b09 b10
E     emotion by its German name: W anger, L boredom, E disgust, A fear, F happiness, T sadness,
      N neutral
v     version, a letter
====  =============================================================================================

535 clips, 816 in version 2.0. From http://emodb.bilderbar.info/docu/, free to use. Burkhardt, Paeschke,
Rolfes, Sendlmeier and Weiss, "A Database of German Emotional Speech", Interspeech 2005.
"""

import re
from pathlib import PurePosixPath

from ser_graph.corpora.adapter import Adapter, Record

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}

_NAME = re.compile(rf"({'|'.join(SPEAKERS)})([a-z]\d\d)([{''.join(EMOTIONS)}])([a-z]?)")


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip.

    Examples:
        >>> parse(PurePosixPath("wav/03a01Fa.wav"))
        {'emotion': 'happiness', 'speaker': '03', 'gender': 'male', 'sentence': 'a01', 'repetition': 'a',
         'age': 31}
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, text, emotion, version = match.groups()
    gender, age = SPEAKERS[speaker]
    return {
        "emotion": EMOTIONS[emotion],
        "speaker": speaker,
        "gender": gender,
        "sentence": text,
        "repetition": version,
        "age": age,
    }


ADAPTER = Adapter(
    name="emodb",
    title="EmoDB",
    pattern="wav/SSTTTEv.wav",
    parse=parse,
    emotions=tuple(sorted(EMOTIONS.values())),
    n_clips=(535, 816),
    language="de",
)
