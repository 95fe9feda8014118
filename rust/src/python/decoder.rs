use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use super::batch::{Field, RecordBatch};
use crate::error::Result;
use crate::record::plan::Plan;
use crate::stream::replay::Replay;
use crate::sys::clock::Offsets;

// Decodes bytes that were taken from a ring before, as the live stream does.
#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Decoder(Mutex<Replay>);

#[pymethods]
impl Decoder {
    #[new]
    fn new(fields: Vec<Field>, size: usize, max_rows: usize) -> Result<Self> {
        let plan = Arc::new(Plan::new(fields, size)?.without_lead()?);
        Ok(Self(Mutex::new(Replay::new(plan, max_rows))))
    }

    // `clocks` are the (monotonic, boottime, tai) offsets to UTC that held when the bytes were taken.
    fn decode(&self, py: Python<'_>, bytes: &[u8], clocks: (i64, i64, i64)) -> Result<Vec<RecordBatch>> {
        let clocks = Offsets { monotonic: clocks.0, boottime: clocks.1, tai: clocks.2 };
        let batches = py.detach(|| self.lock().decode(bytes, &clocks))?;
        Ok(batches.into_iter().map(|rows| RecordBatch { rows, table: 0 }).collect())
    }

    #[getter]
    fn cuts(&self) -> u64 {
        self.lock().cuts()
    }

    // What is left of the last batch.
    fn finish(&self) -> Result<Option<RecordBatch>> {
        Ok(self.lock().finish()?.map(|rows| RecordBatch { rows, table: 0 }))
    }
}

impl Decoder {
    fn lock(&self) -> MutexGuard<'_, Replay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
