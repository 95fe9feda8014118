use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::RecordBatchReader;
use arrow_array::ffi_stream::RecordBatchStreamReader;
use pyo3::prelude::*;

use super::batch::Field;
use super::table::imported;
use crate::error::{Error, Result};
use crate::record::rows::{Layout, Rows};
use crate::stream::writer::{Progress, Writer, Written};
use crate::sys::process;

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct UserRing {
    writer: Writer,
    layout: Layout,
}

#[pymethods]
impl UserRing {
    #[new]
    fn new(map_fd: i32, fields: Vec<Field>, size: usize) -> Result<Self> {
        let layout = Layout::new(fields, size)?;
        let map = process::duplicate(map_fd).map_err(Error::kernel("cannot use the user ring buffer's map"))?;
        Ok(Self { writer: Writer::open(map, layout.size)?, layout })
    }

    // The rows of a `pyarrow.RecordBatchReader`: all of them are checked before the first is written.
    fn write(&self, py: Python<'_>, reader: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<usize> {
        let rows = imported(reader)?;
        // A time too long for the clock is no deadline.
        let deadline = timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|timeout| Instant::now().checked_add(timeout));
        let batches = py.detach(|| self.checked(rows))?;
        let mut progress = Progress::default();
        while py.detach(|| self.writer.write(&batches, &mut progress, deadline))? == Written::Interrupted {
            py.check_signals()?;
        }
        Ok(progress.rows)
    }

    #[getter]
    fn written(&self) -> u64 {
        self.writer.written()
    }

    #[getter]
    fn unread(&self) -> Result<u64> {
        self.writer.unread()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.writer.close());
    }
}

impl UserRing {
    fn checked(&self, reader: RecordBatchStreamReader) -> Result<Vec<Rows>> {
        let schema = reader.schema();
        let mut before = 0;
        let mut checked = Vec::new();
        for batch in reader {
            let batch = batch?;
            checked.push(self.layout.rows(&batch, before)?);
            before += batch.num_rows();
        }
        // What has no rows has types.
        self.layout.rows(&RecordBatch::new_empty(schema), 0)?;
        Ok(checked)
    }
}
