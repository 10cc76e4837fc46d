"""The labelled clips that are most similar for a model: nearest in its embedding space, `fc1`."""

import copy
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ser_graph_runtime.answers import Near
from ser_graph_runtime.errors import InputError

NEAREST_VERSION = 1
NEAREST_SUFFIX = ".nearest.npz"
_MOST_BYTES = 2**31  # of all arrays together


class Nearest:
    """Labelled clips, embedded by a model.

    Args:
        files: the name of each of M clips.
        emotions: the emotion of each clip.
        fc1: [M, F] the embedding of each clip.
        k: number of clips to name.
        root: the folder to which `files` are relative, if it is known.

    Raises:
        InputError: k is below 1.
    """

    def __init__(
        self,
        files: Sequence[str],
        emotions: Sequence[str],
        fc1: np.ndarray,
        *,
        k: int = 3,
        root: str | Path | None = None,
    ) -> None:
        if k < 1:
            raise InputError(f"Bad number of nearest clips {k!r}, expected at least 1")
        self.k = min(k, len(files))
        self.files, self.emotions, self.fc1 = list(files), list(emotions), fc1
        self.root = root
        self._unit = _unit_rows(fc1.astype(np.float32))
        self._left_out: list[int] = []

    def without(self, file: str) -> "Nearest":
        """The same clips except one, for a recording that is itself one of them."""
        others = copy.copy(self)
        others._left_out = [self.files.index(file)]
        others.k = min(self.k, len(self.files) - 1)
        return others

    def __call__(self, fc1: np.ndarray) -> list[list[Near]]:
        """File, emotion and cosine similarity of the k nearest clips for each of [B, F] `fc1`, nearest first."""
        similarity = _unit_rows(fc1) @ self._unit.T
        similarity[:, self._left_out] = -np.inf
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : self.k]
        return [
            [(self.files[clip], self.emotions[clip], float(row[clip])) for clip in clips]
            for row, clips in zip(similarity, nearest, strict=True)
        ]


def load_nearest(path: str | Path, model: Path, *, k: int = 3) -> Nearest:
    """The clips that `ser-graph export --graph` stored beside a model.

    The file is a NumPy archive of four arrays for M clips: `version`; `model`, the SHA-256 of the ONNX file;
    `files` and `emotions`, [M] texts; `fc1`, [M, F] float16.

    Args:
        path: the file, ``NAME.nearest.npz``.
        model: the exported model that it belongs to.
        k: number of clips to name.

    Raises:
        InputError: no such file, a damaged file, or the file of another model.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"No file {path}; make one with 'ser-graph export --graph GRAPH'")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                raise ValueError("its arrays are too large")
        with np.load(path, allow_pickle=False) as stored:
            version, of_model = int(stored["version"]), str(stored["model"])
            files, emotions, fc1 = stored["files"], stored["emotions"], stored["fc1"]
        if version != NEAREST_VERSION:
            raise ValueError(f"its version is {version}, expected {NEAREST_VERSION}")
        are_of_one_length = files.shape == emotions.shape == (len(fc1),) != (0,)
        if not are_of_one_length or fc1.ndim != 2 or [files.dtype.kind, emotions.dtype.kind] != ["U", "U"]:
            raise ValueError("its arrays do not fit each other")
        if fc1.dtype != np.float16 or not np.isfinite(fc1).all():
            raise ValueError("its embeddings are no finite float16")
    except (OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path} is no file of nearest clips ({reason}); export the student again") from None
    if of_model != file_hash(model):
        raise InputError(
            f"{path} belongs to another model than {model}; give the file that was exported together with the model"
        )
    return Nearest(files.tolist(), emotions.tolist(), fc1, k=k)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unit_rows(fc1: np.ndarray) -> np.ndarray:
    return fc1 / np.maximum(np.linalg.norm(fc1, axis=1, keepdims=True), 1e-12)
