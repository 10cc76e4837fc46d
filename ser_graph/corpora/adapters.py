"""The corpora that the library knows by name: the codes in the names of their clips, and what to cite.

`data/README.md` gives the layout, the default split, the source and the terms of each corpus.
"""

from pathlib import Path, PurePosixPath

import pandas as pd

from ser_graph.corpora.adapter import Adapter, Record
from ser_graph.corpora.splits import assign_split, speaker_split
from ser_graph.corpora.vocabulary import SPLITS

GENDERS = {"f": "female", "m": "male"}


def _codes(listed: str) -> dict[str, str]:
    """Code -> word, from ``"W anger, L boredom"``."""
    return {code: word for code, word in map(str.split, listed.split(","))}


def _speakers(listed: str) -> dict[str, Record]:
    """Speaker -> gender and age, from ``"03 male 31, 08 female 34"``."""
    people = (entry.split() for entry in listed.split(","))
    return {speaker: {"gender": gender, "age": int(age)} for speaker, gender, age in people}


_ITALIAN = _codes("dis disgust, gio happiness, neu neutral, pau fear, rab anger, sor surprise, tri sadness")
_DEMOS_SPEAKERS = Path(__file__).with_name("demos_split.csv")


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


def demos_split(table: pd.DataFrame) -> pd.DataFrame:
    """The split of DEMoS in this package, with every count of Table 2 of the paper.

    The numbers of women and men are those of the paper, but not necessarily the speakers: the paper's lists are
    unpublished, and many lists have the same counts. A search found this list: it swaps two speakers of one gender
    as long as the class counts come nearer to Table 2. In that table, the column F/M is in the order of the Italian
    codes, but the rows are in the order of the English names.

    Examples:
        >>> demos_split(pd.DataFrame({"speaker": ["01", "02", "03"]}))["split"].tolist()
        ['train', 'train', 'test']
    """
    rows = pd.read_csv(_DEMOS_SPEAKERS, dtype=str)
    return assign_split(table, dict(zip(rows["speaker"], rows["split"], strict=True)))


def _one_woman_each(table: pd.DataFrame) -> pd.DataFrame:
    """One woman is in train, the other in test."""
    return speaker_split(table, (0.5, 0, 0.5))


