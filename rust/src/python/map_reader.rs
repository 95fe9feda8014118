use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arrow_array::RecordBatch as ArrowBatch;
use arrow_schema::SchemaRef;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::batch::{RecordBatch, schema_capsule};
use crate::error::{Error, Result};
use crate::maps;
use crate::maps::read::Reader;

// A map that is being read.
#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct MapReader {
    map: Weak<maps::Map>,
    // It is the map's owner who keeps it open, but what is taken out of a map is taken to the end.
    kept: Option<Arc<maps::Map>>,
    schema: SchemaRef,
    state: Mutex<State>,
}

struct State {
    // None when the end was reached, or the map closed.
    reader: Option<Reader>,
    // What read_all() has read, until all is.
    read: Vec<ArrowBatch>,
}

impl MapReader {
    pub(super) fn new(map: &Arc<maps::Map>, reader: Reader, keep: bool) -> Self {
        let schema = reader.schema();
        let state = Mutex::new(State { reader: Some(reader), read: Vec::new() });
        Self { map: Arc::downgrade(map), kept: keep.then(|| Arc::clone(map)), schema, state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, state: &mut State) -> Result<Option<ArrowBatch>> {
        let Some(reader) = &mut state.reader else {
            return Ok(None);
        };
        let Some(map) = self.kept.clone().or_else(|| self.map.upgrade()) else {
            state.reader = None;
            return Err(Error::Stream("this map is closed".into()));
        };
        let batch = reader.next(&map)?;
        if batch.is_none() {
            state.reader = None;
        }
        Ok(batch)
    }
}

#[pymethods]
impl MapReader {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Result<Option<RecordBatch>> {
        let batch = py.detach(|| self.next(&mut self.lock()))?;
        Ok(batch.map(|rows| RecordBatch { rows, table: 0 }))
    }

    // Interrupted by a signal, it goes on where it was when it is called again.
    fn read_all(&self, py: Python<'_>) -> PyResult<Vec<RecordBatch>> {
        let read = || -> Result<bool> {
            let mut state = self.lock();
            let batch = self.next(&mut state)?;
            let more = batch.is_some();
            state.read.extend(batch);
            Ok(more)
        };
        while py.detach(read)? {
            py.check_signals()?;
        }
        Ok(self.lock().read.iter().map(|rows| RecordBatch { rows: rows.clone(), table: 0 }).collect())
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.schema)
    }
}
