import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_graph.corpora.adapter import read_durations
from ser_graph.corpora.checking import check_clips, clip_measures, examine_clips, usable_clips
from ser_graph.corpora.corpus_check import check_corpus, format_report
from ser_graph.errors import InputError


def clips(*files: str, emotion: object = "fear") -> pd.DataFrame:
    return pd.DataFrame({"emotion": emotion}, index=pd.Index(files, name="file"))


def found(table: pd.DataFrame, root) -> list[tuple[str, str, str]]:
    return [(row.file, row.problem, row.severity) for row in check_clips(table, root).itertuples()]


def halve(path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_sound_clips_have_no_problems(make_clips):
    root = make_clips("a.wav", "b.flac", "c.ogg", "d.mp3")
    report = check_clips(clips("a.wav", "b.flac", "c.ogg", "d.mp3"), root)
    assert list(report.columns) == ["file", "problem", "detail", "severity"]
    assert not len(report)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_truncated(make_clips, suffix):
    root = make_clips(f"a.{suffix}", seconds=2)
    halve(root / f"a.{suffix}")
    assert found(clips(f"a.{suffix}"), root) == [(f"a.{suffix}", "truncated", "error")]


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF - 36, 0x7FFFF000])
def test_a_streamed_wav_is_whole(make_clips, size):
    """What programs write for a size that they cannot know yet."""
    path = make_clips("a.wav") / "a.wav"
    content = path.read_bytes()
    at = content.index(b"data") + 4
    path.write_bytes(content[:at] + size.to_bytes(4, "little") + content[at + 4 :])
    assert not len(check_clips(clips("a.wav"), path.parent))


def test_files_whose_name_says_nothing(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(4000))
    assert found(clips("a.raw"), tmp_path) == [("a.raw", "not audio", "error")]
    assert np.isnan(read_durations(tmp_path, ["a.raw", "none.wav"])).all()


def test_the_duration_of_a_flac_that_does_not_know_it(make_clips):
    path = make_clips("a.flac", seconds=0.3) / "a.flac"
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert read_durations(path.parent, ["a.flac"]) == [0.3]


def test_what_is_left_out_is_named(tmp_path, make_clips, caplog):
    make_clips("a.wav", "b.wav", folder=tmp_path)
    (tmp_path / "b.wav").write_bytes(b"")
    table = clips("a.wav", "b.wav")
    with caplog.at_level("INFO"):
        kept = usable_clips(table, check_clips(table, tmp_path), skip_bad=True)
    assert list(kept.index) == ["a.wav"]
    assert [record.getMessage() for record in caplog.records] == [
        "Left out: b.wav (empty: 0 bytes; fetch it again)"
    ]


def test_files_that_are_no_sound(tmp_path):
    (tmp_path / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 9\n")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "page.wav").write_text("<html>not found</html>")
    assert found(clips("empty.wav", "lost.wav", "page.wav", "pointer.wav"), tmp_path) == [
        ("empty.wav", "empty", "error"),
        ("lost.wav", "missing", "error"),
        ("page.wav", "not audio", "error"),
        ("pointer.wav", "pointer", "error"),
    ]


@pytest.mark.parametrize(
    ("samples", "rate", "problem", "severity"),
    [
        (np.zeros(8000), 16_000, "silent", "error"),
        (np.full(8000, 0.3), 16_000, "silent", "error"),
        (np.r_[np.nan, np.full(7999, 0.1)], 16_000, "not finite", "error"),
        (np.r_[np.inf, np.full(7999, 0.1)], 16_000, "not finite", "error"),
        (np.tile([0.1, -0.1], 400), 16_000, "too short", "error"),
        (np.zeros(0), 16_000, "empty", "error"),
        (np.tile([0.1, -0.1], 8000), 8_000, "low rate", "warning"),
        (np.tile([0.1, -0.1], 8000), 16_001, "odd rate", "warning"),
        (np.tile([32_767.0, -32_768.0], 8000), 16_000, "wrong scale", "error"),
    ],
)
def test_bad_samples(tmp_path, samples, rate, problem, severity):
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    assert found(clips("a.wav"), tmp_path) == [("a.wav", problem, severity)]


def test_a_quiet_clip_is_not_silent(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile([0.004, -0.004], 8000), 16_000)
    assert not len(check_clips(clips("a.wav"), tmp_path))


def test_stereo_is_no_problem(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, (8000, 2)), 44_100)
    assert not len(check_clips(clips("a.wav"), tmp_path))


