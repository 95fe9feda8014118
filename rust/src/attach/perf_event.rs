//! What tracepoints and kprobes have in common: the program hangs on a perf event.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Link;
use crate::sys::{bpf, perf_event};

pub(super) fn attach(program: BorrowedFd<'_>, event: OwnedFd) -> io::Result<Link> {
    match bpf::link_create_perf_event(program, event.as_fd()) {
        Ok(link) => Ok(Link { fd: link, kind: "perf_event" }),
        // Before 5.15 BPF_LINK_CREATE does not know perf events.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            perf_event::set_bpf(event.as_fd(), program)?;
            perf_event::enable(event.as_fd())?;
            Ok(Link { fd: event, kind: "perf_event ioctl" })
        }
        Err(error) => Err(error),
    }
}
