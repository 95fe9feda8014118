"""Programs of blocks put together at random: the kernel takes them, and no block changes what it does not say."""

from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import bounds, checksum, ethernet, ipv4, ipv6, nat, packet, tcp, transport, udp

REGISTERS = (r0, r1, r2, r3, r4, r5, r6, r7, r8, r9)
PASSED, FAILED, CHANGED = 0, 1, 99

# every address is told, or scapy asks the network for it
LINK = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
FOUR = {"src": "192.0.2.1", "dst": "198.51.100.2"}
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2")
SYN = TCP(flags="S")
PACKETS = {
    (4, "tcp"): [LINK / IP(**FOUR) / SYN, LINK / Dot1Q() / IP(**FOUR, options=[IPOption_NOP()]) / SYN],
    (4, "udp"): [LINK / IP(**FOUR) / UDP(), LINK / Dot1AD() / Dot1Q() / IP(**FOUR) / UDP(chksum=0)],
    (6, "tcp"): [LINK / SIX / SYN, LINK / Dot1Q() / SIX / IPv6ExtHdrHopByHop() / SYN],
    (6, "udp"): [LINK / SIX / UDP(), LINK / SIX / IPv6ExtHdrFragment() / UDP()],
}
PACKETS = {kind: [bytes(one / b"some payload") for one in packets] for kind, packets in PACKETS.items()}
MODULES = {"tcp": tcp, "udp": udp}

# each register that is in no use holds its own number, and so does each 8 bytes of the stack
KEPT = {register: 0x5E00_0000 + i for i, register in enumerate(REGISTERS)}
STACK = {offset: 0x3A00_0000 + offset for offset in range(-128, 0, 8)}
SAVED = {role: -256 - 8 * i for i, role in enumerate(("context", "data", "end", "header", "payload", "protocol"))}


class Composition:
    """A program in the making: which register has which role, and the tests around each block."""

    def __init__(self, draw, prog_type):
        self.draw = draw
        self.prog_type = prog_type
        order = draw(st.permutations(REGISTERS))
        self.role = dict(zip(SAVED, order, strict=False))
        self.spare = list(order[len(SAVED) :])
        self.known = {"context"}
        self.parts, self.pads, self.count, self.blocks = [], [], 0, []
        # the context first: r1 is among those that get their numbers
        context = self.role["context"]
        self.parts += [mov(context, r1)] if context != r1 else []
        self.parts += [mov(register, KEPT[register]) for register in REGISTERS if register != context]
        self.parts += [stdw(fp, offset, number) for offset, number in STACK.items()]
        self.parts += [stxdw(fp, SAVED["context"], context)]

    def __getattr__(self, role):
        return self.role[role]

    def free(self, count):
        return self.draw(st.permutations(self.spare))[:count]

    def add(self, make, *, results=(), scratch=1):
        """A block: `make(fail, **scratch)`; `results` are roles that it gives."""
        fail = f"fail {self.count}"
        self.count += 1
        chosen = {}
        if scratch:
            block = make(fail)
            used = {self.role[role] for role in SAVED} - {self.role[role] for role in results}
            if used & set(block.clobbers) or self.draw(st.booleans()):
                found = self.free(scratch)
                chosen = {"scratch": found[0] if scratch == 1 else tuple(found)}
        block = make(fail, **chosen)
        self.blocks.append(block.name)
        assert block.fails_to in (fail, None)
        temporary, tests = self.tests(block)
        self.parts += [block, tests]
        again = {temporary, *(set(block.clobbers) & set(self.spare))}
        self.parts += [mov(register, KEPT[register]) for register in sorted(again, key=lambda r: r.number)]
        if block.stack:
            self.parts += [stdw(fp, at, number) for at, number in STACK.items() if within(at, block.stack)]
        self.known = {role for role in self.known if self.role[role] not in block.clobbers} | set(results)
        self.parts += [stxdw(fp, SAVED[role], self.role[role]) for role in results]
        if block.fails_to:
            self.pads += [label(fail), tests, mov(r0, FAILED), exit_()]

    def tests(self, block):
        """All that the block does not say it changes is as it was."""
        same = [register for register in self.spare if register not in block.clobbers]
        temporary = self.spare[0]
        row = [jne(register, KEPT[register], "changed") for register in same]
        for role in sorted(self.known):
            register = self.role[role]
            if register not in block.clobbers:
                row += [ldxdw(temporary, fp, SAVED[role]), jne(register, temporary, "changed")]
        for offset, number in STACK.items():
            if not within(offset, block.stack):
                row += [ldxdw(temporary, fp, offset), jne(temporary, number, "changed")]
        return temporary, row

    def expect(self, *numbers):
        """Go on only with one of these protocols."""
        here = f"as expected {self.count}"
        self.count += 1
        self.parts += [jeq(self.protocol, number, here) for number in numbers]
        self.parts += [mov(r0, FAILED), exit_(), label(here)]

    def code(self):
        end = [mov(r0, PASSED), exit_(), self.pads, label("changed"), mov(r0, CHANGED), exit_()]
        return assemble(self.parts, end)


