//! tc: packets between the stack and a network interface, either way, without a queueing discipline. Linux 6.6.

use std::os::fd::BorrowedFd;

use super::Link;
use crate::error::{Error, Result};
use crate::sys::bpf::{self, AttachType};

pub(crate) fn attach(program: BorrowedFd<'_>, index: u32, egress: bool) -> Result<Link> {
    let place = if egress { AttachType::BPF_TCX_EGRESS } else { AttachType::BPF_TCX_INGRESS };
    let fd =
        bpf::link_create_interface(program, index, place).map_err(Error::kernel("cannot attach to the interface"))?;
    Ok(Link { fd, kind: "tcx" })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, IntoRawFd};

    use super::*;
    use crate::sys::{Call, fake};

    #[test]
    fn asks_for_a_link_on_the_side_of_the_interface() {
        let program = File::open("/dev/null").expect("it is always there");
        for (egress, place) in [(false, 46), (true, 47)] {
            let answer = move |call: &Call<'_>| {
                let Call::Bpf(_, attr) = call else { panic!("no other call") };
                assert_eq!((fake::attach_type(attr), fake::link_target(attr)), (place, 4711));
                Ok(i64::from(File::open("/dev/null")?.into_raw_fd()))
            };
            assert_eq!(fake::with(answer, || attach(program.as_fd(), 4711, egress)).expect("attached").kind, "tcx");
        }
    }
}
