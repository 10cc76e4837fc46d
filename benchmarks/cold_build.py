"""What a user waits for a graph of stored embeddings: a new process, from its start to the stored graph.

    python benchmarks/cold_build.py [--clips 9365] [--methods auto nndescent] [--repeats 3]

The process imports the package, loads embeddings and spectrograms, builds a graph of 6 neighbours, and stores it.
Best of the repeats; CPU are the processor seconds, which change less where a machine is busy with something else.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from graph import speech_like

from ser_graph.graph.neighbours import METHODS

BUILD = """
import os, sys
import pandas as pd
import torch
import ser_graph as sg
from ser_graph.audio import map_array
from safetensors.torch import load_file
folder, method = sys.argv[1:]
table = pd.read_csv(f"{folder}/clips.csv", index_col="file")
emb = load_file(f"{folder}/emb.safetensors")["emb"]
features = sg.LogMelSettings(n_samples=8192)
os.link(f"{folder}/x.npy", f"{folder}/new.npy")
x = map_array(f"{folder}/new.npy")
data = sg.build_graph(table, emb=emb, x=x, epsilon=0.95, method=method, features=features)
sg.save_graph(data, f"{folder}/{method}", x_file=f"{folder}/new.npy")
print(data.num_edges, data.meta.measured.method, data.meta.measured.recall)
"""


def stored_clips(folder: Path, n: int) -> None:
    """A clip table, embeddings and (short) spectrograms."""
    import torch
    from safetensors.torch import save_file

    columns = {"emotion": "anger", "speaker": "s", "gender": "female", "duration": 0.5, "split": "train"}
    index = pd.Index([f"{clip:06}.wav" for clip in range(n)], name="file")
    pd.DataFrame(columns, index=index).to_csv(folder / "clips.csv")
    save_file({"emb": torch.from_numpy(speech_like(n))}, folder / "emb.safetensors")
    np.save(folder / "x.npy", np.zeros((n, 31, 64), "float16"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=9365)
    parser.add_argument("--methods", nargs="+", default=["auto", "nndescent"], choices=METHODS)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print("| method | seconds | CPU, s | x the first | edges, search, recall |\n|---|---|---|---|---|")
    first = None
    with tempfile.TemporaryDirectory() as folder:
        stored_clips(Path(folder), arguments.clips)
        for method in arguments.methods:
            times = []
            for _ in range(arguments.repeats):
                start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                command = [sys.executable, "-c", BUILD, folder, method]
                said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                times.append((time.perf_counter() - start, cpu))
            seconds, cpu = map(min, zip(*times, strict=True))
            first = first or seconds
            print(f"| {method} | {seconds:.1f} | {cpu:.1f} | {seconds / first:.2f} | {said} |", flush=True)


if __name__ == "__main__":
    main()
