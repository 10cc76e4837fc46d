"""The map of a graph: how long its layout takes, and how well it keeps who is near whom.

    python benchmarks/layout.py [--graph FOLDER OF A GRAPH] [--clips 10000] [--threads 2]

Without a graph, embeddings are made up: 7 emotions of 20 speakers in 256 dimensions. Trustworthiness (1 is best,
0.5 is chance) is that of 10 neighbours among 2,000 clips, of the layout and of the first two principal components.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.manifold import trustworthiness

import ser_graph as sg
from ser_graph.graph import ClipGraph
from ser_graph.inspection.layout import graph_layout


def made_up_graph(n_clips: int) -> ClipGraph:
    """Embeddings that have an emotion's part, a speaker's, and one of their own."""
    rng = np.random.default_rng(0)
    emotion, speaker = rng.integers(7, size=n_clips), rng.integers(20, size=n_clips)
    emotions, speakers, own = (rng.normal(size=(size, 256)) for size in (7, 20, n_clips))
    emb = emotions[emotion] + 0.6 * speakers[speaker] + 0.7 * own
    return ClipGraph(emb=torch.from_numpy(emb).float(), num_nodes=n_clips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", type=Path)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = sg.load_graph(arguments.graph) if arguments.graph else made_up_graph(arguments.clips)
    wall, cpu = time.perf_counter(), time.process_time()
    places = graph_layout(data)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    some = np.random.default_rng(0).permutation(data.num_nodes)[:2000]
    emb = data.emb[some].double().numpy()
    centred = emb / np.linalg.norm(emb, axis=1, keepdims=True)
    centred -= centred.mean(0)
    components = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -2:]
    print(
        f"{data.num_nodes} clips, {torch.get_num_threads()} threads: {wall:.1f} s ({cpu:.1f} s of processor time)"
    )
    for name, shown in (("layout", places[some]), ("principal components", components)):
        print(f"trustworthiness {trustworthiness(emb, shown, n_neighbors=10, metric='cosine'):.3f}  {name}")


if __name__ == "__main__":
    main()
