"""Which process this is among those of ``torchrun``, and child processes that start safely."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SAFE = "PYTHONSAFEPATH"
_ALONE = {"WORLD_SIZE": "1", "RANK": "-1", "LOCAL_RANK": "-1"}  # as if no torchrun had started the process


@contextmanager
def safe_imports() -> Iterator[None]:
    """Python processes that start in this block do not look for modules in the current folder.

    Workers of joblib and ``python -m`` put the current folder first on the path. A stranger's ``tqdm.py`` in a
    folder of recordings would then run.
    """
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before


def call_alone(call: Callable[[], object]) -> None:
    """Make a call in a child process that belongs to no group of ``torchrun``, and wait for its end.

    A library that joins every group that it sees can then work in one process of a group.
    """
    from joblib.externals.loky import ProcessPoolExecutor  # joblib takes a part of a second to load

    with safe_imports(), ProcessPoolExecutor(1, env=_ALONE) as pool:
        pool.submit(call).result()


def started_together() -> bool:
    """Whether `torchrun` or `accelerate` has started this process with others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in os.environ


def is_first() -> bool:
    """Whether this is the process that writes files and shows progress; a process without others is the first."""
    return not started_together() or int(os.environ.get("RANK", "0")) == 0
