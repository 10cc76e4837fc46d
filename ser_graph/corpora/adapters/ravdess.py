"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song: English, acted.

Layout: ``Actor_NN/MM-VV-EE-II-SS-RR-AA.wav``, also below ``Audio_Speech_Actors_01-24/``, or flat.

=====  ============================================================================================
code   meaning
=====  ============================================================================================
MM     modality: 01 sound and video, 02 video only, 03 sound only
VV     channel: 01 speech, 02 song
EE     emotion: 01 neutral, 02 calm, 03 happiness, 04 sadness, 05 anger, 06 fear, 07 disgust,
       08 surprise
II     intensity: 01 normal, 02 strong (neutral is never strong)
SS     sentence: 01 "Kids are talking by the door", 02 "Dogs are sitting by the door"
RR     repetition: 01 or 02
AA     actor 01 to 24: odd numbers are male, even numbers female
=====  ============================================================================================

The speech part, 03-01, has 1,440 clips, 60 of each actor. Song and video are skipped and counted.

From https://zenodo.org/records/1188976, CC BY-NC-SA 4.0. Livingstone and Russo, "The Ryerson Audio-Visual
Database of Emotional Speech and Song (RAVDESS)", PLoS ONE 13(5), 2018.
"""

import re
from pathlib import PurePosixPath

import pandas as pd

from ser_graph.corpora.adapter import Adapter, Record
from ser_graph.corpora.splits import assign_split
from ser_graph.corpora.vocabulary import SPLITS

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
    """The reason why a file of the complete database is not a speech clip.

    Examples:
        >>> skip(PurePosixPath("03-02-05-02-01-02-12.wav")), skip(PurePosixPath("01-01-05-02-01-02-12.wav"))
        ('song', 'video')
    """
    match = _OTHER.fullmatch(path.stem)
    if match is None:
        return None
    return "song" if match[1] == "02" else "video"


def ravdess_split(table: pd.DataFrame) -> pd.DataFrame:
    """The split of the paper: 10, 8 and 6 actors, half of them women; 600, 480 and 360 clips.

    Among the actors with odd and with even numbers, a quarter is drawn for test and 43 % of the rest for dev.

    Examples:
        >>> table = pd.DataFrame({"speaker": [f"{actor:02d}" for actor in range(1, 25)]})
        >>> ravdess_split(table).groupby("split")["speaker"].agg(" ".join).to_dict()
        {'dev': '03 04 05 06 13 14 15 16', 'test': '01 02 07 08 17 18',
         'train': '09 10 11 12 19 20 21 22 23 24'}
    """
    from sklearn.model_selection import train_test_split  # slow to import, rarely needed

    names = {}
    for first in (1, 2):
        actors = [f"{actor:02d}" for actor in range(first, 25, 2)]
        rest, test = train_test_split(actors, test_size=0.25, random_state=12345)
        train, dev = train_test_split(rest, test_size=0.43, random_state=12345)
        for split, speakers in zip(SPLITS, (train, dev, test), strict=True):
            names.update(dict.fromkeys(speakers, split))
    return assign_split(table, names)


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
