"""Runs that are killed again and again, and each time started anew, compared with runs that are left alone.

    python benchmarks/kills.py --kills 200 --seed 0 --out runs/kills

A start is killed (SIGKILL) in its first second, at a random moment of a whole run, or right before or after one of
its renamings; the next start goes on in the same folder. At the end every file has to be what it is without kills,
to the byte where it holds no time, and nothing else may be left.

One process imports everything and forks a child for each start, so that a start costs no imports.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pandas as pd
import torch
import transformers  # noqa: F401  (imported once, before the forks)

import ser_graph.experiment.running
import ser_graph.upstream.finetuning
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import make_recipe

KINDS = ("first second", "any time", "renaming")
_CHANGING = {"latency_ms", "mtime_ns", "seconds", "root"}  # values that no two runs share


class Kill(NamedTuple):
    """One kill: of which kind and when (seconds, or the number of a renaming), and what lay there unfinished."""

    recipe: str
    kind: str
    at: float
    left: str
    left_mb: float


class Whole(NamedTuple):
    """A run that nobody killed: its folder, how long it takes and how many renamings it makes."""

    recipe: Recipe
    out: Path
    seconds: float
    renamings: int


def recipes() -> dict[str, Recipe]:
    """The smallest runs with every stage: one on the target's split, one that leaves speakers out in turn."""
    values: dict[str, Any] = {
        "name": "kills",
        "source": {"corpus": "synthetic", "make": {"preset": "source", "n_clips": 24, "n_speakers": 3}},
        "target": {"corpus": "synthetic", "make": {"n_clips": 42, "n_speakers": 6}},
        "upstream": {
            "model": "small",
            "epochs": 2,
            "learning_rate": 1e-3,
            "seconds": 0.3,
            "freeze_feature_encoder": False,
        },
        "embedding": {"seconds": 0.5},
        "features": {"n_samples": 4096},
        "graph": {"epsilon": "none", "n_neighbors": 2},
        "students": {"training": {"epochs": 3, "epoch_steps": 1, "precision": "float32", "width": 0.25}},
    }
    return {"split": make_recipe(values), "folds": make_recipe({**values, "folds": 3})}


def start(recipe: Recipe, out: Path, *, kill_at: tuple[str, float] | None = None) -> int:
    """Run a recipe in a child process; returns how it ended (-9: killed), or its renamings where it did not.

    Raises:
        RuntimeError: it ended with an error.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(recipe, out, kill_at, writing)
    os.close(writing)
    if kill_at is not None and kill_at[0] != "renaming":
        _kill_after(child, kill_at[1])
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    if not said.isdigit():
        raise RuntimeError(f"The run in {out} did not go on: {said}")
    return int(said)


def _child(recipe: Recipe, out: Path, kill_at: tuple[str, float] | None, writing: int) -> None:
    said = "nothing was said"
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        torch.set_num_threads(1)
        count = _watch_renamings(kill_at[1] if kill_at is not None and kill_at[0] == "renaming" else None)
        ser_graph.experiment.running.run(recipe, out, device="cpu", progress=False)
        said = str(count())
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    finally:
        os.write(writing, said.encode())
        os._exit(0)


def _watch_renamings(kill_at: float | None) -> Callable[[], int]:
    """Count renamings, and kill this process at one of them: 2.0 is right before the third, 2.5 right after it."""
    number = 0

    def watched(rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(*arguments: Any, **how: Any) -> None:
            nonlocal number
            if kill_at == number:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*arguments, **how)
            if kill_at == number + 0.5:
                os.kill(os.getpid(), signal.SIGKILL)
            number += 1

        return renamed

    os.replace, os.rename = watched(os.replace), watched(os.rename)
    return lambda: number


def _kill_after(child: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)


def uninterrupted(recipe: Recipe, out: Path) -> Whole:
    """Run a recipe to its end."""
    began = time.monotonic()
    renamings = start(recipe, out)
    return Whole(recipe, out, time.monotonic() - began, renamings)


def draw(rng: Random, whole: Whole) -> tuple[str, float]:
    """When to kill a start: early ones more often, as each start goes on from where the last one was."""
    kind, part = rng.choice(KINDS), rng.random() ** 3
    if kind == "renaming":
        return kind, int(2 * whole.renamings * part) / 2
    return kind, part * (1 if kind == "first second" else whole.seconds)


def killed_until_it_ends(name: str, whole: Whole, out: Path, rng: Random, kills: int) -> list[Kill]:
    """Start a run until it ends, killed at most so many times."""
    found: list[Kill] = []
    while len(found) < kills:
        moment = draw(rng, whole)
        if start(whole.recipe, out, kill_at=moment) != -signal.SIGKILL:
            return found
        left = sorted({path.name.split(".ser-graph-")[0] for path in out.rglob(".*")}) if out.exists() else []
        size = sum(path.stat().st_size for path in out.rglob("*") if any(p.startswith(".") for p in path.parts))
        found.append(Kill(name, *moment, " ".join(left), size / 1e6))
    start(whole.recipe, out)
    return found


def difference(one: Path, other: Path) -> str | None:
    """The first file in which two runs differ, but for times; None where they are the same."""
    names = [{str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} for run in (one, other)]
    if names[0] != names[1]:
        return f"only one has {sorted(names[0] ^ names[1])}"
    for name in sorted(names[0]):
        if not _is_same(one / name, other / name):
            return name
    return None


def _is_same(one: Path, other: Path) -> bool:
    if one.suffix == ".png":  # of numbers that are compared
        return True
    if one.name == "history.csv":
        tables = [pd.read_csv(path).drop(columns="seconds") for path in (one, other)]
        return tables[0].equals(tables[1])
    if one.suffix == ".json":
        values = [json.loads(path.read_text("utf-8")) for path in (one, other)]
        return one.name == "contents.json" or _without_times(values[0]) == _without_times(values[1])
    return one.read_bytes() == other.read_bytes()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(one) for key, one in value.items() if key not in _CHANGING}
    return [_without_times(one) for one in value] if isinstance(value, list) else value


def main() -> None:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="empty folder for the runs; temporary by default")
    arguments = parser.parse_args()
    out = arguments.out or Path(tempfile.mkdtemp())
    kills: list[Kill] = []
    different: list[str] = []
    rng = Random(arguments.seed)
    wholes = {name: uninterrupted(recipe, out / "whole" / name / "run") for name, recipe in recipes().items()}
    number = 0
    while len(kills) < arguments.kills:
        name = list(wholes)[number % len(wholes)]
        run = out / f"killed-{number}" / "run"
        kills += killed_until_it_ends(name, wholes[name], run, rng, min(8, arguments.kills - len(kills)))
        different += [f"{run}: {found}"] if (found := difference(wholes[name].out, run)) else []
        if not found:
            shutil.rmtree(run.parent)
        number += 1
    table = pd.DataFrame(kills, columns=Kill._fields)
    counted = table.groupby(["recipe", "kind", "left"]).agg(kills=("at", "size"), most_mb=("left_mb", "max"))
    print(counted.round(1).to_string())
    print(f"\n{len(kills)} kills in {number} runs; {number - len(different)} of them end as without")
    print("\n".join(different))
    if arguments.out is None:
        shutil.rmtree(out)
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
