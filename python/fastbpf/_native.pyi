"""fastbpf's core in Rust: kernel objects, the ring buffer's reader, and record batches.

Not a public interface: `fastbpf.Map`, `fastbpf.Program`, `fastbpf.RingBuffer` and their siblings are. What is here takes
descriptors, numbers and bytes that its caller has checked.
"""

from typing import Any, TypeAlias, final

__all__ = [
    "Child",
    "Decoder",
    "Link",
    "Load",
    "Map",
    "MapReader",
    "Memory",
    "Object",
    "Program",
    "RecordBatch",
    "Stream",
    "UserRing",
    "btf_enumerators",
    "btf_has_member",
    "btf_id",
    "btf_layouts",
    "btf_members",
    "btf_names",
    "btf_structs",
    "clock_offsets",
    "map_ids",
    "online_cpus",
    "program_instructions",
    "program_verdicts",
    "record_schema",
    "wait_for_running_programs",
]

_BtfMember: TypeAlias = tuple[
    str, int, int | None, int | None, str, list[tuple[str, int]] | None, tuple[str, int, int, list[_BtfMember]] | None
]

@final
class RecordBatch:
    """A batch of rows that speaks the Arrow PyCapsule interface, so that pyarrow, polars … read it without a copy."""

    @staticmethod
    def imported(reader: object) -> RecordBatch:
        """The next batch of a `pyarrow.RecordBatchReader`."""

    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...
    @property
    def num_rows(self) -> int:
        """The number of rows."""

    @property
    def table(self) -> int:
        """Which of its stream's tables it is a part of."""

    def of_table(self, table: int) -> RecordBatch:
        """The same rows as a part of another table."""

    @property
    def column_names(self) -> list[str]:
        """The columns' names, in their order."""

    def slice(self, offset: int, length: int) -> RecordBatch:
        """Up to `length` rows from `offset` on, without a copy."""

    def to_ndjson(self, first: tuple[str, str] | None = None) -> bytes:
        """A JSON object a line; `first` is the name of a field in front, and its value in all of them.

        Times are ISO 8601 in UTC with nine digits, durations nanoseconds, 64-bit integers plain numbers, bytes hexadecimal
        text, lists arrays, structs objects, and null is null.
        """

    def to_csv(self, header: bool = True) -> bytes:
        """Comma-separated values (RFC 4180); as `to_ndjson`, but null is empty, and lists and structs are their JSON text."""

    def to_text(self, offset: int, length: int) -> list[list[str | None]]:
        """Rows as a terminal shows them, a list of cells each; None is null."""

