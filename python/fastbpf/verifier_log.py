"""What the kernel's verifier says in its log: why it refused a program, where, and what it knew there.

The words are those of kernel/bpf/verifier.c, kernel/bpf/log.c and, from Linux 7.3 on, kernel/bpf/diagnostics.c.
"""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastbpf.asm import opcode as op
from fastbpf.asm.check.packets import MOVES_PACKET
from fastbpf.asm.rodata import ReadOnly
from fastbpf.asm.text.writer import write
from fastbpf.errors import VerifierError
from fastbpf.helpers.names import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from fastbpf.asm import Code, Instruction

    # Whether a sentence is about this instruction: None where its map is not known.
    _Blamed: TypeAlias = Callable[[Instruction, re.Match[str]], bool | None]

__all__ = ["Refusal", "VerifierStats", "explained", "refusal", "statistics"]


class Refusal(NamedTuple):
    """What the verifier holds against a program.

    `reason` is its sentence; `suggestion` what it would do about it, which Linux tells since 7.3. `slot` and
    `instruction` are the refused instruction's place and text, None where the log does not tell; `registers` is what it
    knew of them before that instruction, as far as the log tells.
    """

    reason: str
    slot: int | None
    instruction: str | None
    registers: dict[str, str]
    suggestion: str


class VerifierStats(NamedTuple):
    """What the verification of a program took; None is what this kernel does not tell.

    Attributes:
        insns_processed: instructions that it looked at, once for each path that leads to them; 1,000,000 at most.
        max_states_per_insn: states that it kept of one instruction, to compare with.
        total_states: states that it kept in all.
        peak_states: most states at one time.
        mark_read: length of the longest chain of states in which reads were noted.
        stack_depth: bytes of stack of the program and of each of its subprograms, in the order of their first slots.
        verification_time_us: microseconds.

    Source: kernel/bpf/verifier.c, print_verification_stats.
    """

    insns_processed: int | None
    max_states_per_insn: int | None
    total_states: int | None
    peak_states: int | None
    mark_read: int | None
    stack_depth: tuple[int, ...] | None
    verification_time_us: int | None


def statistics(log: str) -> VerifierStats:
    r"""The statistics in a log.

    >>> took = statistics(
    ...     "verification time 70 usec\nstack depth 8+16\nprocessed 7 insns (limit 1000000) peak_states 1\n"
    ... )
    >>> took.insns_processed, took.peak_states, took.mark_read, took.stack_depth, took.verification_time_us
    (7, 1, None, (8, 16), 70)
    """

    def number(pattern: str) -> int | None:
        found = re.search(rf"^{pattern}", log, re.MULTILINE)
        return int(found[1]) if found else None

    depths = re.search(r"^stack depth ([\d+]+)", log, re.MULTILINE)
    return VerifierStats(
        insns_processed=number(r"processed (\d+) insns"),
        max_states_per_insn=number(r"processed .* max_states_per_insn (\d+)"),
        total_states=number(r"processed .* total_states (\d+)"),
        peak_states=number(r"processed .* peak_states (\d+)"),
        mark_read=number(r"processed .* mark_read (\d+)"),
        stack_depth=tuple(int(depth) for depth in depths[1].split("+") if depth) if depths else None,
        verification_time_us=number(r"verification time (\d+) usec"),
    )


def explained(error: VerifierError, code: Code) -> VerifierError:
    """The same refusal with its reason, the instruction of `code` that it is about, and the line that wrote it."""
    number = error.errno or 0
    what = f"{_WORDS.get(number) or os.strerror(number).lower()} (errno {number})"
    found = refusal(error.log)
    if not found.reason and found.slot is None:
        if number == errno.E2BIG and len(code) > _MOST_UNPRIVILEGED:
            most = f"{_MOST:,} are the most, and {_MOST_UNPRIVILEGED:,} without CAP_BPF"
            what = f"it takes {len(code):,} slots; {most} (errno {number})"
        text = f"the kernel refused the program: {what}; the verifier said nothing"
        return VerifierError(number, text, error.log)
    slot = found.slot
    if slot is None:
        slot = _blamed(found.reason, code)
    insn = code[slot] if slot is not None and slot < len(code) else None
    if insn is None:
        where, which = "", "the program"
    else:
        found = found._replace(instruction=write(insn))
        where, which = f"{insn.source}: " if insn.source else "", f"instruction {slot}, {found.instruction}"
    reason = found.reason or what
    told = [f"{reason.rstrip('.')}{_shown(found)}", found.suggestion.rstrip("."), ".log has all that it said"]
    return VerifierError(
        number,
        f"{where}the verifier refused {which}: {'; '.join(filter(None, told))}",
        error.log,
        reason=reason,
        slot=slot,
        instruction=found.instruction,
        source=str(insn.source) if insn and insn.source else None,
        registers=found.registers,
    )


