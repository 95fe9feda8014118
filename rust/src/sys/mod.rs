//! The only place that makes syscalls.
//!
//! `bpf(2)` and `perf_event_open(2)` go through [`call`], which unit tests replace to look at what would be asked of the kernel.

pub(crate) mod bpf;
pub(crate) mod clock;
pub(crate) mod cpu;
pub(crate) mod memory;
pub(crate) mod perf_event;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod shared;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, perf_event_attr};

const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8; // include/uapi/linux/perf_event.h

pub(crate) enum Call<'a> {
    Bpf(bpf_cmd, &'a mut bpf_attr),
    PerfEventOpen { attr: &'a perf_event_attr, pid: i32, cpu: i32 },
}

fn call(call: Call<'_>) -> io::Result<i64> {
    #[cfg(test)]
    if let Some(answer) = fake::answer(&call) {
        return answer;
    }
    let answer = match call {
        Call::Bpf(command, attr) => {
            // SAFETY: attr is a whole, initialised bpf_attr; the pointers in it were made from live borrows by the caller.
            unsafe { libc::syscall(libc::SYS_bpf, command as u32, std::ptr::from_mut(attr), size_of::<bpf_attr>()) }
        }
        Call::PerfEventOpen { attr, pid, cpu } => {
            // SAFETY: attr is a whole, initialised perf_event_attr that outlives the call.
            unsafe {
                libc::syscall(libc::SYS_perf_event_open, std::ptr::from_ref(attr), pid, cpu, -1, PERF_FLAG_FD_CLOEXEC)
            }
        }
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

// For calls whose answer is a new file descriptor.
fn call_fd(request: Call<'_>) -> io::Result<OwnedFd> {
    let fd = call(request)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it. It fits, since it was not negative.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).expect("a file descriptor fits an int")) })
}

#[cfg(test)]
pub(crate) mod fake {
    use std::cell::RefCell;
    use std::ffi::CStr;
    use std::io;

    use aya_obj::generated::{bpf_attr, bpf_cmd, perf_event_attr};

    use super::Call;

    type Answer = Box<dyn FnMut(&Call<'_>) -> io::Result<i64>>;

    thread_local! {
        static ANSWER: RefCell<Option<Answer>> = const { RefCell::new(None) };
    }

    pub(super) fn answer(call: &Call<'_>) -> Option<io::Result<i64>> {
        ANSWER.with_borrow_mut(|answer| answer.as_mut().map(|answer| answer(call)))
    }

    pub(crate) fn attach_type(attr: &bpf_attr) -> u32 {
        // SAFETY: the union is plain integers, all of them initialised.
        unsafe { attr.link_create.attach_type }
    }

    // The number that a link is made on: a descriptor or an interface.
    pub(crate) fn link_target(attr: &bpf_attr) -> u32 {
        // SAFETY: as in attach_type.
        unsafe { attr.link_create.__bindgen_anon_2.target_ifindex }
    }

    pub(crate) fn kprobe(attr: &perf_event_attr) -> (String, u64) {
        // SAFETY: the unions are plain integers; the pointer is a caller's CStr, which outlives the call.
        let (function, offset) = unsafe {
            (CStr::from_ptr(attr.__bindgen_anon_3.kprobe_func as *const _), attr.__bindgen_anon_4.probe_offset)
        };
        (function.to_string_lossy().into_owned(), offset)
    }

    // What the kernel says.
    pub(crate) fn pass(command: bpf_cmd, attr: &bpf_attr) -> io::Result<i64> {
        let mut copy = *attr;
        // SAFETY: as in call; answers that the kernel writes into the attributes are lost.
        let answer = unsafe {
            libc::syscall(libc::SYS_bpf, command as u32, std::ptr::from_mut(&mut copy), size_of::<bpf_attr>())
        };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
    }

    // Answers every call of this thread until the end of `run`.
    pub(crate) fn with<R>(answer: impl FnMut(&Call<'_>) -> io::Result<i64> + 'static, run: impl FnOnce() -> R) -> R {
        ANSWER.set(Some(Box::new(answer)));
        let result = run();
        ANSWER.set(None);
        result
    }
}
