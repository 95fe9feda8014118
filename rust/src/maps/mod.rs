//! A map's elements as bytes, and all of them as tables.

pub(crate) mod read;

pub(crate) mod write;

pub(crate) mod found;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Error, Result};
use crate::sys::bpf::{self, Element, MapDefinition, MapType};
use crate::sys::shared::Shared;

pub(crate) struct Map {
    fd: OwnedFd,
    key_size: usize,
    // Bytes that one look-up gives: for per-CPU maps a value for each possible CPU, each rounded up to 8.
    value_size: usize,
}

const PER_CPU: [MapType; 4] = [
    MapType::BPF_MAP_TYPE_PERCPU_HASH,
    MapType::BPF_MAP_TYPE_PERCPU_ARRAY,
    MapType::BPF_MAP_TYPE_LRU_PERCPU_HASH,
    MapType::BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
];

impl Map {
    pub(crate) fn create(definition: &MapDefinition<'_>, possible_cpus: usize) -> Result<Self> {
        let fd = bpf::map_create(definition).map_err(Error::kernel("cannot create the map"))?;
        Ok(Self::new(fd, definition.kind, definition.key_size, definition.value_size, possible_cpus))
    }

    fn new(fd: OwnedFd, kind: u32, key_size: u32, value_size: u32, possible_cpus: usize) -> Self {
        let size = value_size as usize;
        let value_size = if PER_CPU.iter().any(|&per_cpu| per_cpu as u32 == kind) {
            size.next_multiple_of(8) * possible_cpus
        } else {
            size
        };
        Self { fd, key_size: key_size as usize, value_size }
    }

    fn element<'a>(&'a self, key: &'a [u8]) -> Result<Element<'a>> {
        if key.len() != self.key_size {
            return Err(Error::Layout(format!("a key of this map has {} bytes, not {}", self.key_size, key.len())));
        }
        Ok(Element { map: self.fd.as_fd(), key })
    }

    // Bytes that a look-up gives.
    pub(crate) fn value_size(&self) -> usize {
        self.value_size
    }

    // False when there is no such key.
    pub(crate) fn lookup(&self, key: &[u8], value: &mut [u8]) -> Result<bool> {
        assert!(value.len() == self.value_size, "{} bytes for a value of {}", value.len(), self.value_size);
        self.element(key)?.lookup(value).map_err(Error::kernel("cannot read from the map"))
    }

    pub(crate) fn take(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value_size];
        let found = self.element(key)?.take(&mut value).map_err(Error::kernel("cannot take from the map"))?;
        Ok(found.then_some(value))
    }

    // Whether a bloom filter has seen a value.
    pub(crate) fn holds(&self, mut value: Vec<u8>) -> Result<bool> {
        self.check_value(&value)?;
        self.element(&[])?.lookup(&mut value).map_err(Error::kernel("cannot read from the map"))
    }

    fn check_value(&self, value: &[u8]) -> Result<()> {
        if value.len() == self.value_size {
            return Ok(());
        }
        Err(Error::Layout(format!("a value of this map has {} bytes, not {}", self.value_size, value.len())))
    }

    pub(crate) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        self.check_value(value)?;
        self.element(key)?.update(value, flags).map_err(Error::kernel("cannot write to the map"))
    }

    pub(crate) fn delete(&self, key: &[u8]) -> Result<bool> {
        self.element(key)?.delete().map_err(Error::kernel("cannot delete from the map"))
    }

    pub(crate) fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.key_size];
        let found = bpf::map_next_key(self.fd.as_fd(), key, &mut next).map_err(Error::kernel("cannot walk the map"))?;
        Ok(found.then_some(next))
    }

    // The first `len` bytes of its values (BPF_F_MMAPABLE), or of an arena.
    pub(crate) fn memory(&self, address: usize, len: usize, writable: bool) -> Result<Shared> {
        Shared::of_map(self.fd.as_fd(), address, len, writable).map_err(Error::kernel("cannot map the map's memory"))
    }

    pub(crate) fn freeze(&self) -> Result<()> {
        bpf::map_freeze(self.fd.as_fd()).map_err(Error::kernel("cannot freeze the map"))
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
