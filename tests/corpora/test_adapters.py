"""The layouts and code tables of all corpora: one name a code, and names that must not fit."""

from pathlib import PurePosixPath

import pandas as pd
import pytest

from ser_graph.corpora import ADAPTERS, EMOTIONS, SPLITS
from ser_graph.corpora.adapter import clip_table, scan_names
from ser_graph.corpora.adapters import _DEMOS_SPEAKERS, demos_split, ravdess_split
from ser_graph.errors import InputError

CODES = {
    "ravdess": {
        "Actor_01/03-01-01-01-01-01-01.wav": ("neutral", "01", "male"),
        "Actor_02/03-01-02-01-01-01-02.wav": ("calm", "02", "female"),
        "03-01-03-02-02-01-24.wav": ("happiness", "24", "female"),
        "Audio_Speech_Actors_01-24/Actor_23/03-01-04-02-02-02-23.wav": ("sadness", "23", "male"),
        "Actor_01/03-01-05-01-01-01-01.flac": ("anger", "01", "male"),
        "Actor_01/03-01-06-01-01-01-01.wav": ("fear", "01", "male"),
        "Actor_01/03-01-07-01-01-01-01.wav": ("disgust", "01", "male"),
        "Actor_01/03-01-08-01-01-01-01.wav": ("surprise", "01", "male"),
    },
    "demos": {
        "DEMOS/NP_f_01_col07b.wav": ("guilt", "01", "female"),
        "DEMOS/PR_m_69_dis10a.wav": ("disgust", "69", "male"),
        "NP_m_02_gio01c.wav": ("happiness", "02", "male"),
        "DEMOS/NP_f_01_pau01b.wav": ("fear", "01", "female"),
        "DEMOS/NP_f_01_rab01b.wav": ("anger", "01", "female"),
        "DEMOS/NP_f_01_sor01b.wav": ("surprise", "01", "female"),
        "DEMOS/NP_f_01_tri01b.wav": ("sadness", "01", "female"),
        "NEU/f_01_neu00a.wav": ("neutral", "01", "female"),
    },
    "emovo": {
        "EMOVO/f1/dis-f1-b1.wav": ("disgust", "f1", "female"),
        "f2/gio-f2-l4.wav": ("happiness", "f2", "female"),
        "neu-m3-n5.wav": ("neutral", "m3", "male"),
        "m1/pau-m1-d2.wav": ("fear", "m1", "male"),
        "m1/rab-m1-d2.wav": ("anger", "m1", "male"),
        "m1/sor-m1-d2.wav": ("surprise", "m1", "male"),
        "m1/tri-m1-d2.wav": ("sadness", "m1", "male"),
    },
    "nemo": {
        "samples/WR0_surprised_64.wav": ("surprise", "WR0", "male"),
        "samples/EB0_anger_1.ogg": ("anger", "EB0", "female"),
    },
    "emodb": {
        "wav/03a01Fa.wav": ("happiness", "03", "male"),
        "wav/08a02Wb.wav": ("anger", "08", "female"),
        "wav/16b10Lb.wav": ("boredom", "16", "female"),
        "09a05Eb.wav": ("disgust", "09", "female"),
        "10a07Aa.wav": ("fear", "10", "male"),
        "11b01Td.wav": ("sadness", "11", "male"),
        "12b02Na.wav": ("neutral", "12", "male"),
    },
    "crema_d": {
        "AudioWAV/1001_IEO_ANG_HI.wav": ("anger", "1001", None),
        "AudioWAV/1091_WSI_DIS_XX.wav": ("disgust", "1091", None),
        "AudioWAV/1040_ITH_SAD_X.wav": ("sadness", "1040", None),
        "1002_DFA_FEA_LO.wav": ("fear", "1002", None),
        "1002_DFA_HAP_MD.wav": ("happiness", "1002", None),
        "1002_DFA_NEU_XX.wav": ("neutral", "1002", None),
    },
    "savee": {
        "DC_a01.wav": ("anger", "DC", "male"),
        "DC_sa01.wav": ("sadness", "DC", "male"),
        "JE_su15.wav": ("surprise", "JE", "male"),
        "AudioData/KL/n30.wav": ("neutral", "KL", "male"),
        "JK_d02.wav": ("disgust", "JK", "male"),
        "JK_f02.wav": ("fear", "JK", "male"),
        "JK_h02.wav": ("happiness", "JK", "male"),
    },
    "tess": {
        "OAF_angry/OAF_back_angry.wav": ("anger", "OAF", "female"),
        "YAF_pleasant_surprised/YAF_back_ps.wav": ("surprise", "YAF", "female"),
        "OAF_neutral/OA_bite_neutral.wav": ("neutral", "OAF", "female"),
        "YAF_sad/YAF_Back_Sad.wav": ("sadness", "YAF", "female"),
    },
    "urdu": {
        "Angry/SM1_F1_A001.wav": ("anger", "SM1", "male"),
        "Happy/SF10_F2_H042.wav": ("happiness", "SF10", "female"),
        "Neutral/SM5_F3_N010.wav": ("neutral", "SM5", "male"),
        "Sad/SF1_F1_S02.wav": ("sadness", "SF1", "female"),
    },
}
STRANGERS = {
    "ravdess": ["03-01-09-01-01-01-01.wav", "03-01-01-01-01-01-25.wav", "03-01-01-01-01-01.wav"],
    "demos": ["DEMOS/NP_x_01_col07b.wav", "DEMOS/NP_f_01_abc07b.wav", "NP_f_1_col07b.wav"],
    "emovo": ["f1/dis-f4-b1.wav", "dis_f1_b1.wav"],
    "nemo": ["samples/XX0_anger_1.wav", "samples/EB0_calm_1.wav"],
    "emodb": ["wav/04a01Fa.wav", "wav/03a01Xa.wav"],
    "crema_d": ["1001_IEO_CAL_HI.wav", "0999_IEO_ANG_HI.wav"],
    "savee": ["DC_x01.wav", "AB_a01.wav", "n30.wav"],
    "tess": ["OAF_back_calm.wav", "MAF_back_sad.wav"],
    "urdu": ["Angry/SX1_F1_A001.wav", "Angry/SM1_F1_B001.wav"],
}


