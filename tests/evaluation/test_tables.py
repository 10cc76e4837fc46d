import copy

import pytest

from ser_graph.evaluation.tables import format_results, students_table

STUDENT = {
    "name": "cnn6 NSL",
    "accuracy": 0.789,
    "accuracy_low": 0.751,
    "accuracy_high": 0.8,
    "uar": 0.5,
    "uar_low": None,
    "uar_high": None,
    "size_mb": 17.76,
    "latency_ms": 12.4,
    "transfer": "none",
}
RESULTS = {
    "name": "demo",
    "title": "From the source to the target",
    "upstream": {
        "corpus": "ravdess",
        "n_params": 94_569_864,
        "dev_accuracy": 0.8,
        "test_accuracy": 0.712,
    },
    "graph": {
        "n_clips": 9365,
        "n_edges": 12345,
        "n_in_scope": 3729,
        "coverage": 0.987,
        "homophily": 0.75,
        "homophily_chance": 0.143,
        "same_speaker": 0.5,
        "same_speaker_chance": None,
    },
    "students": [STUDENT, {**STUDENT, "name": "cnn6 baseline", "accuracy": 0.772}],
    "n_test": 2326,
    "n_test_speakers": 18,
    "shared_speakers": 0,
}


def test_what_a_run_found():
    text = format_results(RESULTS)
    lines = text.splitlines()
    assert lines[0] == "demo: From the source to the target"
    assert "94.6 M parameters, accuracy on ravdess: dev 80.0 %, test 71.2 %" in text
    assert "9,365 clips, 12,345 edges among 3,729 training clips, coverage 98.7 %" in text
    assert "same emotion 75.0 % (chance 14.3 %), same speaker 50.0 % (chance -)" in text
    assert "2,326 clips of 18 speakers, none in training" in text
    assert "of 1 speaker, none" in format_results({**RESULTS, "n_test_speakers": 1})
    (row,) = [line for line in lines if "cnn6 NSL" in line]
    assert row.split() == [
        "cnn6",
        "NSL",
        "78.9",
        "[75.1-80.0]",
        "50.0",
        "[one",
        "speaker]",
        "17.8",
        "MB",
        "12",
        "ms",
    ]
    assert max(map(len, lines)) <= 110


def test_a_student_without_a_latency_says_why():
    slow = [{**STUDENT, "latency_ms": None, "transfer": transfer} for transfer in ("add", "none")]
    lines = format_results({**RESULTS, "students": slow}).splitlines()
    ends = [line.rstrip().removeprefix("cnn6 NSL") for line in lines if "cnn6 NSL" in line]
    assert ends[0].endswith("17.8 MB needs upstream") and ends[1].endswith("17.8 MB              -")


def test_shared_speakers_are_owned_up_to():
    shared = {**RESULTS, "shared_speakers": 3}
    assert "2,326 clips; speakers also in training: 3" in format_results(shared)


def test_an_upstream_that_was_not_tested_is_not_mentioned():
    results = copy.deepcopy(RESULTS)
    results["upstream"] = {"weights": "small"}
    assert "Upstream" not in format_results(results)


def test_students_table():
    table = students_table(RESULTS)
    assert list(table.index) == ["cnn6 NSL", "cnn6 baseline"]
    assert table.loc["cnn6 baseline", "accuracy"] == pytest.approx(0.772)
    assert table["uar_low"].isna().all()
