"""Corpora whose labels are in files beside the clips: files in the layout of their authors, with made clips."""

from pathlib import Path

import pandas as pd
import pytest

from ser_graph.corpora import check_corpus, load_corpus
from ser_graph.errors import InputError


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def test_iemocap(make_clips):
    wav = "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01"
    root = make_clips(
        *(f"{wav}_{turn}.wav" for turn in ("F000", "M000", "M001", "F001")),
        "Session1/dialog/wav/Ses01F_impro01.wav",
    )
    write(
        root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]",
        "",
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.0000]",
        "C-E2:\tNeutral;\t()",
        "[8.2 - 9.1]\tSes01F_impro01_M000\txxx\t[2.5000, 3.5000, 2.5000]",
        "[9.2 - 9.8]\tSes01F_impro01_M001\tfru\t[2.0000, 3.0000, 3.0000]",
        "[9.9 - 10.8]\tSes01F_impro01_F001\texc\t[4.0000, 3.0000, 3.0000]",
    )
    table = load_corpus("iemocap", root, split=None)
    assert table["speaker"].tolist() == ["01F", "01M"]  # frustration and excitement are left out
    assert table["emotion"].tolist()[0] == "neutral" and pd.isna(table["emotion"].iloc[1])
    assert table[["valence", "arousal", "dominance"]].iloc[1].tolist() == [2.5, 3.5, 2.5]
    assert table["gender"].tolist() == ["female", "male"]
    assert table.attrs["skipped"] == {"whole dialogue": 1, "frustration": 1, "excitement": 1}
    merged = load_corpus("iemocap", root, split=None, labels={"excitement": "happiness"}, emotions=["happiness"])
    assert list(merged.dropna(subset="emotion").index) == [f"{wav}_F001.wav"]
    assert set(load_corpus("iemocap", root, split=None, emotions="all")["emotion"].dropna()) == {
        "neutral",
        "excitement",
        "frustration",
    }
    assert check_corpus("iemocap", root)["speakers"] == 2


def test_meld_numbers_begin_again_in_each_split(make_clips):
    root = make_clips("train_splits/dia0_utt0.wav", "dev_splits_complete/dia0_utt0.wav")
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID"
    write(root / "train_sent_emo.csv", header, '1,"Hi, you",Ross,joy,positive,0,0')
    with pytest.raises(InputError, match=r"No dev_sent_emo.csv in .*, which has the labels"):
        load_corpus("meld", root)
    write(root / "dev_sent_emo.csv", header, "1,No,Monica,sadness,negative,0,0")
    table = load_corpus("meld", root).sort_values("split")
    assert table[["emotion", "speaker", "split", "text"]].to_numpy().tolist() == [
        ["sadness", "Monica", "dev", "No"],
        ["happiness", "Ross", "train", "Hi, you"],
    ]


@pytest.mark.parametrize("name", ["labels_consensus.csv", "labels_concensus.csv"])
def test_msp_podcast(make_clips, name):
    root = make_clips(*(f"Audios/MSP-PODCAST_0001_000{turn}.wav" for turn in range(1, 6)))
    write(
        root / "Labels" / name,
        "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set",
        "MSP-PODCAST_0001_0001.wav,N,2.2,4.0,2.6,30,Male,Test1",
        "MSP-PODCAST_0001_0002.wav,X,3.0,3.5,3.0,Unknown,Unknown,Train",
        "MSP-PODCAST_0001_0003.wav,U,6.0,6.5,5.0,31,Female,Development",
        "MSP-PODCAST_0001_0004.wav,C,6.0,6.5,5.0,31,Female,Train",
        "MSP-PODCAST_0001_0005.wav,A,6.0,6.5,5.0,32,Female,Test2",
    )
    table = load_corpus("msp_podcast", root)
    assert table["emotion"].fillna("").tolist() == ["neutral", "", "surprise", "anger"]  # contempt is left out
    assert table["split"].fillna("").tolist() == ["test", "train", "dev", ""]
    assert table["speaker"].fillna("").tolist() == ["30", "", "31", "32"]
    assert table["gender"].fillna("").tolist() == ["male", "", "female", "female"]
    assert table.loc[table.index[0], ["arousal", "valence", "dominance"]].tolist() == [2.2, 4.0, 2.6]


