"""nEMO: Polish, acted.

Layout: ``samples/{speaker}_{emotion}_{sentence}.wav`` and, beside ``samples/``, ``data.tsv`` with the columns
file_id, emotion, raw_text, normalized_text, speaker_id, gender, age.

Emotions: anger, fear, happiness, neutral, sadness, surprised (surprise). Sentences: 1 to 90. The name of a clip
contains everything except the spoken text. The text (column ``text``) comes from ``data.tsv``, if this file exists.
This module contains the genders and ages of the nine speakers.

4,481 clips. From https://github.com/amu-cai/nEMO and https://huggingface.co/datasets/amu-cai/nEMO,
CC BY-NC-SA 4.0. Christop, "nEMO: Dataset of Emotional Speech in Polish", LREC-COLING 2024.
"""

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from ser_graph.corpora.adapter import Adapter, Record

EMOTIONS = {
    "anger": "anger",
    "fear": "fear",
    "happiness": "happiness",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprised": "surprise",
}
SPEAKERS = {
    "EB0": ("female", 27),
    "IC0": ("female", 28),
    "KD0": ("female", 28),
    "KS0": ("male", 23),
    "MK0": ("female", 23),
    "MP0": ("male", 24),
    "SM0": ("male", 24),
    "TP0": ("male", 26),
    "WR0": ("male", 23),
}

_NAME = re.compile(rf"({'|'.join(SPEAKERS)})_({'|'.join(EMOTIONS)})_(\d+)")


def parse(path: PurePosixPath) -> Record | None:
    """Read the codes in the name of a clip.

    Examples:
        >>> parse(PurePosixPath("samples/WR0_surprised_64.wav"))
        {'emotion': 'surprise', 'speaker': 'WR0', 'gender': 'male', 'sentence': '64', 'age': 23}
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, emotion, sentence = match.groups()
    gender, age = SPEAKERS[speaker]
    return {
        "emotion": EMOTIONS[emotion],
        "speaker": speaker,
        "gender": gender,
        "sentence": sentence,
        "age": age,
    }


def add_texts(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add the spoken text of each clip if ``data.tsv`` is in the root or beside it."""
    listing = next((f for f in (root / "data.tsv", root.parent / "data.tsv") if f.is_file()), None)
    if listing is None:
        return table
    rows = pd.read_csv(listing, sep="\t", dtype=str, keep_default_na=False, quoting=3)
    if not {"file_id", "raw_text"} <= set(rows.columns):
        return table
    rows = rows.apply(lambda column: column.str.strip())  # e.g. speaker_id contains extra blanks
    texts = dict(zip(rows["file_id"].map(lambda file: PurePosixPath(file).stem), rows["raw_text"], strict=True))
    return table.assign(text=[texts.get(PurePosixPath(file).stem, "") for file in table.index])


ADAPTER = Adapter(
    name="nemo",
    title="nEMO",
    pattern="samples/{speaker}_{emotion}_{sentence}.wav",
    parse=parse,
    emotions=tuple(sorted(EMOTIONS.values())),
    n_clips=(4481,),
    language="pl",
    enrich=add_texts,
)
