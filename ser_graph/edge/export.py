"""A trained student -> one ONNX file that takes a waveform and gives probabilities, for devices without Python."""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ser_graph.audio.log_mel import LogMel
from ser_graph.audio.reading import clip_paths, fit_length, load_waveform
from ser_graph.downstream import Student
from ser_graph.edge.extra import edge_package
from ser_graph.edge.onnx_student import FORMAT, FORMAT_VERSION, METADATA_KEY
from ser_graph.errors import InputError
from ser_graph.files import atomic_file

OPSET = 18
N_CALIBRATION = 128  # clips; activations' ranges hardly change beyond


class WaveformStudent(nn.Module):
    """Waveform -> log-mel -> student -> probabilities and `fc1`.

    torchaudio's own spectrogram does not export; this one becomes ONNX's STFT, which needs no more than the window.
    A convolution with sines and cosines would be 6 ms faster a clip and 1 MB larger.

    Args:
        student: the model; put into evaluation mode.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student.eval()
        log_mel = LogMel(student.features)
        self.register_buffer("window", log_mel.mel.spectrogram.window.float())
        self.register_buffer("mel", log_mel.mel.mel_scale.fb.float())

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """[B, n_samples] float32 -> [B, K] probabilities and [B, 256] `fc1`."""
        features = self.student.features
        waves = torch.stft(
            waveform, features.n_fft, features.hop_length, window=self.window, center=False, return_complex=True
        )
        power = torch.view_as_real(waves).square().sum(-1).transpose(1, 2)
        output = self.student(torch.log(power @ self.mel + features.floor))
        return output.logits.softmax(1), output.fc1


def export(
    student: Student,
    out: str | Path,
    *,
    calibration: pd.DataFrame | None = None,
    n_calibration: int = N_CALIBRATION,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write a student as one ONNX file: input `waveform`, outputs `probabilities` and `fc1`.

    Its metadata hold the emotions, the length and rate of a waveform, and how the student was made.

    Args:
        student: the model.
        out: the file.
        calibration: clip table of training clips: the convolutions and dense layers then compute in int8, with
            ranges of activations taken from these clips. The log-mel stays in float32. None writes float32.
        n_calibration: so many of the clips are used, drawn at random.
        seed: of that draw.
        progress: show a progress bar.

    Raises:
        InputError: a student that needs the teacher, no clip to calibrate on, or the extra `edge` is missing.
    """
    onnx = edge_package("onnx")
    if student.needs_teacher:
        raise InputError(
            f"This student needs the teacher's embedding of every clip (transfer={student.transfer!r}) and cannot "
            "be exported; train one with transfer='none'"
        )
    if calibration is not None and not len(calibration):
        raise InputError("No clip to calibrate int8 on; give a table or graph with training clips")
    out = Path(out).expanduser()
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        _trace(student, whole)
        if calibration is not None:
            clips = calibration.sample(min(n_calibration, len(calibration)), random_state=seed)
            whole = _quantised(whole, student, clip_paths(clips), progress)
        model = onnx.load(whole)
        onnx.helper.set_model_props(
            model, {METADATA_KEY: json.dumps(_metadata(student, "float32" if calibration is None else "int8"))}
        )
        with atomic_file(out) as part:
            onnx.save(model, part)
    return out


def _metadata(student: Student, precision: str) -> dict[str, Any]:
    info = {key: value for key, value in student.info.items() if key != "history"}
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "precision": precision,
        "emotions": student.emotions,
        "features": student.features.to_dict(),
        "normalise": student.standardise.normalise,
        "info": info,
    }


def _trace(student: Student, path: Path) -> None:
    edge_package("onnxscript")
    with warnings.catch_warnings(), _quiet("torch.onnx._internal.exporter._registration"):
        warnings.simplefilter("ignore")  # of torch's own code, about torch's own code
        torch.onnx.export(
            WaveformStudent(student),
            (torch.zeros(2, student.features.n_samples),),
            path,
            dynamo=True,
            opset_version=OPSET,
            input_names=["waveform"],
            output_names=["probabilities", "fc1"],
            dynamic_shapes=({0: torch.export.Dim("clips")},),
            external_data=False,
            verbose=False,
        )


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _quantised(path: Path, student: Student, clips: Sequence[Path], progress: bool) -> Path:
    """Static quantisation: weights per channel, activations by the ranges that the clips show."""
    quantization = edge_package("onnxruntime.quantization")
    shapes = edge_package("onnxruntime.quantization.shape_inference")
    ready, done = path.with_name("ready.onnx"), path.with_name("int8.onnx")
    shapes.quant_pre_process(path, ready, skip_symbolic_shape=True)

    class Clips(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.waveforms = _waveforms(student, clips, progress)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.waveforms, None)

    quantization.quantize_static(
        ready,
        done,
        Clips(),
        per_channel=True,
        nodes_to_exclude=_front_end(ready),
        op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool", "GlobalAveragePool"],
    )
    return done


def _waveforms(student: Student, clips: Sequence[Path], progress: bool) -> Iterator[dict[str, np.ndarray]]:
    features = student.features
    for clip in tqdm(clips, desc="calibrating", unit="clip", disable=not progress, delay=1):
        waveform = fit_length(load_waveform(clip, features.sample_rate), features.n_samples)
        yield {"waveform": waveform[None].numpy()}


def _front_end(path: Path) -> list[str]:
    """Names of the nodes before the first convolution: the log-mel and its standardisation."""
    nodes = edge_package("onnx").load(path).graph.node
    return [node.name for node in takewhile(lambda node: node.op_type != "Conv", nodes)]
