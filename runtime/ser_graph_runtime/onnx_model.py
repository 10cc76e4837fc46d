"""`OnnxModel`: an exported student, run by onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np

from ser_graph_runtime.errors import InputError, ModelError
from ser_graph_runtime.extras import extra_package
from ser_graph_runtime.metadata import METADATA_KEY, checked_metadata
from ser_graph_runtime.models import Heard, checked_voice

WAVEFORM, SPECTROGRAM = "waveform", "spectrogram"  # names of values in the file
OUTPUTS = ["probabilities", "fc1"]
VOICE, VOICE_AFTER = "voice", "voice_after"  # statistics of a voice, if the student normalises by speaker


class OnnxModel:
    """An exported student.

    Args:
        path: a file made by `ser-graph export`.
        threads: CPU threads to use.

    Attributes:
        path: the file.
        emotions: the classes in code order.
        features: settings of its log-mels, e.g. `n_samples` and `sample_rate` of a waveform.
        normalise: normalisation of its spectrograms: ``"corpus"``, ``"utterance"`` or ``"speaker"``.
        info: how the student was made.
        precision: ``"float32"`` or ``"int8"``.
        n_params: number of trainable parameters of the student.
        macs: multiplications of its convolutions and dense layers for one clip.
        temperature: the file divides its logits by this number; 1 if the student was not calibrated.
        threshold: the confidence from which an answer is sure; 0 if every answer is.
        title: what the model is, in the words of its maker; may be empty, as may the next two.
        licence: under which terms it may be used.
        attribution: whose data and work it is made from.

    Raises:
        InputError: no such file, a truncated file, a file of another program or version, or wrong metadata.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise InputError(f"No file {self.path}; make one with 'ser-graph export'")
        self._threads = threads
        try:
            self._session = open_session(str(self.path), threads)
            stored = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        except InputError:
            raise
        except Exception as error:  # onnxruntime raises many kinds, none of them public
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"{self.path} cannot be read as an ONNX model ({reason}); it may be truncated: copy or export it "
                "again"
            ) from None
        metadata = checked_metadata(stored, self.path)
        self.emotions: list[str] = metadata["emotions"]
        self.features: dict[str, Any] = metadata["features"]
        self.normalise: str = metadata["normalise"]
        self.info: dict[str, Any] = metadata["info"]
        self.precision: str = metadata["precision"]
        self.n_params: int = metadata["n_params"]
        self.macs: int = metadata["macs"]
        self.temperature: float = metadata["temperature"]
        self.threshold: float = metadata["threshold"]
        self.title: str = metadata["title"]
        self.licence: str = metadata["licence"]
        self.attribution: str = metadata["attribution"]
        self._check_values()

    @property
    def normalises_by_speaker(self) -> bool:
        """Whether the model normalises by speaker, so that earlier clips of a voice change its results."""
        return self.normalise == "speaker"

    def __call__(self, waveforms: np.ndarray, voice: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_samples] float32 -> [B, K] probabilities and [B, F] `fc1`; `voice` as in `hear`."""
        return self.hear(waveforms, voice)[:2]

    def hear(self, waveforms: np.ndarray, voice: np.ndarray | None = None) -> Heard:
        """As `__call__`, with the updated statistics of each voice, see `Model`."""
        return self._ask(self._session, WAVEFORM, waveforms, voice)

    def _ask(self, session: Any, name: str, values: np.ndarray, voice: np.ndarray | None) -> Heard:
        names, given = [*OUTPUTS], {name: values}
        if self.normalises_by_speaker:
            names.append(VOICE_AFTER)
            given[VOICE] = checked_voice(voice, len(values), self.features["n_mels"])
        probabilities, fc1, *after = session.run(names, given)
        # The sound is finite (see `sound` and `streaming`), so weights are to blame.
        if not (np.isfinite(probabilities).all() and np.isfinite(fc1).all()):
            raise ModelError(f"{self.path} holds weights that are not finite; export the student again")
        return probabilities, fc1, after[0] if after else None

    def _check_values(self) -> None:
        """Refuse a network that is not what its metadata say."""
        given = {one.name: one.shape[1:] for one in self._session.get_inputs()}
        made = {one.name: one.shape[1:] for one in self._session.get_outputs()}
        expected: dict[str, list[int]] = {WAVEFORM: [self.features["n_samples"]]}
        if self.normalises_by_speaker:
            expected[VOICE] = [3, self.features["n_mels"]]
        if given != expected or made.get(OUTPUTS[0]) != [len(self.emotions)] or OUTPUTS[1] not in made:
            raise InputError(
                f"{self.path} does not fit its metadata: it takes {given} and returns {made}, expected {expected} "
                f"and {len(self.emotions)} probabilities; export the student again"
            )


def open_session(model: str | bytes, threads: int) -> Any:
    """An onnxruntime session on the CPU, of a file or of its content."""
    runtime = extra_package("onnxruntime", "ser-graph-runtime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Without `enable_fallback=0`, it prints four lines and fails a second time.
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