def test_channels_that_cancel_each_other_are_silent(tmp_path):
    """What a model hears is their mean."""
    one = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(tmp_path / "a.wav", np.stack([one, -one], 1), 16_000)
    (problem,) = check_clips(clips("a.wav"), tmp_path).itertuples()
    assert problem.problem == "silent" and problem.detail.startswith("its 2 channels cancel each other")


def test_the_same_audio_under_two_names_and_formats(make_clips):
    root = make_clips("a.wav", "b.wav")
    samples, rate = soundfile.read(root / "a.wav")
    soundfile.write(root / "c.flac", samples, rate)
    table = clips("a.wav", "b.wav", "c.flac", emotion=["fear", "fear", "fear"])
    assert found(table, root) == [("c.flac", "same audio", "warning")]
    table["emotion"] = ["fear", "fear", "anger"]
    report = check_clips(table, root)
    assert report["severity"].tolist() == ["error"]
    assert "a.wav, labelled fear, but this one is labelled anger" in report["detail"].iloc[0]


def test_the_root_comes_from_the_table(make_clips):
    table = clips("a.wav")
    with pytest.raises(InputError, match="The folder of the clips is unknown"):
        check_clips(table)
    table.attrs["root"] = str(make_clips("a.wav"))
    assert not len(check_clips(table))


EMOVO = [
    f"{spk}/{emo}-{spk}-{sent}{n}.wav"
    for spk in ("f1", "f2", "f3", "m1", "m2", "m3")
    for emo in ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
    for sent, last in (("b", 3), ("l", 4), ("n", 5), ("d", 2))
    for n in range(1, last + 1)
]


@pytest.fixture(scope="module")
def emovo(tmp_path_factory):
    """A complete EMOVO of noise."""
    root = tmp_path_factory.mktemp("emovo")
    for number, name in enumerate(EMOVO):
        (root / name).parent.mkdir(exist_ok=True)
        soundfile.write(root / name, np.random.default_rng(number).normal(0, 0.1, 2400), 16_000)
    return root


def test_a_complete_corpus(emovo):
    report = check_corpus("emovo", emovo)
    assert report["clips"] == 588
    assert report["speakers"] == 6
    assert report["clips_by_speaker"] == dict.fromkeys(("f1", "f2", "f3", "m1", "m2", "m3"), 98)
    assert report["genders"] == {"female": 294, "male": 294}
    assert set(report["emotions"].values()) == {84}
    assert report["hours"] == pytest.approx(588 * 0.15 / 3600)
    assert (report["rates"], report["channels"]) == ({16_000: 588}, {1: 588})
    assert report["problems"] == []
    json.dumps(report)


def test_a_partly_broken_corpus_is_checked_all_the_same(make_clips):
    names = [name for name in EMOVO if name[:2] in ("f1", "m1", "f2") and name[3:6] != "tri"]
    root = make_clips(*names[:-1], "f1/hello.wav", "copy/dis-f1-b1.wav")
    halve(root / names[3])
    problems = {(one["problem"], one["file"]): one for one in check_corpus("emovo", root)["problems"]}
    assert set(problems) == {
        ("truncated", names[3]),
        ("twice", "f1/dis-f1-b1.wav"),
        ("name", "f1/hello.wav"),
        ("class", ""),
        ("clips", ""),
    }
    assert problems["class", ""]["detail"] == "no clip of sadness"
    assert problems["clips", ""]["detail"] == ("588 clips expected, 251 found; incomplete speakers: m1 (83 of 84)")
    assert [one["severity"] for one in problems.values()] == ["error"] * 2 + ["warning"] * 3


def test_genders_that_nothing_tells(make_clips):
    report = check_corpus("crema_d", make_clips("AudioWAV/1001_IEO_ANG_HI.wav"))
    assert "gender" in [one["problem"] for one in report["problems"]]


