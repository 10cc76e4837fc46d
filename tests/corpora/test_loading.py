import numpy as np
import pandas as pd
import pytest

from ser_graph.corpora import ADAPTERS, COLUMNS, check_split, load_corpus, speaker_split
from ser_graph.corpora.adapter import clip_table, scan_names
from ser_graph.errors import InputError

SIX = [f"{spk}/{emo}-{spk}-b1.wav" for spk in ("f1", "f2", "f3", "m1", "m2", "m3") for emo in ("rab", "tri")]


def test_ravdess(real_corpus):
    table = load_corpus("ravdess", real_corpus("ravdess"))
    assert len(table) == 1440
    assert table["speaker"].nunique() == 24
    assert table["gender"].value_counts().to_dict() == {"male": 720, "female": 720}
    counts = table["emotion"].value_counts().to_dict()
    assert counts.pop("neutral") == 96
    assert len(counts) == 7
    assert set(counts.values()) == {192}
    assert table["split"].value_counts().to_dict() == {"train": 600, "dev": 480, "test": 360}
    assert table["duration"].between(2.9, 5.3).all()
    check_split(table)


def test_emovo(real_corpus):
    table = load_corpus("emovo", real_corpus("emovo"))
    assert len(table) == 588
    assert set(table["emotion"].value_counts()) == {84}
    assert set(table["speaker"].value_counts()) == {98}
    check_split(table)


def test_nemo(real_corpus):
    table = load_corpus("nemo", real_corpus("nemo"), split=None)
    listing = pd.read_csv(real_corpus("nemo") / "data.tsv", sep="\t", dtype=str)
    listing.index = "samples/" + listing["file_id"]
    assert len(table) == 4481
    assert table["speaker"].nunique() == 9
    for column, theirs in (("speaker", "speaker_id"), ("gender", "gender"), ("text", "raw_text")):
        assert (table[column] == listing[theirs].str.strip().reindex(table.index)).all()
    assert (table["age"] == listing["age"].astype(float).reindex(table.index)).all()
    assert (table["emotion"] == listing["emotion"].replace("surprised", "surprise").reindex(table.index)).all()


def test_demos_names_add_up_to_table_2(real_corpus):
    scan = scan_names(ADAPTERS["demos"], real_corpus("demos_names.txt").read_text().split())
    table = clip_table(ADAPTERS["demos"], scan, ".")
    assert (scan.unparsed, scan.duplicates) == ([], [])
    counts = pd.crosstab(table["emotion"], table["gender"])
    true = {  # the erratum of Table 2: its column F/M is in the order of the Italian codes
        "anger": (516, 961),
        "disgust": (596, 1082),
        "fear": (415, 741),
        "guilt": (400, 729),
        "happiness": (524, 871),
        "neutral": (112, 220),
        "sadness": (532, 998),
        "surprise": (349, 651),
    }
    assert {emotion: (row["female"], row["male"]) for emotion, row in counts.iterrows()} == true
    speakers = table.groupby("gender")["speaker"].nunique().to_dict()
    assert speakers == {"female": 23, "male": 45}


def test_demos_leaves_neutral_out_unless_asked(make_clips):
    root = make_clips("DEMOS/NP_f_01_col07b.wav", "DEMOS/PR_m_02_gio01a.wav", "NEU/f_01_neu00a.wav")
    table = load_corpus("demos", root)
    assert sorted(table["emotion"]) == ["guilt", "happiness"]
    assert table.attrs["skipped"] == {"neutral": 1}
    assert table["split"].notna().all()
    assert sorted(load_corpus("demos", root, emotions="all")["emotion"]) == ["guilt", "happiness", "neutral"]


def test_nothing_but_what_is_left_out(make_clips):
    with pytest.raises(InputError, match="No clips are left without neutral; keep them with emotions='all'"):
        load_corpus("demos", make_clips("NEU/f_01_neu00a.wav"))


def test_ravdess_without_its_song(make_clips):
    root = make_clips("Actor_01/03-01-05-01-01-01-01.wav", "Actor_01/03-02-05-01-01-01-01.wav")
    table = load_corpus("ravdess", root)
    assert len(table) == 1
    assert (table.attrs["skipped"], table.attrs["unparsed"]) == ({"song": 1}, [])


def test_every_column_is_there(make_clips):
    table = load_corpus("emovo", make_clips(*SIX))
    assert list(table.columns)[:5] == list(COLUMNS)
    assert table["duration"].tolist() == pytest.approx([0.2] * 12)
    assert sorted(table.groupby("split")["speaker"].nunique()) == [1, 1, 4]


