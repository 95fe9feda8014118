"""Code as text: how it is shown, what is read, and what is refused. The kernel and LLVM judge the words elsewhere."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastbpf.asm import *
from fastbpf.asm.text import parse
from fastbpf.asm.text.writer import write


@dataclass(frozen=True)
class Named:
    name: str
    __bpf_map__ = True


COUNTS, SEEN = Named("counts"), Named("seen")


def program() -> Code:
    return assemble(
        ld_map(r1, COUNTS),
        [mov(r2, fp), add(r2, -8)],
        call_id(1),
        jeq(r0, 0, "exit"),
        ld_map_value(r3, SEEN, 8),
        call_sub("sub"),
        label("exit"),
        [mov(r0, 0), exit_()],
        label("sub"),
        [lddw(r0, 0x123456789ABCDEF), exit_()],
    )


SHOWN = """\
   0: (18) r1 = map[counts]
   2: (bf) r2 = r10
   3: (07) r2 += -8
   4: (85) call bpf_map_lookup_elem#1
   5: (15) if r0 == 0x0 goto pc+3       ; exit
   6: (18) r3 = map[seen][0]+8
   8: (85) call pc+2                    ; sub
exit:
   9: (b7) r0 = 0
  10: (95) exit
sub:
  11: (18) r0 = 0x123456789abcdef
  13: (95) exit"""


def test_a_program_is_shown_as_the_kernel_does() -> None:
    assert str(program()) == SHOWN


def test_it_is_read_back() -> None:
    code = parse(SHOWN, {"counts": COUNTS, "seen": SEEN})
    assert (code, code.labels) == (program(), {"exit": 9, "sub": 11})
    assert code.maps == (COUNTS, SEEN)
    assert str(code[11].source) == "<text>:12"
    assert code[11].source == Source("<text>", 12)


def test_with_bytes_and_sources() -> None:
    code = assemble(mov(r0, 1), exit_())
    text = code.text(bytes=True, sources=True)
    line = next(
        number
        for number, text in enumerate(Path(__file__).read_text().splitlines(), 1)
        if "assemble(mov(r0, 1), exit_())" in text
    )
    assert text.splitlines() == [
        f"; code = assemble(mov(r0, 1), exit_()) @ test_asm_text.py:{line}",
        "   0: (b7) r0 = 1",
        "       b7 00 00 00 01 00 00 00",
        "   1: (95) exit",
        "       95 00 00 00 00 00 00 00",
    ]
    assert parse(text) == code
    wide = assemble(lddw(r1, -2), exit_()).text(bytes=True)
    assert wide.splitlines()[1] == "       18 01 00 00 fe ff ff ff 00 00 00 00 ff ff ff ff"
    code = assemble(Instruction(0x95, source=Source("/not/there.py", 3)))
    assert code.text(sources=True) == "; @ there.py:3\n   0: (95) exit"


def test_maps_that_have_no_name_or_the_same() -> None:
    anonymous, twin = Named(""), Named("counts")
    maps = (COUNTS, twin, anonymous, Named("map1"))
    code = assemble([ld_map(r1, map) for map in maps], exit_())
    # by identity: two maps may be equal and yet be two
    names = re.findall(r"map\[(\w+)\]", str(code))
    assert len(set(names)) == len({id(map) for map in code.maps})
    assert names[0] == "counts"
    assert parse(str(code), dict(zip(names, maps, strict=True))) == code


@pytest.mark.parametrize(
    "name", ["end", "LBB0_2", ".Lend", "a$b", "my loop", 'say "no"', "größe", "pc+1", "r1 = 5", "0", "a;b", "x#y"]
)
def test_any_label_is_read_back(name: str) -> None:
    code = assemble(jeq(r1, 0, name), [call_sub(name)], label(name), label("other"), exit_())
    assert (parse(str(code)), parse(str(code)).labels) == (code, {name: 2, "other": 2})
    quoted = re.search(r"; (.*)", str(code))[1]
    again = parse(f"if r1 == 0 goto {quoted}\ncall {quoted}\n{quoted}: other: exit")
    assert (again, again.labels) == (code, code.labels)


def one(text: str, **how: object) -> Instruction:
    (insn,) = parse(text, **how)
    return insn


@pytest.mark.parametrize(
    ("text", "insn"),
    [
        # the kernel's
        ("(18) r1 = 0x5", lddw(r1, 5)),
        ("r1 = 0x123456789abcdef", lddw(r1, 0x123456789ABCDEF)),
        ("(18) r1 = 0xffffffffffffffff", lddw(r1, -1)),
        ("r1 = 0xffffffffffffffff", lddw(r1, -1)),
        ("r1 = 0xffffffff80000000", lddw(r1, -(1 << 31))),
        ("r1 = -0x80000001", lddw(r1, -(1 << 31) - 1)),
        ("(b7) r1 = 5", mov(r1, 5)),
        ("if r0 == 0xffffffff goto pc-1", jeq(r0, -1, -1)),
        ("if w1 s> 0xffffffff goto pc-3", jsgt32(r1, -1, -3)),
        ("w1 += -8", add32(r1, -8)),
        ("w1 &= 0xffffffff", and32(r1, -1)),
        ("r7 = bswap32 r7", bswap32(r7)),
        ("gotol pc+70000", gotol(70_000)),
        ("r1 = addr_space_cast(r2, 0, 1)", addr_space_cast(r1, r2, 0, 1)),
        ("r0 = *(u8 *)skb[r7 + 2]", ldindb(r7, 2)),
        ("r0 = *(u8 *)skb[r7 + -2]", ldindb(r7, -2)),
        ("call bpf_ktime_get_ns#5", call_id(5)),
        ("call unknown#700", call_id(700)),
        ("call pc+7", call_sub(7)),
        ("call pc+7#bpf_prog_6deef7357e7b4530_F", call_sub(7)),
        ("call kernel-function#12345", call_kfunc(12345)),
        ("call kernel-function#12345@2", Instruction(0x85, src=2, off=2, imm=12345)),
        ("call bpf_task_from_pid#kfunc", call_kfunc("bpf_task_from_pid")),
        # what the kernel has put in the place of a helper
        ("call bpf_get_prandom_u32#-56789", call_id(7)),
        ("call unknown#-56789", Instruction(0x85, imm=-56789)),
        ("r1 = &(void __percpu *)(r2)", Instruction(0xBF, 1, 2, -1)),
        ("nospec", Instruction(0xC2)),
        # maps, functions, variables
        ("r1 = map[fd:5]", Instruction(0x18, 1, 1, imm=5)),
        ("r1 = map[fd:5][0]+8", Instruction(0x18, 1, 2, imm=5 | 8 << 32)),
        ("r1 = map[idx:2]", ld_map_index(r1, 2)),
        ("r1 = map[idx:2][0]+8", ld_map_index_value(r1, 2, 8)),
        # as bpftool has it
        ("r1 = map[idx:2]+8", ld_map_index_value(r1, 2, 8)),
        ("r1 = subprog[+5]", ld_func(r1, 5)),
        ("r1 = btf[id:1234]", ld_btf_id(r1, 1234)),
        ("r1 = btf[id:1234][fd:7]", Instruction(0x18, 1, 3, imm=1234 | 7 << 32)),
        ("r1 = btf[bpf_prog_active]", ld_btf_id(r1, "bpf_prog_active")),
        # LLVM's
        ("goto +1", ja(1)),
        ("r1 = 5 ll", lddw(r1, 5)),
        ("r1 = 0x5", mov(r1, 5)),
        ("*(u64 *)(r10 - 16) = r0", stxdw(fp, -16, r0)),
        ("*(u64 *)(r10 - 0x10) = r0", stxdw(fp, -16, r0)),
        ("*(u32 *)(r10 + 0) = w0", stxw(fp, 0, r0)),
        ("*(u32 *)(r10 + -8) = w0", stxw(fp, -8, r0)),
        ("*(u32 *)(r10+-0x8) = w0", stxw(fp, -8, r0)),
        ("w2 = xchg32_32(r1 + -8, w2)", atomic_xchg(r1, -8, r2, size="u32")),
        ("w1 = *(u16 *)(r2 + 6)", ldxh(r1, r2, 6)),
        ("w2 = xchg32_32(r1 + 8, w2)", atomic_xchg(r1, 8, r2, size="u32")),
        ("r0 = cmpxchg_64(r1 - 8, r0, r2)", atomic_cmpxchg(r1, -8, r2)),
        ("w0 = cmpxchg32_32(r1 + 8, w0, w2)", atomic_cmpxchg(r1, 8, r2, size="u32")),
        ("r2 = atomic_fetch_add((u64 *)(r1 + 8), r2)", atomic_fetch_add(r1, 8, r2)),
        ("call 5", call_id(5)),
        ("call 0x5", call_id(5)),
        ("call -0x5", call_sub(-5)),
        ("if w1 == -1 goto +3 <LBB0_2>", jeq32(r1, -1, 3)),
        ("if r1 & 5 goto +1", jset(r1, 5, 1)),
        ("       0:\tb7 01 00 00 05 00 00 00\tr1 = 0x5", mov(r1, 5)),
        ("       3:\t85 10 00 00 ff ff ff ff\tcall -0x1", call_sub(-1)),
        ("       3:\t85 10 00 00 05 00 00 00\tcall 0x5", call_sub(5)),
        ("       3:\t85 20 02 00 05 00 00 00\tcall 0x5", Instruction(0x85, src=2, off=2, imm=5)),
        ("       3:\t48 70 00 00 02 00 00 00\tr0 = *(u16 *)skb[r7]", ldindh(r7, 2)),
        ("       3:\td3 21 08 00 00 01 00 00\t<unknown>", load_acquire(r1, r2, 8, size="u8")),
        # by hand
        ("call ktime_get_ns", call_id(5)),
        ("call bpf_ktime_get_ns", call_id(5)),
        ("  r1=r2  # what follows is no code", mov(r1, r2)),
        ("r1 = r2 // nor this", mov(r1, r2)),
        ("r1 = r2 ; nor this", mov(r1, r2)),
        ("r1 /= r2", div(r1, r2)),
        ("r1 s>>= 3", arsh(r1, 3)),
    ],
)
def test_one_instruction(text: str, insn: Instruction) -> None:
    assert one(text) == insn


def test_what_has_a_name_is_written_with_it() -> None:
    assert write(ja("end")) == "goto end"
    assert write(jeq(r1, 0, "my loop")) == 'if r1 == 0x0 goto "my loop"'
    assert write(call_sub("sub")) == "call sub"
    assert write(ld_func(r1, "each")) == "r1 = subprog[each]"
    assert write(ld_map(r1, COUNTS)) == "r1 = map[counts]"
    assert write(call_kfunc("bpf_task_from_pid")) == "call bpf_task_from_pid#kfunc"


def test_llvm_assembly() -> None:
    code = parse(
        """
        .text
        .file "count.c"
        .section xdp,"ax",@progbits
        .globl main                             # -- Begin function main
        .p2align 3
        .type main,@function
        main:                                   # @main
        .cfi_startproc
            r6 = r1
            r1 = counts ll
            r2 = r10
            r2 += -4
            call 1
            if r0 == 0 goto LBB0_2
            r1 = 1
            lock *(u64 *)(r0 + 0) += r1
        LBB0_2:
            r0 = 0
            exit
        """,
        {"counts": COUNTS},
    )
    assert code == assemble(
        [mov(r6, r1), ld_map(r1, COUNTS), mov(r2, fp), add(r2, -4), call_id(1), jeq(r0, 0, "end"), mov(r1, 1)],
        [atomic_add(r0, 0, r1), label("end"), mov(r0, 0), exit_()],
    )
    assert code.labels == {"main": 0, "LBB0_2": 9}
    assert parse("<L0>:\n r0 = 0x0\n\n<L1>:\n goto -0x2 <L0>").labels == {"L0": 0, "L1": 1}


def test_what_bpftool_shows() -> None:
    text = """
