"""Started by the tests, alone or by torchrun: train students on a graph in shards.

sharded_processes.py FOLDER OUT SETTINGS...: each SETTINGS is JSON; `die` is the epoch in which the last process is
killed, `checkpoint` a file name in OUT. Of each student come out its history and weights, and of each process the
bytes of the data that it holds.
"""

import json
import os
import signal
import sys
from pathlib import Path

from safetensors.torch import save_file

from ser_graph.common.distributed import processes
from ser_graph.common.processes import is_first
from ser_graph.downstream import sharded, train_shards
from ser_graph.errors import InputError


def held(run: sharded._Run) -> int:
    """Bytes of the tensors of clips that a process holds or maps."""
    shards = [one for shard in run.own.values() for one in vars(shard).values() if hasattr(one, "nbytes")]
    sampler = [run.sampler._permutation, run.sampler._source, run.sampler._start]
    edges = [run.neighbour, run.edge_weight]
    bank = [] if run.bank is None else [run.bank.outputs, run.bank.written]
    return sum(one.nbytes for one in [run.y, *shards, *sampler, *edges, *bank])


def die_in(epoch: int) -> None:
    """After the first step of that epoch."""
    whole = sharded._Run._step

    def killed(run: sharded._Run, batch: sharded._Batch) -> dict[str, float]:
        said = whole(run, batch)
        if len(run.history) == epoch and run.group.rank == run.group.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return said

    sharded._Run._step = killed


def main(folder: str, out: str, *cells: str) -> None:
    finish, sizes = sharded._Run.finish, []
    sharded._Run.finish = lambda run: sizes.append(held(run)) or finish(run)
    for number, cell in enumerate(map(json.loads, cells)):
        if "die" in cell:
            die_in(cell.pop("die"))
        checkpoint = cell.pop("checkpoint", None)
        how = {"checkpoint": checkpoint and Path(out, checkpoint), "device": "cpu", "progress": False}
        student = train_shards(folder, **how, **cell)
        if is_first():
            Path(out, f"{number}.json").write_text(json.dumps(student.info["history"]))
            save_file(student.state_dict(), Path(out, f"{number}.safetensors"))
    Path(out, f"bytes-{processes().rank}.json").write_text(json.dumps(sizes))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InputError as error:
        sys.exit(f"Error: {error}")
