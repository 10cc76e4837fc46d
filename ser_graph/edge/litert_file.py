"""A student as a LiteRT model (.tflite) for apps on phones and for small boards: float32 or int8."""

import json
import warnings
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn

from ser_graph.common.extras import optional_package
from ser_graph.downstream import Student
from ser_graph.edge.whole_student import MatrixLogMel, WholeStudent
from ser_graph_runtime.metadata import METADATA_KEY
from ser_graph_runtime.onnx_model import OUTPUTS, WAVEFORM

EXTRA = "litert"
_INT8 = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # operations with weights
_BESIDE_LOG_MEL = rf"^(?!.*{MatrixLogMel.__name__})"  # names of values contain the names of their modules


class _Named(nn.Module):
    """`WholeStudent` with the names of its outputs, which LiteRT takes over."""

    def __init__(self, whole: WholeStudent) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, waveform: Tensor) -> dict[str, Tensor]:
        return dict(zip(OUTPUTS, self.whole(waveform), strict=True))


def litert_model(student: Student, temperature: float, metadata: dict[str, Any], int8: bool = False) -> bytes:
    """The LiteRT model of a student for one clip at a time; the metadata are JSON under the name `ser_graph`.

    With `int8`, the weights of convolutions and dense layers have 8 bits, per channel. The device scales the
    activations of each clip to 8 bits, so no clips are needed here. The spectrogram stays in float32.

    Raises:
        InputError: a student that normalises by speaker, or the extra `litert` is not installed.
    """
    named = _Named(WholeStudent(student, temperature)).eval()
    litert = optional_package("litert_torch", EXTRA)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")  # from its code, about its code
        waveform = {WAVEFORM: torch.zeros(1, student.features.n_samples)}
        model = litert.convert(named, sample_kwargs=waveform).model_content()
        model = _int8(model) if int8 else model
    return _with_metadata(model, json.dumps(metadata))


def _int8(model: bytes) -> bytes:
    quantizer = optional_package("ai_edge_quantizer", EXTRA)
    names = optional_package("ai_edge_quantizer.recipe", EXTRA).TFLOperationName
    recipe = optional_package("ai_edge_quantizer.recipe_manager", EXTRA).RecipeManager()
    for name in _INT8:
        recipe.add_dynamic_config(regex=_BESIDE_LOG_MEL, operation_name=names[name], num_bits=8)
    return bytes(quantizer.Quantizer(model, recipe.get_quantization_recipe()).quantize().quantized_model)


def _with_metadata(model: bytes, text: str) -> bytes:
    flatbuffers = optional_package("ai_edge_litert.tools.flatbuffer_utils", EXTRA)
    schema = optional_package("ai_edge_litert.schema_py_generated", EXTRA)
    parts = flatbuffers.read_model_from_bytearray(bytearray(model))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(text.encode())
    entry.name, entry.buffer = METADATA_KEY, len(parts.buffers)
    parts.buffers.append(buffer)
    parts.metadata = [*(parts.metadata or []), entry]
    return bytes(flatbuffers.convert_object_to_bytearray(parts))
