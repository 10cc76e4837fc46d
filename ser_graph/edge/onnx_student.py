"""An exported student, run by onnxruntime: no torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ser_graph.edge.extra import edge_package
from ser_graph.errors import InputError

FORMAT = "ser_graph.onnx"
FORMAT_VERSION = 1
METADATA_KEY = "ser_graph"


class OnnxStudent:
    """An exported student.

    Args:
        path: a file made by `export`.
        threads: CPU threads to use.

    Attributes:
        emotions: the classes in code order.
        features: settings of its log-mels, among them `n_samples` and `sample_rate` of a waveform.
        info: how it was made.
        precision: ``"float32"`` or ``"int8"``.

    Raises:
        InputError: no such file, a truncated one, one of somebody else, or one of a newer version.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        runtime = edge_package("onnxruntime")
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise InputError(f"No file {self.path}; make one with 'ser-graph export'")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises many kinds, none of them public
            raise InputError(
                f"{self.path} cannot be read as an ONNX model ({str(error).splitlines()[0]}); it may be truncated: "
                "copy or export it again"
            ) from None
        said = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if said is None:
            raise InputError(f"{self.path} was not made by 'ser-graph export'; export a student with it")
        meta = json.loads(said)
        if meta["version"] > FORMAT_VERSION:
            raise InputError(f"{self.path} was exported by a newer ser_graph; update this one or export it again")
        self.emotions: list[str] = meta["emotions"]
        self.features: dict[str, Any] = meta["features"]
        self.info: dict[str, Any] = meta["info"]
        self.precision: str = meta["precision"]

    def __call__(self, waveforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_samples] float32 -> [B, K] probabilities and [B, 256] `fc1`."""
        probabilities, fc1 = self._session.run(None, {"waveform": waveforms})
        return probabilities, fc1