def test_a_table_with_strange_labels_and_a_shared_speaker(make_clips):
    root = make_clips("a.wav", "b.wav", "c.wav")
    (root / "clips.csv").write_text(
        "file,emotion,speaker,gender,split\na.wav,angry,s,f,train\nb.wav,contempt,s,f,test\nc.wav,fear,t,m,dev\n"
    )
    report = check_corpus("table", root / "clips.csv")
    assert report["emotions"] == {"anger": 1, "contempt": 1, "fear": 1}
    assert [one["detail"] for one in report["problems"]] == [
        "'contempt' (1 clips) is not in the vocabulary",
        "speaker s is in train, test; split by speaker",
    ]


def test_nothing_to_check_is_one_line(tmp_path):
    with pytest.raises(InputError, match="No EMOVO clips in"):
        check_corpus("emovo", tmp_path)


def test_the_report_as_text(make_clips):
    names = [f"f1/rab-f1-n{n}.wav" for n in range(1, 10)]
    root = make_clips(*names)
    for name in names[:7]:
        (root / name).write_bytes(b"")
    text = format_report(check_corpus("emovo", root)).splitlines()
    assert text[0] == f"emovo in {root}"
    assert "speakers  1 (9 clips each)" in text
    assert "emotions  anger 9" in text
    assert "problems  7 errors, 2 warnings" in text
    assert "  error: empty (7)" in text
    assert "    and 2 more" in text


def test_ravdess_is_complete(real_corpus):
    report = check_corpus("ravdess", real_corpus("ravdess"))
    assert report["clips"] == 1440
    assert report["speakers"] == 24
    assert report["genders"] == {"female": 720, "male": 720}
    # The corpus as it is handed out really holds one recording under two names.
    assert [(one["problem"], one["file"]) for one in report["problems"]] == [
        ("same audio", "Actor_07/03-01-03-01-02-02-07.flac")
    ]


def test_emovo_has_no_problems(real_corpus):
    assert check_corpus("emovo", real_corpus("emovo"))["problems"] == []


def test_a_table_of_which_no_split_can_be_made_is_called_out(make_clips):
    root = make_clips("a.wav", "b.wav")
    (root / "clips.csv").write_text("file,emotion\na.wav,fear\nb.wav,anger\n")
    (problem,) = [one for one in check_corpus("table", root / "clips.csv")["problems"] if one["problem"] == "split"]
    assert problem["detail"] == "2 of 2 clips have no speaker, and there is no split; add either column"
    (root / "clips.csv").write_text("file,emotion,split\na.wav,fear,train\nb.wav,anger,test\n")
    assert not [one for one in check_corpus("table", root / "clips.csv")["problems"] if one["problem"] == "split"]


def test_measures_by_hand(tmp_path):
    """A square wave of half the full scale for 0.3 s, then 0.1 s at a thousandth of it: a quarter is quiet."""
    sound = np.tile([0.5, -0.5], 3200)
    sound[4800:] /= 1000
    soundfile.write(tmp_path / "a.wav", sound, 16_000, "FLOAT")
    soundfile.write(tmp_path / "b.flac", np.stack([sound, sound], 1), 8_000, "PCM_24")
    (tmp_path / "c.wav").write_bytes(b"no sound")
    measured = clip_measures(examine_clips(clips("a.wav", "b.flac", "c.wav"), tmp_path))
    power = (0.25 * 0.75 + 0.25e-6 * 0.25) / 1
    assert measured["level"][:2].tolist() == pytest.approx([10 * np.log10(power)] * 2, abs=1e-4)
    assert measured["silence"][:2].tolist() == pytest.approx([0.25, 0.25])
    assert measured["duration"][:2].tolist() == pytest.approx([0.4, 0.8])
    texts = measured[["rate", "channels", "codec"]].values.tolist()
    assert texts[:2] == [["16000", "1", "WAV FLOAT"], ["8000", "2", "FLAC PCM_24"]]
    assert measured.iloc[2].isna().all()


def test_measures_of_silence_and_of_very_short_sound(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16_000)
    soundfile.write(tmp_path / "b.wav", [0.5, -0.5], 16_000)
    measured = clip_measures(examine_clips(clips("a.wav", "b.wav"), tmp_path))
    assert measured[["level", "silence"]].iloc[0].isna().all()
    assert measured["level"][1] == pytest.approx(10 * np.log10(0.25), abs=1e-3) and measured["silence"][1] == 0
