"""What blocks for packets say of themselves, and what they refuse."""

import inspect

import pytest

from fastbpf import blocks
from fastbpf.asm import *
from fastbpf.blocks import (
    bounds,
    checksum,
    ethernet,
    header,
    icmp,
    ipv4,
    ipv6,
    nat,
    packet,
    tcp,
    transport,
    udp,
)
from fastbpf.blocks.block import Block

MODULES = (bounds, packet, ethernet, ipv4, ipv6, transport, tcp, udp, icmp, checksum, nat)
PORT = packet.HeaderField("port", 0, 2)

# one of each, its results and its scratch registers among r0 to r5 and r9, its operands r6 to r8
EVERY = {
    "bounds.check": bounds.check(r6, r7, 0, 14, "no"),
    "bounds.window": bounds.window(r9, r6, r8, r7, 14, "no"),
    "packet.pointers": packet.pointers(r2, r3, r6, "xdp"),
    "packet.verdict": packet.verdict(1),
    "packet.distance": packet.distance(r2, r6, r8),
    "packet.load": packet.load(r2, r6, PORT),
    "packet.store": packet.store(r6, PORT, r7),
    "packet.match": packet.match(r6, PORT, 80, fail="no"),
    "packet.swap": packet.swap(r6, ipv6.SOURCE, ipv6.DESTINATION),
    "ethernet.check": ethernet.check(r6, r7, fail="no"),
    "ethernet.parse": ethernet.parse(r6, r7, protocol=r2, header=r9, fail="no"),
    "ethernet.swap": ethernet.swap(r6),
    "ipv4.check": ipv4.check(r6, r7, fail="no"),
    "ipv4.parse": ipv4.parse(r6, r7, protocol=r2, payload=r9, fail="no"),
    "ipv4.header_length": ipv4.header_length(r2, r6),
    "ipv4.unfragmented": ipv4.unfragmented(r6, fail="no"),
    "ipv4.decrement_ttl": ipv4.decrement_ttl(r6, fail="no"),
    "ipv4.swap": ipv4.swap(r6),
    "ipv6.check": ipv6.check(r6, r7, fail="no"),
    "ipv6.parse": ipv6.parse(r6, r7, protocol=r2, payload=r9, fail="no"),
    "ipv6.extensions": ipv6.extensions(r9, r7, protocol=r2, fail="no"),
    "ipv6.decrement_hop_limit": ipv6.decrement_hop_limit(r6, fail="no"),
    "ipv6.load_address": ipv6.load_address(fp - 16, r6, ipv6.SOURCE),
    "ipv6.load_mapped": ipv6.load_mapped(fp - 16, r6, ipv4.SOURCE),
    "ipv6.copy_address": ipv6.copy_address(fp - 16, fp - 32),
    "ipv6.store_address": ipv6.store_address(r6, ipv6.SOURCE, fp - 16),
    "ipv6.swap": ipv6.swap(r6),
    "transport.check": transport.check(r6, r7, fail="no"),
    "transport.ports": transport.ports(r6, source=r2, destination=r3),
    "transport.swap": transport.swap(r6),
    "tcp.check": tcp.check(r6, r7, fail="no"),
    "tcp.parse": tcp.parse(r6, r7, payload=r9, fail="no"),
    "tcp.flags": tcp.flags(r6, present=tcp.FIN, fail="no"),
    "udp.check": udp.check(r6, r7, fail="no"),
    "udp.parse": udp.parse(r6, r7, payload=r9, fail="no"),
    "icmp.check": icmp.check(r6, r7, fail="no"),
    "icmp.parse": icmp.parse(r6, r7, type=r2, payload=r9, fail="no"),
    "checksum.replace_l3": checksum.replace_l3(r6, 24, r7, r8),
    "checksum.replace_l4": checksum.replace_l4(r6, 24, r7, r8),
    "checksum.diff": checksum.diff(None, 0, r7, 4),
    "checksum.fold": checksum.fold(r2),
    "checksum.negate": checksum.negate(r2),
    "checksum.update": checksum.update(r6, tcp.CHECKSUM, r7, r8),
    "nat.dnat": nat.dnat(r6, 14, 34, protocol="tcp", address=r7, port=r8, stack=fp - 16, fail="no"),
    "nat.snat": nat.snat(r6, 14, 34, protocol="udp", address=r7, stack=fp - 8, fail="no"),
    "nat.rewrite": nat.rewrite(r6, r7, r8, protocol="udp", source=r1, source_port=r2, stack=fp - 16, fail="no"),
    "nat.xdp_dnat": nat.xdp_dnat(r6, r7, protocol="tcp", address=r8),
    "nat.xdp_snat": nat.xdp_snat(r6, r7, protocol="tcp", port=r8),
    "nat.xdp_rewrite": nat.xdp_rewrite(r6, r7, protocol="udp", source=r8, destination_port=80),
}
SHORT_FOR = {"tcp.is_syn": "tcp.flags", "tcp.is_syn_ack": "tcp.flags"}
SHORT_FOR |= {f"{module}.{name}": f"transport.{name}" for module in ("tcp", "udp") for name in ("ports", "swap")}


