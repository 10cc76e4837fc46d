"""Fifty labelled clips of one's own: a student from a ready student, and one from nothing.

    python benchmarks/few_clips.py graphs/ased --init ready:small ready:good --draws 5

Both students have the same backbone, width, clips, labels and steps. Each draw takes other labelled clips. The test
speakers are those of the graph's split. The graph may come from any upstream: neither student uses its edges.
"""

import argparse

import numpy as np
import pandas as pd
import torch

import ser_graph as sg
from ser_graph.common.progress import progress_bar
from ser_graph.downstream import TrainingSettings, load_student
from ser_graph.downstream.labels import labelled_nodes
from ser_graph.evaluation import bootstrap_difference, evaluate


def settings_for(
    data: sg.ClipGraph, n_clips: int, n_speakers: int, draw: int, **settings: object
) -> TrainingSettings:
    """Settings of a baseline with about `n_clips` labels of `n_speakers` speakers; another draw, other clips."""
    how = TrainingSettings(method="baseline", labelled_speakers=n_speakers, label_seed=draw, seed=draw, **settings)
    n_known = int(labelled_nodes(data, how).sum())
    return how.replace(label_fraction=min(1.0, n_clips / n_known))


def compare(
    data: sg.ClipGraph, init: str, n_clips: int, n_speakers: int, draws: int, epochs: int, rate: float
) -> dict[str, object]:
    """UAR on the test speakers from nothing and from a ready student, in the mean over the draws."""
    ready = load_student(init)
    own = {"width": ready.width, "backbone": ready.info["backbone"], "normalise": ready.standardise.normalise}
    starts = {"from nothing": None, "from the ready student": ready}
    predictions: dict[str, list[pd.DataFrame]] = {name: [] for name in starts}
    n_labels = []
    for draw in progress_bar(range(draws), desc=init, unit="draw"):
        how = settings_for(data, n_clips, n_speakers, draw, epochs=epochs, **own)
        n_labels.append(int(labelled_nodes(data, how).sum()))
        for name, start in starts.items():
            changes = {} if start is None else {"learning_rate": rate}
            student = sg.train(data, how, init=start, progress=False, **changes)
            predictions[name].append(sg.predict(student, data, "test"))
    row: dict[str, object] = {"init": init, "draws": draws, "labels": float(np.mean(n_labels))}
    if ready.emotions == data.emotions:
        unchanged = evaluate(sg.predict(ready, data, "test"), n_resamples=1)["uar"]
        row["ready student, unchanged"] = f"{100 * unchanged:.1f}"
    for name, tables in predictions.items():
        scores = [evaluate(table, n_resamples=1)["uar"] for table in tables]
        row[name] = f"{100 * np.mean(scores):.1f} ± {100 * np.std(scores):.1f}"
    both = bootstrap_difference(*predictions.values())
    row["difference [95 %]"] = f"{100 * both.difference:+.1f} [{100 * both.low:.1f}, {100 * both.high:.1f}]"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph", help="folder of a graph")
    parser.add_argument("--init", nargs="+", default=["ready:small", "ready:good"])
    parser.add_argument("--clips", type=int, default=50, help="labelled clips")
    parser.add_argument("--speakers", type=int, default=5, help="speakers of these clips")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="from the ready student")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = sg.load_graph(given.graph)
    rows = [
        compare(data, init, given.clips, given.speakers, given.draws, given.epochs, given.learning_rate)
        for init in given.init
    ]
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
