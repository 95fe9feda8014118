//! A map's elements as record batches, read the fastest way that the kernel has for the map.
//!
//! Elements come in chunks, keys in one buffer and values in another, from memory that is mapped, from batch commands, from
//! a program that walks the map, or one after another; then they are decoded as records of a fixed stride. What there is, is asked of the kernel.

mod batch;
mod chunk;
mod fold;
mod iterator;
mod layout;
mod mapped;
mod source;
mod table;
mod walk;

use std::os::fd::AsFd;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use self::chunk::Chunk;
use self::layout::Layout;
use self::source::Source;
use self::table::Table;
use super::Map;
use crate::error::{Error, Result};
use crate::sys::bpf::{self, MapType};
use crate::sys::clock::{self, Offsets};

pub(crate) use self::fold::Way;

const ROWS: usize = 1 << 16;
// Of an array, whose rows are known before: so many that their memory is worth huge pages.
const ROWS_OF_ARRAYS: usize = 1 << 20;

// Name, offset and type, in the text form.
pub(crate) type Field = (String, isize, String);

// What is to be read.
pub(crate) struct Request {
    // None of a key, or of a value, that is not to be there.
    pub(crate) key: Vec<Field>,
    pub(crate) value: Vec<Field>,
    // Of the columns: the key's, the CPU where there is one, the value's.
    pub(crate) names: Vec<String>,
    // The numbers of the possible CPUs.
    pub(crate) cpus: Vec<u32>,
    // Values of several CPUs are made one.
    pub(crate) reduce: Option<Way>,
    // Values have a lock, which is to be taken.
    pub(crate) locked: bool,
    // Elements are taken out.
    pub(crate) drain: bool,
    // Of a batch, at most.
    pub(crate) rows: Option<usize>,
}

pub(crate) struct Reader {
    source: Source,
    chunk: Chunk,
    layout: Layout,
    // Rows of the chunk, and how many of them were decoded.
    rows: usize,
    at: usize,
    table: Table,
    clocks: Offsets,
    error: Option<Error>,
}

impl Reader {
    pub(crate) fn new(map: &Map, request: Request) -> Result<Self> {
        let info = bpf::map_info(map.as_fd()).map_err(Error::kernel("cannot look at the map"))?;
        let source = Source::new(&info, request.drain, request.locked);
        let (names, rows) = (request.names.clone(), request.rows);
        let (layout, plans) = Layout::new(&info, request)?;
        let entries = info.max_entries as usize;
        let chunk = Chunk::new(info.key_size as usize, layout.value_size(), entries);
        let most = if entries == 0 { ROWS } else { entries.saturating_mul(layout.each()) };
        let usual = if info.type_ == MapType::BPF_MAP_TYPE_ARRAY as u32 { ROWS_OF_ARRAYS } else { ROWS };
        let table = Table::new(plans, &names, rows.unwrap_or(usual).min(most));
        Ok(Self { source, chunk, layout, rows: 0, at: 0, table, clocks: clock::look(false).latest(), error: None })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    // The next batch; None at the end.
    pub(crate) fn next(&mut self, map: &Map) -> Result<Option<RecordBatch>> {
        // From mapped memory to the column, with nothing between.
        if self.table.is_plain()
            && let Some(mapped) = self.source.mapped(map.as_fd(), &self.chunk)
            && mapped.is_dense(self.layout.value_size())
        {
            mapped.fill_table(&mut self.table, self.layout.has_key())?;
            return self.table.cut();
        }
        loop {
            if self.at < self.rows {
                self.at += self.table.append(&self.layout.records(&self.chunk), self.at, self.rows, &self.clocks)?;
                if self.at < self.rows {
                    return self.table.cut();
                }
            }
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            match self.source.fill(map.as_fd(), &mut self.chunk) {
                Ok(true) => {}
                Ok(false) => return self.table.cut(),
                // What was read before is told before.
                Err(error) if self.table.len() > 0 => {
                    self.error = Some(error);
                    return self.table.cut();
                }
                Err(error) => return Err(error),
            }
            self.rows = self.layout.rows(&self.chunk);
            self.at = 0;
        }
    }
}
