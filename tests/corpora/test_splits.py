import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings, strategies as st

from ser_graph.corpora import (
    SPLITS,
    check_split,
    leave_speakers_out,
    speaker_overlap,
    speaker_split,
)
from ser_graph.corpora.splits import assign_split
from ser_graph.errors import InputError


@st.composite
def tables(draw):
    """Clip tables of 3 to 9 speakers, each with a gender and some clips."""
    n_clips = draw(st.lists(st.integers(1, 6), min_size=3, max_size=9))
    genders = draw(
        st.lists(st.sampled_from(["female", "male", None]), min_size=len(n_clips), max_size=len(n_clips))
    )
    rows = [
        {"speaker": f"s{speaker}", "gender": genders[speaker], "emotion": draw(st.sampled_from("xyz"))}
        for speaker, n in enumerate(n_clips)
        for _ in range(n)
    ]
    return pd.DataFrame(rows, index=[f"{clip:03d}.wav" for clip in range(len(rows))])


FRACTIONS = st.sampled_from([(0.6, 0.2, 0.2), (0.4, 0.3, 0.3), (0.98, 0.01, 0.01), (0.5, 0, 0.5), (1, 0, 0)])


@settings(deadline=None, max_examples=40)
@given(tables(), FRACTIONS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_speaker_split_holds_its_promises(table, fractions, seed, random):
    before = table.copy()
    split = speaker_split(table, fractions, seed)
    pd.testing.assert_frame_equal(table, before)
    assert not len(speaker_overlap(split))
    assert split["split"].notna().all()
    assert set(split["split"]) == {name for name, share in zip(SPLITS, fractions, strict=True) if share}
    order = list(table.index)
    random.shuffle(order)
    shuffled = speaker_split(table.loc[order], fractions, seed)
    assert shuffled["split"].reindex(table.index).equals(split["split"])


def people(women: int, men: int) -> pd.DataFrame:
    genders = ["female"] * women + ["male"] * men
    rows = [(f"{n:02d}", gender, emotion) for n, gender in enumerate(genders) for emotion in ("fear", "anger")]
    return pd.DataFrame(rows, columns=["speaker", "gender", "emotion"])


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 5))
@settings(deadline=None, max_examples=25)
def test_genders_are_spread_in_proportion(women, men, seed):
    assume(women + men >= 3)
    split = speaker_split(people(women, men), seed=seed).drop_duplicates("speaker")
    sizes = split["split"].value_counts()
    expected = sizes * women / (women + men)
    found = split[split["gender"] == "female"]["split"].value_counts().reindex(sizes.index, fill_value=0)
    assert (np.abs(found - expected) < 1.5).all()


def test_sizes_and_seeds():
    split = speaker_split(people(12, 12), (0.5, 0.25, 0.25))
    people_of = split.drop_duplicates("speaker")
    counts = pd.crosstab(people_of["gender"], people_of["split"])[list(SPLITS)]
    assert counts.to_numpy().tolist() == [[6, 3, 3], [6, 3, 3]]
    assert len({tuple(speaker_split(people(6, 6), seed=seed)["split"]) for seed in range(5)}) > 1


def test_emotions_are_spread_where_speakers_differ():
    rows = [(f"{n:02d}", emotion) for n in range(12) for emotion in [("anger", "fear")[n % 2]] * 5]
    split = speaker_split(pd.DataFrame(rows, columns=["speaker", "emotion"]), (0.5, 0.25, 0.25))
    assert (pd.crosstab(split["split"], split["emotion"]) > 0).all(axis=None)


def test_speaker_split_refuses_what_cannot_be_split():
    with pytest.raises(InputError, match="3 splits need as many speakers, the table has 2"):
        speaker_split(people(1, 1))
    with pytest.raises(InputError, match=r"Bad fractions \(0.5, 0.2, 0.2\)"):
        speaker_split(people(3, 3), (0.5, 0.2, 0.2))
    nameless = people(3, 3)
    nameless.loc[4, "speaker"] = None
    with pytest.raises(InputError, match="1 of 12 clips have no speaker"):
        speaker_split(nameless)


def test_leave_one_speaker_out():
    table = people(2, 2)
    folds = list(leave_speakers_out(table))
    assert [speakers for speakers, _ in folds] == [["00"], ["01"], ["02"], ["03"]]
    for speakers, fold in folds:
        assert (fold.loc[fold["split"] == "test", "speaker"] == speakers[0]).all()
        assert fold["split"].value_counts().to_dict() == {"train": 6, "test": 2}
        check_split(fold)
    for _, fold in leave_speakers_out(table, dev=True):
        assert fold["split"].value_counts().to_dict() == {"train": 4, "dev": 2, "test": 2}
    assert "split" not in table
    with pytest.raises(InputError, match="needs 3 speakers, the table has 2"):
        next(leave_speakers_out(people(1, 1), dev=True))


@settings(deadline=None, max_examples=40)
@given(tables(), st.integers(2, 9), st.booleans())
def test_folds_hold_out_each_speaker_once(table, n_folds, dev):
    n_speakers = table["speaker"].nunique()
    if not 2 + dev <= n_folds <= n_speakers:
        with pytest.raises(InputError, match=f"Bad number of folds {n_folds}, expected {2 + dev} to {n_speakers}"):
            next(leave_speakers_out(table, n_folds, dev=dev))
        return
    folds = list(leave_speakers_out(table, n_folds, dev=dev))
    assert sorted(name for speakers, _ in folds for name in speakers) == sorted(table["speaker"].unique())
    sizes = [len(speakers) for speakers, _ in folds]
    assert len(folds) == n_folds and max(sizes) - min(sizes) <= 1
    for place, (speakers, fold) in enumerate(folds):
        by_split = fold.groupby("split")["speaker"].agg(set).to_dict()
        assert by_split["test"] == set(speakers)
        assert by_split.get("dev") == (set(folds[(place + 1) % n_folds][0]) if dev else None)
        check_split(fold)  # no speaker in two splits
        for gender, members in table.drop_duplicates("speaker").groupby("gender"):
            held_out = len({*members["speaker"]} & {*speakers})
            assert abs(held_out - len(members) / n_folds) < 1, gender


def test_speakers_without_any_label_stay_in_train():
    table = people(2, 2)
    table.loc[table["speaker"] == "01", "emotion"] = None
    folds = list(leave_speakers_out(table, dev=True))
    assert [speakers for speakers, _ in folds] == [["00"], ["02"], ["03"]]
    assert all((fold.loc[fold["speaker"] == "01", "split"] == "train").all() for _, fold in folds)


def test_check_split():
    table = people(2, 2).assign(split=["train", "train", "train", "test", "dev", "dev", "test", "test"])
    with pytest.raises(InputError, match=r"1 speaker is in two splits: 01 \(train, test\)"):
        check_split(table)
    check_split(table, shared_speakers=True)
    assert speaker_overlap(table).to_dict("index") == {"01": {"train": 1, "dev": 0, "test": 1}}
    check_split(table[table["speaker"] != "01"])
    with pytest.raises(InputError, match="Bad split 'fold1'"):
        check_split(table.assign(split="fold1"))
    with pytest.raises(InputError, match="No clip is in the train split"):
        check_split(table.assign(split="test"))


def test_splits_keep_the_attributes():
    table = people(3, 3)
    table.attrs = {"root": "/data"}
    assert speaker_split(table).attrs == {"root": "/data"}
    assert assign_split(table, dict.fromkeys(table["speaker"], "train")).attrs == {"root": "/data"}
