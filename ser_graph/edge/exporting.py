"""A trained student -> one ONNX file, from waveform to probabilities, for devices without Python."""

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ser_graph.audio.features import log_mels
from ser_graph.audio.log_mel import LogMel
from ser_graph.audio.standardise import update_voice
from ser_graph.common.extras import optional_package
from ser_graph.common.files import atomic_file
from ser_graph.common.progress import progress_bar
from ser_graph.common.provenance import environment
from ser_graph.downstream import Student, load_student
from ser_graph.downstream.prediction import known_voices
from ser_graph.edge.nearest import nearest_of_graph, write_nearest
from ser_graph.edge.onnx_student import OnnxStudent
from ser_graph.edge.shrinking import shrink
from ser_graph.errors import InputError, bad_value
from ser_graph.graph import ClipGraph
from ser_graph.graph.compatibility import check_same_features
from ser_graph_runtime.metadata import FORMAT, FORMAT_VERSION, METADATA_KEY, TEMPERATURES, TEXTS
from ser_graph_runtime.nearest import NEAREST_SUFFIX
from ser_graph_runtime.onnx_model import OUTPUTS, SPECTROGRAM, VOICE, VOICE_AFTER, WAVEFORM
from ser_graph_runtime.ready import READY, find_model

OPSET = 18
FORMATS = {
    "onnx": ".onnx",
    "executorch": ".pte",
    "litert": ".tflite",
    "web": "",
}  # format -> suffix; a page is a folder
_PROGRAMS = ("executorch", "litert")  # for one clip at a time; without voices and without nearest clips
_SUFFIXES = frozenset(  # of models in other formats, and of single pages
    {
        *FORMATS.values(),
        ".h5",
        ".html",
        ".keras",
        ".mlmodel",
        ".mlpackage",
        ".ort",
        ".pt",
        ".pt2",
        ".pth",
    }
)
_LOGGERS = ("torch.onnx._internal.exporter._registration", "onnxscript", "onnx_ir", "root")


class Probabilities(nn.Module):
    """Spectrogram as measured -> probabilities and `fc1`; with the statistics of a voice, also their update."""

    def __init__(self, student: Student, temperature: float = 1.0) -> None:
        super().__init__()
        self.student, self.temperature = student.eval(), temperature

    def forward(self, spectrogram: Tensor, voice: Tensor | None = None) -> tuple[Tensor, ...]:
        """[B, n_frames, n_mels] float32 -> [B, K] and [B, F]; with [B, 3, n_mels] also [B, 3, n_mels]."""
        output = self.student(spectrogram, voice=voice)
        outputs = calibrated(output.logits, self.temperature), output.fc1
        return outputs if voice is None else (*outputs, update_voice(spectrogram, voice))


def calibrated(logits: Tensor, temperature: float) -> Tensor:
    """[B, K] logits -> probabilities at a temperature; a network without calibration gets no division."""
    return (logits if temperature == 1 else logits / temperature).softmax(1)


