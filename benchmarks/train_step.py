"""What a neighbour costs: milliseconds a seed of a training step, for each backbone, n and strategy.

    python benchmarks/train_step.py [--backbones resnet9 cnn6] [--neighbours 3 9] [--repeats 5] [--threads 2]
        [--tensorflow-python /tmp/tf/bin/python]

Each of ours is the package's own epoch (loader, strategy, optimiser) on random clips of 373 x 64. They take turns,
after one epoch each that does not count, so that a busy machine favours none; the fastest of the repeats counts, as
other work on the machine can only add to it. In the precision that is not the machine's own choice, only what is
compared with TensorFlow is measured.

Beside them the same step in TensorFlow (`tensorflow_step.py`: the backbone in Keras, Neural Structured Learning on
its logits), in float32, as the paper's code, and in bfloat16, run by a Python that has TensorFlow; its rows are
left out where there is none.
"""

import argparse
import json
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from graph_report import made_up_clips
from numpy.lib.format import open_memmap

import ser_graph as sg
from ser_graph.audio.features import map_array
from ser_graph.common.devices import uses_bfloat16
from ser_graph.common.memory import keep_freed_memory
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.downstream.training import _Run
from ser_graph.graph import ClipGraph

CPU = torch.device("cpu")
STRATEGIES = get_args(TrainingSettings.model_fields["strategy"].annotation)
LIMIT = 1.25  # times the baseline, the aim at the most neighbours
AIMS = {"resnet9": 6, "cnn6": 10}  # times faster than TensorFlow's step at the fewest neighbours
FOUND = [Path("/tmp/tf/bin/python"), Path(".venv-tensorflow/bin/python")]
Kind = tuple[str, str, int, str]  # whose, precision, n, strategy


def made_up_graph(folder: Path, n_seeds: int, n_neighbors: int) -> ClipGraph:
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


def new_run(data: ClipGraph, **changes: Any) -> _Run:
    """A training as in the paper, which the step in TensorFlow is too: nothing is augmented or averaged."""
    settings = TrainingSettings(transductive=True, epochs=10**6, protocol="paper", **changes)
    seeds = data.train_mask
    run = _Run(data, seeds, seeds.clone(), settings, CPU)
    if settings.strategy == "memory_bank":
        run.method.strategy.written[:] = 0  # as after the first epoch: every neighbour is known
    return run


def our_kinds(neighbours: list[int]) -> dict[Kind, dict[str, Any]]:
    """Every kind of step, with the settings that make it."""
    own, other = ("bfloat16", "float32") if uses_bfloat16(CPU, "auto") else ("float32", "bfloat16")
    kinds: dict[Kind, dict[str, Any]] = {}
    for precision, names in ((own, STRATEGIES), (other, ("forward",))):
        kinds["ours", precision, 0, "baseline"] = {"method": "baseline", "precision": precision}
        for n in neighbours if precision == own else [min(neighbours)]:
            for name in names:
                kinds["ours", precision, n, name] = {"n_neighbors": n, "strategy": name, "precision": precision}
    few = min(neighbours)
    kinds["ours", own, few, "official"] = {"n_neighbors": few, "semantics": "official", "precision": own}
    return kinds


def ours(data: ClipGraph, backbone: str, neighbours: list[int], repeats: int) -> dict[Kind, list[float]]:
    """Milliseconds a seed of each kind's epochs."""
    kinds = our_kinds(neighbours)
    runs = [new_run(data, backbone=backbone, **settings) for settings in kinds.values()]
    turns = [[run.epoch()["seconds"] for run in runs] for _ in range(repeats + 1)][1:]
    n_seeds = int(data.train_mask.sum())
    return {
        kind: [1000 * seconds / n_seeds for seconds in times]
        for kind, times in zip(kinds, zip(*turns, strict=True), strict=True)
    }


