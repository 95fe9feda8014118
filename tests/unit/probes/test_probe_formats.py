"""Format files, as the kernel writes them, read as fields."""

from __future__ import annotations

import ctypes

import pytest

from fastbpf.probes import Array, Bytes, Chars, DataLoc, Field, Read, Scalar, UserText, parse
from fastbpf.probes.c_types import number

COMMON = """\
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""


def event(name: str, *lines: str) -> str:
    fields = "".join(f"\t{line}\n" for line in lines)
    return f'name: {name}\nID: 99\nformat:\n{COMMON}{fields}\nprint fmt: "field:%d; offset:1;", REC->x\n'


@pytest.mark.parametrize(
    ("line", "name", "c_type", "read"),
    [
        ("field:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;", "pid", "pid_t", Scalar(24, 4, 4, True)),
        ("field:bool success;\toffset:8;\tsize:1;\tsigned:0;", "success", "bool", Scalar(8, 1, 1, False, boolean=True)),
        ("field:char last;\toffset:9;\tsize:1;\tsigned:0;", "last", "char", Scalar(9, 1, 1, False)),
        ("field:enum foo x;\toffset:8;\tsize:4;\tsigned:0;", "x", "enum foo", Scalar(8, 4, 4, False)),
        ("field:enum packed x;\toffset:8;\tsize:1;\tsigned:1;", "x", "enum packed", Scalar(8, 1, 1, True)),
        ("field:xfs_ino_t ino;\toffset:16;\tsize:8;\tsigned:0;", "ino", "xfs_ino_t", Scalar(16, 8, 8, False)),
        (
            "field:const struct foo * p;\toffset:8;\tsize:8;\tsigned:0;",
            "p",
            "const struct foo *",
            Scalar(8, 8, 8, False),
        ),
        ("field:const void*p;\toffset:8;\tsize:8;\tsigned:0;", "p", "const void*", Scalar(8, 8, 8, False)),
        ("field:const char * s;\toffset:8;\tsize:8;\tsigned:0;", "s", "const char *", Scalar(8, 8, 8, False)),
        ("field:void __seg_gs * p;\toffset:8;\tsize:8;\tsigned:0;", "p", "void __seg_gs *", Scalar(8, 8, 8, False)),
        ("field:char comm[16];\toffset:8;\tsize:16;\tsigned:1;", "comm", "char[16]", Chars(8, 16)),
        ("field:char comm[TASK_COMM_LEN];\toffset:8;\tsize:16;", "comm", "char[TASK_COMM_LEN]", Chars(8, 16)),
        (
            "field:unsigned long args[6];\toffset:16;\tsize:48;\tsigned:0;",
            "args",
            "unsigned long[6]",
            Array(16, 8, False, 6),
        ),
        ("field:u8 mac[6];\toffset:9;\tsize:6;\tsigned:0;", "mac", "u8[6]", Array(9, 1, False, 6)),
        ("field:s32 vec[LEN];\toffset:8;\tsize:12;\tsigned:1;", "vec", "s32[LEN]", Array(8, 4, True, 3)),
        ("field:opaque vec[LEN];\toffset:8;\tsize:12;\tsigned:1;", "vec", "opaque[LEN]", Bytes(8, 12)),
        ("field:guid_t ids[2];\toffset:8;\tsize:32;\tsigned:0;", "ids", "guid_t[2]", Bytes(8, 32)),
        ("field:u8 grid[2][3];\toffset:8;\tsize:6;\tsigned:0;", "grid", "u8[2][3]", Bytes(8, 6)),
        ("field:struct in6_addr a;\toffset:8;\tsize:16;\tsigned:0;", "a", "struct in6_addr", Bytes(8, 16)),
        ("field:struct cookie c;\toffset:8;\tsize:8;\tsigned:0;", "c", "struct cookie", Bytes(8, 8)),
        ("field:cpumask_t mask;\toffset:8;\tsize:8;\tsigned:0;", "mask", "cpumask_t", Bytes(8, 8)),
        ("field:uuid_t id;\toffset:8;\tsize:16;\tsigned:0;", "id", "uuid_t", Bytes(8, 16)),
        (
            "field:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;",
            "filename",
            "__data_loc char[]",
            DataLoc(8, False, 1, False, text=True),
        ),
        (
            "field:__rel_data_loc char[] x;\toffset:8;\tsize:4;\tsigned:1;",
            "x",
            "__rel_data_loc char[]",
            DataLoc(8, True, 1, False, text=True),
        ),
        (
            "field:__data_loc s64[] deltas;\toffset:8;\tsize:4;\tsigned:1;",
            "deltas",
            "__data_loc s64[]",
            DataLoc(8, False, 8, True, text=False),
        ),
        (
            "field:__data_loc cpumask_t mask;\toffset:8;\tsize:4;\tsigned:0;",
            "mask",
            "__data_loc cpumask_t",
            DataLoc(8, False, 8, False, text=False),
        ),
        (
            "field:__data_loc struct foo[] all;\toffset:8;\tsize:4;\tsigned:0;",
            "all",
            "__data_loc struct foo[]",
            DataLoc(8, False, 1, False, text=False),
        ),
    ],
)
def test_one_line(line: str, name: str, c_type: str, read: Read) -> None:
    assert parse(event("some_event", line)) == (Field(name, c_type, read),)


def test_common_fields_and_the_print_format_give_nothing() -> None:
    assert parse(event("empty")) == ()


def test_an_array_without_size_is_not_in_the_record() -> None:
    assert parse(event("print", "field:char buf[];\toffset:16;\tsize:0;\tsigned:0;")) == ()


def test_a_syscalls_arguments_follow_their_c_types() -> None:
    lines = [
        "field:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;",
        "field:int dfd;\toffset:16;\tsize:8;\tsigned:0;",
        "field:const char * filename;\toffset:24;\tsize:8;\tsigned:0;",
        "field:int flags;\toffset:32;\tsize:8;\tsigned:0;",
        "field:umode_t mode;\toffset:40;\tsize:8;\tsigned:0;",
        "field:__data_loc char[] __filename_val;\toffset:48;\tsize:4;\tsigned:0;",  # Linux 6.19 and later
    ]
    assert parse(event("sys_enter_openat", *lines), syscall=True) == (
        Field("dfd", "int", Scalar(16, 8, 4, True)),
        Field("filename", "const char *", UserText(24)),
        Field("flags", "int", Scalar(32, 8, 4, True)),
        Field("mode", "umode_t", Scalar(40, 8, 2, False)),
    )


def test_a_buffer_is_an_address() -> None:
    line = "field:const char * buf;\toffset:24;\tsize:8;\tsigned:0;"
    assert parse(event("sys_enter_write", line), syscall=True) == (
        Field("buf", "const char *", Scalar(24, 8, 8, False)),
    )


def test_a_listed_position_that_is_no_text_pointer_is_an_address() -> None:
    line = "field:const void * filename;\toffset:16;\tsize:8;\tsigned:0;"
    (field,) = parse(event("sys_enter_open", line), syscall=True)
    assert field.read == Scalar(16, 8, 8, False)


def test_an_unknown_type_of_an_argument_is_the_whole_register() -> None:
    line = "field:brand_new_t x;\toffset:16;\tsize:8;\tsigned:0;"
    (field,) = parse(event("sys_enter_new", line), syscall=True)
    assert field.read == Scalar(16, 8, 8, False)


def test_a_syscalls_result_is_signed() -> None:
    lines = [
        "field:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;",
        "field:long ret;\toffset:16;\tsize:8;\tsigned:1;",
    ]
    assert parse(event("sys_exit_open", *lines), syscall=True) == (Field("ret", "long", Scalar(16, 8, 8, True)),)


@pytest.mark.parametrize(
    ("name", "c_type"),
    [
        ("short", ctypes.c_short),
        ("unsigned short", ctypes.c_ushort),
        ("int", ctypes.c_int),
        ("unsigned int", ctypes.c_uint),
        ("long", ctypes.c_long),
        ("unsigned long", ctypes.c_ulong),
        ("long long", ctypes.c_longlong),
        ("unsigned long long", ctypes.c_ulonglong),
        ("size_t", ctypes.c_size_t),
        ("ssize_t", ctypes.c_ssize_t),
        ("bool", ctypes.c_bool),
        ("signed char", ctypes.c_byte),
        ("unsigned char", ctypes.c_ubyte),
    ],
)
def test_numbers_are_as_the_c_compiler_has_them(name: str, c_type: type[ctypes._SimpleCData[int]]) -> None:
    assert number(name) == (ctypes.sizeof(c_type), c_type(-1).value == -1)
