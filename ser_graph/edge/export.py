"""A trained student -> one ONNX file that takes a waveform and gives probabilities, for devices without Python."""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ser_graph.audio.features import log_mels
from ser_graph.audio.log_mel import LogMel, LogMelSettings
from ser_graph.belonging import check_same_features
from ser_graph.downstream import Student, load_student
from ser_graph.edge.extra import edge_package
from ser_graph.edge.onnx_student import FORMAT, FORMAT_VERSION, METADATA_KEY, OUTPUTS, SPECTROGRAM, WAVEFORM
from ser_graph.errors import InputError, bad_value
from ser_graph.files import atomic_file, environment
from ser_graph.graph import ClipGraph

OPSET = 18
FORMATS = ("onnx", "executorch")
_TALKATIVE = ("torch.onnx._internal.exporter._registration", "onnxscript", "onnx_ir", "root")


class FrontEnd(nn.Module):
    """Waveform -> log-mel spectrogram: `LogMel` in words that ONNX has.

    torchaudio's own spectrogram does not export; this one becomes ONNX's STFT, which needs no more than the window.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, settings: LogMelSettings) -> None:
        super().__init__()
        self.settings = settings
        log_mel = LogMel(settings)
        self.register_buffer("window", log_mel.mel.spectrogram.window.float())
        self.register_buffer("mel", log_mel.mel.mel_scale.fb.float())

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, n_samples] float32 -> [B, n_frames, n_mels]."""
        n_fft, hop = self.settings.n_fft, self.settings.hop_length
        waves = torch.stft(waveform, n_fft, hop, window=self.window, center=False, return_complex=True)
        power = torch.view_as_real(waves).square().sum(-1).transpose(1, 2)
        return torch.log(power @ self.mel + self.settings.floor)


class Probabilities(nn.Module):
    """Spectrogram as measured -> probabilities and `fc1`."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student.eval()

    def forward(self, spectrogram: Tensor) -> tuple[Tensor, Tensor]:
        """[B, n_frames, n_mels] float32 -> [B, K] and [B, F]."""
        output = self.student(spectrogram)
        return output.logits.softmax(1), output.fc1


def export(
    model: Student | str | Path,
    out: str | Path,
    *,
    format: str = "onnx",
    int8: bool = False,
    clips: ClipGraph | pd.DataFrame | None = None,
    n_clips: int = 128,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write a student as one file for a device: a waveform goes in, probabilities and `fc1` come out.

    The log-mel spectrogram and its standardisation are inside. The file's metadata hold the emotions, the length
    and the rate of a waveform, and how the student was made.

    Args:
        model: the student, or its folder.
        out: the file.
        format: ``"onnx"``, or ``"executorch"`` for an ExecuTorch program (.pte) in float32.
        int8: compute convolutions and dense layers in 8 bits, weights per channel. The spectrogram and its
            standardisation stay in float32.
        clips: where the ranges of int8's activations are taken from: a graph, whose stored spectrograms of
            training clips are used, or a clip table, all of whose files are read. No label is looked at.
        n_clips: so many of them are used, drawn at random.
        seed: of that draw.
        progress: show a progress bar.

    Returns:
        The file.

    Raises:
        InputError: a student that needs the teacher, no clip for int8, a graph of other spectrograms, or the
            extra `edge` or `executorch` is not installed.
    """
    if format not in FORMATS:
        raise bad_value("format", format, FORMATS)
    if int8 and format != "onnx":
        raise InputError(f"int8 is of the format onnx, not of {format}; leave one of the two out")
    student = model if isinstance(model, Student) else load_student(model)
    if student.needs_teacher:
        raise InputError(
            f"This student needs the teacher's embedding of every clip (transfer={student.transfer!r}) and cannot "
            "be exported; train one with transfer='none'"
        )
    out = Path(out).expanduser()
    if format == "executorch":
        from ser_graph.edge.executorch_file import executorch_program

        program = executorch_program(student, _metadata(student, int8))
        with atomic_file(out) as part:
            part.write_bytes(program)
        return out
    onnx = edge_package("onnx")
    spectrograms = calibration(student, clips, n_clips, seed, progress) if int8 else None
    bar = tqdm(total=3 if int8 else 2, desc="exporting", unit="part", disable=not progress, delay=1)
    with tempfile.TemporaryDirectory() as folder, bar:
        network = Path(folder) / "network.onnx"
        _trace(Probabilities(student), _zeros(student.features, spectrogram=True), SPECTROGRAM, OUTPUTS, network)
        bar.update()
        if spectrograms is not None:
            network = _quantised(network, spectrograms, progress)
            bar.update()
        front = Path(folder) / "front.onnx"
        _trace(FrontEnd(student.features), _zeros(student.features), WAVEFORM, [SPECTROGRAM], front)
        bar.update()
        whole = _joined(onnx.load(front), onnx.load(network))
        onnx.helper.set_model_props(whole, {METADATA_KEY: json.dumps(_metadata(student, int8))})
        with atomic_file(out) as part:
            onnx.save(whole, part)
    return out


