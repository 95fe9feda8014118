use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, RwLock};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::btf::functions::Functions;
use crate::error::{Error, Result};
use crate::sys::bpf;
use crate::sys::bpf::program::{self as kernel, Definition, Target};

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Program {
    // None when closed.
    fd: RwLock<Option<Arc<OwnedFd>>>,
    // The verifier's statistics, if they were asked for.
    log: String,
}

type TestRun<'py> = (u32, u32, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pymethods]
impl Program {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    #[pyo3(signature = (kind, instructions, license, name, *, flags=0, functions=Vec::new(), fds=Vec::new(), statistics=false))]
    fn load(
        py: Python<'_>,
        kind: u32,
        instructions: &[u8],
        license: &str,
        name: &str,
        flags: u32,
        functions: Vec<(u32, String)>,
        fds: Vec<RawFd>,
        statistics: bool,
    ) -> Result<Self> {
        let license =
            CString::new(license).map_err(|_| Error::Layout("a license cannot hold a NUL character".into()))?;
        py.detach(|| {
            let functions = (!functions.is_empty()).then(|| Functions::new(&functions));
            let types = functions.as_ref().map(|functions| bpf::btf_load(&functions.types)).transpose();
            let types = types.map_err(Error::kernel("cannot load the types of the program's functions"))?;
            let functions = types.as_ref().zip(functions.as_ref()).map(|(fd, told)| (fd.as_fd(), &told.places[..]));
            let target = Target::default();
            let (license, fds, lines) = (&license, &fds, &[]);
            let definition = Definition { kind, flags, instructions, license, name, fds, functions, lines, target };
            match kernel::load(&definition, statistics) {
                Ok(loaded) => Ok(loaded.into()),
                Err(refused) => Err(Error::Refused { source: refused.error, log: text(refused.log) }),
            }
        })
    }

    #[getter]
    fn log(&self) -> &str {
        &self.log
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
            .detach(|| kernel::test_run(fd.as_fd(), data, ctx, repeat))
            .map_err(Error::kernel("cannot run the program"))?;
        Ok((run.retval, run.duration, PyBytes::new(py, &run.data), PyBytes::new(py, &run.ctx)))
    }

    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let info = kernel::info(self.open()?.as_fd()).map_err(Error::kernel("cannot look at the program"))?;
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

impl From<(OwnedFd, Vec<u8>)> for Program {
    fn from((fd, log): (OwnedFd, Vec<u8>)) -> Self {
        Self { fd: RwLock::new(Some(Arc::new(fd))), log: text(log) }
    }
}

impl Program {
    pub(super) fn open(&self) -> Result<Arc<OwnedFd>> {
        let fd = self.fd.read().ok().and_then(|fd| fd.clone());
        fd.ok_or_else(|| Error::Stream("this program is closed".into()))
    }
}

// The verifier quotes names that users gave, so that its log need not be UTF-8.
fn text(log: Vec<u8>) -> String {
    String::from_utf8(log).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

// What the kernel says of programs that are not kept: errno, or 0, and the verifier's words.
#[pyfunction]
pub(super) fn program_verdicts(
    py: Python<'_>,
    kind: u32,
    attach_type: u32,
    btf_id: u32,
    flags: u32,
    programs: Vec<Vec<u8>>,
) -> Vec<(i32, String)> {
    let target = Target { attach_type, btf_id };
    let (license, name, fds, functions, lines) = (c"GPL", "", &[][..], None, &[][..]);
    py.detach(|| {
        let mut log = [0; 4096];
        let verdict = |instructions: &Vec<u8>| {
            let definition = Definition { kind, flags, instructions, license, name, fds, functions, lines, target };
            let (answer, log) = kernel::verdict(&definition, &mut log);
            (answer.err().and_then(|error| error.raw_os_error()).unwrap_or(0), text(log))
        };
        programs.iter().map(verdict).collect()
    })
}

// As the verifier has rewritten them.
#[pyfunction]
pub(super) fn program_instructions(py: Python<'_>, id: u32) -> Result<Bound<'_, PyBytes>> {
    let fd = kernel::open(id).map_err(|source| {
        let unknown = source.raw_os_error() == Some(libc::ENOENT);
        Error::kernel(format!("{} program {id}", if unknown { "there is no" } else { "cannot open" }))(source)
    })?;
    let instructions =
        kernel::instructions(fd.as_fd()).map_err(Error::kernel(format!("cannot look at program {id}")))?;
    Ok(PyBytes::new(py, &instructions))
}
