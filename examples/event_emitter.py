"""Sends an event to user space for each packet: reserve room in a ring buffer, fill it, submit. A full ring is counted.

sudo python examples/event_emitter.py
"""

from packets import udp_packet

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import maps, memory, ringbuf, time


class Event(fb.Struct):
    type: fb.u32
    length: fb.u32
    ts: fb.ktime


events = fb.MapSpec("ringbuf", max_entries=4096, name="events")
lost = fb.MapSpec("array", value=fb.u64, max_entries=1, name="lost")

code = assemble(
    ldxw(r8, r1, ctx.sk_buff.len),
    ringbuf.reserve(events, Event.size, r6, fail="full"),
    time.now(r7),
    memory.init(r6, Event, {"type": 1, "length": r8, "ts": r7}),  # every byte: none of the kernel's memory leaks
    ringbuf.submit(r6),
    mov(r0, 0),
    exit_(),
    label("full"),
    stw(fp, -4, 0),
    maps.increment(lost, fp - 4),
    mov(r0, 1),
    exit_(),
)


def main() -> None:
    with (
        fb.ProgramSpec("socket_filter", code, name="emit").load() as program,
        fb.RingBuffer(program.maps["events"], Event) as stream,
    ):
        for size in (0, 100, 1000):
            program.test_run(udp_packet("10.0.0.1", "10.0.0.2", (4000, 53), bytes(size)))
        for event in stream.read(rows=3).to_pylist():
            print(f"an event of type {event['type']} at {event['ts']:%H:%M:%S.%f}: {event['length']} bytes")

        program.test_run(udp_packet("10.0.0.1", "10.0.0.2", (4000, 53)), repeat=1000)
        table = stream.read(seconds=0.1)
        print(f"of 1000 more, {table.num_rows} had room, {program.maps['lost'][0]} did not")


if __name__ == "__main__":
    main()
