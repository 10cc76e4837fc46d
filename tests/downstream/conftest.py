import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ser_graph.downstream import Student


@pytest.fixture(scope="session")
def weights_equal() -> Callable[[Student, Student], bool]:
    """Whether two students have the same weights and statistics, to the bit."""

    def compare(one: Student, other: Student) -> bool:
        state, expected = one.state_dict(), other.state_dict()
        return state.keys() == expected.keys() and all(
            torch.equal(value, expected[name]) for name, value in state.items()
        )

    return compare


@pytest.fixture(scope="session")
def start_script() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a script that trains students, alone or by torchrun: SCRIPT GRAPH OUT CELL..., each cell as JSON."""

    def start(
        script: Path, graph: Path, out: Path, *cells: dict[str, Any], processes: int
    ) -> "subprocess.CompletedProcess[str]":
        many = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *(many if processes > 1 else []), script, graph, out, *map(json.dumps, cells)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=600, env=environment, check=False
        )

    return start
