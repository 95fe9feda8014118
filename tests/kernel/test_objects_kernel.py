"""Objects that clang made, in the running kernel: judged by what their programs do, by bpftool, and by this process."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.objects import compiled

import fastbpf as fb
from fastbpf.asm import *

GLOBALS = """
const volatile u32 limit = 7;
const volatile char word[8] = "seven";
u64 calls;
s32 last = -5;

static NOINLINE int doubled(int x) { asm volatile("" : "+r"(x)); return 2 * x; }
static NOINLINE int more(int x) { asm volatile("" : "+r"(x)); return doubled(x) + 1; }

SEC("xdp") int length(struct xdp_md *ctx) { calls++; last = limit; return ctx->data_end - ctx->data + limit + word[0]; }
SEC("tc") int one(void *ctx) { return doubled(10); }
SEC("tc") int two(void *ctx) { return doubled(20) + more(30); }
SEC("?tc") int three(void *ctx) { return more(40); }
"""


@pytest.fixture
def whole(tmp_path):
    return fb.Object.open(compiled(tmp_path, GLOBALS))


def bpftool(*arguments):
    done = subprocess.run(["bpftool", "-j", *map(str, arguments)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_programs_run_and_global_variables_are_read_back(whole):
    with whole.load() as loaded:
        assert list(loaded.programs) == ["length", "one", "two"]
        variables = loaded.maps[".bss"]
        for calls in range(1, 4):
            assert loaded.programs["length"].test_run(bytes(60)).retval == 60 + 7 + ord("s")
            assert variables[0].calls == calls
        assert loaded.maps[".data"][0].last == 7
        assert (loaded.maps[".rodata"][0].limit, loaded.maps[".rodata"][0].word) == (7, "seven")
        variables[0] = type(variables[0])(calls=100)
        loaded.programs["length"].test_run(bytes(60))
        assert variables[0].calls == 101


def test_functions_are_called(whole):
    with whole.load(only=["two", "three", "one"]) as loaded:
        results = {name: program.test_run(bytes(60)).retval for name, program in loaded.programs.items()}
    assert results == {"two": 101, "three": 81, "one": 20}


def test_variables_are_given_before_the_verifier_looks(whole):
    with whole.load(variables={"limit": 1000, "word": "x", "last": 9}) as loaded:
        assert loaded.maps[".data"][0].last == 9
        assert loaded.programs["length"].test_run(bytes(60)).retval == 60 + 1000 + ord("x")
    with whole.load() as loaded:
        assert loaded.maps[".rodata"][0].limit == 7


def test_constants_are_frozen(whole):
    with whole.load() as loaded:
        constants = loaded.maps[".rodata"]
        with pytest.raises(fb.KernelError) as refused:
            constants[0] = constants[0]
        assert refused.value.errno == errno.EPERM
        assert bpftool("map", "show", "id", constants.id)["frozen"] == 1


def test_one_program_is_loaded_as_a_spec_is(whole):
    with whole.programs["two"].load(stats=True) as program:
        assert program.test_run(bytes(60)).retval == 101
        assert program.stats.insns_processed > 10
        assert program.spec is whole.programs["two"]
        assert program.info.name == "two"
    with pytest.raises(fb.StreamError, match="closed"):
        program.test_run(bytes(60))


NESTED = """
enum mode { COUNT = 1, SUM = 4 };
struct point { s16 x, y; };
struct settings { enum mode mode; struct point from, corners[3]; u32 on : 1, level : 7; u64 size; };
const volatile struct settings settings = { .mode = COUNT, .level = 3 };
struct settings copy;
char large[3 << 20];
struct { __uint(type, HASH); __type(key, struct point); __type(value, struct settings); __uint(max_entries, 9); }
    places SEC(".maps");

