"""The nearest 9 of every clip: time, memory and recall of this package, pynndescent, faiss and TensorFlow's NSL.

    python benchmarks/graph.py [--clips 10000 100000] [--methods exact ...] [--tensorflow /tmp/tf/bin/python]

Embeddings are made up, but like real ones: a point of 14 dimensions is the sum of an emotion's, a speaker's and the
clip's own part, a random layer with tanh makes 256 dimensions of it, and a little noise is added. 4,000 such clips
have an intrinsic dimension of 10 (maximum likelihood, 20 neighbours) and 12 (TwoNN); the embeddings that a
Whisper base fine-tuned for 5 and for 20 epochs makes of nEMO have 8 and 11, and 12 and 15. On data without such a
structure every approximate search looks better (separate clusters) or worse (noise) than on speech.

Each method runs in a process of its own. `first` is what it costs before a clip of the corpus is compared: imports
and compilation, met on 2,000 clips; `search` is the search alone, `CPU` the processor seconds in it, which change
less where a machine is busy with something else. Memory is the peak above the embeddings. Recall@9 is against exact
search, for 500 clips. `exact` and `nndescent` are this package's; ``method="auto"`` takes one of them.

TensorFlow's Neural Structured Learning knows no k: it writes every pair above a similarity that its hashing meets,
here 0.95. Its recall is against the pairs of 500 clips above that. It runs where `--tensorflow` names a Python with
tensorflow 2.15 and neural-structured-learning 1.4.0 (see tensorflow_nsl.py).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

K = 9
THRESHOLD = 0.95
METHODS = ("nndescent", "exact", "pynndescent", "faiss-flat", "faiss-hnsw", "faiss-ivf", "tensorflow-nsl")
_HERE = Path(__file__).parent


def speech_like(n: int, seed: int = 0, out: np.ndarray | None = None) -> np.ndarray:
    """[n, 256] float32 of length 1: 7 emotions, a speaker for every 500 clips, 14 dimensions, 5 % noise."""
    rng = np.random.default_rng(seed)
    dimensions = 14
    emotions = 2.0 * rng.normal(size=(7, dimensions))
    speakers = 0.7 * rng.normal(size=(max(n // 500, 6), dimensions))
    layer = rng.normal(size=(dimensions, 256)) / dimensions**0.5
    emb = np.empty((n, 256), np.float32) if out is None else out
    for start in range(0, n, 2**16):
        size = min(2**16, n - start)
        point = rng.normal(size=(size, dimensions))
        point += emotions[rng.integers(len(emotions), size=size)] + speakers[rng.integers(len(speakers), size=size)]
        part = np.tanh(point * np.geomspace(1, 0.25, dimensions) @ layer) + 0.05 * rng.normal(size=(size, 256))
        emb[start : start + size] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return emb


def searcher(method: str) -> Callable[[np.ndarray], np.ndarray]:
    """From [N, 256] embeddings to [N, >= 9] ids."""
    if method in ("exact", "nndescent"):
        import torch

        from ser_graph.graph.neighbours import nearest_neighbours

        return lambda emb: nearest_neighbours(torch.from_numpy(emb), K, method=method)[0].numpy()
    if method == "pynndescent":
        from pynndescent import NNDescent

        return lambda emb: NNDescent(emb, metric="cosine", random_state=0).neighbor_graph[0]
    import faiss

    def search(emb: np.ndarray) -> np.ndarray:
        n, d = emb.shape
        if method == "faiss-flat":
            index = faiss.IndexFlatIP(d)
        elif method == "faiss-hnsw":
            index = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efSearch = 64
        else:
            n_lists = int(4 * n**0.5)
            index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, n_lists, faiss.METRIC_INNER_PRODUCT)
            index.train(emb[np.random.default_rng(0).permutation(n)[: 40 * n_lists]])
            index.nprobe = 16
        index.add(emb)
        return index.search(emb, K + 1)[1]

    return search


def peak_memory() -> float:
    """VmHWM of this process in GB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20


