"""The whole report about a graph: seconds a part, on clips that are made up.

python benchmarks/graph_report.py [--clips 10000] [--neighbours 6]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import open_memmap

import ser_graph as sg
from ser_graph.analysis.report import report_parts
from ser_graph.audio.features import map_array

SETTINGS = {"by": "emotion", "n_permutations": 1000, "n_neighbors": 10, "n_sources": 32, "seed": 0}


def made_up_clips(n: int) -> tuple[pd.DataFrame, torch.Tensor]:
    """Clips of 7 emotions, 60 speakers and 20 sentences, which the embeddings show in this order."""
    rng = np.random.default_rng(0)
    sizes = {"emotion": 7, "speaker": 60, "sentence": 20}
    codes = {column: rng.integers(size, size=n) for column, size in sizes.items()}
    table = pd.DataFrame({column: [f"{column[0]}{code}" for code in code_of] for column, code_of in codes.items()})
    table["gender"] = np.where(codes["speaker"] % 2, "female", "male")
    table["split"], table["duration"] = "train", 3.0
    emb = rng.normal(size=(n, 256))
    for strength, (column, size) in zip((2.0, 1.0, 0.5), sizes.items(), strict=True):
        emb += strength * rng.normal(size=(size, 256))[codes[column]]
    return table.set_index(pd.Index([f"{clip:06}.wav" for clip in range(n)], name="file")), torch.tensor(
        emb
    ).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--neighbours", type=int, default=6)
    arguments = parser.parse_args()
    table, emb = made_up_clips(arguments.clips)
    with tempfile.TemporaryDirectory() as folder:
        x = open_memmap(Path(folder) / "x.npy", "w+", np.float16, (len(table), 373, 64))
        noise = np.random.default_rng(0).normal(size=(64, 373, 64))
        for start in range(0, len(x), len(noise)):
            x[start : start + len(noise)] = noise[: len(x) - start]
        x.flush()
        data = sg.build_graph(
            table,
            emb=emb,
            x=map_array(Path(folder) / "x.npy"),
            epsilon=None,
            n_neighbors=arguments.neighbours,
            shared_speakers=True,
        )
        print(f"{data.num_nodes:,} clips, {data.num_edges:,} edges, {torch.get_num_threads()} threads")
        whole = time.perf_counter()
        report = {"settings": pd.Series(SETTINGS)}
        for name, make in report_parts(data, report).items():
            start = time.perf_counter()
            report[name] = make()
            print(f"{name:16} {time.perf_counter() - start:6.2f} s")
        print(f"{'all':16} {time.perf_counter() - whole:6.2f} s")


if __name__ == "__main__":
    main()