def test_msp_improv_takes_the_emotion_that_listeners_heard(make_clips):
    root = make_clips(
        "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav", "session1/S01A/S/MSP-IMPROV-S01A-M01-S-FM01.wav"
    )
    write(
        root / "Evalution.txt",
        "UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:3.500000; D:2.500000 ; N:4.000000;",
        "MTurk_01; Neutral; Neutral; A:3.000000; V:3.000000; D:3.000000; N:4.000000;",
        "UTD-IMPROV-S01A-M01-S-FM01.avi; X; A:NaN; V:3.500000; D:3.000000 ; N:NaN;",
    )
    table = load_corpus("msp_improv", root, split=None)
    assert table["emotion"].fillna("").tolist() == ["neutral", ""]
    assert table["intended"].tolist() == ["anger", "anger"]
    assert table["speaker"].tolist() == ["F01", "M01"]
    assert table["valence"].tolist() == [3.5, 3.5] and pd.isna(table["arousal"].iloc[1])


def test_mosei_takes_the_highest_mean_rating(make_clips):
    clips = [f"-3g5yACwYnA_{number}.wav" for number in range(3)] + ["81406_0.wav"]
    root = make_clips(*(f"Audio/{clip}" for clip in clips))
    emotions = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
    header = ",".join(["HITId", "Input.VIDEO_ID", "Input.CLIP", *(f"Answer.{emotion}" for emotion in emotions)])
    write(
        root / "Labels" / "5000_batch_raw.csv",
        header,
        "a,-3g5yACwYnA,0,0,0,0,2,0,0",
        "b,-3g5yACwYnA,0,1,0,0,2,0,3",  # the means are 0.5, 2 and 1.5
        "a,-3g5yACwYnA,1,0,0,0,0,0,0",
        "a,-3g5yACwYnA,2,1,0,0,1,0,0",
    )
    write(root / "Labels" / "extreme_sentiment_results.csv", "Input.VIDEO_ID,Input.CLIP,Answer.sentiment", "x,0,1")
    table = load_corpus("cmu_mosei", root, split=None)
    assert table["emotion"].fillna("").tolist() == ["happiness", "neutral", "", ""]
    assert table["speaker"].tolist() == ["-3g5yACwYnA"] * 3 + ["81406"]
    assert list(load_corpus("cmu_mosei", root / "Audio", split=None)["emotion"])[:2] == ["happiness", "neutral"]


def test_emozionalmente(make_clips):
    root = make_clips("audio/1612872848291.wav", "audio/1612872848292.wav")
    write(
        root / "metadata" / "samples.csv",
        "file_name,timestamp,actor,sentence,emotion_expressed",
        "1612872848291.wav,1,u1,Ciao,joy",
        "1612872848292.wav,1,u2,Ciao,neutrality",
    )
    write(root / "metadata" / "users.csv", "username,gender,age", "u1,female,31", "u2,Other,40")
    table = load_corpus("emozionalmente", root, split=None)
    assert table["emotion"].tolist() == ["happiness", "neutral"]
    assert table["gender"].fillna("").tolist() == ["female", ""]
    assert table["age"].tolist() == [31.0, 40.0]
    assert table["sentence"].tolist() == ["Ciao", "Ciao"]


@pytest.mark.parametrize(
    ("corpus", "clip", "file", "lines", "message"),
    [
        (
            "iemocap",
            "Session1/sentences/wav/d/Ses01F_a_F000.wav",
            "x",
            [],
            "expected Session1/dialog/EmoEvaluation",
        ),
        (
            "msp_podcast",
            "MSP-PODCAST_1_1.wav",
            "labels_consensus.csv",
            ["FileName,Emo", "a,b"],
            "has no column EmoAct",
        ),
        ("msp_podcast", "MSP-PODCAST_1_1.wav", "labels_consensus.csv", [""], "is not a table"),
        (
            "msp_podcast",
            "MSP-PODCAST_1_1.wav",
            "labels_consensus.csv",
            ["FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set", "other.wav,A,1,1,1,1,Male,Train"],
            "names none of its clips",
        ),
        ("msp_improv", "MSP-IMPROV-S01A-F01-P-FM01.wav", "Evaluation.txt", ["nothing"], "No labels in"),
        ("cmu_mosei", "-3g5yACwYnA_0.wav", "Labels/a.csv", ["x,y", "1,2"], "No table of ratings"),
    ],
)
def test_a_label_file_that_does_not_fit_gets_one_line(make_clips, corpus, clip, file, lines, message):
    root = make_clips(clip)
    write(root / file, *lines)
    with pytest.raises(InputError, match=message) as caught:
        load_corpus(corpus, root)
    assert "\n" not in str(caught.value)
