"""Memory per process and steps per second of trainings on a graph in shards, with 1, 2 and 4 processes.

    python benchmarks/sharded_training.py [--clips 1000000] [--processes 1 2 4] [--steps 30]

The clips are made up: noise of few frames (so that the disk stays small), six random neighbours each, all in
train. 64 clips for each step have a label. The method is nsl with the memory bank of `fc1`. The peak is RssAnon,
the memory that only the process has. "For clips" is the peak minus that of the same training on 4,000 clips:
edges, labels and remembered outputs. The processes share the cores of this machine, so the steps per second say
little about a cluster.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import torch
from graph_report import made_up_clips

from ser_graph.audio.mapped import give_back, map_array
from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.distributed import processes
from ser_graph.downstream import train_shards
from ser_graph.graph import GraphSettings, split_graph
from ser_graph.graph.building import assemble
from ser_graph.graph.meta import GraphMeasures

_FEW = 4000  # clips whose memory counts as none
_SHARDS = 4
_BATCH = 64  # labelled clips of a step


def made_up_shards(folder: Path, n: int, labelled: int) -> Path:
    """A graph of `n` clips in shards."""
    table, emb = made_up_clips(n)
    features = LogMelSettings(n_samples=4096)
    target = np.lib.format.open_memmap(folder / "x.npy", "w+", "float16", (n, features.n_frames, features.n_mels))
    noise = np.random.default_rng(0).normal(-5, 3, (256, features.n_frames, features.n_mels)).astype("float16")
    for start in range(0, n, len(noise)):
        target[start : start + len(noise)] = noise[: n - start]
        give_back(target)
    target.flush()
    seed = torch.arange(n).repeat_interleave(6)
    neighbour = (seed + torch.randint(1, n, seed.shape, generator=torch.Generator().manual_seed(0))) % n
    emotion = table["emotion"].where(np.arange(n) < labelled)
    table = table[["emotion", "speaker", "gender", "duration", "split"]].assign(emotion=emotion, split="train")
    data = assemble(
        table,
        emb,
        map_array(folder / "x.npy"),
        torch.stack([neighbour, seed]),
        torch.rand(len(seed)),
        features=features,
        settings=GraphSettings(epsilon=None, n_neighbors=6),
        measured=GraphMeasures(n_edges=len(seed)),
    )
    return split_graph(data, folder / "shards", _SHARDS).folder


def anonymous() -> float:
    """RssAnon of this process in MB."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon")]
    return int(line.split()[1]) / 1024


def train(folder: Path, steps: int) -> None:
    """One process: the peak of its memory, and the time of the steps."""
    torch.set_num_threads(1)
    peak, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    how = {"method": "nsl", "strategy": "memory_bank", "layer": "fc1", "protocol": "paper", "epochs": 1}
    student = train_shards(folder, epoch_steps=steps, batch_size=_BATCH, device="cpu", **how)
    stop.set()
    watcher.join()
    said = {"MB": peak[0], "seconds": student.info["history"][0]["seconds"]}
    (folder / f"said-{processes().rank}.json").write_text(json.dumps(said))


def measured(folder: Path, n_processes: int, steps: int) -> list[dict[str, float]]:
    many = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    command = [sys.executable, *(many if n_processes > 1 else []), __file__, "--child", str(folder)]
    subprocess.run([*command, "--steps", str(steps)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found = [folder / f"said-{rank}.json" for rank in range(n_processes)]
    return [json.loads(file.read_text()) for file in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        train(arguments.child, arguments.steps)
        return
    with tempfile.TemporaryDirectory() as name:
        folders = {n: Path(name) / str(n) for n in (_FEW, arguments.clips)}
        for n, folder in folders.items():
            folder.mkdir()
            made_up_shards(folder, n, _BATCH * arguments.steps)
        for n_processes in arguments.processes:
            few, many = (measured(folder / "shards", n_processes, arguments.steps) for folder in folders.values())
            most, least = max(one["MB"] for one in many), max(one["MB"] for one in few)
            rate = arguments.steps / many[0]["seconds"]
            print(
                f"{n_processes} processes, {arguments.clips:,} clips: peak {most:.0f} MB each, "
                f"{most - least:.0f} MB for clips, {rate:.2f} steps/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