SEC("tc") int use(void *ctx) {
    struct point at = { settings.from.x, -settings.corners[2].y };
    const struct settings *from = (void *) &settings;
    asm volatile("" : "+r"(from));  // not what it was when this was compiled
    copy = *from;
    copy.level++;
    large[settings.level] = 1;
    update(&places, &at, &copy, 0);
    return settings.mode == SUM ? 1000 * settings.level + settings.from.y : settings.level;
}
"""


def test_structs_of_structs_are_values_and_variables(tmp_path):
    whole = fb.Object.open(compiled(tmp_path, NESTED))
    with whole.load() as loaded:
        assert loaded.programs["use"].test_run(bytes(60)).retval == 3
    kind = whole.maps[".rodata"].value.fields["settings"].struct
    point = kind.fields["from"].struct
    corners = [point(x=n, y=10 * n) for n in range(3)]
    values = {"mode": "SUM", "from": point(x=-5, y=6), "corners": corners, "on": 1, "level": 90, "size": 1 << 40}
    with whole.load(variables={"settings": kind(**values), "large": b"x"}) as loaded:
        assert loaded.programs["use"].test_run(bytes(60)).retval == 90006
        (at, found), *_ = loaded.maps["places"].items()
        assert (at.x, at.y) == (-5, -20)
        assert (found.mode, found.level, found.on, found.size) == ("SUM", 91, 1, 1 << 40)
        assert [(corner.x, corner.y) for corner in found.corners] == [(0, 0), (1, 10), (2, 20)]
        assert loaded.maps[".bss"][0].copy == found
        assert loaded.maps[".bss"][0].large[:91] == b"x".ljust(90, b"\0") + b"\1"
        (entry,) = bpftool("map", "dump", "id", loaded.maps["places"].id)
        assert entry["formatted"]["key"] == {"x": -5, "y": -20}
        assert entry["formatted"]["value"]["corners"] == [{"x": 0, "y": 0}, {"x": 1, "y": 10}, {"x": 2, "y": 20}]
        assert entry["formatted"]["value"]["level"] == "0x5b"


COUNTS = """
struct counted { u64 n; char comm[16]; };
struct {
    __uint(type, HASH); __type(key, u32); __type(value, struct counted); __uint(max_entries, 100);
} a_name_longer_than_15 SEC(".maps");
struct { __uint(type, RINGBUF); __uint(max_entries, 5000); } events SEC(".maps");
struct event { u32 pid; u32 n; };
const volatile u32 mine;

SEC("raw_tp/sys_enter") int count(void *ctx) {
    u32 pid = get_current_pid_tgid() >> 32;
    if (pid != mine) return 0;
    struct counted first = { .n = 1 }, *known = lookup(&a_name_longer_than_15, &pid);
    if (known) { __sync_fetch_and_add(&known->n, 1); return 1; }
    get_current_comm(first.comm, 16);
    update(&a_name_longer_than_15, &pid, &first, 0);
    struct event event = { pid, 3 };
    return ringbuf_output(&events, &event, sizeof(event), 0);
}
"""


class Event(fb.Struct):
    pid: fb.u32
    n: fb.u32


def test_an_attached_program_counts_in_structs_and_sends_records(tmp_path):
    whole = fb.Object.open(compiled(tmp_path, COUNTS))
    with whole.load(variables={"mine": os.getpid()}) as loaded:
        counts = loaded.maps["a_name_longer_than_15"]
        program = loaded.programs["count"]
        with fb.RingBuffer(loaded.maps["events"], Event) as stream, program.attach(program.spec.probe):
            for _ in range(50):
                os.getppid()
            assert stream.read(rows=1, seconds=5).to_pylist() == [{"pid": os.getpid(), "n": 3}]
        found = counts[os.getpid()]
        assert found.n >= 50
        assert found.comm == Path("/proc/self/comm").read_text().strip()
        # The kernel knows the types too: bpftool shows fields by name, and lines of C between instructions.
        (entry,) = bpftool("map", "dump", "id", counts.id)
        assert (entry["formatted"]["key"], entry["formatted"]["value"]["n"]) == (os.getpid(), found.n)
        dump = ["bpftool", "prog", "dump", "xlated", "id", str(program.id), "linum"]
        dumped = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
        line = 1 + next(n for n, text in enumerate(COUNTS.splitlines()) if "get_current_pid_tgid" in text)
        assert f"line_num:{line} " in dumped
        assert bpftool("map", "show", "id", counts.id)["name"] == "a_name_longer_t"


def test_a_map_is_shared_with_a_program_of_ours(tmp_path):
    text = """
    struct { __uint(type, ARRAY); __type(key, u32); __type(value, u64); __uint(max_entries, 4); } shared SEC(".maps");
    SEC("xdp") int add(void *ctx) { u32 key = 2; u64 *value = lookup(&shared, &key); if (value) *value += 5; return 2; }
    """
    whole = fb.Object.open(compiled(tmp_path, text))
    code = assemble(
        stw(fp, -4, 2),
        call.map_lookup_elem(whole.maps["shared"], fp - 4),
        jeq(r0, 0, "end"),
        ldxdw(r1, r0, 0),
        lsh(r1, 1),
        stxdw(r0, 0, r1),
        label("end"),
        mov(r0, 2),
        exit_(),
    )
    with fb.ProgramSpec("xdp", code).load() as ours:
        shared = ours.maps["shared"]
        with whole.load(maps={"shared": shared}) as loaded:
            assert loaded.maps["shared"] is shared
            loaded.programs["add"].test_run(bytes(60))
            ours.test_run(bytes(60))
            loaded.programs["add"].test_run(bytes(60))
        assert shared[2] == 15  # and it is still there
    with fb.MapSpec("array", value=fb.u32, max_entries=4).create() as other:
        with pytest.raises(fb.LayoutError, match="values of 8 bytes; the map that is given is .* values of 4 bytes"):
            whole.load(maps={"shared": other})


FIELDS = """
#define CO_RE __attribute__((preserve_access_index))
struct task_struct { int pid; struct task_struct *group_leader; int tgid; int no_such_field; } CO_RE;
struct task_struct___other { int tgid; } CO_RE;
struct no_such_struct { int a; } CO_RE;
#define EXISTS(field) __builtin_preserve_field_info(field, 2)
#define OFFSET(field) __builtin_preserve_field_info(field, 0)
#define READ(from) ({ __typeof__(from) to = 0; probe_read_kernel(&to, sizeof(to), &(from)); to; })
#define TASK(kind) ((struct kind *) get_current_task())

