"""Models that the package brings: the `.onnx` files in its folder `ready`, called ``ready:good`` and so on."""

from pathlib import Path

from ser_graph_runtime.errors import bad_value
from ser_graph_runtime.onnx_model import OnnxModel

READY = "ready:"
DEFAULT = f"{READY}good"
FOLDER = Path(__file__).with_name("ready")


def ready_models() -> dict[str, OnnxModel]:
    """The models of the package by name; each says its `title`, `licence` and `attribution`."""
    return {name: OnnxModel(path) for name, path in _files().items()}


def find_model(model: str | Path) -> Path:
    """The file of a model that is given by its path, or by the name of a model of the package.

    Raises:
        InputError: a name that is not a model of the package.
    """
    if not str(model).startswith(READY):
        return Path(model).expanduser()
    ready = _files()
    if str(model) not in ready:
        raise bad_value("model", str(model), ready, or_else="a file")
    return ready[str(model)]


def terms(name: str, model: OnnxModel) -> str:
    """One line about a model of the package: what it is, and its licence."""
    return f"Model {name} ({model.title}). Licence of its weights: {model.licence}."


def _files() -> dict[str, Path]:
    return {f"{READY}{path.stem}": path for path in sorted(FOLDER.glob("*.onnx"))}
