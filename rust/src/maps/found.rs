//! Maps that somebody else made.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::Map;
use crate::btf::Btf;
use crate::btf::layout::Member;
use crate::error::{Error, Result};
use crate::sys::bpf::{self, pinned};
use crate::sys::process;

impl Map {
    pub(crate) fn open(path: &CStr, possible_cpus: usize) -> Result<Self> {
        let fd = pinned::open(path)
            .map_err(|source| Error::kernel(format!("cannot open {}", path.to_string_lossy()))(source))?;
        Self::found(fd, &path.to_string_lossy(), possible_cpus)
    }

    pub(crate) fn of_id(id: u32, possible_cpus: usize) -> Result<Self> {
        let fd = pinned::map_of(id).map_err(|source| {
            let unknown = source.raw_os_error() == Some(libc::ENOENT);
            Error::kernel(format!("{} map {id}", if unknown { "there is no" } else { "cannot open" }))(source)
        })?;
        Self::found(fd, &format!("map {id}"), possible_cpus)
    }

    // Gets a descriptor of its own.
    pub(crate) fn of_fd(fd: RawFd, possible_cpus: usize) -> Result<Self> {
        let what = format!("descriptor {fd}");
        let fd = process::duplicate(fd).map_err(Error::kernel(format!("cannot use {what}")))?;
        Self::found(fd, &what, possible_cpus)
    }

    fn found(fd: OwnedFd, what: &str, possible_cpus: usize) -> Result<Self> {
        // The kernel tells of programs and links by the same command.
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        if let Some(kind) =
            link.ok().as_deref().and_then(|path| path.to_str()).filter(|&kind| !kind.ends_with("bpf-map"))
        {
            let kind = kind.strip_prefix("anon_inode:").unwrap_or(kind);
            return Err(Error::Layout(format!("{what} is no map, but {kind}")));
        }
        let info = bpf::map_info(fd.as_fd()).map_err(Error::kernel(format!("cannot look at {what}")))?;
        Ok(Self::new(fd, info.type_, info.key_size, info.value_size, possible_cpus))
    }

    pub(crate) fn pin(&self, path: &CStr) -> Result<()> {
        pinned::pin(self.as_fd(), path)
            .map_err(Error::kernel(format!("cannot pin the map at {}", path.to_string_lossy())))
    }

    // The types of key and value, where whoever made the map told the kernel.
    pub(crate) fn types(&self) -> Result<(Option<Member>, Option<Member>)> {
        let info = bpf::map_info(self.as_fd()).map_err(Error::kernel("cannot look at the map"))?;
        if info.btf_id == 0 {
            return Ok((None, None));
        }
        let bytes = pinned::types(info.btf_id).map_err(Error::kernel("cannot read the types of the map"))?;
        let Some(types) = Btf::parse(bytes).filter(Btf::is_whole) else { return Ok((None, None)) };
        let of = |id: u32| types.content(id).or_else(|| types.section_of(id));
        Ok((of(info.btf_key_type_id), of(info.btf_value_type_id)))
    }
}

// The numbers of all maps, in the order in which they were made.
pub(crate) fn ids() -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    while let Some(id) =
        pinned::map_after(ids.last().copied().unwrap_or(0)).map_err(Error::kernel("cannot list maps"))?
    {
        ids.push(id);
    }
    Ok(ids)
}