@final
class Map:
    """A map in the kernel, on bytes (bpf(2), BPF_MAP_CREATE).

    `types` are BTF, and the numbers there of the types of key and value; `inner` is like the maps that a map of maps is
    to hold.
    """

    def __new__(
        cls,
        kind: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        flags: int,
        name: str,
        possible_cpus: int,
        *,
        types: tuple[bytes, int, int] | None = None,
        inner: Map | None = None,
        numa_node: int = 0,
        extra: int = 0,
    ) -> Map: ...
    @staticmethod
    def at(path: bytes, possible_cpus: int) -> Map:
        """The map that is pinned there (BPF_OBJ_GET). Raises `LayoutError` for what is no map."""

    @staticmethod
    def of_id(id: int, possible_cpus: int) -> Map:
        """The map of that number (BPF_MAP_GET_FD_BY_ID)."""

    @staticmethod
    def of_fd(fd: int, possible_cpus: int) -> Map:
        """The map of a descriptor, with a descriptor of its own."""

    def pin(self, path: bytes) -> None:
        """Gives it a path in a bpffs (BPF_OBJ_PIN)."""

    def types(self) -> tuple[_BtfMember | None, _BtfMember | None]:
        """The types of key and value as members without a name (see `btf_layouts`), where the kernel was told."""

    def fileno(self) -> int:
        """The descriptor, which stays the map's."""

    def info(self) -> dict[str, Any]:
        """What the kernel knows of it (BPF_OBJ_GET_INFO_BY_FD)."""

    def lookup(self, key: bytes) -> bytes | None:
        """The value, or None; of per-CPU maps each possible CPU's, rounded up to 8 bytes."""

    def lookup_number(self, signed: bool, key: bytes) -> int | None:
        """The value of a map of numbers, or None."""

    def take(self, key: bytes) -> bytes | None:
        """As `lookup`, and the element is gone (BPF_MAP_LOOKUP_AND_DELETE_ELEM)."""

    def holds(self, value: bytes) -> bool:
        """Whether a bloom filter has seen a value."""

    def update(self, key: bytes, value: bytes, flags: int) -> None:
        """Writes an element."""

    def delete(self, key: bytes) -> bool:
        """Deletes an element; False when there is none."""

    def update_rows(
        self,
        reader: object,
        keys: tuple[list[tuple[str, int, str]], int],
        values: tuple[list[tuple[str, int, str]], int],
        cpus: list[int] | None,
        flags: int,
    ) -> tuple[int, list[int], list[int]]:
        """Writes the rows of a `pyarrow.RecordBatchReader`: how many were written, which were not, their errno.

        `keys` and `values` are columns and a size; with `cpus` rows are in the long form, a row for each of these CPUs.
        """

    def delete_rows(
        self, reader: object, keys: tuple[list[tuple[str, int, str]], int]
    ) -> tuple[int, list[int], list[int]]:
        """Deletes the elements with these keys, as `update_rows` writes them."""

    def next_key(self, key: bytes | None) -> bytes | None:
        """The key after this one, the first after None, None after the last."""

    def read(
        self,
        key: list[tuple[str, int, str]],
        value: list[tuple[str, int, str]],
        names: list[str],
        cpus: list[int],
        reduce: str | None = None,
        *,
        locked: bool = False,
        drain: bool = False,
        rows: int | None = None,
    ) -> MapReader:
        """All elements as batches of at most `rows` rows. `names` are the columns', `cpus` the possible CPUs' numbers."""

    def memory(self, address: int, len: int, writable: bool) -> Memory:
        """The first bytes of its values, mapped; at that address if there is room, wherever there is if it is 0."""

    def freeze(self) -> None:
        """Takes the right to write elements from every process, this one too (BPF_MAP_FREEZE)."""

    def close(self) -> None:
        """Lets go of the map."""

@final
class MapReader:
    """A map that is being read, from its beginning to its end. It keeps only a map open that it drains."""

    def __iter__(self) -> MapReader: ...
    def __next__(self) -> RecordBatch: ...
    def __arrow_c_schema__(self) -> object: ...
    def read_all(self) -> list[RecordBatch]:
        """All batches. After an interruption the next call goes on, and gives all the same."""

@final
class Memory:
    """The memory of a map. Raises `LayoutError` for what is beyond it."""

    def __len__(self) -> int: ...
    @property
    def writable(self) -> bool:
        """Whether it can be written to."""

    def read(self, at: int, size: int) -> bytes:
        """Aligned numbers of up to 8 bytes are read whole."""

    def write(self, at: int, bytes: bytes) -> None:
        """Aligned numbers of up to 8 bytes are written whole."""

    def fetch_add(self, at: int, size: int, value: int) -> int:
        """What was there before."""

    def compare_exchange(self, at: int, size: int, old: int, new: int) -> bool:
        """Whether the old one was there."""

    def close(self) -> None:
        """Unmaps it."""

