"""Students per hour with workers on one machine: processes of joblib, and workers of submitit.

    python benchmarks/jobs.py [--workers 1 2] [--students 8] [--epochs 5]

The run is the demo's (synthetic speech). Corpora, upstream and graph are made once, before the clock starts. Each
worker has one thread. `busy` is the share of the workers' time in which their processes computed.
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

from ser_graph.experiment import run
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import load_recipe


def recipe(students: int, epochs: int) -> Recipe:
    changes = {"students.seed": list(range(students)), "students.method": ["baseline"]}
    return load_recipe("demo", {**changes, "students.training.epochs": epochs})


def measure(wanted: Recipe, prepared: Path, workers: int, cluster: str | None) -> tuple[float, float]:
    """Seconds, and processor seconds of the children, from a prepared graph to the results."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        shutil.copytree(prepared, out, ignore=shutil.ignore_patterns("students", "figures", "results.json"))
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        run(wanted, out, jobs=workers, cluster=cluster, progress=False)
        took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--students", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "run"
        run(recipe(1, 1), prepared)
        wanted = recipe(arguments.students, arguments.epochs)
        for workers in arguments.workers:
            for name, cluster in (("submitit", "local"), *([("joblib", None)] if workers > 1 else [])):
                took, computed = measure(wanted, prepared, workers, cluster)
                per_hour = 3600 * arguments.students / took
                busy = f", busy {computed / took / workers:.0%}" if cluster else ""  # joblib keeps its processes
                print(
                    f"{name}, {workers} workers: {took:.0f} s, {per_hour:.0f} students per hour{busy}", flush=True
                )


if __name__ == "__main__":
    main()
