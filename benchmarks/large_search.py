"""The nearest 9 of 10^5 to 10^7 clips by ``method="faiss"``, with the embeddings mapped from disk.

    python benchmarks/large_search.py --clips 100000 1000000 10000000 [--threads 2] [--folder /var/tmp]

Embeddings are made up, but like real ones: `speech_like` of graph.py makes clustered random vectors of 256
dimensions with the intrinsic dimension of speech. They are written to a file in `--folder`, which needs 2 KB
per clip: the search writes the vectors of length 1 to a second file. The vectors stay on disk (`map_array`).

Each size runs in a process of its own. `search` is everything from the mapped file to the ranked neighbours:
scaling, training of the index, adding, searching, exact similarities. `CPU` are its processor seconds, which
change less on a busy machine. `own` is the peak of the memory of the process (RssAnon), `all` the peak with the
mapped pages that were resident at that time. Recall@9 is against exact search, for 500 clips.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from graph import K, speech_like

_FIELDS = ("RssAnon", "VmRSS")


def memory() -> dict[str, float]:
    """RssAnon and VmRSS of this process in GB."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {line[0][:-1]: int(line[1]) / 2**20 for line in lines if line[0][:-1] in _FIELDS}


class Peak(threading.Thread):
    """The largest memory until `stop`, looked at ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = dict.fromkeys(_FIELDS, 0.0)
        self._over = threading.Event()

    def run(self) -> None:
        """Look until the search is over."""
        while not self._over.wait(0.1):
            self.peak = {name: max(self.peak[name], value) for name, value in memory().items()}

    def stop(self) -> dict[str, float]:
        """The peak."""
        self._over.set()
        self.join()
        return self.peak


def measured(n: int, folder: Path, threads: int) -> dict[str, float]:
    """Search once, and say what it took."""
    import torch

    from ser_graph.audio.mapped import map_array
    from ser_graph.graph.neighbours import nearest_neighbours, sampled_recall

    torch.set_num_threads(threads)
    before = memory()
    emb = map_array(folder / "emb.npy")
    peak, start, processor = Peak(), time.perf_counter(), time.process_time()
    peak.start()
    ids, _ = nearest_neighbours(emb, K, method="faiss")
    took = {"search": time.perf_counter() - start, "cpu": time.process_time() - processor}
    found = {name: value - before[name] for name, value in peak.stop().items()}
    return {**took, **found, "recall": sampled_recall(emb, ids)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measured(arguments.clips[0], arguments.child, arguments.threads)))
        return
    print(f"{arguments.threads} threads, {K} neighbours, 256 dimensions\n")
    print("| clips | search, s | CPU, s | own, GB | all, GB | recall@9 |")
    print("|---|---|---|---|---|---|", flush=True)
    for n in arguments.clips:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            array = np.lib.format.open_memmap(f"{folder}/emb.npy", "w+", np.float32, (n, 256))
            speech_like(n, out=array)
            del array
            command = [sys.executable, __file__, "--child", folder, "--clips", str(n)]
            command += ["--threads", str(arguments.threads)]
            environment = {**os.environ, "TMPDIR": str(arguments.folder)}
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
        found = json.loads(done.stdout.splitlines()[-1])
        shown = [f"{found[name]:.0f}" for name in ("search", "cpu")]
        shown += [f"{found[name]:.2f}" for name in _FIELDS] + [f"{found['recall']:.3f}"]
        print(f"| {n:,} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
