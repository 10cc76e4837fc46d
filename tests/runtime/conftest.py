import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from ser_graph_runtime.metadata import METADATA_KEY

EXAMPLE = Path(__file__).parents[1] / "formats" / "student.onnx"


@pytest.fixture(scope="session")
def example() -> Path:
    """An exported student that hears 2,048 samples at 16 kHz and knows anger and fear; not to be changed."""
    return EXAMPLE


@pytest.fixture
def variant(tmp_path: Path) -> Callable[..., Path]:
    """The example with some of its metadata changed."""

    def make(name: str = "variant.onnx", **changes: Any) -> Path:
        model = onnx.load(EXAMPLE)
        (stored,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
        stored.value = json.dumps(json.loads(stored.value) | changes)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return make
