"""What a neighbour costs: seconds a seed of a training epoch, for each backbone, n and strategy.

python benchmarks/train_step.py [--backbones resnet9 cnn6] [--neighbours 3 9] [--repeats 5] [--threads 2]

Each is the package's own epoch (loader, strategy, optimiser) on random clips. They take turns, after one epoch each
that does not count, so that a busy machine favours none.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from graph_report import made_up_clips
from numpy.lib.format import open_memmap

import ser_graph as sg
from ser_graph.audio.features import map_array
from ser_graph.downstream.settings import STRATEGIES, TrainingSettings
from ser_graph.downstream.training import _Run

LIMIT = 1.25  # times the baseline, the aim at the most neighbours


def made_up_graph(folder: Path, n_seeds: int, n_neighbors: int) -> sg.ClipGraph:
    """2,000 clips mapped from disk of which a few are seeds, so that their neighbours seldom meet in a batch."""
    table, emb = made_up_clips(2000)
    table["split"] = "test"
    table.iloc[:n_seeds, table.columns.get_loc("split")] = "train"
    x = open_memmap(folder / "x.npy", "w+", np.float16, (len(table), 373, 64))
    rng = np.random.default_rng(0)
    for row in range(len(x)):
        x[row] = rng.normal(size=x.shape[1:])
    x.flush()
    mapped = map_array(folder / "x.npy")
    return sg.build_graph(
        table, emb=emb, x=mapped, epsilon=None, n_neighbors=n_neighbors, scope="all", shared_speakers=True
    )


def new_run(data: sg.ClipGraph, **changes: object) -> _Run:
    settings = TrainingSettings(transductive=True, epochs=10**6, protocol="paper", **changes)
    seeds = data.train_mask
    run = _Run(data, seeds, seeds.clone(), settings, torch.device("cpu"))
    if settings.strategy == "bank" and settings.alpha:
        run.strategy.written[:] = 0  # as after the first epoch: every neighbour is known
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["resnet9", "cnn6"])
    parser.add_argument("--neighbours", nargs="+", type=int, default=[3, 9])
    parser.add_argument("--seeds", type=int, default=48, help="in an epoch, in batches of 16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    kinds = {(0, "baseline"): {"alpha": 0}}
    for n in arguments.neighbours:
        kinds |= {(n, name): {"n_neighbors": n, "strategy": name} for name in STRATEGIES}
        kinds[n, "official"] = {"n_neighbors": n, "semantics": "official"}
    print(f"{arguments.threads} threads, {arguments.seeds} seeds an epoch, {arguments.repeats} epochs\n")
    print("| backbone | n | strategy | ms a seed | fastest-slowest | x baseline |\n|---|---|---|---|---|---|")
    within = []
    with tempfile.TemporaryDirectory() as folder:
        data = made_up_graph(Path(folder), arguments.seeds, max(arguments.neighbours))
        for backbone in arguments.backbones:
            runs = {kind: new_run(data, backbone=backbone, **changes) for kind, changes in kinds.items()}
            turns = [[run.epoch()["seconds"] for run in runs.values()] for _ in range(arguments.repeats + 1)]
            baseline = None
            for (n, name), times in zip(runs, zip(*turns[1:], strict=True), strict=True):
                ms = [1000 * time / arguments.seeds for time in times]
                median = statistics.median(ms)
                baseline = baseline or median
                ratio = median / baseline
                print(f"| {backbone} | {n} | {name} | {median:.1f} | {min(ms):.1f}-{max(ms):.1f} | {ratio:.2f} |")
                if n == max(arguments.neighbours) and ratio <= LIMIT:
                    within.append(f"{name} ({backbone}, {ratio:.2f})")
    found = ", ".join(within) or "no strategy"
    print(f"\nWithin {LIMIT} x the baseline at n = {max(arguments.neighbours)}: {found}.")


if __name__ == "__main__":
    main()
