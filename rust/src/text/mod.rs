//! Batches as text: NDJSON, CSV and the cells of a terminal's table, through arrow's own writers.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{DurationNanosecondType, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StringArray, StructArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_csv::WriterBuilder as CsvBuilder;
use arrow_json::writer::{LineDelimited, make_encoder};
use arrow_json::{EncoderOptions, WriterBuilder as JsonBuilder};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, TimeUnit};

use crate::error::Result;

// ISO 8601 in UTC with all nine digits.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.9fZ";
const CLOCK: &str = "%H:%M:%S%.6f";

// One object a line; null fields are written, so that every line has the same keys. `first` is a column in front, with
// one value in all rows.
pub(crate) fn ndjson(batch: &RecordBatch, first: Option<(&str, &str)>) -> Result<Vec<u8>> {
    let mut batch = prepared(batch, as_number)?;
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

// What is nested becomes text as JSON writes it.
pub(crate) fn csv(batch: &RecordBatch, header: bool) -> Result<Vec<u8>> {
    let batch = prepared(batch, as_number)?;
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = if column.data_type().is_nested() { json(field, column)? } else { Arc::clone(column) };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
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

fn json(field: &FieldRef, column: &ArrayRef) -> Result<ArrayRef> {
    let options = EncoderOptions::default().with_explicit_nulls(true).with_timestamp_tz_format(TIME.to_owned());
    let mut encoder = make_encoder(field, column, &options)?;
    let mut text = Vec::new();
    let mut cell = |row| {
        (!encoder.is_null(row)).then(|| {
            text.clear();
            encoder.encode(row, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    Ok(Arc::new((0..column.len()).map(&mut cell).collect::<StringArray>()))
}

// Each row as a terminal shows it; times of day to the microsecond, None for null.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let options = FormatOptions::new().with_timestamp_tz_format(Some(CLOCK)).with_null("null").with_display_error(true);
    let batch = prepared(batch, for_people)?;
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

// How durations are written.
type Durations = fn(&ArrayRef) -> ArrayRef;

// Nanoseconds.
fn as_number(column: &ArrayRef) -> ArrayRef {
    Arc::new(column.as_primitive::<DurationNanosecondType>().reinterpret_cast::<Int64Type>())
}

// In the unit that suits each: 1.5ms.
fn for_people(column: &ArrayRef) -> ArrayRef {
    let durations = column.as_primitive::<DurationNanosecondType>();
    let shown = |nanoseconds: i64| format!("{:?}", Duration::from_nanos(nanoseconds.cast_unsigned()));
    Arc::new(durations.iter().map(|duration| duration.map(shown)).collect::<StringArray>())
}

fn prepared(batch: &RecordBatch, durations: Durations) -> Result<RecordBatch> {
    let columns: Vec<_> =
        batch.columns().iter().map(|column| known(column, durations)).collect::<std::result::Result<_, _>>()?;
    let fields = like(batch.schema().fields(), &columns);
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

fn like(fields: &Fields, columns: &[ArrayRef]) -> Fields {
    fields
        .iter()
        .zip(columns)
        .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
        .collect()
}

// The column, in it what the writers do not know by themselves made into what they know: a time zone by its name, which
// would need a table of zones, and durations.
fn known(column: &ArrayRef, durations: Durations) -> std::result::Result<ArrayRef, ArrowError> {
    Ok(match column.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => {
            Arc::new(column.as_primitive::<TimestampNanosecondType>().clone().with_timezone("+00:00"))
        }
        DataType::Duration(TimeUnit::Nanosecond) => durations(column),
        DataType::Struct(fields) => {
            let array = column.as_struct();
            let columns: Vec<_> =
                array.columns().iter().map(|column| known(column, durations)).collect::<std::result::Result<_, _>>()?;
            Arc::new(StructArray::try_new(like(fields, &columns), columns, array.nulls().cloned())?)
        }
        DataType::List(item) => {
            let array = column.as_list::<i32>();
            let values = known(array.values(), durations)?;
            let item = Arc::new(Field::new(item.name(), values.data_type().clone(), true));
            Arc::new(ListArray::try_new(item, array.offsets().clone(), values, array.nulls().cloned())?)
        }
        _ => Arc::clone(column),
    })
}