def export(
    model: Student | str | Path,
    out: str | Path,
    *,
    format: str = "onnx",
    int8: bool = False,
    clips: ClipGraph | pd.DataFrame | None = None,
    n_clips: int = 128,
    seed: int = 0,
    temperature: float = 1.0,
    threshold: float = 0.0,
    nearest: ClipGraph | None = None,
    about: Mapping[str, str] | None = None,
    progress: bool = True,
    **page: Any,
) -> Path:
    """Write a student as one file for a device. Input: a waveform. Output: probabilities and `fc1`.

    The file contains the log-mel spectrogram and its standardisation. Its metadata hold the emotions, the length
    and the rate of a waveform, and how the student was made.

    A student with ``normalise="speaker"`` has a second input, `voice` [clips, 3, n_mels] float32, and a third
    output, `voice_after` of the same shape. They hold the number, the mean and the variance of the speaker's frames
    so far. Give zeros with the first clip of a speaker, and `voice_after` as `voice` with the next clip. The file
    stores no state.

    Args:
        model: the student, its folder, or a model of the package (``"ready:good"``), which is copied as it is: in
            int8, with its own temperature, threshold, title and licence.
        out: the file.
        format: ``"onnx"``; ``"executorch"`` for an ExecuTorch program (.pte) in float32; ``"litert"`` for a LiteRT
            model (.tflite); or ``"web"`` for a folder with a page that listens, see `export_page`.
        int8: compute convolutions and dense layers in 8 bits, with weights per channel. The spectrogram, its
            standardisation and the statistics of a voice stay in float32. Of ONNX and web, the ranges of
            activations come from `clips`; LiteRT measures them on the device, for each clip.
        clips: clips that calibrate the value ranges of int8. A graph: its stored spectrograms of training clips,
            with known voices. Or a clip table: all its files, with unknown voices. The function uses no labels.
        n_clips: number of these clips to use, drawn at random.
        seed: random seed of that draw.
        temperature: the file divides its logits by this number; see `fit_temperature`.
        threshold: answers with a lower confidence are unsure; see `choose_threshold`. The file stores the number;
            `ser_graph_runtime` applies it.
        nearest: ONNX only: also write the embeddings of the labelled training clips of this graph, with their file
            names and emotions, to NAME.nearest.npz beside the file. `ser_graph_runtime` then names the clips that
            are most similar.
        about: texts about the model: `title`, `licence`, `attribution`.
        progress: show a progress bar.
        **page: for the format ``"web"``: further arguments of `export_page`, e.g. `title`.

    Returns:
        The file, or the folder of the page.

    Raises:
        InputError: a name whose suffix belongs to another format; a student that needs the teacher; for ExecuTorch
            and LiteRT, a student that normalises by speaker; no clip for int8; a graph with other spectrograms, or
            without labels for `nearest`; a bad temperature, threshold or text; or the extra `export`, `executorch`
            or `litert` is not installed.
    """
    if format not in FORMATS:
        raise bad_value("format", format, FORMATS)
    check_suffix(out, format)
    if int8 and format == "executorch":
        raise InputError(f"int8 is of the formats onnx, litert and web, not of {format}; leave one of the two out")
    if nearest is not None and format in _PROGRAMS:
        raise InputError(f"nearest is of the formats onnx and web, not of {format}; leave one of the two out")
    added = _added(temperature, threshold, about or {})
    if format == "web":
        from ser_graph.edge.web_page import export_page

        how: dict[str, Any] = {"int8": int8, "clips": clips, "n_clips": n_clips, "seed": seed, "progress": progress}
        how |= {"temperature": temperature, "threshold": threshold, "about": about}
        return export_page(model, out, graph=nearest, **how, **page)
    if page:
        raise InputError(f"{' and '.join(page)} can be given for the format web only; leave it out")
    is_ready = str(model).startswith(READY) and format == "onnx"
    if is_ready and (added != _added(1.0, 0.0, {})):
        raise InputError(f"{model} is exported as it is, with its own temperature, threshold, title and licence")
    student = model if isinstance(model, Student) else load_student(model)
    if student.needs_teacher:
        raise InputError(
            f"This student needs the teacher's embedding of every clip (transfer={student.transfer!r}) and cannot "
            "be exported; train one with transfer='none'"
        )
    out = Path(out).expanduser()
    if format in _PROGRAMS:
        with progress_bar(total=1, desc="exporting", unit="file", disable=not progress, delay=1) as bar:
            program = _program(format, student, temperature, _metadata(student, int8) | added, int8)
            bar.update()
        with atomic_file(out) as part:
            part.write_bytes(program)
        return out
    with atomic_file(out) as part:
        if is_ready:
            shutil.copyfile(find_model(str(model)), part)
        else:
            ranges = int8_inputs(student, clips, n_clips, seed, progress) if int8 else None
            _write_onnx(student, temperature, ranges, _metadata(student, int8) | added, part, progress)
        if nearest is not None:
            clips_of_graph = nearest_of_graph(OnnxStudent(part), nearest, progress=progress)
            write_nearest(clips_of_graph, part, out.with_suffix(NEAREST_SUFFIX))
    return out


