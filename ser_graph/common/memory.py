"""Keep the memory that a training step frees: the next step needs the same blocks again."""

import ctypes
import mmap
import os
import re
from functools import cache
from pathlib import Path

# Constants of malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER, _NONE = -1, 0


@cache
def keep_freed_memory() -> bool:
    """Keep freed blocks for the next step, in huge pages, for the rest of this process.

    By default, glibc returns each freed large block to the kernel. The kernel then provides it again page by page,
    filled with zeros. This takes 5 to 8 % of a training step of ResNet-9 on the CPU, and 5 to 12 % of CNN-6's
    (``benchmarks/step_parts.py``). Numbers do not change. The process keeps the most memory that it has used.

    Returns:
        Whether it succeeded. It needs Linux with glibc, and half of the machine's memory to reserve (a page is
        taken only when it is used). Elsewhere nothing changes, or no huge pages are used.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)
        libc.mallopt(_MMAP_MAX, _NONE)
        libc.malloc.restype = ctypes.c_void_p
        libc.malloc.argtypes = [ctypes.c_size_t]
        libc.free.argtypes = [ctypes.c_void_p]
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        reserved = libc.malloc(os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // 2)
        found = re.search(r"^(\w+)-(\w+) .*\[heap\]$", Path("/proc/self/maps").read_text(), re.MULTILINE)
        libc.free(reserved)
        if not (reserved and found):
            return False
        start, end = (int(address, 16) for address in found.groups())
        return libc.madvise(start, end - start, mmap.MADV_HUGEPAGE) == 0
    except (AttributeError, OSError, TypeError, ValueError):  # another C library, or another system
        return False
