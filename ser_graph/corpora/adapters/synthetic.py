"""Built-in speech: the corpora made by `ser_graph.corpora.synthetic.making`.

Layout: ``{speaker}/{speaker}_{gender}_{emotion}_{sentence}_{take}.wav``, e.g. ``t07/t07_m_anger_03_00.wav``:
speakers ``s01...`` of the preset *source*, ``t01...`` of *target*; gender ``f`` or ``m``; sentences and takes are
numbered from 0.
"""

import re
from pathlib import PurePosixPath

from ser_graph.corpora.adapter import Adapter, Record

EMOTIONS = ("anger", "calm", "disgust", "fear", "guilt", "happiness", "neutral", "sadness", "surprise")
GENDERS = {"f": "female", "m": "male"}

_NAME = re.compile(
    rf"(?P<speaker>[st]\d{{2,}})_(?P<gender>[fm])_(?P<emotion>{'|'.join(EMOTIONS)})"
    r"_(?P<sentence>\d{2,})_(?P<take>\d{2,})\.wav"
)


def clip_file(speaker: str, gender: str, emotion: str, sentence: int, take: int) -> str:
    """The path of a clip below the folder of its corpus.

    Examples:
        >>> clip_file("t07", "male", "anger", 3, 0)
        't07/t07_m_anger_03_00.wav'
    """
    return f"{speaker}/{speaker}_{gender[0]}_{emotion}_{sentence:02d}_{take:02d}.wav"


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip.

    Examples:
        >>> parse(PurePosixPath("t07/t07_m_anger_03_00.wav"))
        {'speaker': 't07', 'gender': 'male', 'emotion': 'anger', 'sentence': '03', 'take': '00'}
    """
    match = _NAME.fullmatch(path.name)
    return None if match is None else {**match.groupdict(), "gender": GENDERS[match["gender"]]}


ADAPTER = Adapter(
    name="synthetic",
    title="built-in speech",
    pattern="{speaker}/{speaker}_{gender}_{emotion}_{sentence}_{take}.wav",
    parse=parse,
    emotions=EMOTIONS,
    depth=1,
)
