//! Programs on their hooks: one file a kind of hook. What attaches gives a [`Link`] that detaches when it is dropped.

pub(crate) mod kprobe;
mod perf_event;
pub(crate) mod raw_tracepoint;
pub(crate) mod tcx;
pub(crate) mod tracepoint;
pub(crate) mod xdp;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) struct Link {
    // The BPF link, or the perf event itself where the kernel has no links for it.
    fd: OwnedFd,
    // The event that a perf-event link hangs on; the link holds it, we need not.
    pub(crate) kind: &'static str,
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
