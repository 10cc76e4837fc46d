"""Started by the tests, alone or by torchrun: train students on a graph, and store what the first process has.

several_processes.py GRAPH OUT SETTINGS...: each SETTINGS is JSON; `die` is the epoch in which the last process is
killed, `checkpoint` a file name in OUT. Of each student come out its history, its weights, and the gradients of the
first step: those can be compared closely, while Adam makes a step of the same size of a gradient of 1 and of 1e-9.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ser_graph.common.distributed import processes
from ser_graph.common.processes import is_first
from ser_graph.downstream import train
from ser_graph.downstream.training import _Run
from ser_graph.errors import InputError
from ser_graph.graph import load_graph


def die_in(epoch: int) -> None:
    """After the first step of that epoch: the first process, too, is past the checkpoint of the one before."""
    whole = _Run._step

    def killed(run: _Run, *given: Any) -> dict[str, float]:
        said = whole(run, *given)
        if len(run.history) == epoch and run.group.rank == run.group.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return said

    _Run._step = killed


def watch_first_gradients() -> dict[str, Tensor]:
    """A dictionary that the first step of each training will fill."""
    found: dict[str, Tensor] = {}
    whole = _Run._step

    def watched(run: _Run, *given: Any) -> dict[str, float]:
        said = whole(run, *given)
        if not found:
            parameters = {**dict(run.student.named_parameters()), **dict(run.method.named_parameters("method"))}
            kept = torch.contiguous_format  # safetensors stores no other
            found.update({name: one.grad.clone(memory_format=kept) for name, one in parameters.items()})
        return said

    _Run._step = watched
    return found


def main(graph: str, out: str, *cells: str) -> None:
    data = load_graph(graph)
    gradients = watch_first_gradients()
    for number, cell in enumerate(map(json.loads, cells)):
        if "die" in cell:
            die_in(cell.pop("die"))
        checkpoint = cell.pop("checkpoint", None)
        if cell.pop("disagree", False):
            cell["seed"] = processes().rank
        student = train(data, checkpoint=checkpoint and Path(out) / checkpoint, device="cpu", **cell)
        if is_first():
            Path(out, f"{number}.json").write_text(json.dumps(student.info["history"]))
            save_file(student.state_dict(), Path(out, f"{number}.safetensors"))
            save_file(gradients, Path(out, f"{number}-gradients.safetensors"))
        gradients.clear()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InputError as error:
        sys.exit(f"Error: {error}")
