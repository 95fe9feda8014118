//! Objects by path and by number: maps that others made, and the types that they were made with.

use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attr__bindgen_ty_8__bindgen_ty_1 as Number, bpf_btf_info, bpf_cmd};

use super::{Call, attr, call, call_fd, fd, fill_info};

// The object that is pinned there, whatever it is.
pub(crate) fn open(path: &CStr) -> io::Result<OwnedFd> {
    let mut attr = attr();
    // SAFETY: every field of the union is plain integers and the union was zeroed.
    unsafe { &mut attr.__bindgen_anon_4 }.pathname = path.as_ptr() as u64;
    call_fd(Call::Bpf(bpf_cmd::BPF_OBJ_GET, &mut attr))
}

pub(crate) fn pin(object: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    let mut attr = attr();
    // SAFETY: as in open.
    let a = unsafe { &mut attr.__bindgen_anon_4 };
    a.pathname = path.as_ptr() as u64;
    a.bpf_fd = fd(object);
    call(Call::Bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr)).map(drop)
}

pub(crate) fn map_of(id: u32) -> io::Result<OwnedFd> {
    by_number(bpf_cmd::BPF_MAP_GET_FD_BY_ID, Number { map_id: id })
}

// The number of the map that was made after that one; None after the last.
pub(crate) fn map_after(id: u32) -> io::Result<Option<u32>> {
    let mut attr = attr();
    // SAFETY: as in open.
    unsafe { &mut attr.__bindgen_anon_6 }.__bindgen_anon_1 = Number { start_id: id };
    match call(Call::Bpf(bpf_cmd::BPF_MAP_GET_NEXT_ID, &mut attr)) {
        // SAFETY: the kernel has filled the same member in.
        Ok(_) => Ok(Some(unsafe { attr.__bindgen_anon_6 }.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

// The bytes of the types with that number (struct btf_header and what follows).
pub(crate) fn types(id: u32) -> io::Result<Vec<u8>> {
    let btf = by_number(bpf_cmd::BPF_BTF_GET_FD_BY_ID, Number { btf_id: id })?;
    let btf = std::os::fd::AsFd::as_fd(&btf);
    let size = fill_info(btf, info(&mut []))?.btf_size;
    let mut bytes = vec![0; size as usize];
    fill_info(btf, info(&mut bytes))?;
    Ok(bytes)
}

fn info(bytes: &mut [u8]) -> bpf_btf_info {
    bpf_btf_info {
        btf: bytes.as_mut_ptr() as u64,
        btf_size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        id: 0,
        name: 0,
        name_len: 0,
        kernel_btf: 0,
    }
}

fn by_number(command: bpf_cmd, number: Number) -> io::Result<OwnedFd> {
    let mut attr = attr();
    // SAFETY: as in open.
    unsafe { &mut attr.__bindgen_anon_6 }.__bindgen_anon_1 = number;
    call_fd(Call::Bpf(command, &mut attr))
}