def _write_onnx(
    student: Student,
    temperature: float,
    ranges: dict[str, np.ndarray] | None,
    metadata: dict[str, Any],
    out: Path,
    progress: bool,
) -> None:
    """Write one ONNX file: log-mel, standardisation, network; int8 if the `ranges` of `int8_inputs` are given."""
    onnx = optional_package("onnx")
    int8 = ranges is not None
    bar = progress_bar(total=3 if int8 else 2, desc="exporting", unit="part", disable=not progress, delay=1)
    with tempfile.TemporaryDirectory() as folder, bar:
        network = Path(folder) / "network.onnx"
        zeros = _zeros(student)
        made = [*OUTPUTS, VOICE_AFTER] if VOICE in zeros else OUTPUTS
        _trace(Probabilities(student, temperature), zeros, made, network)
        bar.update()
        if ranges is not None:
            network = _quantised(network, ranges, progress)
            bar.update()
        front = Path(folder) / "front.onnx"
        _trace(
            LogMel(student.features), {WAVEFORM: torch.zeros(2, student.features.n_samples)}, [SPECTROGRAM], front
        )
        bar.update()
        whole = _joined(onnx.load(front), onnx.load(network))
        onnx.helper.set_model_props(whole, {METADATA_KEY: json.dumps(metadata)})
        onnx.save(whole, out)


def _program(format: str, student: Student, temperature: float, metadata: dict[str, Any], int8: bool) -> bytes:
    if format == "executorch":
        from ser_graph.edge.executorch_file import executorch_program

        return executorch_program(student, temperature, metadata)
    from ser_graph.edge.litert_file import litert_model

    return litert_model(student, temperature, metadata, int8)


def _added(temperature: float, threshold: float, about: Mapping[str, str]) -> dict[str, Any]:
    """The metadata that do not come from the student."""
    if not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
        raise InputError(f"Bad temperature {temperature!r}, expected a number from 0.01 to 100")
    if not 0 <= threshold <= 1:
        raise InputError(f"Bad threshold {threshold!r}, expected a probability from 0 to 1")
    for name in about:
        if name not in TEXTS:
            raise bad_value("text about a model", name, TEXTS)
    return {"temperature": float(temperature), "threshold": float(threshold), **about}


def check_suffix(out: str | Path, format: str) -> None:
    """Refuse a name whose suffix belongs to another format.

    Raises:
        InputError: such a name.

    Examples:
        >>> check_suffix("a.tflite", "onnx")
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: Bad name a.tflite for the format onnx, expected a name that ends ...
    """
    suffix = Path(out).suffix.lower()
    if suffix and suffix in _SUFFIXES - {FORMATS[format]}:
        expected = f"a name that ends with {FORMATS[format]}" if FORMATS[format] else "the name of a folder"
        raise InputError(f"Bad name {out} for the format {format}, expected {expected}")


def _zeros(student: Student) -> dict[str, Tensor]:
    """The inputs of the network for two empty clips; with one clip, torch would fix the number of clips at one."""
    features = student.features
    zeros = {SPECTROGRAM: torch.zeros(2, features.n_frames, features.n_mels)}
    if student.standardise.normalise == "speaker":
        zeros[VOICE] = torch.zeros(2, 3, features.n_mels)
    return zeros


def _metadata(student: Student, int8: bool) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "precision": "int8" if int8 else "float32",
        "emotions": student.emotions,
        "features": student.features.model_dump(),
        "normalise": student.standardise.normalise,
        "n_params": student.n_params,
        "macs": student.macs,
        "info": {key: value for key, value in student.info.items() if key != "history"},
        "exported_with": environment()["packages"],
    }


def _trace(module: nn.Module, given: dict[str, Tensor], made: list[str], path: Path) -> None:
    """Write a module as ONNX, with names for its inputs (in the order of its arguments) and its outputs."""
    clips = torch.export.Dim("clips")
    optional_package("onnxscript")
    with warnings.catch_warnings(), _silence_libraries():
        warnings.simplefilter("ignore")  # from torch's code, about torch's code
        torch.onnx.export(
            module.eval(),
            tuple(given.values()),
            path,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(given),
            output_names=made,
            dynamic_shapes=tuple({0: clips} for _ in given),
            external_data=False,
            verbose=False,
        )


