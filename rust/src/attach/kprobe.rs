//! kprobes: where a function of the kernel begins, at an instruction within it, or where it returns. Linux 4.17.

use std::ffi::CString;
use std::io;
use std::os::fd::BorrowedFd;

use super::{Link, perf_event};
use crate::error::{Error, Result};
use crate::sys::perf_event::open_kprobe;

// `pmu` and `config`: see open_kprobe.
pub(crate) fn attach(program: BorrowedFd<'_>, pmu: u32, config: u64, function: &str, offset: u64) -> Result<Link> {
    let refused = || Error::kernel(format!("cannot attach to {function}"));
    let name = CString::new(function).map_err(|_| refused()(io::Error::from_raw_os_error(libc::ENOENT)))?;
    let attached = open_kprobe(pmu, config, &name, offset).and_then(|event| perf_event::attach(program, event));
    attached.map_err(refused())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, IntoRawFd};

    use super::*;
    use crate::sys::{Call, fake};

    #[test]
    fn asks_for_a_link_on_an_event_at_the_function() {
        let program = File::open("/dev/null").expect("it is always there");
        let answer = |call: &Call<'_>| {
            match call {
                Call::PerfEventOpen { attr, pid: -1, cpu: 0 } => {
                    assert_eq!((attr.type_, attr.config), (8, 1));
                    assert_eq!(fake::kprobe(attr), ("vfs_read".into(), 16));
                }
                Call::Bpf(_, attr) => assert_eq!(fake::attach_type(attr), 41), // BPF_PERF_EVENT
                Call::PerfEventOpen { .. } => panic!("one event, on CPU 0, for all processes"),
            }
            Ok(i64::from(File::open("/dev/null")?.into_raw_fd()))
        };
        let link = fake::with(answer, || attach(program.as_fd(), 8, 1, "vfs_read", 16)).expect("attached");
        assert_eq!(link.kind, "perf_event");
    }

    #[test]
    fn a_name_that_no_function_can_have_is_not_asked_for() {
        let program = File::open("/dev/null").expect("it is always there");
        let answer = |_: &Call<'_>| panic!("asked");
        assert!(fake::with(answer, || attach(program.as_fd(), 8, 0, "vfs\0read", 0)).is_err());
    }
}
