"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset: English, acted.

Layout: ``AudioWAV/{actor}_{sentence}_{emotion}_{intensity}.wav`` and ``VideoDemographics.csv`` with the
columns ActorID, Age, Sex, Race, Ethnicity.

=========  ========================================================================================
code       meaning
=========  ========================================================================================
actor      1001 to 1091
sentence   three letters, 12 sentences, e.g. IEO "It's eleven o'clock"
emotion    ANG anger, DIS disgust, FEA fear, HAP happiness, NEU neutral, SAD sadness
intensity  LO low, MD medium, HI high, XX unspecified (one name has a single X)
=========  ========================================================================================

7,442 clips. Only ``VideoDemographics.csv`` contains gender and age: without this file they are missing. Two traps:
``1076_MTI_SAD_XX.wav`` is silent, and the zip file from GitHub contains git-lfs pointers (small text files)
instead of sound. `ser_graph.corpora.checking` finds both.

From https://github.com/CheyneyComputerScience/CREMA-D, Open Database License. Cao, Cooper, Keutmann, Gur,
Nenkova and Verma, "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset", IEEE Transactions on
Affective Computing 5(4), 2014.
"""

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from ser_graph.corpora.adapter import Adapter, Record

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}

_NAME = re.compile(rf"(10\d\d)_([A-Z]{{3}})_({'|'.join(EMOTIONS)})_({'|'.join(INTENSITIES)})")


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip.

    Examples:
        >>> parse(PurePosixPath("AudioWAV/1001_IEO_ANG_HI.wav"))
        {'emotion': 'anger', 'speaker': '1001', 'sentence': 'IEO', 'intensity': 'high'}
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    actor, sentence, emotion, intensity = match.groups()
    return {
        "emotion": EMOTIONS[emotion],
        "speaker": actor,
        "sentence": sentence,
        "intensity": INTENSITIES[intensity],
    }


def add_demographics(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add gender and age if ``VideoDemographics.csv`` is in the root or beside it."""
    name = "VideoDemographics.csv"
    listing = next((file for file in (root / name, root.parent / name) if file.is_file()), None)
    if listing is None:
        return table
    rows = pd.read_csv(listing, dtype=str)
    if not {"ActorID", "Sex", "Age"} <= set(rows.columns):
        return table
    rows = rows.set_index("ActorID")
    actors = table["speaker"]
    return table.assign(gender=actors.map(rows["Sex"].str.lower()), age=actors.map(rows["Age"].astype(float)))


ADAPTER = Adapter(
    name="crema_d",
    title="CREMA-D",
    pattern="AudioWAV/{actor}_{sentence}_{emotion}_{intensity}.wav",
    parse=parse,
    emotions=tuple(sorted(EMOTIONS.values())),
    n_clips=(7442,),
    language="en",
    enrich=add_demographics,
)
