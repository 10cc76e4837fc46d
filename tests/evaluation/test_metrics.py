from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import balanced_accuracy_score

from ser_graph.errors import InputError
from ser_graph.evaluation import bootstrap, confusion_matrix, evaluate, uar, uar_batchwise

LABELS = st.lists(
    st.tuples(st.sampled_from(["anger", "fear", "joy"]), st.sampled_from(["anger", "fear", "joy", "calm"])),
    min_size=1,
    max_size=60,
)


def table(true, predicted, speaker="s"):
    index = pd.Index([f"{clip:04d}.wav" for clip in range(len(true))], name="file")
    return pd.DataFrame({"emotion": true, "speaker": speaker, "predicted": predicted}, index=index)


def plain_recall(true, predicted, classes):
    """Mean over the classes of the share that was found of each; nothing found of what does not occur."""
    recalls = []
    for name in classes:
        found = [guess == name for label, guess in zip(true, predicted, strict=True) if label == name]
        recalls.append(np.mean(found) if found else 0.0)
    return float(np.mean(recalls))


def test_uar_by_hand():
    true = ["anger"] * 4 + ["fear"] * 2 + ["joy"]
    predicted = ["anger", "anger", "anger", "fear", "fear", "calm", "anger"]
    assert uar(true, predicted) == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    assert uar(true, true) == 1
    assert uar(true, ["anger"] * 7) == pytest.approx(1 / 3)