@final
class Program:
    """A program in the kernel (bpf(2), BPF_PROG_LOAD). Raises `VerifierError` with the log when it is refused.

    `functions` are the slots at which the program's functions begin, and their names: the kernel needs them for
    callbacks, the program itself first. `fds` is what instructions name by index. With `statistics` the verifier's are
    in `log`.
    """

    def __new__(
        cls,
        kind: int,
        instructions: bytes,
        license: str,
        name: str,
        *,
        flags: int = 0,
        functions: list[tuple[int, str]] = ...,
        fds: list[int] = ...,
        statistics: bool = False,
    ) -> Program: ...
    @property
    def log(self) -> str:
        """What the verifier said of the program that it accepted: nothing, or its statistics."""

    def fileno(self) -> int:
        """The descriptor, which stays the program's."""

    def info(self) -> dict[str, int | str]:
        """What the kernel knows of it (bpf(2), BPF_OBJ_GET_INFO_BY_FD)."""

    def test_run(self, data: bytes | None, ctx: bytes | None, repeat: int) -> tuple[int, int, bytes, bytes]:
        """Runs it: return value, nanoseconds a run, the packet and the context afterwards (BPF_PROG_TEST_RUN)."""

    def close(self) -> None:
        """Lets go of the program."""

@final
class Object:
    """An ELF object, read by aya-obj. Raises `ObjectError` for what is none."""

    def __new__(cls, data: bytes) -> Object: ...
    @property
    def license(self) -> str:
        """What it says in its section of that name; nothing without one."""

    def programs(self) -> list[tuple[str, str, tuple[bytes, list[tuple[int, str, int]]]]]:
        """Name, section and code of each, in the order of the file.

        Code is instructions, the functions that are called behind, and the slots, files and numbers of lines that begin
        there. Where it names a map, it has the number of the map in `maps()`.
        """

    def maps(self) -> list[tuple[str, list[int], _BtfMember | None, _BtfMember | None, bytes]]:
        """Each map, in the order of their names.

        Its name; type, key size, value size, entries and flags; the types of key and value where the object tells
        them, as members (see `btf_layouts`) without a name; and the global variables.
        """

@final
class Load:
    """An object on its way into the kernel: `create_map` for each map, `link`, then `program` for each program.

    Making one gives the object's types to the kernel, and fields of the kernel's structs their places in this kernel.
    """

    def __new__(cls, object: Object) -> Load: ...
    def create_map(
        self,
        object_name: str,
        kind: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        flags: int,
        name: str,
        possible_cpus: int,
    ) -> Map:
        """Makes the map of that name in the object, with the object's types for it, and maps that go into it."""

    def link(self, maps: dict[str, int]) -> None:
        """Puts the descriptors of maps into the code, and functions behind the programs that call them."""

    def code(self, program: str) -> tuple[bytes, list[tuple[int, str, int]]]:
        """As `Object.programs` has it, with the descriptors of maps."""

    def program(self, program: str, kind: int, flags: int, attach_type: int, btf_id: int, statistics: bool) -> Program:
        """Has the kernel verify a program. Raises `VerifierError` with the log when it is refused."""

@final
class Link:
    """A program on its hook."""

    @staticmethod
    def tracepoint(program: Program, id: int) -> Link:
        """Attaches to the tracepoint that has this id in tracefs."""

    @staticmethod
    def raw_tracepoint(program: Program, name: str) -> Link:
        """Attaches to a raw tracepoint (BPF_RAW_TRACEPOINT_OPEN)."""

    @staticmethod
    def kprobe(program: Program, pmu: int, config: int, function: str, offset: int) -> Link:
        """Attaches to a function; `pmu` and `config` are what sysfs has of the PMU "kprobe"."""

    @staticmethod
    def xdp(program: Program, index: int) -> Link:
        """Attaches to the interface of that number, in the network namespace of this thread."""

    @staticmethod
    def tcx(program: Program, index: int, egress: bool) -> Link:
        """Attaches to one side of the interface of that number, in the network namespace of this thread."""

    @property
    def kind(self) -> str:
        """How it is attached."""

    def fileno(self) -> int:
        """The descriptor, which stays the link's."""

    def close(self) -> None:
        """Detaches."""

