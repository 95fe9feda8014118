//! What can go wrong, in one enum. The bindings turn it into Python's exceptions.

use std::io;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    // `what` is a sentence's beginning: "cannot map the ring buffer".
    #[error("{what}: {source}")]
    Kernel { what: String, source: io::Error },
    #[error("the kernel refused the program: {source}")]
    Refused { source: io::Error, log: String },
    #[error("{0}")]
    Layout(String),
    #[error("{0}")]
    Object(String),
    #[error("{0}")]
    Stream(String),
    #[error("{0}")]
    Arrow(#[from] arrow_schema::ArrowError),
}

impl Error {
    pub(crate) fn kernel(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Kernel { what, source }
    }
}

pub(crate) type Result<T> = std::result::Result<T, Error>;
