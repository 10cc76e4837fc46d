import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.naive_bayes import CategoricalNB

from ser_graph.corpora import load_corpus, with_copies
from ser_graph.errors import InputError
from ser_graph.evaluation import label_shortcuts
from ser_graph.evaluation.metrics import evaluate

EMOTIONS = np.array(["anger", "fear", "joy"])


def clips(n: int = 240, n_speakers: int = 12, seed: int = 0) -> pd.DataFrame:
    """Clips of speakers with all emotions, in random order."""
    emotion, speaker = EMOTIONS[np.arange(n) % 3], [f"s{code:02}" for code in np.arange(n) % n_speakers]
    table = pd.DataFrame({"emotion": emotion, "speaker": speaker})
    table["speaker"] = np.random.default_rng(seed).permutation(table["speaker"])
    return table.set_axis(pd.Index([f"{clip:03}.wav" for clip in range(n)], name="file"))


def measured(table: pd.DataFrame, **how) -> pd.DataFrame:
    return label_shortcuts(table, progress=False, **{"n_permutations": 100, **how})


def test_a_column_that_decides_the_label_is_found() -> None:
    table = clips()
    rng = np.random.default_rng(1)
    table["sentence"] = table["emotion"].map({"anger": "a", "fear": "b", "joy": "c"})
    table["mostly"] = table["sentence"].where(rng.random(len(table)) < 0.6, rng.choice(list("abc"), len(table)))
    table["shuffled"] = rng.permutation(table["sentence"])
    found = measured(table)
    assert found.index[:2].tolist() == ["sentence", "mostly"]
    assert found.loc["sentence", ["uar", "uar_low", "uar_high", "strength", "found"]].tolist() == [1, 1, 1, 1, True]
    assert found.loc["mostly", "uar_low"] > found.loc["mostly", "chance_high"] > 1 / 3
    assert not found.loc[["shuffled", "speaker"], "found"].any()
    assert found["chance"].between(0.28, 0.36).all()


def test_few_shuffled_columns_are_found() -> None:
    """An interval above that of chance is rare where there is nothing: it was 1 of 1,800 columns."""
    table, rng = clips(), np.random.default_rng(2)
    texts = {f"text{k}": rng.choice([f"v{value}" for value in range(k % 9 + 2)], len(table)) for k in range(40)}
    numbers = {f"number{k}": rng.normal(size=len(table)) for k in range(40)}
    found = measured(table.assign(**texts, **numbers))
    assert len(found) == 81 and found["found"].sum() <= 1


def test_by_hand() -> None:
    """Anna's clips are answered by Ben's counts (a and b: joy), and his by hers (a: joy, b: fear)."""
    rows = [("joy", "anna", "a"), ("fear", "anna", "b"), ("joy", "ben", "a"), ("joy", "ben", "b")]
    table = pd.DataFrame(rows, columns=["emotion", "speaker", "sentence"])
    found = measured(table).loc["sentence"]
    assert found["uar"] == pytest.approx((0 / 1 + 2 / 3) / 2)
    assert (found["folds"], found["values"], found["kind"]) == ("speakers", 2, "text")


def test_as_naive_bayes_of_scikit_learn() -> None:
    """One column and equal priors: naive Bayes answers with the emotion in which the value is most frequent."""
    table, rng = clips(n_speakers=9), np.random.default_rng(3)
    codes = (table["emotion"].map({"anger": 0, "fear": 1, "joy": 2}) + rng.integers(0, 4, len(table))).to_numpy()
    table["sentence"] = [f"t{code}" for code in codes]
    model = CategoricalNB(alpha=1e-9, force_alpha=True, fit_prior=False, class_prior=[1 / 3] * 3, min_categories=6)
    answers = cross_val_predict(model, codes[:, None], table["emotion"], groups=table["speaker"], cv=GroupKFold(9))
    found = measured(table).loc["sentence"]
    assert found["uar"] == pytest.approx(balanced_accuracy_score(table["emotion"], answers))
    judged = evaluate(table.assign(predicted=answers), seed=0)
    assert (found["uar_low"], found["uar_high"]) == pytest.approx((judged["uar_low"], judged["uar_high"]))


@pytest.mark.parametrize(
    "shape",
    [{"anger": 0, "fear": 5, "joy": 10}, {"anger": 0, "fear": 0, "joy": 9}, {"anger": -9, "fear": 0, "joy": 9}],
)
def test_numbers(shape) -> None:
    table, rng = clips(), np.random.default_rng(4)
    level = table["emotion"].map(shape) + rng.normal(size=len(table))
    found = measured(table.assign(level=level, distance=np.abs(level), noise=rng.normal(size=len(table))))
    assert found.loc["level", "found"] and found.loc["level", "kind"] == "number"
    assert not found.loc["noise", "found"]
    assert (measured(table.assign(level=level * 1e6 - 3)).loc["level"] == found.loc["level"]).all()


