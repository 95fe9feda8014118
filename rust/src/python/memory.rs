use std::sync::{Arc, PoisonError, RwLock};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{Error, Result};
use crate::sys::shared::Shared;

// The memory of a map, until it is closed.
#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Memory(RwLock<Option<Arc<Shared>>>);

#[pymethods]
impl Memory {
    fn __len__(&self) -> Result<usize> {
        Ok(self.open()?.len())
    }

    #[getter]
    fn writable(&self) -> Result<bool> {
        Ok(self.open()?.is_writable())
    }

    fn read<'py>(&self, py: Python<'py>, at: usize, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let memory = self.open()?;
        PyBytes::new_with(py, size, |bytes| Ok(memory.read(at, bytes).ok_or_else(refused)?))
    }

    fn write(&self, at: usize, bytes: &[u8]) -> Result<()> {
        self.open()?.write(at, bytes).ok_or_else(refused)
    }

    fn fetch_add(&self, at: usize, size: usize, value: u64) -> Result<u64> {
        self.open()?.fetch_add(at, size, value).ok_or_else(refused)
    }

    fn compare_exchange(&self, at: usize, size: usize, old: u64, new: u64) -> Result<bool> {
        self.open()?.compare_exchange(at, size, old, new).ok_or_else(refused)
    }

    fn close(&self) {
        drop(self.0.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Memory {
    fn open(&self) -> Result<Arc<Shared>> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        inner.ok_or_else(|| Error::Stream("this map is closed, or was frozen: ask it for its memory again".into()))
    }
}

fn refused() -> Error {
    Error::Layout(
        "beyond the map's memory, not aligned, mapped for reading only, or of a process that this one is a fork of"
            .into(),
    )
}

impl From<Shared> for Memory {
    fn from(shared: Shared) -> Self {
        Self(RwLock::new(Some(Arc::new(shared))))
    }
}