def within(offset, stack):
    return stack is not None and stack[0] - 8 < offset < stack[1]


def any_field(c, pointer, fields, *, change=True):
    """Reads, writes or compares a field."""
    field = c.draw(st.sampled_from(fields))
    order = c.draw(st.sampled_from(["host", "network"]))
    kind = c.draw(st.sampled_from(["load", "match", "store"] if change else ["load", "match"]))
    result, value = c.free(2)
    number = c.draw(st.one_of(st.integers(0, (1 << 8 * field.size) - 1), st.just(value)))
    if kind == "load":
        # a result is among what it clobbers, so it gets its number again
        c.add(lambda _: packet.load(result, pointer, field, order, scratch=value), scratch=0)
    elif kind == "store":
        c.add(
            lambda _, **scratch: packet.store(pointer, field, number, order, **scratch or {"scratch": result}),
            scratch=0,
        )
    elif number is not value or field.size < 6:
        c.add(lambda fail: packet.match(pointer, field, number, fail=fail, scratch=result), scratch=0)


def on_ethernet(c):
    what = c.draw(st.integers(0, 4))
    result = c.free(1)[0]
    if what == 0:
        c.add(lambda fail, **s: ethernet.check(c.data, c.end, fail=fail, **s))
    elif what == 1:
        c.add(lambda _, **s: ethernet.swap(c.data, **s), scratch=2)
    elif what == 2:
        c.add(lambda _: packet.distance(result, c.data, c.draw(st.sampled_from([c.header, c.end]))), scratch=0)
    elif what == 3:
        size, offset = c.draw(st.integers(1, 60)), c.draw(st.integers(0, 60))
        c.add(lambda fail: bounds.window(result, c.data, offset, c.end, size, fail), scratch=0)
    else:
        any_field(c, c.data, [ethernet.SOURCE, ethernet.DESTINATION])


