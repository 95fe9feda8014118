//! The process itself: who it is, a child that joins a trace before its first instruction, and RCU grace periods.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

pub(crate) fn id() -> u32 {
    std::process::id()
}

// Waits until every program that was running when this was called has ended (membarrier(2): MEMBARRIER_CMD_GLOBAL is
// synchronize_rcu, kernel/sched/membarrier.c), so that a detached program writes nothing more.
pub(crate) fn wait_for_running_programs() {
    const GLOBAL: libc::c_int = 1;
    // SAFETY: membarrier takes three ints and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
}

// Starts a command that runs `program` once in the child before it executes, so that the program sees who the child is.
pub(crate) fn spawn_after_test_run(command: &[OsString], program: BorrowedFd<'_>) -> io::Result<Child> {
    let (name, arguments) = command.split_first().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let fd = program.as_raw_fd();
    let mut command = Command::new(name);
    command.args(arguments);
    let join = move || {
        // SAFETY: the program outlives spawn(), which returns after the child has executed.
        let program = unsafe { BorrowedFd::borrow_raw(fd) };
        super::bpf::program::test_run(program, None, None, 0).map(drop)
    };
    // SAFETY: `join` makes one syscall and allocates nothing, which is allowed between fork and exec.
    unsafe { command.pre_exec(join) };
    command.spawn()
}

// Readable when the child has ended.
pub(crate) fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

// A descriptor that Python hands in by its number: valid as long as the object that owns it, which the caller holds.
pub(crate) fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: a number that names no descriptor makes syscalls fail with EBADF and nothing else; only -1 is not allowed.
    unsafe { BorrowedFd::borrow_raw(if fd < 0 { RawFd::MAX } else { fd }) }
}

pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    borrow(fd).try_clone_to_owned()
}
