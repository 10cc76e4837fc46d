import pytest
import torch

from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.downstream import Student
from ser_graph.edge.measuring import latency_ms, size_mb


@pytest.fixture(scope="module")
def student():
    return Student("resnet9", ["anger", "fear"], LogMelSettings(n_samples=8192))


def test_size_is_that_of_the_weights(student, tmp_path):
    folder = student.save(tmp_path / "student")
    values = sum(value.numel() for value in student.state_dict().values())
    assert size_mb(folder) == pytest.approx(4 * values / 1e6, rel=0.01)
    assert size_mb(str(folder)) == (folder / "model.safetensors").stat().st_size / 1e6


def test_latency_sets_threads_back_and_changes_nothing(student):
    before = torch.get_num_threads()
    seen = []
    student.register_forward_hook(lambda *_: seen.append((torch.get_num_threads(), student.training)))
    state = {name: value.clone() for name, value in student.train().state_dict().items()}
    torch.set_num_threads(2)
    try:
        assert 0 < latency_ms(student, repeats=3, threads=1) < 60_000
        assert torch.get_num_threads() == 2
        assert seen == [(1, False)] * 5  # two of them to warm up
        student.features = None
        with pytest.raises(AttributeError):
            latency_ms(student)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(value, state[name]) for name, value in student.state_dict().items())
