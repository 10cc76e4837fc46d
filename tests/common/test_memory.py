"""Freed memory stays with the process."""

import platform
import subprocess
import sys

import pytest

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
