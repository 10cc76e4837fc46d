"""A model to ask, by its path or as it is: a student in torch, for which alone torch is imported, or exported."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from ser_graph.errors import InputError

if TYPE_CHECKING:
    from ser_graph.downstream import Student


class Model(Protocol):
    """What `OnnxStudent` and `TorchStudent` have in common. F, the size of `fc1`, is 256 at width 1."""

    emotions: list[str]
    features: dict[str, Any]
    info: dict[str, Any]
    precision: str
    n_params: int

    @property
    def macs(self) -> int:
        """Multiplications of its convolutions and dense layers for a clip."""

    def __call__(self, waveforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_samples] float32 -> [B, K] probabilities and [B, F] `fc1`."""

    def of_spectrograms(self, spectrograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_frames, n_mels] log-mels of any float type -> [B, K] probabilities and [B, F] `fc1`."""


def load_model(model: "str | Path | Student | Model", threads: int = 1) -> Model:
    """The model of a path; one that is loaded already is taken as it is.

    Args:
        model: the folder of a student, an exported ``.onnx`` file, or a loaded one of either kind.
        threads: CPU threads of an exported one; torch's are set by ``torch.set_num_threads``.

    Raises:
        InputError: no model there.
    """
    if isinstance(model, str | Path):
        path = Path(model).expanduser()
        if path.suffix == ".onnx" and not path.is_dir():
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
