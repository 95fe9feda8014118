use std::sync::Arc;

use arrow_array::ffi::FFI_ArrowArray;
use arrow_array::{Array, RecordBatch as ArrowBatch, StructArray};
use arrow_schema::Schema;
use arrow_schema::ffi::FFI_ArrowSchema;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule};

use super::table::imported;
use crate::error::{Error, Result};
use crate::record::plan::Plan;
use crate::text;

pub(super) type Field = (String, isize, String);

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct RecordBatch {
    pub(super) rows: ArrowBatch,
    // Which of its stream's tables it is a part of.
    pub(super) table: usize,
}

#[pymethods]
impl RecordBatch {
    // The next batch of a `pyarrow.RecordBatchReader`.
    #[staticmethod]
    fn imported(reader: &Bound<'_, PyAny>) -> PyResult<Self> {
        let rows = imported(reader)?.next().transpose().map_err(Error::from)?;
        let rows = rows.ok_or_else(|| Error::Stream("there is no batch".into()))?;
        Ok(Self { rows, table: 0 })
    }

    fn __len__(&self) -> usize {
        self.rows.num_rows()
    }

    #[getter]
    fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    #[getter]
    fn table(&self) -> usize {
        self.table
    }

    // The same rows as a part of another table.
    fn of_table(&self, table: usize) -> Self {
        Self { rows: self.rows.clone(), table }
    }

    #[getter]
    fn column_names(&self) -> Vec<String> {
        self.rows.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn slice(&self, offset: usize, length: usize) -> Self {
        let offset = offset.min(self.rows.num_rows());
        let rows = self.rows.slice(offset, length.min(self.rows.num_rows() - offset));
        Self { rows, table: self.table }
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.rows.schema())
    }

    // The best effort that the protocol asks for: the schema as it is, whatever was requested.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema;
        let data = StructArray::from(self.rows.clone()).into_data();
        let array = PyCapsule::new_with_value(py, FFI_ArrowArray::new(&data), c"arrow_array")?;
        Ok((schema_capsule(py, &self.rows.schema())?, array))
    }

    // `first` is the name of a column in front, and its one value.
    #[pyo3(signature = (first=None))]
    fn to_ndjson<'py>(&self, py: Python<'py>, first: Option<(String, String)>) -> Result<Bound<'py, PyBytes>> {
        let first = first.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        let text = py.detach(|| text::ndjson(&self.rows, first))?;
        Ok(PyBytes::new(py, &text))
    }

    #[pyo3(signature = (header=true))]
    fn to_csv<'py>(&self, py: Python<'py>, header: bool) -> Result<Bound<'py, PyBytes>> {
        let text = py.detach(|| text::csv(&self.rows, header))?;
        Ok(PyBytes::new(py, &text))
    }

    fn to_text(&self, offset: usize, length: usize) -> Result<Vec<Vec<Option<String>>>> {
        text::rows(&self.slice(offset, length).rows)
    }
}

pub(super) fn schema_capsule<'py>(py: Python<'py>, schema: &Arc<Schema>) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema.as_ref()).map_err(Error::from)?;
    PyCapsule::new_with_value(py, schema, c"arrow_schema")
}

// The Arrow schema of a record, as a capsule.
#[pyfunction]
pub(super) fn record_schema(py: Python<'_>, fields: Vec<Field>, size: usize) -> PyResult<Bound<'_, PyCapsule>> {
    schema_capsule(py, &Plan::new(fields, size)?.schema)
}
