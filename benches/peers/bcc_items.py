"""bcc's `items()` of a hash map. Run by the Python that has bcc: FD on argv; each line on stdin reads it once.

The answer is how many elements that were, and how many nanoseconds it took.
"""

# ruff: noqa: INP001 - a script, not a module of a package

import ctypes as ct
import sys
from time import perf_counter_ns

from bcc.table import HashTable


class Leaf(ct.Structure):
    _fields_ = [
        ("packets", ct.c_uint64),
        ("bytes", ct.c_uint64),
        ("first", ct.c_uint64),
        ("mark", ct.c_uint32),
        ("flags", ct.c_uint32),
    ]


# Without a program that bcc has compiled, which is where it would take these from.
table = HashTable.__new__(HashTable)
table.map_fd, table.Key, table.Leaf, table.flags = int(sys.argv[1]), ct.c_uint64, Leaf, 0
for _ in sys.stdin:
    start = perf_counter_ns()
    rows = [(key.value, leaf.packets, leaf.bytes, leaf.first, leaf.mark, leaf.flags) for key, leaf in table.items()]
    took = perf_counter_ns() - start
    print(len(rows), took, flush=True)
