"""The costs of a model: size, time from waveform to probabilities, memory."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ser_graph.downstream import Student

WARM_UP = 2  # first calls, which choose kernels and allocate memory


def size_mb(path: str | Path) -> float:
    """Size in MB (10^6 bytes) of an exported file, or of the weights in the folder of a student or an upstream."""
    path = Path(path).expanduser()
    files = path.glob("*.safetensors") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6


def latencies_ms(ask: Callable[[np.ndarray], Any], n_samples: int, repeats: int) -> np.ndarray:
    """[repeats] times in ms from the waveform [1, n_samples] of noise to the result, after two for warm-up."""
    waveform = np.random.default_rng(0).uniform(-0.1, 0.1, (1, n_samples)).astype(np.float32)
    times = []
    for _ in range(repeats + WARM_UP):
        start = time.perf_counter()
        ask(waveform)
        times.append(time.perf_counter() - start)
    return np.array(times[WARM_UP:]) * 1000


def latency_ms(student: "Student", *, repeats: int = 15, threads: int = 1) -> float:
    """Median time in ms from the waveform of one clip to its probabilities, with the log-mel, on the CPU."""
    import torch

    from ser_graph.edge.torch_student import TorchStudent

    model = TorchStudent(student)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return float(np.median(latencies_ms(model, student.features.n_samples, repeats)))
    finally:
        torch.set_num_threads(before)


def peak_memory_mb() -> float:
    """Peak memory of this process in MB (10^6 bytes) since its start, with Python and its libraries.

    NaN if the system does not report it.
    """
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, `resource` may give the memory of the parent process
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
