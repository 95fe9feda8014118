"""Maps that somebody else made: by path, number, descriptor and name; judged by bpf(2) alone and by bpftool."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.raw_bpf import Btf, RawMap, Setting, bpf, loaded

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.maps import loaded_maps, possible_cpus
from fastbpf.maps.prefix import Prefix

OBJ_PIN = 6


@pytest.fixture(scope="module")
def bpffs(tmp_path_factory):
    """A bpffs of our own."""
    folder = tmp_path_factory.mktemp("bpffs")
    subprocess.run(["mount", "-t", "bpf", "bpf", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def bpftool(*arguments):
    done = subprocess.run(["bpftool", "-j", *map(str, arguments)], capture_output=True, check=True)
    return json.loads(done.stdout)


class Where(fb.Struct):
    address: fb.ipv4
    port: fb.port
    flags: fb.bits(fb.u8, 3)
    kind: fb.bits(fb.u8, 5)


class Plain(fb.Struct):
    count: fb.u64
    delta: fb.i32
    name: fb.char[16]
    when: fb.u64[2]
    verdict: fb.enum({"drop": 0, "pass": 1})


class Seen(Plain):
    ratio: fb.f64
    where: Where
    two: Where[2]


where = Where(address="10.0.0.1", port=80, flags=5, kind=9)
seen = Seen(count=7, delta=-1, name="bash", when=(1, 2), verdict="pass", ratio=0.5, where=where, two=(where, where))


def test_a_pinned_map_is_read_as_it_was_described(bpffs):
    path = bpffs / "seen"
    with fb.MapSpec("hash", key=fb.u32, value=Seen, max_entries=10, name="seen").create() as made:
        made[3] = seen
        made.pin(path)
    with fb.Map.open(path) as map:
        # what an address is, C does not say
        told = [
            (name, at, code.replace("=ipv4", "=u32be").replace("=port", "=u16be")) for name, at, code in Seen.columns()
        ]
        assert map.spec.value.columns() == told
        assert map.spec.value.size == Seen.size
        read = map[3]
        assert read.pack() == seen.pack()
        assert (read.verdict, read.name, read.where.address, read.two[1].kind) == ("pass", "bash", 0x0A000001, 9)
        assert (map.spec.type, map.spec.name, map.spec.max_entries) == ("hash", "seen", 10)
        map[4] = read
        map.unpin(path)
        assert not path.exists()
        assert sorted(map) == [3, 4]


def test_bpftool_prints_fields_by_their_names(bpffs):
    with fb.MapSpec("hash", key=Where, value=Plain, max_entries=10, name="seen").create() as map:
        map[where] = Plain(count=7, delta=-1, name="bash", when=(1, 2), verdict="pass")
        (entry,) = bpftool("map", "dump", "id", map.id)
        told = entry["formatted"]
        assert told["key"] == {
            "address": int.from_bytes(bytes([10, 0, 0, 1]), "little"),
            "port": 0x5000,
            "flags": "0x5",
            "kind": "0x9",
        }
        value = told["value"]
        assert (value["count"], value["delta"], value["name"], value["when"]) == (7, -1, "bash", [1, 2])
        assert value["verdict"] == "pass"


plain = st.sampled_from(
    [
        *(fb.u8, fb.u16, fb.u32, fb.u64, fb.i8, fb.i16, fb.i32, fb.i64, fb.be16, fb.be32, fb.be64, fb.f32, fb.f64),
        *(fb.bool8, fb.char[5], fb.u16[3], fb.i64[2], fb.bits(fb.u32, 7), fb.bits(fb.i16, 3)),
        *(fb.enum({"a": -1, "b": 3}, fb.i32), fb.enum({"x": 1, "y": 2**40}, fb.u64)),
    ]
)
structs = st.lists(plain, min_size=1, max_size=8).map(
    lambda kinds: fb.Struct.of("Made", {f"f{n}": kind for n, kind in enumerate(kinds)})
)


@settings(max_examples=60, deadline=None)
@given(structs | structs.map(lambda one: fb.Struct.of("Outer", {"a": fb.u8, "inner": one, "many": one[2]})))
def test_what_the_kernel_was_told_is_what_it_tells(layout):
    with fb.MapSpec("array", value=layout, max_entries=1, name="told").create() as made:
        assert made.info.btf_id
        with fb.Map.from_fd(made.fileno()) as found:
            assert found.spec.value.size == layout.size
            assert found.spec.value.columns() == layout.columns()


def compiled():
    """A struct as a compiler describes it: typedef'd, nested, with an enum and a bitfield."""
    btf = Btf()
    u32, u64 = btf.int(), btf.int("unsigned long long", 8)
    inner = btf.struct("inner", 8, ("low", u32, 0), ("high", u32, 4))
    key = btf.int("int")
    return btf, key, btf.struct("outer", 24, ("count", u64, 0), ("pair", inner, 8), ("last", u64, 16))