SEC("syscall") int tgid(void *ctx) { return READ(TASK(task_struct)->tgid); }
SEC("raw_tp/sys_enter") int other_tgid(void *ctx) { return READ(TASK(task_struct___other)->tgid); }
SEC("raw_tp/sys_enter") int leader(void *ctx) { return READ(READ(TASK(task_struct)->group_leader)->pid); }
SEC("raw_tp/sys_enter") int offset(void *ctx) { return OFFSET(TASK(task_struct)->tgid); }
SEC("raw_tp/sys_enter") int exists(void *ctx) {
    return EXISTS(TASK(task_struct)->tgid) + 2 * EXISTS(TASK(task_struct)->no_such_field)
        + 4 * EXISTS(((struct no_such_struct *) ctx)->a);
}
SEC("?raw_tp/sys_enter") int nowhere(void *ctx) { return READ(TASK(task_struct)->no_such_field); }
"""


def test_fields_are_where_this_kernel_has_them(tmp_path):
    whole = fb.Object.open(compiled(tmp_path, FIELDS))
    with whole.load() as loaded:
        results = {name: program.test_run().retval for name, program in loaded.programs.items()}
    text = subprocess.run(
        ["bpftool", "-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"], capture_output=True, text=True, check=True
    ).stdout
    (task,) = [one for one in json.loads(text)["types"] if one["kind"] == "STRUCT" and one["name"] == "task_struct"]
    (tgid,) = [one["bits_offset"] // 8 for one in task["members"] if one["name"] == "tgid"]
    pid = os.getpid()
    assert results == {"tgid": pid, "other_tgid": pid, "leader": pid, "offset": tgid, "exists": 1}


def test_a_field_that_this_kernel_does_not_have_is_told(tmp_path):
    whole = fb.Object.open(compiled(tmp_path, FIELDS))
    line = 1 + next(n for n, text in enumerate(FIELDS.splitlines()) if "int nowhere" in text)
    with pytest.raises(
        fb.VerifierError, match=rf"^program\.c:{line}: .*this kernel does not have \(CO-RE\)"
    ) as refused:
        whole.programs["nowhere"].load()
    assert refused.value.source == f"program.c:{line}"


LOADS = """
import sys, fastbpf as fb
whole = fb.Object(sys.stdin.buffer.read())
print(*whole.programs)
try:
    whole.load(only=sys.argv[1:])
except fb.Error as error:
    print(type(error).__name__, error)
