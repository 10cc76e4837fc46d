"""Compare models: size, memory, time, multiplications and UAR, each model in a separate process."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ser_graph.common.hashing import content_hash
from ser_graph.common.processes import safe_imports
from ser_graph.common.progress import progress_bar
from ser_graph.edge.loading import load_model
from ser_graph.edge.measuring import latencies_ms, peak_memory_mb, size_mb
from ser_graph.errors import InputError

if TYPE_CHECKING:
    from ser_graph.graph import ClipGraph

NOTES = (
    "Time of one clip on {threads} CPU {thread} of this machine, from waveform to probabilities. memory_mb: the "
    "peak memory of the process, with Python and its libraries. rtf: real-time factor, p50 divided by the length "
    "of the clip. macs: millions of multiplications for one clip, an estimate of the energy."
)


def bench(
    models: Sequence[str | Path],
    *,
    graph: str | Path | None = None,
    teacher: str | Path | None = None,
    repeats: int = 50,
    threads: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Compare models: size, memory, time, multiplications and UAR.

    Args:
        models: folders of students, and exported ``.onnx`` files.
        graph: folder of the graph of their training. Its test clips, with their stored spectrograms, measure UAR.
        teacher: folder of the upstream, which is measured on clips of the same length.
        repeats: number of time measurements, after two for warm-up.
        threads: CPU threads of each model.
        progress: show a progress bar.

    Returns:
        One row per model: `kind` (``torch float32``, ``onnx int8``, ...), `params` (millions), `size_mb` (10^6
        bytes), `memory_mb` (peak of the process, with Python and libraries), `p50_ms` and `p95_ms` (one clip, from
        the waveform to the probabilities), `rtf` (real-time factor: p50, divided by the length of the clip), `macs`
        (millions of multiplications of convolutions and dense layers: an estimate of the energy) and `uar` (of the
        graph's test clips; NaN without a graph and for the teacher). ``attrs["notes"]`` contains sentences about
        the table.

    Raises:
        InputError: no model, a model that cannot be loaded, or a graph that does not belong to a model.
    """
    if not models:
        raise InputError("No model to measure; give folders of students or .onnx files")
    if repeats < 1 or threads < 1:
        raise InputError(f"Bad repeats {repeats!r} or threads {threads!r}, expected at least 1")
    requests = [{"model": str(model)} for model in models]
    if teacher is not None:
        requests.append({"teacher": str(teacher)})
    data = None if graph is None else _graph(graph)
    rows: list[dict[str, Any]] = []
    for one in progress_bar(requests, desc="measuring", unit="model", disable=not progress, delay=1):
        seconds = min((row["seconds"] for row in rows), default=None)
        row = _in_a_process({**one, "repeats": repeats, "threads": threads, "seconds": seconds})
        known = {"uar": None, "own_graph": None}
        if data is not None and "model" in one:
            known = _recognised(one["model"], data, threads)
        rows.append({**row, **known})
    _tell_apart(rows, requests)
    table = pd.DataFrame(rows).set_index("model")
    notes = [NOTES.format(threads=threads, thread="thread" if threads == 1 else "threads"), *_notes(rows)]
    table = table.drop(columns=["student", "own_graph", "seconds", "normalises_by_speaker"])
    table.attrs["notes"] = notes
    return table


def _tell_apart(rows: list[dict[str, Any]], requests: list[dict[str, str]]) -> None:
    """Name models with equal file names by the path that was given."""
    names = [row["model"] for row in rows]
    for row, one in zip(rows, requests, strict=True):
        if "model" in one and (not row["model"] or names.count(row["model"]) > 1):
            row["model"] = one["model"]


def format_bench(table: pd.DataFrame) -> str:
    """The table of `bench` as text, with its notes."""
    digits = {"params": 1, "size_mb": 1, "memory_mb": 0, "p50_ms": 1, "p95_ms": 1, "rtf": 4, "macs": 0, "uar": 3}
    shown = table.copy()
    for column, n in digits.items():
        shown[column] = ["-" if pd.isna(value) else f"{value:,.{n}f}" for value in table[column]]
    return "\n".join([shown.to_string(), "", *table.attrs["notes"]])


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    notes = []
    exported = {(row["student"], row["kind"]): row for row in rows}
    for row in rows:
        whole = exported.get((row["student"], "onnx float32"))
        if row["kind"] != "onnx int8" or whole is None:
            continue
        ratio = row["p50_ms"] / whole["p50_ms"]
        if ratio > 1:
            notes.append(
                f"{row['model']}: int8 is slower here than float32 ({ratio:.2f} times its time); it only saves "
                f"size ({whole['size_mb'] / row['size_mb']:.1f} times smaller)."
            )
        else:
            notes.append(f"{row['model']}: int8 takes {ratio:.2f} times the time of float32.")
    voices = [row["model"] for row in rows if row["normalises_by_speaker"] and row["uar"] is not None]
    if voices:
        notes.append(
            "Normalised by speaker: uar uses the statistics of all clips of each speaker, without labels: "
            f"{', '.join(voices)}."
        )
    others = [row["model"] for row in rows if row["own_graph"] is False]
    if others:
        names = ", ".join(others)
        notes.append(f"Not trained on this graph, so its test clips may have been training clips: {names}.")
    return notes