def resident_memory() -> float:
    """VmRSS of this process in GB."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 2**20


def measured(method: str, sizes: list[int]) -> Iterator[dict[str, float]]:
    """In a process of its own: search once for each size, and say what it took."""
    start = time.perf_counter()
    search = searcher(method)
    search(speech_like(2000))
    first = time.perf_counter() - start
    for n in sizes:
        emb = speech_like(n)
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
        before, start, processor = resident_memory(), time.perf_counter(), time.process_time()
        ids = search(emb)
        took = {"search": time.perf_counter() - start, "cpu": time.process_time() - processor}
        yield {"first": first, **took, "memory": peak_memory() - before, "recall": recall(emb, ids)}


def recall(emb: np.ndarray, ids: np.ndarray, sample: int = 500) -> float:
    """Share of the true nearest 9 found; one that is as similar as the 9th counts."""
    rows = np.random.default_rng(1).permutation(len(emb))[:sample]
    hits = 0
    for block in np.array_split(rows, 10):
        for row, similarity in zip(block.tolist(), emb[block] @ emb.T, strict=True):
            similarity[row] = -np.inf
            least = np.partition(similarity, -K)[-K] - 1e-6
            found = ids[row][(ids[row] >= 0) & (ids[row] != row)][:K]
            hits += int((similarity[found] >= least).sum())
    return hits / (K * len(rows))


def nsl_measured(n: int) -> dict[str, float]:
    """What `nsl.tools.build_graph_from_config` takes: from TFRecords to the file of edges."""
    emb = speech_like(n)
    start = time.perf_counter()
    import neural_structured_learning as nsl
    from tensorflow_nsl import write_examples

    with tempfile.TemporaryDirectory() as folder:
        ids = [str(clip) for clip in range(len(emb))]
        examples = write_examples(Path(folder) / "embeddings.tfr", ids, emb)
        first = time.perf_counter() - start
        bits = max(round(np.log2(len(emb) / 1000)), 1)  # buckets of about 1,000 clips, as its guide advises
        config = nsl.configs.GraphBuilderConfig(
            similarity_threshold=THRESHOLD, lsh_splits=bits, lsh_rounds=4, random_seed=0
        )
        Path("/proc/self/clear_refs").write_text("5")
        before, start, processor = resident_memory(), time.perf_counter(), time.process_time()
        nsl.tools.build_graph_from_config([examples], f"{folder}/graph.tsv", config)
        took = {"search": time.perf_counter() - start, "cpu": time.process_time() - processor}
        memory = peak_memory() - before
        sample = set(np.random.default_rng(1).permutation(len(emb))[:500].tolist())
        found = 0
        with Path(folder, "graph.tsv").open() as lines:
            found = sum(int(line.split("\t", 1)[0]) in sample for line in lines)
    true = sum(int((emb @ emb[row] >= THRESHOLD).sum()) - 1 for row in sample)
    return {"first": first, **took, "memory": memory, "recall": found / max(true, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--tensorflow", help="a Python that has tensorflow and neural_structured_learning")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        found = measured(arguments.child, arguments.clips)
        if arguments.child == "tensorflow-nsl":
            found = map(nsl_measured, arguments.clips)
        for one in found:
            print(json.dumps(one), flush=True)
        return
    print(f"{os.cpu_count()} cores, {K} neighbours, 256 dimensions\n")
    print("| clips | method | first, s | search, s | CPU, s | memory, GB | recall@9 | CPU, x nndescent |")
    print("|---|---|---|---|---|---|---|---|")
    ours: dict[int, float] = {}
    for method in arguments.methods:
        for n, found in in_own_process(method, arguments.clips, arguments.tensorflow):
            if isinstance(found, str):
                print(f"| {n:,} | {method} | skipped: {found} | | | | | |", flush=True)
                continue
            ours.update({n: found["cpu"]} if method == "nndescent" else {})
            ratio = f"{found['cpu'] / ours[n]:.2f}" if n in ours else ""
            shown = [f"{found[name]:.1f}" for name in ("first", "search", "cpu")]
            shown += [f"{found['memory']:.2f}", f"{found['recall']:.3f}", ratio]
            print(f"| {n:,} | {method} | {' | '.join(shown)} |", flush=True)


def in_own_process(
    method: str, sizes: list[int], tensorflow: str | None
) -> Iterator[tuple[int, dict[str, float] | str]]:
    """What was measured for each size, or why nothing was."""
    python = sys.executable
    if method == "tensorflow-nsl":
        if tensorflow is None:
            yield sizes[0], "no --tensorflow given"
            return
        python = tensorflow
    command = [python, str(_HERE / "graph.py"), f"--child={method}", "--clips", *map(str, sizes)]
    done = 0
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as child,
    ):
        for line in child.stdout or ():
            if line.startswith("{"):
                yield sizes[done], json.loads(line)
                done += 1
        child.wait()
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if done < len(sizes):
        yield sizes[done], said[-1] if said else f"ended with {child.returncode}"


if __name__ == "__main__":
    main()