def _joined(front: Any, network: Any) -> Any:
    """Two ONNX models as one; the spectrogram becomes an inner value and keeps its name."""
    compose = optional_package("onnx.compose")
    front = compose.add_prefix(front, "front/", rename_inputs=False, rename_outputs=False)
    front.ir_version = network.ir_version = max(front.ir_version, network.ir_version)
    needed = {opset.domain: opset for opset in [*front.opset_import, *network.opset_import]}
    del front.opset_import[:], network.opset_import[:]
    used = {node.domain for node in [*front.graph.node, *network.graph.node]}
    for model in (front, network):  # quantisation declares operator sets that it does not use
        model.opset_import.extend(opset for domain, opset in needed.items() if domain in used)
    whole = compose.merge_models(front, network, [(SPECTROGRAM, SPECTROGRAM)])
    del whole.opset_import[len(used) :]  # they were merged by appending
    shrink(whole.graph, keep={SPECTROGRAM})
    return whole


@contextmanager
def _silence_libraries() -> Iterator[None]:
    """Silence the progress messages of the libraries."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def int8_inputs(
    student: Student, clips: ClipGraph | pd.DataFrame | None, n_clips: int, seed: int, progress: bool
) -> dict[str, np.ndarray]:
    """The inputs of the network for some clips: `spectrogram` [M, n_frames, n_mels], perhaps `voice`."""
    if clips is None:
        raise InputError(
            "int8 needs clips to measure the ranges of activations: give the graph that the student was trained "
            "on, or a folder of recordings (clips=; on the command line --graph or --clips)"
        )
    if n_clips < 1:
        raise InputError(f"Bad n_clips {n_clips!r}, expected at least 1")
    if isinstance(clips, ClipGraph):
        check_same_features(clips.meta.features, student.features.model_dump())
        rows = clips.train_mask.nonzero()[:, 0]
        selected = rows[_draw(len(rows), n_clips, seed)]
        x, voices = clips.x[selected], known_voices(clips, student.standardise.normalise)
        known = None if voices is None else voices.of(selected)
    else:
        x = log_mels(clips.iloc[_draw(len(clips), n_clips, seed)], student.features, progress=progress)
        known = torch.zeros(len(x), 3, x.shape[-1]) if student.standardise.normalise == "speaker" else None
    given = {SPECTROGRAM: x.float().numpy()}
    return given if known is None else {**given, VOICE: known.numpy()}


def _draw(n: int, wanted: int, seed: int) -> np.ndarray:
    if not n:
        raise InputError("No clip to measure int8's ranges of activations on; give training clips")
    return np.sort(np.random.default_rng(seed).permutation(n)[:wanted])


def _quantised(path: Path, given: dict[str, np.ndarray], progress: bool) -> Path:
    """Static quantisation: weights per channel, activations by their ranges on the clips."""
    onnx = optional_package("onnx")
    quantization = optional_package("onnxruntime.quantization")
    shapes = optional_package("onnxruntime.quantization.shape_inference")
    ready, done = path.with_name("ready.onnx"), path.with_name("int8.onnx")
    n_clips = len(given[SPECTROGRAM])
    bar = progress_bar(range(n_clips), desc="calibrating int8", unit="clip", disable=not progress, delay=1)

    class Clips(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.clips = iter(bar)

        def get_next(self) -> dict[str, np.ndarray] | None:
            clip = next(self.clips, None)
            return None if clip is None else {name: values[clip : clip + 1] for name, values in given.items()}

    with _silence_libraries():
        shapes.quant_pre_process(path, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            done,
            Clips(),
            per_channel=True,
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool", "GlobalAveragePool"],
            nodes_to_exclude=_beside_convolutions(onnx.load(ready)),
        )
    return done


def _beside_convolutions(model: Any) -> list[str]:
    """Names of the nodes of an ONNX model that do not depend on a convolution: standardisation and voice."""
    after: set[str] = set()
    names = []
    for node in model.graph.node:  # each node comes after its inputs
        if node.op_type == "Conv" or after & set(node.input):
            after |= set(node.output)
        else:
            names.append(node.name)
    return names
