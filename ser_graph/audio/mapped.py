"""Arrays that stay on disk: mapped from a `.npy` file, requested ahead, and released after reading.

Mapped pages belong to the file (`RssFile` of ``/proc/self/status``). The system takes them back when memory is
short. Until then they count as resident memory, and a training seems to need as much memory as its corpus. So
`read_rows` unmaps the pages from time to time. They stay in the cache of the system, so that reading them again
needs no disk.
"""

import math
import mmap
import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ser_graph.audio.finite import is_finite, not_finite

RESIDENT = 2**24  # bytes read between two releases of pages; the system maps several times as much
_SMAPS = Path("/proc/self/smaps")
_BLOCK = 256  # rows copied at a time from file to file


@dataclass
class _Mapping:
    """The position of a mapped array in its file and in memory.

    Attributes:
        file: the mapping.
        offset: start of the array in the mapping, in bytes.
        address: address of the mapping in the memory of the process.
        read: bytes read since the last release of pages.
    """

    file: mmap.mmap
    offset: int
    address: int
    read: int = 0


_MAPPINGS: dict[int, _Mapping] = {}  # key: the address of the array


def map_array(path: str | Path) -> Tensor:
    """A `.npy` array as a tensor; each part is read from disk when it is used (copy on write)."""
    return _known(np.load(path, mmap_mode="c", allow_pickle=False))


def is_mapped(x: Tensor) -> bool:
    """Whether a tensor is an array of this module, mapped from a file."""
    return _mapping_of(x) is not None


def empty_beside(x: Tensor) -> Tensor:
    """A new float32 array of the shape of `x`: in memory, or in a file without a name if `x` is mapped.

    The file is in the system's folder of temporary files (``TMPDIR``). It ends with the array.
    """
    if not is_mapped(x):
        return torch.empty(x.shape)
    with tempfile.TemporaryFile() as file:
        size = 4 * x.numel()
        if hasattr(os, "posix_fallocate"):  # on a full disk, a mapped write kills the process
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return _known(np.memmap(file, np.float32, "r+", shape=tuple(x.shape)))


def _known(array: np.memmap) -> Tensor:
    address = array.ctypes.data
    offset = array.offset % mmap.ALLOCATIONGRANULARITY
    _MAPPINGS[address] = _Mapping(array._mmap, offset, address - offset)  # type: ignore[attr-defined]
    weakref.finalize(array, _MAPPINGS.pop, address, None)
    return torch.from_numpy(array)


def read_rows(x: Tensor, rows: Tensor) -> Tensor:
    """A copy [M, ...] of some rows, in their order. For a mapped array, memory does not grow with each read.

    Raises:
        InputError: a number in these rows is not finite.
    """
    will_need(x, rows)
    selected = x[rows]
    count_read(x, selected.nbytes)
    check_finite_rows(selected, rows)
    return selected


def check_finite_rows(selected: Tensor, rows: Tensor) -> None:
    """Refuse spectrograms [M, ...] with NaN or infinity; `rows` [M] are their numbers, for the message.

    Checked when they are read; see also `check_finite`.

    Raises:
        InputError: a number is not finite.
    """
    if not is_finite(selected.numpy()):
        raise not_finite(int(rows[int((~torch.isfinite(selected)).nonzero()[0, 0])]))


def write_array(path: str | Path, x: Tensor) -> None:
    """Write a `.npy` array [N, ...] in blocks: memory does not grow with its size.

    Raises:
        InputError: a number is not finite.
    """
    descr = np.lib.format.dtype_to_descr(x[:0].numpy().dtype)
    header = {"descr": descr, "fortran_order": False, "shape": tuple(x.shape)}
    with Path(path).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for rows in torch.arange(len(x)).split(_BLOCK):
            read_rows(x, rows).numpy().tofile(file)


def will_need(x: Tensor, rows: Tensor) -> None:
    """Ask the system to read rows of a mapped array from disk, and do not wait for them.

    The function asks for all rows at once, in the order of the file. The disk then reads a random batch in one
    sweep. Without this request, page faults read the rows one after the other.
    """
    mapping = _mapping_of(x)
    if mapping is None or not len(rows) or not x[0].is_contiguous() or not hasattr(mmap, "MADV_WILLNEED"):
        return
    size = x.stride(0) * x.itemsize
    start = mapping.offset + x.storage_offset() * x.itemsize
    rows = rows.unique()
    first = torch.cat([rows[:1], rows[1:][rows.diff() > 1]])
    last = torch.cat([rows[:-1][rows.diff() > 1], rows[-1:]])
    for one, other in zip(first.tolist(), last.tolist(), strict=True):
        begin = (start + one * size) // mmap.PAGESIZE * mmap.PAGESIZE
        mapping.file.madvise(mmap.MADV_WILLNEED, begin, start + (other + 1) * size - begin)


def count_read(x: Tensor, n_bytes: int) -> None:
    """Count bytes read from a mapped array; after every `RESIDENT` bytes, release its pages."""
    mapping = _mapping_of(x)
    if mapping is None:
        return
    mapping.read += n_bytes
    if mapping.read >= RESIDENT:
        mapping.read = 0
        # If a page was written to, its copy in memory is the only one: keep it.
        if hasattr(mmap, "MADV_DONTNEED") and _written(mapping) == 0:
            mapping.file.madvise(mmap.MADV_DONTNEED)


def give_back(shared: np.memmap) -> None:
    """Release the pages of an array that is shared with its file (mode ``"w+"``): the system writes them."""
    if hasattr(mmap, "MADV_DONTNEED"):
        shared._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _written(mapping: _Mapping) -> float:
    """Kilobytes of a mapping that this process has written to; infinite if the system does not show it."""
    written, inside = math.inf, False
    try:
        with _SMAPS.open() as lines:
            for line in lines:
                name, *values = line.split()
                if not name.endswith(":"):
                    start, end = (int(part, 16) for part in name.split("-"))
                    inside = start < mapping.address + len(mapping.file) and mapping.address < end
                elif inside and name == "Anonymous:":
                    written = (0 if written == math.inf else written) + int(values[0])
    except OSError:  # not Linux
        return math.inf
    return written


def _mapping_of(x: Tensor) -> _Mapping | None:
    return _MAPPINGS.get(x.untyped_storage().data_ptr()) if x.device.type == "cpu" else None
