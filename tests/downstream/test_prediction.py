import numpy as np
import pandas as pd
import pytest
import torch

from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.downstream import Student, predict, prediction
from ser_graph.downstream.prediction import predict_logits
from ser_graph.errors import InputError
from ser_graph.graph import build_graph

SHORT = LogMelSettings(n_samples=8192)


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    made = Student("resnet9", ["anger", "fear", "sadness"], SHORT)
    made.standardise.mean.fill_(-5)
    return made


def test_a_row_per_clip(student, toy_graph):
    toy_graph.table.loc["s0/001.wav", "emotion"] = np.nan
    found = predict(student, toy_graph)
    assert found.index.equals(toy_graph.table.index)
    columns = ["emotion", "speaker", "predicted", "p_anger", "p_fear", "p_sadness"]
    assert list(found.columns) == columns
    shares = found[columns[3:]]
    assert shares.dtypes.tolist() == [np.dtype("float64")] * 3
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert ("p_" + found["predicted"] == shares.idxmax(axis=1)).all()
    assert found["emotion"].isna().sum() == 1
    logits = student(toy_graph.x[:5]).logits.detach()
    np.testing.assert_allclose(shares[:5], logits.double().softmax(1), atol=1e-5)


def test_one_split(student, toy_graph):
    whole, test = predict(student, toy_graph), predict(student, toy_graph, "test")
    assert test.index.equals(toy_graph.table.index[toy_graph.test_mask.numpy()])
    pd.testing.assert_frame_equal(test, whole.loc[test.index], atol=1e-5)
    with pytest.raises(InputError, match="No clip to predict in the split 'val'"):
        predict(student, toy_graph, "val")


def test_batch_size_and_rows(student, toy_graph):
    whole = predict_logits(student, toy_graph.x, batch_size=120)
    for size in (1, 7, 64):
        torch.testing.assert_close(
            predict_logits(student, toy_graph.x[:20], batch_size=size), whole[:20], rtol=1e-4, atol=1e-5
        )
    rows = torch.tensor([7, 3, 3])
    torch.testing.assert_close(predict_logits(student, toy_graph.x, rows), whole[rows], rtol=1e-4, atol=1e-5)
    assert predict_logits(student, toy_graph.x[:0]).shape == (0, 3)


def test_evaluation_mode(student, toy_graph):
    student.train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    predict_logits(student, toy_graph.x[:4])
    assert not student.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_from_the_files_as_from_the_graph(student, make_clips, monkeypatch):
    monkeypatch.setattr(prediction, "_PART", 2)  # the last part is one clip
    names = [f"{clip}.wav" for clip in range(5)]
    folder = make_clips(*names, seconds=0.7)
    table = pd.DataFrame(
        {
            "emotion": "fear",
            "speaker": ["a"] * 3 + ["b"] * 2,
            "gender": "male",
            "duration": 0.7,
            "split": ["train"] * 3 + ["test"] * 2,
        },
        index=pd.Index(names, name="file"),
    )
    table.attrs = {"corpus": "noise", "root": str(folder)}
    data = build_graph(table, emb=torch.eye(5) + 1, features=SHORT, epsilon=None, progress=False)
    for split in (None, "test"):
        from_files = predict(student, table, split, progress=False)
        pd.testing.assert_frame_equal(from_files, predict(student, data, split), atol=1e-5)
    assert predict(student, table, root=folder, progress=False)["p_fear"].nunique() == 5


def test_spectrograms_of_other_settings_are_refused(toy_graph):
    other = Student("resnet9", ["anger"], LogMelSettings(n_samples=8192, floor=1e-5))
    with pytest.raises(
        InputError, match="have floor=1e-06, the student expects 1e-05; predict from the clip table"
    ):
        predict(other, toy_graph)
