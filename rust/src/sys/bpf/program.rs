//! Programs: loaded, refused with a log, run, and looked at.

use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info};

use super::{Call, attr, call, call_fd, fd, fill_info, info as object_info, name};

// include/linux/bpf_verifier.h
const LOG_INSTRUCTIONS: u32 = 1;
const LOG_STATISTICS: u32 = 4;
// What the kernel takes at most: kernel/bpf/log.c, bpf_verifier_log_attr_valid.
const LOG_MAX: usize = (u32::MAX >> 2) as usize;

pub(crate) struct Definition<'a> {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) instructions: &'a [u8],
    pub(crate) license: &'a CStr,
    pub(crate) name: &'a str,
    // What the instructions name by index (Linux 5.14).
    pub(crate) fds: &'a [RawFd],
    // Types of the program, and where its functions begin: struct bpf_func_info, two words each.
    pub(crate) functions: Option<(BorrowedFd<'a>, &'a [[u32; 2]])>,
    // Where lines of source begin: struct bpf_line_info, four words each. Only with `functions`, in the same types.
    pub(crate) lines: &'a [[u32; 4]],
    pub(crate) target: Target,
}

// What the program is for, as far as the kernel wants to know before it verifies: both 0 for most types.
#[derive(Clone, Copy, Default)]
pub(crate) struct Target {
    // enum bpf_attach_type; of struct_ops the index of the member.
    pub(crate) attach_type: u32,
    // The function, tracepoint or struct of the kernel that it is for.
    pub(crate) btf_id: u32,
}

#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: io::Error,
    pub(crate) log: Vec<u8>,
}

// The program, and the verifier's statistics when they are asked for. Only when that fails does the verifier tell all
// that it does, which takes it much longer.
pub(crate) fn load(program: &Definition<'_>, statistics: bool) -> Result<(OwnedFd, Vec<u8>), Refused> {
    let (first, log) =
        if statistics { logged(program, LOG_STATISTICS) } else { (once(program, 0, &mut []).0, Vec::new()) };
    let first = match first {
        Ok(fd) => return Ok((fd, log)),
        Err(error) => error,
    };
    match logged(program, LOG_INSTRUCTIONS) {
        (Ok(fd), log) => Ok((fd, log)),
        // A log beyond all buffers is no reason to refuse a program.
        (Err(error), log) if error.raw_os_error() == Some(libc::ENOSPC) => Err(Refused { error: first, log }),
        (Err(error), log) => Err(Refused { error, log }),
    }
}

// What the kernel says of the program, which is not kept, in a buffer that many may use: most logs are short.
pub(crate) fn verdict(program: &Definition<'_>, log: &mut [u8; 4096]) -> (io::Result<()>, Vec<u8>) {
    log[0] = 0;
    let (answer, _) = once(program, LOG_INSTRUCTIONS, log);
    if answer.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOSPC)) {
        let (answer, log) = logged(program, LOG_INSTRUCTIONS);
        return (answer.map(drop), log);
    }
    (answer.map(drop), log.split(|&byte| byte == 0).next().unwrap_or_default().to_vec())
}

// With a log in a buffer that grows until all of it fits.
fn logged(program: &Definition<'_>, level: u32) -> (io::Result<OwnedFd>, Vec<u8>) {
    let mut size = 1 << 16;
    loop {
        // Zeroed memory is the kernel's to give when it is written to.
        let mut log = vec![0; size];
        let (answer, whole) = once(program, level, &mut log);
        let told = log.iter().position(|&byte| byte == 0).unwrap_or(size);
        let cut = match answer.as_ref().err().and_then(io::Error::raw_os_error) {
            Some(libc::ENOSPC) => true,
            // A bug of the verifier, which it finds worse than a log that is too long.
            Some(libc::EFAULT) => whole > size || told + 1 >= size,
            _ => false,
        };
        if !cut || size == LOG_MAX {
            log.truncate(told);
            return (answer, log);
        }
        // Linux 6.4 tells how long the whole log is; the next one may be a bit longer, with the time it took in it.
        size = if whole > size { whole + whole / 16 } else { size << 3 }.min(LOG_MAX);
    }
}

