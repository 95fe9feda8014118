//! Batches as text: NDJSON, CSV and the cells of a terminal's table, through arrow's own writers.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_csv::WriterBuilder as CsvBuilder;
use arrow_json::WriterBuilder as JsonBuilder;
use arrow_json::writer::LineDelimited;
use arrow_schema::{ArrowError, DataType, Field, Schema};

use crate::error::Result;

// ISO 8601 in UTC with all nine digits.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.9fZ";
const CLOCK: &str = "%H:%M:%S%.6f";

// One object a line; null fields are written, so that every line has the same keys.
pub(crate) fn ndjson(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut text = Vec::with_capacity(batch.num_rows() * 96);
    let mut writer = JsonBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_tz_format(TIME.into())
        .build::<_, LineDelimited>(&mut text);
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    Ok(text)
}

pub(crate) fn csv(batch: &RecordBatch, header: bool) -> Result<Vec<u8>> {
    let batch = lists_as_text(batch)?;
    let mut text = Vec::with_capacity(batch.num_rows() * 64);
    let mut writer = CsvBuilder::new()
        .with_header(header)
        .with_timestamp_tz_format(TIME.into())
        .build(&mut text);
    writer.write(&batch)?;
    drop(writer);
    Ok(text)
}

// CSV knows no lists: they become text as JSON writes them.
fn lists_as_text(batch: &RecordBatch) -> Result<RecordBatch> {
    let is_list = |field: &Field| {
        matches!(
            field.data_type(),
            DataType::List(_) | DataType::FixedSizeList(..)
        )
    };
    let schema = batch.schema();
    if !schema.fields().iter().any(|field| is_list(field)) {
        return Ok(batch.clone());
    }
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if is_list(field) {
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(
                Arc::new(StringArray::from(cells(column, &FormatOptions::new())?)) as ArrayRef,
            );
        } else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

// Each row as a terminal shows it; times of day to the microsecond, None for null.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let options = FormatOptions::new()
        .with_timestamp_tz_format(Some(CLOCK))
        .with_display_error(true);
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| cells(column, &options))
        .collect::<Result<_>>()?;
    Ok((0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column[row].clone()).collect())
        .collect())
}

fn cells(column: &ArrayRef, options: &FormatOptions<'_>) -> Result<Vec<Option<String>>> {
    let formatter = ArrayFormatter::try_new(column.as_ref(), options)?;
    let cell = |row| {
        if column.is_null(row) {
            Ok(None)
        } else {
            formatter.value(row).try_to_string().map(Some)
        }
    };
    Ok((0..column.len())
        .map(cell)
        .collect::<std::result::Result<_, ArrowError>>()?)
}
