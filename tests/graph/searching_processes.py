"""Started by the tests, alone or by torchrun: search neighbours and build a graph; each process stores what it has.

searching_processes.py GRAPH OUT ROWS CODES: ROWS and CODES are `.npy` files of embeddings and groups. The index has
lists from 100 rows on, and small blocks.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ser_graph.audio.mapped import map_array
from ser_graph.common.distributed import processes
from ser_graph.errors import InputError
from ser_graph.graph import build_graph, faiss_search, load_graph
from ser_graph.graph.neighbours import nearest_neighbours


def main(graph: str, out: str, rows: str, codes: str) -> None:
    faiss_search._FLAT_BELOW, faiss_search._LISTS, faiss_search._BLOCK = 100, 0.5, 301
    group, emb, groups = processes(), torch.from_numpy(np.load(rows)), torch.from_numpy(np.load(codes))
    found = {}
    for name, given, method, rules in (
        ("vectors", emb, "faiss", None),
        ("codes", map_array(rows), "faiss", None),
        ("groups", emb, "faiss", groups),
        ("flat", emb[:99], "faiss", None),
        ("first", emb, "exact", None),
    ):
        ids, similarity = nearest_neighbours(given, 6, method=method, groups=rules, processes=group)
        found |= {f"{name}.ids": ids, f"{name}.similarity": similarity}
    data = load_graph(graph)
    built = build_graph(
        data.table, emb=data.emb, x=data.x, features=data.meta.features, method="faiss", epsilon=None
    )
    found |= {"edge_index": built.edge_index, "edge_weight": built.edge_weight}
    save_file({name: one.contiguous() for name, one in found.items()}, Path(out, f"{group.rank}.safetensors"))
    nearest_neighbours(emb[:2], 1, method="faiss", processes=group)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InputError as error:
        sys.exit(f"Error: {error}")
