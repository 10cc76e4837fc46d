import pytest
import torch
from torch import nn

from ser_graph.audio.log_mel import LogMel
from ser_graph.audio.settings import LogMelSettings
from ser_graph.downstream import Student, train
from ser_graph.downstream.settings import PAPER
from ser_graph.edge.exporting import export


@pytest.fixture(scope="session")
def make_student():
    """A student with statistics as after training, so that no layer passes on what it gets."""

    def make(backbone="resnet9", normalise="corpus", n_samples=8704, emotions=("anger", "fear", "sadness"), **more):
        features = LogMelSettings(n_samples=n_samples)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            student = Student(backbone, list(emotions), features, normalise=normalise, **more)
            nn.init.normal_(student.standardise.mean, -5.0 if normalise == "corpus" else 0.0)
            nn.init.uniform_(student.standardise.std, 1, 3)
            for module in student.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = 1.0
            with torch.no_grad():
                student.train()(
                    torch.randn(8, features.n_frames, features.n_mels) * torch.arange(1, 9)[:, None, None]
                )
            nn.init.normal_(student.backbone.fc2.weight, 0, 0.5)
        return student.eval()

    return make


@pytest.fixture(scope="session")
def student(_toy_graph):
    """A student that has learnt the toy graph; not to be changed."""
    return train(_toy_graph, **{**PAPER, "epochs": 3}, method="baseline", progress=False)


@pytest.fixture(scope="session")
def hearing(_toy_graph):
    """One that normalises by speaker; not to be changed. By a clip alone it recognises nothing of the toy graph."""
    how = {**PAPER, "epochs": 3, "normalise": "speaker"}
    return train(_toy_graph, **how, method="baseline", progress=False)


@pytest.fixture(scope="session")
def hearing_exported(hearing, tmp_path_factory):
    """The same as an ONNX file; not to be changed."""
    return export(hearing, tmp_path_factory.mktemp("hearing") / "hearing.onnx", progress=False)


@pytest.fixture(scope="session")
def exported(student, tmp_path_factory):
    """That student as an ONNX file; not to be changed."""
    folder = tmp_path_factory.mktemp("exported")
    return export(student.save(folder / "student"), folder / "deep" / "student.onnx", progress=False)


@pytest.fixture(scope="session")
def exported_int8(student, _toy_graph, tmp_path_factory):
    """The same in 8 bits."""
    out = tmp_path_factory.mktemp("int8") / "int8.onnx"
    return export(student, out, int8=True, clips=_toy_graph, progress=False)


@pytest.fixture(scope="session")
def clip(student):
    """[1, n_samples] noise, and what the student says about it: its probabilities and `fc1`."""
    waveform = 0.1 * torch.randn(1, student.features.n_samples, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        output = student(LogMel(student.features)(waveform))
    return waveform, (output.logits.softmax(1), output.fc1)
