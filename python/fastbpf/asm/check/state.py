"""Where a path through a program stands: its frames with registers and stacks, and what had to hold to get there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from fastbpf.asm.check.conditions import NOTHING
from fastbpf.asm.check.stack import LOST, Stack
from fastbpf.asm.check.values import ANYTHING, Leaf, Moved, Pointer, Released, Term, Unset, any_number, vague

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbpf.asm.check.values import Origin, Value

_NOTHING: Final = Unset()


class Frame:
    """A running subprogram: its registers, its stack, and where it goes on when it is done."""

    __slots__ = ("back", "registers", "stack")

    def __init__(self, registers: list[Value], stack: Stack, back: int | None) -> None:
        self.registers = registers
        self.stack = stack
        self.back = back


class Past:
    """A place that a path has passed, and the one before it."""

    __slots__ = ("before",)

    def __init__(self, before: Past | None) -> None:
        self.before = before


class State:
    """A path so far. It is certain where `chosen`, with the defaults of the rest, makes all hold that is `known`."""

    __slots__ = ("certain", "chosen", "frames", "known", "length", "past", "records", "registers", "slot")

    def __init__(self, slot: int, registers: dict[int, Value], *, certain: bool) -> None:
        self.slot = slot
        self.frames: list[Frame] = []
        self.registers: list[Value] = []
        self.known = NOTHING
        self.chosen: dict[Leaf, int] = {}
        # ring-buffer records to give back
        self.records: tuple[Origin, ...] = ()
        self.certain = certain
        #: how long the packet is, once the program has asked for it
        self.length: Leaf | None = None
        #: the last place on the way here where it was compared with others
        self.past: Past | None = None
        self.enter(registers, None)

    def enter(self, registers: dict[int, Value], back: int | None) -> None:
        """Starts a frame, in which only these registers and r10 are set."""
        depth = len(self.frames)
        start = [registers.get(number, _NOTHING) for number in range(10)]
        self.frames.append(Frame([*start, Pointer("stack", depth)], Stack(), back))
        self.registers = self.frames[-1].registers

    def leave(self) -> int:
        """Ends a frame: r0 is the result, r1 to r5 are lost. Gives the slot to go on at."""
        left = self.frames.pop()
        depth = len(self.frames)
        result = left.registers[0]
        self.registers = self.frames[-1].registers
        self.registers[0] = result
        back = cast("int", left.back)
        self.registers[1:6] = [Unset(back - 1)] * 5
        # whoever kept an address of that stack has none now
        self.replace(lambda value: ANYTHING if value.kind == "stack" and value.what == depth else value)
        return back

    def fork(self) -> State:
        """A path that stands where this one does."""
        other = object.__new__(State)
        other.slot = self.slot
        other.frames = [Frame(frame.registers.copy(), frame.stack.copy(), frame.back) for frame in self.frames]
        other.registers = other.frames[-1].registers
        other.known = self.known
        other.chosen = self.chosen
        other.records = self.records
        other.certain = self.certain
        other.past = self.past
        other.length = self.length
        return other

    def doubt(self) -> None:
        """From here on nobody knows whether the path is ever taken."""
        self.certain = False
        self.chosen = {}

    def replace(self, change: Callable[[Pointer], Value]) -> None:
        """Changes every address in registers and on stacks."""
        for frame in self.frames:
            registers = frame.registers
            for number in range(10):
                value = registers[number]
                if type(value) is Pointer:
                    registers[number] = change(value)
            frame.stack.replace(change)

    def packet(self) -> Leaf:
        """How long the packet is."""
        if self.length is None:
            self.length = any_number(16)
        return self.length

    def lose_packet(self, by: int | None = None) -> None:
        """The packet may have changed: its addresses hold no longer, for sure if the call in slot `by` moves it."""
        if self.length is not None:
            self.length = None
            gone = ANYTHING if by is None else Moved(by)
            lost = {"packet": gone, "packet_end": ANYTHING}
            self.replace(lambda value: lost.get(value.kind, value))

    def lose_stacks(self) -> None:
        """Somebody may have written anything anywhere on the stacks."""
        for frame in self.frames:
            frame.stack.lose(-512, 0)

    def weaken(self) -> None:
        """Forgets all numbers: one such state stands for many, none of which is certain."""
        self.doubt()
        self.known = NOTHING
        for frame in self.frames:
            registers = frame.registers
            for number in range(10):
                if isinstance(registers[number], (int, Leaf, Term)):
                    registers[number] = vague()
            frame.stack.forget_numbers()
        self.replace(_anywhere)

    def key(self) -> tuple[object, ...]:
        """What tells this state from another: equal for states from which the same can happen."""
        names: dict[object, object] = {}
        told: list[object] = [self.slot]
        for frame in self.frames:
            told.append(frame.back)
            told.extend([_told(value, names) for value in frame.registers])
            told.extend(frame.stack.told(lambda value: _told(value, names)))
        if self.length is not None:
            told.append(_told(self.length, names))
        told.extend([_told_origin(record, names) for record in self.records])
        # what is known of numbers that are gone says nothing about the rest
        known = self.known.about({name for name in names if isinstance(name, Leaf)})
        if known is not self.known:
            self.known = known
            live = {leaf for number, _ in known.ranges for leaf in number.leaves}.union(
                *[old.leaves for old in known.others]
            )
            self.chosen = {leaf: value for leaf, value in self.chosen.items() if leaf in live or leaf in names}
        held: list[object] = [(_told(number, names), bits, values) for (number, bits), values in known.ranges.items()]
        held += [(*old[:2], _told(old.left, names), _told(old.right, names), old.wanted) for old in known.others]
        return (*told, frozenset(held))


def _anywhere(value: Pointer) -> Pointer:
    if value.kind in {"stack", "ctx"} or value.null != "no":
        return value
    return Pointer(value.kind, value.what, vague(), "no", value.origin)


def _told(value: Value, names: dict[object, object]) -> object:
    kind = type(value)
    if kind is int:
        return value
    if kind is Unset:
        return None
    if value in names:
        return names[value]
    if kind is Leaf:
        told: object = ("leaf", len(names), value.top, value.sure)  # type: ignore[union-attr]  # its kind is asked above
    elif isinstance(value, Term):
        told = (value.operation, value.bits, _told(value.left, names), _told(value.right, names))
    elif isinstance(value, Pointer):
        what = value.what
        where = _told(what, names) if isinstance(what, (int, Leaf, Term)) else what
        origin = value.origin and _told_origin(value.origin, names)
        return (value.kind, where, _told(value.off, names), value.null, origin)
    elif isinstance(value, (Released, Moved)):
        return kind
    else:
        return LOST
    names[value] = told
    return told


def _told_origin(origin: Origin, names: dict[object, object]) -> object:
    if origin not in names:
        names[origin] = (origin.slot, len(names))
    return names[origin]
