"""Records of every shape through the kernel: as a map's keys and values, and from a program into columns."""

import enum

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import memory


class Protocol(enum.IntEnum):
    TCP = 6
    UDP = 17


class Address(fb.Struct):
    host: fb.ipv4
    port: fb.port


class Flow(fb.Struct, packed=True):
    protocol: fb.enum(Protocol, base=fb.u8)
    ends: Address[2]


class Seen(fb.Struct):
    took: fb.duration
    syn: fb.bits(fb.u16, 1)
    size: fb.bits(fb.u16, 15)
    kind: fb.u8
    value: fb.union("kind", {1: Address, 2: ("ratio", fb.f64)})


ENDS = [Address(host="10.0.0.1", port=4711), Address(host="10.0.0.2", port=80)]


def test_a_maps_keys_and_values():
    with fb.MapSpec("hash", key=Flow, value=Seen, max_entries=8, name="flows").create() as flows:
        key = Flow(protocol=Protocol.TCP, ends=ENDS)
        assert len(key.pack()) == Flow.size == 17
        seen = Seen(took=5, syn=1, size=1500, kind=2, value=0.5)
        flows[key] = seen
        assert flows[Flow(protocol="TCP", ends=ENDS)] == seen
        (read,) = flows
        assert read == Flow(protocol=Protocol.TCP, ends=tuple(ENDS))
        flows[read] = Seen(took=5, syn=1, size=1500, kind=1, value=ENDS[0])
        assert flows[read].value == ENDS[0]


def test_a_maps_plain_types():
    with fb.MapSpec("hash", key=fb.ipv4, value=fb.enum(Protocol), max_entries=8, name="hosts").create() as hosts:
        hosts["10.0.0.1"] = "UDP"
        assert dict(hosts) == {"10.0.0.1": Protocol.UDP}


class Event(fb.Struct):
    host: fb.ipv4
    port: fb.port
    protocol: fb.enum(Protocol, base=fb.u8)
    version: fb.bits(fb.u8, 4)
    length: fb.bits(fb.u8, 4)
    ends: Address[2]
    kind: fb.u8
    value: fb.union("kind", {1: Address, 2: ("ratio", fb.f64)})


def test_a_programs_records_become_columns():
    values = {"host": "10.0.0.1", "port": 80, "protocol": "UDP", "version": 4, "length": 5, "ends": ENDS, "kind": 3}
    ring = fb.MapSpec("ringbuf", max_entries=4096, name="events")
    code = assemble(
        memory.init(fp - Event.size, Event, values),
        call.ringbuf_output(ring, fp - Event.size, Event.size, 0),
        mov(r0, 0),
        exit_(),
    )
    with fb.ProgramSpec("raw_tracepoint", code, name="shapes").load() as program:
        with fb.RingBuffer(program.maps["events"], Event) as stream:
            program.test_run()
            table = stream.read(rows=1)
    assert table.schema == Event.schema
    assert table.to_pylist() == [
        {
            **values,
            "ends": [{"host": "10.0.0.1", "port": 4711}, {"host": "10.0.0.2", "port": 80}],
            "value": {"address": None, "ratio": None},
        }
    ]