"""


def test_without_privileges_an_object_is_read_and_the_remedy_told(tmp_path):
    raw = compiled(tmp_path, GLOBALS).read_bytes()
    # Root by name, which opens files, without root's rights.
    command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", sys.executable, "-c", LOADS, "one"]
    done = subprocess.run(command, input=raw, capture_output=True, check=True)
    programs, told = done.stdout.decode().splitlines()
    assert programs == "length one two three"
    assert told.startswith(
        "KernelError map '.bss' (array): cannot create the map: operation not permitted (errno 1); run as"
    )


def test_a_kernel_without_types_is_told(tmp_path):
    raw = compiled(tmp_path, FIELDS).read_bytes()
    hidden = 'mount --bind /dev/null /sys/kernel/btf/vmlinux && exec "$@"'
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        hidden,
        "-",
        sys.executable,
        "-c",
        LOADS,
        "tgid",
    ]
    told = subprocess.run(command, input=raw, capture_output=True, check=True).stdout.decode().splitlines()[1]
    assert told.startswith(
        "ObjectError the object reads fields of the kernel's structs (CO-RE), and this kernel does not say"
    )
    assert told.endswith("use one with CONFIG_DEBUG_INFO_BTF")


def test_a_refusal_names_the_line_of_c(tmp_path):
    text = """
    SEC("xdp") int fine(void *ctx) { return 2; }
    SEC("xdp") int wild(struct xdp_md *ctx) {
        u8 *data = (void *) (u64) ctx->data;
        return data[20];
    }
    """
    with pytest.raises(fb.VerifierError) as refused:
        fb.Object.open(compiled(tmp_path, text)).load()
    error = refused.value
    assert error.source == "program.c:5"
    assert str(error).startswith("program.c:5: the verifier refused instruction ")
    assert "\n" not in str(error)
    assert any("return data[20];" in line for line in error.log)
    assert "invalid access to packet" in error.reason


def test_maps_of_other_types_are_made_too(tmp_path):
    text = """
    struct bpf_spin_lock { u32 val; };
    struct locked { struct bpf_spin_lock lock; u32 n; };
    struct { __uint(type, PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } perf SEC(".maps");
    #define MAP(kind, of, n) struct { __uint(type, kind); __type(key, u32); __type(value, of); __uint(max_entries, n); }
    MAP(PERCPU_ARRAY, u32, 2) each SEC(".maps");
    MAP(5, u32, 9) some SEC(".maps");
    struct {
        __uint(type, 7); __uint(key_size, 4); __uint(value_size, 1016); __uint(max_entries, 9);
    } stacks SEC(".maps");
    MAP(ARRAY, struct locked, 1) safe SEC(".maps");
    struct { __uint(type, 22); __uint(value_size, 12); __uint(max_entries, 3); } line SEC(".maps");
    struct {
        __uint(type, ARRAY_OF_MAPS); __type(key, u32); __uint(max_entries, 2);
        __array(values, struct { __uint(type, HASH); __type(key, u32); __type(value, u64); __uint(max_entries, 9); });
    } outer SEC(".maps");
    static void (*spin_lock)(void *) = (void *) 93;
    static void (*spin_unlock)(void *) = (void *) 94;
    SEC("tc") int use(void *ctx) {
        u32 key = 1, zero = 0, three = 3, *each_ = lookup(&each, &key);
        struct locked *locked = lookup(&safe, &zero);
        if (locked) { spin_lock(locked); locked->n++; spin_unlock(locked); }
        if (each_) *each_ += 3;
        update(&some, &key, &three, 0);
        void *inner = lookup(&outer, &key);
        u64 *value = inner ? lookup(inner, &key) : 0;
        return value ? *value : 7;
    }
    """
    whole = fb.Object.open(compiled(tmp_path, text))
    assert {name: one.type for name, one in whole.maps.items()} == {
        "perf": "perf_event_array", "each": "percpu_array", "safe": "array", "line": "queue", "outer": "array_of_maps",
        "some": "percpu_hash", "stacks": "stack_trace",
    }  # fmt: skip
    assert whole.maps["stacks"] == fb.MapSpec("stack_trace", value=fb.u64[127], max_entries=9, name="stacks")
    with whole.load() as loaded, fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=9).create() as inner:
        shown = {name: bpftool("map", "show", "id", one.id) for name, one in loaded.maps.items()}
        assert {name: one["type"] for name, one in shown.items()} == {n: one.type for n, one in whole.maps.items()}
        possible = Path("/sys/devices/system/cpu/possible").read_text().strip()
        assert shown["perf"]["max_entries"] == int(possible.rpartition("-")[2]) + 1
        assert (shown["line"]["bytes_value"], shown["line"]["max_entries"]) == (12, 3)
        program = loaded.programs["use"]
        assert program.test_run(bytes(60)).retval == 7
        assert sum(loaded.maps["each"][1]) == sum(loaded.maps["some"][1]) == 3
        assert loaded.maps["safe"][0].n == 1
        inner[1] = 44
        outer = loaded.maps["outer"]
        assert dict(outer) == {}
        outer[1] = inner
        assert dict(outer) == {1: inner.id}
        assert program.test_run(bytes(60)).retval == 44
        with pytest.raises(fb.LayoutError, match="44: a value of .* is a Map"):
            outer[1] = 44
        with pytest.raises(fb.KernelError, match="all its maps have one type, sizes and flags"):
            outer[0] = loaded.maps["each"]
    # A lock is one for maps that are made without the object too.
    with whole.maps["safe"].create() as safe, whole.load(maps={"safe": safe}) as loaded:
        loaded.programs["use"].test_run(bytes(60))
        assert safe[0].n == 1


def test_a_program_without_a_license_is_no_gpl_program(tmp_path):
    text = 'SEC("raw_tp/sys_enter") int use(void *ctx) { int to; return probe_read_kernel(&to, 4, ctx); }'
    with pytest.raises(fb.VerifierError, match="GPL"):
        fb.Object.open(compiled(tmp_path, text, "unlicensed", "-DNO_LICENSE")).load()
    with fb.Object.open(compiled(tmp_path, text)).load():
        pass


def test_what_the_kernel_does_not_make_is_named(tmp_path):
    text = """
    struct { __uint(type, HASH); __type(key, u32); __type(value, u64); } endless SEC(".maps");
    SEC("xdp") int use(void *ctx) { u32 key = 0; return !!lookup(&endless, &key); }
    """
    whole = fb.Object.open(compiled(tmp_path, text))
    with pytest.raises(fb.KernelError, match=r"map 'endless' \(hash\): cannot create the map") as refused:
        whole.load()
    assert refused.value.errno == errno.EINVAL


def test_programs_for_functions_of_the_kernel_find_them(tmp_path):
    text = """
    SEC("tp_btf/sched_switch") int switched(u64 *ctx) { return 0; }
    SEC("iter/task") int tasks(void *ctx) { return 0; }
    SEC("?tp_btf/no_such_tracepoint") int nowhere(u64 *ctx) { return 0; }
    """
    whole = fb.Object.open(compiled(tmp_path, text))
    with whole.load() as loaded:
        for program in loaded.programs.values():
            assert bpftool("prog", "show", "id", program.id)["type"] == "tracing"
    with pytest.raises(
        fb.ProbeError, match="'nowhere' is for tp_btf:no_such_tracepoint; this kernel has no btf_trace_no_"
    ):
        whole.programs["nowhere"].load()


def test_without_types_an_object_does_the_same(tmp_path):
    whole = fb.Object.open(compiled(tmp_path, GLOBALS, "stripped", "-g0"))
    with whole.load() as loaded:
        assert loaded.programs["length"].test_run(bytes(60)).retval == 60 + 7 + ord("s")
        assert loaded.programs["two"].test_run(bytes(60)).retval == 101
        assert loaded.maps[".bss"][0] == (1).to_bytes(8, "little")


def test_maps_of_the_old_form_work(tmp_path):
    text = """
    struct bpf_map_def { u32 type, key_size, value_size, max_entries, map_flags; };
    struct bpf_map_def SEC("maps") old = { ARRAY, 4, 8, 5, 0 };
    SEC("xdp") int use(void *ctx) { u32 key = 3; u64 *n = lookup(&old, &key); if (n) *n += 7; return 2; }
    """
    with fb.Object.open(compiled(tmp_path, text)).load() as loaded:
        loaded.programs["use"].test_run(bytes(60))
        assert loaded.maps["old"][3] == (7).to_bytes(8, "little")


def test_variables_of_a_given_map_are_refused(whole):
    with whole.maps[".rodata"].create() as constants:
        assert constants[0].limit == 7
        with whole.load(maps={".rodata": constants}) as loaded:
            assert loaded.programs["length"].test_run(bytes(60)).retval == 60 + 7 + ord("s")
        with pytest.raises(fb.ObjectError, match=r"limit is in \.rodata, and that map is given"):
            whole.load(maps={".rodata": constants}, variables={"limit": 1})
