import numpy as np
import pandas as pd
import pytest

from ser_graph.evaluation import label_shortcuts
from ser_graph.evaluation.shortcut_advice import shortcut_findings


def table(**columns) -> pd.DataFrame:
    emotion = np.array(["anger", "joy"] * 60)
    speaker = np.repeat([f"s{code}" for code in range(10)], 12)
    return pd.DataFrame({"emotion": emotion, "speaker": speaker, **columns})


def found(clips: pd.DataFrame):
    shortcuts = label_shortcuts(clips, n_permutations=100, progress=False)
    return {one.name: one for one in shortcut_findings(clips, shortcuts)}


IS_JOY = np.arange(120) % 2 == 1


def test_a_sentence_that_is_always_spoken_with_one_emotion() -> None:
    sentence = np.where(IS_JOY, "j", "a").astype(object)
    sentence[:20] = "both"
    (finding,) = found(table(sentence=sentence)).values()
    assert (finding.name, finding.severity) == ("shortcut: sentence", "error")
    assert "2 of its 3 values occur with one emotion only" in finding.what
    assert "Words give the label away" in finding.meaning
    assert finding.evidence.loc["j"].tolist() == [0, 50] and finding.evidence.loc["both"].tolist() == [10, 10]
    assert finding.evidence.index[-1] == "both"


@pytest.mark.parametrize(
    ("column", "share", "severity"),
    [
        ("sentence", 0.85, "error"),
        ("sentence", 0.6, "warning"),
        ("codec", 0.6, "warning"),
        ("level", 0.9, "error"),
        ("level", 0.68, "warning"),
        ("level", 0.6, "note"),
        ("measured level", 0.6, "note"),
    ],
)
def test_severity_follows_the_strength(column, share, severity) -> None:
    """The share of each speaker's clips whose value agrees with the emotion is the UAR."""
    clips = pd.concat([table()] * 10, ignore_index=True)
    rank = np.arange(len(clips)) // 2 % 50
    agrees = rank < 50 * share
    values = agrees == (clips["emotion"] == "joy").to_numpy()
    clips[column] = values.astype(float) if "level" in column else np.where(values, "x", "y")
    finding = found(clips)[f"shortcut: {column}"]
    assert finding.severity == severity


def test_quartiles_of_a_number() -> None:
    finding = found(table(duration=np.where(IS_JOY, 2.0, 1.0)))["shortcut: duration"]
    assert finding.evidence.loc["joy"].tolist() == [2, 2, 2, 1]
    assert finding.evidence.index.name == "emotion"