# What the C library has no words for: ENOTSUPP of include/linux/errno.h.
_WORDS: Final = {524: "not supported"}
# Slots of a program: BPF_COMPLEXITY_LIMIT_INSNS of include/linux/bpf.h and BPF_MAXINSNS of linux/bpf_common.h.
_MOST, _MOST_UNPRIVILEGED = 1_000_000, 4096


# The slot that the verifier means when it refuses before its walk. It looks at one instruction after the other, and
# says what is wrong with the first, but not which it is.
def _blamed(reason: str, code: Code) -> int | None:
    if reason.startswith("last insn"):
        return _falls_off(code)
    if reason.startswith("call to invalid destination"):
        return next((at for at, start in _calls(code) if not 0 <= start < len(code)), None)
    for pattern, blames in _BEFORE_THE_WALK:
        if said := re.match(pattern, reason):
            found = [(at, sure) for at, insn in code.placed() if (sure := blames(insn, said)) is not False]
            if found and (found[0][1] or len(found) == 1):
                return found[0][0]
    # A kernel symbol that it quotes.
    quoted = set(re.findall(r"[\w.]+", reason))
    return next((at for at, insn in code.placed() if insn.label in quoted), None)


# Where the program names its own functions, and the slots in which they should begin.
def _calls(code: Code) -> list[tuple[int, int]]:
    named = {(op.CALLS, op.PSEUDO_CALL), (op.WIDE, op.PSEUDO_FUNC)}
    return [(at, at + 1 + (insn.distance or 0)) for at, insn in code.placed() if insn.kind in named]


# The last instruction of the first function that would run on behind its end.
def _falls_off(code: Code) -> int | None:
    ends = {*(start for _, start in _calls(code)), len(code)}
    placed = list(code.placed())
    behind = [at for at, _ in placed[1:]] + [len(code)]
    return next((at for (at, insn), end in zip(placed, behind, strict=True) if end in ends and not _ends(insn)), None)


def _ends(insn: Instruction) -> bool:
    thrown = insn.kind == (op.CALLS, op.PSEUDO_KFUNC_CALL) and insn.label == "bpf_throw"
    return thrown or insn.opcode in {op.JMP | op.EXIT, op.JMP | op.JA, op.GOTOL, op.GOTOX}


def _opcode(insn: Instruction, said: re.Match[str]) -> bool:
    return insn.opcode == int(said[1], 16)


def _wide(*sources: int) -> _Blamed:
    # One that holds the number that is told, if one is.
    return lambda insn, said: (
        (insn.opcode == op.WIDE and insn.src in sources and insn.map is None and insn.label is None)
        and (not said.re.groups or insn.imm & 0xFFFFFFFF == int(said[1]) & 0xFFFFFFFF)
    )


def _unrecognized(insn: Instruction, _: re.Match[str]) -> bool:
    if insn.opcode != op.WIDE:
        return False
    one_number = insn.src in {op.PSEUDO_MAP_FD, op.PSEUDO_MAP_IDX}
    return insn.src > op.PSEUDO_MAP_IDX_VALUE or (one_number and bool(insn.imm >> 32))


# Only an array has its values in one place that can be named, and only if there is one value.
def _value(insn: Instruction, said: re.Match[str]) -> bool | None:
    if insn.opcode != op.WIDE or insn.src not in {op.PSEUDO_MAP_VALUE, op.PSEUDO_MAP_IDX_VALUE}:
        return False
    size, offset = (int(number) for number in said.groups())
    if insn.imm >> 32 != offset or isinstance(insn.map, ReadOnly):
        return False
    spec: Any = getattr(insn.map, "spec", insn.map)
    value = getattr(spec, "value", None)
    return None if value is None else value.size == size and (spec.max_entries != 1 or offset >= size)


