"""Layouts of the running kernel's structs, judged by what bpftool reads from its BTF."""

import json
import subprocess

import pytest

import fastbpf as fb
from fastbpf.record.bits import Bits

BTF = "/sys/kernel/btf/vmlinux"
_NAMED = (
    "task_struct",
    "sk_buff",
    "file",
    "iphdr",
    "tcphdr",
    "net_device",
    "bpf_prog",
    "pt_regs",
    "list_head",
    "inode",
)


@pytest.fixture(scope="module")
def types():
    done = subprocess.run(
        ["bpftool", "-j", "btf", "dump", "file", BTF, "format", "raw"], capture_output=True, check=True
    )
    return {one["id"]: one for one in json.loads(done.stdout)["types"]}


def resolve(types, number):
    names = set()
    while types[number]["kind"] in {"TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG"}:
        names.add(types[number]["name"])
        number = types[number]["type_id"]
    return types[number], names


def size_of(types, number):
    one, _ = resolve(types, number)
    if one["kind"] == "ARRAY":
        return one["nr_elems"] * size_of(types, one["type_id"])
    return 8 if one["kind"] == "PTR" else one["size"]


def members(types, one, base=0):
    """(name, bit, width of a bitfield or 0, type) of what has a name and bytes, anonymous structs passed through."""
    for member in one["members"]:
        bit = base + member["bits_offset"]
        inner, _ = resolve(types, member["type_id"])
        if member["name"] == "(anon)" and inner["kind"] == "STRUCT":
            yield from members(types, inner, bit)
        elif member["name"] != "(anon)" and size_of(types, member["type_id"]):
            yield member["name"], bit, member.get("bitfield_size", 0), member["type_id"]


def compare(types, ours, one):
    assert ours.size == one["size"]
    told = list(members(types, one))
    assert [name for name in ours.fields if not name.startswith("union_")] == [
        name for name, *_ in told if not name.startswith("union_")
    ]
    for name, bit, width, kind in told:
        field = ours.fields[name]
        resolved, names = resolve(types, kind)
        if width:
            assert isinstance(field, Bits)
            assert (8 * ours.offset(name) + field.bit, field.width) == (bit, width)
            continue
        assert (8 * ours.offset(name), field.size) == (bit, size_of(types, kind))
        if resolved["kind"] == "INT" and resolved["size"] <= 8 and resolved["encoding"] != "BOOL":
            assert field.code.startswith("i" if resolved["encoding"] == "SIGNED" else "u")
            assert field.code.endswith("be") == bool(names & {"__be16", "__be32", "__be64"})
        elif resolved["kind"] in {"ENUM", "ENUM64"} and resolved["vlen"]:
            signed = resolved["encoding"] == "SIGNED"
            bits = 8 * resolved["size"]
            numbers = {one["name"]: one["val"] % (1 << bits) for one in resolved["values"]}
            assert {name: number % (1 << bits) for name, number in field.names.items()} == numbers
            assert field.base.code.startswith("i" if signed else "u")
        elif resolved["kind"] == "STRUCT" and field.code.startswith("struct"):
            compare(types, field.struct, resolved)


def once(types):
    """The structs whose name only one has."""
    found = {}
    for one in types.values():
        if one["kind"] == "STRUCT" and one["name"] != "(anon)":
            found.setdefault(one["name"], []).append(one)
    return {name: several[0] for name, several in found.items() if len(several) == 1}


@pytest.mark.parametrize("name", _NAMED)
def test_every_member_is_where_bpftool_says(types, name):
    compare(types, fb.Struct.from_btf(f"struct {name}"), once(types)[name])


def test_any_struct_can_be_read(types):
    # Each 25th, which takes seconds; those without members have nothing to read.
    chosen = [one for _, one in sorted(once(types).items()) if any(members(types, one))][::25]
    assert len(chosen) > 100
    for one in chosen:
        ours = fb.Struct.from_btf(f"struct {one['name']}")
        compare(types, ours, one)
        # Rust takes what Python has made of it; how deep it nests is bounded there.
        assert ours.schema.names == list(ours.fields)
        assert ours.unpack(bytes(ours.size)).pack() == bytes(ours.size)


def test_the_kernel_as_a_file_is_the_same(types):
    assert fb.Struct.from_btf("struct list_head", BTF).columns() == fb.Struct.from_btf("list_head").columns()


def test_names_that_the_kernel_does_not_have():
    with pytest.raises(fb.LayoutError, match="the running kernel has no struct task_strct; did you mean .*task_struct"):
        fb.Struct.from_btf("struct task_strct")


def test_structs_that_share_a_name(types):
    counts = {}
    for one in types.values():
        if one["kind"] == "STRUCT" and one["name"] != "(anon)":
            counts.setdefault(one["name"], set()).add(one["size"])
    name = next(name for name, sizes in counts.items() if len(sizes) > 1)
    with pytest.raises(fb.LayoutError, match=f"different struct {name}, of .* bytes"):
        fb.Struct.from_btf(f"struct {name}")
