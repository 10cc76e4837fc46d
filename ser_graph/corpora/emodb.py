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

535 clips, 816 in version 2.0. From https://zenodo.org/records/7447302 (version 1) and, with version 2.0,
https://audeering.github.io/datasets/datasets/emodb.html. Burkhardt, Paeschke, Rolfes, Sendlmeier and Weiss,
"A Database of German Emotional Speech", Interspeech 2005.
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
GENDERS = {
    "03": "male",
    "08": "female",
    "09": "female",
    "10": "male",
    "11": "male",
    "12": "male",
    "13": "female",
    "14": "female",
    "15": "male",
    "16": "female",
}

_NAME = re.compile(rf"({'|'.join(GENDERS)})([a-z]\d\d)([{''.join(EMOTIONS)}])([a-z]?)")


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip.

    Examples:
        >>> parse(PurePosixPath("wav/03a01Fa.wav"))
        {'emotion': 'happiness', 'speaker': '03', 'gender': 'male', 'sentence': 'a01', 'repetition': 'a'}
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, text, emotion, version = match.groups()
    return {
        "emotion": EMOTIONS[emotion],
        "speaker": speaker,
        "gender": GENDERS[speaker],
        "sentence": text,
        "repetition": version,
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
