import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

_SHARED = Path(os.environ.get("SER_GRAPH_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def real_corpus() -> Callable[[str], Path]:
    """From the name of a real corpus to its folder; the test is skipped where it is not at hand."""

    def find(name: str) -> Path:
        path = _SHARED / "corpora" / name
        if not path.exists():
            pytest.skip(f"needs real speech, {name}, in the folder that SER_GRAPH_SHARED names")
        return path

    return find


@pytest.fixture
def make_clips(tmp_path: Path) -> Callable[..., Path]:
    """Write a short clip of noise under each of some names; a different one each, the same in every run."""

    def write(*names: str, folder: Path = tmp_path, rate: int = 16_000, seconds: float = 0.2) -> Path:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(list(name.encode())).normal(0, 0.1, int(seconds * rate))
            soundfile.write(path, noise, rate)
        return folder

    return write
