use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, RwLock};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt};

use super::batch::Field;
use super::btf::member;
use super::map_reader::MapReader;
use super::memory::Memory;
use super::table::imported;
use crate::btf::layout::Member;
use crate::error::{Error, Result};
use crate::maps;
use crate::maps::read::{Reader, Request, Way};
use crate::maps::write::{Columns, Progress, Work};
use crate::sys::bpf::{self, MapDefinition, MapTypes};

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Map {
    // None when closed.
    inner: RwLock<Option<Arc<maps::Map>>>,
}

type Type<'py> = Option<Bound<'py, PyAny>>;

#[pymethods]
impl Map {
    // `types` are BTF, and the numbers there of the types of key and value.
    #[new]
    #[expect(clippy::too_many_arguments, reason = "what the kernel asks")]
    #[pyo3(signature = (
        kind, key_size, value_size, max_entries, flags, name, possible_cpus, *, types=None, inner=None, numa_node=0, extra=0
    ))]
    fn new(
        kind: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
        name: &str,
        possible_cpus: usize,
        types: Option<(Vec<u8>, u32, u32)>,
        inner: Option<&Self>,
        numa_node: u32,
        extra: u64,
    ) -> Result<Self> {
        let btf = types.as_ref().map(|(types, ..)| bpf::btf_load(types)).transpose();
        let btf = btf.map_err(Error::kernel("cannot load the types of the map"))?;
        let types = btf.as_ref().zip(types.as_ref());
        let types = types.map(|(btf, &(_, key, value))| MapTypes { btf: btf.as_fd(), key, value });
        let inner = inner.map(Self::open).transpose()?;
        let inner = inner.as_deref().map(AsFd::as_fd);
        let definition =
            MapDefinition { kind, key_size, value_size, max_entries, flags, name, types, inner, numa_node, extra };
        maps::Map::create(&definition, possible_cpus).map(Self::from)
    }

    #[staticmethod]
    fn at(path: Vec<u8>, possible_cpus: usize) -> Result<Self> {
        maps::Map::open(&c(path)?, possible_cpus).map(Self::from)
    }

    #[staticmethod]
    fn of_id(id: u32, possible_cpus: usize) -> Result<Self> {
        maps::Map::of_id(id, possible_cpus).map(Self::from)
    }

    #[staticmethod]
    fn of_fd(fd: RawFd, possible_cpus: usize) -> Result<Self> {
        maps::Map::of_fd(fd, possible_cpus).map(Self::from)
    }

    fn pin(&self, path: Vec<u8>) -> Result<()> {
        self.open()?.pin(&c(path)?)
    }

    // Of key and value, as far as they are known.
    fn types<'py>(&self, py: Python<'py>) -> PyResult<(Type<'py>, Type<'py>)> {
        let (key, value) = self.open()?.types()?;
        let python = |found: Option<Member>| found.map(|found| member(py, found)).transpose();
        Ok((python(key)?, python(value)?))
    }

    fn fileno(&self) -> Result<i32> {
        Ok(self.open()?.as_fd().as_raw_fd())
    }

    fn lookup<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let map = self.open()?;
        let mut found = false;
        let value = PyBytes::new_with(py, map.value_size(), |value| {
            found = map.lookup(key, value)?;
            Ok(())
        })?;
        Ok(found.then_some(value))
    }

    // The value of a map of numbers of the processor's order, which have 1, 2, 4 or 8 bytes.
    fn lookup_number<'py>(&self, py: Python<'py>, signed: bool, key: &[u8]) -> PyResult<Option<Bound<'py, PyInt>>> {
        let map = self.open()?;
        let mut value = [0; 8];
        let size = map.value_size();
        let bytes = value.get_mut(..size).ok_or_else(|| Error::Layout(format!("{size} bytes are no number")))?;
        if !map.lookup(key, bytes)? {
            return Ok(None);
        }
        let unused = 64 - 8 * size as u32;
        let number =
            if cfg!(target_endian = "big") { u64::from_be_bytes(value) >> unused } else { u64::from_le_bytes(value) };
        Ok(Some(if signed {
            ((number << unused).cast_signed() >> unused).into_pyobject(py)?
        } else {
            number.into_pyobject(py)?
        }))
    }

    fn take<'py>(&self, py: Python<'py>, key: &[u8]) -> Result<Option<Bound<'py, PyBytes>>> {
        Ok(self.open()?.take(key)?.map(|value| PyBytes::new(py, &value)))
    }

    fn holds(&self, value: Vec<u8>) -> Result<bool> {
        self.open()?.holds(value)
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        self.open()?.update(key, value, flags)
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        self.open()?.delete(key)
    }

    // The rows of a `pyarrow.RecordBatchReader`; how many elements, and those that failed: their rows, and errno.
    #[pyo3(signature = (reader, keys, values, cpus, flags))]
    fn update_rows(
        &self,
        py: Python<'_>,
        reader: &Bound<'_, PyAny>,
        keys: Columns,
        values: Columns,
        cpus: Option<Vec<u32>>,
        flags: u64,
    ) -> PyResult<Changes> {
        let reader = imported(reader)?;
        self.change(py, py.detach(|| Work::update(reader, keys, values, cpus.as_deref(), flags))?)
    }

    fn delete_rows(&self, py: Python<'_>, reader: &Bound<'_, PyAny>, keys: Columns) -> PyResult<Changes> {
        let reader = imported(reader)?;
        self.change(py, py.detach(|| Work::delete(reader, keys))?)
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

    fn memory(&self, address: usize, len: usize, writable: bool) -> Result<Memory> {
        self.open()?.memory(address, len, writable).map(Memory::from)
    }

    fn freeze(&self) -> Result<()> {
        self.open()?.freeze()
    }

    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let map = self.open()?;
        let info = bpf::map_info(map.as_fd()).map_err(Error::kernel("cannot look at the map"))?;
        let dict = PyDict::new(py);
        dict.set_item("id", info.id)?;
        dict.set_item("type", info.type_)?;
        dict.set_item("name", bpf::info_name(&info.name))?;
        dict.set_item("key_size", info.key_size)?;
        dict.set_item("value_size", info.value_size)?;
        dict.set_item("max_entries", info.max_entries)?;
        dict.set_item("flags", info.map_flags)?;
        dict.set_item("map_extra", info.map_extra)?;
        dict.set_item("btf_id", info.btf_id)?;
        Ok(dict)
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

type Changes = (usize, Vec<usize>, Vec<i32>);

impl Map {
    fn change(&self, py: Python<'_>, work: Work) -> PyResult<Changes> {
        let map = self.open()?;
        let mut progress = Progress::default();
        while py.detach(|| map.change(&work, &mut progress))? {
            py.check_signals()?;
        }
        let (rows, numbers) = progress.failed.into_iter().unzip();
        Ok((progress.done, rows, numbers))
    }

    fn open(&self) -> Result<Arc<maps::Map>> {
        let inner = self.inner.read().ok().and_then(|inner| inner.clone());
        inner.ok_or_else(|| Error::Stream("this map is closed".into()))
    }
}

#[pyfunction]
pub(super) fn map_ids() -> Result<Vec<u32>> {
    maps::found::ids()
}

fn c(path: Vec<u8>) -> Result<CString> {
    CString::new(path).map_err(|_| Error::Layout("a path cannot hold a NUL character".into()))
}