@final
class Stream:
    """A reader of buffers: looks at them, decodes, and hands out batches.

    A table's `(fields, size, metadata)` are what `Struct.columns()` and `Struct.size` give, and what its schema tells; a tag is its field's name, offset and
    width, and `(number, table)` for each type of record; a sequence is offset and width of its number, and of the field
    that tells which sequence it is of. A manner has max_rows, max_latency, background, overflow, look_back and decode.
    """

    @staticmethod
    def rings(
        map_fds: list[int],
        tables: list[tuple[list[tuple[str, int, str]], int, dict[str, str]]],
        tag: tuple[str, int, int, list[tuple[int, int]]] | None,
        sequence: tuple[tuple[int, int], tuple[int, int] | None] | None,
        manner: object,
    ) -> Stream:
        """Reads ring buffers, whose records are of the same types."""

    @staticmethod
    def perf_buffers(
        map_fd: int,
        size: int,
        overwrite: bool,
        tables: list[tuple[list[tuple[str, int, str]], int, dict[str, str]]],
        tag: tuple[str, int, int, list[tuple[int, int]]] | None,
        sequence: tuple[tuple[int, int], tuple[int, int] | None] | None,
        counts: bool,
        manner: object,
    ) -> Stream:
        """Makes and reads the perf buffers of a map, `size` bytes a CPU; with `counts` the kernel's losses are counted.

        Fields may stand before the record: the sample's time at -20, its CPU at -12.
        """

    @staticmethod
    def combined(parts: list[Stream], manner: object) -> Stream:
        """Reads what several streams read, which are over."""

    def next(
        self, to: list[RecordBatch], timeout: float | None, least: int, most: int, until: int | None = None
    ) -> str:
        """Adds the next batch to a list and gives "", or why there is none: "timeout", "end" or "until".

        The last means that this descriptor has become readable.

        Waits for `least` rows, a full batch or the time-out (seconds), without the GIL; gives at most `most` rows.
        """

    def accounted(self, batch: RecordBatch, lost: int | None, missed: int | None) -> RecordBatch:
        """The batch, with a schema whose metadata tells where events went so far; two counts are the program's."""

    def poll(self, least: int, most: int) -> tuple[RecordBatch | None, str]:
        """As `next`, without a wait: "pending" says that `fileno()` will become readable."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when there is something for whom `poll` told to wait."""

    def names(self) -> list[str]:
        """The names of the tables."""

    def sources(self) -> list[str]:
        """The kind of buffer of each source: "ring" or "perf"."""

    def schemas(self) -> list[object]:
        """The Arrow schema of each table, as capsules."""

    def statistics(self) -> dict[str, int]:
        """Counts, by the names that `Stats` has for them; `lateness` in nanoseconds, `lost` what it saw of it."""

    def pause(self, paused: bool) -> None:
        """While paused, what programs send to perf buffers is lost."""

    def hold(self, held: bool) -> None:
        """While held, reads what is in the buffers now, and nothing that comes later."""

    def stop(self) -> None:
        """Nothing more is written: what is there is read to the end."""

    def close(self) -> None:
        """Ends the stream; what was not read is counted."""

@final
class UserRing:
    """The writer of a user ring buffer; `fields` and `size` are what `Struct.columns()` and `Struct.size` give."""

    def __new__(cls, map_fd: int, fields: list[tuple[str, int, str]], size: int) -> UserRing: ...
    def write(self, reader: object, timeout: float | None) -> int:
        """Writes the rows of a `pyarrow.RecordBatchReader` for which there is room in time, without the GIL."""

    @property
    def written(self) -> int:
        """Rows, since it was made."""

    @property
    def unread(self) -> int:
        """Bytes that programs have not read, headers included."""

    def close(self) -> None:
        """Lets go of the ring."""

