"""Models that the package brings: the `.onnx` files in its folder `ready`, each named by its file."""

from pathlib import Path

from ser_graph_runtime.errors import bad_value
from ser_graph_runtime.onnx_model import OnnxModel

FOLDER = Path(__file__).with_name("ready")


def ready_models() -> dict[str, OnnxModel]:
    """The models of the package by name; each says its `title`, `licence` and `attribution`."""
    return {name: OnnxModel(path) for name, path in _files().items()}


def find_model(model: str | Path) -> Path:
    """The file of a model that is given by its path, or by the name of a model of the package.

    Raises:
        InputError: a name without suffix that is neither a file nor a model of the package.
    """
    path = Path(model).expanduser()
    if path.suffix or path.name != str(model) or path.exists():
        return path
    ready = _files()
    if path.name not in ready:
        raise bad_value("model", str(model), ready, or_else="a file")
    return ready[path.name]


def _files() -> dict[str, Path]:
    return {path.stem: path for path in sorted(FOLDER.glob("*.onnx"))}
