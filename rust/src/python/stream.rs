use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList};

use super::batch::{Field, RecordBatch, schema_capsule};
use crate::error::{Error, Result};
use crate::record::plan::Plan;
use crate::stream::{
    Batch, Form, Input, Next, Overflow, PerCpu, Place, Policy, Route, Sequences, Shared, Statistics, Stream as Native,
    Tag, Transport, Wanted, Way,
};
use crate::sys::{bpf, process};

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Stream {
    stream: Arc<Native>,
}

// Offset and width of a number in a record.
type Number = (usize, usize);
// (fields, size, what its schema tells)
pub(super) type Table = (Vec<Field>, usize, HashMap<String, String>);
// (name, offset, width, (number, table) of each type)
pub(super) type Tagged = (String, usize, usize, Vec<(u64, usize)>);

// How a stream is to behave: what all its kinds take.
#[derive(FromPyObject)]
struct Manner {
    max_rows: usize,
    max_latency: f64,
    background: bool,
    overflow: String,
    look_back: Option<f64>,
    decode: bool,
}

impl From<Manner> for Policy {
    fn from(manner: Manner) -> Self {
        Self {
            max_rows: manner.max_rows,
            max_latency: Duration::from_secs_f64(manner.max_latency),
            background: manner.background,
            overflow: match manner.overflow.as_str() {
                "drop_newest" => Overflow::DropNewest,
                "drop_oldest" => Overflow::DropOldest,
                _ => Overflow::Block,
            },
            look_back: manner.look_back.map(Duration::from_secs_f64),
            decode: manner.decode,
        }
    }
}

#[pymethods]
impl Stream {
    // Ring buffers, whose records all have the same types.
    #[staticmethod]
    #[pyo3(signature = (map_fds, tables, tag, sequence, manner))]
    fn rings(
        map_fds: Vec<i32>,
        tables: Vec<Table>,
        tag: Option<Tagged>,
        sequence: Option<(Number, Option<Number>)>,
        manner: Manner,
    ) -> Result<Self> {
        let plans: Vec<Arc<Plan>> =
            plans(tables)?.into_iter().map(|plan| Ok(Arc::new(plan.without_lead()?))).collect::<Result<_>>()?;
        let way = Way { route: route(tag), sequence: shared(sequence), counts: false, source: 0 };
        let mut inputs = Vec::new();
        let mut maps = Vec::new();
        for fd in map_fds {
            let map = process::duplicate(fd).map_err(Error::kernel("cannot use the ring buffer's map"))?;
            maps.push(bpf::map_info(map.as_fd()).map_err(Error::kernel("cannot look at the map"))?.id);
            inputs.push(Input::new(Transport::ring(map)?, way.clone()));
        }
        Ok(Self { stream: Native::open(inputs, Vec::new(), maps, plans, manner.into())? })
    }

