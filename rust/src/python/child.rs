use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use super::program::Program;
use crate::error::{Error, Result};
use crate::sys::process::{pidfd, spawn_after_test_run};

// A child process that runs a program once before its command begins.
#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Child {
    child: Mutex<process::Child>,
    pidfd: OwnedFd,
}

#[pymethods]
impl Child {
    #[new]
    fn new(py: Python<'_>, command: Vec<OsString>, program: &Program) -> Result<Self> {
        let fd = program.open()?;
        let what =
            || format!("cannot run {:?}", command.first().map(|name| name.to_string_lossy()).unwrap_or_default());
        let mut child = py.detach(|| spawn_after_test_run(&command, fd.as_fd())).map_err(Error::kernel(what()))?;
        match pidfd(&child) {
            Ok(pidfd) => Ok(Self { child: Mutex::new(child), pidfd }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Error::kernel("cannot watch the command")(error))
            }
        }
    }

    #[getter]
    fn pid(&self) -> u32 {
        self.lock().id()
    }

    // Readable when the command has ended (pidfd_open(2)).
    fn fileno(&self) -> i32 {
        self.pidfd.as_raw_fd()
    }

    // The exit code, minus the signal that ended it, or None while it runs.
    fn poll(&self) -> Result<Option<i32>> {
        let status = self.lock().try_wait().map_err(Error::kernel("cannot wait for the command"))?;
        Ok(status.map(|status| status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))))
    }
}

impl Child {
    fn lock(&self) -> std::sync::MutexGuard<'_, process::Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Leaves no zombie of a command that has ended.
        let _ = self.lock().try_wait();
    }
}