def test_splits_to_choose_from(make_clips):
    root = make_clips(*SIX)
    assert load_corpus("emovo", root, split=None)["split"].isna().all()
    seeded = load_corpus("emovo", root, split=lambda table: speaker_split(table, seed=7))
    assert seeded["split"].equals(speaker_split(load_corpus("emovo", root), seed=7)["split"])
    with pytest.raises(InputError, match="Bad split 'random', expected one of"):
        load_corpus("emovo", root, split="random")


def test_choosing_and_merging_emotions(make_clips):
    root = make_clips(*SIX)
    assert set(load_corpus("emovo", root, emotions=["anger"])["emotion"]) == {"anger"}
    assert set(load_corpus("emovo", root, labels={"anger": "sadness"})["emotion"]) == {"sadness"}
    with pytest.raises(InputError, match="Bad emotion 'fury', expected one of"):
        load_corpus("emovo", root, emotions=["fury"])
    with pytest.raises(InputError, match="Bad emotions 'anger'"):
        load_corpus("emovo", root, emotions="anger")


def test_the_same_clip_twice_names_both(make_clips):
    root = make_clips("f1/rab-f1-b1.wav", "f1/rab-f1-b1.flac")
    with pytest.raises(InputError, match=r"rab-f1-b1\.flac = f1/rab-f1-b1\.wav"):
        load_corpus("emovo", root)


def test_crema_d_reads_genders_from_its_demographics(make_clips):
    root = make_clips("AudioWAV/1001_IEO_ANG_HI.wav", "AudioWAV/1002_IEO_SAD_LO.wav")
    assert load_corpus("crema_d", root, split=None)["gender"].isna().all()
    listing = "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,x,y\n1002,21,Female,x,y\n"
    (root / "VideoDemographics.csv").write_text(listing)
    for folder in (root, root / "AudioWAV"):
        table = load_corpus("CREMA-D", folder, split=None)
        assert table["gender"].tolist() == ["male", "female"]
        assert table["age"].tolist() == [51.0, 21.0]


def test_nemo_without_its_listing(make_clips):
    table = load_corpus("nemo", make_clips("samples/WR0_fear_1.wav"), split=None)
    assert table[["gender", "age"]].iloc[0].tolist() == ["male", 23.0]


def test_tess_tests_on_the_other_woman(make_clips):
    root = make_clips("OAF_back_sad.wav", "OAF_back_ps.wav", "YAF_back_sad.wav", "YAF_back_ps.wav")
    assert sorted(load_corpus("tess", root)["split"]) == ["test", "test", "train", "train"]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("emodb", ["wav/03a01Fa.wav", "wav/08a01Wa.wav", "wav/10a01Na.wav"]),
        ("savee", ["DC_a01.wav", "JE_sa01.wav", "KL_n01.wav"]),
        ("urdu", ["Angry/SM1_F1_A001.wav", "Sad/SF2_F1_S001.wav", "Happy/SM3_F1_H001.wav"]),
    ],
)
def test_the_other_corpora_load_and_split(make_clips, name, files):
    table = load_corpus(name, make_clips(*files))
    assert sorted(table.index) == sorted(files)
    assert sorted(table["split"]) == ["dev", "test", "train"]


def test_a_table_by_its_name_or_its_path(make_clips):
    root = make_clips("a.wav", "b.wav")
    (root / "clips.csv").write_text("file,emotion,split\na.wav,angry,train\nb.wav,happy,valid\n")
    for name in ("table", "mine", "demos"):
        table = load_corpus(name, root / "clips.csv")
        assert table["split"].tolist() == ["train", "dev"]
        assert table.attrs["corpus"] == name
    with pytest.raises(InputError, match=r"give the table itself, clips\.csv"):
        load_corpus("table", root)
    with pytest.raises(InputError, match="Bad corpus 'mine', expected one of"):
        load_corpus("mine", root)


def test_a_table_without_speakers_needs_a_split(make_clips):
    root = make_clips("a.wav")
    (root / "clips.csv").write_text("file,emotion\na.wav,angry\n")
    with pytest.raises(InputError, match="1 of 1 clips have no speaker"):
        load_corpus("table", root / "clips.csv")
    assert np.isnan(load_corpus("table", root / "clips.csv", split=None)["split"].iloc[0])
