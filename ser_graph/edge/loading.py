"""A path or a student -> a model. Only a student in torch imports torch."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from ser_graph.edge.models import Model
from ser_graph.errors import InputError
from ser_graph_runtime.ready import find_model

if TYPE_CHECKING:
    from ser_graph.downstream import Student


def load_model(model: "str | Path | Student | Model", threads: int = 1) -> Model:
    """Load a model: the folder of a student, an exported ``.onnx`` file, or ``"ready:good"``.

    A loaded model is returned unchanged. `threads` are the CPU threads of an exported model; set those of torch
    with ``torch.set_num_threads``.

    Raises:
        InputError: no model there.
    """
    if isinstance(model, str | Path):
        path = find_model(model)
        if path.suffix.lower() == ".onnx" and not path.is_dir():
            from ser_graph.edge.onnx_student import OnnxStudent

            return OnnxStudent(path, threads)
        if path.is_file():
            raise InputError(f"{path} is no model; expected the folder of a student or an exported .onnx file")
        from ser_graph.downstream import load_student
        from ser_graph.edge.torch_student import TorchStudent

        return TorchStudent(load_student(path))
    if hasattr(model, "of_spectrograms"):
        return cast("Model", model)
    from ser_graph.edge.torch_student import TorchStudent

    return TorchStudent(cast("Student", model))
