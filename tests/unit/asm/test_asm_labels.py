"""Labels that belong to a piece, and branches to labels that are far away."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbpf.asm import *

FILL = mov(r0, 0)


def test_a_piece_is_used_twice() -> None:
    loop = piece(label("again"), sub(r6, 1), jne(r6, 0, "again"))
    code = assemble(mov(r6, 5), loop, mov(r6, 9), loop, label("again"), exit_())
    assert [insn.off for insn in code if insn.opcode == jne(r6, 0, 0).opcode] == [-2, -2]
    assert code.labels == {"again": 6}


def test_a_piece_branches_to_what_it_stands_in() -> None:
    inner = piece(jeq(r1, 0, "near"), jeq(r2, 0, "far"), label("near"))
    middle = piece(inner, inner, FILL, label("far"), FILL)
    assert [insn.off for insn in assemble(middle, label("near"), label("far"), exit_())] == [1, 3, 1, 1, 0, 0, 0]
    # the innermost label of that name
    assert assemble(label("a"), piece(piece(ja("a")), label("a")), exit_())[0] == ja(0)


def test_an_exported_label_is_seen_from_outside() -> None:
    code = assemble(ja("in"), piece(FILL, piece(label("in"), exit_(), export=["in"]), export="in"), FILL, ja("in"))
    assert [code[0], code[4]] == [ja(1), ja(-3)]
    assert code.labels == {"in": 2}


def test_an_iterator_in_a_piece_is_not_used_up() -> None:
    twice = piece(insn for insn in (FILL, FILL))
    assert len(assemble(twice, twice)) == 4


def test_code_is_a_part_and_keeps_its_labels_to_itself() -> None:
    inner = assemble(label("a"), jeq(r1, 0, "a"), exit_())
    assert assemble(inner) is inner
    code = assemble(inner, label("a"), inner, ja("a"))
    assert [insn.distance for insn in code] == [-1, None, -1, None, -3]
    assert code.labels == {"a": 2}


def test_a_callback_is_counted_from_the_first_of_two_slots() -> None:
    # kernel/bpf/verifier.c, add_subprog_and_kfunc: the subprogram begins at slot + imm + 1
    code = assemble(FILL, ld_func(r2, "each"), exit_(), label("each"), FILL, ld_func(r2, "each"), exit_())
    assert [insn.distance for insn in code if insn.slots == 2] == [2, -2]
    assert bytes(code)[8:24].hex(" ", 4) == "18420000 02000000 00000000 00000000"
    assert bytes(code)[40:56].hex(" ", 4) == "18420000 feffffff 00000000 00000000"


def test_the_edges_of_a_branch() -> None:
    assert assemble(ja("a"), [FILL] * 0x7FFF, label("a"), exit_())[0] == ja(0x7FFF)
    assert assemble(ja("a"), [FILL] * 0x8000, label("a"), exit_())[0] == gotol(0x8000)
    assert list(assemble(label("a"), [FILL] * 0x7FFF, ja("a")))[-1] == ja(-0x8000)
    assert list(assemble(label("a"), [FILL] * 0x8000, ja("a")))[-1] == gotol(-0x8001)
    assert assemble(ja("a"), [FILL] * 0x7FFF, label("a"), exit_(), kernel="5.10")[0] == ja(0x7FFF)


def test_a_far_branch_goes_around_a_gotol() -> None:
    far = [FILL] * 40_000
    code = assemble(jeq(r1, 5, "a"), jset32(r1, r2, "a"), may_goto("a"), far, label("a"), exit_())
    assert [code[slot] for slot in range(8)] == [
        *(jne(r1, 5, 1), gotol(40_006)),
        *(jset32(r1, r2, 1), ja(1), gotol(40_003)),
        *(may_goto(1), ja(1), gotol(40_000)),
    ]
    assert code.labels == {"a": 40_008}


def test_the_lines_stay() -> None:
    branch = jeq(r1, 5, "a")
    code = assemble(branch, [FILL] * 40_000, label("a"), exit_())
    assert code.source(0) == code.source(1) == branch.source


NEAR = [
    ja,
    lambda to: jgt(r1, 7, to),
    lambda to: jset(r1, 7, to),
    may_goto,
    gotol,
]
# Lengths that put distances around the reach of a branch.
lengths = st.sampled_from([0, 1, 2, 3, 0x3FFE, 0x3FFF, 0x4000, 0x7FF8, 0x7FFC, 0x7FFD, 0x7FFE, 0x7FFF])


def ends(code: Code) -> dict[int, int]:
    """Where each branch that was written goes in the end, by its number: in slots behind the marker of a block."""
    markers = {insn.imm: slot for slot, insn in code.placed() if insn.opcode == 0xB7 and insn.dst == 9}
    places = {slot: mark for mark, slot in markers.items()}
    found: dict[int, int] = {}
    insns = dict(code.placed())
    for mark, slot in markers.items():
        at = slot + 1
        insn = insns[at]
        opposite = insn.opcode == 0xB5  # jle, for jgt
        if opposite:
            assert insn.off == 1
            at += 1
        elif at + 1 in insns and insns[at + 1].opcode == 0x05:
            assert (insn.off, insns[at + 1].off) == (1, 1)
            at += 2
        distance = insns[at].distance
        assert distance is not None
        found[mark] = places[at + 1 + distance]
    return found


@settings(max_examples=60, deadline=None)
@given(blocks=st.lists(st.tuples(lengths, st.integers(0, 9), st.integers(0, 4), st.booleans()), min_size=2, max_size=9))
def test_every_branch_gets_where_it_was_sent(blocks: list[tuple[int, int, int, bool]]) -> None:
    parts, wanted, begins = [], {}, []
    slot = 0
    for length, *_ in blocks:
        begins.append(slot)
        slot += length + 2
    for number, (length, to, kind, by_number) in enumerate(blocks):
        wanted[number] = to % len(blocks)
        # a distance in slots, if it can be one as written
        distance = begins[wanted[number]] - (begins[number] + 2)
        target = distance if by_number and -0x8000 <= distance < 0x8000 else f"block{wanted[number]}"
        parts += [label(f"block{number}"), mov(r9, number), NEAR[kind](target), [FILL] * length]
    code = assemble(parts)
    assert ends(code) == wanted
    short = [insn.distance for insn in code if insn.opcode in (0x05, 0xE5, 0x25, 0xB5, 0x45)]
    assert all(-0x8000 <= distance < 0x8000 for distance in short)


def test_a_label_at_the_end_is_kept() -> None:
    assert assemble(ja("end"), exit_(), label("end")).labels == {"end": 2}


@pytest.mark.parametrize("slot", [-1, 3, 1 << 40])
def test_a_slot_that_is_not_there(slot: int) -> None:
    with pytest.raises(IndexError, match="in code of 3"):
        assemble(lddw(r0, 1), exit_())[slot]


def test_a_piece_stays_as_it_was_made() -> None:
    parts = [mov(r0, 0), iter([FILL, FILL])]
    once = piece(parts, exit_())
    parts.insert(0, mov(r1, 1))
    assert len(assemble(once)) == len(assemble(once)) == 4
    assert hash(once) == hash(piece([mov(r0, 0), FILL, FILL], exit_())) != hash(piece(exit_()))
    assert once == piece([mov(r0, 0), FILL, FILL], exit_())


def test_where_pieces_stand() -> None:
    inner = piece(FILL)
    outer = piece(inner, lddw(r1, 1 << 40), inner)
    assert assemble(FILL, outer, exit_()).pieces == ((1, 5, outer), (1, 2, inner), (4, 5, inner))
