import numpy as np
import pandas as pd
import pytest

from ser_graph.corpora import leave_speakers_out, originals, with_copies
from ser_graph.corpora.copies import FASTER, SLOWER, corpus_originals, split_of_copies
from ser_graph.errors import InputError


@pytest.fixture
def table():
    speaker = ["a", "a", "b", "c", None]
    split = ["train", "train", "dev", "test", "train"]
    columns = {"emotion": ["anger", "fear", "anger", "fear", None], "speaker": speaker, "split": split}
    table = pd.DataFrame(columns, index=pd.Index([f"{n}.wav" for n in range(5)], name="file"))
    table.attrs = {"corpus": "five", "root": "nowhere"}
    return table


def test_every_clip_has_its_copies_and_originals_stay_as_they_are(table):
    found = with_copies(table, 3)
    assert len(found) == 20
    assert originals(found).sum() == 5
    pd.testing.assert_frame_equal(found[originals(found)][table.columns], table)
    assert found.attrs == table.attrs
    assert found.index.is_unique
    copies = found[~originals(found)]
    assert copies["copy_of"].tolist() == table.index.tolist() * 3
    assert copies["emotion"].isna().tolist() == [False, False, False, False, True] * 3
    assert originals(table).all()


def test_a_speaker_has_one_speed_in_a_copy_slower_and_faster_in_turn(table):
    copies = with_copies(table, 4).iloc[5:]
    for number in range(4):
        part = copies.iloc[5 * number : 5 * (number + 1)]
        slowest, fastest = FASTER if number % 2 else SLOWER
        assert part["speed"].between(slowest / 100, fastest / 100).all()
        assert part["speed"].iloc[0] == part["speed"].iloc[1]
        percent = (100 * part["speed"]).round().astype(int)
        assert part.index.tolist() == [f"{file}@{p}" for file, p in zip(table.index, percent, strict=True)]
        assert part["speaker"].iloc[2] == f"b@{percent.iloc[2]}"
        assert pd.isna(part["speaker"].iloc[4])


def test_speeds_follow_the_seed_and_not_the_order_of_rows(table):
    one, mixed = with_copies(table, 2), with_copies(table.iloc[[3, 1, 4, 0, 2]], 2)
    pd.testing.assert_frame_equal(one.sort_index(), mixed.sort_index())
    assert with_copies(table, 2, seed=1)["speed"].tolist() != one["speed"].tolist()


def test_copies_of_clips_that_are_tested_are_in_no_split(table):
    copies = with_copies(table, 1).iloc[5:]
    assert copies["split"].tolist()[:2] == ["train", "train"]
    assert copies["split"].iloc[2:4].isna().all()


def test_copies_follow_when_speakers_are_left_out(table):
    table["speaker"] = table["speaker"].fillna("a")
    everything = with_copies(table, 2)
    folds = list(leave_speakers_out(everything, dev=True))
    assert [speakers for speakers, _ in folds] == [["a"], ["b"], ["c"]]  # nobody is tested on a copy
    for (held_out, fold), (_, plain) in zip(folds, leave_speakers_out(table, dev=True), strict=True):
        own = originals(fold)
        assert fold["split"][own].tolist() == plain["split"].tolist()
        trained = fold[~own & (fold["split"] == "train").to_numpy()]
        assert not set(trained["copy_of"].map(table["speaker"])) & set(held_out)
        assert set(fold["split"][~own].dropna()) == {"train"}


def test_a_table_without_copies_is_left_alone(table):
    assert split_of_copies(table) is table
    pd.testing.assert_frame_equal(with_copies(table, 0)[table.columns], table)


def test_bad_numbers_and_copies_of_copies(table):
    with pytest.raises(InputError, match="Bad number of copies -1, expected 0 or more"):
        with_copies(table, -1)
    with pytest.raises(InputError, match="The table has copies already; give a table of the originals"):
        with_copies(with_copies(table, 1), 1)


def test_a_copy_is_the_original_resampled(tmp_path):
    import soundfile
    import torch

    from ser_graph.audio.clips import clip_paths, clip_speeds
    from ser_graph.audio.reading import load_waveform

    rate, hertz = 16_000, 440.0
    sound = 0.5 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)
    soundfile.write(tmp_path / "a.wav", sound, rate)
    table = pd.DataFrame({"emotion": ["fear"], "speaker": ["1"], "split": ["train"]}, index=["a.wav"])
    table.attrs = {"root": str(tmp_path)}
    copies = with_copies(table, 2)
    paths, speeds = clip_paths(copies), clip_speeds(copies)
    assert paths == [tmp_path / "a.wav"] * 3
    assert speeds[0] == 1.0
    for path, speed in zip(paths, speeds, strict=True):
        waveform = load_waveform(path, speed=speed)
        assert len(waveform) == pytest.approx(rate / speed, abs=1)
        loudest = int(torch.fft.rfft(waveform).abs().argmax())  # a tone of so many periods
        assert loudest * rate / len(waveform) == pytest.approx(hertz * speed, abs=1)


def test_a_copy_lasts_as_long_as_it_sounds(table):
    found = with_copies(table.assign(duration=[1.0, 2.0, 3.0, 4.0, None]), 2)
    expected = [1.0, 2.0, 3.0, 4.0] / found["speed"].to_numpy().reshape(3, 5)[:, :4]
    np.testing.assert_allclose(found["duration"].to_numpy().reshape(3, 5)[:, :4], expected)
    assert found["duration"].isna().sum() == 3


def test_which_clips_are_originals_of_the_corpora_of_others(table):
    some = np.arange(len(table)) == 0
    assert corpus_originals(table, some).all()  # no corpus is named
    table = with_copies(table.assign(corpus=np.where(np.arange(len(table)) < 2, "one", "other")), 1)
    some = np.arange(len(table)) == 0
    assert corpus_originals(table, some).tolist() == (np.arange(len(table)) < 2).tolist()
    assert (corpus_originals(table, np.ones(len(table), bool)) == originals(table)).all()
