//! Programs that the kernel runs for each of a map's elements, and what they write (`bpf_iter/bpf_map_elem`, Linux 5.9).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{AttachType, Call, attr, bpf_cmd, call_fd, fd};

// Something to read from, once, to its end: what the program writes.
pub(crate) fn over_map(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // union bpf_iter_link_info: the map's descriptor stands first.
    let over = fd(map);
    let mut attr = attr();
    // SAFETY: as in map_create.
    let a = unsafe { &mut attr.link_create };
    a.__bindgen_anon_1.prog_fd = fd(program);
    a.attach_type = AttachType::BPF_TRACE_ITER as u32;
    // SAFETY: as above.
    let b = unsafe { &mut a.__bindgen_anon_3.__bindgen_anon_1 };
    b.iter_info = std::ptr::from_ref(&over) as u64;
    b.iter_info_len = 4;
    let link = call_fd(Call::Bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr))?;
    let mut attr = super::attr();
    attr.iter_create.link_fd = fd(link.as_fd());
    call_fd(Call::Bpf(bpf_cmd::BPF_ITER_CREATE, &mut attr))
}
