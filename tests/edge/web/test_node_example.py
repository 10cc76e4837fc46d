"""The example for Node predicts what `predict` predicts."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ser_graph.edge.prediction import predict

EXAMPLE = Path(__file__).parents[3] / "examples" / "node" / "predict.mjs"


def test_example_can_be_read_at_a_glance():
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 30


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_example_predicts_like_python(page_folder, talk, rate):
    program = shutil.which("node")
    if program is None:
        pytest.skip("needs node on the PATH")
    sound = talk(rate)
    command = [program, str(EXAMPLE), str(page_folder), str(sound)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, *lines = [line.split() for line in done.stdout.splitlines()]
    wanted = predict(page_folder / "model.onnx", sound, progress=False)
    assert head == ["start", "end", "predicted", *(name[2:] for name in wanted.filter(like="p_"))]
    assert [line[2] for line in lines] == wanted["predicted"].tolist()
    said = np.array([line[3:] for line in lines], float)
    np.testing.assert_allclose(said, wanted.filter(like="p_"), rtol=0, atol=1e-3)
    assert np.ptp(said, axis=0).max() > 0.02  # windows are told apart
