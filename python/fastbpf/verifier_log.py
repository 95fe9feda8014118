"""What the kernel's verifier says in its log: why it refused a program, where, and what it knew there.

The words are those of kernel/bpf/verifier.c, kernel/bpf/log.c and, from Linux 7.3 on, kernel/bpf/diagnostics.c.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from fastbpf.asm.text.writer import write
from fastbpf.errors import VerifierError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbpf.asm import Code

__all__ = ["Refusal", "VerifierStats", "explained", "refusal", "statistics"]


class Refusal(NamedTuple):
    """What the verifier holds against a program.

    `reason` is its sentence; `suggestion` what it would do about it, which Linux tells since 7.3. `slot` and
    `instruction` are the refused instruction's place and text, a slot of -1 being the last one; `registers` is what it
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
    what = f"{os.strerror(number).lower()} (errno {number})"
    if not error.log:
        return VerifierError(number, f"the kernel refused the program: {what}; the verifier said nothing")
    found = refusal(error.log)
    slot = len(code) - 1 if found.slot == -1 else found.slot
    if slot is None:
        # A kernel symbol that it quotes is looked up before the walk, too.
        quoted = set(re.findall(r"[\w.]+", found.reason))
        slot = next((at for at, insn in code.placed() if insn.label in quoted), None)
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


# What a message shows of the registers: those that the instruction reads or the reason names, if the kernel told.
def _shown(found: Refusal) -> str:
    read = re.sub(r"^[rw]\d+ = ", "", found.instruction or "")
    numbers = {*re.findall(r"\b[rw](\d+)\b", read), *re.findall(r"\bR(\d+)\b", found.reason)} - {"10"}
    shown = [f"{name}={value}" for name, value in found.registers.items() if name[1:] in numbers]
    return f" ({' '.join(one if len(one) < 80 else f'{one[:76]}...' for one in shown)})" if shown else ""


# An instruction that the verifier comes by, and what it knows afterwards: "3: (b7) r2 = 2     ; R2=2". Where it has
# gone back to another path it is "2: (55) if r0 != 0x5 goto pc+2 5: R0=scalar() R10=fp0".
_INSTRUCTION: Final = re.compile(r"(\d+): \([0-9a-f]{2}\) ([^;]*)(.*)")
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
        return Refusal(reason, -1 if reason.startswith("last insn") else place, None, {}, "")
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
            for lost in _written(found[2]):
                known.pop(lost, None)
            known.update(_REGISTER.findall(found[3]))
    return dict(sorted(known.items(), key=lambda register: int(register[0][1:])))


# The registers of which nothing is known any more. Before 5.17, the log does not tell what became of them.
def _written(instruction: str) -> Iterator[str]:
    if "call " in instruction or "skb[" in instruction:
        yield from (f"R{number}" for number in range(6))
    elif found := re.match(r"[rw](\d+) \S*= ", instruction):
        yield f"R{found[1]}"


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
