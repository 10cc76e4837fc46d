"""`OnnxStudent`: an exported student that also takes the spectrograms of a graph."""

import functools
from typing import Any

import numpy as np

from ser_graph.common.extras import optional_package
from ser_graph_runtime.onnx_model import OUTPUTS, SPECTROGRAM, VOICE, VOICE_AFTER, OnnxModel, open_session


class OnnxStudent(OnnxModel):
    """An exported student, see `OnnxModel`; spectrograms need the extra `export`."""

    def of_spectrograms(
        self, spectrograms: np.ndarray, voice: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_frames, n_mels] log-mels of any float type -> as `__call__`."""
        return self._ask(self._network, SPECTROGRAM, spectrograms.astype(np.float32), voice)[:2]

    @functools.cached_property
    def _network(self) -> Any:
        """The network of the same file, without the log-mel before it."""
        onnx, utils = optional_package("onnx"), optional_package("onnx.utils")
        given, made = ([VOICE], [VOICE_AFTER]) if self.normalises_by_speaker else ([], [])
        part = utils.Extractor(onnx.load(self.path)).extract_model([SPECTROGRAM, *given], [*OUTPUTS, *made])
        return open_session(part.SerializeToString(), self._threads)
