import numpy as np
import pandas as pd
import pytest
import torch

from ser_graph.audio.settings import LogMelSettings
from ser_graph.downstream import BACKBONES, Student, load_student, predict_clips
from ser_graph.errors import InputError

SHORT = LogMelSettings(n_samples=8192)
EMOTIONS = ["anger", "fear", "sadness"]
BY_HAND = {"add": lambda a, b: a + b, "max": np.maximum, "avg": lambda a, b: (a + b) / 2}


def made(transfer, backbone="resnet9"):
    torch.manual_seed(0)
    return Student(backbone, EMOTIONS, SHORT, transfer=transfer).eval()


@pytest.fixture
def wide_graph(toy_graph):
    """The toy graph with embeddings as wide as fc1."""
    toy_graph.emb = torch.randn(120, 256, generator=torch.Generator().manual_seed(1))
    return toy_graph


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
@pytest.mark.parametrize("transfer", sorted(BY_HAND))
@torch.inference_mode()
def test_fc1_by_hand(transfer, backbone):
    features = LogMelSettings(n_samples=512 + 256 * 63)
    torch.manual_seed(0)
    plain = Student(backbone, EMOTIONS, features).eval()
    fused = Student(backbone, EMOTIONS, features, transfer=transfer).eval()
    fused.load_state_dict(plain.state_dict())
    x, emb = torch.randn(4, 64, 64), torch.randn(4, 256)
    fc1, logits = fused(x, emb)
    expected = BY_HAND[transfer](plain(x).fc1.numpy(), emb.numpy())
    np.testing.assert_allclose(fc1, expected, rtol=1e-5, atol=1e-6)
    # In the paper's code two have the ReLU of fc1 inside it, the other two after it.
    into_fc2 = expected if backbone in ("resnet9", "mobilenet15") else np.maximum(expected, 0)
    weight, bias = (parameter.numpy() for parameter in (plain.backbone.fc2.weight, plain.backbone.fc2.bias))
    np.testing.assert_allclose(logits, into_fc2 @ weight.T + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("transfer", sorted(BY_HAND))
def test_stored_and_loaded(transfer, wide_graph, tmp_path):
    student = made(transfer)
    student.save(tmp_path / "student")
    loaded = load_student(tmp_path / "student")
    assert (loaded.transfer, loaded.needs_teacher, loaded.info["needs_teacher"]) == (transfer, True, True)
    found = predict_clips(loaded, wide_graph)
    pd.testing.assert_frame_equal(found, predict_clips(student, wide_graph))
    with torch.inference_mode():
        logits = student(wide_graph.x[:7], wide_graph.emb[:7]).logits
    np.testing.assert_allclose(found.iloc[:7, 3:], logits.double().softmax(1), atol=1e-6)
    # One split: the embeddings follow their clips.
    pd.testing.assert_frame_equal(predict_clips(loaded, wide_graph, "test"), found[-30:], atol=1e-5)


def test_other_students_need_no_teacher(wide_graph):
    student = made("none")
    assert not student.needs_teacher
    assert "needs_teacher" not in student.info
    with torch.inference_mode():
        x, emb = wide_graph.x[:3], wide_graph.emb[:3]
        assert torch.equal(student(x, emb).logits, student(x).logits)


def test_without_the_teacher_there_is_no_answer(wide_graph):
    student = made("max")
    with pytest.raises(InputError, match=r"needs the teacher at inference \(transfer='max'\): give a graph"):
        predict_clips(student, wide_graph.table)
    with pytest.raises(InputError, match=r"needs the teacher's embedding of every clip \(transfer='max'\)"):
        student(wide_graph.x[:2])


def test_embeddings_of_another_width_and_unknown_transfers(toy_graph):
    with pytest.raises(InputError, match=r"transfer='add' needs embeddings of 256 dimensions.*the graph have 16"):
        predict_clips(made("add"), toy_graph)
    thin = Student("resnet9", EMOTIONS, SHORT, transfer="add", width=0.5)
    with pytest.raises(InputError, match=r"needs embeddings of 128 dimensions.*at width 0.5.*the graph have 16"):
        predict_clips(thin, toy_graph)
    with pytest.raises(InputError, match=r"Bad transfer 'sum', expected one of \['add', 'avg', 'max', 'none'\]"):
        made("sum")