int count(struct xdp_md * ctx):
; int key = 0;
   0: (b7) r1 = 0
       b7 01 00 00 00 00 00 00
; bpf_map_lookup_elem(&counts, &key);
   1: (18) r1 = 0x2a
       18 01 00 00 2a 00 00 00 00 00 00 00 00 00 00 00
   3: (85) call bpf_ktime_get_ns#182912
       85 00 00 00 80 ca 02 00
   4: (95) exit
       95 00 00 00 00 00 00 00
"""
    assert list(parse(text)) == [mov(r1, 0), lddw(r1, 42), call_id(5), exit_()]
    assert list(parse("int main(int (*f)(void)):\nexit")) == [exit_()]


# of Linux 6.1, which shows no states of registers where nothing changes, and of 6.18
LOGS = [
    """\
func#0 @0
0: R1=ctx(off=0,imm=0) R10=fp0
0: (bf) r6 = r1                       ; R1=ctx(off=0,imm=0) R6_w=ctx(off=0,imm=0)
1: (15) if r1 == 0x0 goto pc+1        ; R1=ctx(off=0,imm=0)
2: (61) r0 = *(u32 *)(r2 +0)
R2 !read_ok

from 1 to 3: R1=ctx(off=0,imm=0) R6_w=ctx(off=0,imm=0) R10=fp0
; return 0; @ a.c:5
3: (b7) r0 = 0                        ; R0_w=0
4: (95) exit
processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
""",
    """\
