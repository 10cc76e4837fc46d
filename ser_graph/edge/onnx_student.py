"""An exported student, run by onnxruntime, without torch."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from ser_graph.common.extras import edge_package
from ser_graph.edge.models import Answer, checked_voice
from ser_graph.errors import InputError

FORMAT = "ser_graph.onnx"
FORMAT_VERSION = 1
METADATA_KEY = "ser_graph"
WAVEFORM, SPECTROGRAM = "waveform", "spectrogram"  # names of values in the file
OUTPUTS = ["probabilities", "fc1"]
VOICE, VOICE_AFTER = "voice", "voice_after"  # statistics of a voice, if the student normalises by speaker
_NEEDED = frozenset({"emotions", "features", "normalise", "info", "precision", "n_params", "macs"})


class OnnxStudent:
    """An exported student.

    Args:
        path: a file made by `export`.
        threads: CPU threads to use.

    Attributes:
        path: the file.
        emotions: the classes in code order.
        features: settings of its log-mels, e.g. `n_samples` and `sample_rate` of a waveform.
        normalise: normalisation of its spectrograms, see `Standardise`.
        info: how the student was made.
        precision: ``"float32"`` or ``"int8"``.
        n_params: number of trainable parameters of the student.
        macs: multiplications of its convolutions and dense layers for one clip.

    Raises:
        InputError: no such file, a truncated file, a file of another program, or of another version.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise InputError(f"No file {self.path}; make one with 'ser-graph export'")
        self._threads = threads
        try:
            self._session = _session(str(self.path), threads)
        except InputError:
            raise
        except Exception as error:  # onnxruntime raises many kinds, none of them public
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"{self.path} cannot be read as an ONNX model ({reason}); it may be truncated: copy or export it "
                "again"
            ) from None
        metadata = _metadata(self.path, self._session)
        self.emotions: list[str] = metadata["emotions"]
        self.features: dict[str, Any] = metadata["features"]
        self.normalise: str = metadata["normalise"]
        self.info: dict[str, Any] = metadata["info"]
        self.precision: str = metadata["precision"]
        self.n_params: int = metadata["n_params"]
        self.macs: int = metadata["macs"]

    @property
    def normalises_by_speaker(self) -> bool:
        """Whether the model normalises by speaker, so that earlier clips of a voice change its results."""
        return self.normalise == "speaker"

    def __call__(self, waveforms: np.ndarray, voice: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_samples] float32 -> [B, K] probabilities and [B, F] `fc1`; `voice` as in `hear`."""
        return self.hear(waveforms, voice)[:2]

    def hear(self, waveforms: np.ndarray, voice: np.ndarray | None = None) -> Answer:
        """As `__call__`, with the updated statistics of each voice, see `Model`."""
        return self._ask(self._session, WAVEFORM, waveforms, voice)

    def of_spectrograms(
        self, spectrograms: np.ndarray, voice: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_frames, n_mels] log-mels of any float type -> as `__call__`."""
        return self._ask(self._network, SPECTROGRAM, spectrograms.astype(np.float32), voice)[:2]

    def _ask(self, session: Any, name: str, values: np.ndarray, voice: np.ndarray | None) -> Answer:
        if not self.normalises_by_speaker:
            return *session.run(OUTPUTS, {name: values}), None
        known = checked_voice(voice, len(values), self.features["n_mels"])
        return tuple(session.run([*OUTPUTS, VOICE_AFTER], {name: values, VOICE: known}))

    @functools.cached_property
    def _network(self) -> Any:
        """The network of the same file, without the log-mel before it."""
        onnx, utils = edge_package("onnx"), edge_package("onnx.utils")
        given, made = ([VOICE], [VOICE_AFTER]) if self.normalises_by_speaker else ([], [])
        part = utils.Extractor(onnx.load(self.path)).extract_model([SPECTROGRAM, *given], [*OUTPUTS, *made])
        return _session(part.SerializeToString(), self._threads)


def _session(model: str | bytes, threads: int) -> Any:
    runtime = edge_package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _metadata(path: Path, session: Any) -> dict[str, Any]:
    stored = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    try:
        metadata = json.loads(stored or "{}")
    except ValueError:
        metadata = {}
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise InputError(f"{path} was not made by 'ser-graph export'; export a student with this command")
    if metadata.get("version") != FORMAT_VERSION or not metadata.keys() >= _NEEDED:
        raise InputError(
            f"{path} was exported by another version of ser_graph (format {metadata.get('version')}, expected "
            f"{FORMAT_VERSION}); export the student again with this version"
        )
    return metadata