def public():
    for module in MODULES:
        short = module.__name__.rpartition(".")[2]
        yield from (f"{short}.{name}" for name in module.__all__ if inspect.isfunction(getattr(module, name)))


def written(insn):
    """The registers that an instruction writes, by its class of opcode."""
    kind = insn.opcode & 7
    if kind in (0, 1, 4, 7):  # loads, arithmetic
        return {insn.dst}
    return set(range(6)) if insn.opcode == 0x85 else set()


def test_every_function_is_among_these():
    assert {SHORT_FOR.get(name, name) for name in public()} == EVERY.keys()


@pytest.mark.parametrize("name", EVERY)
def test_a_block_says_its_name_and_what_it_writes(name):
    block = EVERY[name]
    assert type(block) is Block
    assert block.name == name
    code = assemble(block, label("no"), exit_())
    inside = [insn for slot, insn in code.placed() if slot < len(code) - 1]
    numbers = set().union(*(written(insn) for insn in inside))
    assert [register.number for register in block.clobbers] == sorted(numbers)
    stores = [insn.off for insn in inside if insn.opcode & 7 in (2, 3) and insn.dst == 10]
    assert bool(stores) == (block.stack is not None)
    if block.stack:
        assert min(stores) == block.stack[0]
        assert max(stores) < block.stack[1]
    if block.fails_to:
        with pytest.raises(AsmError, match=r'there is no label\("no"\)'):
            assemble(block, exit_())
    else:
        assert assemble(block, exit_())


@pytest.mark.parametrize("name", [name for name, block in EVERY.items() if block.fails_to])
def test_a_block_stands_twice_in_a_program(name):
    block = EVERY[name]
    once, twice = assemble(block, label("no"), exit_()), assemble(block, block, label("no"), exit_())
    assert len(twice) == 2 * len(once) - 1
    assert twice.labels == {"no": len(twice) - 1}


@pytest.mark.parametrize("name", ["found", "done", "none", "no: found", "out: done"])
def test_no_label_of_ours_is_in_the_way(name):
    for make in (
        lambda fail: ethernet.parse(r6, r7, protocol=r2, header=r9, fail=fail),
        lambda fail: ipv6.extensions(r9, r7, protocol=r2, fail=fail),
    ):
        one, other = assemble(make("a"), label("a"), exit_()), assemble(make(name), label(name), exit_())
        assert bytes(one) == bytes(other)


@pytest.mark.parametrize("name", list(public()))
def test_the_documentation_tells_all(name):
    module, _, function = name.partition(".")
    text = getattr(getattr(blocks, module), function).__doc__
    # what is short for another sends its readers there
    told = "See `" in text or all(word in text for word in ("Emits", "Clobbers:", "Stack:"))
    assert told or module in ("tcp", "udp")
    assert ">>>" in text


def test_scratch_registers_are_chosen_or_given():
    assert bounds.check(r0, r5, 0, 14, "no").clobbers == (r4,)
    assert bounds.check(r6, r7, 0, 14, "no", scratch=r9).clobbers == (r9,)
    assert checksum.update(r0, tcp.CHECKSUM, r5, r4).clobbers == (r2, r3)
    four = {"source": r1, "source_port": r2, "destination": r3, "destination_port": r4}
    assert nat.xdp_rewrite(r8, r9, protocol="tcp", **four, scratch=(r0, r5, r7)).clobbers == (r0, r5, r7)
    assert nat.xdp_dnat(r8, r9, protocol="tcp", address=r1, scratch=(r2, r3, r4)).clobbers == (r2, r3, r4)


def test_pseudo_header_and_mangled_0_get_into_the_flags():
    def flags(block):
        return [insn.imm for insn in assemble(block) if insn.opcode == 0xB7 and insn.dst == 5]

    skb = {"mark_mangled_0": True, "mark_enforce": True, "ipv6": True, "pseudo": True}
    assert flags(checksum.replace_l4(r6, 50, 1, 2, **skb)) == [4 | 0x10 | 0x20 | 0x40 | 0x80]
    for protocol, mangled in (("tcp", 0), ("udp", 0x20)):
        # the address counts in both headers, the port in one; a store has no flags
        block = nat.dnat(r6, 14, 34, protocol=protocol, address=1, port=2, stack=fp - 16, fail="no")
        assert flags([block, label("no"), exit_()]) == [4 | 0x10 | mangled, 4, 2 | mangled, 0, 0]
    assert flags(
        [nat.dnat(r6, 14, None, protocol=None, address=1, stack=fp - 16, fail="no"), label("no"), exit_()]
    ) == [4, 0]


