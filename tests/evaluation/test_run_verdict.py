"""Verdicts on runs made by hand, whose numbers are known."""

import pytest

from ser_graph.errors import InputError
from ser_graph.evaluation import verdict

N_CLIPS = 40


def a_student(method, right, dev=0.5, seed=0, alpha=None, **further):
    alpha = (method != "baseline") * (alpha or 0.1)
    return {
        "name": f"{method}-{alpha}-{seed}-{'-'.join(map(str, further.values()))}",
        "backbone": "cnn6",
        "method": method,
        "alpha": alpha,
        "n_neighbors": None,
        "layer": "fc2",
        "transfer": "none",
        "seed": seed,
        "further": further,
        "training": {"epochs": 5, "epoch_steps": 1, "batch_size": 16},
        "dev_uar": dev,
        "dev_accuracy": dev,
        "uar": right / N_CLIPS,
        "accuracy": right / N_CLIPS,
        "right": right,
    }


def rows(text):
    """The rows of the table, by method."""
    lines = text.split("\n\n")[1].splitlines()[1:]
    return {line.split("  ")[0].strip() or line.split()[0]: line.split() for line in map(str.strip, lines)}


def test_differences_are_those_of_the_means(make_run):
    students = [a_student("baseline", right, seed=seed) for seed, right in enumerate([8, 12])]
    students += [a_student("nsl", right, seed=seed) for seed, right in enumerate([20, 24])]  # +30 points for all
    text = verdict(make_run(students))
    found = rows(text)
    assert found["labels alone"][2:] == ["2", "50.0", "±", "0.0", "25.0", "±", "7.1"]
    assert found["nsl"][1:8] == ["2", "50.0", "±", "0.0", "55.0", "±", "7.1"]
    assert found["nsl"][8] == "+30.0"
    assert "nsl helps: +30.0 points of UAR (95 %: 30.0 to 30.0)." in text  # each of the 4 speakers gains as much
    assert text.splitlines()[0] == "Verdict (4 test speakers: the intervals are coarse)"


@pytest.mark.parametrize(("right", "said"), [(4, "nsl harms: -40.0"), (20, "nsl shows no gain: +0.0")])
def test_harm_and_no_gain_are_said(make_run, right, said):
    text = verdict(make_run([a_student("baseline", 20), a_student("nsl", right)]))
    assert said in text
    assert ("contains zero" in text) == (right == 20)


def test_one_speaker_shows_nothing(make_run):
    text = verdict(make_run([a_student("baseline", 20), a_student("nsl", 24)], n_speakers=1))
    assert text.splitlines()[0] == "Verdict (one test speaker: no intervals)"
    assert rows(text)["nsl"][-3:] == ["+10.0", "[one", "speaker]"]
    assert "nsl: +10.0 points of UAR; one test speaker cannot show whether it helps." in text
    assert "nan" not in text


def test_the_graph_is_the_reason_only_of_methods_that_use_it(make_run):
    assert verdict(make_run([a_student("baseline", 20), a_student("nsl", 24)], "a")).endswith("teach nothing.")
    assert "teach nothing" not in verdict(make_run([a_student("baseline", 20), a_student("distil", 24)], "b"))


def test_settings_are_told_apart(make_run):
    students = [a_student("baseline", 20), *(a_student("nsl", 20, alpha=alpha) for alpha in (0.1, 1.0))]
    assert {"labels alone", "nsl, alpha 0.1", "nsl, alpha 1.0"} == set(rows(verdict(make_run(students))))


def test_conditions_that_all_share_are_in_the_title(make_run):
    students = [a_student(method, 20, label_fraction=0.1) for method in ("baseline", "nsl")]
    text = verdict(make_run(students, n_speakers=20, synthetic=True))
    assert text.splitlines()[0] == "Verdict (synthetic speech, label_fraction=0.1, 20 test speakers)"


def test_nothing_to_compare(make_run, tmp_path):
    assert verdict(make_run([a_student("baseline", 20)], "a")) == ""
    assert verdict(make_run([a_student("nsl", 20)], "b")) == ""
    with pytest.raises(InputError, match="is not a finished run"):
        verdict(tmp_path)


def test_a_run_of_the_paper_has_no_dev(make_run):
    text = verdict(make_run([a_student("baseline", 20), a_student("nsl", 24)], protocol="paper"))
    assert rows(text)["nsl"][2] == "-" and "nsl helps: +10.0" in text
