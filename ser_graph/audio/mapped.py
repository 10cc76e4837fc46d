"""Arrays that stay on disk: mapped from a `.npy` file, asked for ahead, and given back once they are read.

Mapped pages belong to the file (`RssFile` of ``/proc/self/status``): the system takes them back when memory is
short. Until then they count as resident, so that a training soon looks as large as its corpus. `read_rows`
therefore unmaps what it has read from time to time; the pages stay in the system's cache, and coming back to one
costs no reading.
"""

import math
import mmap
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ser_graph.errors import InputError

RESIDENT = 2**24  # bytes that are read before pages are given back; the system maps several times as much
_SMAPS = Path("/proc/self/smaps")
_BLOCK = 256  # rows that are copied from one file to another at a time


@dataclass
class _Mapping:
    """Where the array of a mapped file lies.

    Attributes:
        file: the mapping.
        offset: of the array in it, in bytes.
        address: of the mapping in the process's memory.
        read: bytes since pages were last given back.
    """

    file: mmap.mmap
    offset: int
    address: int
    read: int = 0


_MAPPINGS: dict[int, _Mapping] = {}  # by the address of the array


def map_array(path: str | Path) -> Tensor:
    """A `.npy` array as a tensor that is read from disk only where it is touched (copy on write)."""
    array = np.load(path, mmap_mode="c", allow_pickle=False)
    address = array.ctypes.data
    offset = array.offset % mmap.ALLOCATIONGRANULARITY
    _MAPPINGS[address] = _Mapping(array._mmap, offset, address - offset)
    weakref.finalize(array, _MAPPINGS.pop, address, None)
    return torch.from_numpy(array)


def read_rows(x: Tensor, rows: Tensor) -> Tensor:
    """A copy of some rows, in their order; of a mapped array without the memory growing with what is read.

    Args:
        x: [N, ...], mapped or not.
        rows: [M] int64.

    Returns:
        [M, ...] of the same type, in memory.
    """
    will_need(x, rows)
    selected = x[rows]
    count_read(x, selected.nbytes)
    return selected


def write_array(path: str | Path, *parts: Tensor) -> None:
    """Write arrays one after the other as one `.npy` array, in blocks: memory does not grow with them.

    Args:
        path: where to.
        *parts: [N, ...] of one type and, but for N, one shape; mapped or not.

    Raises:
        InputError: a number is not finite.
    """
    first = parts[0][:0].numpy()
    shape = (sum(map(len, parts)), *first.shape[1:])
    header = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False, "shape": shape}
    with Path(path).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for x in parts:
            for rows in torch.arange(len(x)).split(_BLOCK):
                block = read_rows(x, rows).numpy()
                finite = np.isfinite(block).all(axis=tuple(range(1, block.ndim)))
                if not finite.all():
                    row = int(rows[int(np.argmin(finite))])
                    raise InputError(f"The spectrogram of clip {row} holds NaN or infinity; compute it anew")
                block.tofile(file)


def will_need(x: Tensor, rows: Tensor) -> None:
    """Have the system bring rows of a mapped array from disk, without waiting for them.

    All are asked for at once and in the order of the file, whatever the order of `rows`: the disk has something to
    choose from, and a random batch costs it one sweep. Page faults would ask for one after the other.

    Args:
        x: [N, ...]; nothing is done where it is not mapped.
        rows: [M] int64.
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
    """Note what was read of a mapped array; after every `RESIDENT` bytes its pages are given back."""
    mapping = _mapping_of(x)
    if mapping is None:
        return
    mapping.read += n_bytes
    if mapping.read >= RESIDENT:
        mapping.read = 0
        # Where somebody has written to the tensor, his copies of pages are nowhere else.
        if hasattr(mmap, "MADV_DONTNEED") and _written(mapping) == 0:
            mapping.file.madvise(mmap.MADV_DONTNEED)


def give_back(shared: np.memmap) -> None:
    """Unmap the pages of an array that is shared with its file (mode ``"w+"``): the system writes them."""
    if hasattr(mmap, "MADV_DONTNEED"):
        shared._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _written(mapping: _Mapping) -> float:
    """Kilobytes of a mapping that are this process's own, no longer the file's; infinite where nobody says."""
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
    except OSError:  # no Linux
        return math.inf
    return written


def _mapping_of(x: Tensor) -> _Mapping | None:
    return _MAPPINGS.get(x.untyped_storage().data_ptr()) if x.device.type == "cpu" else None
