"""From the command to the first answer for one file: by the runtime, by `ser-graph predict`, and by PyTorch.

    python benchmarks/device_start.py [--backbone resnet9] [--repeats 5]

Each time is of a whole new process, with its imports: `ser-graph-runtime MODEL FILE`, and `ser-graph predict MODEL
FILE` with the exported model and with the student's folder. The weights are untrained, which no time depends on;
the file is noise of 6 s.
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

RUNTIME, ONNX, TORCH = "ser_graph_runtime, ONNX", "ser_graph, ONNX", "ser_graph, PyTorch"


def seconds(command: list[str | Path], repeats: int) -> np.ndarray:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
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
        exported = export(student, folder / "student.onnx", progress=False)
        commands: dict[str, list[str | Path]] = {
            RUNTIME: ["ser_graph_runtime", exported, sound],
            ONNX: ["ser_graph", "predict", exported, sound],
            TORCH: ["ser_graph", "predict", student.save(folder / "student"), sound],
        }
        times = {way: seconds(command, asked.repeats) for way, command in commands.items()}
    fastest = np.median(times[RUNTIME])
    for way, found in times.items():
        median = np.median(found)
        print(f"{way:24} {median:.2f} s (from {found.min():.2f} to {found.max():.2f} s), {median / fastest:.1f} x")


if __name__ == "__main__":
    main()
