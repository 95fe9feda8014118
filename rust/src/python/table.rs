//! Tables that come from Python.

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use pyo3::prelude::*;

use crate::error::Error;

// What a `pyarrow.RecordBatchReader` gives.
pub(super) fn imported(reader: &Bound<'_, PyAny>) -> PyResult<RecordBatchStreamReader> {
    let mut stream = FFI_ArrowArrayStream::empty();
    reader.call_method1("_export_to_c", (std::ptr::from_mut(&mut stream).addr(),))?;
    Ok(RecordBatchStreamReader::try_new(stream).map_err(Error::from)?)
}
