//! Tracepoints, through perf events.

use std::os::fd::BorrowedFd;

use super::{Link, perf_event};
use crate::error::{Error, Result};
use crate::sys::perf_event::open_tracepoint;

// `id` is what tracefs has in events/CATEGORY/NAME/id.
pub(crate) fn attach(program: BorrowedFd<'_>, id: u64) -> Result<Link> {
    let attached = open_tracepoint(id).and_then(|event| perf_event::attach(program, event));
    attached.map_err(Error::kernel("cannot attach to the tracepoint"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::os::fd::AsFd;
    use std::rc::Rc;

    use aya_obj::generated::{bpf_attach_type, bpf_cmd};

    use super::*;
    use crate::sys::{Call, fake};

    #[test]
    fn asks_for_a_link_on_the_event() {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&calls);
        let program = std::fs::File::open("/dev/null").unwrap();
        // A descriptor of its own for each answer, since the answers are owned.
        let fd = || Ok(i64::from(std::os::fd::IntoRawFd::into_raw_fd(std::fs::File::open("/dev/null").unwrap())));
        let link = fake::with(
            move |call| {
                match call {
                    Call::PerfEventOpen { attr, pid, cpu } => {
                        seen.borrow_mut().push(format!("open {} {pid} {cpu}", attr.config));
                    }
                    Call::Bpf(bpf_cmd::BPF_LINK_CREATE, attr) => {
                        assert_eq!(fake::attach_type(attr), bpf_attach_type::BPF_PERF_EVENT as u32);
                        seen.borrow_mut().push("link".into());
                    }
                    Call::Bpf(..) => return Err(io::Error::from_raw_os_error(libc::EPERM)),
                }
                fd()
            },
            || attach(program.as_fd(), 782).unwrap(),
        );
        assert_eq!(link.kind, "perf_event");
        assert_eq!(*calls.borrow(), ["open 782 -1 0", "link"]);
    }
}
