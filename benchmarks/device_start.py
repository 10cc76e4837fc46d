"""From the command to what is heard in one file: an exported student beside the same one in PyTorch.

    python benchmarks/device_start.py [--backbone resnet9] [--repeats 5]

Each time is of a whole new process, `ser-graph predict MODEL FILE`, its imports included. The weights are
untrained, which no time depends on; the file is noise of 6 s.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from ser_graph.downstream import Student
from ser_graph.edge.exporting import export


def seconds(model: Path, sound: Path, repeats: int) -> np.ndarray:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "ser_graph", "predict", model, sound], check=True, capture_output=True
        )
        times.append(time.perf_counter() - start)
    return np.array(times[1:])  # the first one reads the files into the system's cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet9")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        student = Student(asked.backbone, ["anger", "fear", "sadness"])
        sound = folder / "noise.wav"
        soundfile.write(sound, np.random.default_rng(0).normal(0, 0.1, student.features.n_samples), 16_000)
        models = {
            "PyTorch": student.save(folder / "student"),
            "ONNX": export(student, folder / "student.onnx", progress=False),
        }
        times = {kind: seconds(model, sound, asked.repeats) for kind, model in models.items()}
    for kind, found in times.items():
        print(f"{kind:8} {np.median(found):.2f} s (from {found.min():.2f} to {found.max():.2f} s)")
    print(f"PyTorch / ONNX = {np.median(times['PyTorch']) / np.median(times['ONNX']):.1f}")


if __name__ == "__main__":
    main()