def _in_a_process(request: dict[str, Any]) -> dict[str, Any]:
    """The row of one model, measured in a new Python process, so that models do not share memory and threads."""
    command = [sys.executable, "-m", "ser_graph.edge.benchmark", json.dumps(request)]
    with safe_imports():
        environment = {**os.environ, "OMP_NUM_THREADS": str(request["threads"])}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    output = done.stdout.strip().splitlines()
    if done.returncode or not output:
        name = request.get("model") or request["teacher"]
        reason = (done.stderr.strip().splitlines() or ["it was killed, perhaps because memory was full"])[-1]
        raise InputError(f"{name} could not be measured ({reason})")
    row = json.loads(output[-1])
    if "error" in row:
        raise InputError(row["error"])
    return row


def _measure(request: dict[str, Any]) -> dict[str, Any]:
    return _measure_teacher(request) if "teacher" in request else _measure_model(request)


def _measure_model(request: dict[str, Any]) -> dict[str, Any]:
    exported = request["model"].endswith(".onnx")
    if not exported:
        import torch

        torch.set_num_threads(request["threads"])
    model = load_model(request["model"], request["threads"])
    n_samples, rate = model.features["n_samples"], model.features["sample_rate"]
    times = latencies_ms(model, n_samples, request["repeats"])
    memory = peak_memory_mb()
    return {
        "model": Path(request["model"]).name,
        "kind": f"{'onnx' if exported else 'torch'} {model.precision}",
        **_costs(model.n_params, request["model"], memory, times, n_samples / rate, model.macs),
        "student": content_hash({key: value for key, value in model.info.items() if key != "history"}),
        "seconds": n_samples / rate,
        "normalises_by_speaker": model.normalises_by_speaker,
    }


def _graph(folder: str | Path) -> "ClipGraph":
    """The graph in a folder, if it has labelled test clips."""
    from ser_graph.graph import load_graph

    data = load_graph(folder)
    if not (data.table["emotion"].notna() & (data.table["split"] == "test")).any():
        raise InputError(f"The graph in {folder} has no labelled test clip to measure UAR on")
    return data


def _recognised(path: str, data: "ClipGraph", threads: int) -> dict[str, Any]:
    """UAR on the test clips of the graph, and whether the model was trained on this graph."""
    from ser_graph.edge.prediction import predict
    from ser_graph.evaluation import uar
    from ser_graph.graph.compatibility import check_compatible

    model = load_model(path, threads)
    check_compatible(data.meta, model.features, model.emotions)
    predictions = predict(path, data, "test", threads=threads, progress=False)
    known = predictions[predictions["emotion"].notna()]
    return {
        "uar": uar(known["emotion"], known["predicted"]),
        "own_graph": data.meta.data_hash == model.info.get("data_hash"),
    }


def _measure_teacher(request: dict[str, Any]) -> dict[str, Any]:
    import torch

    from ser_graph.audio.settings import SAMPLE_RATE
    from ser_graph.downstream.backbones import count_multiplications
    from ser_graph.upstream import Upstream

    torch.set_num_threads(request["threads"])
    upstream = Upstream.from_pretrained(request["teacher"])
    upstream.model.eval()

    @torch.no_grad()
    def ask(waveform: np.ndarray) -> Any:
        padding = "max_length" if upstream.max_samples else True
        inputs = upstream.extractor(waveform[0], sampling_rate=SAMPLE_RATE, padding=padding, return_tensors="pt")
        return upstream.model(**inputs).logits

    n_samples = round(request["seconds"] * SAMPLE_RATE)
    times = latencies_ms(ask, n_samples, request["repeats"])
    memory = peak_memory_mb()
    macs = count_multiplications(lambda: ask(np.zeros((1, n_samples), np.float32)))
    return {
        "model": Path(request["teacher"]).name,
        "kind": "teacher float32",
        **_costs(upstream.n_params, request["teacher"], memory, times, request["seconds"], macs),
        "student": None,
        "seconds": request["seconds"],
        "normalises_by_speaker": False,
    }


def _costs(
    n_params: int, path: str, memory: float, times: np.ndarray, seconds: float, macs: int
) -> dict[str, float]:
    p50, p95 = np.quantile(times, [0.5, 0.95])
    return {
        "params": n_params / 1e6,
        "size_mb": size_mb(path),
        "memory_mb": memory,
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "rtf": float(p50) / 1000 / seconds,
        "macs": macs / 1e6,
    }


if __name__ == "__main__":
    try:
        print(json.dumps(_measure(json.loads(sys.argv[1]))))
    except InputError as error:
        print(json.dumps({"error": str(error)}))
