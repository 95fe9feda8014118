"""Records to rows, as a ring's reader makes them."""

import struct

import pyarrow as pa

from fastbpf import _native


class RingDecoder:
    """Decodes records of one type, as they stood in a ring."""

    def __init__(self, columns, size, max_rows):
        self._native = _native.Decoder([("ring", [(columns, size, {})], None)], max_rows)

    def decode(self, data, clocks):
        self._native.decode(0, data, clocks)
        return self._native.take(False)

    def finish(self):
        return next(iter(self._native.take(True)), None)


def rows(layout, records):
    # struct bpf_ringbuf_hdr: the length, and a place that we do not look at; records are padded to 8 bytes.
    ring = b"".join(struct.pack("=II", len(one), 0) + one + bytes(-len(one) % 8) for one in records)
    decoder = RingDecoder(layout.columns(), layout.size, 1 << 16)
    batches = [*decoder.decode(ring, (0, 0, 0)), decoder.finish()]
    return pa.Table.from_batches([pa.record_batch(batch) for batch in batches if batch is not None])
