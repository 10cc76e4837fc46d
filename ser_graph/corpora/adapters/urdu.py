"""URDU: Urdu, from talk shows, not acted.

Layout: ``{Angry,Happy,Neutral,Sad}/S{M|F}{id}_F{n}_{A|H|N|S}{nnn}.wav``, e.g. ``Angry/SM1_F1_A001.wav``.

The speaker, e.g. ``SM1``, has M for male or F for female, and a number. Fn is the number of the speaker's file. The
last letter is the emotion (A anger, H happiness, N neutral, S sadness), followed by the number of the clip.

400 clips, 100 of each emotion; the names contain 29 speakers. Many speakers have clips of a single emotion.

From https://github.com/siddiquelatif/URDU-Dataset. Latif, Qayyum, Usman and Qadir, "Cross Lingual Speech
Emotion Recognition: Urdu vs. Western Languages", FIT 2018.
"""

import re
from pathlib import PurePosixPath

from ser_graph.corpora.adapter import Adapter, Record

EMOTIONS = {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}
GENDERS = {"F": "female", "M": "male"}

_NAME = re.compile(rf"(S([FM])\d+)_F(\d+)_([{''.join(EMOTIONS)}])(\d+)")


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip.

    Examples:
        >>> parse(PurePosixPath("Angry/SM1_F2_A003.wav"))
        {'emotion': 'anger', 'speaker': 'SM1', 'gender': 'male', 'source': '2', 'take': '003'}
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, gender, source, emotion, take = match.groups()
    return {
        "emotion": EMOTIONS[emotion],
        "speaker": speaker,
        "gender": GENDERS[gender],
        "source": source,
        "take": take,
    }


ADAPTER = Adapter(
    name="urdu",
    title="URDU",
    pattern="{Angry,Happy,Neutral,Sad}/S{M|F}{id}_F{n}_{A|H|N|S}{nnn}.wav",
    parse=parse,
    emotions=tuple(sorted(EMOTIONS.values())),
    n_clips=(400,),
    language="ur",
)
