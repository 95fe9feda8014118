"""bcc's ring buffer consumer, with what its users write to get rows. Run by the Python that has bcc: FD on argv.

Each line on stdin drains the ring once; the answer is how many records that were, and how many nanoseconds it took.
"""

# ruff: noqa: INP001 - a script, not a module of a package

import ctypes as ct
import errno
import sys
from time import perf_counter_ns

from bcc.libbcc import _RINGBUF_CB_TYPE, lib


class Event(ct.Structure):
    _fields_ = [
        ("ts", ct.c_uint64),
        ("pid", ct.c_uint32),
        ("cpu", ct.c_uint32),
        ("a", ct.c_uint64),
        ("b", ct.c_uint64),
        ("comm", ct.c_char * 16),
    ]


rows = []


# As the examples in bcc's repository do; `event = table.event(data)` is this cast.
def callback(ctx, data, size):  # noqa: ARG001  # bcc passes all three
    event = ct.cast(data, ct.POINTER(Event)).contents
    rows.append((event.ts, event.pid, event.cpu, event.a, event.b, event.comm))


# bcc.table.RingBuf.open_ring_buffer wraps it like this.
def ringbuf_cb_(ctx, data, size):
    try:
        ret = callback(ctx, data, size)
        try:
            ret = int(ret)
        except:  # noqa: E722  # as bcc has it
            ret = 0
    except OSError as e:
        if e.errno == errno.EPIPE:
            sys.exit()
        raise
    return ret


function = _RINGBUF_CB_TYPE(ringbuf_cb_)
manager = lib.bpf_new_ringbuf(int(sys.argv[1]), function, None)
if not manager:
    sys.exit("bcc cannot open the ring")
for _ in sys.stdin:
    rows = []
    start = perf_counter_ns()
    lib.bpf_consume_ringbuf(manager)
    took = perf_counter_ns() - start
    print(len(rows), took, flush=True)
