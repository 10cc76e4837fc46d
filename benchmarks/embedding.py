"""Embedding of clips by this package and by a plain loop over the files with transformers, in one run.

    python benchmarks/embedding.py small|FOLDER|NAME --clips FOLDER [--layer 3] [--n 64] [--rounds 3] [--compiled]

The plain loops are what a reader of transformers' documentation writes: the model class of the checkpoint, its
feature extractor, all hidden states, the mean of one of them over time. `plain, one by one` takes a file at a
time, `plain, padded batches` takes 16 files in the order of their names, padded to the longest. Both load the
files with soundfile and resample with torchaudio, in float32, with all threads of torch. The package runs with
its cache off, in float32 and in bfloat16, and only through the first `--layer` layers.

`--compiled` adds the package with the layers compiled by `torch.compile`, in both precisions, and the first layers
in ONNX Runtime: decoded clips of one length, in float32 and with 8-bit weights (dynamic quantisation).

Each way runs once to warm up and then in every round, the ways one after the other, so that a busy machine
slows all of them. Times are medians; *ratio* is the median of the ratios to `plain, padded batches` of the same
round. Edges are the 6 nearest neighbours without a threshold, compared with those of the package's float32.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime as ort
import pandas as pd
import soundfile
import torch
from torch import Tensor

from ser_graph.audio import fit_length
from ser_graph.audio.reading import load_waveform
from ser_graph.audio.torchaudio_import import torchaudio
from ser_graph.graph.neighbours import nearest_neighbours
from ser_graph.upstream import Upstream

_RATE = 16_000
_BATCH = 16
_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}


def plain(upstream: Upstream, paths: list[Path], layer: int, seconds: float, batch_size: int) -> Tensor:
    """[N, D] mean hidden states, as a plain loop makes them."""
    means = []
    for start in range(0, len(paths), batch_size):
        waves = []
        for path in paths[start : start + batch_size]:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            mono = torch.from_numpy(samples).mean(1)
            wave = torchaudio.functional.resample(mono, rate, _RATE)
            waves.append(fit_length(wave, round(seconds * _RATE)).numpy())
        padding = "max_length" if upstream.max_samples else True
        inputs = upstream.extractor(waves, sampling_rate=_RATE, padding=padding, return_tensors="pt")
        with torch.inference_mode():
            hidden = upstream.model(**inputs, output_hidden_states=True).hidden_states[layer]
        means.append(hidden.mean(1))
    return torch.cat(means)


def loaded(paths: list[Path], seconds: float) -> list[Tensor]:
    """The clips at 16 kHz, cut or repeated to one length."""
    return [fit_length(load_waveform(path, _RATE), round(seconds * _RATE)) for path in paths]


def compiled(upstream: Upstream) -> Upstream:
    """A copy whose layers are compiled. The package stops between two layers, so that each is compiled alone."""
    other = copy.deepcopy(upstream)
    blocks = next(module for name, module in other.model.named_modules() if name.endswith("encoder.layers"))
    for block in blocks:
        block.forward = torch.compile(block.forward)
    return other


def prepared(upstream: Upstream, waves: list[Tensor]) -> Tensor:
    """The input of the model: waveforms, or log-mels for Whisper."""
    padding = "max_length" if upstream.max_samples else True
    given = [wave.numpy() for wave in waves]
    return upstream.extractor(given, sampling_rate=_RATE, padding=padding, return_tensors="pt")[
        upstream.model.main_input_name
    ]


class FirstLayers(torch.nn.Module):
    """The input of a model -> [B, D] mean hidden state of one layer."""

    def __init__(self, upstream: Upstream, layer: int) -> None:
        super().__init__()
        self.model, self.layer = copy.deepcopy(upstream.model), layer
        encoder = next(module for name, module in self.model.named_modules() if name.endswith("encoder"))
        encoder.layers = encoder.layers[: layer + 1]  # the output of `layer` is the input of the next

    def forward(self, inputs: Tensor) -> Tensor:
        """One batch."""
        return self.model(inputs, output_hidden_states=True).hidden_states[self.layer].mean(1)


def onnx_runtime(upstream: Upstream, layer: int, sample: Tensor, folder: Path) -> dict[str, ort.InferenceSession]:
    """Sessions of the first layers, in float32 and with 8-bit weights."""
    from onnxruntime.quantization import quantize_dynamic

    files = {"ONNX Runtime, float32": folder / "float32.onnx", "ONNX Runtime, 8-bit weights": folder / "int8.onnx"}
    whole, small = files.values()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    torch.onnx.export(
        FirstLayers(upstream, layer).eval(), (sample,), whole, dynamo=True, dynamic_shapes=(batch,), verbose=False
    )
    quantize_dynamic(whole, small, op_types_to_quantize=["MatMul", "Gemm"])
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return {name: ort.InferenceSession(file, options) for name, file in files.items()}


def by_session(session: ort.InferenceSession, upstream: Upstream, paths: list[Path], seconds: float) -> Tensor:
    """[N, D] embeddings by ONNX Runtime."""
    name, means = session.get_inputs()[0].name, []
    for start in range(0, len(paths), _BATCH):
        inputs = prepared(upstream, loaded(paths[start : start + _BATCH], seconds))
        means.append(torch.from_numpy(session.run(None, {name: inputs.numpy()})[0]))
    return torch.cat(means)


def edges(emb: Tensor) -> set[tuple[int, int]]:
    """The 6 nearest neighbours of every clip."""
    ids = nearest_neighbours(emb, 6)[0].tolist()
    return {(seed, other) for seed, found in enumerate(ids) for other in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--layer", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compiled", action="store_true")
    arguments = parser.parse_args()
    layer, seconds = arguments.layer, arguments.seconds
    upstream = Upstream.from_pretrained(arguments.model)
    upstream.model.eval()
    found = sorted(path for path in arguments.clips.expanduser().rglob("*") if path.suffix.lower() in _SUFFIXES)
    paths = found[:: max(len(found) // arguments.n, 1)][: arguments.n]
    table = pd.DataFrame(index=[str(path.resolve()) for path in paths])

    def ours(precision: str, model: Upstream = upstream) -> Callable[[], Tensor]:
        how = {"layer": layer, "seconds": seconds, "precision": precision}
        return lambda: model.embed(table, root="/", device="cpu", progress=False, **how)

    ways: dict[str, Callable[[], Tensor]] = {
        "plain, one by one": lambda: plain(upstream, paths, layer, seconds, 1),
        "plain, padded batches": lambda: plain(upstream, paths, layer, seconds, _BATCH),
        "float32": ours("float32"),
        "bfloat16": ours("bfloat16"),
    }
    if arguments.compiled:
        other = compiled(upstream)
        ways |= {f"torch.compile, {precision}": ours(precision, other) for precision in ("float32", "bfloat16")}
        sample = prepared(upstream, loaded(paths[:2], seconds))
        with tempfile.TemporaryDirectory() as folder:
            sessions = onnx_runtime(upstream, layer, sample, Path(folder))
        ways |= {name: partial(by_session, one, upstream, paths, seconds) for name, one in sessions.items()}
    results = {name: way() for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    reference = times["plain, padded batches"]
    same = edges(results["float32"])
    threads = torch.get_num_threads()
    print(f"{len(paths)} clips of {seconds} s, layer {layer} of {upstream.n_layers}, {threads} threads\n")
    print("| | clips/s | ratio | least cosine to float32 | edges of float32 kept |\n|---|---|---|---|---|")
    for name, took in times.items():
        ratio = statistics.median(one / other for one, other in zip(reference, took, strict=True))
        cosine = float(torch.cosine_similarity(results[name], results["float32"]).min())
        kept = len(edges(results[name]) & same) / len(same)
        speed = len(paths) / statistics.median(took)
        print(f"| {name} | {speed:.1f} | {ratio:.2f} | {cosine:.6f} | {kept:.1%} |")


if __name__ == "__main__":
    main()