REFUSED = {
    "scratch is data": (lambda: bounds.check(r6, r7, 0, 14, "no", scratch=r6), "scratch=r6 is in use"),
    "scratch is end": (lambda: bounds.check(r6, r7, 0, 14, "no", scratch=r7), "scratch=r7 is in use"),
    "scratch is fp": (lambda: ethernet.check(r6, r7, fail="no", scratch=fp), "cannot be written"),
    "data is end": (lambda: bounds.check(r6, r6, 0, 14, "no"), "data and end are both r6"),
    "too far": (lambda: bounds.check(r6, r7, 65530, 14, "no"), "further than the verifier follows"),
    "nothing": (lambda: bounds.check(r6, r7, 0, 0, "no"), "the size must be from 1"),
    "before": (lambda: bounds.check(r6, r7, -1, 1, "no"), "the offset must be from 0"),
    "no register": (lambda: bounds.check(6.0, r7, 0, 14, "no"), "data is 6.0, not a register"),
    "no label": (lambda: bounds.window(r1, r6, 0, r7, 4, 5), "cannot name a label"),
    "no pointers": (lambda: packet.pointers(r6, r7, r1, "kprobe"), 'type "kprobe" have no pointers'),
    "nearly xdp": (lambda: packet.pointers(r6, r7, r1, "xpd"), 'did you mean "xdp"'),
    "one pointer": (lambda: packet.pointers(r6, r6, r1, "xdp"), "both r6"),
    "no action": (lambda: packet.verdict("XDP_PAS"), 'did you mean "XDP_PASS"'),
    "action in small letters": (lambda: packet.verdict("xdp_pass"), 'did you mean "XDP_PASS"'),
    "a list of types": (lambda: packet.pointers(r6, r7, r1, ["xdp"]), "have no pointers"),
    "a list of protocols": (lambda: nat.xdp_dnat(r8, r9, protocol=["tcp"], port=1), 'not "tcp", "udp" or None'),
    "no scratch left": (
        lambda: nat.xdp_rewrite(r8, r9, protocol="tcp", source=r1, source_port=r2, destination=r3, destination_port=r4),
        "only r0 and r5 of r0 to r5 are free; name 3 with scratch=",
    ),
    "no field": (lambda: packet.load(r2, r6, 12), "12 is not a field"),
    "16 bytes": (lambda: packet.load(r2, r6, ipv6.SOURCE), "ipv6.SOURCE has 16 bytes"),
    "no order": (lambda: packet.load(r2, r6, PORT, order="big"), 'neither "host" nor "network"'),
    "a port too high": (lambda: packet.match(r6, tcp.SOURCE, 65536, fail="no"), "from 0 to 65535, not 65536"),
    "a port below 0": (lambda: packet.store(r6, tcp.SOURCE, -1), "from 0 to 65535"),
    "no address": (lambda: packet.store(r6, ipv4.SOURCE, "10.0.0.256"), "is not an IPv4 address"),
    "no MAC": (lambda: packet.store(r6, ethernet.SOURCE, "02:00"), "is not a MAC address"),
    "text for a port": (lambda: packet.store(r6, tcp.SOURCE, "http"), "is not a number"),
    "two sizes": (lambda: packet.swap(r6, ipv4.SOURCE, tcp.SOURCE), "not two fields of the same size"),
    "one field": (lambda: packet.swap(r6, ipv4.SOURCE, ipv4.SOURCE), "not two fields of the same size"),
    "one scratch": (lambda: ethernet.swap(r6, scratch=(r0,)), "not a tuple of 2 registers"),
    "the same twice": (lambda: ethernet.swap(r6, scratch=(r0, r0)), "scratch=r0 is in use"),
    "header is data": (
        lambda: ethernet.parse(r6, r7, protocol=r2, header=r6, fail="no"),
        "data and header are both r6",
    ),
    "nine tags": (lambda: ethernet.parse(r6, r7, protocol=r2, header=r8, fail="no", tags=9), "the number of tags"),
    "payload is header": (lambda: ipv4.parse(r6, r7, protocol=r2, payload=r6, fail="no"), "header and payload"),
    "protocol is end": (lambda: ipv6.parse(r6, r7, protocol=r7, payload=r8, fail="no"), "end and protocol"),
    "ninth header": (lambda: ipv6.extensions(r6, r7, protocol=r2, fail="no", most=9), "of extension headers"),
    "off the stack": (lambda: ipv6.load_address(fp - 8, r6, 8), "the highest is fp - 16"),
    "below the stack": (lambda: ipv6.load_address(fp - 516, r6, 8), "not within the stack"),
    "not on the stack": (lambda: ipv6.load_address(r6 + 8, r6, 8), "is not on the stack"),
    "not aligned": (lambda: ipv6.load_mapped(fp - 18, r6, 8), "aligned to 4 bytes"),
    "onto itself": (lambda: ipv6.copy_address(fp - 16, fp - 16), "both addresses are at"),
    "no ports": (lambda: tcp.ports(r6), "say where to put the ports"),
    "one port": (lambda: tcp.ports(r6, source=r2, destination=r2), "both r2"),
    "set and clear": (lambda: tcp.flags(r6, present=3, absent=1, fail="no"), "none that must be both"),
    "no flags": (lambda: tcp.flags(r6, fail="no"), "flags that must be"),
    "3 bytes": (lambda: checksum.replace_l3(r6, 24, r7, r8, 3), "the size must be 2 or 4 bytes, not 3"),
    "5 bytes": (lambda: checksum.diff(None, 0, r7, 5), "must be a multiple of 4"),
    "516 bytes": (lambda: checksum.diff(None, 0, r7, 516), "from 0 to 512"),
    "NULL": (lambda: checksum.diff(None, 4, r7, 4), "None goes with 0 bytes"),
    "nothing there": (lambda: checksum.diff(r6, 0, r7, 4), "None goes with 0 bytes"),
    "diff above the stack": (lambda: checksum.diff(None, 0, fp - 4, 8), "what new is of 8 bytes at fp - 4 is not"),
    "diff at fp": (lambda: checksum.diff(fp, 4, None, 0), "not within the stack"),
    "a seed too wide": (lambda: checksum.diff(None, 0, r7, 4, 1 << 32), "the seed must be from 0"),
    "enforce alone": (
        lambda: checksum.replace_l4(r6, 50, r7, r8, mark_enforce=True),
        "mark_enforce=True does nothing without mark_mangled_0=True",
    ),
    "a port too wide": (lambda: checksum.replace_l4(r6, 50, 0x10000, r8, 2), "old, a number of 2 bytes, must be from"),
    "an address too wide": (lambda: checksum.replace_l3(r6, 24, r7, 1 << 32), "new, a number of 4 bytes, must be"),
    "no checksum": (lambda: checksum.update(r6, ipv4.TTL, 1, 2), "ipv4.TTL is not a checksum's field"),
    "sctp": (lambda: nat.xdp_dnat(r8, r9, protocol="sctp", port=1), 'not "tcp", "udp" or None'),
    "no change": (lambda: nat.xdp_dnat(r8, r9, protocol="tcp"), "give a new address"),
    "port of nothing": (lambda: nat.xdp_dnat(r8, None, protocol=None, port=1), 'only "tcp" and "udp" have ports'),
    "no transport": (lambda: nat.xdp_dnat(r8, None, protocol="tcp", port=1), "None is not a register"),
    "volatile": (
        lambda: nat.dnat(r1, 14, 34, protocol="tcp", port=1, stack=fp - 8, fail="no"),
        "skb=r1 does not last: calls lose r0 to r5",
    ),
    "volatile offset": (
        lambda: nat.dnat(r6, 14, r2, protocol="tcp", port=1, stack=fp - 8, fail="no"),
        "transport=r2 does not last",
    ),
    "no offset": (
        lambda: nat.dnat(r6, 14, None, protocol="tcp", port=1, stack=fp - 8, fail="no"),
        "None is not",
    ),
    "little stack": (
        lambda: nat.dnat(r6, 14, 34, protocol="tcp", address=1, port=1, stack=fp - 8, fail="no"),
        "the highest is fp - 16",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_where_it_is_written(name):
    make, text = REFUSED[name]
    with pytest.raises(AsmError) as refused:
        make()
    assert text in str(refused.value)
    assert str(refused.value).startswith("test_packets.py:")


def test_fields_are_offsets_too():
    assert ldxb(r2, r8, ipv4.TTL) == ldxb(r2, r8, 8)
    assert repr(ipv4.TTL) == "ipv4.TTL"
    assert header.HeaderField("a", 1, 2) == header.HeaderField("a", 1, 2)


def test_the_context_may_be_where_a_pointer_gets():
    assert [*assemble(packet.pointers(r1, r2, r1, "xdp"))] == [ldxw(r2, r1, 4), ldxw(r1, r1, 0)]
    assert [*assemble(packet.pointers(r2, r1, r1, "xdp"))] == [ldxw(r2, r1, 0), ldxw(r1, r1, 4)]
