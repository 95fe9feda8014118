//! Raw tracepoints: the kernel's arguments as they are, without the record that tracefs describes.

use std::os::fd::BorrowedFd;

use super::Link;
use crate::error::{Error, Result};
use crate::sys::bpf;

pub(crate) fn attach(program: BorrowedFd<'_>, name: &str) -> Result<Link> {
    let fd = bpf::raw_tracepoint_open(program, name)
        .map_err(Error::kernel(format!("cannot attach to raw tracepoint {name:?}")))?;
    Ok(Link { fd, kind: "raw_tracepoint" })
}
