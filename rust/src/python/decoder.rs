use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::batch::{RecordBatch, schema_capsule};
use super::stream::{Table, Tagged, plans, route};
use crate::error::{Error, Result};
use crate::record::plan::Plan;
use crate::stream::replay::Replay;
use crate::stream::{Batch, Form, add_plans, check_names};
use crate::sys::clock::Offsets;

// Decodes records that were taken from buffers whole, as the live stream does.
#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Decoder {
    replay: Mutex<Replay>,
    plans: Vec<Arc<Plan>>,
}

#[pymethods]
impl Decoder {
    #[new]
    fn new(sources: Vec<(String, Vec<Table>, Option<Tagged>)>, max_rows: usize) -> Result<Self> {
        let mut all: Vec<Arc<Plan>> = Vec::new();
        let mut routes = Vec::new();
        for (buffer, tables, tag) in sources {
            let form = match buffer.as_str() {
                "ring" => Form::Ring,
                "perf" => Form::Perf,
                other => return Err(Error::Layout(format!("there is no kind of buffer {other:?}"))),
            };
            let ringed = |plan: Plan| if form == Form::Ring { plan.without_lead() } else { Ok(plan) };
            let own: Vec<_> =
                plans(tables)?.into_iter().map(|plan| Ok(Arc::new(ringed(plan)?))).collect::<Result<_>>()?;
            let numbers = add_plans(&mut all, &own);
            let mut route = route(tag);
            if !route.fits(numbers.len()) {
                return Err(Error::Layout("a tag names a type of record that is not there".into()));
            }
            route.renumber(&numbers);
            routes.push((form, route));
        }
        check_names(&all)?;
        Ok(Self { replay: Mutex::new(Replay::new(routes, &all, max_rows)?), plans: all })
    }

    // `clocks` are the (monotonic, boottime, tai) offsets to UTC that held when the bytes were taken.
    fn decode(&self, py: Python<'_>, source: usize, bytes: &[u8], clocks: (i64, i64, i64)) -> Result<()> {
        let clocks = Offsets { monotonic: clocks.0, boottime: clocks.1, tai: clocks.2 };
        py.detach(|| self.lock().decode(source, bytes, &clocks))
    }

    #[getter]
    fn cuts(&self) -> u64 {
        self.lock().cuts()
    }

    // The batches that became full; at the `end` the others too.
    fn take(&self, py: Python<'_>, end: bool) -> Result<Vec<RecordBatch>> {
        let batches = py.detach(|| self.lock().take(end))?;
        Ok(batches.into_iter().map(|Batch { rows, table }| RecordBatch { rows, table }).collect())
    }

    // The names of the tables.
    fn names(&self) -> Vec<String> {
        self.plans.iter().map(|plan| plan.name().to_owned()).collect()
    }

    // The Arrow schema of each table.
    fn schemas<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyCapsule>>> {
        self.plans.iter().map(|plan| schema_capsule(py, &plan.schema)).collect()
    }
}

impl Decoder {
    fn lock(&self) -> MutexGuard<'_, Replay> {
        self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