def _no_value(insn: Instruction, _: re.Match[str]) -> bool | None:
    if insn.opcode != op.WIDE or insn.src not in {op.PSEUDO_MAP_VALUE, op.PSEUDO_MAP_IDX_VALUE}:
        return False
    if isinstance(insn.map, ReadOnly):
        return False
    kind = getattr(getattr(insn.map, "spec", insn.map), "type", None)
    return None if kind is None else kind != "array"


def _loads(*modes: int) -> _Blamed:
    return lambda insn, _: insn.opcode & 7 == op.LDX and (insn.imm != 0 or insn.opcode & 0xE0 not in modes)


def _kfunc(insn: Instruction, said: re.Match[str]) -> bool:
    called = insn.kind == (op.CALLS, op.PSEUDO_KFUNC_CALL)
    return called and (insn.imm == int(said[1]) if said.re.groups else insn.off > 0)


# What it says of them, and of which instruction.
_BEFORE_THE_WALK: Final[tuple[tuple[str, _Blamed], ...]] = (
    (r"unknown opcode ([0-9a-f]{2})", _opcode),
    (r"fd (-?\d+) is not pointing to valid bpf_map", _wide(op.PSEUDO_MAP_FD, op.PSEUDO_MAP_VALUE)),
    (r"fd_idx without fd_array", _wide(op.PSEUDO_MAP_IDX, op.PSEUDO_MAP_IDX_VALUE)),
    (r"(?:ldimm64 insn specifies invalid|pseudo) btf_id (\d+)", _wide(op.PSEUDO_BTF_ID)),
    (r"unrecognized bpf_ld_imm64 insn", _unrecognized),
    (r"invalid access to map value pointer, value_size=(\d+) off=(\d+)", _value),
    (r"no direct value access support for this map type", _no_value),
    # Kernels before 6.6 know no loads that extend a sign.
    (r"BPF_LDX uses reserved fields", _loads(op.MEM, op.MEMSX)),
    (r"BPF_LDX uses reserved fields", _loads(op.MEM)),
    (r"kernel btf_id (\d+) is not a function", _kfunc),
    (r"kfunc offset > 0 without fd_array", _kfunc),
)


# What a message shows of the registers: those that the instruction reads or the reason names, if the kernel told.
def _shown(found: Refusal) -> str:
    read = re.sub(r"^[rw]\d+ = ", "", found.instruction or "")
    numbers = {*re.findall(r"\b[rw](\d+)\b", read), *re.findall(r"\bR(\d+)\b", found.reason)} - {"10"}
    shown = [f"{name}={value}" for name, value in found.registers.items() if name[1:] in numbers]
    return f" ({' '.join(one if len(one) < 80 else f'{one[:76]}...' for one in shown)})" if shown else ""


# An instruction that the verifier comes by, and what it knows afterwards: "3: (b7) r2 = 2     ; R2=2". Where it has
# gone back to another path it is "2: (55) if r0 != 0x5 goto pc+2 5: R0=scalar() R10=fp0".
_INSTRUCTION: Final = re.compile(r"(\d+): (?:\([0-9a-f]{2}\) |(?=BUG_))([^;]*)(.*)")
_GONE_BACK: Final = re.compile(r" \d+: (?:frame\d+: ?)?R\d+(?:_\w+)?=.*")
# All that it knows, where a path begins, and when it comes into or out of a subprogram.
_STATE: Final = re.compile(
    r"(?:\d+: \([0-9a-f]{2}\) [^;]* )?\s*(?:\d+: ?|from \d+ to \d+[^:]*: ?)?(?:frame\d+: ?)?R\d+(?:_\w+)?="
)
# A register's state: "R2=2", "R2_w=scalar(umax=7,var_off=(0x0; 0x7))", "R10=fp0".
_REGISTER: Final = re.compile(r"\b(R\d+)(?:_[a-zA-Z]+)?=((?:[^\s()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))+)")
# Lines that say where the verifier was and what it thought, not what is wrong.
_TOLD: Final = re.compile(
    r"processed \d+ insns|verification time|stack depth \d|from \d+ to|\d+: (?:frame|R\d|safe|\()|func#|; |\s*$|"
    r"mark_precise|last_idx|regs=|parent |propagating|falling back|(?:cur|old) state: |[Ll]ive regs|max_states|"
    r"caller:|callee:|returning from|to caller at|Func#|Validating |\s+\d+: [.0-9]{11} "
)
# Refusals of the whole program, wherever the verifier was when it gave up; and those that name a place, as in "jump out
# of range from insn 1 to 14" and "infinite loop detected at insn 2".
_WHOLE: Final = re.compile(r"BPF program is too large|.* too complex|combined stack size")
_PLACE: Final = re.compile(r".*?\binsn #?(\d+)")


