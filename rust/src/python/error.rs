//! Rust's errors as the exceptions of `fastbpf.errors`.

use pyo3::prelude::*;

use crate::error::Error;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        Python::attach(|py| raise(py, &error).unwrap_or_else(|failed| failed))
    }
}

fn raise(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let errors = py.import("fastbpf.errors")?;
    let message = error.to_string();
    let exception = match error {
        Error::Kernel { what, source } => {
            errors.getattr("KernelError")?.call1((errno(source), sentence(what, source)))?
        }
        Error::Refused { source, log } => {
            errors.getattr("VerifierError")?.call1((errno(source), message, log.lines().collect::<Vec<_>>()))?
        }
        Error::Layout(_) => errors.getattr("LayoutError")?.call1((message,))?,
        Error::Object(_) => errors.getattr("ObjectError")?.call1((message,))?,
        Error::Stream(_) | Error::Arrow(_) => errors.getattr("StreamError")?.call1((message,))?,
    };
    Ok(PyErr::from_value(exception))
}

fn errno(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

fn sentence(what: &str, error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
            format!("{what}: {text} (errno {errno})")
        }
        None => format!("{what}: {error}"),
    }
}
