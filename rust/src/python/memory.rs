use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{Error, Result};
use crate::sys::shared::Shared;

// The memory of a map; it stays when the map is closed.
#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Memory(Shared);

#[pymethods]
impl Memory {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn writable(&self) -> bool {
        self.0.is_writable()
    }

    fn read<'py>(&self, py: Python<'py>, at: usize, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, size, |bytes| Ok(self.0.read(at, bytes).ok_or_else(refused)?))
    }

    fn write(&self, at: usize, bytes: &[u8]) -> Result<()> {
        self.0.write(at, bytes).ok_or_else(refused)
    }

    fn fetch_add(&self, at: usize, size: usize, value: u64) -> Result<u64> {
        self.0.fetch_add(at, size, value).ok_or_else(refused)
    }

    fn compare_exchange(&self, at: usize, size: usize, old: u64, new: u64) -> Result<bool> {
        self.0.compare_exchange(at, size, old, new).ok_or_else(refused)
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
        Self(shared)
    }
}
