use std::os::fd::{AsFd, AsRawFd};
use std::sync::RwLock;

use pyo3::prelude::*;

use super::program::Program;
use crate::attach::{self, kprobe, raw_tracepoint, tcx, tracepoint, xdp};
use crate::error::{Error, Result};

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Link {
    kind: &'static str,
    // None when closed.
    link: RwLock<Option<attach::Link>>,
}

#[pymethods]
impl Link {
    #[staticmethod]
    fn tracepoint(py: Python<'_>, program: &Program, id: u64) -> Result<Self> {
        let fd = program.open()?;
        py.detach(|| tracepoint::attach(fd.as_fd(), id)).map(Self::from)
    }

    #[staticmethod]
    fn raw_tracepoint(py: Python<'_>, program: &Program, name: &str) -> Result<Self> {
        let fd = program.open()?;
        py.detach(|| raw_tracepoint::attach(fd.as_fd(), name)).map(Self::from)
    }

    #[staticmethod]
    fn kprobe(py: Python<'_>, program: &Program, pmu: u32, config: u64, function: &str, offset: u64) -> Result<Self> {
        let fd = program.open()?;
        py.detach(|| kprobe::attach(fd.as_fd(), pmu, config, function, offset)).map(Self::from)
    }

    #[staticmethod]
    fn xdp(py: Python<'_>, program: &Program, index: u32) -> Result<Self> {
        let fd = program.open()?;
        py.detach(|| xdp::attach(fd.as_fd(), index)).map(Self::from)
    }

    #[staticmethod]
    fn tcx(py: Python<'_>, program: &Program, index: u32, egress: bool) -> Result<Self> {
        let fd = program.open()?;
        py.detach(|| tcx::attach(fd.as_fd(), index, egress)).map(Self::from)
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn fileno(&self) -> Result<i32> {
        let link = self.link.read().ok();
        let fd = link.as_ref().and_then(|link| link.as_ref()).map(|link| link.as_fd().as_raw_fd());
        fd.ok_or_else(|| Error::Stream("this link is closed".into()))
    }

    // Detaches. The kernel waits for programs that are running, which takes tens of milliseconds.
    fn close(&self, py: Python<'_>) {
        let link = self.link.write().ok().and_then(|mut link| link.take());
        py.detach(|| drop(link));
    }
}

impl From<attach::Link> for Link {
    fn from(link: attach::Link) -> Self {
        Self { kind: link.kind, link: RwLock::new(Some(link)) }
    }
}
