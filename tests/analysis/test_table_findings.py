import numpy as np
import pandas as pd
import pytest

from ser_graph.analysis.findings import SEVERITIES
from ser_graph.analysis.table_findings import (
    PAIR_COLUMNS,
    balance_findings,
    clip_findings,
    repeated_findings,
    same_audio_pairs,
    split_findings,
)
from ser_graph.corpora.checking import DecodedClip


def table(emotion: str, split: str = "", speaker: str = "", **columns: str) -> pd.DataFrame:
    """A clip table, a letter a clip: T, D, E are train, dev, test; _ is unknown."""
    n = len(emotion)
    rows = {"emotion": list(emotion), "speaker": list(speaker or "s" * n), "split": list(split or "T" * n)}
    rows |= {name: list(values) for name, values in columns.items()}
    clips = pd.DataFrame(rows, index=pd.Index([f"{clip}.wav" for clip in range(n)], name="file")).replace(
        "_", np.nan
    )
    return clips.assign(split=clips["split"].map({"T": "train", "D": "dev", "E": "test"}))


def by_name(findings) -> dict:
    found = {one.name: one for one in findings}
    assert all(one.severity in SEVERITIES and one.what.endswith(".") for one in found.values())
    return found


def decoded(digests: str) -> list[DecodedClip]:
    return [DecodedClip(digest="" if one == "_" else one, rate=16_000) for one in digests]


def test_pairs_of_the_same_samples() -> None:
    pairs = same_audio_pairs(table("abcdefg"), decoded("xyx_xy_"))
    assert pairs[["file", "other"]].values.tolist() == [
        ["0.wav", "2.wav"],
        ["0.wav", "4.wav"],
        ["1.wav", "5.wav"],
    ]
    assert (pairs["correlation"] == 1).all()
    assert same_audio_pairs(table("ab"), decoded("__")).empty


@pytest.mark.parametrize(("kind", "two_labels"), [("same", "error"), ("similar", "warning")])
def test_what_a_repeated_recording_means(kind, two_labels) -> None:
    """A pair in two splits leaks, whatever its labels; then labels count; unknown ones contradict nothing."""
    clips = table("aaababa_a_", split="TTTTTETTT_")
    pairs = [(0, 1, 0.91), (2, 3, 1.0), (4, 5, 0.95), (6, 7, 0.92), (8, 9, 0.99)]
    pairs = pd.DataFrame([(f"{a}.wav", f"{b}.wav", c) for a, b, c in pairs], columns=PAIR_COLUMNS)
    found = by_name(repeated_findings(clips, pairs, kind))
    listed = {name: one.clips[["file", "other"]].values.tolist() for name, one in found.items()}
    assert listed == {
        f"{kind} sound in two splits": [["4.wav", "5.wav"]],
        f"{kind} sound with two labels": [["2.wav", "3.wav"]],
        f"{kind} sound": [["8.wav", "9.wav"], ["6.wav", "7.wav"], ["0.wav", "1.wav"]],
    }
    assert [one.severity for one in found.values()] == ["error", two_labels, "warning"]
    assert found[f"{kind} sound"].clips["score"].tolist() == pytest.approx([0.01, 0.08, 0.09])
    assert "a, train / b, test" in found[f"{kind} sound in two splits"].clips["detail"][0]


def test_no_pairs() -> None:
    assert not list(repeated_findings(table("ab"), pd.DataFrame(columns=PAIR_COLUMNS)))


def test_unusable_and_unusual_clips() -> None:
    clips = decoded("ab_d")
    clips[2].problems.append(("silent", "no sample is above -60 dB"))
    clips[3].problems.append(("low rate", "8000 Hz"))
    found = by_name(clip_findings(table("abab"), clips))
    assert {name: one.severity for name, one in found.items()} == {
        "unusable clips": "error",
        "unusual clips": "warning",
    }
    assert found["unusable clips"].clips["file"].tolist() == ["2.wav"]
    assert found["unusable clips"].what == "1 of 4 clips is unusable: silent 1."
    assert not list(clip_findings(table("abab"), decoded("aaaa")))  # repeated sound is another finding


def test_speakers_in_two_splits() -> None:
    found = by_name(split_findings(table("abab" * 2, split="TTDDEETE", speaker="12334455")))
    shared = found["speakers in two splits"]
    assert shared.severity == "error" and shared.evidence.index.tolist() == ["5"]
    assert "1 speaker is in more than one split: 5." in shared.what
    clean = by_name(split_findings(table("abab" * 2, split="TTDDEETT", speaker="12334455")))
    assert not clean


def test_sentences_in_two_splits_are_to_know() -> None:
    clips = table("ababab", split="TTDDEE", speaker="112233", sentence="xyxyyz")
    shared = by_name(split_findings(clips))["sentences in two splits"]
    assert shared.severity == "note" and shared.what.startswith("1 of the 2 sentences of test ")
    assert not by_name(split_findings(clips.assign(sentence=list("xyxypq"))))


def test_classes_missing_in_a_split() -> None:
    found = by_name(split_findings(table("abcabacb", split="TTTDDEEE", speaker="11122333")))
    missing = found["classes missing in a split"]
    assert (missing.severity, missing.what) == ("error", "No clip of c in dev.")
    assert missing.evidence.loc["c"].tolist() == [1, 0, 1]


def test_a_split_without_clips() -> None:
    found = by_name(split_findings(table("abab", split="TTEE", speaker="1122")))
    assert list(found) == ["empty splits"]
    assert found["empty splits"].what == "No labelled clip is in dev."
    assert found["empty splits"].severity == "warning"


@pytest.mark.parametrize(
    ("emotions", "severity"), [("aabb", None), ("aaabb", "note"), ("aaab", "warning"), ("aaaa", None)]
)
def test_imbalance(emotions, severity) -> None:
    found = by_name(balance_findings(table(emotions)))
    assert (found["imbalance"].severity if found else None) == severity


def test_the_evidence_of_imbalance() -> None:
    finding = by_name(balance_findings(table("aaaaaabb", speaker="12345612")))["imbalance"]
    assert finding.evidence.values.tolist() == [[6, 6], [2, 2]]
    assert finding.what == "a has 6 clips, 3.0 times as many as b (2)."


def test_gaps() -> None:
    found = by_name(balance_findings(table("ab_b_a", speaker="1_2222")))
    assert found["clips without a label"].what == "2 of 6 clips are without an emotion."
    assert found["unknown speakers"].what == "1 of 6 clips is of unknown speaker."
    assert found["unknown speakers"].severity == "warning"
