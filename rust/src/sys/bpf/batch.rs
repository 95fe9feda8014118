//! The commands of `bpf(2)` that change many elements of a map (Linux 5.6).

use std::io;
use std::os::fd::BorrowedFd;

use aya_obj::generated::bpf_cmd;

use super::{attr, fd};
use crate::sys::{Call, call};

pub(crate) struct Elements<'a> {
    pub(crate) map: BorrowedFd<'a>,
    pub(crate) count: u32,
    // One behind another. There must be so many as the map's sizes ask for: the caller knows the map.
    pub(crate) keys: &'a [u8],
    pub(crate) values: &'a [u8],
    pub(crate) flags: u64,
}

pub(crate) enum Changed {
    All,
    // The elements before this one were changed, and it was refused.
    Before(u32, io::Error),
    // The kernel does not do this by batches, or not at all: nothing was changed.
    None,
}

impl Elements<'_> {
    pub(crate) fn update(&self) -> Changed {
        self.change(bpf_cmd::BPF_MAP_UPDATE_BATCH)
    }

    pub(crate) fn delete(&self) -> Changed {
        self.change(bpf_cmd::BPF_MAP_DELETE_BATCH)
    }

    fn change(&self, command: bpf_cmd) -> Changed {
        let mut attr = attr();
        // SAFETY: every field of the union is plain integers and the union was zeroed.
        let a = unsafe { &mut attr.batch };
        a.map_fd = fd(self.map);
        a.count = self.count;
        a.keys = self.keys.as_ptr() as u64;
        a.values = self.values.as_ptr() as u64;
        a.elem_flags = self.flags;
        let Err(error) = call(Call::Bpf(command, &mut attr)) else {
            return Changed::All;
        };
        // The count is written when elements were tried (generic_map_update_batch); refusals before that leave it.
        // SAFETY: as above; the kernel writes the count only.
        let count = unsafe { attr.batch.count };
        if count < self.count { Changed::Before(count, error) } else { Changed::None }
    }
}
