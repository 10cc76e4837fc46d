"""SAVEE, the Surrey Audio-Visual Expressed Emotion database: British English, acted, four men.

Layout: ``{DC,JE,JK,KL}_{emo}NN.wav``, flat, or ``{DC,JE,JK,KL}/{emo}NN.wav`` as in the first release.

Emotions: sa sadness, su surprise, a anger, d disgust, f fear, h happiness, n neutral. The codes of two letters come
first, because the parser tries the codes in this order. NN is the number of the sentence, 01 to 15, for neutral 01
to 30.

480 clips. From http://kahlan.eps.surrey.ac.uk/savee/, after registration, for research. Haq and Jackson,
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
    """Read the codes in the name of a clip, and in its folder if the name contains no speaker.

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
