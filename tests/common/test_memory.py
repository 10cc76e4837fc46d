"""Freed memory stays with the process."""

import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from ser_graph import cli

FAULTS = """
import resource, sys
import torch
from ser_graph.common.memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory() and keep_freed_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(25_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_100_mb_again_cost_no_page_faults() -> None:
    found = {}
    for how in ("kept", "given back"):
        command = [sys.executable, "-c", FAULTS, how]
        found[how] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["kept"] < 100 < 10_000 < found["given back"]


def test_the_command_line_keeps_it(
    monkeypatch: pytest.MonkeyPatch, call: Callable[..., tuple[int, str, str]]
) -> None:
    asked = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: asked.append("kept"))
    call("--help")
    assert asked == ["kept"]