def _zeros(features: LogMelSettings, *, spectrogram: bool = False) -> Tensor:
    """Two clips of nothing: one would be taken for the only number of clips that there may be."""
    return torch.zeros(2, features.n_frames, features.n_mels) if spectrogram else torch.zeros(2, features.n_samples)


def _metadata(student: Student, int8: bool) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "precision": "int8" if int8 else "float32",
        "emotions": student.emotions,
        "features": student.features.to_dict(),
        "normalise": student.standardise.normalise,
        "n_params": student.n_params,
        "macs": student.macs,
        "info": {key: value for key, value in student.info.items() if key != "history"},
        "exported_with": environment()["packages"],
    }


def _trace(module: nn.Module, example: Tensor, given: str, made: list[str], path: Path) -> None:
    edge_package("onnxscript")
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # of torch's own code, about torch's own code
        torch.onnx.export(
            module.eval(),
            (example,),
            path,
            dynamo=True,
            opset_version=OPSET,
            input_names=[given],
            output_names=made,
            dynamic_shapes=({0: torch.export.Dim("clips")},),
            external_data=False,
            verbose=False,
        )


def _joined(front: Any, network: Any) -> Any:
    """Two ONNX models as one, the spectrogram an inner value that keeps its name."""
    compose = edge_package("onnx.compose")
    front = compose.add_prefix(front, "front/", rename_inputs=False, rename_outputs=False)
    front.ir_version = network.ir_version = max(front.ir_version, network.ir_version)
    needed = {opset.domain: opset for opset in [*front.opset_import, *network.opset_import]}
    del front.opset_import[:], network.opset_import[:]
    used = {node.domain for node in [*front.graph.node, *network.graph.node]}
    for model in (front, network):  # quantisation declares many that it does not use
        model.opset_import.extend(opset for domain, opset in needed.items() if domain in used)
    whole = compose.merge_models(front, network, [(SPECTROGRAM, SPECTROGRAM)])
    del whole.opset_import[len(used) :]  # they were merged by appending
    return whole


@contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of what the libraries do step by step."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def calibration(
    student: Student, clips: ClipGraph | pd.DataFrame | None, n_clips: int, seed: int, progress: bool
) -> np.ndarray:
    """[M, n_frames, n_mels] float32 spectrograms of some clips, see `export`."""
    if clips is None:
        raise InputError(
            "int8 needs clips to take the ranges of activations from: give the graph that the student was trained "
            "on, or a folder of recordings (clips=; on the command line --graph or --clips)"
        )
    if n_clips < 1:
        raise InputError(f"Bad n_clips {n_clips!r}, expected at least 1")
    if isinstance(clips, ClipGraph):
        check_same_features(clips.meta["features"], student.features.to_dict())
        rows = clips.train_mask.nonzero()[:, 0]
        chosen = _draw(len(rows), n_clips, seed)
        return clips.x[rows[chosen]].float().numpy()
    return (
        log_mels(clips.iloc[_draw(len(clips), n_clips, seed)], student.features, progress=progress).float().numpy()
    )


def _draw(n: int, wanted: int, seed: int) -> np.ndarray:
    if not n:
        raise InputError("No clip to take int8's ranges of activations from; give training clips")
    return np.sort(np.random.default_rng(seed).permutation(n)[:wanted])


def _quantised(path: Path, spectrograms: np.ndarray, progress: bool) -> Path:
    """Static quantisation: weights per channel, activations by the ranges that the clips show."""
    quantization = edge_package("onnxruntime.quantization")
    shapes = edge_package("onnxruntime.quantization.shape_inference")
    ready, done = path.with_name("ready.onnx"), path.with_name("int8.onnx")
    bar = tqdm(spectrograms, desc="calibrating int8", unit="clip", disable=not progress, delay=1)

    class Clips(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.clips = iter(bar)

        def get_next(self) -> dict[str, np.ndarray] | None:
            clip = next(self.clips, None)
            return None if clip is None else {SPECTROGRAM: clip[None]}

    with _quiet():
        shapes.quant_pre_process(path, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            done,
            Clips(),
            per_channel=True,
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool", "GlobalAveragePool"],
        )
    return done
