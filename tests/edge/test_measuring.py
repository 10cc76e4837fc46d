import subprocess
import sys

import numpy as np
import pytest
import torch

from ser_graph.audio.settings import LogMelSettings
from ser_graph.downstream import Student
from ser_graph.edge.measuring import latencies_ms, latency_ms, peak_memory_mb, size_mb


@pytest.fixture(scope="module")
def student():
    return Student("resnet9", ["anger", "fear"], LogMelSettings(n_samples=8192))


def test_size_is_that_of_the_weights(student, tmp_path):
    folder = student.save(tmp_path / "student")
    values = sum(value.numel() for value in student.state_dict().values())
    assert size_mb(folder) == pytest.approx(4 * values / 1e6, rel=0.01)
    weights = folder / "model.safetensors"
    assert size_mb(str(folder)) == size_mb(weights) == weights.stat().st_size / 1e6


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
        with pytest.raises(ValueError, match="broken"):
            latencies_ms(_broken, 10, 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(value, state[name]) for name, value in student.state_dict().items())


def _broken(_):
    raise ValueError("broken")


def test_latencies_are_of_one_clip_without_the_warm_up():
    asked = []
    times = latencies_ms(asked.append, 100, 7)
    assert times.shape == (7,) and (times >= 0).all()
    assert [(wave.shape, wave.dtype) for wave in asked] == [((1, 100), np.float32)] * 9
    assert 0 < abs(asked[0]).max() <= 0.1


def test_multiplications_by_hand():
    """ResNet-9 on 31 x 64: sizes of the layers' outputs times the size of each kernel."""
    student = Student("resnet9", ["anger", "fear"], LogMelSettings(n_samples=8192))
    h, w = 16, 32  # after the first convolution, of stride 2
    macs = h * w * 64 * 49
    h, w, channels = 8, 16, 64  # after max pooling
    for width in (128, 256, 512):
        h, w = -(-h // 2), -(-w // 2)
        macs += h * w * width * (9 * channels + 9 * width + channels)  # two of 3 x 3, and one of 1 x 1 beside them
        channels = width
    macs += 512 * 256 + 256 * 2
    assert student.macs == macs


def test_peak_memory_is_of_this_process_alone():
    """A process that takes 200 MB and gives them back; one that it starts is small again."""
    say = "from ser_graph.edge.measuring import peak_memory_mb as peak\n"
    code = f"""
{say}import subprocess, sys
before = peak()
big = bytearray(200_000_000); del big
child = subprocess.run([sys.executable, "-c", {say + "print(peak())"!r}], capture_output=True, text=True)
print(before, peak(), child.stdout)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after, of_child = map(float, found.split())
    assert 190 < after - before < 230
    assert of_child < before + 50
    assert peak_memory_mb() > 0
