"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song: English, acted.

Layout: ``Actor_NN/MM-VV-EE-II-SS-RR-AA.wav``, also below ``Audio_Speech_Actors_01-24/``, or flat.

=====  ============================================================================================
code   meaning
=====  ============================================================================================
MM     modality: 01 sound and video, 02 video only, 03 sound only
VV     channel: 01 speech, 02 song
EE     emotion: 01 neutral, 02 calm, 03 happiness, 04 sadness, 05 anger, 06 fear, 07 disgust,
       08 surprise
II     intensity: 01 normal, 02 strong (neutral has no strong one)
SS     sentence: 01 "Kids are talking by the door", 02 "Dogs are sitting by the door"
RR     repetition: 01 or 02
AA     actor 01 to 24: odd ones are male, even ones female
=====  ============================================================================================

The speech part, 03-01, is 1,440 clips, 60 an actor. Song and video are skipped and counted.

From https://zenodo.org/records/1188976, CC BY-NC-SA 4.0. Livingstone and Russo, "The Ryerson Audio-Visual
Database of Emotional Speech and Song (RAVDESS)", PLoS ONE 13(5), 2018.
"""

import re
from pathlib import PurePosixPath

from ser_graph.corpora.adapter import Adapter, Record
from ser_graph.corpora.splits import ravdess_split

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
INTENSITIES = {"01": "normal", "02": "strong"}

_SPEECH = re.compile(r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])")
_OTHER = re.compile(r"0[123]-(0[12])(-\d\d){5}")


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a speech clip.

    Examples:
        >>> parse(PurePosixPath("Actor_12/03-01-05-02-01-02-12.wav"))
        {'emotion': 'anger', 'speaker': '12', 'gender': 'female', 'sentence': '01', 'intensity': 'strong',
         'repetition': '02'}
    """
    match = _SPEECH.fullmatch(path.stem)
    if match is None:
        return None
    emotion, intensity, sentence, repetition, actor = match.groups()
    return {
        "emotion": EMOTIONS[emotion],
        "speaker": actor,
        "gender": "male" if int(actor) % 2 else "female",
        "sentence": sentence,
        "intensity": INTENSITIES[intensity],
        "repetition": repetition,
    }


def skip(path: PurePosixPath) -> str | None:
    """Why a file of the complete database is no speech clip.

    Examples:
        >>> skip(PurePosixPath("03-02-05-02-01-02-12.wav")), skip(PurePosixPath("01-01-05-02-01-02-12.wav"))
        ('song', 'video')
    """
    match = _OTHER.fullmatch(path.stem)
    if match is None:
        return None
    return "song" if match[1] == "02" else "video"


ADAPTER = Adapter(
    name="ravdess",
    title="RAVDESS",
    pattern="Actor_NN/03-01-EE-II-SS-RR-AA.wav",
    parse=parse,
    emotions=tuple(sorted(EMOTIONS.values())),
    n_clips=(1440,),
    language="en",
    skip=skip,
    split=ravdess_split,
)