@pytest.mark.parametrize("way", ["path", "id", "fd", "name"])
def test_a_map_of_others_has_their_fields(bpffs, way):
    with RawMap("hash", 4, 24, 5, types=compiled()) as raw:
        value = pack("<QIIQ", 5, 6, 7, 8)
        raw.update(pack("<i", 9), value)
        (number,) = {one.id for one in loaded_maps()} & {int(_fdinfo(raw.fd)["map_id"])}
        if way == "path":
            path = bpffs / "raw"
            text = ctypes.create_string_buffer(os.fsencode(path))
            bpf(OBJ_PIN, pack("<QII", ctypes.addressof(text), raw.fd, 0))
            map = fb.Map.open(path)
        elif way == "id":
            map = fb.Map.from_id(number)
        elif way == "fd":
            map = fb.Map.from_fd(raw.fd)
        else:
            with fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=1, name="only_this_one").create() as named:
                with fb.Map.from_name("only_this_one") as found:
                    assert found.id == named.id
            return
        with map:
            assert map.id == number
            assert (map[9].count, map[9].pair.low, map[9].pair.high, map[9].last) == (5, 6, 7, 8)
            map[2] = map[9]
            assert raw.lookup(pack("<i", 2)) == value
        if way == "path":
            path.unlink()
        # the descriptor is still the other's
        assert raw.lookup(pack("<i", 9)) == value


def _fdinfo(fd):
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_a_map_without_types_has_bytes_or_what_is_said():
    with RawMap("hash", 6, 12, 5) as raw:
        raw.update(b"abcdef", pack("<IQ", 1, 2))
        with fb.Map.from_fd(raw.fd) as map:
            assert dict(map) == {b"abcdef": pack("<IQ", 1, 2)}
        with fb.Map.from_fd(raw.fd, key=fb.mac, value=fb.u32[3]) as map:
            assert dict(map) == {"61:62:63:64:65:66": (1, 2, 0)}
        with pytest.raises(
            fb.LayoutError, match=r"a value of map \d+ \(no name, hash\) has 12 bytes, and fb.u64 has 8"
        ):
            fb.Map.from_fd(raw.fd, value=fb.u64)
        with pytest.raises(fb.LayoutError, match=r"a key of map .* has 6 bytes, and Where has 8"):
            fb.Map.from_fd(raw.fd, key=Where)
        with pytest.raises(fb.LayoutError, match="key='u32': give a type"):
            fb.Map.from_fd(raw.fd, key="u32")
    with RawMap("lpm_trie", 8, 4, 5, flags=1) as raw, fb.Map.from_fd(raw.fd, key=fb.ipv4, value=fb.u32) as map:
        map["10.0.0.0/8"] = 1
        assert map.spec.key == Prefix(fb.ipv4)
        assert raw.lookup(pack("<I4B", 32, 10, 1, 2, 3)) == pack("<I", 1)


def test_per_cpu_values_of_a_found_map():
    with RawMap("percpu_hash", 4, 4, 5) as raw, fb.Map.from_fd(raw.fd, key=fb.u32, value=fb.u32) as map:
        map[1] = list(range(possible_cpus()))
        assert raw.lookup(pack("<I", 1))[: 8 * possible_cpus()] == b"".join(
            pack("<Q", n) for n in range(possible_cpus())
        )


def test_what_is_not_there_or_no_map(bpffs, tmp_path):
    with pytest.raises(fb.KernelError, match="cannot open .*nothing: no such file") as missing:
        fb.Map.open(bpffs / "nothing")
    assert missing.value.errno == errno.ENOENT
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(fb.KernelError, match="cannot open .*file"):
        fb.Map.open(file)
    with pytest.raises(fb.KernelError, match="there is no map 4294967295"):
        fb.Map.from_id(2**32 - 1)
    with file.open() as opened, pytest.raises(fb.LayoutError, match=r"descriptor \d+ is no map, but .*file"):
        fb.Map.from_fd(opened.fileno())
    with pytest.raises(fb.KernelError, match="descriptor -1") as bad:
        fb.Map.from_fd(-1)
    assert bad.value.errno == errno.EBADF
    with loaded(Setting("socket_filter"), assemble(mov(r0, 0), exit_())) as program:
        with pytest.raises(fb.LayoutError, match="is no map, but bpf-prog"):
            fb.Map.from_fd(program)
        path = bpffs / "program"
        text = ctypes.create_string_buffer(os.fsencode(path))
        bpf(OBJ_PIN, pack("<QII", ctypes.addressof(text), program, 0))
        with pytest.raises(fb.LayoutError, match=r"program is no map, but bpf-prog"):
            fb.Map.open(path)
        path.unlink()