def _add_texts(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add the spoken text of each clip from ``data.tsv``."""
    rows = _listing(root, "data.tsv", {"file_id", "raw_text"}, sep="\t", keep_default_na=False, quoting=3)
    if rows is None:
        return table
    rows = rows.apply(lambda column: column.str.strip())  # e.g. speaker_id contains extra blanks
    texts = dict(zip(map(_stem, rows["file_id"]), rows["raw_text"], strict=True))
    return table.assign(text=[texts.get(_stem(file), "") for file in table.index])


def _add_demographics(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add gender and age of each speaker from ``VideoDemographics.csv``."""
    rows = _listing(root, "VideoDemographics.csv", {"ActorID", "Sex", "Age"})
    if rows is None:
        return table
    rows, actors = rows.set_index("ActorID"), table["speaker"]
    return table.assign(gender=actors.map(rows["Sex"].str.lower()), age=actors.map(rows["Age"].astype(float)))


def _listing(root: Path, name: str, columns: set[str], **options: object) -> pd.DataFrame | None:
    """A table of text in the root or beside it; None if there is none or columns are missing."""
    file = next((file for file in (root / name, root.parent / name) if file.is_file()), None)
    rows = pd.DataFrame() if file is None else pd.read_csv(file, dtype=str, **options)  # type: ignore[call-overload]
    return rows if columns <= set(rows.columns) else None


def _stem(file: str) -> str:
    return PurePosixPath(file).stem


_ALL = (
    # Modality 03 is sound only. Channel 01 is speech,
    # 02 is song. The two sentences: 01 "Kids are talking by the door", 02 "Dogs are sitting by the door".
    # Livingstone and Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)",
    # PLoS ONE 13(5), 2018.
    Adapter(
        name="ravdess",
        title="RAVDESS",
        pattern="Actor_NN/03-01-EE-II-SS-RR-AA.wav",
        names=r"03-01-<emotion>-<intensity>-(?P<sentence>0[12])-(?P<repetition>0[12])-(?P<speaker>\d\d)",
        codes={
            "emotion": _codes(
                "01 neutral, 02 calm, 03 happiness, 04 sadness, 05 anger, 06 fear, 07 disgust, 08 surprise"
            ),
            "intensity": {"01": "normal", "02": "strong"},
        },
        speakers={f"{actor:02d}": {"gender": "male" if actor % 2 else "female"} for actor in range(1, 25)},
        skipped={r"0[123]-02(-\d\d){5}": "song", r"0[123]-01(-\d\d){5}": "video"},
        n_clips=(1440,),
        language="en",
        split=ravdess_split,
    ),
    # The Database of Elicited Mood in Speech, 23 women and 45 men. NP and PR say whether listeners agreed on the
    # emotion; neutral clips have no such prefix and are left out as in the paper. A number and a letter name sample
    # and take.
    # Parada-Cabaleiro, Costantini, Batliner, Schmitt and Schuller, "DEMoS: an Italian emotional speech corpus",
    # Language Resources and Evaluation 54, 2020.
    Adapter(
        name="demos",
        title="DEMoS",
        pattern="DEMOS/{NP|PR}_{f|m}_SS_{emo}NN{a|b|c}.wav",
        names=r"(?:<typicality>_)?<gender>_(?P<speaker>\d\d)_<emotion>(?P<sample>\d+)(?P<take>[a-z]?)",
        codes={
            "emotion": {"col": "guilt", **_ITALIAN},
            "gender": GENDERS,
            "typicality": {"NP": "non-prototypical", "PR": "prototypical"},
        },
        n_clips=(9365, 9697),
        language="it",
        left_out=("neutral",),
        split=demos_split,
    ),
    # Sentences: b1-b3 short, l1-l4 long, n1-n5 nonsense, d1-d2 questions. The usual protocol is
    # `leave_speakers_out`. Because this is not a single split, the default is the speaker-independent split.
    # Costantini, Iaderola, Paoloni and Todisco, "EMOVO Corpus: an Italian Emotional Speech Database", LREC 2014.
    Adapter(
        name="emovo",
        title="EMOVO",
        pattern="{f1,f2,f3,m1,m2,m3}/{emo}-{speaker}-{sentence}.wav",
        names=r"<emotion>-(?P<speaker><gender>[123])-(?P<sentence>[a-z]\d)",
        codes={"emotion": _ITALIAN, "gender": GENDERS},
        n_clips=(588,),
        language="it",
    ),
    # Sentences 1 to 90. Christop, "nEMO: Dataset of Emotional Speech in Polish", LREC-COLING 2024.
    Adapter(
        name="nemo",
        title="nEMO",
        pattern="samples/{speaker}_{emotion}_{sentence}.wav",
        names=r"(?P<speaker>[A-Z]{2}0)_<emotion>_(?P<sentence>\d+)",
        codes={
            "emotion": _codes(
                "anger anger, fear fear, happiness happiness, neutral neutral, sadness sadness, surprised surprise"
            )
        },
        speakers=_speakers(
            "EB0 female 27, IC0 female 28, KD0 female 28, KS0 male 23, MK0 female 23, "
            "MP0 male 24, SM0 male 24, TP0 male 26, WR0 male 23"
        ),
        n_clips=(4481,),
        language="pl",
        enrich=_add_texts,
    ),
    # The Berlin Database of Emotional Speech; version 2.0 has 816 clips. Emotions by their German initials.
    # Burkhardt, Paeschke, Rolfes, Sendlmeier and Weiss, "A Database of German Emotional Speech", Interspeech 2005.
    Adapter(
        name="emodb",
        title="EmoDB",
        pattern="wav/SSTTTEv.wav",
        names=r"(?P<speaker>\d\d)(?P<sentence>[a-z]\d\d)<emotion>(?P<repetition>[a-z]?)",
        codes={"emotion": _codes("W anger, L boredom, E disgust, A fear, F happiness, T sadness, N neutral")},
        speakers=_speakers(
            "03 male 31, 08 female 34, 09 female 21, 10 male 32, 11 male 26, 12 male 30, "
            "13 female 32, 14 female 35, 15 male 25, 16 female 31"
        ),
        n_clips=(535, 816),
        language="de",
    ),
    # The Crowd-sourced Emotional Multimodal Actors Dataset. Actors 1001 to 1091; three letters name one of 12
    # sentences; one name has a single X as its intensity. Only ``VideoDemographics.csv`` contains gender and age.
    # Cao, Cooper, Keutmann, Gur, Nenkova and Verma, "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset",
    # IEEE Transactions on Affective Computing 5(4), 2014.
    Adapter(
        name="crema_d",
        title="CREMA-D",
        pattern="AudioWAV/{actor}_{sentence}_{emotion}_{intensity}.wav",
        names=r"(?P<speaker>10\d\d)_(?P<sentence>[A-Z]{3})_<emotion>_<intensity>",
        codes={
            "emotion": _codes("ANG anger, DIS disgust, FEA fear, HAP happiness, NEU neutral, SAD sadness"),
            "intensity": {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"},
        },
        n_clips=(7442,),
        language="en",
        enrich=_add_demographics,
    ),
    # The Surrey Audio-Visual Expressed Emotion database, four men. In the first release, only the folder names the
    # speaker. Sentences 01 to 15, for neutral 01 to 30.
    # Haq and Jackson, "Multimodal Emotion Recognition", in Machine Audition, IGI Global 2010.
    Adapter(
        name="savee",
        title="SAVEE",
        pattern="{DC,JE,JK,KL}_{emo}NN.wav",
        names=r"(?P<speaker>DC|JE|JK|KL)[_/]<emotion>(?P<sentence>\d\d)",
        codes={"emotion": _codes("sa sadness, su surprise, a anger, d disgust, f fear, h happiness, n neutral")},
        speakers={speaker: {"gender": "male"} for speaker in ("DC", "JE", "JK", "KL")},
        n_clips=(480,),
        language="en",
    ),
    # The Toronto Emotional Speech Set, an older and a younger woman. ps is a pleasant surprise. The word is the
    # last word of "Say the word ...". One name in the archive has ``OA`` instead of ``OAF``.
    # Pichora-Fuller and Dupuis, "Toronto emotional speech set (TESS)", Borealis, 2020.
    Adapter(
        name="tess",
        title="TESS",
        pattern="{OAF|YAF}_{word}_{emotion}.wav",
        names=r"<speaker>_(?P<sentence>[a-z]+)_<emotion>",
        codes={
            "emotion": _codes(
                "angry anger, disgust disgust, fear fear, happy happiness, neutral neutral, "
                "ps surprise, sad sadness"
            ),
            "speaker": {"oa": "OAF", "oaf": "OAF", "yaf": "YAF"},
        },
        any_case=True,
        speakers=_speakers("OAF female 64, YAF female 26"),
        n_clips=(2800,),
        language="en",
        split=_one_woman_each,
    ),
    # Talk shows, not acted. Fn is the number of the speaker's file; the last number is that of the clip. Many of
    # the 29 speakers have clips of a single emotion.
    # Latif, Qayyum, Usman and Qadir, "Cross Lingual Speech Emotion Recognition: Urdu vs. Western
    # Languages", FIT 2018.
    Adapter(
        name="urdu",
        title="URDU",
        pattern="{Angry,Happy,Neutral,Sad}/S{M|F}{id}_F{n}_{A|H|N|S}{nnn}.wav",
        names=r"(?P<speaker>S<gender>\d+)_F(?P<source>\d+)_<emotion>(?P<take>\d+)",
        codes={
            "emotion": {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"},
            "gender": {"F": "female", "M": "male"},
        },
        n_clips=(400,),
        language="ur",
    ),
    # The clips of `ser_graph.corpora.synthetic.making`: speakers s01... of the preset *source*, t01... of *target*.
    Adapter(
        name="synthetic",
        title="built-in speech",
        pattern="{speaker}/{speaker}_{gender}_{emotion}_{sentence}_{take}.wav",
        names=r"(?P<speaker>[st]\d{2,})_<gender>_<emotion>_(?P<sentence>\d{2,})_(?P<take>\d{2,})",
        codes={
            "emotion": {
                word: word
                for word in [
                    "anger",
                    "calm",
                    "disgust",
                    "fear",
                    "guilt",
                    "happiness",
                    "neutral",
                    "sadness",
                    "surprise",
                ]
            },
            "gender": GENDERS,
        },
    ),
)
ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in _ALL}
"""The corpora of `load_corpus` by name."""
