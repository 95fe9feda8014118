//! The commands of `bpf(2)` that fastbpf uses, on byte slices and file descriptors.

pub(crate) mod batch;
pub(crate) mod iterator;
pub(crate) mod pinned;
pub(crate) mod program;
pub(crate) mod read;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{
    bpf_attr, bpf_attr__bindgen_ty_2__bindgen_ty_1 as ElementValue,
    bpf_attr__bindgen_ty_14__bindgen_ty_2 as LinkTarget, bpf_cmd, bpf_map_info,
};

use super::{Call, call, call_fd};

pub(crate) use aya_obj::generated::{bpf_attach_type as AttachType, bpf_map_type as MapType};

pub(crate) const RINGBUF_OVERWRITE: u32 = 1 << 19; // BPF_F_RB_OVERWRITE, include/uapi/linux/bpf.h of 6.19

fn attr() -> bpf_attr {
    // SAFETY: bpf_attr is a union of plain integers, for which all zero bytes is a value.
    unsafe { std::mem::zeroed() }
}

fn fd(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn name(text: &str) -> [std::ffi::c_char; 16] {
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(text.bytes().take(15)) {
        *to = from.cast_signed() as std::ffi::c_char;
    }
    name
}

#[derive(Default)]
pub(crate) struct MapDefinition<'a> {
    pub(crate) kind: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    pub(crate) name: &'a str,
    // What the kernel is told of what the map holds, where it has to know.
    pub(crate) types: Option<MapTypes<'a>>,
    // A map of maps: one like those that it is to hold.
    pub(crate) inner: Option<BorrowedFd<'a>>,
    // Where its memory is to be, with BPF_F_NUMA_NODE.
    pub(crate) numa_node: u32,
    // What it means is the type's to say.
    pub(crate) extra: u64,
}

#[derive(Clone, Copy)]
// Types that were given by `btf_load`, and the numbers there of those of key and value.
pub(crate) struct MapTypes<'a> {
    pub(crate) btf: BorrowedFd<'a>,
    pub(crate) key: u32,
    pub(crate) value: u32,
}

pub(crate) fn map_create(map: &MapDefinition<'_>) -> io::Result<OwnedFd> {
    let mut attr = attr();
    // SAFETY: every field of the union is plain integers and the union was zeroed.
    let a = unsafe { &mut attr.__bindgen_anon_1 };
    a.map_type = map.kind;
    a.key_size = map.key_size;
    a.value_size = map.value_size;
    a.max_entries = map.max_entries;
    a.map_flags = map.flags;
    a.map_name = name(map.name);
    if let Some(types) = &map.types {
        a.btf_fd = fd(types.btf);
        a.btf_key_type_id = types.key;
        a.btf_value_type_id = types.value;
    }
    if let Some(inner) = map.inner {
        a.inner_map_fd = fd(inner);
    }
    a.numa_node = map.numa_node;
    a.map_extra = map.extra;
    call_fd(Call::Bpf(bpf_cmd::BPF_MAP_CREATE, &mut attr))
}

pub(crate) struct Element<'a> {
    pub(crate) map: BorrowedFd<'a>,
    pub(crate) key: &'a [u8],
}

impl Element<'_> {
    fn attr(&self, value: u64, flags: u64) -> bpf_attr {
        let mut attr = attr();
        // SAFETY: as in map_create.
        let a = unsafe { &mut attr.__bindgen_anon_2 };
        a.map_fd = fd(self.map);
        // The kernel takes no address of a key that has no bytes.
        a.key = if self.key.is_empty() { 0 } else { self.key.as_ptr() as u64 };
        a.__bindgen_anon_1 = ElementValue { value };
        a.flags = flags;
        attr
    }

    // False when the map has no such key. `value` must be as long as the kernel writes: the caller knows the map.
    pub(crate) fn lookup(&self, value: &mut [u8]) -> io::Result<bool> {
        let mut attr = self.attr(value.as_mut_ptr() as u64, 0);
        found(call(Call::Bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr)))
    }

    // As `lookup`, and the element is gone (hashes since Linux 5.14, queues and stacks since 4.20).
    pub(crate) fn take(&self, value: &mut [u8]) -> io::Result<bool> {
        let mut attr = self.attr(value.as_mut_ptr() as u64, 0);
        found(call(Call::Bpf(bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_ELEM, &mut attr)))
    }

    pub(crate) fn update(&self, value: &[u8], flags: u64) -> io::Result<()> {
        let mut attr = self.attr(value.as_ptr() as u64, flags);
        call(Call::Bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr)).map(drop)
    }

    pub(crate) fn delete(&self) -> io::Result<bool> {
        let mut attr = self.attr(0, 0);
        found(call(Call::Bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr)))
    }
}

