"""DEMoS, the Database of Elicited Mood in Speech: Italian, elicited by music, films and pictures.

Layout: ``DEMOS/{NP|PR}_{f|m}_{SS}_{emo}{NN}{a|b|c}.wav``; neutral is
``NEU/{f|m}_{SS}_neu{NN}{a|b|c}.wav``, without the prefix.

=======  ==========================================================================================
code     meaning
=======  ==========================================================================================
NP, PR   non-prototypical or prototypical: whether listeners agreed on the emotion
f, m     female, male
SS       speaker 01 to 69, without 35
emo      col guilt, dis disgust, gio happiness, pau fear, rab anger, sor surprise, tri sadness,
         neu neutral
NN       number of the sample, and a letter for the take
=======  ==========================================================================================

9,365 emotional clips and 332 neutral clips of 68 speakers, 23 women and 45 men. The neutral clips are left out
as in the paper; ``load_corpus("demos", folder, emotions="all")`` keeps them.

In Table 2 of the paper, the column F/M is in the order of the Italian codes, but the rows are in the order of the
English names. The true numbers are anger 516/961, disgust 596/1082, fear 415/741, guilt 400/729,
happiness 524/871, sadness 532/998, surprise 349/651.

The paper's lists of speakers are unpublished. The list in this package (`demos_split`) has the paper's numbers of
women and men, and exactly every class count of Table 2. `demos_deviation` compares the split of a clip table with
Table 2.

The authors provide the corpus on request, for research. Parada-Cabaleiro, Costantini, Batliner, Schmitt and
Schuller, "DEMoS: an Italian emotional speech corpus", Language Resources and Evaluation 54, 2020.
"""

import re
from functools import cache
from pathlib import Path, PurePosixPath

import pandas as pd

from ser_graph.corpora.adapter import Adapter, Record
from ser_graph.corpora.splits import assign_split
from ser_graph.corpora.vocabulary import SPLITS

EMOTIONS = {
    "col": "guilt",
    "dis": "disgust",
    "gio": "happiness",
    "neu": "neutral",
    "pau": "fear",
    "rab": "anger",
    "sor": "surprise",
    "tri": "sadness",
}
GENDERS = {"f": "female", "m": "male"}
TYPICALITIES = {"NP": "non-prototypical", "PR": "prototypical"}

TABLE_2 = pd.DataFrame(
    {
        "anger": (586, 531, 360),
        "disgust": (666, 608, 404),
        "fear": (461, 404, 291),
        "guilt": (453, 395, 281),
        "happiness": (561, 471, 363),
        "sadness": (606, 543, 381),
        "surprise": (396, 358, 246),
    },
    index=list(SPLITS),
)
"""Clips of DEMoS in train, dev and test, by emotion, as in Table 2 of the paper."""

_SPEAKERS = Path(__file__).with_name("demos_split.csv")
_NAME = re.compile(rf"(?:(NP|PR)_)?([fm])_(\d\d)_({'|'.join(EMOTIONS)})(\d+)([a-z]?)")


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip.

    Examples:
        >>> parse(PurePosixPath("DEMOS/NP_f_01_col07b.wav"))
        {'emotion': 'guilt', 'speaker': '01', 'gender': 'female', 'sample': '07', 'take': 'b',
         'typicality': 'non-prototypical'}
        >>> parse(PurePosixPath("NEU/m_02_neu01a.wav"))
        {'emotion': 'neutral', 'speaker': '02', 'gender': 'male', 'sample': '01', 'take': 'a'}
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    prefix, gender, speaker, emotion, sample, take = match.groups()
    record = {
        "emotion": EMOTIONS[emotion],
        "speaker": speaker,
        "gender": GENDERS[gender],
        "sample": sample,
        "take": take,
    }
    return {**record, "typicality": TYPICALITIES[prefix]} if prefix else record


def demos_split(table: pd.DataFrame) -> pd.DataFrame:
    """The split of DEMoS in this package, with every count of Table 2 of the paper.

    The numbers of speakers are those of the paper, but not necessarily the speakers: the paper's lists are
    unpublished, and many lists have the same counts. A search found this list: it swaps two speakers of one gender
    as long as the class counts come nearer to Table 2.

    Examples:
        >>> demos_split(pd.DataFrame({"speaker": ["01", "02", "03"]}))["split"].tolist()
        ['train', 'train', 'test']
    """
    return assign_split(table, _split_of_speakers())


def demos_deviation(table: pd.DataFrame) -> pd.DataFrame:
    """The number of clips in each split of DEMoS minus the number in Table 2, by emotion, without neutral.

    Examples:
        >>> table = pd.DataFrame({"emotion": ["fear"] * 461, "split": "train"})
        >>> int(demos_deviation(table).loc["train", "fear"])
        0
    """
    counts = pd.crosstab(table["split"], table["emotion"])
    return counts.reindex(index=TABLE_2.index, columns=TABLE_2.columns, fill_value=0) - TABLE_2


@cache
def _split_of_speakers() -> dict[str, str]:
    rows = pd.read_csv(_SPEAKERS, dtype=str)
    return dict(zip(rows["speaker"], rows["split"], strict=True))


ADAPTER = Adapter(
    name="demos",
    title="DEMoS",
    pattern="DEMOS/{NP|PR}_{f|m}_SS_{emo}NN{a|b|c}.wav",
    parse=parse,
    emotions=tuple(sorted(EMOTIONS.values())),
    n_clips=(9365, 9697),
    language="it",
    left_out=("neutral",),
    split=demos_split,
)
