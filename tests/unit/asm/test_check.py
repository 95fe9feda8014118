"""Each mistake is found on the line that makes it, marked here by a comment; programs without marks have none."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import fastbpf as fb
from fastbpf.asm import *
from fastbpf.asm.check import Finding
from fastbpf.asm.check.availability import since
from fastbpf.blocks.time import now

HASH = fb.MapSpec("hash", key=fb.u32, value=fb.u64, max_entries=8, name="counts")
ARRAY = fb.MapSpec("array", value=fb.u64, max_entries=4, name="slots")
FIXED = fb.MapSpec("array", value=fb.u64, max_entries=1, name="fixed", flags=1 << 7)
ONE = fb.MapSpec("array", value=fb.u64, max_entries=1, name="one")
RING = fb.MapSpec("ringbuf", max_entries=4096, name="events")

HERE = Path(__file__).name
PROGRAMS = []


def program(prog_type: str, kernel: str | None = "6.18"):
    """Enters a function that gives the parts of a program; its comments `# error: ...` say what has to be found."""

    def enter(function):
        PROGRAMS.append(pytest.param(function, prog_type, kernel, id=function.__name__))
        return function

    return enter


@pytest.mark.parametrize(("function", "prog_type", "kernel"), PROGRAMS)
def test_findings(function, prog_type: str, kernel: str | None) -> None:
    lines, first = inspect.getsourcelines(function)
    marks = []
    for number, line in enumerate(map(str.rstrip, lines), first):
        marks += [(number, *mark) for mark in re.findall(r"# (error|warning): (.*?)(?= # (?:error|warning): |$)", line)]
    found = assemble(function()).check(prog_type, kernel)
    told = "\n".join(map(str, found))
    assert [finding.source.line for finding in found] == [line for line, *_ in marks], told
    for finding, (_, severity, text) in zip(found, marks, strict=True):
        assert finding.severity == severity, told
        assert text in finding.message


# registers


@program("xdp")
def a_register_after_a_call():
    return [
        call.ktime_get_ns(),
        mov(r0, r1),  # error: r1 is read after call bpf_ktime_get_ns#5, which leaves r1 to r5 undefined; keep it in r6
        exit_(),
    ]


@program("xdp")
def a_register_kept_over_a_call():
    return [mov(r6, r1), call.ktime_get_ns(), ldxw(r0, r6, 12), exit_()]


@program("xdp")
def a_register_after_a_subprogram():
    return [
        call_sub("sub"),
        mov(r0, r3),  # error: r3 is read after call pc+2, which leaves r1 to r5 undefined
        exit_(),
        label("sub"),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def registers_never_written():
    return [
        mov(r3, r2),  # error: r2 is read before anything was written to it
        xor(r4, r4),  # error: r4 is read before
        stxdw(fp, -8, r7),  # error: r7 is read before
        exit_(),  # error: r0 is not set where the program ends: it is the result; mov(r0, 0) sets it
    ]


@program("xdp")
def a_test_of_what_was_never_written():
    return [
        jeq(r8, 0, "end"),  # error: r8 is read before
        label("end"),
        exit_(),  # warning: r0 is not set where the program ends
    ]


@program("xdp")
def registers_written_on_one_path():
    return [
        ldxw(r2, r1, 12),
        jgt(r2, 5, "skip"),
        mov(r3, 1),
        label("skip"),
        mov(r0, r3),  # error: r3 is read before anything was written to it; set it on every path
        exit_(),
    ]


@program("xdp")
def the_other_path_is_impossible():
    return [
        ldxw(r2, r1, 12),
        jgt(r2, 5, "end"),
        mov(r4, r2),
        and_(r4, 0xFF),
        jgt(r2, 7, "wrong"),
        jgt32(r4, 5, "wrong"),
        ja("end"),
        label("wrong"),
        mov(r3, r8),  # warning: r8 is read before
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


@program("socket_filter")
def a_mask_that_leaves_one_path():
    return [
        ldxw(r2, r1, 0),
        and_(r2, 7),
        jle(r2, 7, "end"),
        mov(r3, r8),
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


@program("socket_filter")
def numbers_are_found_for_hard_paths():
    return [
        ldxw(r2, r1, 0),
        mov(r3, r2),
        mul(r3, 5),
        add(r3, 9),
        and_(r3, 0xFF),
        jne(r3, 0x42, "end"),
        rsh(r2, 8),
        jne32(r2, 77, "end"),
        mov(r0, r8),  # error: r8 is read before
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_subprogram_starts_with_its_arguments():
    return [
        mov(r6, 1),
        mov(r2, 2),
        call_sub("sub"),
        exit_(),
        label("sub"),
        mov(r0, r2),
        add(r0, r6),  # error: r6 is read before
        exit_(),
    ]


@program("xdp")
def a_call_without_a_result():
    return [
        mov(r6, r1),
        call.tail_call(r6, fb.MapSpec("array", value=fb.u32, max_entries=1), 0),
        exit_(),  # error: r0 is not set where the program ends, since call bpf_tail_call#12 gives no result
    ]


@program("lsm")
def hooks_may_end_without_a_result():
    return [exit_()]  # warning: r0 is not set where the program ends


# stack


@program("xdp", "6.2")
def stack_bytes_never_written():
    return [
        stw(fp, -8, 1),
        ldxdw(r0, fp, -8),  # warning: fp - 4 is read before anything was written there, which kernels before 6.3 refuse
        exit_(),
    ]


@program("xdp")
def a_register_after_a_block():
    return [
        now(r6),
        mov(r0, r1),  # error: r1 is read after time.now at test_check.py:
        exit_(),
    ]


@program("xdp", "6.3")
def stack_bytes_never_written_on_a_newer_kernel():
    return [stw(fp, -8, 1), ldxdw(r0, fp, -8), exit_()]


@program("xdp", "6.2")
def stack_bytes_written_by_parts():
    return [stw(fp, -8, 1), sth(fp, -4, 1), stb(fp, -2, 1), stb(fp, -1, 1), ldxdw(r0, fp, -8), exit_()]


@program("tracepoint", "6.2")
def stack_bytes_that_helpers_read_and_write():
    return [
        call.get_current_comm(fp - 16, 16),
        call.ringbuf_output(RING, fp - 16, 16, 0),
        call.ringbuf_output(RING, fp - 24, 16, 0),  # warning: fp - 24 is read before anything was written there
        mov(r0, 0),
        exit_(),
    ]


@program("xdp", "6.2")
def a_key_never_written():
    return [
        call.map_delete_elem(HASH, fp - 4),  # warning: fp - 4 is read before
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def outside_the_stack():
    return [
        stdw(fp, -520, 0),  # error: stdw(fp, -520, 0): the stack has 512 bytes, fp - 512 to fp - 1
        stw(fp, 0, 0),  # error: the stack has 512 bytes
        stdw(fp, -512, 0),
        stb(fp, -1, 0),
        mov(r0, 0),
        exit_(),
    ]


@program("tracepoint")
def helpers_outside_the_stack():
    return [
        call.get_current_comm(fp - 8, 16),  # error: the stack has 512 bytes
        call.get_current_comm(fp - 16, 16),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def not_aligned_on_the_stack():
    return [
        stdw(fp, -12, 0),  # error: stdw(fp, -12, 0): 8 bytes on the stack stand at a multiple of 8, and fp - 12 is none
        stw(fp, -12, 0),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def the_stack_of_the_caller():
    return [
        mov(r1, fp),
        add(r1, -8),
        call_sub("sub"),
        ldxdw(r0, fp, -8),
        exit_(),
        label("sub"),
        stdw(r1, 0, 1),
        stdw(r1, 8, 1),  # error: the stack has 512 bytes
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def an_address_goes_over_the_stack():
    return [stxdw(fp, -8, r1), ldxdw(r6, fp, -8), ldxw(r0, r6, 12), exit_()]


@program("xdp")
def part_of_an_address():
    return [
        stxdw(fp, -8, r1),
        ldxw(r0, fp, -8),  # warning: fp - 8 holds an address, of which the kernel reads all 8 bytes or none
        exit_(),
    ]


# addresses


@program("xdp")
def a_value_that_may_be_null():
    return [
        stw(fp, -4, 0),
        call.map_lookup_elem(HASH, fp - 4),
        ldxdw(r0, r0, 0),  # error: r0 may be NULL here: call bpf_map_lookup_elem#1 at test_check.py:
        exit_(),
    ]


@program("xdp", None)
def counting_from_a_value_that_may_be_null():
    return [
        stw(fp, -4, 0),
        call.map_lookup_elem(HASH, fp - 4),
        add(r0, 8),  # error: r0 may be NULL here, and the kernel counts from no such address; test it first
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def other_arithmetic_with_an_address():
    return [
        mov(r2, r1),
        mul(r2, 3),  # error: r2 holds an address, with which mul(r2, 3) cannot count: add and sub can
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_look_up_in_a_ring_buffer():
    return [
        stw(fp, -4, 0),
        call.map_lookup_elem(RING, fp - 4),  # error: bpf_map_lookup_elem takes no ring buffer, which has no elements
        mov(r0, 0),
        exit_(),
    ]


@program("tracepoint")
def a_negative_size():
    return [
        call.get_current_comm(fp - 16, -1),  # error: has a negative number of bytes, -1, from fp - 16
        mov(r0, 0),
        exit_(),
    ]


@program("xdp", None)
def a_kernel_function_on_the_oldest_kernel():
    return [
        call_kfunc("bpf_throw"),  # warning: calls of kernel functions need Linux 5.13, this one perhaps more; 5.10
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_value_that_was_tested():
    return [
        stw(fp, -4, 0),
        call.map_lookup_elem(HASH, fp - 4),
        mov(r6, r0),
        jeq(r0, 0, "out"),
        ldxdw(r0, r6, 0),
        label("out"),
        exit_(),
    ]


@program("xdp")
def a_value_that_was_tested_the_other_way():
    return [
        stw(fp, -4, 0),
        call.map_lookup_elem(HASH, fp - 4),
        jne(r0, 0, "there"),
        ldxdw(r1, r0, 0),  # error: r0 holds the number 0, not an address
        mov(r0, 0),
        exit_(),
        label("there"),
        ldxdw(r0, r0, 0),
        exit_(),
    ]


@program("xdp")
def an_element_that_newer_kernels_know_to_be_there():
    return [
        stw(fp, -4, 0),
        call.map_lookup_elem(ARRAY, fp - 4),
        ldxdw(r0, r0, 0),  # warning: r0 may be NULL here
        exit_(),
    ]


@program("xdp")
def an_element_that_is_not_there():
    return [
        stw(fp, -4, 4),
        call.map_lookup_elem(ARRAY, fp - 4),
        ldxdw(r0, r0, 0),  # error: r0 may be NULL here
        exit_(),
    ]


@program("xdp")
def beside_the_value():
    return [
        ld_map_value(r1, ONE, 0),
        ldxdw(r0, r1, 0),
        stdw(r1, 8, 0),  # error: 8 bytes at offset 8: outside the value, which has 8 bytes
        ldxw(r0, r1, 6),  # error: 4 bytes at offset 6: outside the value
        exit_(),
    ]


@program("xdp")
def an_index_that_is_too_large():
    return [
        ldxw(r2, r1, 12),
        jgt(r2, 1, "end"),
        mov(r3, r2),
        lsh(r3, 2),
        ld_map_value(r1, ONE, 0),
        add(r1, r3),
        ldxw(r0, r1, 0),
        ld_map_value(r1, ONE, 0),
        add(r1, r2),
        ldxdw(r0, r1, 0),  # error: 8 bytes at offset 1: outside the value
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_map_that_programs_only_read():
    return [
        ld_map_value(r6, FIXED, 0),
        ldxdw(r0, r6, 0),
        jeq(r0, 5, "end"),
        stdw(r6, 0, 0),  # warning: programs cannot write to this map: it has the flag BPF_F_RDONLY_PROG
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_number_for_a_map():
    return [
        stw(fp, -4, 0),
        mov(r1, 5),
        mov(r2, fp),
        add(r2, -4),
        call_id(1),  # error: argument map of bpf_map_lookup_elem: r1 holds a plain number, not a map; load the map
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_number_for_an_address():
    return [
        ld_map(r1, HASH),
        mov(r2, 4),
        call_id(1),  # error: r2 holds the number 4, not an address
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def the_context_is_elsewhere():
    return [
        mov(r6, 0),
        call.xdp_adjust_head(r6, 0),  # error: argument xdp_md of bpf_xdp_adjust_head: r1 does not hold the context
        mov(r0, 0),
        exit_(),
    ]


# context


@program("xdp")
def context_fields_by_wrong_widths():
    return [
        ldxdw(r2, r1, 0),  # error: 8 bytes at offset 0 of the context cannot be read by xdp programs: ctx.xdp_md.data
        ldxh(r2, r1, 2),  # error: 2 bytes at offset 2 of the context
        ldxw(r2, r1, ctx.xdp_md.data_end),
        stw(r1, 4, 0),  # error: 4 bytes at offset 4 of the context cannot be written by xdp programs
        mov(r0, 0),
        exit_(),
    ]


@program("sched_cls")
def context_fields():
    return [
        ldxh(r2, r1, ctx.sk_buff.protocol),
        ldxw(r2, r1, ctx.sk_buff.mark),
        stxw(r1, ctx.sk_buff.mark, r2),
        ldxdw(r2, r1, ctx.sk_buff.sk),
        mov(r0, 0),
        exit_(),
    ]


@program("tracepoint")
def in_front_of_the_context():
    return [
        # kernels let programs on tracepoints read there
        ldxw(r2, r1, -4),  # warning: 4 bytes at offset -4 of the context
        mov(r0, 0),
        exit_(),
    ]


# what kernels and program types have


@program("xdp", kernel=None)
def newer_than_the_oldest_kernel():
    return [
        mov(r0, 1),
        gotol("next"),  # warning: needs Linux 6.6; 5.10 lacks it
        label("next"),
        stdw(fp, -8, 0),
        atomic_add(fp, -8, r0),
        atomic_fetch_or(fp, -8, r0),  # warning: needs Linux 5.12; 5.10 lacks it
        mov(r6, r1),
        call.xdp_get_buff_len(r6),  # warning: bpf_xdp_get_buff_len#188 is there since Linux 5.18; 5.10 lacks it
        exit_(),
    ]


@program("xdp", kernel="5.15")
def newer_than_the_kernel():
    return [
        mov(r0, 1),
        movsx8(r0, r0),  # error: movsx8(r0, r0) needs Linux 6.6, and this program is for 5.15
        stdw(fp, -8, 0),
        atomic_fetch_or(fp, -8, r0),
        mov(r6, r1),
        call.xdp_get_buff_len(r6),  # error: bpf_xdp_get_buff_len#188 is there since Linux 5.18, and this program is for
        exit_(),
    ]


@program("xdp")
def all_that_the_kernel_has():
    return [mov(r6, r1), call.xdp_get_buff_len(r6), movsx8(r0, r0), may_goto(0), sdiv(r0, 3), bswap32(r0), exit_()]


@program("xdp")
def helpers_of_other_program_types():
    return [
        call.skb_load_bytes(r1, 0, fp - 8, 8),  # error: xdp programs cannot call bpf_skb_load_bytes#26; those that can
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_helper_that_is_not_there():
    return [
        call_id(5000),  # error: there is no helper 5000
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def packet_loads_of_other_program_types():
    return [
        mov(r6, r1),
        ldabsb(0),  # error: xdp programs have no packet loads; socket_filter, sched_cls and sched_act have
        exit_(),
    ]


@program("socket_filter")
def packet_loads():
    return [
        mov(r6, r1),
        ldabsb(0),
        mov(r7, r0),
        ldindh(r7, 2),
        mov(r6, 0),
        ldabsb(0),  # error: r6 must hold the context here; keep it there with mov(r6, r1) at the start
        mov(r0, r2),  # error: r2 is read after r0 = *(u8 *)skb[0], which leaves r1 to r5 undefined
        exit_(),
    ]


# packets


@program("xdp")
def a_packet_that_may_be_too_short():
    return [
        ldxw(r2, r1, ctx.xdp_md.data),
        ldxw(r3, r1, ctx.xdp_md.data_end),
        mov(r4, r2),
        add(r4, 14),
        jgt(r4, r3, "end"),
        ldxh(r5, r2, 12),
        ldxw(r5, r2, 12),  # error: 4 bytes at offset 12 of the packet, which may be shorter; compare with its end first
        jne(r5, 8, "end"),
        mov(r0, r9),  # error: r9 is read before
        label("end"),
        mov(r0, 2),
        exit_(),
    ]


@program("sched_cls")
def a_packet_that_may_have_changed():
    return [
        mov(r6, r1),
        ldxw(r7, r6, ctx.sk_buff.data),
        ldxw(r8, r6, ctx.sk_buff.data_end),
        mov(r4, r7),
        add(r4, 20),
        jge(r8, r4, "long"),
        call.skb_pull_data(r6, 20),
        ldxw(r7, r6, ctx.sk_buff.data),
        ldxw(r8, r6, ctx.sk_buff.data_end),
        mov(r4, r7),
        add(r4, 20),
        jlt(r8, r4, "end"),
        label("long"),
        ldxw(r5, r7, 16),
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


@program("sched_cls", None)
def a_packet_that_was_moved():
    return [
        mov(r6, r1),
        ldxw(r7, r6, ctx.sk_buff.data),
        ldxw(r8, r6, ctx.sk_buff.data_end),
        mov(r4, r7),
        add(r4, 20),
        jgt(r4, r8, "end"),
        stxdw(fp, -8, r7),
        stb(fp, -9, 1),
        call.skb_store_bytes(r6, 0, fp - 9, 1, 0),
        mov(r9, r7),  # a number like any other
        ldxdw(r3, fp, -8),
        ldxb(r5, r3, 0),  # error: r3 pointed into the packet, which call bpf_skb_store_bytes#9 at test_check.py:
        stb(r9, 0, 1),  # error: may have moved; load the pointers again
        ldxw(r7, r6, ctx.sk_buff.data),
        ldxw(r8, r6, ctx.sk_buff.data_end),
        mov(r4, r7),
        add(r4, 20),
        jgt(r4, r8, "end"),
        ldxb(r5, r7, 0),
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


# control flow


@program("xdp")
def off_the_end():
    return [
        ldxw(r0, r1, 12),
        jeq(r0, 0, "end"),
        exit_(),
        label("end"),
        mov(r0, 1),  # error: the program runs off its end here; end it with exit_() or ja(...)
    ]


@program("xdp")
def a_subprogram_off_its_end():
    return [
        call_sub("one"),
        call_sub("two"),
        exit_(),
        label("one"),
        mov(r0, 1),  # error: the subprogram that begins at slot 3 runs off its end here
        label("two"),
        mov(r0, 1),
        exit_(),
    ]


@program("xdp")
def out_of_range():
    return [
        mov(r0, 0),
        jeq(r0, 1, 7),  # error: slot 9 is outside the program, which has slots 0 to 2
        exit_(),
    ]


@program("xdp")
def into_another_subprogram():
    return [
        mov(r0, 0),
        jeq(r0, 1, 2),  # error: slot 4 is in another subprogram, and branches stay in their own
        call_sub("sub"),
        exit_(),
        label("sub"),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def into_a_wide_load():
    return [
        ldxw(r0, r1, 12),
        jeq(r0, 0, 1),  # error: slot 3 is the second half of a wide load, and no place to go on
        lddw(r0, 1 << 40),
        exit_(),
    ]


@program("xdp")
def code_that_no_path_reaches():
    return [
        mov(r0, 0),
        exit_(),
        mov(r0, 1),  # error: no path leads here, and the kernel refuses code that cannot run; remove it
        mov(r0, 2),
        exit_(),
    ]


@program("xdp")
def no_way_out():
    return [
        mov(r0, 0),  # error: the program never ends from here on: no path leads to exit_()
        label("again"),
        add(r0, 1),
        ja("again"),
    ]


@program("xdp")
def a_loop_that_never_ends():
    return [
        mov(r0, 0),
        label("again"),
        mov(r2, 1),  # error: the program can loop here for ever
        jne(r0, 5, "again"),
        exit_(),
    ]


@program("xdp")
def loops_that_end():
    return [
        mov(r0, 0),
        mov(r2, 0),
        label("again"),
        add(r2, 1),
        jlt(r2, 50, "again"),
        ldxw(r3, r1, 12),
        jgt(r3, 20, "end"),
        mov(r2, 0),
        label("turn"),
        jge(r2, r3, "end"),
        add(r2, 1),
        ja("turn"),
        label("end"),
        exit_(),
    ]


@program("xdp")
def a_loop_that_the_kernel_ends():
    return [mov(r0, 0), label("again"), may_goto("end"), ja("again"), label("end"), exit_()]


@program("xdp")
def calls_within_calls():
    return [
        call_sub("sub"),
        exit_(),
        label("sub"),
        call_sub("sub"),  # error: the kernel has 8 frames for calls within calls, and this is one more
        exit_(),
    ]


# records


@program("xdp")
def a_record_forgotten_on_one_path():
    return [
        ldxw(r6, r1, 12),
        call.ringbuf_reserve(RING, 16, 0),
        jeq(r0, 0, "end"),
        jeq(r6, 7, "end"),
        mov(r1, r0),
        call.ringbuf_submit(r1, 0),
        label("end"),
        mov(r0, 0),
        exit_(),  # error: the record that call bpf_ringbuf_reserve#131 gave at test_check.py:
    ]


@program("xdp")
def a_record_given_back_on_every_path():
    return [
        ldxw(r6, r1, 12),
        call.ringbuf_reserve(RING, 16, 0),
        jeq(r0, 0, "end"),
        stdw(r0, 8, 0),
        mov(r7, r0),
        jeq(r6, 7, "discard"),
        call.ringbuf_submit(r7, 0),
        ja("end"),
        label("discard"),
        call.ringbuf_discard(r7, 0),
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_record_given_back_by_a_subprogram():
    return [
        call.ringbuf_reserve(RING, 16, 0),
        jeq(r0, 0, "end"),
        mov(r1, r0),
        call_sub("give"),
        label("end"),
        mov(r0, 0),
        exit_(),
        label("give"),
        mov(r2, 0),
        call_id(132),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_record_used_wrongly():
    return [
        call.ringbuf_reserve(RING, 16, 0),
        stdw(r0, 0, 0),  # error: r0 may be NULL here
        mov(r6, r0),
        jeq(r0, 0, "end"),
        stdw(r6, 16, 0),  # error: 8 bytes at offset 16: outside the record, which has 16 bytes
        call.ringbuf_submit(r6, 0),
        stdw(r6, 0, 0),  # error: r6 points to the record that was given back at test_check.py:
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def a_record_kept_over_a_tail_call():
    return [
        mov(r7, r1),
        call.ringbuf_reserve(RING, 16, 0),
        jeq(r0, 0, "end"),
        mov(r6, r0),
        call.tail_call(r7, HASH, 0),  # error: is not submitted or discarded on the path to the tail call here
        call.ringbuf_discard(r6, 0),
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


# where the analysis loses track


@program("xdp")
def after_a_kernel_function():
    return [
        call.ringbuf_reserve(RING, 16, 0),
        mov(r6, r0),
        call_kfunc("bpf_throw"),
        mov(r0, r2),  # warning: r2 is read after call bpf_throw
        exit_(),
    ]


@program("tracepoint")
def numbers_that_kernels_know_better():
    return [
        call.get_smp_processor_id(),
        jlt(r0, 8192, "end"),
        mov(r0, r8),  # warning: r8 is read before
        label("end"),
        mov(r0, 0),
        exit_(),
    ]


@program("xdp")
def in_callbacks():
    return [
        mov(r1, 5),
        ld_func(r2, "each"),
        mov(r3, 0),
        mov(r4, 0),
        call_id(181),
        mov(r0, 0),
        exit_(),
        label("each"),
        mov(r0, r7),  # warning: r7 is read before
        exit_(),
    ]


# A store of a register here, and a test there: each was once a false error.


@program("tracepoint", "6.2")
def kernels_forget_what_was_not_written():
    # verified with nothing written first, a path on which an address stands there is not looked at again
    return [
        ldxdw(r2, r1, 8),
        jeq(r2, 0, "over"),
        stxdw(fp, -8, r1),
        label("over"),
        ldxw(r0, fp, -8),  # warning: fp - 8 holds an address # warning: fp - 8 is read before
        mov(r0, 0),
        exit_(),
    ]


# the rest


@pytest.mark.parametrize(
    ("part", "first"),
    [
        (mov(r0, 0), "3.18"),
        (jlt(r0, 1, 0), "4.14"),
        (call_sub(0), "4.16"),
        (jeq32(r0, 1, 0), "5.1"),
        (ld_map_value(r1, ONE, 0), "5.2"),
        (ld_btf_id(r1, 7), "5.10"),
        (atomic_add(fp, -8, r0), "3.18"),
        (atomic_fetch_add(fp, -8, r0), "5.12"),
        (atomic_and(fp, -8, r0), "5.12"),
        (call_kfunc("bpf_throw"), "5.13"),
        (ld_func(r1, 0), "5.13"),
        (ld_map_index(r1, 0), "5.14"),
        (ldxsw(r0, fp, -8), "6.6"),
        (smod(r0, 3), "6.6"),
        (gotol(0), "6.6"),
        (may_goto(0), "6.9"),
        (addr_space_cast(r1, r2, 0, 1), "6.9"),
        (load_acquire(r1, fp, -8), "6.15"),
        (gotox(r1), "6.19"),
    ],
    ids=repr,
)
def test_the_first_kernel_of_an_instruction(part: Instruction, first: str) -> None:
    assert str(since(part)) == first


def test_an_instruction_without_a_line() -> None:
    code = assemble(mov(r0, 0), Instruction(0xB7, 10, imm=3), exit_())
    (finding,) = code.check("xdp")
    assert (finding.severity, finding.slot, finding.source) == ("error", 1, None)
    assert str(finding).startswith("slot 1: error: r10 (fp) cannot be written")


@pytest.mark.parametrize("opcode", range(256))
def test_any_instruction_is_survived(opcode: int) -> None:
    for fields in [(0, 0, 0, 0), (1, 2, 1, 8), (3, 1, 0, 256), (11, 0, 0, 0), (1, 15, -1, 0xF1), (10, 10, -8, 1)]:
        code = Code([Instruction(0xB7, 0), Instruction(opcode, *fields), Instruction(0x95), Instruction(0x95)])
        assert all(isinstance(finding, Finding) for finding in code.check("socket_filter"))


def test_a_finding_says_where_and_what() -> None:
    (finding,) = assemble(mov(r0, r9), exit_()).check("xdp")
    assert re.fullmatch(rf"{HERE}:\d+: error: r9 is read before .*", str(finding))
    assert isinstance(finding, Finding)
    assert (finding.text, finding.instruction) == ("r0 = r9", mov(r0, r9))


def test_findings_come_in_the_order_of_slots() -> None:
    code = assemble(ldxw(r0, r1, 12), jeq(r0, 0, "a"), mov(r0, r9), exit_(), label("a"), mov(r0, r8), exit_(), exit_())
    assert [finding.slot for finding in code.check("xdp")] == [2, 4, 6]


def test_unknown_types_and_kernels_are_refused() -> None:
    code = assemble(mov(r0, 0), exit_())
    with pytest.raises(ValueError, match="'xpd' is no program type; the nearest: xdp"):
        code.check("xpd")
    with pytest.raises(ValueError, match="'latest' is no kernel version"):
        code.check("xdp", kernel="latest")
    assert code.check("xdp", kernel=(6, 1)) == code.check("xdp", kernel=0x060100) == ()


def test_more_paths_than_can_be_followed() -> None:
    # as many paths as there are subsets of the tests, if they were all followed
    tests = [[jset(r6, 1 << bit, f"l{bit}"), add(r7, 1), label(f"l{bit}")] for bit in range(24)]
    block = [call.get_prandom_u32(), jgt(r0, 9, "over"), stxdw(fp, -8, r0), label("over")]
    code = assemble(ldxw(r6, r1, 12), mov(r7, 0), tests, [piece(block) for _ in range(1000)], mov(r0, r9), exit_())
    findings = code.check("xdp")
    assert {finding.severity for finding in findings} <= {"error", "warning"}


# as many comparisons of one number as there are: no more than the number of steps


ORDERS = {
    "up": lambda i: i,
    "down": lambda i: 9000 - i,
    "apart": lambda i: 2 * i,
    "all over": lambda i: i * 7919 % 10007,
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_many_comparisons_of_one_number(order) -> None:
    tests = [jeq(r2, order(number), "out") for number in range(4000)]
    wrong = mov(r3, r9)
    code = assemble(ldxw(r2, r1, 12), tests, wrong, label("out"), mov(r0, 0), exit_())
    findings = code.check("xdp")
    # the way through all of them is found before the budget is spent
    assert [(finding.severity, finding.instruction) for finding in findings] == [("error", wrong)]


@pytest.mark.parametrize(
    "step",
    [
        lambda i: [jset(r2, i + 1, "out"), jgt(r2, 9000 - i, "out")],
        lambda i: [mov(r3, r2), add(r3, i), mul(r3, 7), xor(r3, i + 1), jeq(r3, i, "out")],
        lambda i: [jeq(r2, 3 * i, f"l{i}"), mov(r7, 1), label(f"l{i}")],
        lambda i: [ldxw(r3, r1, 12), jgt(r2, r3, "out"), mov(r2, r3)],
        lambda i: [ldxw(r3, r1, 12), add(r2, r3), jset32(r2, i | 1, f"l{i}"), jsgt(r2, r3, "out"), label(f"l{i}")],
    ],
    ids=["bits", "terms", "joins", "loads", "sums"],
)
def test_programs_that_spend_the_budget(step) -> None:
    code = assemble(ldxw(r2, r1, 12), mov(r7, 0), [step(i) for i in range(2000)], label("out"), mov(r0, 0), exit_())
    # the budget ends it, and nothing is found that is not there
    assert {finding.severity for finding in code.check("xdp")} <= {"warning"}


def test_comparisons_leave_what_they_leave() -> None:
    # each way of saying that r2 is 6, and that it is -6; then what another comparison says of it is known
    for number in (6, -6):
        for bits in (64, 32):
            one, two, three, four = (jlt, jgt, jslt, jsgt) if bits == 64 else (jlt32, jgt32, jslt32, jsgt32)
            equal = jne if bits == 64 else jne32
            for tests in [
                [equal(r2, number, "out")],
                [one(r2, number, "out"), two(r2, number, "out")],
                [three(r2, number, "out"), four(r2, number, "out")],
                [three(r2, number - 1, "out"), four(r2, number, "out"), jeq(r2, number - 1, "out")],
            ][: 4 if bits == 64 else 3]:
                for more in (one, two, three, four, equal):
                    known = [call.ktime_get_ns(), mov(r2, r0), tests, more(r2, number, "wrong"), ja("out")]
                    code = assemble(known, label("wrong"), mov(r3, r9), label("out"), mov(r0, 0), exit_())
                    assert code.check("tracepoint") == (), code


# what cannot be


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Instruction(0x67, 0, imm=64), "shifts by 64; a number of 64 bits is shifted by 0 to 63"),
        (Instruction(0xC4, 0, imm=32), "shifts by 32; a number of 32 bits is shifted by 0 to 31"),
        (Instruction(0x77, 0, imm=-1), "shifts by -1"),
        (Instruction(0x37, 0), "divides by the number 0"),
        (Instruction(0x94, 0), "divides by the number 0"),
        (Instruction(0xB7, 0, 1, imm=3), "src is 1; the instruction does not use it, and the kernel demands 0"),
        (Instruction(0x05, 0, imm=3), "imm is 3; the instruction does not use it"),
        (Instruction(0x0F, 0, 0, off=5), "off is 5; the instruction does not use it"),
        (Instruction(0xDB, 10, 0, -8, 0x77), "imm of opcode 0xdb is 119; it can be"),
        (Instruction(0x18, 0, 9), "src of opcode 0x18 is 9; it can be"),
    ],
    ids=repr,
)
def test_fields_that_the_kernel_refuses(part: Instruction, text: str) -> None:
    where = mov(r0, 0), stdw(fp, -8, 0)
    (finding,) = assemble(where, part, exit_()).check("xdp", "6.18")
    assert (finding.severity, finding.slot) == ("error", 2)
    assert text in finding.message
    # where no path leads the kernel does not look
    assert assemble(where, jeq(r0, 0, "end"), part, label("end"), exit_()).check("xdp", "6.18") == ()


def test_an_opcode_that_there_is_not() -> None:
    for parts in [(mov(r0, 0), Instruction(0xFF)), (mov(r0, 0), jeq(r0, 0, 1), Instruction(0xFF))]:
        (finding,) = assemble(parts, exit_()).check("xdp")
        assert (finding.severity, finding.slot) == ("error", len(parts) - 1)
        assert finding.message == "there is no instruction of opcode 0xff"


def test_the_distance_of_an_exit_is_not_looked_at() -> None:
    assert assemble(mov(r0, 0), Instruction(0x95, off=1)).check("xdp") == ()


@pytest.mark.parametrize(
    ("map", "offset", "text"),
    [
        (ARRAY, 0, "ld_map_value reaches into an array of one element, and this one has 4"),
        (ONE, 8, "byte 8 is outside the value, which has 8 bytes"),
        (HASH, 0, "the values of a map of type hash are found by look-up alone"),
        (RING, 0, "the values of a map of type ringbuf are found by look-up alone"),
    ],
    ids=["array of 4", "outside", "hash", "ringbuf"],
)
def test_values_that_have_no_place(map: fb.MapSpec, offset: int, text: str) -> None:
    for before in [(), jeq(r0, 0, "end")]:
        code = assemble(mov(r0, 0), before, ld_map_value(r1, map, offset), label("end"), mov(r0, 0), exit_())
        (finding,) = code.check("xdp")
        assert (finding.severity, finding.instruction) == ("error", ld_map_value(r1, map, offset))
        assert text in finding.message


@pytest.mark.parametrize(
    ("kernel", "severity"), [(None, "warning"), ("5.10", "error"), ("6.13", "error"), ("6.18", "warning")]
)
def test_an_element_that_is_there_on_older_kernels(kernel: str | None, severity: str) -> None:
    code = assemble(stw(fp, -4, 0), call.map_lookup_elem(ARRAY, fp - 4), ldxdw(r0, r0, 0), exit_())
    assert [finding.severity for finding in code.check("xdp", kernel)] == [severity]


@pytest.mark.parametrize(("kernel", "severity"), [(None, "warning"), ("5.10", "warning"), ("5.17", "error")])
def test_counting_from_a_record_that_may_be_null(kernel: str | None, severity: str) -> None:
    code = assemble(
        call.ringbuf_reserve(RING, 16, 0),
        mov(r1, r0),
        add(r0, 8),
        jeq(r1, 0, "end"),
        call.ringbuf_discard(r1, 0),
        label("end"),
        mov(r0, 0),
        exit_(),
    )
    assert [finding.severity for finding in code.check("xdp", kernel)] == [severity]


@pytest.mark.parametrize(("kernel", "severity"), [(None, "warning"), ("5.10", "warning"), ("5.15", "error")])
def test_records_in_another_map(kernel: str | None, severity: str) -> None:
    code = assemble(stdw(fp, -8, 0), call.ringbuf_output(HASH, fp - 8, 8, 0), mov(r0, 0), exit_())
    (finding,) = code.check("xdp", kernel)
    assert finding.severity == severity
    assert finding.message == "bpf_ringbuf_output takes a map of type ringbuf, and this one is of type hash"


def test_kernels_that_nobody_supports_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel 5.4: what kernels before 5.10 refuse is not known"):
        assemble(mov(r0, 0), exit_()).check("xdp", kernel="5.4")


def test_one_byte_is_no_bytes() -> None:
    code = assemble(ld_map_value(r1, ONE, 0), ldxb(r0, r1, 8), mov(r0, 0), exit_())
    assert [finding.message for finding in code.check("xdp")] == [
        "1 byte at offset 8: outside the value, which has 8 bytes"
    ]
