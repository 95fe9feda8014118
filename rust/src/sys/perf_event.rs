//! `perf_event_open(2)` for tracepoints and kprobes, and the way to attach a program to one before perf-event links (5.15).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{perf_event_attr, perf_type_id};

use super::{Call, call_fd};

pub(crate) fn open_tracepoint(id: u64) -> io::Result<OwnedFd> {
    open(perf_type_id::PERF_TYPE_TRACEPOINT as u32, id, |_| ())
}

// `pmu` and `config` are what sysfs has for the PMU "kprobe": its type, and the bit for the return of a function.
pub(crate) fn open_kprobe(pmu: u32, config: u64, function: &CStr, offset: u64) -> io::Result<OwnedFd> {
    open(pmu, config, |attr| {
        attr.__bindgen_anon_3.kprobe_func = function.as_ptr() as u64;
        attr.__bindgen_anon_4.probe_offset = offset;
    })
}

// One event on CPU 0 is enough: the program list hangs on the tracepoint, or the kprobe, and runs on every CPU
// (kernel/trace/bpf_trace.c perf_event_attach_bpf_prog).
fn open(kind: u32, config: u64, more: impl FnOnce(&mut perf_event_attr)) -> io::Result<OwnedFd> {
    // SAFETY: perf_event_attr is plain integers, for which all zero bytes is a value.
    let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
    attr.type_ = kind;
    attr.size = u32::try_from(size_of::<perf_event_attr>()).expect("perf_event_attr is small");
    attr.config = config;
    attr.__bindgen_anon_1.sample_period = 1;
    attr.__bindgen_anon_2.wakeup_events = 1;
    more(&mut attr);
    call_fd(Call::PerfEventOpen { attr: &attr, pid: -1, cpu: 0 })
}

const SET_BPF: libc::c_ulong = 0x4004_2408; // PERF_EVENT_IOC_SET_BPF, _IOW('$', 8, __u32)
const ENABLE: libc::c_ulong = 0x2400; // PERF_EVENT_IOC_ENABLE, _IO('$', 0)

pub(crate) fn set_bpf(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, SET_BPF, program.as_raw_fd())
}

pub(crate) fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, ENABLE, 0)
}

fn ioctl(event: BorrowedFd<'_>, request: libc::c_ulong, value: i32) -> io::Result<()> {
    // SAFETY: both requests take an int by value.
    let answer = unsafe { libc::ioctl(event.as_raw_fd(), request as libc::Ioctl, value) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