def test_names_of_several_and_of_none():
    spec = fb.MapSpec("array", value=fb.u32, max_entries=1, name="same_name_twice")
    with spec.create() as one, spec.create() as two:
        with pytest.raises(fb.LayoutError, match=f"2 maps .*{one.id} .array., {two.id} .array.: use fb.Map.from_id"):
            fb.Map.from_name("same_name_twice")
        with pytest.raises(fb.LayoutError, match="no map 'same_name_twic'; did you mean same_name_twice"):
            fb.Map.from_name("same_name_twic")


def test_pins_that_cannot_be(bpffs, tmp_path):
    with fb.MapSpec("array", value=fb.u32, max_entries=1).create() as map:
        with pytest.raises(fb.KernelError, match="mount -t bpf bpf /sys/fs/bpf") as refused:
            map.pin(tmp_path / "map")
        assert refused.value.errno == errno.EPERM
        map.pin(bpffs / "map")
        with pytest.raises(fb.KernelError) as twice:
            map.pin(bpffs / "map")
        assert twice.value.errno == errno.EEXIST
        with fb.MapSpec("array", value=fb.u32, max_entries=1).create() as other:
            with pytest.raises(fb.LayoutError, match=f"is .* with the number {map.id}, not"):
                other.unpin(bpffs / "map")
        assert (bpffs / "map").exists()
        map.unpin(bpffs / "map")


def test_info_is_what_bpftool_tells():
    spec = fb.MapSpec("hash", key=fb.u32, value=Seen, max_entries=10, name="known", flags=1, numa_node=0)
    with spec.create() as map:
        told, info = bpftool("map", "show", "id", map.id), map.info
        assert (info.id, info.type, info.name, info.flags) == (told["id"], told["type"], told["name"], told["flags"])
        assert (info.key_size, info.value_size) == (told["bytes_key"], told["bytes_value"])
        assert (info.max_entries, info.memory) == (told["max_entries"], told["bytes_memlock"])
        assert (info.btf_id, info.frozen) == (told["btf_id"], bool(told["frozen"]))
        assert info in loaded_maps()
    assert info not in loaded_maps()


def test_nobody_changes_a_frozen_map():
    with fb.MapSpec("array", value=fb.u32, max_entries=1).create() as map:
        map[0] = 5
        map.freeze()
        assert (map.info.frozen, map[0]) == (True, 5)
        with pytest.raises(fb.KernelError, match="is frozen, or") as refused:
            map[0] = 6
        assert refused.value.errno == errno.EPERM
        with pytest.raises(fb.KernelError, match="is frozen already"):
            map.freeze()
        assert map[0] == 5


def test_programs_use_maps_of_others():
    inner = fb.MapSpec("array", value=fb.u64, max_entries=1)
    outer = fb.MapSpec("hash_of_maps", key=fb.u32, inner=inner, max_entries=2, name="outer")
    counts = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=2, name="counts")
    code = assemble(
        stw(fp, -4, 0),
        call.map_lookup_elem(outer, fp - 4),
        jeq(r0, 0, "out"),
        call.map_lookup_elem(r0, fp - 4),
        jeq(r0, 0, "out"),
        stdw(r0, 0, 33),
        stdw(fp, -16, 44),
        call.map_update_elem(counts, fp - 4, fp - 16, 0),
        label("out"),
        mov(r0, 0),
        exit_(),
    )
    with outer.create() as first, inner.create() as one, counts.create() as second:
        first[0] = one
        with fb.Map.from_id(first.id) as mine, fb.Map.from_id(second.id) as other:
            with fb.ProgramSpec("socket_filter", code).load({"outer": mine, "counts": other}) as program:
                program.test_run(bytes(64))
            with pytest.raises(fb.LayoutError, match="the map that is given is a hash with"):
                fb.ProgramSpec("socket_filter", code).load({"outer": other})
        assert (one[0], dict(second)) == (33, {0: 44})