def test_what_is_missing_can_tell_too() -> None:
    table = clips()
    table["note"] = table["emotion"].map({"anger": "x", "fear": "x", "joy": None})
    table["pause"] = table["emotion"].map({"anger": 1.0, "fear": 2.0, "joy": np.nan})
    found = measured(table)
    assert found.loc["note", "uar"] == pytest.approx(2 / 3)
    assert found.loc["pause", "uar"] == 1 and found.loc["pause", "values"] == 3


def test_values_of_one_speaker_are_counted_by_clip() -> None:
    """Grouped by speaker, no value of these columns is known; speakers who have one emotion each are a shortcut."""
    table = clips()
    table["speaker"] = table["emotion"] + np.where(np.arange(240) % 2, "1", "2")
    table["session"] = table["speaker"].str.upper()
    table["gender"] = table["speaker"].str[-1]
    found = measured(table)
    assert found["folds"].to_dict() == {"speaker": "clips", "session": "clips", "gender": "speakers"}
    assert found["found"].to_dict() == {"speaker": True, "session": True, "gender": False}


def test_a_voice_is_no_shortcut_to_other_speakers() -> None:
    """Each speaker says the sentences with an emotion of their own: nothing that helps with a new speaker."""
    rng = np.random.default_rng(5)
    table = clips(n=360)
    sentence = rng.integers(0, 3, len(table))
    own = pd.Series(rng.integers(0, 3, 12), index=sorted(table["speaker"].unique()))
    table["sentence"] = [f"t{code}" for code in sentence]
    table["emotion"] = EMOTIONS[(sentence + table["speaker"].map(own)) % 3]
    known = table.assign(speaker="one")
    assert measured(table).loc["sentence", "folds"] == "speakers"
    assert measured(known).loc["sentence", "folds"] == "clips"  # one voice: clips are all that there is


def test_one_speaker_and_unknown_speakers() -> None:
    table = clips().assign(sentence=lambda one: one["emotion"].str[0], noise=["x", "y"] * 120)
    for speakers in ("one", None):
        found = measured(table.assign(speaker=speakers))
        assert found["found"].to_dict() == {"sentence": True, "noise": False}


def test_the_order_of_the_clips_changes_no_value() -> None:
    table = clips().assign(sentence=lambda one: np.where(one["emotion"] == "joy", "a", one["speaker"].str[-1]))
    mixed = table.sample(frac=1, random_state=0)
    columns = ["uar", "uar_low", "uar_high", "found"]
    assert measured(table).loc["sentence", columns].tolist() == measured(mixed).loc["sentence", columns].tolist()


def test_copies_and_clips_without_label_do_not_count() -> None:
    table = clips().assign(split="train", duration=1.0, sentence=lambda one: one["emotion"].str[:1])
    copied = with_copies(table, 1)
    pd.testing.assert_frame_equal(measured(copied), measured(table))
    more = pd.concat([table, table.set_axis("x" + table.index).assign(emotion=None, sentence="q")])
    pd.testing.assert_frame_equal(measured(more), measured(table))


def test_nothing_to_measure() -> None:
    assert measured(clips().assign(emotion="joy")).empty
    assert "language" not in measured(clips().assign(language="it")).index
    assert "valence" not in measured(clips().assign(valence=np.arange(240.0))).index


def test_wrong_input() -> None:
    with pytest.raises(InputError, match="No column 'emotion'"):
        label_shortcuts(pd.DataFrame({"speaker": ["a"]}))
    with pytest.raises(InputError, match="Bad n_permutations 0"):
        label_shortcuts(clips(), n_permutations=0)


def test_words_and_lengths_of_ased_give_the_emotion_away(real_corpus) -> None:
    """In ASED, a sentence has one emotion, and the clips of an emotion were cut to a few lengths."""
    found = measured(load_corpus("ased", real_corpus("ased") / "labels.csv"))
    assert found.loc["sentence", "uar_low"] == 1
    assert found.loc["duration", "uar_low"] > 0.6 > found.loc["duration", "chance_high"]
    assert not found.loc[["gender", "speaker"], "found"].any()


def test_emovo_has_no_shortcut(real_corpus) -> None:
    """Every speaker says every sentence with every emotion."""
    assert not measured(load_corpus("emovo", real_corpus("emovo")))["found"].any()