// The answer, and the length of the whole log, or 0 where the kernel does not tell.
fn once(program: &Definition<'_>, log_level: u32, log: &mut [u8]) -> (io::Result<OwnedFd>, usize) {
    let mut attr = attr();
    // SAFETY: every field of the union is plain integers and the union was zeroed.
    let a = unsafe { &mut attr.__bindgen_anon_3 };
    a.prog_type = program.kind;
    a.prog_flags = program.flags;
    a.insn_cnt = u32::try_from(program.instructions.len() / 8).unwrap_or(u32::MAX);
    a.insns = program.instructions.as_ptr() as u64;
    a.license = program.license.as_ptr() as u64;
    a.prog_name = name(program.name);
    a.expected_attach_type = program.target.attach_type;
    a.attach_btf_id = program.target.btf_id;
    if !program.fds.is_empty() {
        a.fd_array = program.fds.as_ptr() as u64;
    }
    if let Some((types, functions)) = program.functions {
        a.prog_btf_fd = fd(types);
        a.func_info_rec_size = 8;
        a.func_info = functions.as_ptr() as u64;
        a.func_info_cnt = u32::try_from(functions.len()).unwrap_or(u32::MAX);
        if !program.lines.is_empty() {
            a.line_info_rec_size = 16;
            a.line_info = program.lines.as_ptr() as u64;
            a.line_info_cnt = u32::try_from(program.lines.len()).unwrap_or(u32::MAX);
        }
    }
    if log_level != 0 {
        a.log_level = log_level;
        a.log_size = u32::try_from(log.len()).unwrap_or(u32::MAX);
        a.log_buf = log.as_mut_ptr() as u64;
    }
    // The verifier gives up when a signal comes.
    for _ in 0..4 {
        match call_fd(Call::Bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)) {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            answer => return (answer, log_size(&attr)),
        }
    }
    (call_fd(Call::Bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)), log_size(&attr))
}

fn log_size(attr: &bpf_attr) -> usize {
    // SAFETY: as in once; the kernel has filled the same member in.
    unsafe { attr.__bindgen_anon_3.log_true_size as usize }
}

#[derive(Default)]
pub(crate) struct TestRun {
    pub(crate) retval: u32,
    pub(crate) duration: u32,
    pub(crate) data: Vec<u8>,
    pub(crate) ctx: Vec<u8>,
}

pub(crate) fn test_run(
    program: BorrowedFd<'_>,
    data: Option<&[u8]>,
    ctx: Option<&[u8]>,
    repeat: u32,
) -> io::Result<TestRun> {
    // Room for what a program may push in front of and behind a packet (XDP_PACKET_HEADROOM and a tail of a page).
    let mut out = data.map(|data| vec![0_u8; data.len() + 4096]);
    // A copy: what a syscall program leaves in its context is written back here (bpf_prog_test_run_syscall).
    let mut ctx_in = ctx.map(<[u8]>::to_vec);
    // The contexts of other programs without a packet go in only (net/bpf/test_run.c).
    let mut ctx_out = match (ctx, data) {
        (Some(ctx), Some(_)) => Some(vec![0_u8; ctx.len()]),
        _ => None,
    };
    let mut attr = attr();
    // SAFETY: as in once.
    let a = unsafe { &mut attr.test };
    a.prog_fd = fd(program);
    a.repeat = repeat;
    if let (Some(data), Some(out)) = (data, out.as_mut()) {
        a.data_in = data.as_ptr() as u64;
        a.data_size_in = u32::try_from(data.len()).unwrap_or(u32::MAX);
        a.data_out = out.as_mut_ptr() as u64;
        a.data_size_out = u32::try_from(out.len()).unwrap_or(u32::MAX);
    }
    if let Some(ctx) = ctx_in.as_mut() {
        a.ctx_in = ctx.as_mut_ptr() as u64;
        a.ctx_size_in = u32::try_from(ctx.len()).unwrap_or(u32::MAX);
    }
    if let Some(ctx) = ctx_out.as_mut() {
        a.ctx_out = ctx.as_mut_ptr() as u64;
        a.ctx_size_out = u32::try_from(ctx.len()).unwrap_or(u32::MAX);
    }
    call(Call::Bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr))?;
    // SAFETY: the kernel has filled the same member in.
    let a = unsafe { &attr.test };
    let cut = |bytes: Option<Vec<u8>>, size: u32| {
        let mut bytes = bytes.unwrap_or_default();
        bytes.truncate(size as usize);
        bytes
    };
    Ok(TestRun {
        retval: a.retval,
        duration: a.duration,
        data: cut(out, a.data_size_out),
        ctx: if ctx_out.is_some() { cut(ctx_out, a.ctx_size_out) } else { ctx_in.unwrap_or_default() },
    })
}

