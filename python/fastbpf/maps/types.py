"""Types of maps, by the kernel's names, and what they have in common."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from fastbpf.errors import LayoutError
from fastbpf.record import FieldType, Struct

Layout = FieldType | type[Struct]

# enum bpf_map_type, include/uapi/linux/bpf.h, in its order
NAMES: Final = """
unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash
lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage
task_storage bloom_filter user_ringbuf cgrp_storage arena insn_array
"""
KNOWN: Final = """
hash array lru_hash percpu_hash percpu_array lru_percpu_hash ringbuf user_ringbuf perf_event_array prog_array
stack_trace array_of_maps
"""
TYPES: Final = {name: NAMES.split().index(name) for name in KNOWN.split()}
# Their keys are numbers from 0 on, or what the kernel gives.
NUMBERED: Final = {"array", "percpu_array", "perf_event_array", "prog_array", "stack_trace", "array_of_maps"}
PER_CPU: Final = {"percpu_array", "percpu_hash", "lru_percpu_hash", "percpu_cgroup_storage"}
# Their values are descriptors of the kernel's objects, of which they keep the object.
OF_OBJECTS: Final = {
    "perf_event_array": "a perf event's descriptor",
    "prog_array": "a Program",
    "array_of_maps": "a Map",
    "hash_of_maps": "a Map",
}
# What is refused with EINVAL.
ALIKE: Final = {
    "prog_array": "all its programs are of one type, that of who calls them",
    "array_of_maps": "all its maps have one type, sizes and flags",
    "hash_of_maps": "all its maps have one type, sizes and flags",
}
# They have no elements, but records, for which there are other classes.
RINGS: Final = {"ringbuf": "fb.RingBuffer", "user_ringbuf": "fb.UserRingBuffer"}

RDONLY_PROG: Final = 1 << 7  # BPF_F_RDONLY_PROG: programs cannot write to it (5.2)


def check_type(name: object) -> None:
    """Refuses what is no type of map, or none that fastbpf makes."""
    if name in list(TYPES):
        return
    there = f"there are {', '.join(TYPES)}"
    if name in NAMES.split()[1:]:
        raise LayoutError(f"fastbpf has no {name} maps yet; {there}")
    near = get_close_matches(str(name), TYPES)
    raise LayoutError(f"there is no map type {name!r}; {f'did you mean {near[0]!r}?' if near else there}")


def article(noun: str) -> str:
    """What stands before a type's name."""
    return "an" if noun.startswith("a") else "a"
