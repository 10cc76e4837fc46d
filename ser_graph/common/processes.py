"""Child processes that import nothing from the folder where the user happens to stand."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SAFE = "PYTHONSAFEPATH"


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
