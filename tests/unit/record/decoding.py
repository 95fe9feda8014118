"""Records to rows, as a ring's reader makes them."""

import struct

import pyarrow as pa

from fastbpf import _native


def rows(layout, records):
    # struct bpf_ringbuf_hdr: the length, and a place that we do not look at; records are padded to 8 bytes.
    ring = b"".join(struct.pack("=II", len(one), 0) + one + bytes(-len(one) % 8) for one in records)
    decoder = _native.Decoder(layout.columns(), layout.size, 1 << 16)
    batches = [*decoder.decode(ring, (0, 0, 0)), decoder.finish()]
    return pa.Table.from_batches([pa.record_batch(batch) for batch in batches if batch is not None])
