"""The nearest 9 of 10^5 to 10^7 clips by ``method="faiss"``, with the embeddings mapped from disk.

    python benchmarks/large_search.py --clips 100000 1000000 10000000 [--threads 2] [--folder /var/tmp]
    python benchmarks/large_search.py --clips 1000000 --processes 1 2 --threads 1

Embeddings are made up, but like real ones: `speech_like` of graph.py makes clustered random vectors of 256
dimensions with the intrinsic dimension of speech. They are written to a file in `--folder`, which needs 2 KB
per clip: the search writes the vectors of length 1 to a second file. The vectors stay on disk (`map_array`).

Each size runs in a process of its own, or in several that share the index. `search` is everything from the mapped
file to the ranked neighbours: scaling, training of the index, adding, searching, exact similarities. `CPU` are its
processor seconds, the sum over the processes; they change less on a busy machine. `own` is the peak of the memory
of a process (RssAnon), `all` the peak with the mapped pages that were resident at that time; the largest of the
processes. Recall@9 is against exact search, for 500 clips.
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

from ser_graph.common.processes import is_first

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
    from ser_graph.common.distributed import processes
    from ser_graph.graph.neighbours import nearest_neighbours, sampled_recall

    torch.set_num_threads(threads)
    group = processes()
    emb = map_array(folder / "emb.npy")
    before = memory()
    group.wait()
    peak, start, processor = Peak(), time.perf_counter(), time.process_time()
    peak.start()
    ids, _ = nearest_neighbours(emb, K, method="faiss", processes=group)
    took = [time.perf_counter() - start, time.process_time() - processor]
    most = peak.stop()
    took += [most[name] - before[name] for name in _FIELDS]
    search, cpu, *memories = group.gather(torch.tensor([took]), group.size).T
    found = {"search": search.max(), "cpu": cpu.sum()} | dict(
        zip(_FIELDS, (one.max() for one in memories), strict=True)
    )
    return {**{name: float(one) for name, one in found.items()}, "recall": sampled_recall(emb, ids)}


def search_in_child(n: int, folder: str, threads: int, processes: int) -> dict[str, float]:
    """`measured`, in one new process or in several."""
    many = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(many if processes > 1 else []), __file__, "--child", folder, "--clips", str(n)]
    command += ["--threads", str(threads)]
    environment = {**os.environ, "TMPDIR": str(Path(folder).parent)}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--processes", nargs="+", type=int, default=[1])
    arguments = parser.parse_args()
    if arguments.child:
        found = measured(arguments.clips[0], arguments.child, arguments.threads)
        if is_first():
            print(json.dumps(found))
        return
    print(f"{arguments.threads} threads in each process, {K} neighbours, 256 dimensions\n")
    print("| clips | processes | search, s | CPU, s | own, GB | all, GB | recall@9 |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for n in arguments.clips:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            array = np.lib.format.open_memmap(f"{folder}/emb.npy", "w+", np.float32, (n, 256))
            speech_like(n, out=array)
            del array
            for processes in arguments.processes:
                found = search_in_child(n, folder, arguments.threads, processes)
                shown = [f"{found[name]:.0f}" for name in ("search", "cpu")]
                shown += [f"{found[name]:.2f}" for name in _FIELDS] + [f"{found['recall']:.3f}"]
                print(f"| {n:,} | {processes} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
