//! `perf_event_open(2)` for tracepoints and kprobes, the way to attach a program to one before perf-event links (5.15),
//! and for what programs write to perf buffers.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{
    perf_event_attr, perf_event_mmap_page, perf_event_sample_format as sample, perf_sw_ids, perf_type_id,
};

use super::{Call, call_fd};

// Of `struct perf_event_mmap_page`, the first page of a perf buffer.
pub(crate) const DATA_HEAD: usize = std::mem::offset_of!(perf_event_mmap_page, data_head);
pub(crate) const DATA_TAIL: usize = std::mem::offset_of!(perf_event_mmap_page, data_tail);

const FORMAT_LOST: u64 = 1 << 4; // PERF_FORMAT_LOST, Linux 6.0

fn attr(kind: u32, config: u64) -> perf_event_attr {
    // SAFETY: perf_event_attr is plain integers, for which all zero bytes is a value.
    let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
    attr.type_ = kind;
    attr.size = u32::try_from(size_of::<perf_event_attr>()).expect("perf_event_attr is small");
    attr.config = config;
    attr.__bindgen_anon_1.sample_period = 1;
    attr
}

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
    let mut attr = attr(kind, config);
    attr.__bindgen_anon_2.wakeup_events = 1;
    more(&mut attr);
    call_fd(Call::PerfEventOpen { attr: &attr, pid: -1, cpu: 0 })
}

// What programs on `cpu` write with bpf_perf_event_output. Each record carries the kernel's time and the CPU in front of
// the program's bytes; a reader is woken each time that `watermark` bytes have been written. Also says whether the event
// counts what it loses.
pub(crate) fn open_output(cpu: u32, watermark: u32, backward: bool) -> io::Result<(OwnedFd, bool)> {
    let mut attr = attr(perf_type_id::PERF_TYPE_SOFTWARE as u32, perf_sw_ids::PERF_COUNT_SW_BPF_OUTPUT as u64);
    attr.sample_type =
        sample::PERF_SAMPLE_RAW as u64 | sample::PERF_SAMPLE_TIME as u64 | sample::PERF_SAMPLE_CPU as u64;
    attr.set_use_clockid(1);
    attr.clockid = libc::CLOCK_MONOTONIC;
    attr.set_watermark(1);
    attr.__bindgen_anon_2.wakeup_watermark = watermark;
    attr.set_write_backward(u64::from(backward));
    let cpu = i32::try_from(cpu).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    attr.read_format = FORMAT_LOST;
    match call_fd(Call::PerfEventOpen { attr: &attr, pid: -1, cpu }) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            attr.read_format = 0;
            Ok((call_fd(Call::PerfEventOpen { attr: &attr, pid: -1, cpu })?, false))
        }
        answer => Ok((answer?, true)),
    }
}

// Events that found no room, or came while the output was paused: of an event that counts them.
pub(crate) fn lost(event: BorrowedFd<'_>) -> io::Result<u64> {
    // What perf_read_one writes (kernel/events/core.c): the value, then what read_format asks for.
    let mut answer = [0; 16];
    if rustix::io::read(event, &mut answer)? != answer.len() {
        return Err(io::Error::from_raw_os_error(libc::EIO));
    }
    Ok(u64::from_ne_bytes(std::array::from_fn(|i| answer[8 + i])))
}

// While it is paused, all output is lost.
pub(crate) fn pause(event: BorrowedFd<'_>, paused: bool) -> io::Result<()> {
    ioctl(event, PAUSE_OUTPUT, i32::from(paused))
}

const SET_BPF: libc::c_ulong = 0x4004_2408; // PERF_EVENT_IOC_SET_BPF, _IOW('$', 8, __u32)
const PAUSE_OUTPUT: libc::c_ulong = 0x4004_2409; // PERF_EVENT_IOC_PAUSE_OUTPUT, _IOW('$', 9, __u32)
const ENABLE: libc::c_ulong = 0x2400; // PERF_EVENT_IOC_ENABLE, _IO('$', 0)

pub(crate) fn set_bpf(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, SET_BPF, program.as_raw_fd())
}

pub(crate) fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, ENABLE, 0)
}

fn ioctl(event: BorrowedFd<'_>, request: libc::c_ulong, value: i32) -> io::Result<()> {
    // SAFETY: these requests take an int by value.
    let answer = unsafe { libc::ioctl(event.as_raw_fd(), request as libc::Ioctl, value) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs::File;
    use std::os::fd::IntoRawFd;
    use std::rc::Rc;

    use super::*;
    use crate::sys::fake;

    // What a kernel is asked that knows no count of what is lost, or does.
    fn asked(knows: bool) -> (bool, Vec<perf_event_attr>) {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&asked);
        let answer = move |call: &Call<'_>| {
            let Call::PerfEventOpen { attr, pid: -1, cpu: 3 } = call else { panic!("no other call") };
            seen.borrow_mut().push(**attr);
            if attr.read_format != 0 && !knows {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            Ok(File::open("/dev/null")?.into_raw_fd().into())
        };
        let (_, counts) = fake::with(answer, || open_output(3, 2048, true)).expect("opened");
        (counts, asked.take())
    }

    #[test]
    fn an_older_kernel_is_asked_for_less() {
        let (counts, attrs) = asked(true);
        assert_eq!((counts, attrs.len(), attrs[0].read_format), (true, 1, FORMAT_LOST));
        let (counts, attrs) = asked(false);
        assert_eq!((counts, attrs.len()), (false, 2));
        assert_eq!((attrs[0].read_format, attrs[1].read_format), (FORMAT_LOST, 0));
        for attr in attrs {
            assert_eq!((attr.sample_type, attr.clockid, attr.use_clockid()), (1 << 10 | 1 << 7 | 1 << 2, 1, 1));
            assert_eq!((attr.watermark(), attr.write_backward(), attr.disabled()), (1, 1, 0));
        }
    }
}
