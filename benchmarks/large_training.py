"""Training on more clips than memory holds: memory and clips a second, from disk and from memory.

    python benchmarks/large_training.py                                    100,000 clips, 4.8 GB, from disk
    python benchmarks/large_training.py --clips 20000 --modes mapped memory    the two beside each other
    python benchmarks/large_training.py --clips 20000 --modes mapped memory --cold    file not in the system's cache

Each mode is a new process: it fits the standardisation on all clips, then makes the first steps of an epoch whose
seeds are shuffled over all of them. Neighbours are drawn at random, for a disk the worst there is. RssAnon is
memory that only the process has, RssFile are pages of files (libraries too) that the system takes back when it
needs them; both are looked at every 20 ms. The peak of their sum, VmHWM, is kept by the system.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from graph_report import made_up_clips

from ser_graph.audio.mapped import give_back, map_array
from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.progress import progress_bar
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.downstream.training import _Run
from ser_graph.graph import GraphSettings, load_graph, save_graph
from ser_graph.graph.building import assemble
from ser_graph.graph.meta import GraphMeasures

MODES = ("mapped", "memory")
STRATEGIES = get_args(TrainingSettings.model_fields["strategy"].annotation)


def made_up_graph(folder: Path, n: int, n_neighbors: int, dtype: str) -> Path:
    """A stored graph of `n` clips of noise, all of them for training, each with random neighbours."""
    table, emb = made_up_clips(n)
    features = LogMelSettings()
    shape = (features.n_frames, features.n_mels)
    target = np.lib.format.open_memmap(folder / "x.npy", "w+", dtype, (n, *shape))
    noise = np.random.default_rng(0).normal(-5, 3, (256, *shape)).astype(dtype)
    for start in progress_bar(range(0, n, len(noise)), desc="clips", unit="block", delay=1):
        target[start : start + len(noise)] = noise[: n - start]
        give_back(target)
    target.flush()
    seed = torch.arange(n).repeat_interleave(n_neighbors)
    neighbour = (seed + torch.randint(1, n, seed.shape, generator=torch.Generator().manual_seed(0))) % n
    edges = torch.stack([neighbour, seed])
    table = table[["emotion", "speaker", "gender", "duration", "split"]]
    data = assemble(
        table,
        emb,
        map_array(folder / "x.npy"),
        edges,
        torch.rand(len(seed)),
        features=features,
        settings=GraphSettings(epsilon=None, n_neighbors=n_neighbors),
        measured=GraphMeasures(n_edges=len(seed)),
    )
    return save_graph(data, folder / "graph", x_file=folder / "x.npy")


class First:
    """The first steps of an epoch."""

    def __init__(self, loader: object, steps: int) -> None:
        self.loader, self.steps = loader, steps

    def __iter__(self) -> Iterator[object]:
        return islice(progress_bar(self.loader, total=self.steps, unit="step", delay=1, leave=False), self.steps)


def memory() -> dict[str, float]:
    """RssAnon, RssFile and VmHWM of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return {name: int(sizes[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "VmHWM")}


def watch(peaks: dict[str, float], stop: threading.Event) -> None:
    while not stop.wait(0.02):
        for name, value in memory().items():
            peaks[name] = max(peaks.get(name, 0), value)


def into_cache(path: Path, wanted: bool) -> None:
    """Have a file in the system's cache, or take it out."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED if wanted else os.POSIX_FADV_DONTNEED)


def measured(folder: Path, mode: str, steps: int, cold: bool, **changes: object) -> dict[str, float]:
    """In a process of its own: train, and say what it took."""
    data = load_graph(folder)
    if mode == "memory":
        data.x = data.x.clone()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    peaks, stop = {}, threading.Event()
    watcher = threading.Thread(target=watch, args=(peaks, stop))
    watcher.start()
    settings = TrainingSettings(protocol="paper", epochs=1, **changes)
    start = time.perf_counter()
    run = _Run(data, data.train_mask, data.train_mask.clone(), settings, torch.device("cpu"))
    fitted = time.perf_counter() - start
    into_cache(folder / "x.npy", not cold)  # the fit has read it
    run.loader = First(run.loader, steps)
    trained = run.epoch()["seconds"]
    stop.set()
    watcher.join()
    return {**peaks, "fit": fitted, "clips a second": steps * settings.batch_size / trained}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--dtype", default="float16", choices=["float16", "float32"])
    parser.add_argument("--backbone", default="resnet9")
    parser.add_argument("--strategy", default="forward", choices=STRATEGIES)
    parser.add_argument("--neighbours", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="of 16 seeds")
    parser.add_argument("--modes", nargs="+", default=["mapped"], choices=MODES)
    parser.add_argument(
        "--cold", action="store_true", help="take the file out of the system's cache before each part"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the clips are made, by default where temporary files are"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    training = {"backbone": arguments.backbone, "strategy": arguments.strategy, "n_neighbors": arguments.neighbours}
    if arguments.child:
        print(json.dumps(measured(arguments.folder, arguments.child, arguments.steps, arguments.cold, **training)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        graph = made_up_graph(Path(temporary), arguments.clips, arguments.neighbours, arguments.dtype)
        size = (graph / "x.npy").stat().st_size
        print(
            f"{arguments.clips:,} clips of {arguments.dtype}, {size / 1e9:.1f} GB; {arguments.backbone}, "
            f"{arguments.strategy}, {arguments.steps} steps, {torch.get_num_threads()} threads, "
            f"file {'not in' if arguments.cold else 'in'} the system's cache\n"
        )
        print("| x | peak RssAnon, MB | peak RssFile, MB | peak of both, MB | fit, s | clips/s |")
        print("|---|---|---|---|---|---|")
        rates = {}
        for mode in arguments.modes:
            into_cache(graph / "x.npy", not arguments.cold)
            given = [f"--{name}={value}" for name, value in vars(arguments).items() if name in _PASSED]
            given += ["--cold"] if arguments.cold else []
            command = [sys.executable, __file__, f"--child={mode}", f"--folder={graph}", *given]
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            sizes = " | ".join(f"{found[name]:,.0f}" for name in ("RssAnon", "RssFile", "VmHWM"))
            rates[mode] = found["clips a second"]
            print(f"| {mode} | {sizes} | {found['fit']:.1f} | {rates[mode]:.1f} |", flush=True)
    if len(rates) == len(MODES):
        print(f"\nMapped: {rates['mapped'] / rates['memory']:.2f} times the clips a second of memory.")


_PASSED = ("backbone", "strategy", "neighbours", "steps")

if __name__ == "__main__":
    main()
