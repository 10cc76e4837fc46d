"""What a student costs: its size, and the time from waveform to probabilities of one clip."""

import time
from pathlib import Path

import numpy as np
import torch

from ser_graph.audio.log_mel import LogMel
from ser_graph.downstream import Student


def size_mb(folder: str | Path) -> float:
    """Size of a stored student's weights in MB (10^6 bytes)."""
    return (Path(folder) / "model.safetensors").stat().st_size / 1e6


@torch.inference_mode()
def latency_ms(student: Student, *, repeats: int = 15, threads: int = 1) -> float:
    """Median time in ms from the waveform of one clip to its probabilities, log-mel included, on the CPU.

    Args:
        student: the model; put into evaluation mode.
        repeats: measurements after two that warm up.
        threads: CPU threads to use; set back afterwards.
    """
    student.eval()
    log_mel = LogMel(student.features)
    generator = torch.Generator().manual_seed(0)
    waveform = torch.rand(1, student.features.n_samples, generator=generator) * 0.2 - 0.1
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    times = []
    try:
        for _ in range(repeats + 2):
            start = time.perf_counter()
            student(log_mel(waveform)).logits.softmax(1)
            times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return float(np.median(times[2:]) * 1000)
