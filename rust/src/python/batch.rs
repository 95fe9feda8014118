use std::sync::Arc;

use arrow_array::ffi::to_ffi;
use arrow_array::{Array, RecordBatch as ArrowBatch, StructArray};
use arrow_schema::Schema;
use arrow_schema::ffi::FFI_ArrowSchema;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule};

use crate::error::Result;
use crate::record::plan::Plan;
use crate::text;

pub(super) type Field = (String, isize, String);

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct RecordBatch(pub(super) ArrowBatch);

#[pymethods]
impl RecordBatch {
    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    #[getter]
    fn num_rows(&self) -> usize {
        self.0.num_rows()
    }

    #[getter]
    fn column_names(&self) -> Vec<String> {
        self.0.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn slice(&self, offset: usize, length: usize) -> Self {
        let offset = offset.min(self.0.num_rows());
        Self(self.0.slice(offset, length.min(self.0.num_rows() - offset)))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.0.schema())
    }

    // The best effort that the protocol asks for: the schema as it is, whatever was requested.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema;
        let data = StructArray::from(self.0.clone()).into_data();
        let (array, _) = to_ffi(&data).map_err(crate::error::Error::from)?;
        let array = PyCapsule::new_with_value(py, array, c"arrow_array")?;
        Ok((schema_capsule(py, &self.0.schema())?, array))
    }

    fn to_ndjson<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        let text = py.detach(|| text::ndjson(&self.0))?;
        Ok(PyBytes::new(py, &text))
    }

    #[pyo3(signature = (header=true))]
    fn to_csv<'py>(&self, py: Python<'py>, header: bool) -> Result<Bound<'py, PyBytes>> {
        let text = py.detach(|| text::csv(&self.0, header))?;
        Ok(PyBytes::new(py, &text))
    }

    fn to_text(&self, offset: usize, length: usize) -> Result<Vec<Vec<Option<String>>>> {
        text::rows(&self.slice(offset, length).0)
    }
}

pub(super) fn schema_capsule<'py>(py: Python<'py>, schema: &Arc<Schema>) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema.as_ref()).map_err(crate::error::Error::from)?;
    PyCapsule::new_with_value(py, schema, c"arrow_schema")
}

// The Arrow schema of a record, as a capsule.
#[pyfunction]
pub(super) fn record_schema(py: Python<'_>, fields: Vec<Field>, size: usize) -> PyResult<Bound<'_, PyCapsule>> {
    schema_capsule(py, &Plan::new(fields, size)?.schema)
}
