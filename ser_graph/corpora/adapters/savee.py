"""SAVEE, the Surrey Audio-Visual Expressed Emotion database: British English, acted, four men.

Layout: ``{DC,JE,JK,KL}_{emo}NN.wav``, flat, or ``{DC,JE,JK,KL}/{emo}NN.wav`` as first given out.

Emotions, the codes of two letters first: sa sadness, su surprise, a anger, d disgust, f fear, h happiness,
n neutral. NN is the number of the sentence, 01 to 15, to 30 for neutral.

480 clips. From http://kahlan.eps.surrey.ac.uk/savee/, on registration, for research. Haq and Jackson,
"Multimodal Emotion Recognition", in Machine Audition, IGI Global 2010.
"""

import re
from pathlib import PurePosixPath

from ser_graph.corpora.adapter import Adapter, Record

EMOTIONS = {
    "sa": "sadness",
    "su": "surprise",
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
}

_NAME = re.compile(rf"(DC|JE|JK|KL)[_/]({'|'.join(EMOTIONS)})(\d\d)")


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip, and of its folder where the name has no speaker.

    Examples:
        >>> parse(PurePosixPath("DC_sa01.wav")) == parse(PurePosixPath("AudioData/DC/sa01.wav"))
        True
        >>> parse(PurePosixPath("DC_su02.wav"))
        {'emotion': 'surprise', 'speaker': 'DC', 'gender': 'male', 'sentence': '02'}
    """
    match = _NAME.fullmatch(path.stem) or _NAME.fullmatch(f"{path.parent.name}/{path.stem}")
    if match is None:
        return None
    speaker, emotion, sentence = match.groups()
    return {"emotion": EMOTIONS[emotion], "speaker": speaker, "gender": "male", "sentence": sentence}


ADAPTER = Adapter(
    name="savee",
    title="SAVEE",
    pattern="{DC,JE,JK,KL}_{emo}NN.wav",
    parse=parse,
    emotions=tuple(sorted(EMOTIONS.values())),
    n_clips=(480,),
    language="en",
)