func#0 @0
Live regs before insn:
      0: .1........ (bf) r6 = r1
      1: .12....... (15) if r1 == 0x0 goto pc+1
      2: ..2....... (61) r0 = *(u32 *)(r2 +0)
      3: .......... (b7) r0 = 0
      4: 0......... (95) exit
0: R1=ctx() R10=fp0
0: (bf) r6 = r1                       ; R1=ctx() R6=ctx()
1: (15) if r1 == 0x0 goto pc+1
mark_precise: frame0: last_idx 1 first_idx 0 subseq_idx -1
mark_precise: frame0: regs=r1 stack= before 0: (bf) r6 = r1
2: (61) r0 = *(u32 *)(r2 +0)
R2 !read_ok
verification time 65 usec
stack depth 0
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
""",
]


@pytest.mark.parametrize("log", LOGS, ids=["6.1", "6.18"])
def test_the_verifiers_log(log: str) -> None:
    assert parse(log) == assemble(mov(r6, r1), jeq(r1, 0, 1), ldxw(r0, r2, 0), mov(r0, 0), exit_())


KERNELS = Path(__file__).parents[2] / "data/verifier"


@pytest.mark.parametrize("log", sorted(KERNELS.glob("*.log")), ids=lambda path: path.stem)
def test_logs_of_many_kernels(log: Path) -> None:
    text = log.read_text()
    said = dict(re.findall(r"^(\d+): (\([0-9a-f]{2}\) .*?)(?: *;.*| \d+: .*)?$", text, re.MULTILINE))
    for shown in said.values():
        insn = one(shown)
        assert f"({insn.opcode:02x}) {write(insn)}" == shown
    # the verifier refused them all: of most it did not come to see the end
    if not log.stem.endswith("_exit"):
        reasons = "number [0-9]+ is missing|begins no instruction|goes on to a slot|this is an address|there is no map"
        with pytest.raises(AsmError, match=reasons):
            parse(text)
    else:
        assert {str(slot): f"({insn.opcode:02x}) {write(insn)}" for slot, insn in parse(text).placed()} == said


LOG = """\
func#0 @0
0: R1=ctx() R10=fp0
0: (18) r1 = 0xffff888178427800       ; R1=map_ptr(map=counts,ks=4,vs=64)
2: (18) r2 = 0xffff888178427940       ; R2_w=map_value(map=.bss,ks=4,vs=64,off=8) R10=fp0
4: (18) r3 = 0xffff888178427938       ; frame1: R3=map_value(map=counts,ks=4,vs=64)
6: (18) r4 = 0xffff888178427938       ; R4=0xffff888178427938
8: (18) r5 = 0xfffffffffffffff8
10: (85) call bpf_task_from_pid#71234         ; R0=ptr_or_null_task_struct(id=2,ref_obj_id=2)
11: (95) exit
"""


def test_maps_and_kernel_functions_of_a_log() -> None:
    bss = Named(".bss")
    code = assemble(
        [ld_map(r1, COUNTS), ld_map_value(r2, bss, 8), ld_map_value(r3, COUNTS, 0)],
        [lddw(r4, 0xFFFF888178427938), lddw(r5, -8), call_kfunc("bpf_task_from_pid"), exit_()],
    )
    maps = {"counts": COUNTS, ".bss": bss}
    assert parse(LOG, maps) == code
    assert parse(LOG.replace("\n", "\r\n"), maps) == code
    # an excerpt is still a log
    assert parse("\n".join(LOG.splitlines()[2:]), maps) == code
    # since Linux 6.16 the log begins with all of the code
    live = re.sub("(?m) *;.*", "", "\n".join(LOG.splitlines()[2:])).replace(": (", ": .1........ (")
    assert parse(f"Live regs before insn:\n{live}\n{LOG}", maps) == code
    with pytest.raises(AsmError, match=r'<text>:3: there is no map counts; .*maps=\{"counts": …, ".bss": …\}'):
        parse(LOG)


@pytest.mark.parametrize(
    "line",
    [
        "0: (18) r1 = 0xffff888178427800",
        "0: (18) r1 = 0xff26fc164244e000       ; R10=fp0",
        "0: (18) r1 = 0xffff888178427800       ; R1_w=map_ptr(off=0,ks=4,vs=8,imm=0)",
        "0: (18) r1 = 0xffff888178427800       ; R1=map_ptr(ks=4,vs=64)",
        "0: (18) r1 = 0x0                      ; R1=map_ptr(ks=4,vs=64)",
        "0: (18) r1 = 0x7                      ; R1=func()",
    ],
)
def test_an_address_of_a_log_is_no_number(line: str) -> None:
    with pytest.raises(AsmError, match=r"(?s)<text>:2: this is an address, .*; write r1 = map\[NAME\] there.*\^$"):
        parse(f"func#0 @0\n{line}\r\n2: (95) exit")


@pytest.mark.parametrize(
    ("last", "token"), [("2: (05) goto pc+5", "goto"), ("2: (05) goto pc-4", "goto"), ("2: (bf) r1 = r2", "r1 = r2")]
)
def test_a_log_that_does_not_show_all_of_the_code(last: str, token: str) -> None:
    with pytest.raises(AsmError, match="<text>:4: the code goes on to a slot that the log does not show") as refused:
        parse(f"func#0 @0\n0: (b7) r0 = 0\n1: (15) if r1 == 0x0 goto pc+0\n{last}\nR2 !read_ok")
    _, line, caret = str(refused.value).split("\n")
    assert line[caret.index("^") :].startswith(token)


def test_a_log_has_numbers() -> None:
    assert parse("frame1: r0 = 0\nexit") == assemble(mov(r0, 0), exit_())
    with pytest.raises(AsmError, match="R1 begins no instruction"):
        parse("R1=5\nexit")


def test_a_semicolon_separates_nothing() -> None:
    for text in ("r0 = 0; exit", "end: r0 = 0 ; exit ; the end", "0: r0 = 0 ; r1 = 5"):
        with pytest.raises(AsmError, match=r"<text>:1: ; begins a comment; give (exit|r1 = 5) a line of its own"):
            parse(text)
    assert len(parse("r0 = 0 ; is what we return\n; exit\nr1 = 5 // exit\nr2 = 5 # exit\nexit")) == 4
    assert len(parse("0: (b7) r0 = 0 ; exit\n1: (95) exit")) == 2


def test_only_maps_are_maps() -> None:
    for value in (5, "counts", None, Named):
        with pytest.raises(AsmError, match=r"maps: c: .* is not a map; give a MapSpec or a Map"):
            parse("exit", {"c": value})


def test_long_lines_end() -> None:
    # in time that is quadratic, each of these would take minutes
    run = 200_000
    for text in (
        f"r0 = 0{' ' * run}x",
        f"r0 = 0{' ' * run}; what",
        f"r0 ={' ' * run}",
        f"r0 = *(u64 *)(r1{' ' * run}",
        f"r0 = *(u64 *)(r1 +{' ' * run}",
        f"r0 = map[fd:5]{' ' * run}x",
        f"goto{' ' * run}<x>",
        f"a{'(' * run}:",
        '"' + '\\"' * run + ";",
    ):
        with contextlib.suppress(AsmError):
            parse(text)


def test_an_excerpt_begins_anywhere() -> None:
    code = parse("7: (07) r0 += 1\n8: (18) r1 = 0x5\n10: (95) exit\n")
    assert list(code) == [add(r0, 1), lddw(r1, 5), exit_()]
    # in the order of their numbers, where all have one
    assert list(parse("1: exit\n0: r0 = 0")) == [mov(r0, 0), exit_()]
    assert list(parse("1: r0 = 0\nr1 = 1\n7: exit")) == [mov(r0, 0), mov(r1, 1), exit_()]


@pytest.mark.parametrize(
    ("text", "message", "token"),
    [
        ("r1 = r11", "there is no register r11; they are r0 to r10", "r11"),
        ("r1 = w2", "r1 and w2 are of different widths", "w2"),
        ("if r1 == w2 goto +1", "r1 and w2 are of different widths", "w2"),
        ("r1 += 5000000000", "not 5000000000; load it into a register first", "5000000000"),
        ("r1 &= 0xffffffff", "to keep the low 32 bits: w1 = w1", "0xffffffff"),
        ("w1 = 0x100000000", "a number of 32 bits must be", "0x100000000"),
        ("r1 = 0x10000000000000000 ll", "a number of 64 bits must be", "0x10000000000000000"),
        ("*(u64 *)(r1 +0) = 4294967295", "load it into a register and store that", "4294967295"),
        ("if r1 == 4294967295 goto +1", "load it into a register and compare with that", "4294967295"),
        ("*(u64 *)(r10 -40000) = r1", "the offset must be from -32768 to 32767, not -40000", "-40000"),
        ("*(u64 *)(r10 -8) = w1", "w1 is the lower half of r1; here stands r1", "w1"),
        ("r1 = *(u64 *)(w2 +0)", "w2 is the lower half of r2", "w2"),
        ("r1 = *(s64 *)(r2 +0)", "a load of 64 bits is one of u64", "s64"),
        ("r1 = *(u8 *)skb[0]", "a load from the packet goes into r0", "r1"),
        ("r010 = 5", "there is no register r010", "r010"),
        ("r٣ = 5", "r٣ begins no instruction", "r٣"),
        ("r1 = ٣", "this is no instruction; one that begins so", "r1"),
        ("r1 = 010", "this is no instruction; one that begins so", "r1"),
        ("r1 = *(u64 *)(r10 - -8)", "this is no instruction; one that begins so", "r1"),
        ("r1 = " + "9" * 5000, "a number of 64 bits must be", "9"),
        ("r1 = 0x" + "9" * 5000, "a number of 64 bits must be", "0x9"),
        ("goto +" + "9" * 5000, "the distance must be", "+9"),
        ("r" + "1" * 5000 + " = 5", "there is no register r1", "r1"),
        ("1" * 5000 + ": exit", "begins no instruction", "1"),
        ("r1 = map[id:5]", "a map is loaded by its file descriptor, map[fd:5], or by name, map[NAME], not by id", "id"),
        ("call __htab_map_lookup_elem#330864", "write the helper that was called, or NAME#kfunc", "__htab"),
        ("call array_map_lookup_elem#-56789", "-56789 is an address in one kernel, or an id there", "array_map"),
        ("call 0xffffffff81234560#-56789", "write the helper that was called", "0xffffffff81234560"),
        (".long 5", ".long begins no instruction", ".long"),
        ("0000000000000008:  R_BPF_64_64  counts", "begins no instruction", "0000000000000008"),
        ("goto +40000", "not 40000; gotol reaches further", "+40000"),
        ("gotto end", 'gotto begins no instruction; did you mean "goto"', "gotto"),
        ("*(u64 *)(r1) == 5", "one that begins so is written: *(u64 *)(r10 -8) = r1", "*(u64"),
        ("r1 =5 +7", "one that begins so is written: r1 = r2", "r1 =5"),
        ("if r1 = 0 goto +1", "one that begins so is written: if r0 == 0x0 goto pc+1", "if r1"),
        ("call bpf_ktime_get_n", 'no helper; did you mean "bpf_ktime_get_ns"', "bpf_ktime_get_n"),
        ("call bpf_ktime_get_ns#6", "6 is bpf_trace_printk; bpf_ktime_get_ns is helper 5", "bpf_ktime_get_ns#6"),
        (
            "call bpf_ktime_get_n#5",
            "5 is bpf_ktime_get_ns; there is no helper bpf_ktime_get_n; did you mean",
            "bpf_ktime",
        ),
        (
            "r1 = map[cuonts]",
            'there is no map cuonts; did you mean "counts"?; write its file descriptor, map[fd:5], or give',
            "cuonts",
        ),
        ("r2 = atomic64_xchg((u64 *)(r1 +0), r3)", "the old value goes into the register that the new one", "r2"),
        ("r1 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r3)", "compares with r0 and gives the old value there", "r1"),
        ("lock *(u8 *)(r1 +0) += r2", "an atomic operation takes u32 or u64", "u8"),
        ("r1 = atomic64_fetch_add((u32 *)(r1 +0), r1)", "what atomic64_… works on is a u64", "u32"),
        ("r1 = -r2", "a register is negated in its place: r1 = -r1", "r2"),
        ("r1 = be16 r2", "bytes are swapped in their place: r1 = be16 r1", "r2"),
        ("w1 = (s32)w2", "an extension is written r1 = (s32)r2", "w2"),
        ("(b7) r1 += 5", "this is opcode 07, and the line says b7", "r1 += 5"),
        ("R1 = 5", "R1 begins no instruction", "R1"),
        ('"a\\q": exit', "the text in quotes is not as JSON writes it", '"a'),
        ("<unknown>", "< begins no instruction", "<"),
    ],
)
def test_it_says_what_it_cannot_take(text: str, message: str, token: str) -> None:
    with pytest.raises(AsmError) as refused:
        parse(f"r0 = 0\n  {text}  ; a comment\nexit", {"counts": COUNTS}, file="drop.bpf")
    said, line, caret = str(refused.value).split("\n")
    assert said.startswith("drop.bpf:2: ")
    assert message in said
    assert line == f"    {text}  ; a comment"
    assert line[caret.index("^") :].startswith(token)


def test_a_label_at_the_end() -> None:
    code = assemble(ja("end"), label("end"))
    assert str(code) == "   0: (05) goto pc+0                    ; end\nend:"
    assert (parse(str(code)), parse(str(code)).labels) == (code, {"end": 1})


def test_words_of_the_log_may_be_labels() -> None:
    code = parse("callee: r0 = 0\nsafe:\ncaller:\nexit")
    assert (len(code), code.labels) == (2, {"callee": 0, "safe": 1, "caller": 1})


def test_it_refuses_what_assemble_refuses() -> None:
    with pytest.raises(AsmError, match=r'<text>:2: instruction 1: .*there is no label\("ned"\); did you mean "end"'):
        parse("r0 = 0\ngoto ned\nend: exit")
    with pytest.raises(AsmError, match=r"<text>:3: .*the label stands at <text>:1 already"):
        parse("end:\nr0 = 0\nend: exit")
    with pytest.raises(AsmError, match="<text>: there is no instruction in this text"):
        parse("; nothing\n")


def test_all_missing_maps_are_named_at_once() -> None:
    with pytest.raises(AsmError, match=r'maps=\{"counts": …, "seen": …\}'):
        parse(SHOWN)


def test_numbers_must_make_sense() -> None:
    with pytest.raises(AsmError, match=r"<text>:2: exit: number 1 is missing; take the numbers away"):
        parse("0: r0 = 0\n2: exit")
    with pytest.raises(AsmError, match=r"<text>:2: exit: number 1 is within the one before"):
        parse("0: r0 = 5 ll\n1: exit")
    with pytest.raises(AsmError, match=r"<text>:2: r0 = 2 has the number 0, which r0 = 1 has in line 1"):
        parse("0: r0 = 1\n0: r0 = 2")


def test_labels_without_numbers_hold_when_lines_come_in_between() -> None:
    text = str(program()).replace("goto pc+3       ; exit", "goto exit").replace("call pc+2 ", "call sub ")
    text = re.sub(r"^ *\d+: ", "", text, flags=re.MULTILINE).replace("(07) r2 += -8", "(07) r2 += -8\nr3 = 1\nr4 = 2")
    code = parse(text, {"counts": COUNTS, "seen": SEEN})
    assert code.labels == {"exit": 11, "sub": 13}
    assert (code[7].distance, code[10].distance) == (3, 2)
