"""What `help(call.NAME)` says, and the types of its parameters; `tools/generate_calls.py` writes them out for editors.

>>> print(document(1))
map_lookup_elem(map, key)
<BLANKLINE>
Finds the value that belongs to a key. Returns a pointer to the value inside the map, or NULL if the key is not there.
<BLANKLINE>
Helper 1, since Linux 3.19: void *bpf_map_lookup_elem(void *map, const void *key)
Program types: all but ext.
<BLANKLINE>
Args:
    map: a map.
    key: memory that is read, as large as a key of the map.
<BLANKLINE>
Returns:
    The instructions of the call. r0 is a pointer to the value in the map, or NULL; r1 to r5 are lost.
<BLANKLINE>
Source: https://docs.ebpf.io/linux/helper-function/bpf_map_lookup_elem/, bpf-helpers(7)
"""

from __future__ import annotations

import inspect
from keyword import iskeyword
from typing import TYPE_CHECKING, Final

from fastbpf.asm.arguments import takes_text
from fastbpf.helpers.prototypes import prototype
from fastbpf.helpers.registry import get
from fastbpf.helpers.summary import taken, types_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbpf.helpers.prototypes import Parameter, Prototype

_POINTS_TO: Final = {"ctx": "the program's context", "ringbuf_mem": "a record that was reserved"}
_RETURNS: Final = {
    "void": "holds nothing",
    "map_value": "is a pointer to the value in the map",
    "map_value_or_null": "is a pointer to the value in the map, or NULL",
    "ringbuf_mem_or_null": "is a pointer to the record, or NULL",
}
_GIVEN_BACK: Final = {
    "ringbuf": "the record: ringbuf_submit or ringbuf_discard",
    "dynptr": "the record, even after a failure: ringbuf_submit_dynptr or ringbuf_discard_dynptr",
    "reference": "what is not NULL: sk_release for a socket, kptr_xchg or a kfunc for others",
}


def document(number: int) -> str:
    """The docstring of a helper's call."""
    helper, known = _helper(number), get(number)
    facts = [
        f"Helper {number}, since Linux {known.min_kernel}: {known.signature}",
        f"Program types: {types_of(known.prog_types)}.",
    ]
    if known.gpl_only:
        facts.append("Only for programs under a licence that is compatible with the GPL.")
    if needs := taken(known):
        facts.append(f"Takes {', '.join(needs)}.")
    names = [python(one.name) for one in helper.parameters] + ["*more"] * helper.variadic
    parts = [f"{helper.name}({', '.join(names)})", known.description, "\n".join(facts)]
    arguments = [f"    {python(one.name)}: {meaning(helper, one)}." for one in helper.parameters]
    if helper.variadic:
        arguments.append("    more: up to three values; text and %s go together.")
    if arguments:
        parts.append("Args:\n" + "\n".join(arguments))
    returns = f"    The instructions of the call. r0 {_returned(helper)}; r1 to r5 are lost."
    if helper.acquires:
        returns += f"\n    To be given back on every path: {_GIVEN_BACK[helper.acquires]}."
    parts.append("Returns:\n" + returns)
    parts.append(f"Source: https://docs.ebpf.io/linux/helper-function/bpf_{helper.name}/, bpf-helpers(7)")
    return "\n\n".join(parts)


def signature(names: Sequence[str], *, variadic: bool) -> inspect.Signature:
    """What `inspect.signature(call.NAME)` gives."""
    parameters = [inspect.Parameter(python(name), inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    if variadic:
        parameters.append(inspect.Parameter("more", inspect.Parameter.VAR_POSITIONAL))
    return inspect.Signature(parameters)


def python(name: str) -> str:
    """The name of a parameter as a keyword in Python: `from_` for `from`."""
    return f"{name}_" if iskeyword(name) else name


def annotation(helper: Prototype, parameter: Parameter) -> str:
    """The type of the arguments that a parameter takes, of those in arguments.py."""
    match parameter.kind:
        case "map":
            kind = "Map"
        case "func":
            kind = "Callback"
        case "size":
            before = helper.parameters[helper.parameters.index(parameter) - 1]
            kind = "Size" if before.kind == "mem_read" or before.nullable else "Number"
        case "map_key" | "map_value" | "mem_read" if parameter.initialised:
            kind = "Text" if takes_text(parameter) else "Bytes"
        case "pointer" if takes_text(parameter):
            kind = "Text"
        case "scalar" | "unchecked" if parameter.type.endswith("*"):
            kind = "Number | Map"
        case "scalar" | "unchecked" | "alloc_size":
            kind = "Number"
        case _:
            kind = "Pointer"
    return f"{kind} | None" if parameter.nullable else kind


def meaning(helper: Prototype, parameter: Parameter) -> str:
    """What a parameter takes, in words."""
    place = helper.parameters.index(parameter)
    match parameter.kind:
        case "map":
            words = "a map"
        case "map_key":
            words = "memory that is read, as large as a key of the map"
        case "map_value" if parameter.initialised:
            words = "memory that is read, as large as a value of the map"
        case "map_value":
            words = "memory that is written, as large as a value of the map"
        case "mem_read" | "mem_write":
            words = "memory that is read" if parameter.kind == "mem_read" else "memory that is written"
            if parameter.size is not None:
                words += f", {parameter.size} bytes"
            elif parameter.size_index is not None:
                words += f", {python(helper.parameters[parameter.size_index].name)} bytes"
            if parameter.type.endswith("char *"):
                words = words.replace("memory", "text", 1)
            elif "struct" in parameter.type:
                words += f", a {parameter.type.removeprefix('const ').removesuffix(' *')}"
        case "size":
            words = f"how many bytes {python(helper.parameters[place - 1].name)} has"
            words += ", which may be 0" if parameter.zero_ok else ""
        case "alloc_size":
            words = "how many bytes the result points to, a constant"
        case "func":
            words = "the label of the subprogram that is called back"
        case "pointer" if takes_text(parameter):
            words = "text, or a pointer to text in a map that nobody can change"
        case "ctx" | "ringbuf_mem" as kind:
            words = _POINTS_TO[kind]
        case "scalar" | "unchecked" if parameter.type.endswith("*"):
            words = "an address, which the helper itself checks"
        case "scalar" | "unchecked":
            words = f"a number, {parameter.type}"
        case _:
            words = f"{parameter.type}, which the verifier knows"
    return f"{words}; None is NULL" if parameter.nullable else words


def _helper(number: int) -> Prototype:
    helper = prototype(number)
    if helper is None:
        raise LookupError(number)
    return helper


def _returned(helper: Prototype) -> str:
    if helper.returns_kind in _RETURNS:
        return _RETURNS[helper.returns_kind]
    null = ", or NULL" if helper.returns_kind.endswith("_or_null") else ""
    return f"is the result, {helper.returns}{null}"
