use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, RwLock};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::batch::Field;
use super::map_reader::MapReader;
use crate::btf::lock::Locked;
use crate::error::{Error, Result};
use crate::maps;
use crate::maps::read::{Reader, Request, Way};
use crate::sys::bpf::{self, MapDefinition, MapTypes};

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Map {
    // None when closed.
    inner: RwLock<Option<Arc<maps::Map>>>,
}

#[pymethods]
impl Map {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "what the kernel asks")]
    #[pyo3(signature = (kind, key_size, value_size, max_entries, flags, name, possible_cpus, lock=None, inner=None))]
    fn new(
        kind: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
        name: &str,
        possible_cpus: usize,
        lock: Option<u32>,
        inner: Option<&Self>,
    ) -> Result<Self> {
        let locked = lock.map(|offset| Locked::new(key_size, value_size, offset));
        let btf = locked.as_ref().map(|locked| bpf::btf_load(&locked.types)).transpose();
        let btf = btf.map_err(Error::kernel("cannot load the types of the map"))?;
        let types = btf.as_ref().zip(locked.as_ref());
        let types = types.map(|(btf, types)| MapTypes { btf: btf.as_fd(), key: types.key, value: types.value });
        let inner = inner.map(Self::open).transpose()?;
        let inner = inner.as_deref().map(AsFd::as_fd);
        let definition = MapDefinition { kind, key_size, value_size, max_entries, flags, name, types, inner };
        maps::Map::create(&definition, possible_cpus).map(Self::from)
    }

    fn fileno(&self) -> Result<i32> {
        Ok(self.open()?.as_fd().as_raw_fd())
    }

    fn lookup<'py>(&self, py: Python<'py>, key: &[u8]) -> Result<Option<Bound<'py, PyBytes>>> {
        Ok(self.open()?.lookup(key)?.map(|value| PyBytes::new(py, &value)))
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        self.open()?.update(key, value, flags)
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        self.open()?.delete(key)
    }

    fn next_key<'py>(&self, py: Python<'py>, key: Option<&[u8]>) -> Result<Option<Bound<'py, PyBytes>>> {
        Ok(self.open()?.next_key(key)?.map(|key| PyBytes::new(py, &key)))
    }

    #[expect(clippy::too_many_arguments, reason = "what a read is made of")]
    #[pyo3(signature = (key, value, names, cpus, reduce=None, *, locked=false, drain=false, rows=None))]
    fn read(
        &self,
        key: Vec<Field>,
        value: Vec<Field>,
        names: Vec<String>,
        cpus: Vec<u32>,
        reduce: Option<&str>,
        locked: bool,
        drain: bool,
        rows: Option<usize>,
    ) -> Result<MapReader> {
        let map = self.open()?;
        let reduce = reduce.map(way).transpose()?;
        let reader = Reader::new(&map, Request { key, value, names, cpus, reduce, locked, drain, rows })?;
        Ok(MapReader::new(&map, reader, drain))
    }

    fn freeze(&self) -> Result<()> {
        self.open()?.freeze()
    }

    fn id(&self) -> Result<u32> {
        let map = self.open()?;
        Ok(bpf::map_info(map.as_fd()).map_err(Error::kernel("cannot look at the map"))?.id)
    }

    fn close(&self) {
        drop(self.inner.write().map(|mut inner| inner.take()));
    }
}

fn way(name: &str) -> Result<Way> {
    Ok(match name {
        "sum" => Way::Sum,
        "max" => Way::Max,
        "min" => Way::Min,
        "mean" => Way::Mean,
        _ => return Err(Error::Layout(format!("reduce={name:?}: give \"sum\", \"max\", \"min\" or \"mean\""))),
    })
}

impl From<maps::Map> for Map {
    fn from(map: maps::Map) -> Self {
        Self { inner: RwLock::new(Some(Arc::new(map))) }
    }
}

impl Map {
    fn open(&self) -> Result<Arc<maps::Map>> {
        let inner = self.inner.read().ok().and_then(|inner| inner.clone());
        inner.ok_or_else(|| Error::Stream("this map is closed".into()))
    }
}
