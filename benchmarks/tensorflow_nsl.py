"""Records what TensorFlow's Neural Structured Learning computes, for the tests of parity.

Run it where TensorFlow is; the project needs neither it nor what it needs:

    python3.11 -m venv /tmp/tf
    /tmp/tf/bin/pip install "tensorflow-cpu==2.15.*" neural-structured-learning==1.4.0 "numpy<2"
    /tmp/tf/bin/python benchmarks/tensorflow_nsl.py

It writes tests/downstream/fixtures/tensorflow_nsl.json (losses and gradients) and
tests/graph/fixtures/tensorflow_nsl.json (edges and packed neighbours). All inputs are random numbers or small
constructions, and stand in the files beside the outputs.
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import neural_structured_learning as nsl
import numpy as np
import tensorflow as tf
from neural_structured_learning.tools import graph_utils

ROOT = Path(__file__).parents[1]
# Neural Structured Learning 1.4.0 opens its graphs with the mode "rU", which Python 3.11 no longer knows.
graph_utils.open = lambda name, mode: open(name, mode.replace("U", ""))  # noqa: PTH123, SIM115

DISTANCES = {
    "cosine": {"distance_type": "cosine", "sum_over_axis": -1},
    "l2": {"distance_type": "l2", "sum_over_axis": -1},
    "kl": {"distance_type": "kl_divergence", "sum_over_axis": -1, "transform_fn": "softmax"},
}
REDUCTIONS = {
    "mean": tf.compat.v1.losses.Reduction.SUM_BY_NONZERO_WEIGHTS,
    "sum": tf.compat.v1.losses.Reduction.SUM,
}
WEIGHTS = ("ones", "some zero", "all zero")


def plain(values: Any) -> Any:
    """Arrays as nested lists of the shortest decimals that are the same float32."""
    array = np.asarray(tf.convert_to_tensor(values))
    if array.dtype.kind != "f":
        return array.tolist()
    return np.vectorize(lambda value: float(str(np.float32(value))), otypes=[object])(array).tolist()


# The loss alone: nsl.keras.layers.PairwiseDistance, which is pairwise_distance_wrapper for lists of n neighbours.


def pairwise_cases() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    cases = []
    for n in (1, 2, 3):
        sources = rng.normal(size=(3, 4)).astype(np.float32)
        targets = rng.normal(size=(3 * n, 4)).astype(np.float32)
        some = rng.uniform(0.5, 1, 3 * n).astype(np.float32)
        some[:: n + 1] = 0  # the first neighbour of the first seed, the second of the second, ...
        weights = {"ones": np.ones(3 * n, np.float32), "some zero": some, "all zero": np.zeros(3 * n, np.float32)}
        outputs = [
            {"distance": distance, "reduction": reduction, "weights": name}
            | pairwise(sources, targets, weights[name], distance, reduction)
            for distance in DISTANCES
            for reduction in REDUCTIONS
            for name in WEIGHTS
            if reduction == "mean" or name == "some zero"
        ]
        inputs = {"sources": plain(sources), "targets": plain(targets)}
        cases.append(
            {"n": n, **inputs, "weights": {key: plain(w) for key, w in weights.items()}, "outputs": outputs}
        )
    return cases


def pairwise(sources: Any, targets: Any, weights: Any, distance: str, reduction: str) -> dict[str, Any]:
    layer = nsl.keras.layers.PairwiseDistance(
        nsl.configs.DistanceConfig(reduction=REDUCTIONS[reduction], **DISTANCES[distance])
    )
    sources, targets = tf.constant(sources), tf.constant(targets)
    with tf.GradientTape() as tape:
        tape.watch([sources, targets])
        loss = layer(sources, targets, weights=tf.constant(weights[:, None]))
    gradients = tape.gradient(loss, [sources, targets])
    names = ("source_gradient", "target_gradient")
    return {"loss": plain(loss), **dict(zip(names, map(plain, gradients), strict=True))}


def artefact_cases() -> dict[str, Any]:
    """What a sum over features, an output of zeros, and a probability of zero come to in TensorFlow."""
    sources = np.array([[1.0, 2.0, 0.5], [0.0, 1.0, -1.0]], np.float32)
    targets = np.array([[0.0, 1.0, 1.0], [2.0, 0.0, -1.0]], np.float32)
    per_feature = nsl.lib.pairwise_distance_wrapper(
        tf.constant(sources), tf.constant(targets), distance_config=nsl.configs.DistanceConfig("l2")
    )
    zero = np.zeros_like(sources[:1])
    sure = np.array([[40.0, 0.0, 0.0]], np.float32)
    unsure = np.array([[0.0, 40.0, 0.0]], np.float32)
    one = np.ones(1, np.float32)
    return {
        "l2_per_feature": {"sources": plain(sources), "targets": plain(targets), "loss": plain(per_feature)},
        "cosine_of_zeros": {
            "sources": plain(zero),
            "targets": plain(targets[:1]),
            **pairwise(zero, targets[:1], one, "cosine", "mean"),
        },
        "kl_of_certainty": {
            "sources": plain(sure),
            "targets": plain(unsure),
            **pairwise(sure, unsure, one, "kl", "mean"),
        },
    }


def stop_gradient_cases() -> list[dict[str, Any]]:
    """Gradients by the outputs of all clips, with both sides of an edge and with the neighbour's side stopped."""
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(4, 3)).astype(np.float32)
    one_way = np.array([[0, 0, 1], [1, 2, 3]])
    weights = np.array([0.9, 0.7, 0.8], np.float32)
    symmetric = np.concatenate([one_way, one_way[::-1]], 1)
    cases = []
    for distance in ("cosine", "l2"):
        for edges in (symmetric, one_way):
            weight = np.tile(weights, edges.shape[1] // 3)
            full, stopped = (edge_gradient(outputs, edges, weight, distance, stop) for stop in (False, True))
            cases.append(
                {
                    "distance": distance,
                    "symmetric": edges.shape[1] == 6,
                    "outputs": plain(outputs),
                    "edge_index": plain(edges),
                    "edge_weight": plain(weight),
                    "gradient": plain(full),
                    "stopped_gradient": plain(stopped),
                }
            )
    return cases


def edge_gradient(outputs: Any, edges: Any, weights: Any, distance: str, stop: bool) -> Any:
    config = nsl.configs.DistanceConfig(reduction=REDUCTIONS["mean"], **DISTANCES[distance])
    outputs = tf.constant(outputs)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        neighbours, seeds = tf.gather(outputs, edges[0]), tf.gather(outputs, edges[1])
        neighbours = tf.stop_gradient(neighbours) if stop else neighbours
        loss = nsl.lib.pairwise_distance_wrapper(seeds, neighbours, weights[:, None], config)
    return tape.gradient(loss, outputs)


# The graph: nsl.tools.build_graph_from_config and nsl.tools.pack_nbrs, on files as they want them.


def write_examples(path: Path, ids: list[str], emb: Any) -> str:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, row in zip(ids, emb, strict=True):
            feature = {
                "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name.encode()])),
                "embedding": tf.train.Feature(float_list=tf.train.FloatList(value=row)),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return str(path)


def built_edges(ids: list[str], emb: Any, folder: Path, **settings: Any) -> list[list[Any]]:
    """[seed, neighbour, weight] of every edge that the graph builder writes, sorted."""
    examples = write_examples(folder / "embeddings.tfr", ids, emb)
    config = nsl.configs.GraphBuilderConfig(**settings)
    nsl.tools.build_graph_from_config([examples], str(folder / "graph.tsv"), config)
    rows = [line.split("\t") for line in (folder / "graph.tsv").read_text().splitlines()]
    return sorted([seed, neighbour, float(weight)] for seed, neighbour, weight in rows)


def packed(ids: list[str], labelled: list[bool], emb: Any, folder: Path, max_nbrs: int | None) -> dict[str, Any]:
    """Each labelled clip's [neighbour, weight], as packed from the graph that was built last."""
    groups = {}
    for kind in (True, False):
        rows = [row for row, known in enumerate(labelled) if known is kind]
        groups[kind] = write_examples(folder / f"{kind}.tfr", [ids[row] for row in rows], emb[rows])
    out = str(folder / "packed.tfr")
    nsl.tools.pack_nbrs(groups[True], groups[False], str(folder / "graph.tsv"), out, max_nbrs=max_nbrs)
    lists = {}
    for record in tf.data.TFRecordDataset([out]):
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        lists[feature["id"].bytes_list.value[0].decode()] = [
            [
                feature[f"NL_nbr_{place}_id"].bytes_list.value[0].decode(),
                float(str(np.float32(feature[f"NL_nbr_{place}_weight"].float_list.value[0]))),
            ]
            for place in range(feature["NL_num_nbrs"].int64_list.value[0])
        ]
    return lists


def clustered(n: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    emb = rng.normal(size=(4, 6))[rng.integers(4, size=n)] + 0.45 * rng.normal(size=(n, 6))
    return emb.astype(np.float32)


def graph_cases() -> list[dict[str, Any]]:
    """Clips in general position, and clips of which some are equal, so that similarities tie."""
    distinct, tied = clustered(24, 2), clustered(16, 3)
    tied[[5, 9, 12]] = tied[2]
    tied[[7, 8]] = tied[3]
    return [graph_case("distinct", distinct), graph_case("tied", tied)]


def graph_case(name: str, emb: Any) -> dict[str, Any]:
    n = len(emb)
    labelled = [row % 3 != 1 for row in range(n)]
    # Named in the order of the rows, and against it: names break ties in TensorFlow.
    namings = {"forwards": [f"{row:02d}" for row in range(n)], "backwards": [f"{n - row:02d}" for row in range(n)]}
    thresholds = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for threshold in (0.5, 0.8, 0.95):
            lists: dict[str, Any] = {}
            for naming, ids in namings.items():
                edges = built_edges(ids, emb, folder, similarity_threshold=threshold)
                row_of = {clip: row for row, clip in enumerate(ids)}
                if naming == "forwards":
                    thresholds[str(threshold)] = {"edges": [[int(s), int(t), w] for s, t, w in edges]}
                lists[naming] = {
                    str(cap): {
                        str(row_of[seed]): [[row_of[other], weight] for other, weight in found]
                        for seed, found in packed(ids, labelled, emb, folder, cap).items()
                    }
                    for cap in (1, 2, 3, None)
                }
            wanted = ("backwards",) if name == "distinct" else ("backwards", "forwards")
            thresholds[str(threshold)]["packed"] = {naming: lists[naming] for naming in wanted}
        # The paper's settings of its hashing.
        hashed = built_edges(
            namings["forwards"],
            emb,
            folder,
            similarity_threshold=0.8,
            lsh_splits=2,
            lsh_rounds=4,
            random_seed=12345,
        )
    return {
        "name": name,
        "emb": plain(emb),
        "labelled": labelled,
        "thresholds": thresholds,
        "hashed_at_0.8": [[int(s), int(t), w] for s, t, w in hashed],
    }


def threshold_case() -> dict[str, Any]:
    """Three clips of which two have a cosine of exactly the threshold."""
    emb = np.array([[5, 0], [3, 4], [4, 3]], np.float32)  # cosines 0.6, 0.8, 0.96
    ids = ["0", "1", "2"]
    with tempfile.TemporaryDirectory() as folder:
        edges = built_edges(ids, emb, Path(folder), similarity_threshold=0.6)
    return {"emb": plain(emb), "threshold": 0.6, "edges": [[int(s), int(t), w] for s, t, w in edges]}


# The whole: a graph built and packed, and nsl.keras.GraphRegularization around a model of two dense layers.


def regularised_cases() -> dict[str, Any]:
    rng = np.random.default_rng(4)
    emb = clustered(12, 5)
    emb[11] = -emb[:11].mean(0)  # like no other: a seed without neighbours
    x = rng.normal(size=(12, 4)).astype(np.float32)
    y = rng.integers(3, size=12)
    kernels = {
        "fc1": ((rng.normal(size=(4, 5)) / 2).astype(np.float32), rng.normal(size=5).astype(np.float32) / 10),
        "fc2": ((rng.normal(size=(5, 3)) / 2).astype(np.float32), rng.normal(size=3).astype(np.float32) / 10),
    }
    ids = [f"{12 - row:02d}" for row in range(12)]
    cases = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        built_edges(ids, emb, folder, similarity_threshold=0.6)
        for n in (1, 2, 3):
            lists = packed(ids, [True] * 12, emb, folder, n)
            batch = padded(x, [[(ids.index(other), w) for other, w in lists[name]] for name in ids], n)
            for distance in DISTANCES:
                for layer in ("fc1", "fc2"):
                    if n == 3 or (distance, layer) == ("cosine", "fc2"):
                        found = regularised(batch, y, kernels, n, distance, layer)
                        cases.append({"n": n, "distance": distance, "layer": layer, **found})
        with_norm = normalised(batch, 3, kernels)
    return {
        "emb": plain(emb),
        "x": plain(x),
        "y": plain(y),
        "threshold": 0.6,
        "alpha": 0.1,
        "kernels": {name: list(map(plain, both)) for name, both in kernels.items()},
        "outputs": cases,
        "with_batch_norm": with_norm,
    }


def padded(x: Any, lists: list[list[tuple[int, float]]], n: int) -> dict[str, Any]:
    """A batch of all clips with n neighbours each; missing ones are zeros of weight 0, as NSL wants it."""
    batch = {"x": x}
    for place in range(n):
        features, weights = np.zeros_like(x), np.zeros((len(x), 1), np.float32)
        for seed, found in enumerate(lists):
            if place < len(found):
                features[seed], weights[seed] = x[found[place][0]], found[place][1]
        batch[f"NL_nbr_{place}_x"], batch[f"NL_nbr_{place}_weight"] = features, weights
    return {name: tf.constant(value) for name, value in batch.items()}


def network(kernels: dict[str, Any], *, batch_norm: bool = False) -> tuple[Any, Any, Any]:
    """Input, fc1 before its ReLU, and fc2."""
    given = tf.keras.Input((4,), name="x")
    hidden = tf.keras.layers.BatchNormalization(epsilon=1e-3)(given) if batch_norm else given
    constant = tf.keras.initializers.Constant
    (w1, b1), (w2, b2) = kernels["fc1"], kernels["fc2"]
    fc1 = tf.keras.layers.Dense(5, kernel_initializer=constant(w1), bias_initializer=constant(b1), name="fc1")(
        hidden
    )
    fc2 = tf.keras.layers.Dense(3, kernel_initializer=constant(w2), bias_initializer=constant(b2), name="fc2")(
        tf.nn.relu(fc1)
    )
    return given, fc1, fc2


def regularised(batch: Any, y: Any, kernels: Any, n: int, distance: str, layer: str) -> dict[str, Any]:
    """Losses and gradients of cross entropy + 0.1 x neighbour loss on the outputs of a layer."""
    given, fc1, fc2 = network(kernels)
    # GraphRegularization compares what its model puts out: for fc1 it is put around the first layer.
    compared = tf.keras.Model({"x": given}, fc2 if layer == "fc2" else fc1)
    whole = tf.keras.Model({"x": given}, fc2)
    settings = nsl.configs.make_graph_reg_config(max_neighbors=n, multiplier=0.1, **DISTANCES[distance])
    graph_model = nsl.keras.GraphRegularization(compared, settings)
    cross_entropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weights = [whole.get_layer(name).kernel for name in ("fc1", "fc2")]
    with tf.GradientTape() as tape:
        graph_model(batch, training=True)
        (graph_loss,) = graph_model.losses
        supervised = cross_entropy(y, whole({"x": batch["x"]}, training=True))
        loss = supervised + graph_loss
    gradients = dict(zip(("fc1", "fc2"), map(plain, tape.gradient(loss, weights)), strict=True))
    return {"supervised": plain(supervised), "scaled_graph_loss": plain(graph_loss), "gradients": gradients}


def normalised(batch: Any, n: int, kernels: Any) -> dict[str, Any]:
    """The same loss behind a BatchNorm in training: seeds and padded neighbours are normalised apart."""
    given, _, fc2 = network(kernels, batch_norm=True)
    settings = nsl.configs.make_graph_reg_config(max_neighbors=n, multiplier=1.0, **DISTANCES["cosine"])
    graph_model = nsl.keras.GraphRegularization(tf.keras.Model({"x": given}, fc2), settings)
    graph_model(batch, training=True)
    padding = int(sum((batch[f"NL_nbr_{place}_weight"].numpy() == 0).sum() for place in range(n)))
    return {"n": n, "graph_loss": plain(graph_model.losses[0]), "padding": padding}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "tests", help="folder of tests")
    out = parser.parse_args().out
    made_by = {
        "script": "benchmarks/tensorflow_nsl.py",
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "neural-structured-learning": nsl.__version__,
        "numpy": np.__version__,
    }
    losses = {
        "made_by": made_by,
        "pairwise": pairwise_cases(),
        "artefacts": artefact_cases(),
        "stop_gradient": stop_gradient_cases(),
        "regularised": regularised_cases(),
    }
    graphs = {"made_by": made_by, "graphs": graph_cases(), "at_threshold": threshold_case()}
    for folder, content in (("downstream", losses), ("graph", graphs)):
        path = out / folder / "fixtures" / "tensorflow_nsl.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, separators=(",", ":")) + "\n", "utf-8")
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
