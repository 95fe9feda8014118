use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, RwLock};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::{Error, Result};
use crate::sys::bpf::{self, ProgramDefinition};

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Program {
    // None when closed.
    fd: RwLock<Option<Arc<OwnedFd>>>,
}

type TestRun<'py> = (u32, u32, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pymethods]
impl Program {
    #[new]
    fn load(py: Python<'_>, kind: u32, instructions: &[u8], license: &str, name: &str) -> Result<Self> {
        let license =
            CString::new(license).map_err(|_| Error::Layout("a license cannot hold a NUL character".into()))?;
        let fd = py.detach(|| {
            let definition = ProgramDefinition { kind, instructions, license: &license, name };
            bpf::prog_load(&definition).map_err(|refused| Error::Refused {
                source: refused.error,
                log: String::from_utf8_lossy(&refused.log).into_owned(),
            })
        })?;
        Ok(Self { fd: RwLock::new(Some(Arc::new(fd))) })
    }

    fn fileno(&self) -> Result<i32> {
        Ok(self.open()?.as_raw_fd())
    }

    #[pyo3(signature = (data, ctx, repeat))]
    fn test_run<'py>(
        &self,
        py: Python<'py>,
        data: Option<&[u8]>,
        ctx: Option<&[u8]>,
        repeat: u32,
    ) -> Result<TestRun<'py>> {
        let fd = self.open()?;
        let run = py
            .detach(|| bpf::prog_test_run(fd.as_fd(), data, ctx, repeat))
            .map_err(Error::kernel("cannot run the program"))?;
        Ok((run.retval, run.duration, PyBytes::new(py, &run.data), PyBytes::new(py, &run.ctx)))
    }

    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let info = bpf::prog_info(self.open()?.as_fd()).map_err(Error::kernel("cannot look at the program"))?;
        let dict = PyDict::new(py);
        dict.set_item("id", info.id)?;
        dict.set_item("name", bpf::info_name(&info.name))?;
        dict.set_item("tag", format!("{:016x}", u64::from_be_bytes(info.tag)))?;
        dict.set_item("verified_insns", info.verified_insns)?;
        dict.set_item("run_time_ns", info.run_time_ns)?;
        dict.set_item("run_cnt", info.run_cnt)?;
        dict.set_item("recursion_misses", info.recursion_misses)?;
        Ok(dict)
    }

    fn close(&self) {
        drop(self.fd.write().map(|mut fd| fd.take()));
    }
}

impl Program {
    pub(super) fn open(&self) -> Result<Arc<OwnedFd>> {
        let fd = self.fd.read().ok().and_then(|fd| fd.clone());
        fd.ok_or_else(|| Error::Stream("this program is closed".into()))
    }
}
