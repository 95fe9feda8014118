"""Each refusal names the instruction as it was written, and the file and line that wrote it."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest

from fastbpf.asm import *
from fastbpf.errors import Error, KernelError, LayoutError, ProbeError, StreamError, VerifierError, WhereError

HERE = Path(__file__).name


class FakeMap:
    __bpf_map__ = True
    name = "counts"

    def __iter__(self):
        raise AssertionError("nobody asked for the keys")


counts = FakeMap()
far = [mov(r0, 0)] * 40_000

# what is wrong, the instruction as the error must write it, what the error must say about it
WHILE_WRITING = [
    (lambda: add(r1, 5_000_000_000), "add(r1, 5000000000)", "put it into a register with const()"),
    (lambda: and_(r1, 0xFFFF_FFFF), "and_(r1, 4294967295)", "mov32(r1, r1)"),
    (lambda: mov(r1, 1 << 31), "mov(r1, 2147483648)", "const(r1, 2147483648)"),
    (lambda: mov32(r1, 1 << 32), "mov32(r1, 4294967296)", "-2**31 to 2**32 - 1"),
    (lambda: jeq(r1, 1 << 31, "x"), 'jeq(r1, 2147483648, "x")', "put it into a register with const()"),
    (lambda: jeq32(r1, 1 << 32, "x"), 'jeq32(r1, 4294967296, "x")', "-2**31 to 2**32 - 1"),
    (lambda: const(r1, 1 << 64), "const(r1, 18446744073709551616)", "64 bits"),
    (lambda: lddw(r1, -(1 << 63) - 1), "lddw(r1, -9223372036854775809)", "64 bits"),
    (lambda: lsh(r1, 64), "lsh(r1, 64)", "from 0 to 63"),
    (lambda: arsh32(r1, 32), "arsh32(r1, 32)", "from 0 to 31"),
    (lambda: rsh(r1, -1), "rsh(r1, -1)", "from 0 to 63"),
    (lambda: and_(r2, 0xFFFF0000), "and_(r2, 4294901760)", "and32(r2, 0xffff0000) gives what this would"),
    (lambda: jne(r2, 0xC0A80001, "a"), "jne(r2, 3232235521,", "jne32(r2, 0xc0a80001, …) takes it"),
    (lambda: ld_btf_id(r1, "a b"), 'ld_btf_id(r1, "a b")', "name of a function or a variable"),
    (lambda: call_kfunc(0), "call_kfunc(0)", "from 1 to 2147483647"),
    (lambda: piece(label("a"), export=[5]), "piece(", "5 cannot name a label"),
    (lambda: div(r1, 0), "div(r1, 0)", "division by the number 0"),
    (lambda: smod32(r1, 0), "smod32(r1, 0)", "division by the number 0"),
    (lambda: mov(r10, 1), "mov(fp, 1)", "r10 (fp) cannot be written"),
    (lambda: be16(fp), "be16(fp)", "r10 (fp) cannot be written"),
    (lambda: const(fp, 1 << 40), "const(fp, 1099511627776)", "r10 (fp) cannot be written"),
    (lambda: const("r1", 5), 'const("r1", 5)', "is not a register"),
    (lambda: Register(11), "there is no register 11", "0 to 10"),
    (lambda: ldxw(fp, r1, 0), "ldxw(fp, r1, 0)", "r10 (fp) cannot be written"),
    (lambda: atomic_xchg(r1, 0, fp), "atomic_xchg(r1, 0, fp)", "r10 (fp) cannot be written"),
    (lambda: mov("r1", 1), 'mov("r1", 1)', '"r1" is not a register'),
    (lambda: mov(1, r1), "mov(1, r1)", "1 is not a register"),
    (lambda: mov(r1, True), "mov(r1, True)", "True is not a register or a number"),
    (lambda: mov(r1, 1.0), "mov(r1, 1.0)", "1.0 is not a register or a number"),
    (lambda: mov(r1, fp - 8), "mov(r1, fp - 8)", "mov(r2, fp), add(r2, -8)"),
    (lambda: mov(r1, counts), "mov(r1, counts)", "ld_map"),
    (lambda: movsx8(r1, 5), "movsx8(r1, 5)", "5 is not a register"),
    (lambda: ldxdw(r1, r2, 1 << 15), "ldxdw(r1, r2, 32768)", "the offset must be from -32768 to 32767"),
    (lambda: stxdw(fp, "8", r1), 'stxdw(fp, "8", r1)', '"8" is not an integer'),
    (lambda: stb(fp, -1, 256), "stb(fp, -1, 256)", "from -128 to 255"),
    (lambda: stdw(fp, -8, 1 << 31), "stdw(fp, -8, 2147483648)", "stxdw"),
    (lambda: atomic_add(r1, 0, r2, size="u8"), 'atomic_add(r1, 0, r2, size="u8")', 'sizes are "u32", "u64"'),
    (lambda: load_acquire(r1, r2, 0, size=8), "load_acquire(r1, r2, 0, size=8)", "8 is not a size"),
    (lambda: ld_map(r1, 5), "ld_map(r1, 5)", "5 is not a map"),
    (lambda: ld_map(r1, FakeMap), "ld_map(r1, <class '", "is not a map"),
    (lambda: ld_map_value(r1, counts, -1), "ld_map_value(r1, counts, -1)", "from 0 to 536870911"),
    (lambda: ja(1 << 15), "ja(32768)", "from -32768 to 32767"),
    (lambda: gotol(1 << 31), "gotol(2147483648)", "from -2147483648 to 2147483647"),
    (lambda: jne(r1, 0, ""), 'jne(r1, 0, "")', "cannot name a label"),
    (lambda: label(5), "label(5)", "cannot name a label"),
    (lambda: call_id(-1), "call_id(-1)", "from 0 to 2147483647"),
    (
        lambda: call.map_lookup_elem(r1),
        "call.map_lookup_elem(r1)",
        "map_lookup_elem(map, key) takes 2 arguments, not 1",
    ),
    (lambda: call.ktime_get_ns(r1), "call.ktime_get_ns(r1)", "takes 0 arguments, not 1"),
    (lambda: call.trace_printk(r1), "call.trace_printk(r1)", "takes 2 to 5 arguments, not 1"),
    (lambda: call.redirect("x", 0), 'call.redirect("x", 0)', '"x" cannot be an argument'),
    (lambda: call.redirect(1 << 64, 0), "call.redirect(18446744073709551616, 0)", "64 bits"),
    (lambda: call.redirect(fp - (1 << 40), 0), "call.redirect(fp - 1099511627776, 0)", "does not fit"),
    (lambda: call.map_lookup_elm, "call.map_lookup_elm", 'did you mean "map_lookup_elem"'),
    (lambda: call.bpf_ktime_get_ns, "call.bpf_ktime_get_ns", 'did you mean "ktime_get_ns"'),
    (lambda: Instruction(0x100), "Instruction(0x100)", "does not fit"),
    (lambda: Instruction(0xB7, imm=1.5), "Instruction(0xb7, imm=1.5)", "is not an integer"),
    (lambda: Instruction("a"), 'Instruction("a")', "is not an integer"),
    (lambda: Code([jeq(r1, 0, "x"), exit_()]), 'jeq(r1, 0, "x")', "assemble() resolves labels"),
    (lambda: Code([label("x"), exit_()]), 'label("x")', "assemble() resolves labels"),
    (lambda: Code([]), "code has at least ", "one instruction"),
    (lambda: assemble(circle()), "the parts are nested too deeply", "contains itself"),
    (lambda: piece(circle()), "the parts are nested too deeply, ", "contains itself"),
    (lambda: Instruction(0x07, dst=-1), "Instruction(0x07, dst=-1)", "does not fit"),
    (lambda: Instruction(0x07, imm=1 << 31), "Instruction(0x07, imm=2147483648)", "does not fit"),
]


def circle() -> list[object]:
    parts: list[object] = [exit_()]
    parts.append(parts)
    return parts


# the same, with the slot of the instruction
WHILE_ASSEMBLING = [
    (lambda: assemble(exit_(), ja("exot"), label("exit")), 1, 'ja("exot")', 'no label("exot"); did you mean "exit"?'),
    (lambda: assemble(lddw(r0, 0), label("a"), label("a")), 2, 'label("a")', f"the label stands at {HERE}:"),
    (lambda: assemble(ja("a"), far, label("a"), exit_(), kernel="6.5"), 0, 'ja("a")', "is of Linux 6.6"),
    (lambda: assemble(jeq(r1, 0, "a"), far, label("a"), exit_(), kernel="5.10"), 0, 'jeq(r1, 0, "a")', "call_sub"),
    (lambda: assemble(exit_(), piece(label("in")), ja("in")), 1, 'ja("in")', 'no label("in")'),
    (lambda: assemble(exit_(), piece(label("ab"), export=["a"])), 1, "piece(…", 'did you mean "ab"'),
    (lambda: assemble(label("two"), exit_(), piece(label("two"), export="two")), 1, 'label("two")', "stands at"),
    (lambda: assemble(exit_(), "exit"), 1, '"exit" is not an instruction', 'label("exit")'),
    (lambda: assemble(exit_(), counts), 1, "counts is not an instruction", "a label"),
    (lambda: assemble(exit_(), Label("b"), Label("b")), 1, 'label("b")', "stands at instruction 1 already"),
    (lambda: assemble(exit_(), exit_), 1, "exit_ is not an instruction until", "called"),
    (lambda: assemble(exit_(), [None]), 1, "None is not an instruction", "iterable"),
    (lambda: assemble(exit_(), b"\x95"), 1, "b'\\x95' is not an instruction", "iterable"),
]


def refusal(wrong) -> str:
    with pytest.raises(AsmError) as caught:
        wrong()
    message = str(caught.value)
    place = f"{HERE}:{wrong.__code__.co_firstlineno}: "
    assert message.startswith(place)
    return message.removeprefix(place)


@pytest.mark.parametrize(("wrong", "written", "reason"), WHILE_WRITING, ids=[case[1] for case in WHILE_WRITING])
def test_writing_a_bad_instruction(wrong, written: str, reason: str) -> None:
    message = refusal(wrong)
    assert message.startswith(written)
    assert reason in message.removeprefix(written)


@pytest.mark.parametrize(
    ("wrong", "slot", "written", "reason"), WHILE_ASSEMBLING, ids=[case[2] for case in WHILE_ASSEMBLING]
)
def test_assembling_bad_parts(wrong, slot: int, written: str, reason: str) -> None:
    message = refusal(wrong)
    assert message.startswith(f"instruction {slot}: {written}")
    assert reason in message


@pytest.mark.parametrize("parts", [(), ([], ()), (label("a"),)])
def test_assembling_nothing(parts: tuple[object, ...]) -> None:
    with pytest.raises(AsmError, match=rf"{HERE}:\d+: assemble\(\) needs at least one instruction"):
        assemble(*parts)


def test_a_version_is_looked_at_also_when_nothing_is_far() -> None:
    with pytest.raises(ValueError, match="banana"):
        assemble(exit_(), kernel="banana")


def test_slots_are_given_one_at_a_time() -> None:
    with pytest.raises(TypeError, match=r"slice\(0, 2, None\) is not a slot; list\(code\)"):
        assemble(exit_())[0:2]


def test_every_error_is_one_of_the_family_and_of_the_builtins() -> None:
    kin = {AsmError: ValueError, ProbeError: ValueError, WhereError: ValueError, LayoutError: TypeError}
    kin |= {KernelError: OSError, VerifierError: OSError, StreamError: RuntimeError}
    for ours, theirs in kin.items():
        assert issubclass(ours, Error)
        assert issubclass(ours, theirs)


def test_where_errors_point_at_the_column() -> None:
    assert str(WhereError("no such field", "a == pod", 5)) == "no such field\na == pod\n     ^"
    assert str(WhereError("ends too soon", "a ==", 4)) == "ends too soon\na ==\n    ^"
    assert str(WhereError("no such field", "(a and\n\tpod\n)", 8)) == "no such field\n(a and\n\tpod\n\t^\n)"
    error = pickle.loads(pickle.dumps(WhereError("no such field", "pod", 0)))
    assert (error.message, error.text, error.column) == ("no such field", "pod", 0)


def test_kernel_errors_carry_their_number_and_say_their_sentence() -> None:
    error = KernelError(errno.EPERM, "run as root")
    assert (error.errno, error.strerror, str(error)) == (errno.EPERM, "run as root", "run as root")
    error = pickle.loads(
        pickle.dumps(VerifierError(errno.EACCES, "r1 is not set", ("0: exit", "R0 !read_ok"), source="a.py:12"))
    )
    assert (error.errno, str(error), error.log, error.source) == (
        errno.EACCES,
        "r1 is not set",
        ("0: exit", "R0 !read_ok"),
        "a.py:12",
    )
    assert VerifierError(errno.EACCES, "refused").log == ()