def refusal(log: Sequence[str]) -> Refusal:
    """Reads the log of a program that was refused.

    >>> refusal(
    ...     [
    ...         "0: R1=ctx() R10=fp0",
    ...         "0: (b7) r2 = 2    ; R2=2",
    ...         "1: (79) r0 = *(u64 *)(r2 +0)",
    ...         "R2 invalid mem access 'scalar'",
    ...         "processed 2 insns (limit 1000000)",
    ...     ]
    ... )[:3]
    ("R2 invalid mem access 'scalar'", 1, 'r0 = *(u64 *)(r2 +0)')
    """
    report = next((at for at, line in enumerate(log) if line.startswith("Verification failed:")), len(log))
    found = _walk(log[:report])
    return _reported(found, log[report:]) if report < len(log) else found


def _walk(log: Sequence[str]) -> Refusal:
    last = next((at for at in range(len(log) - 1, -1, -1) if _INSTRUCTION.match(log[at])), -1)
    said = [line.strip().rstrip(".") for line in log[last + 1 :] if not (_TOLD.match(line) or _STATE.match(line))][-3:]
    reason = "; ".join(said)
    place = next((int(found[1]) for line in said if (found := _PLACE.match(line))), None)
    refused = _INSTRUCTION.match(log[last]) if last >= 0 else None
    if refused is None:
        # Before the verifier walks, it looks at the program's shape.
        return Refusal(reason, place, None, {}, "")
    slot = int(refused[1])
    if any(_WHOLE.match(line) for line in said) or place not in {None, slot}:
        return Refusal(reason, place, None, {}, "")
    return Refusal(reason, slot, _GONE_BACK.sub("", refused[2]).strip(), _registers(log, last), "")


# What the verifier knew before the instruction in line `last`: all that it told of the state at some place, and from
# there on what each instruction made of it. (Some kernels tell once more of a state that they refuse.)
def _registers(log: Sequence[str], last: int) -> dict[str, str]:
    # R10 is always among all that it knows; the look at it saves most of the time in a long log.
    start = next((at for at in range(len(log) - 1, -1, -1) if "R10=" in log[at] and _STATE.match(log[at])), -1)
    known = dict(_REGISTER.findall(log[start])) if start >= 0 else {}
    for line in log[start + 1 : last]:
        if found := _INSTRUCTION.match(line):
            told = dict(_REGISTER.findall(found[3]))
            for lost in list(_lost(found[2], known, told)):
                known.pop(lost, None)
            known.update(told)
    return dict(sorted(known.items(), key=lambda register: int(register[0][1:])))


# The registers of which nothing is known any more: a line tells of those that its instruction names (since 5.17), and
# not of others that it changes. Rather one too many than one as it was before.
def _lost(instruction: str, known: dict[str, str], told: dict[str, str]) -> Iterator[str]:
    if instruction.startswith("call "):
        yield from _CALLED
        yield from _lost_in_call(instruction, known)
    elif "skb[" in instruction:
        yield from _CALLED
    elif found := re.match(r"if (.*) goto ", instruction):
        yield from _lost_in_branch([f"R{number}" for number in re.findall(r"\b[rw](\d+)\b", found[1])], known, told)
    elif found := re.match(r"[rw](\d+) \S*= ", instruction):
        yield f"R{found[1]}"


