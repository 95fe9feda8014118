"""Real connections through a router that translates addresses, made of blocks, between namespaces of this test's own.

client 10.77.0.1 — 10.77.0.254 router 10.78.0.254 — 10.78.0.2 server; who calls 10.77.9.9:80 reaches the server's 8080.
The receivers verify every checksum: the router's interfaces give packets that have theirs computed.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
from tests.kernel.namespaces import Namespace

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.blocks import ethernet, ipv4, nat, packet, tcp, udp

IP_RECVTTL = 12
PROBES = {"xdp": "xdp:{}", "sched_cls": "tc:{}:ingress"}

CLIENT, VIRTUAL, SERVER = "10.77.0.1", "10.77.9.9", "10.78.0.2"


def translator(prog_type, protocol, block):
    """What the router does with each packet of the protocol: `block` with r8, r9 the headers or, in tc, offsets."""
    action, drop = ("XDP_PASS", "XDP_DROP") if prog_type == "xdp" else ("TC_ACT_OK", "TC_ACT_SHOT")
    return assemble(
        mov(r5, r1),
        packet.pointers(r6, r7, r1, prog_type),
        ethernet.parse(r6, r7, protocol=r2, header=r8, fail="pass"),
        jne(r2, ethernet.IPV4, "pass"),
        ipv4.parse(r8, r7, protocol=r2, payload=r9, fail="drop"),
        jne(r2, {"tcp": ipv4.TCP, "udp": ipv4.UDP}[protocol], "pass"),
        ipv4.unfragmented(r8, fail="pass"),
        {"tcp": tcp, "udp": udp}[protocol].check(r9, r7, fail="drop"),
        block,
        label("pass"),
        packet.verdict(action),
        label("drop"),
        packet.verdict(drop),
    )


def router_programs(prog_type, protocol):
    """To the server: a new destination, one hop less. From it: the source that was called."""
    to_server = {"protocol": protocol, "address": SERVER, "port": 8080}
    to_client = {"protocol": protocol, "address": VIRTUAL, "port": 80}
    there = [packet.match(r8, ipv4.DESTINATION, VIRTUAL, fail="pass"), ipv4.decrement_ttl(r8, fail="drop")]
    back = packet.match(r8, ipv4.SOURCE, SERVER, fail="pass")
    if prog_type == "xdp":
        there, back = [there, nat.xdp_dnat(r8, r9, **to_server)], [back, nat.xdp_snat(r8, r9, **to_client)]
    else:
        offsets = [packet.distance(r3, r6, r8), packet.distance(r4, r6, r9), mov(r6, r5), mov(r7, r3), mov(r8, r4)]
        there = [there, offsets, nat.dnat(r6, r7, r8, **to_server, stack=fp - 16, fail="drop")]
        back = [back, offsets, nat.snat(r6, r7, r8, **to_client, stack=fp - 16, fail="drop")]
    return translator(prog_type, protocol, there), translator(prog_type, protocol, back)


@pytest.fixture
def network():
    with ExitStack() as made:
        client, router, server = (made.enter_context(closing(Namespace())) for _ in range(3))
        for host, device, subnet, address in ((client, "left", 77, CLIENT), (server, "right", 78, SERVER)):
            host.ip(f"link add {device} type veth peer name {device} netns {router.path}")
            host.ip(f"addr add {address}/24 dev {device}")
            router.ip(f"addr add 10.{subnet}.0.254/24 dev {device}")
            host.ip(f"link set {device} up")
            router.ip(f"link set {device} up")
            host.ip(f"route add default via 10.{subnet}.0.254")
        router.do(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
        yield client, router, server


@pytest.fixture
def routed(network, request):
    """The network with both programs on the router."""
    prog_type, protocol = request.param
    client, router, server = network
    for host, device in ((client, "left"), (server, "right")):
        router.offload(device, on=False)
        # XDP changes checksums as they are; the helpers of tc know of those that are still to be computed
        host.offload(device, on=prog_type == "sched_cls")
    with ExitStack() as made:
        for device, code in zip(("left", "right"), router_programs(prog_type, protocol), strict=True):
            program = made.enter_context(fb.ProgramSpec(prog_type, code).load())
            made.enter_context(router.do(partial(program.attach, PROBES[prog_type].format(device))))
        yield client, server


def each(protocol):
    return pytest.mark.parametrize("routed", [(kind, protocol) for kind in PROBES], indirect=True, ids=list(PROBES))


@each("tcp")
def test_a_connection_through_the_router(routed):
    client, server = routed
    sent = os.urandom(300_000)
    with server.socket(socket.SOCK_STREAM, (SERVER, 8080)) as listening:
        listening.listen()

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(10)
                while data := connection.recv(65536):
                    connection.sendall(data)

        with ThreadPoolExecutor(1) as other:
            answered = other.submit(answer)
            with client.socket(socket.SOCK_STREAM) as calling:
                calling.connect((VIRTUAL, 80))
                assert calling.getpeername() == (VIRTUAL, 80)
                sender = threading.Thread(target=lambda: (calling.sendall(sent), calling.shutdown(socket.SHUT_WR)))
                sender.start()
                received = b"".join(iter(lambda: calling.recv(65536), b""))
                sender.join()
            answered.result()
    assert received == sent


@each("udp")
def test_datagrams_through_the_router(routed):
    client, server = routed
    with server.socket(socket.SOCK_DGRAM, (SERVER, 8080)) as serving, client.socket(socket.SOCK_DGRAM) as calling:
        serving.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        calling.connect((VIRTUAL, 80))
        for sent in (b"", b"odd", *(os.urandom(n) for n in range(1, 1400, 93))):
            calling.send(sent)
            data, control, _, sender = serving.recvmsg(2000, 64)
            # one hop of the program, one of the router's kernel
            assert (data, sender[0], struct.unpack("i", control[0][2])[0]) == (sent, CLIENT, 62)
            serving.sendto(data[::-1], sender)
            assert calling.recv(2000) == sent[::-1]
