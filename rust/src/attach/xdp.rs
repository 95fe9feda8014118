//! XDP: packets as a network interface's driver has received them, before the stack does. Linux 5.9.

use std::os::fd::BorrowedFd;

use super::Link;
use crate::error::{Error, Result};
use crate::sys::bpf::{self, AttachType};

// Without flags the kernel has the driver run the program where that can, else it does so itself (net/core/dev.c,
// dev_xdp_mode).
pub(crate) fn attach(program: BorrowedFd<'_>, index: u32) -> Result<Link> {
    let fd = bpf::link_create_interface(program, index, AttachType::BPF_XDP)
        .map_err(Error::kernel("cannot attach to the interface"))?;
    Ok(Link { fd, kind: "xdp" })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, IntoRawFd};

    use super::*;
    use crate::sys::{Call, fake};

    #[test]
    fn asks_for_a_link_on_the_interface() {
        let program = File::open("/dev/null").expect("it is always there");
        let answer = |call: &Call<'_>| {
            let Call::Bpf(_, attr) = call else { panic!("no other call") };
            assert_eq!((fake::attach_type(attr), fake::link_target(attr)), (37, 4711)); // BPF_XDP
            Ok(i64::from(File::open("/dev/null")?.into_raw_fd()))
        };
        assert_eq!(fake::with(answer, || attach(program.as_fd(), 4711)).expect("attached").kind, "xdp");
    }
}
