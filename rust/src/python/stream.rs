use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::batch::{Field, RecordBatch, schema_capsule};
use crate::error::{Error, Result};
use crate::record::plan::Plan;
use crate::stream::{Next, Policy, Stream, Wanted};

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct RingStream {
    stream: Arc<Stream>,
}

#[pymethods]
impl RingStream {
    #[new]
    fn new(
        map_fd: i32,
        fields: Vec<Field>,
        size: usize,
        max_rows: usize,
        max_latency: f64,
        background: bool,
    ) -> Result<Self> {
        let plan = Plan::new(fields, size)?;
        let policy = Policy { max_rows, max_latency: Duration::from_secs_f64(max_latency), background };
        let map = crate::sys::process::duplicate(map_fd).map_err(Error::kernel("cannot use the ring buffer's map"))?;
        Ok(Self { stream: Stream::open(map, plan, policy)? })
    }

    // (batch, why there is none): "" with a batch, or "timeout", "until", "end".
    #[pyo3(signature = (timeout, least, most, until=None))]
    fn next(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        least: usize,
        most: usize,
        until: Option<i32>,
    ) -> PyResult<(Option<RecordBatch>, &'static str)> {
        // A time too long for the clock is no deadline.
        let deadline = timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
            .and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let next = py.detach(|| {
                let until = until.map(crate::sys::process::borrow);
                self.stream.next(&Wanted { deadline, least, most, until })
            })?;
            match next {
                Next::Batch(batch) => return Ok((Some(RecordBatch(batch)), "")),
                Next::TimedOut => return Ok((None, "timeout")),
                Next::Until => return Ok((None, "until")),
                Next::End => return Ok((None, "end")),
                Next::Interrupted => py.check_signals()?,
            }
        }
    }

    fn hold(&self, py: Python<'_>, held: bool) -> Result<()> {
        py.detach(|| self.stream.hold(held))
    }

    fn stop(&self, py: Python<'_>) -> Result<()> {
        py.detach(|| self.stream.stop())
    }

    fn close(&self, py: Python<'_>) -> Result<()> {
        py.detach(|| self.stream.close())
    }

    // (received, delivered, bytes, batches, wakeups, cuts)
    fn statistics(&self, py: Python<'_>) -> Result<(u64, u64, u64, u64, u64, u64)> {
        let s = py.detach(|| self.stream.statistics())?;
        Ok((s.received, s.delivered, s.bytes, s.batches, s.wakeups, s.cuts))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.stream.schema())
    }
}

impl Drop for RingStream {
    fn drop(&mut self) {
        // Fails in a forked child only, where there is nothing to do.
        let _ = self.stream.close();
    }
}
