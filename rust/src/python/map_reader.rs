use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::batch::{RecordBatch, schema_capsule};
use crate::error::{Error, Result};
use crate::maps;
use crate::maps::read::Reader;

// A map that is being read. It is the map's owner who keeps it open.
#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct MapReader {
    map: Weak<maps::Map>,
    schema: arrow_schema::SchemaRef,
    // None when the end was reached.
    reader: Mutex<Option<Reader>>,
}

impl MapReader {
    pub(super) fn new(map: &Arc<maps::Map>, reader: Reader) -> Self {
        Self { map: Arc::downgrade(map), schema: reader.schema(), reader: Mutex::new(Some(reader)) }
    }

    fn read(&self) -> Result<Option<RecordBatch>> {
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reader) = &mut *slot else {
            return Ok(None);
        };
        let map = self.map.upgrade().ok_or_else(|| Error::Stream("this map is closed".into()));
        let batch = map.and_then(|map| reader.next(&map));
        if !matches!(batch, Ok(Some(_))) {
            *slot = None;
        }
        Ok(batch?.map(|rows| RecordBatch { rows, table: 0 }))
    }
}

#[pymethods]
impl MapReader {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Result<Option<RecordBatch>> {
        py.detach(|| self.read())
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.schema)
    }
}