_CALLED: Final = tuple(f"R{number}" for number in range(6))
# States that no call changes: numbers, and pointers to what nobody gives back.
_STEADY: Final = re.compile(r"(?!.*ref_obj_id)P?(?:-?\d|scalar|inv|ctx|fp|map_ptr|map_value|map_key|func|arena)")
_NUMBER: Final = re.compile(r"P?(?:-?\d|scalar|inv)")
# Helpers that may move packets: a newer kernel's tail_call too, and dynptr_write if its memory is one's.
_MOVE_PACKETS: Final = MOVES_PACKET | {"tail_call", "dynptr_write"}
# Helpers that give something back, and where they get it; a dynptr is in memory.
_GIVE_BACK: Final = {
    **dict.fromkeys(("sk_release", "ringbuf_submit", "ringbuf_discard"), "R1"),
    **dict.fromkeys(("ringbuf_submit_dynptr", "ringbuf_discard_dynptr"), "in memory"),
    "kptr_xchg": "R2",
}
# Helpers that call back: the verifier may forget numbers so that it gets to an end of that.
_CALL_BACK: Final = {"for_each_map_elem", "find_vma", "loop", "user_ringbuf_drain"}


# The registers that a call changes and that are not its own.
def _lost_in_call(call: str, known: dict[str, str]) -> Iterator[str]:
    found = re.match(r"call bpf_(\w+)#(\d+)", call)
    if not found or found[1] not in NAMES or NAMES.index(found[1]) != int(found[2]):
        # A function of the kernel or of the program, which may do anything.
        yield from (register for register, state in known.items() if not _STEADY.match(state))
        return
    helper, gone = found[1], []
    if helper in _MOVE_PACKETS:
        gone.append(r"pkt|\w*mem")
    if helper in _CALL_BACK:
        gone.append(_NUMBER.pattern)
    if helper == "spin_unlock":
        gone.append(r".*non_own_ref")
    if helper in _GIVE_BACK:
        given = re.search(r"ref_obj_id=\d+", known.get(_GIVE_BACK[helper], ""))
        gone.append(rf".*{given[0]}\b" if given else r".*ref_obj_id=")
    for pattern in gone:
        yield from (register for register, state in known.items() if re.match(pattern, state))


# The registers of which a branch shows something, by what it shows of those that it compares: others that hold the same
# number, or came of the same lookup, share an id with them, and all pointers into a packet its size.
def _lost_in_branch(compared: list[str], known: dict[str, str], told: dict[str, str]) -> Iterator[str]:
    states = [*(known.get(register, "") for register in compared), *(told.get(register, "") for register in compared)]
    unclear = any(register not in known for register in compared)
    shared = {number for state in states for number in _ids(state)}
    packet = unclear or any(state.startswith("pkt") for state in states)
    yield from compared
    for register, state in known.items():
        if (_ids(state) if unclear else _ids(state) & shared) or (packet and re.match(r"pkt(_meta)?\(", state)):
            yield register


# One counter gives them all, and 0 is none.
def _ids(state: str) -> set[str]:
    return set(re.findall(r"id=(\d+)", state)) - {"0"}


# The report that Linux 7.3 and later put behind the walk: a title, and sections with indented text.
def _reported(walk: Refusal, report: Sequence[str]) -> Refusal:
    sections: dict[str, list[str]] = {}
    text: list[str] = []
    for line in report[1:]:
        if re.match(r"[A-Z][a-z ]+:$", line):
            text = sections.setdefault(line[:-1], [])
        elif line.startswith(" "):
            text.append(line.strip())
    reason = " ".join(sections.get("Reason", ())) or report[0].partition(": ")[2]
    suggestion = " ".join(sections.get("Suggestion", ()))
    for line in sections.get("At", ()):
        if found := re.match(r"insn (\d+)$|>>> *(\d+) \| \([0-9a-f]{2}\) (.*)", line):
            slot, instruction = int(found[1] or found[2]), found[3]
            registers = walk.registers if slot == walk.slot else {}
            if instruction is None and slot == walk.slot:
                instruction = walk.instruction
            walk = walk._replace(slot=slot, instruction=instruction, registers=registers)
    return walk._replace(reason=reason, suggestion=suggestion)