@pytest.mark.parametrize(
    ("corpus", "name", "expected"),
    [(corpus, name, expected) for corpus, names in CODES.items() for name, expected in names.items()],
)
def test_codes(corpus, name, expected):
    record = ADAPTERS[corpus].parse(PurePosixPath(name))
    assert (record["emotion"], record["speaker"], record.get("gender")) == expected


@pytest.mark.parametrize(
    ("corpus", "name"), [(corpus, name) for corpus, names in STRANGERS.items() for name in names]
)
def test_names_that_do_not_fit(corpus, name):
    assert ADAPTERS[corpus].parse(PurePosixPath(name)) is None


def test_no_corpus_takes_the_clips_of_another():
    for corpus, adapter in ADAPTERS.items():
        for other, names in CODES.items():
            taken = [name for name in names if adapter.parse(PurePosixPath(name))]
            assert not taken or other == corpus, f"{corpus} takes {taken} of {other}"


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=lambda adapter: adapter.name)
def test_emotions_are_in_the_vocabulary(adapter):
    assert set(adapter.emotions) <= set(EMOTIONS)
    assert set(adapter.left_out) <= set(adapter.emotions)


def test_every_emotion_of_a_corpus_has_a_code():
    for corpus in ("ravdess", "demos", "emovo", "emodb", "crema_d", "savee", "urdu"):
        assert {emotion for emotion, *_ in CODES[corpus].values()} == set(ADAPTERS[corpus].emotions)


def test_ravdess_split_is_the_papers():
    actors = pd.DataFrame({"speaker": [f"{n:02d}" for n in range(1, 25)]})
    split = ravdess_split(actors)
    assert split["split"].value_counts().to_dict() == {"train": 10, "dev": 8, "test": 6}
    women = split[split["speaker"].astype(int) % 2 == 0]
    assert women["split"].value_counts().to_dict() == {"train": 5, "dev": 4, "test": 3}
    assert ravdess_split(actors.tail(3))["split"].tolist() == split["split"].tail(3).tolist()


def test_demos_split_ships_with_the_speakers_of_the_paper():
    speakers = pd.read_csv(_DEMOS_SPEAKERS, dtype=str)
    counts = pd.crosstab(speakers["gender"], speakers["split"])[list(SPLITS)]
    assert counts.loc["female"].tolist() == [9, 7, 7]
    assert counts.loc["male"].tolist() == [18, 18, 9]
    with pytest.raises(InputError, match="No split for the speakers 35"):
        demos_split(pd.DataFrame({"speaker": ["35"]}))


def test_demos_split_has_every_count_of_table_2(real_corpus):
    names = real_corpus("demos_names.txt").read_text().split()
    table = demos_split(clip_table(ADAPTERS["demos"], scan_names(ADAPTERS["demos"], names), "."))
    emotional = table[table["emotion"] != "neutral"]
    counts = pd.crosstab(emotional["emotion"], emotional["split"])[list(SPLITS)]
    assert {emotion: tuple(row) for emotion, row in zip(counts.index, counts.to_numpy().tolist(), strict=True)} == {
        "anger": (586, 531, 360),
        "disgust": (666, 608, 404),
        "fear": (461, 404, 291),
        "guilt": (453, 395, 281),
        "happiness": (561, 471, 363),
        "sadness": (606, 543, 381),
        "surprise": (396, 358, 246),
    }
    genders = pd.read_csv(_DEMOS_SPEAKERS, dtype=str).set_index("speaker")["gender"]
    assert (table["gender"] == table["speaker"].map(genders)).all()