def place(c, size):
    return fp - 8 * c.draw(st.integers((size + 7) // 8, 16))


def on_ipv4(c):
    what = c.draw(st.integers(0, 6))
    result = c.free(1)[0]
    if what == 0:
        c.add(lambda fail, **s: ipv4.decrement_ttl(c.header, fail=fail, **s))
    elif what == 1:
        c.add(lambda fail, **s: ipv4.unfragmented(c.header, fail=fail, **s))
    elif what == 2:
        c.add(lambda _, **s: ipv4.swap(c.header, **s), scratch=2)
    elif what == 3:
        c.add(lambda _: ipv4.header_length(result, c.header), scratch=0)
    elif what == 4:
        at, mapped = place(c, 16), c.draw(st.booleans())
        c.add(lambda _, **s: ipv6.load_mapped(at, c.header, ipv4.SOURCE, mapped=mapped, **s))
    elif what == 5:
        c.add(lambda _, **s: nat.xdp_snat(c.header, None, protocol=None, address="10.0.0.9", **s), scratch=3)
    else:
        any_field(c, c.header, [ipv4.TTL, ipv4.TOS, ipv4.IDENTIFICATION, ipv4.SOURCE])


def on_ipv6(c):
    what = c.draw(st.integers(0, 5))
    at = place(c, 16)
    if what == 0:
        c.add(lambda fail, **s: ipv6.decrement_hop_limit(c.header, fail=fail, **s))
    elif what == 1:
        c.add(lambda _, **s: ipv6.swap(c.header, **s), scratch=2)
    elif what == 2:
        c.add(lambda _, **s: ipv6.load_address(at, c.header, ipv6.DESTINATION, **s))
    elif what == 3:
        c.add(lambda _, **s: ipv6.store_address(c.header, ipv6.DESTINATION, at, **s))
    elif what == 4:
        there = fp + (at.offset + (8 if at.offset < -16 else -24))
        c.add(lambda _, **s: ipv6.copy_address(there, at, **s))
    else:
        any_field(c, c.header, [ipv6.HOP_LIMIT, ipv6.PAYLOAD_LENGTH])


def on_transport(c, kind):
    module = MODULES[kind]
    what = c.draw(st.integers(0, 6))
    one, two = c.free(2)
    if what == 0:
        c.add(lambda _: module.ports(c.payload, source=one, destination=two), scratch=0)
    elif what == 1 and kind == "tcp":
        c.add(lambda fail, **s: tcp.is_syn(c.payload, fail=fail, **s))
    elif what == 2:
        c.add(lambda _, **s: transport.swap(c.payload, **s), scratch=2)
    elif what == 3:
        c.add(lambda fail: module.parse(c.payload, c.end, payload=one, fail=fail), scratch=0)
    elif what == 4:
        new = {"old": c.draw(st.sampled_from([one, 7])), "new": c.draw(st.sampled_from([two, 8]))}
        free = [register for register in c.spare if register not in (one, two)]
        c.add(
            lambda _: checksum.update(
                c.payload, module.CHECKSUM, **new, size=2, optional=kind == "udp", scratch=tuple(free[:2])
            ),
            scratch=0,
        )
    elif what == 5:
        c.add(lambda _, **s: checksum.fold(one, **s or {"scratch": two}), scratch=0)
    else:
        c.add(lambda _: checksum.negate(one), scratch=0)


def with_calls(c, kind):
    """The last blocks: they need the context where calls keep it, and lose all pointers to the packet."""
    new = {"address": "10.0.0.1", "port": 99}
    c.known -= {"data", "end", "header", "payload"}
    at = place(c, 16)
    c.add(lambda fail: nat.dnat(c.context, 14, 34, protocol=kind, **new, stack=at, fail=fail), scratch=0)
    c.add(lambda _: checksum.replace_l3(c.context, 24, 7, 8), scratch=0)
    c.add(lambda _: checksum.diff(at, 8, None, 0), scratch=0)
    c.add(lambda _: packet.pointers(c.data, c.end, c.context, "sched_cls"), results=("data", "end"), scratch=0)


@st.composite
def compositions(draw):
    prog_type = draw(st.sampled_from(["xdp", "sched_cls"]))
    version, kind = draw(st.sampled_from(sorted(PACKETS)))
    c = Composition(draw, prog_type)
    few = st.integers(0, 4)
    c.add(lambda _: packet.pointers(c.data, c.end, c.context, prog_type), results=("data", "end"), scratch=0)
    c.add(
        lambda fail: ethernet.parse(c.data, c.end, protocol=c.protocol, header=c.header, fail=fail),
        results=("protocol", "header"),
        scratch=0,
    )
    c.expect(ethernet.IPV4 if version == 4 else ethernet.IPV6)
    for _ in range(draw(few)):
        on_ethernet(c)
    module = ipv4 if version == 4 else ipv6
    c.add(
        lambda fail: module.parse(c.header, c.end, protocol=c.protocol, payload=c.payload, fail=fail),
        results=("protocol", "payload"),
        scratch=0,
    )
    if version == 6:
        c.add(
            lambda fail, **s: ipv6.extensions(c.payload, c.end, protocol=c.protocol, fail=fail, **s),
            results=("protocol", "payload"),
        )
    c.expect({"tcp": 6, "udp": 17}[kind])
    for _ in range(draw(few)):
        (on_ipv4 if version == 4 else on_ipv6)(c)
    c.add(lambda fail, **s: MODULES[kind].check(c.payload, c.end, fail=fail, **s))
    for _ in range(draw(few)):
        on_transport(c, kind)
    if version == 4:
        if draw(st.booleans()):
            c.add(
                lambda _, **s: nat.xdp_dnat(c.header, c.payload, protocol=kind, address="10.0.0.1", port=7, **s),
                scratch=3,
            )
        if prog_type == "sched_cls" and c.context.number >= 6 and {c.data.number, c.end.number} <= {6, 7, 8, 9}:
            with_calls(c, kind)
    return prog_type, PACKETS[version, kind], c.code(), c.blocks


@settings(max_examples=200, deadline=None)
@given(composition=compositions(), cut=st.integers(0, 60))
def test_compositions_load_and_change_only_what_they_say(composition, cut):
    prog_type, packets, code, _ = composition
    with fb.ProgramSpec(prog_type, code).load() as program:
        for data in packets:
            whole = program.test_run(data)
            assert whole.retval in (PASSED, FAILED)
            assert len(whole.data) == len(data)
            event("passed" if whole.retval == PASSED else "failed")
            assert program.test_run(data[: max(len(data) - cut, 58)]).retval in (PASSED, FAILED)


def test_the_tests_see_a_register_that_was_changed():
    # a block that says too little
    from fastbpf.blocks.block import block

    def lying(name):
        @settings(max_examples=20, deadline=None, database=None)
        @given(data=st.data())
        def run(data):
            c = Composition(data.draw, "xdp")
            victim = c.free(1)[0]
            parts = {"register": mov(victim, 1), "stack": stdw(fp, -64, 1)}[name]
            c.add(lambda _: block("lying", parts), scratch=0)
            with fb.ProgramSpec("xdp", c.code()).load() as program:
                assert program.test_run(bytes(64)).retval == CHANGED

        run()

    lying("register")
    lying("stack")
