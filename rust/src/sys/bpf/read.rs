//! The commands of `bpf(2)` that read many elements of a map, or take elements out of it.

use std::io;
use std::os::fd::BorrowedFd;

use aya_obj::generated::{bpf_attr__bindgen_ty_2__bindgen_ty_1 as ElementValue, bpf_cmd};

use super::{Element, attr, fd, found};
use crate::sys::{Call, call};

pub(crate) const LOCK: u64 = 4; // BPF_F_LOCK, include/uapi/linux/bpf.h

// Where a batch is to go; the buffers are as long as the kernel writes for `room` elements: the caller knows the map.
pub(crate) struct Batch<'a> {
    pub(crate) room: usize,
    pub(crate) keys: &'a mut [u8],
    pub(crate) values: &'a mut [u8],
    // Where the read is to go on, and where the one after it: the kernel's own, of max(key size, 4) bytes.
    pub(crate) from: Option<&'a [u8]>,
    pub(crate) next: &'a mut [u8],
}

// Reads elements, and with `delete` takes them out (Linux 5.6). The number that the kernel says it wrote comes back with
// its answer, for several of its errors are no reason to lose elements: kernel/bpf/hashtab.c,
// __htab_map_lookup_and_delete_batch, writes it whatever stops it.
pub(crate) fn map_read_batch(
    map: BorrowedFd<'_>,
    batch: Batch<'_>,
    delete: bool,
    flags: u64,
) -> (usize, io::Result<()>) {
    let mut attr = attr();
    // SAFETY: every field of the union is plain integers and the union was zeroed.
    let a = unsafe { &mut attr.batch };
    a.map_fd = fd(map);
    a.in_batch = batch.from.map_or(0, |from| from.as_ptr() as u64);
    a.out_batch = batch.next.as_mut_ptr() as u64;
    a.keys = batch.keys.as_mut_ptr() as u64;
    a.values = batch.values.as_mut_ptr() as u64;
    a.count = u32::try_from(batch.room).unwrap_or(u32::MAX);
    a.elem_flags = flags;
    let command = if delete { bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_BATCH } else { bpf_cmd::BPF_MAP_LOOKUP_BATCH };
    let answer = call(Call::Bpf(command, &mut attr)).map(drop);
    // SAFETY: the kernel writes a number there; the union is plain integers.
    let count = unsafe { attr.batch.count } as usize;
    (count.min(batch.room), answer)
}

impl Element<'_> {
    // As lookup; with LOCK nobody writes to the value meanwhile who takes its lock.
    pub(crate) fn lookup_flags(&self, value: &mut [u8], flags: u64) -> io::Result<bool> {
        let mut attr = self.attr(value.as_mut_ptr() as u64, flags);
        found(call(Call::Bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr)))
    }
}

// Takes the next value of a queue or stack; false when it is empty.
pub(crate) fn map_pop(map: BorrowedFd<'_>, value: &mut [u8]) -> io::Result<bool> {
    let mut attr = attr();
    // SAFETY: as in map_read_batch.
    let a = unsafe { &mut attr.__bindgen_anon_2 };
    a.map_fd = fd(map);
    a.__bindgen_anon_1 = ElementValue { value: value.as_mut_ptr() as u64 };
    found(call(Call::Bpf(bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_ELEM, &mut attr)))
}
