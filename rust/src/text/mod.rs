//! Batches as text: NDJSON, CSV and the cells of a terminal's table, through arrow's own writers.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_csv::WriterBuilder as CsvBuilder;
use arrow_json::WriterBuilder as JsonBuilder;
use arrow_json::writer::LineDelimited;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

use crate::error::Result;

// ISO 8601 in UTC with all nine digits.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.9fZ";
const CLOCK: &str = "%H:%M:%S%.6f";

// One object a line; null fields are written, so that every line has the same keys. `first` is a column in front, with
// one value in all rows.
pub(crate) fn ndjson(batch: &RecordBatch, first: Option<(&str, &str)>) -> Result<Vec<u8>> {
    let mut batch = prepared(batch, false)?;
    if let Some((name, value)) = first {
        batch = with_first(&batch, name, value)?;
    }
    let mut text = Vec::with_capacity(batch.num_rows() * 96);
    let mut writer = JsonBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_tz_format(TIME.into())
        .build::<_, LineDelimited>(&mut text);
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(text)
}

pub(crate) fn csv(batch: &RecordBatch, header: bool) -> Result<Vec<u8>> {
    let batch = prepared(batch, true)?;
    let mut text = Vec::with_capacity(batch.num_rows() * 64);
    let mut writer = CsvBuilder::new().with_header(header).with_timestamp_tz_format(TIME.into()).build(&mut text);
    writer.write(&batch)?;
    drop(writer);
    Ok(text)
}

fn with_first(batch: &RecordBatch, name: &str, value: &str) -> Result<RecordBatch> {
    let field = Arc::new(Field::new(name, DataType::Utf8, false));
    let fields: Vec<_> = std::iter::once(field).chain(batch.schema().fields().iter().cloned()).collect();
    let values: ArrayRef = Arc::new(StringArray::from(vec![value; batch.num_rows()]));
    let columns = std::iter::once(values).chain(batch.columns().iter().cloned()).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

// What the writers do not know by themselves: a time zone by its name, and, in CSV, lists, which become text as JSON
// writes them.
fn prepared(batch: &RecordBatch, lists_as_text: bool) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => in_utc(column),
            DataType::List(_) | DataType::FixedSizeList(..) if lists_as_text => {
                Arc::new(StringArray::from(cells(column, &FormatOptions::new())?))
            }
            _ => Arc::clone(column),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

// The zone that all our times have, as an offset: names would need a table of zones.
fn in_utc(column: &ArrayRef) -> ArrayRef {
    let times = column.as_primitive::<TimestampNanosecondType>();
    Arc::new(times.clone().with_timezone("+00:00"))
}

// Each row as a terminal shows it; times of day to the microsecond, None for null.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let options = FormatOptions::new().with_timestamp_tz_format(Some(CLOCK)).with_display_error(true);
    let batch = prepared(batch, false)?;
    let columns: Vec<_> = batch.columns().iter().map(|column| cells(column, &options)).collect::<Result<_>>()?;
    Ok((0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect())
}

fn cells(column: &ArrayRef, options: &FormatOptions<'_>) -> Result<Vec<Option<String>>> {
    let formatter = ArrayFormatter::try_new(column.as_ref(), options)?;
    let cell = |row| {
        if column.is_null(row) { Ok(None) } else { formatter.value(row).try_to_string().map(Some) }
    };
    Ok((0..column.len()).map(cell).collect::<std::result::Result<_, ArrowError>>()?)
}