pub(crate) fn info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    object_info(program)
}

pub(crate) fn open(id: u32) -> io::Result<OwnedFd> {
    let mut attr = attr();
    // SAFETY: as in once.
    unsafe { &mut attr.__bindgen_anon_6 }.__bindgen_anon_1.prog_id = id;
    call_fd(Call::Bpf(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr))
}

// The instructions as the verifier has rewritten them. The kernel gives none to whom it does not trust with addresses
// (bpf_dump_raw_ok, kernel/bpf/syscall.c).
pub(crate) fn instructions(program: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut instructions = vec![0; info(program)?.xlated_prog_len as usize];
    // SAFETY: the struct is plain integers, for which all zero bytes is a value.
    let mut asked: bpf_prog_info = unsafe { std::mem::zeroed() };
    asked.xlated_prog_len = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
    asked.xlated_prog_insns = instructions.as_mut_ptr() as u64;
    let told = fill_info(program, asked)?;
    // The pointer comes back as 0 where nothing was written.
    instructions.truncate(if told.xlated_prog_insns == 0 { 0 } else { told.xlated_prog_len as usize });
    Ok(instructions)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::sys::fake;

    const PROGRAM: Definition<'_> = Definition {
        kind: 1,
        flags: 0,
        instructions: &[],
        license: c"GPL",
        name: "",
        fds: &[],
        functions: None,
        lines: &[],
        target: Target { attach_type: 8, btf_id: 0 },
    };

    // What each call asks for: the level and the size of its log.
    fn refused(statistics: bool, answer: impl Fn(u32, usize) -> i32 + 'static) -> (i32, Vec<(u32, usize)>) {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&asked);
        let calls = move |call: &Call<'_>| {
            let Call::Bpf(_, attr) = call else { panic!("no other call") };
            // SAFETY: the union is plain integers, all of them initialised.
            let a = unsafe { attr.__bindgen_anon_3 };
            seen.borrow_mut().push((a.log_level, a.log_size as usize));
            Err(io::Error::from_raw_os_error(answer(a.log_level, seen.borrow().len())))
        };
        let refused = fake::with(calls, || load(&PROGRAM, statistics)).expect_err("refused");
        (refused.error.raw_os_error().expect("a number"), asked.take())
    }

    #[test]
    fn a_log_has_room_to_grow_and_an_end() {
        let answer = |level, _| if level == 0 { libc::EACCES } else { libc::ENOSPC };
        let (error, asked) = refused(false, answer);
        assert_eq!(error, libc::EACCES);
        let grown = [1 << 16, 1 << 19, 1 << 22, 1 << 25, 1 << 28, LOG_MAX];
        assert_eq!(asked[0], (0, 0));
        assert_eq!(asked[1..], grown.map(|size| (LOG_INSTRUCTIONS, size)));
    }

    #[test]
    fn statistics_alone_do_not_tell_of_a_refusal() {
        let (error, asked) = refused(true, |_, _| libc::EINVAL);
        assert_eq!(error, libc::EINVAL);
        assert_eq!(asked, [(LOG_STATISTICS, 1 << 16), (LOG_INSTRUCTIONS, 1 << 16)]);
    }

    #[test]
    fn the_kernel_is_told_what_a_program_is_for() {
        let answer = |call: &Call<'_>| {
            let Call::Bpf(_, attr) = call else { panic!("no other call") };
            // SAFETY: the union is plain integers, all of them initialised.
            let a = unsafe { attr.__bindgen_anon_3 };
            assert_eq!((a.expected_attach_type, a.attach_btf_id, a.log_level), (8, 0, LOG_INSTRUCTIONS));
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        };
        let (refused, log) = fake::with(answer, || verdict(&PROGRAM, &mut [0; 4096]));
        assert_eq!((refused.expect_err("refused").raw_os_error(), log.len()), (Some(libc::EINVAL), 0));
    }

    #[test]
    fn a_signal_is_no_refusal() {
        let (error, asked) = refused(false, |_, calls| if calls < 4 { libc::EAGAIN } else { libc::EPERM });
        assert_eq!((error, asked.len()), (libc::EPERM, 5));
    }
}
