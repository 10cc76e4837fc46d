"""The layouts and code tables of all corpora: one name a code, and names that must not fit."""

from pathlib import PurePosixPath

import pandas as pd
import pytest

from ser_graph.corpora import ADAPTERS, EMOTIONS, SPLITS, load_corpus
from ser_graph.corpora.adapter import clip_table, scan_names
from ser_graph.corpora.adapters import _DEMOS_SPEAKERS, demos_split, ravdess_split
from ser_graph.corpora.vocabulary import canonical_emotion
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
    "ravdess_song": {
        "Actor_01/03-02-01-01-01-01-01.wav": ("neutral", "01", "male"),
        "Actor_02/03-02-02-02-01-01-02.wav": ("calm", "02", "female"),
        "03-02-03-01-02-01-24.wav": ("happiness", "24", "female"),
        "Audio_Song_Actors_01-24/Actor_23/03-02-04-02-02-02-23.wav": ("sadness", "23", "male"),
        "Actor_01/03-02-05-01-01-01-01.wav": ("anger", "01", "male"),
        "Actor_01/03-02-06-01-01-01-01.wav": ("fear", "01", "male"),
    },
    "esd": {
        "0001/Angry/0001_000351.wav": ("anger", "0001", "female"),
        "0004/Happy/train/0004_000701.wav": ("happiness", "0004", "male"),
        "0011/Neutral/evaluation/0011_000001.wav": ("neutral", "0011", "male"),
        "ESD/0020/Sad/test/0020_001051.wav": ("sadness", "0020", "male"),
        "0019/Surprise/0019_001401.wav": ("surprise", "0019", "female"),
    },
    "ased": {
        "01Neutral/n1-01-01-01-01.wav": ("neutral", "01", "female"),
        "02Fearful/f2-02-02-02-29.wav": ("fear", "29", "male"),
        "03Happy/h3-06-01-02-28.wav": ("happiness", "28", "male"),
        "04Sad/S4-03-02-01-01.wav": ("sadness", "01", "female"),
        "05Angry/a5-05-01-02-65.wav": ("anger", "65", "male"),
    },
    "turev_db": {
        "Sound Source/Sad/7895_hl_gezi.wav": ("sadness", "7895", None),
        "Sound Source/Angry/1157_kz_ogul1.wav": ("anger", "1157", None),
        "Calm/6783_sk_zeytin.wav": ("calm", "6783", None),
        "Happy/1984_mt_cay.wav": ("happiness", "1984", None),
    },
    "baved": {
        "0/12-m-23-0-1-41.wav": ("neutral", "12", "male"),
        "6/3-F-19-6-0-112.wav": ("low", "3", "female"),
        "3/3-f-19-3-2-113.wav": ("high", "3", "female"),
    },
    "subesco": {
        "F_02_MONIKA_S_1_NEUTRAL_5.wav": ("neutral", "f_02", "female"),
        "M_10_RIFAT_S_10_ANGRY_1.wav": ("anger", "m_10", "male"),
        "F_02_MONIKA_S_1_DISGUST_1.wav": ("disgust", "f_02", "female"),
        "F_02_MONIKA_S_1_FEAR_1.wav": ("fear", "f_02", "female"),
        "F_02_MONIKA_S_1_HAPPY_1.wav": ("happiness", "f_02", "female"),
        "F_02_MONIKA_S_1_SAD_1.wav": ("sadness", "f_02", "female"),
        "F_02_MONIKA_S_1_SURPRISE_1.wav": ("surprise", "f_02", "female"),
    },
    "jl_corpus": {
        "JL(wav+txt)/female1_angry_1a_1.wav": ("anger", "female1", "female"),
        "male2_sad_15b_2.wav": ("sadness", "male2", "male"),
        "male2_happy_2b_2.wav": ("happiness", "male2", "male"),
        "male2_neutral_2b_1.wav": ("neutral", "male2", "male"),
        "male2_excited_2b_1.wav": ("excitement", "male2", "male"),
        "female1_anxious_10a_1.wav": ("anxious", "female1", "female"),
        "female2_apologetic_10a_1.wav": ("apologetic", "female2", "female"),
        "female2_assertive_10a_1.wav": ("assertive", "female2", "female"),
        "female2_concerned_10a_1.wav": ("concerned", "female2", "female"),
        "female2_encouraging_10a_1.wav": ("encouraging", "female2", "female"),
    },
    "aesdd": {
        "anger/a03 (3).wav": ("anger", "3", None),
        "fear/f10 (01).wav": ("fear", "1", None),
        "anger/a06 (5)b.wav": ("anger", "5", None),
        "happiness/h09 (6).wav": ("happiness", "6", None),
        "sadness/s20 (2).wav": ("sadness", "2", None),
        "disgust/d01 (4).wav": ("disgust", "4", None),
    },
    "cafe": {
        "Colère/Faible/01-C-1-1.wav": ("anger", "01", "male"),
        "CaFE_48k/Dégoût/Fort/02-D-2-6.wav": ("disgust", "02", "female"),
        "03-J-1-2.wav": ("happiness", "03", "male"),
        "Neutre/12-N-1-3.wav": ("neutral", "12", "female"),
        "11-P-2-4.wav": ("fear", "11", "male"),
        "10-S-1-5.wav": ("surprise", "10", "female"),
        "09-T-2-1.wav": ("sadness", "09", "male"),
    },
    "oreau": {
        "OréauFR_02/m/sessd/36a05Da.wav": ("disgust", "36", "male"),
        "f/sessc/26a03Ca.wav": ("anger", "26", "female"),
        "f/sessj/26a03Ja.wav": ("happiness", "26", "female"),
        "f/sessn/26a03Na.wav": ("neutral", "26", "female"),
        "f/sessp/26a03Pa.wav": ("fear", "26", "female"),
        "f/sesss/26a03Sa.wav": ("surprise", "26", "female"),
        "f/sesst/26a03Ta.wav": ("sadness", "26", "female"),
    },
    "emov_db": {
        "bea/Angry/anger_1-28_0011.wav": ("anger", "bea", "female"),
        "EmoV-DB_sorted/sam/Disgusted/disgust_1-28_0002.wav": ("disgust", "sam", "male"),
        "jenie_Neutral/neutral_1-28_0001.wav": ("neutral", "jenie", "female"),
        "josh/Sleepy/sleepiness_1-28_0001.wav": ("sleepiness", "josh", "male"),
        "josh/Amused/amused_1-15_0003.wav": ("amusement", "josh", "male"),
    },
    "shemo": {
        "female/F03S02.wav": ("sadness", "F03", "female"),
        "F14A09.wav": ("anger", "F14", "female"),
        "male/M02F01.wav": ("fear", "M02", "male"),
        "male/M02H01.wav": ("happiness", "M02", "male"),
        "male/M02N01.wav": ("neutral", "M02", "male"),
        "male/M02W01.wav": ("surprise", "M02", "male"),
    },
    "emouerj": {
        "w04a11.wav": ("anger", "w04", "female"),
        "m01h02.wav": ("happiness", "m01", "male"),
        "m01n02.wav": ("neutral", "m01", "male"),
        "m01s02.wav": ("sadness", "m01", "male"),
    },
}
LABELLED_ELSEWHERE = {  # a clip of each corpus whose labels are in a file
    "iemocap": "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
    "meld": "train_splits/dia0_utt3.wav",
    "msp_podcast": "Audios/MSP-PODCAST_0001_0008.wav",
    "msp_improv": "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav",
    "cmu_mosei": "-3g5yACwYnA_10.wav",
    "emozionalmente": "audio/1612872848291.wav",
}
OWN_WORDS = {  # emotions outside the vocabulary that are not left out by default
    "baved": {"low", "high"},
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
    "ravdess_song": ["03-02-07-01-01-01-01.wav", "03-02-01-01-01-01-25.wav"],
    "iemocap": ["Session1/dialog/wav/Ses01F_impro01.wav", "Ses06F_impro01_F000.wav"],
    "meld": ["dia0_utt3.wav", "output_repeated_splits_test/final_videos_testdia1_utt2.wav"],
    "msp_podcast": ["MSP-IMPROV-S01A-F01-P-FM01.wav"],
    "msp_improv": ["MSP-IMPROV-S01X-F01-P-FM01.wav", "MSP-IMPROV-S01A-X01-P-FM01.wav"],
    "cmu_mosei": ["-3g5yACwYnA.wav", "short_1.wav"],
    "esd": ["0001/Calm/0001_000351.wav", "0001_000351.wav", "0021/Angry/0021_000351.wav"],
    "ased": ["n1-01-01-03-01.wav", "x1-01-01-01-01.wav"],
    "turev_db": ["Fear/7895_hl_gezi.wav", "7895_hl_gezi.wav"],
    "baved": ["12-m-23-7-1-41.wav", "12-x-23-0-1-41.wav", "12-m-23-0-3-41.wav"],
    "subesco": ["F_02_MONIKA_S_1_CALM_5.wav"],
    "jl_corpus": ["female3_angry_1a_1.wav", "female1_bored_1a_1.wav"],
    "emozionalmente": ["1612872848291.wav"],
    "aesdd": ["anger/a03.wav", "n03 (3).wav"],
    "cafe": ["13-C-1-1.wav", "01-C-3-1.wav", "01-C-1-7.wav"],
    "oreau": ["36a05Da.wav", "m/sessd/36a05Xa.wav"],
    "emov_db": ["bea/Angry/anger.wav", "tom/Angry/anger_1-28_0011.wav"],
    "shemo": ["F03X02.wav", "f03S02.wav"],
    "emouerj": ["w04f11.wav", "x04a11.wav"],
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


def test_every_corpus_is_tested():
    tested = CODES.keys() | LABELLED_ELSEWHERE.keys()
    assert tested == ADAPTERS.keys() - {"synthetic"} == STRANGERS.keys()
    assert len(ADAPTERS) >= 25


@pytest.mark.parametrize(("corpus", "name"), LABELLED_ELSEWHERE.items())
def test_names_without_an_emotion(corpus, name):
    record = ADAPTERS[corpus].parse(PurePosixPath(name))
    assert record is not None and "emotion" not in record


def test_no_corpus_takes_the_clips_of_another():
    clips = {**CODES, **{corpus: [name] for corpus, name in LABELLED_ELSEWHERE.items()}}
    for corpus, adapter in ADAPTERS.items():
        for other, names in clips.items():
            taken = [name for name in names if adapter.parse(PurePosixPath(name))]
            assert not taken or other == corpus, f"{corpus} takes {taken} of {other}"


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=lambda adapter: adapter.name)
def test_emotions_are_in_the_vocabulary(adapter):
    assert set(adapter.emotions) <= {*EMOTIONS, *adapter.left_out, *OWN_WORDS.get(adapter.name, ())}
    assert set(adapter.left_out) <= set(adapter.emotions)
    # Spellings of the vocabulary would become other words, e.g. anxiety becomes fear.
    assert all(canonical_emotion(emotion) in (None, emotion) for emotion in adapter.emotions)


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=lambda adapter: adapter.name)
def test_every_corpus_says_where_it_is_and_under_which_terms(adapter):
    assert adapter.source and adapter.terms and adapter.kind and adapter.n_speakers and adapter.usual_split
    assert adapter.source.startswith("http") or adapter.name in ("demos", "synthetic")


def test_every_emotion_of_a_corpus_has_a_code():
    for corpus in CODES.keys() - {"nemo", "tess"}:
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


def test_ased_agrees_with_the_labels_of_its_files(real_corpus):
    root = real_corpus("ased")
    table = load_corpus("ased", root)
    labels = pd.read_csv(root / "labels.csv", dtype=str).set_index("file").reindex(table.index)
    assert len(table) == ADAPTERS["ased"].n_clips[0]
    words = {"fearful": "fear", "happy": "happiness", "sad": "sadness", "angry": "anger"}
    assert table["emotion"].tolist() == labels["emotion"].replace(words).tolist()
    assert table[["speaker", "gender"]].equals(labels[["speaker", "gender"]].astype(table["speaker"].dtype))
