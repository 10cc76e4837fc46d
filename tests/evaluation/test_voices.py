"""What a student gains by what it has heard of a voice."""

import pytest

import ser_graph
from ser_graph.downstream import Student, predict_clips, train
from ser_graph.downstream.settings import PAPER
from ser_graph.errors import InputError
from ser_graph.evaluation import heard_curve, uar


@pytest.fixture(scope="module")
def student(_toy_graph):
    """It recognises nothing by a clip alone: what tells the toy graph's clips apart is constant within each."""
    how = {**PAPER, "epochs": 3, "normalise": "speaker"}
    return train(_toy_graph, **how, method="baseline", progress=False)


def test_a_voice_that_was_heard_is_understood(student, toy_graph):
    table = heard_curve(student, toy_graph)
    assert list(table.index) == [0, 1, 3, 10, "all"] and table.index.name == "heard"
    assert list(table) == ["uar", "uar_low", "uar_high"]
    assert table["uar"].tolist()[0] < 0.5 and table.loc["all", "uar"] > 0.8
    for heard in (3, None):  # all clips of the split are judged, those that were heard too
        said = predict_clips(student, toy_graph, "test", heard=heard)
        assert len(said) == int(toy_graph.test_mask.sum())
        assert table.loc["all" if heard is None else heard, "uar"] == uar(said["emotion"], said["predicted"])
    assert list(ser_graph.evaluation.heard_curve(student, toy_graph, "dev", clips=(2,)).index) == [2]


def test_mistakes_are_one_line(student, toy_graph):
    other = Student("resnet9", student.emotions, student.features)
    for model, clips, words in [
        (other, (0,), "normalise='corpus': earlier clips of a speaker make no difference"),
        (student, (), r"Bad numbers of clips \[\]"),
        (student, (0, -1), r"Bad numbers of clips \[0, -1\]"),
    ]:
        with pytest.raises(InputError, match=words):
            heard_curve(model, toy_graph, clips=clips)