@final
class Decoder:
    """Decodes records that were taken from buffers whole, as the live reader does.

    A source is the kind of its buffers, "ring" or "perf", its tables and its tag, as `Stream` takes them.
    """

    def __new__(
        cls,
        sources: list[
            tuple[
                str,
                list[tuple[list[tuple[str, int, str]], int, dict[str, str]]],
                tuple[str, int, int, list[tuple[int, int]]] | None,
            ]
        ],
        max_rows: int,
    ) -> Decoder: ...
    def decode(self, source: int, bytes: bytes, clocks: tuple[int, int, int]) -> None:
        """Decodes whole records of a source; `clocks` as `clock_offsets` gave them when the bytes were taken."""

    def take(self, end: bool) -> list[RecordBatch]:
        """The batches that became full; at the `end` the others too."""

    @property
    def cuts(self) -> int:
        """Texts that were longer than their column takes."""

    def names(self) -> list[str]:
        """The names of the tables."""

    def schemas(self) -> list[object]:
        """The Arrow schema of each table, as capsules."""

@final
class Child:
    """A child process that runs a program once before its command begins."""

    def __new__(cls, command: list[str], program: Program) -> Child: ...
    @property
    def pid(self) -> int:
        """Its process id."""

    def fileno(self) -> int:
        """A descriptor that is readable when it has ended (pidfd_open(2))."""

    def poll(self) -> int | None:
        """Its exit code, minus the signal's number when one ended it, None while it runs."""

def record_schema(fields: list[tuple[str, int, str]], size: int) -> object:
    """The Arrow schema of a record, as a capsule."""

def btf_enumerators(name: str) -> list[tuple[str, int]] | None:
    """The names and numbers of `enum name` of the kernel, in its order; None when it has no such enum, or no BTF."""

def btf_has_member(name: str, path: list[str]) -> bool | None:
    """Whether the kernel's `struct name` has such a member; None when the kernel has no BTF."""

def btf_id(name: str, kind: int) -> int | None:
    """The kernel's number for its function or variable (BTF_KIND_FUNC 12, BTF_KIND_VAR 14).

    None when it has none of that name, or no BTF.
    """

def btf_layouts(name: str, object: bytes | None = None) -> list[tuple[str, int, int, list[_BtfMember]]] | None:
    """The different structs of that name ("struct event", or a typedef's) of an ELF file, of raw BTF or of the kernel.

    Each is (name, size, align, members), a member (name, bit, width, count, type, names, layout): the width of a
    bitfield, the count of an array, the names of an enum, the layout of a struct, or None. None when the kernel has no
    BTF. Raises `LayoutError` for a file that has none.
    """

def btf_structs(object: bytes | None = None) -> list[str]:
    """The names of all structs."""

def btf_members(id: int) -> list[tuple[str, int, int, int]] | None:
    """The members of the kernel's struct or union of that number: name, place in bits, bits of a bit field, type.

    Those of anonymous structs and unions are among them. None when the number is of something else.
    """

def btf_names(kind: int, tag: str | None = None) -> list[str]:
    """The names of all types of a kind in the kernel's BTF; with a tag such as "bpf_kfunc", of those that carry it."""

def program_instructions(id: int) -> bytes:
    """The instructions of a loaded program, as the verifier has rewritten them; none if the kernel does not show them.

    Raises `KernelError` when there is no such program. Source: bpf(2), BPF_OBJ_GET_INFO_BY_FD.
    """

def program_verdicts(
    kind: int, attach_type: int, btf_id: int, flags: int, programs: list[bytes]
) -> list[tuple[int, str]]:
    """What the kernel says of programs under the GPL that are not kept: errno, or 0, and the verifier's log.

    `attach_type` and `btf_id` say what they are for, where the kernel wants to know (bpf(2), BPF_PROG_LOAD).
    """

def clock_offsets() -> tuple[int, int, int]:
    """Nanoseconds to add to CLOCK_MONOTONIC, CLOCK_BOOTTIME and CLOCK_TAI to get UTC, now."""

def map_ids() -> list[int]:
    """The numbers of all maps in the kernel (BPF_MAP_GET_NEXT_ID)."""

def online_cpus() -> list[int]:
    """The CPUs that are running, by their numbers, which may have holes (/sys/devices/system/cpu/online)."""

def wait_for_running_programs() -> None:
    """Returns when every program that was running has ended (an RCU grace period, membarrier(2))."""