@settings(deadline=None, max_examples=30)
@given(LABELS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_uar_is_balanced_accuracy(pairs):
    true, predicted = zip(*pairs, strict=True)
    assert uar(list(true), list(predicted)) == pytest.approx(balanced_accuracy_score(true, predicted))
    assert uar(pd.Series(true), pd.Series(predicted)) == pytest.approx(plain_recall(true, predicted, set(true)))


@settings(deadline=None, max_examples=25)
@given(LABELS, st.integers(1, 20))
def test_the_batchwise_value_is_a_loop_over_batches(pairs, size):
    true, predicted = (list(column) for column in zip(*pairs, strict=True))
    parts = [slice(start, start + size) for start in range(0, len(true), size)]
    expected = np.mean([plain_recall(true[part], predicted[part], sorted(set(true))) for part in parts])
    assert uar_batchwise(true, predicted, batch_size=size) == pytest.approx(expected)


def test_the_papers_uar_is_about_nine_percent_low():
    """Even perfect predictions of the test clips of DEMoS get .908 batch-wise: many a batch lacks a class."""
    counts = [360, 404, 291, 281, 363, 381, 246]
    n = sum(counts)
    assert n == 2326

    def expected(size):  # a class scores 1 in a batch that holds it and 0 in another
        return 1 - np.mean([comb(n - count, size) / comb(n, size) for count in counts])

    assert expected(16) == pytest.approx(0.908, abs=0.0005)
    true = np.repeat(list("abcdefg"), counts)
    generator = np.random.default_rng(0)
    values = [uar_batchwise(shuffled, shuffled) for shuffled in (generator.permutation(true) for _ in range(3))]
    # 145 batches of 16 and one of 6; one shuffle has a deviation of 0.01.
    assert np.mean(values) == pytest.approx((145 * expected(16) + expected(6)) / 146, abs=0.02)
    assert uar(true, true) == 1


def random_predictions(n=80, n_speakers=5, seed=0):
    generator = np.random.default_rng(seed)
    true = generator.choice(["anger", "fear", "joy"], n, p=[0.5, 0.4, 0.1])
    predicted = np.where(generator.random(n) < 0.6, true, generator.choice(["anger", "fear", "calm"], n))
    return table(true, predicted, generator.integers(n_speakers, size=n).astype(str))


def test_the_bootstrap_draws_whole_speakers():
    predictions = random_predictions()
    n_resamples = 60
    found = bootstrap(predictions, n_resamples=n_resamples, seed=4)
    people = [rows for _, rows in predictions.groupby("speaker")]
    # The same draws, resampled clip by clip.
    draws = np.random.default_rng(4).multinomial(
        len(people), np.full(len(people), 1 / len(people)), size=n_resamples
    )
    accuracies, recalls = [], []
    for draw in draws:
        clips = pd.concat([rows for rows, times in zip(people, draw, strict=True) for _ in range(times)])
        accuracies.append((clips["emotion"] == clips["predicted"]).mean())
        recalls.append(plain_recall(clips["emotion"], clips["predicted"], sorted(set(clips["emotion"]))))
    for name, values in (("accuracy", accuracies), ("uar", recalls)):
        assert found[name][f"{name}_low"] == pytest.approx(np.quantile(values, 0.025))
        assert found[name][f"{name}_high"] == pytest.approx(np.quantile(values, 0.975))


def test_intervals_hold_the_estimate_and_repeat():
    predictions = random_predictions(n=300, n_speakers=12)
    result = evaluate(predictions, n_resamples=500)
    for name in ("accuracy", "uar"):
        assert 0 <= result[f"{name}_low"] < result[name] < result[f"{name}_high"] <= 1
    assert result == evaluate(predictions, n_resamples=500)


def test_speakers_that_differ_widen_the_interval():
    """The same clips, right or wrong by chance or by speaker."""
    right = np.arange(400) % 2 == 0
    predicted = np.where(right, "joy", "fear")
    by_chance = bootstrap(table(["joy"] * 400, predicted, (np.arange(400) // 2 % 20).astype(str)))["accuracy"]
    by_speaker = bootstrap(table(["joy"] * 400, predicted, (np.arange(400) % 20).astype(str)))["accuracy"]
    assert by_chance["accuracy_high"] - by_chance["accuracy_low"] == pytest.approx(0, abs=1e-12)
    # 20 speakers all right or all wrong: about two standard errors of a coin tossed 20 times, each way.
    assert by_speaker["accuracy_high"] - by_speaker["accuracy_low"] == pytest.approx(
        2 * 1.96 * 0.5 / 20**0.5, abs=0.08
    )


def test_one_speaker_has_no_interval():
    with pytest.warns(UserWarning, match="No interval: all 2 clips are of one speaker.* at least two speakers"):
        result = evaluate(table(["joy", "fear"], ["joy", "joy"]))
    assert (result["accuracy"], result["uar"], result["n_test"], result["n_test_speakers"]) == (0.5, 0.5, 2, 1)
    bounds = ["accuracy_low", "accuracy_high", "uar_low", "uar_high"]
    assert [result[name] for name in bounds] == [None] * 4


def test_clips_without_speaker_stand_for_themselves():
    predictions = random_predictions()
    alone = bootstrap(predictions.assign(speaker=np.nan), n_resamples=50)
    named = bootstrap(predictions.assign(speaker=predictions.index), n_resamples=50)
    assert alone == named


def test_clips_without_an_emotion_are_left_out():
    predictions = random_predictions()
    more = pd.concat([predictions, table([np.nan] * 3, ["joy"] * 3, "x").rename(lambda file: f"x{file}")])
    assert evaluate(more, n_resamples=50) == evaluate(predictions, n_resamples=50)
    assert bootstrap(more, n_resamples=50) == bootstrap(predictions, n_resamples=50)
    pd.testing.assert_frame_equal(confusion_matrix(more), confusion_matrix(predictions))
    with pytest.raises(InputError, match="No clip with a known emotion"):
        evaluate(more[-3:])


def test_confusion_matrix_by_hand():
    counts = confusion_matrix(table(["joy", "joy", "fear", "joy"], ["joy", "calm", "fear", "joy"]))
    assert list(counts.index) == list(counts.columns) == ["calm", "fear", "joy"]
    assert counts.to_numpy().tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 2]]
    assert (counts.index.name, counts.columns.name) == ("emotion", "predicted")


def test_a_table_without_emotions_is_refused_by_name():
    heard = pd.DataFrame({"start": [0.0], "end": [1.0], "predicted": ["fear"]})
    for measure in (evaluate, confusion_matrix):
        with pytest.raises(
            InputError, match="have no column 'emotion', only start, end, predicted; give the table"
        ):
            measure(heard)
