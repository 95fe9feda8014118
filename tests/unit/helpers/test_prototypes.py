"""The table of helpers is whole and agrees with itself; tests/kernel asks the kernel whether it is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbpf.helpers import names, prototypes
from fastbpf.helpers.prototypes import PROGRAM_TYPES, prototype

ALL = tuple(prototype(id) for id in range(1, 212))
POINTERS = {"map", "map_key", "map_value", "mem_read", "mem_write", "ctx", "ringbuf_mem", "func", "pointer"}
NUMBERS = {"size", "alloc_size", "scalar"}
RETURNS = {"scalar", "void", "map_value", "map_value_or_null", "ringbuf_mem_or_null", "pointer", "pointer_or_null"}


@pytest.mark.parametrize("id", [-1, 0, 212, 1 << 31])
def test_no_other_helpers(id):
    assert prototype(id) is None


def test_names_agree_with_the_names_of_listings():
    assert [p.name for p in ALL] == list(names.NAMES[1:])
    told = [(*(parameter.name for parameter in p.parameters), *(["..."] if p.variadic else [])) for p in ALL]
    assert told == list(names.PARAMETERS[1:])
    assert [p.id for p in ALL] == list(range(1, 212))
    assert names.NAMES[0] == "unspec"
    assert names.PARAMETERS[0] == ()


def test_ids_were_handed_out_in_order():
    versions = [p.since for p in ALL]
    assert versions == sorted(versions)
    assert [str(v) for v in (*versions[:4], versions[-1])] == ["3.19", "3.19", "3.19", "4.1", "6.2"]


@pytest.mark.parametrize("p", ALL, ids=lambda p: p.name)
def test_a_prototype_holds_together(p):
    assert p.returns_kind in RETURNS
    assert p.program_types
    assert p.program_types <= set(PROGRAM_TYPES)
    assert len(p.parameters) <= 5
    for parameter in p.parameters:
        is_pointer = parameter.type.endswith("*")
        assert parameter.kind in POINTERS | NUMBERS | {"unchecked"}
        assert is_pointer or parameter.kind in NUMBERS | {"unchecked"}
        assert not is_pointer or parameter.kind not in {"size", "alloc_size"}
        assert not parameter.zero_ok or parameter.kind == "size"
        assert not parameter.nullable or parameter.kind in POINTERS
        assert parameter.initialised or parameter.kind in {"map_value", "mem_write", "pointer"}
        if parameter.kind in {"mem_read", "mem_write"}:
            assert (parameter.size is None) != (parameter.size_index is None)
        else:
            assert parameter.size is parameter.size_index is None
        if parameter.kind == "mem_write":
            assert not parameter.type.startswith("const")
        if parameter.size_index is not None:
            assert p.parameters[parameter.size_index].kind == "size"
    sizes = [place for place, parameter in enumerate(p.parameters) if parameter.kind == "size"]
    assert sizes == [parameter.size_index for parameter in p.parameters if parameter.size_index is not None]
    if "*" in p.returns:
        assert p.returns_kind not in {"scalar", "void"}
    if p.returns == "void" and p.name != "set_hash_invalid":  # whose r0 the kernel lets a program read
        assert p.returns_kind == "void"


def test_what_is_acquired_can_be_released():
    acquired = {p.name: p.acquires for p in ALL if p.acquires}
    released = {p.name: p.releases for p in ALL if p.releases}
    assert set(acquired.values()) == set(released.values()) == {"ringbuf", "dynptr", "reference"}
    assert acquired["ringbuf_reserve"] == released["ringbuf_submit"] == released["ringbuf_discard"]
    assert acquired["sk_lookup_udp"] == released["sk_release"]


def test_allows():
    head = prototype(44)
    assert head.name == "xdp_adjust_head"
    assert [head.allows(t) for t in ("xdp", "sched_cls", "ext", "lsm")] == [True, False, None, None]
    assert all(prototype(5).allows(t) in {True, None} for t in PROGRAM_TYPES)
    with pytest.raises(ValueError, match=r"'sched_clss' is no program type; the nearest: sched_cls"):
        head.allows("sched_clss")


def test_the_table_is_written_one_way():
    """So that two people who edit it do not write the same fact differently."""
    header, *lines = Path(prototypes.__file__).with_name("helpers.tsv").read_text().splitlines()
    assert header.split("\t")[:7] == ["name", "since", "returns", "kind", "flags", "parameters", "program types"]
    assert header.split("\t")[7:] == ["category", "capability", "description"]
    assert len(lines) == 211
    for line in lines:
        types = line.split("\t")[6]
        words = types.split()
        leaves_out = words[0] == "all"
        assert leaves_out == (len(prototypes.types_of(types)) > len(PROGRAM_TYPES) / 2)
        listed = [word.removeprefix("-") for word in words[leaves_out:]]
        assert listed == sorted(listed, key=PROGRAM_TYPES.index)
