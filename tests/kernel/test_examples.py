"""Each example runs by its one command, and what it prints is what has to happen."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP, Ether
from scapy.layers.inet6 import IPv6

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name):
    command = [sys.executable, EXAMPLES / f"{name}.py"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture
def packets(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return import_module("packets")


def test_map_counter():
    assert run("map_counter") == ["packets", "from 10.0.0.1: 3", "from 10.0.0.2: 1", "from 192.168.7.7: 40"]


def test_event_emitter():
    *events, rest = run("event_emitter")
    # a socket filter sees packets from their IP header on: 20 and 8 bytes, and what is in them
    assert [re.sub(r" at \S+:", ":", line) for line in events] == [
        f"an event of type 1: {28 + size} bytes" for size in (0, 100, 1000)
    ]
    had, had_not = map(int, re.fullmatch(r"of 1000 more, (\d+) had room, (\d+) did not", rest).groups())
    assert had + had_not == 1000
    assert had >= 4096 // 24 - 1  # each record has a header of 8 bytes


def test_weighted_balancer():
    said = [
        re.fullmatch(r"(\w+): (\d+) of 1000000 = .*%, wanted (\d+) %", line).groups()
        for line in run("weighted_balancer")
    ]
    assert [(name, int(weight)) for name, _, weight in said] == [("small", 30), ("large", 50), ("spare", 20)]
    assert sum(int(count) for _, count, _ in said) == 1_000_000
    # ten standard deviations of a million throws are half a percent at most
    assert all(abs(int(count) - 10_000 * int(weight)) < 5_000 for _, count, weight in said)


def test_nat():
    assert run("nat") == [
        "before: 192.168.0.7:51234 -> 198.51.100.2:443 (checksums: IPv4 right, TCP right)",
        "after:  203.0.113.1:40000 -> 198.51.100.2:443 (checksums: IPv4 right, TCP right)",
        "UDP is left alone: True",
    ]


def test_dual_stack_key():
    assert run("dual_stack_key") == ["5 packets of 10.1.2.3, as ::ffff:10.1.2.3", "7 packets of 2001:db8::17"]


def test_conntrack_key():
    assert run("conntrack_key") == [
        "TCP 10.0.0.1:5000 -> 10.0.0.2:443: 3 packets",
        "TCP 10.0.0.1:5001 -> 10.0.0.2:443: 4 packets",
        "UDP 10.0.0.1:5000 -> 10.0.0.2:443: 5 packets",
        "UDP [2001:db8::1]:5000 -> [2001:db8::2]:53: 6 packets",
    ]


def test_xdp_rate_limiter():
    lines = run("xdp_rate_limiter")
    at_once = int(re.fullmatch(r"10\.0\.0\.1 sends 1000 at once: (\d+) pass", lines[0])[1])
    assert lines[1] == "10.0.0.2 sends 50 at once: 50 pass"
    seconds, later = re.fullmatch(r"10\.0\.0\.1 sends 1000 more, (.+) s after it began: (\d+) pass", lines[2]).groups()
    assert at_once >= 200
    # no more than flowed in since it began, and no less than while it slept, if the bucket was not full again
    assert 49 <= int(later) <= 1000
    assert at_once + int(later) <= 200 + 100 * float(seconds) + 1


def test_configured_rate_limiter():
    assert run("configured_rate_limiter") == [
        "no limits: 100 of 100 pass",
        "20 for a sender: 20 of 100 pass",
        "and 50 for a backend: 20 20 10 0 of 100 each pass",
        "no limits again: 100 of 100 pass",
    ]


def test_wall_clock():
    lines = run("wall_clock")
    said = [re.fullmatch(r"Linux (\S+): (\w+) says \S+ \S+, (\S+) ms before Python", line).groups() for line in lines]
    assert [name for _, name, _ in said][1:] == ["ktime_get_boot_ns", "ktime_get_ns"]
    running = tuple(map(int, re.match(r"(\d+)\.(\d+)", os.uname().release).groups()))
    assert said[0][:2] == (
        f"{running[0]}.{running[1]}",
        "ktime_get_tai_ns" if running >= (6, 1) else "ktime_get_boot_ns" if running >= (5, 8) else "ktime_get_ns",
    )
    # a minute off would be leap seconds, hours time zones, years another clock
    assert all(abs(float(milliseconds)) < 5_000 for *_, milliseconds in said)


def test_helper_practices():
    lines = run("helper_practices")
    assert [line[0] for line in lines if line[0] != " "] == [*"12333", "4", *"555", "6", *"77"]
    assert lines[0].endswith(": agrees")
    assert "number 5 is ktime_get_ns" in lines[2]
    assert [line.rpartition(" ")[2] for line in lines[3:6]] == ["yes", "no", "no"]
    known, allowed = map(int, re.search(r"(\d+) helpers known, (\d+) allowed", lines[6]).groups())
    assert allowed > 50
    assert abs(known - allowed) < 10
    assert lines[-3].endswith(f"returns user {os.getuid()}")
    assert lines[-1] == "7. on Linux 5.4: call bpf_ktime_get_ns#5"


def test_every_example_is_tested_and_told():
    names = {file.stem for file in EXAMPLES.glob("*.py")} - {"packets"}
    assert {name.removeprefix("test_") for name in globals() if name.startswith("test_")} >= names
    told = (EXAMPLES / "README.md").read_text()
    assert {name for name in names if f"[{name}]({name}.py)" in told} == names


@pytest.mark.parametrize("data", [b"", b"x", b"hello, world"])
def test_the_packets_are_those_of_scapy(packets, data):
    ether = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
    ends = {"src": "10.0.0.1", "dst": "192.168.0.2"}
    old = IP(**ends, id=0)
    assert packets.udp_packet(*ends.values(), (4000, 53), data) == bytes(ether / old / UDP(sport=4000, dport=53) / data)
    segment = TCP(sport=5, dport=443, seq=1, window=65535, flags="S")
    assert packets.tcp_packet(*ends.values(), (5, 443), data) == bytes(ether / old / segment / data)
    ends = {"src": "2001:db8::1", "dst": "2001:db8::2"}
    new = IPv6(**ends)
    assert packets.udp_packet(*ends.values(), (4000, 53), data) == bytes(ether / new / UDP(sport=4000, dport=53) / data)
    assert packets.tcp_packet(*ends.values(), (5, 443), data) == bytes(ether / new / segment / data)
