"""EMOVO: Italian, acted.

Layout: ``{f1,f2,f3,m1,m2,m3}/{emo}-{speaker}-{sentence}.wav``, often below ``EMOVO/``.

=========  ========================================================================================
code       meaning
=========  ========================================================================================
emo        dis disgust, gio happiness, neu neutral, pau fear, rab anger, sor surprise, tri sadness
speaker    f1 to f3 female, m1 to m3 male
sentence   b1-b3, l1-l4, n1-n5, d1-d2: short, long, nonsense, questions; 14 in all
=========  ========================================================================================

588 clips = 6 speakers x 7 emotions x 14 sentences. The usual protocol is `leave_speakers_out`. Because this is not
a single split, the default is the speaker-independent split.

From http://voice.fub.it/activities/corpora/emovo/, for non-commercial use with acknowledgment. Costantini,
Iaderola, Paoloni and Todisco, "EMOVO Corpus: an Italian Emotional Speech Database", LREC 2014.
"""

import re
from pathlib import PurePosixPath

from ser_graph.corpora.adapter import Adapter, Record

EMOTIONS = {
    "dis": "disgust",
    "gio": "happiness",
    "neu": "neutral",
    "pau": "fear",
    "rab": "anger",
    "sor": "surprise",
    "tri": "sadness",
}
GENDERS = {"f": "female", "m": "male"}

_NAME = re.compile(rf"({'|'.join(EMOTIONS)})-([fm])([123])-([a-z]\d)")


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip.

    Examples:
        >>> parse(PurePosixPath("f1/rab-f1-b1.wav"))
        {'emotion': 'anger', 'speaker': 'f1', 'gender': 'female', 'sentence': 'b1'}
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    emotion, gender, number, sentence = match.groups()
    return {
        "emotion": EMOTIONS[emotion],
        "speaker": gender + number,
        "gender": GENDERS[gender],
        "sentence": sentence,
    }


ADAPTER = Adapter(
    name="emovo",
    title="EMOVO",
    pattern="{f1,f2,f3,m1,m2,m3}/{emo}-{speaker}-{sentence}.wav",
    parse=parse,
    emotions=tuple(sorted(EMOTIONS.values())),
    n_clips=(588,),
    language="it",
)