def tensorflow(python: Path, backbone: str, arguments: argparse.Namespace) -> dict[Kind, list[float]]:
    """Milliseconds a seed of TensorFlow's steps, in both precisions."""
    found: dict[Kind, list[float]] = {}
    neighbours = arguments.tensorflow_neighbours or arguments.neighbours
    for precision in ("float32", "bfloat16"):
        script = str(Path(__file__).with_name("tensorflow_step.py"))
        command = [str(python), script, backbone, "--precision", precision, "--neighbours", "0"]
        command += [*map(str, neighbours), "--steps", str(arguments.repeats), "--threads", str(arguments.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"TensorFlow, {backbone}, {precision}: failed ({done.stderr.strip().splitlines()[-1]})")
        for row in map(json.loads, done.stdout.splitlines()):
            name = "NSL" if row["n"] else "baseline"
            found["TensorFlow", precision, row["n"], name] = [1000 * seconds for seconds in row["seconds"]]
    return found


def table(backbone: str, found: dict[Kind, list[float]]) -> list[str]:
    """A row for each kind: beside the baseline of its own side, and beside TensorFlow's step of its n."""
    least = {kind: min(times) for kind, times in found.items()}
    rows = []
    for (whose, precision, n, name), times in found.items():
        ms = least[whose, precision, n, name]
        cells = [f"{ms:.1f}", f"{max(times):.1f}", f"{ms / least[whose, precision, 0, 'baseline']:.2f}"]
        for theirs in ("float32", "bfloat16"):
            reference = least.get(("TensorFlow", theirs, n, "NSL" if n else "baseline"))
            cells.append(f"{reference / ms:.1f}" if reference else "")
        rows.append(f"| {backbone} | {whose} | {precision} | {n} | {name} | {' | '.join(cells)} |")
    return rows


def verdicts(backbone: str, found: dict[Kind, list[float]], neighbours: list[int]) -> list[str]:
    """The aims, beside what was measured."""
    least = {kind: min(times) for kind, times in found.items()}
    own = next(precision for whose, precision, _, _ in found if whose == "ours")
    few, many = min(neighbours), max(neighbours)
    ratios = {name: least["ours", own, many, name] / least["ours", own, 0, "baseline"] for name in STRATEGIES}
    within = [f"{name} ({ratio:.2f})" for name, ratio in ratios.items() if ratio <= LIMIT]
    said = [f"{backbone}: within {LIMIT} x the baseline at n = {many}: {', '.join(within) or 'no strategy'}."]
    theirs = least.get(("TensorFlow", "float32", few, "NSL"))
    if theirs:
        faster = ", ".join(f"{name} {theirs / least['ours', own, few, name]:.1f}" for name in STRATEGIES)
        aim = f" (aim: {AIMS[backbone]})" if backbone in AIMS else ""
        said.append(f"{backbone}, {own}: times faster than TensorFlow in float32 at n = {few}{aim}: {faster}.")
    return said


def python_with_tensorflow(given: Path | None) -> Path | None:
    """The Python to run TensorFlow with: the given one, or one in the places of `FOUND`."""
    for python in [given] if given else FOUND:
        asked = "import tensorflow, neural_structured_learning"
        if python.exists() and not subprocess.run([python, "-c", asked], capture_output=True).returncode:
            return python
    print("No Python with TensorFlow was found (--tensorflow-python): its rows are left out.\n")
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["resnet9", "cnn6"])
    parser.add_argument("--neighbours", nargs="+", type=int, default=[3, 9])
    parser.add_argument("--seeds", type=int, default=48, help="in an epoch, in batches of 16")
    parser.add_argument("--repeats", type=int, default=5, help="epochs of ours, steps of TensorFlow's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tensorflow-python", type=Path)
    parser.add_argument("--tensorflow-neighbours", nargs="+", type=int, help="by default as --neighbours")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as the command line does
    warnings.filterwarnings("ignore", "No training clip has a neighbour")  # few seeds in a batch are neighbours
    python, neighbours = python_with_tensorflow(arguments.tensorflow_python), arguments.neighbours
    print(f"{arguments.threads} threads, {arguments.seeds} seeds an epoch, {arguments.repeats} repeats\n")
    print("| backbone | step | precision | n | strategy | ms a seed | slowest | x baseline |", end="")
    print(f" x TF float32 | x TF bfloat16 |\n{'|---' * 10}|")
    said = []
    with tempfile.TemporaryDirectory() as folder:
        data = made_up_graph(Path(folder), arguments.seeds, max(neighbours))
        for backbone in arguments.backbones:
            found = ours(data, backbone, neighbours, arguments.repeats)
            if python:
                found |= tensorflow(python, backbone, arguments)
            print("\n".join(table(backbone, found)), flush=True)
            said += verdicts(backbone, found, neighbours)
    print("\n" + "\n".join(said))


if __name__ == "__main__":
    main()