    // The perf buffers of a map, `size` bytes for each CPU. `counts`: losses are those that the kernel counts.
    #[staticmethod]
    #[pyo3(signature = (map_fd, size, overwrite, tables, tag, sequence, counts, manner))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn perf_buffers(
        map_fd: i32,
        size: usize,
        overwrite: bool,
        tables: Vec<Table>,
        tag: Option<Tagged>,
        sequence: Option<(Number, Option<Number>)>,
        counts: bool,
        manner: Manner,
    ) -> Result<Self> {
        let plans: Vec<Arc<Plan>> = plans(tables)?.into_iter().map(Arc::new).collect();
        let way = Way { route: route(tag), sequence: shared(sequence), counts, source: 0 };
        let map = process::duplicate(map_fd).map_err(Error::kernel("cannot use the perf buffer's map"))?;
        let id = bpf::map_info(map.as_fd()).map_err(Error::kernel("cannot look at the map"))?.id;
        Native::check_unread(&[id])?;
        let (per_cpu, transports) = PerCpu::open(map, size, overwrite, way.clone())?;
        let inputs = transports.into_iter().map(|transport| Input::new(transport, way.clone())).collect();
        Ok(Self { stream: Native::open(inputs, vec![per_cpu], vec![id], plans, manner.into())? })
    }

    // One stream of several, which are over.
    #[staticmethod]
    fn combined(py: Python<'_>, parts: Vec<Bound<'_, Self>>, manner: Manner) -> Result<Self> {
        let parts: Vec<Arc<Native>> = parts.iter().map(|part| Arc::clone(&part.get().stream)).collect();
        Ok(Self { stream: py.detach(|| Native::combine(&parts, manner.into()))? })
    }

    // "" when a batch has been added to `to`, or why there is none: "timeout", "until", "end". It is added before Python
    // looks at signals, so that an interruption loses nothing.
    #[pyo3(signature = (to, timeout, least, most, until=None))]
    fn next(
        &self,
        to: &Bound<'_, PyList>,
        timeout: Option<f64>,
        least: usize,
        most: usize,
        until: Option<i32>,
    ) -> PyResult<&'static str> {
        let py = to.py();
        // A time too long for the clock is no deadline.
        let deadline = timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
            .and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let next = py.detach(|| {
                let until = until.map(process::borrow);
                self.stream.next(&Wanted { deadline, least, most, until, wait: true })
            })?;
            match next {
                Next::Interrupted => py.check_signals()?,
                next => {
                    let (batch, why) = answer(next);
                    batch.map_or(Ok(()), |batch| to.append(batch))?;
                    return Ok(why);
                }
            }
        }
    }

    // As next, without a wait: "pending" when fileno() will become readable.
    fn poll(&self, py: Python<'_>, least: usize, most: usize) -> Result<(Option<RecordBatch>, &'static str)> {
        let wanted = Wanted { deadline: None, least, most, until: None, wait: false };
        Ok(answer(py.detach(|| self.stream.next(&wanted))?))
    }

    fn fileno(&self) -> i32 {
        self.stream.notifies().as_raw_fd()
    }

    fn pause(&self, py: Python<'_>, paused: bool) -> Result<()> {
        py.detach(|| self.stream.pause(paused))
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

    fn statistics(&self, py: Python<'_>) -> Result<Counts> {
        let statistics = py.detach(|| self.stream.statistics(true))?;
        Ok(statistics.into())
    }

    // A batch whose schema tells where the events went so far, `lost` and `missed` as programs counted them: for whoever
    // keeps batches only.
    fn accounted(
        &self,
        py: Python<'_>,
        batch: &RecordBatch,
        lost: Option<u64>,
        missed: Option<u64>,
    ) -> Result<RecordBatch> {
        let counts = py.detach(|| self.stream.statistics(false))?;
        let mut rows = batch.rows.clone();
        let told = rows.schema_metadata_mut();
        for (name, count) in [
            ("fastbpf.received", Some(counts.received)),
            ("fastbpf.delivered", Some(counts.delivered)),
            ("fastbpf.lost", lost.map(|lost| lost + counts.lost)),
            ("fastbpf.missed", missed),
            ("fastbpf.dropped", Some(counts.dropped)),
        ] {
            told.extend(count.map(|count| (name.to_owned(), count.to_string())));
        }
        Ok(RecordBatch { rows, table: batch.table })
    }

    // The names of the tables.
    fn names(&self) -> Vec<String> {
        self.stream.names()
    }

    // The kind of buffer of each source.
    fn sources(&self, py: Python<'_>) -> Result<Vec<&'static str>> {
        let name = |form| if form == Form::Ring { "ring" } else { "perf" };
        Ok(py.detach(|| self.stream.sources())?.into_iter().map(name).collect())
    }

    // The Arrow schema of each table.
    fn schemas<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyCapsule>>> {
        self.stream.schemas().iter().map(|schema| schema_capsule(py, schema)).collect()
    }
}

#[derive(IntoPyObject)]
struct Counts {
    received: u64,
    delivered: u64,
    dropped: u64,
    cut: u64,
    bytes: u64,
    batches: u64,
    wakeups: u64,
    late: u64,
    lateness: u64,
    lost: u64,
}

impl From<Statistics> for Counts {
    fn from(s: Statistics) -> Self {
        let Statistics { received, delivered, bytes, batches, wakeups, cuts: cut, dropped, late, lateness, lost } = s;
        Self { received, delivered, dropped, cut, bytes, batches, wakeups, late, lateness, lost }
    }
}

pub(super) fn plans(tables: Vec<Table>) -> Result<Vec<Plan>> {
    tables.into_iter().map(|(fields, size, metadata)| Ok(Plan::new(fields, size)?.told(&metadata))).collect()
}

pub(super) fn route(tag: Option<Tagged>) -> Route {
    tag.map_or(Route::Table(0), |(name, offset, width, mut tables)| {
        tables.sort_unstable();
        Route::Tagged(Tag { name, offset, width, tables })
    })
}

fn shared(sequence: Option<(Number, Option<Number>)>) -> Option<Shared> {
    sequence.map(|(number, of)| Sequences::shared(Place { number, of }))
}

fn answer(next: Next) -> (Option<RecordBatch>, &'static str) {
    let why = match next {
        Next::Batch(Batch { rows, table }) => return (Some(RecordBatch { rows, table }), ""),
        Next::TimedOut => "timeout",
        Next::Until => "until",
        Next::Pending => "pending",
        Next::Interrupted => "interrupted",
        Next::End => "end",
    };
    (None, why)
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Fails in a forked child only, where there is nothing to do.
        let _ = self.stream.close();
    }
}
