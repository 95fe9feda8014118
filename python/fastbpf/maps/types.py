"""Types of maps, by the kernel's names, and what they have in common."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from fastbpf.errors import LayoutError
from fastbpf.record import FieldType, Struct, u32, u64

Layout = FieldType | type[Struct]

# enum bpf_map_type, include/uapi/linux/bpf.h, in its order
NAMES: Final = """
unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash
lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage
task_storage bloom_filter user_ringbuf cgrp_storage arena insn_array
"""
# What the kernel makes of a struct of its own, and of a program's code.
_NOT_MADE: Final = {
    "struct_ops": "its value is a struct of functions of the kernel, which only an object's BTF describes",
    "insn_array": "it holds places in a program's code, for indirect jumps, which fastbpf's assembler does not have",
}
TYPES: Final = {name: number for number, name in enumerate(NAMES.split()) if number and name not in _NOT_MADE}
# Their keys are numbers from 0 on, or what the kernel gives.
NUMBERED: Final = {
    *("array", "percpu_array", "perf_event_array", "prog_array", "stack_trace", "array_of_maps", "cgroup_array"),
    *("devmap", "sockmap", "cpumap", "xskmap", "reuseport_sockarray"),
}
PER_CPU: Final = {"percpu_array", "percpu_hash", "lru_percpu_hash", "percpu_cgroup_storage"}
OF_MAPS: Final = {"array_of_maps", "hash_of_maps"}
# Their values are descriptors of the kernel's objects, of which they keep the object.
OF_OBJECTS: Final = {
    "perf_event_array": "a perf event's descriptor",
    "prog_array": "a Program",
    "cgroup_array": "an open cgroup directory",
    "array_of_maps": "a Map",
    "hash_of_maps": "a Map",
    "xskmap": "an AF_XDP socket",
    "sockmap": "a socket",
    "sockhash": "a socket",
    "reuseport_sockarray": "a socket",
}
# What is refused with EINVAL.
ALIKE: Final = {
    "prog_array": "all its programs are of one type, that of who calls them",
    "array_of_maps": "all its maps have one type, sizes and flags",
    "hash_of_maps": "all its maps have one type, sizes and flags",
}
# Of their indexes the kernel says that there is something already, or it does not know the flag that asks for it.
ALWAYS_THERE: Final = {"prog_array", "array_of_maps", "devmap", "cpumap"}
# A walk over them gives each index, whether there is something or not.
SPARSE: Final = {"prog_array", "array_of_maps", "devmap", "cpumap", "sockmap", "reuseport_sockarray"}
# Values without a key.
QUEUES: Final = {"queue", "stack"}
KEYLESS: Final = {*QUEUES, "bloom_filter"}
# What belongs to an object of the kernel, which a descriptor names, and goes with it.
STORAGE: Final = {
    "sk_storage": "a socket",
    "task_storage": "a pidfd (os.pidfd_open)",
    "inode_storage": "an open file",
    "cgrp_storage": "an open cgroup directory",
}
# They have as many elements as there are such objects, and max_entries is 0.
ENDLESS: Final = {*STORAGE, "cgroup_storage", "percpu_cgroup_storage"}
# They have no elements, but records, for which there are other classes, or memory.
RINGS: Final = {"ringbuf": "fb.RingBuffer", "user_ringbuf": "fb.UserRingBuffer"}
BARE: Final = {*RINGS, "arena"}

# The types that are theirs unless another is given, with a value of sockets that reads as their cookie.
KEYS: Final = {
    **dict.fromkeys(NUMBERED, u32),
    "devmap_hash": u32,
    **dict.fromkeys(("cgroup_storage", "percpu_cgroup_storage"), u64),
}
VALUES: Final = {
    **dict.fromkeys(("perf_event_array", "prog_array", "cgroup_array", "array_of_maps", "hash_of_maps"), u32),
    **dict.fromkeys(("xskmap", "devmap", "devmap_hash", "cpumap"), u32),
    **dict.fromkeys(("sockmap", "sockhash", "reuseport_sockarray"), u64),
}

NO_PREALLOC: Final = 1 << 0  # BPF_F_NO_PREALLOC
NUMA_NODE: Final = 1 << 2  # BPF_F_NUMA_NODE (4.14)
RDONLY_PROG: Final = 1 << 7  # BPF_F_RDONLY_PROG: programs cannot write to it (5.2)
MMAPABLE: Final = 1 << 10  # BPF_F_MMAPABLE (5.5)
# Without these the kernel makes no such map.
FLAGS: Final = {"lpm_trie": NO_PREALLOC, **dict.fromkeys(STORAGE, NO_PREALLOC), "arena": MMAPABLE}

# What the kernel has to be built with, where that is a choice apart from CONFIG_BPF_SYSCALL and CONFIG_NET.
CONFIGURED: Final = {
    **dict.fromkeys(("cgroup_array", "cgroup_storage", "percpu_cgroup_storage", "cgrp_storage"), "CONFIG_CGROUP_BPF"),
    "inode_storage": "CONFIG_BPF_LSM",
    "xskmap": "CONFIG_XDP_SOCKETS",
    "stack_trace": "CONFIG_PERF_EVENTS",
    "arena": "CONFIG_MMU and CONFIG_64BIT",
}


def check_type(name: object) -> None:
    """Refuses what is no type of map, or none that fastbpf makes."""
    if name in list(TYPES):
        return
    if name in list(_NOT_MADE):
        raise LayoutError(f"fastbpf makes no {name} maps: {_NOT_MADE[str(name)]}")
    near = get_close_matches(str(name), TYPES)
    there = f"there are {', '.join(TYPES)}"
    raise LayoutError(f"there is no map type {name!r}; {f'did you mean {near[0]!r}?' if near else there}")


def type_name(number: int) -> str:
    """The kernel's name, or the number where that is newer than fastbpf."""
    names = NAMES.split()
    return names[number] if number < len(names) else str(number)


def type_number(name: str) -> int:
    """The reverse of `type_name`."""
    names = NAMES.split()
    return names.index(name) if name in names else int(name)


def article(noun: str) -> str:
    """What stands before a type's name."""
    return "an" if noun[0] in "aix" else "a"