// The key that follows `key` (or the first one) into `next`; false at the end.
pub(crate) fn map_next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let mut attr = attr();
    // SAFETY: as in map_create.
    let a = unsafe { &mut attr.__bindgen_anon_2 };
    a.map_fd = fd(map);
    a.key = key.map_or(0, |key| key.as_ptr() as u64);
    a.__bindgen_anon_1 = ElementValue { next_key: next.as_mut_ptr() as u64 };
    found(call(Call::Bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr)))
}

// From now on no process can change the map: the verifier takes what it holds for constant (Linux 5.2).
pub(crate) fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = attr();
    // SAFETY: as in map_create.
    unsafe { &mut attr.__bindgen_anon_2 }.map_fd = fd(map);
    call(Call::Bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr)).map(drop)
}

fn found(answer: io::Result<i64>) -> io::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn info<T>(object: BorrowedFd<'_>) -> io::Result<T> {
    // SAFETY: only called for the kernel's info structs, plain integers for which all zero bytes is a value.
    fill_info(object, unsafe { std::mem::zeroed() })
}

// The pointers in `info` say where the kernel is to write more, and their lengths how much fits.
fn fill_info<T>(object: BorrowedFd<'_>, mut info: T) -> io::Result<T> {
    let mut attr = attr();
    // SAFETY: as in map_create.
    let a = unsafe { &mut attr.info };
    a.bpf_fd = fd(object);
    a.info_len = u32::try_from(size_of::<T>()).expect("an info struct is small");
    a.info = std::ptr::from_mut(&mut info) as u64;
    call(Call::Bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr))?;
    Ok(info)
}

pub(crate) fn map_info(map: BorrowedFd<'_>) -> io::Result<bpf_map_info> {
    info(map)
}

pub(crate) fn info_name(name: &[std::ffi::c_char; 16]) -> String {
    name.iter().take_while(|&&c| c != 0).map(|&c| char::from(c.cast_unsigned())).collect()
}

// Gives types to the kernel, for a program or a map to refer to.
pub(crate) fn btf_load(types: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = attr();
    // SAFETY: as in map_create.
    let a = unsafe { &mut attr.__bindgen_anon_7 };
    a.btf = types.as_ptr() as u64;
    a.btf_size = u32::try_from(types.len()).unwrap_or(u32::MAX);
    call_fd(Call::Bpf(bpf_cmd::BPF_BTF_LOAD, &mut attr))
}

// A link that lives with its descriptor. EINVAL where the kernel has no link for perf events (before 5.15).
pub(crate) fn link_create_perf_event(program: BorrowedFd<'_>, event: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    link_create(program, LinkTarget { target_fd: fd(event) }, AttachType::BPF_PERF_EVENT)
}

// The interface of that number in the network namespace of this thread. EINVAL where the kernel has no such links.
pub(crate) fn link_create_interface(program: BorrowedFd<'_>, index: u32, place: AttachType) -> io::Result<OwnedFd> {
    link_create(program, LinkTarget { target_ifindex: index }, place)
}

fn link_create(program: BorrowedFd<'_>, target: LinkTarget, place: AttachType) -> io::Result<OwnedFd> {
    let mut attr = attr();
    // SAFETY: as in map_create.
    let a = unsafe { &mut attr.link_create };
    a.__bindgen_anon_1.prog_fd = fd(program);
    a.__bindgen_anon_2 = target;
    a.attach_type = place as u32;
    call_fd(Call::Bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr))
}

pub(crate) fn raw_tracepoint_open(program: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let mut attr = attr();
    // SAFETY: as in map_create.
    let a = unsafe { &mut attr.raw_tracepoint };
    a.prog_fd = fd(program);
    a.name = name.as_ptr() as u64;
    call_fd(Call::Bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr))
}
