//! The columns of a stream: one set for each type of record that it carries.

use std::sync::Arc;

use super::queue::Batch;
use super::whole::{self, Whole};
use crate::error::{Error, Result};
use crate::record::block::{Block, CAPACITY};
use crate::record::columns::Columns;
use crate::record::plan::Plan;
use crate::sys::clock::Offsets;

pub(crate) struct Tables {
    columns: Vec<Columns>,
    max_rows: usize,
    // The records are kept whole, in one table, whatever their type.
    whole: Option<Whole>,
}

// Which table a record belongs to.
#[derive(Clone)]
pub(crate) enum Route {
    Table(usize),
    Tagged(Tag),
}

// A number in each record that says of which type it is.
#[derive(Clone)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) offset: usize,
    pub(crate) width: usize,
    // By the number: (number, table).
    pub(crate) tables: Vec<(u64, usize)>,
}

// The tables of a block's records.
pub(super) enum Of {
    One(usize),
    Each([u8; CAPACITY]),
}

pub(super) struct Appended {
    pub(super) count: usize,
    // The table that had no room for the next record.
    pub(super) full: Option<usize>,
}

impl Of {
    pub(super) fn table(&self, row: usize) -> usize {
        match self {
            Self::One(table) => *table,
            Self::Each(each) => usize::from(each[row]),
        }
    }
}

impl Route {
    // The same with other numbers for the tables.
    pub(crate) fn renumber(&mut self, tables: &[usize]) {
        match self {
            Self::Table(table) => *table = tables[*table],
            Self::Tagged(tag) => tag.tables.iter_mut().for_each(|(_, table)| *table = tables[*table]),
        }
    }

    // Whether there are enough tables for it.
    pub(crate) fn fits(&self, tables: usize) -> bool {
        match self {
            Self::Table(table) => *table < tables,
            Self::Tagged(tag) => tag.tables.iter().all(|&(_, table)| table < tables),
        }
    }

    // A tag that is none of those known makes an error, behind the records before it: `limit` is then where it stands.
    pub(super) fn of(&self, block: &Block<'_>, limit: &mut usize) -> Result<Of> {
        let tag = match self {
            Self::Table(table) => return Ok(Of::One(*table)),
            Self::Tagged(tag) => tag,
        };
        let mut each = [0; CAPACITY];
        for (i, record) in block.records().enumerate() {
            match tag.of(record.payload()) {
                Ok(table) => each[i] = table as u8,
                Err(_) if i > 0 => {
                    *limit = i;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Of::Each(each))
    }
}

impl Tag {
    fn of(&self, payload: &[u8]) -> Result<usize> {
        let Self { name, offset, width, tables } = self;
        let short = || Error::Layout(format!("a record of {} bytes has no field {name:?}", payload.len()));
        let number = number(payload, *offset, *width).ok_or_else(short)?;
        if let Ok(at) = tables.binary_search_by_key(&number, |&(number, _)| number) {
            return Ok(tables[at].1);
        }
        let known: Vec<String> = tables.iter().map(|(number, _)| number.to_string()).collect();
        Err(Error::Layout(format!(
            "a record has {name} {number}, and its type is not declared; declared are {}",
            known.join(", ")
        )))
    }
}

// A native unsigned number of 1, 2, 4 or 8 bytes.
pub(super) fn number(payload: &[u8], offset: usize, width: usize) -> Option<u64> {
    let bytes = payload.get(offset..offset.checked_add(width)?)?;
    Some(match *bytes {
        [byte] => u64::from(byte),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
        _ => u64::from_ne_bytes(bytes.try_into().ok()?),
    })
}

impl Tables {
    // `record` is how long a record may be.
    pub(crate) fn new(plans: Vec<Arc<Plan>>, max_rows: usize, record: usize) -> Self {
        let columns = plans.into_iter().map(|plan| Columns::new(plan, max_rows, record)).collect();
        Self { columns, max_rows, whole: None }
    }

    // One table, of whole records.
    pub(super) fn whole(max_rows: usize, record: usize) -> Result<Self> {
        let columns = vec![Columns::new(Arc::new(whole::plan()?), max_rows, record)];
        Ok(Self { columns, max_rows, whole: Some(Whole::default()) })
    }

    pub(super) fn are_whole(&self) -> bool {
        self.whole.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    // What the stream's batches may take of memory, each.
    pub(super) fn slab_size(&self) -> usize {
        self.columns.iter().map(Columns::slab_size).sum()
    }

    // Rows of the open batches.
    pub(super) fn gathered(&self) -> usize {
        self.columns.iter().map(Columns::len).sum()
    }

    pub(super) fn is_full(&self) -> bool {
        self.columns.iter().any(|columns| columns.len() >= self.max_rows)
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.columns.iter().map(Columns::cuts).sum()
    }

    // Records of any type that there is room for.
    pub(super) fn room(&self) -> usize {
        self.columns.iter().map(|columns| self.room_of(columns)).min().unwrap_or(0)
    }

    fn room_of(&self, columns: &Columns) -> usize {
        columns.room().min(self.max_rows.saturating_sub(columns.len()))
    }

    // The table that has no room.
    pub(super) fn full(&self) -> Option<usize> {
        self.columns.iter().position(|columns| self.room_of(columns) == 0)
    }

    // The table that has most to give.
    pub(super) fn fullest(&self) -> usize {
        (0..self.columns.len()).max_by_key(|&table| self.columns[table].len()).unwrap_or(0)
    }

    // The open batch of a table, None when it has no rows.
    pub(crate) fn cut(&mut self, table: usize) -> Result<Option<Batch>> {
        let Some(rows) = self.columns[table].cut()? else { return Ok(None) };
        let rows = if let Some(whole) = &mut self.whole { whole.cut(&rows)? } else { rows };
        Ok(Some(Batch { table, rows }))
    }

    // Writes the first `limit` records of a block, or those of them that there is room for. Of records that are kept
    // whole, `of` tells the source.
    pub(super) fn append(
        &mut self,
        block: &mut Block<'_>,
        of: &Of,
        limit: usize,
        clocks: &Offsets,
    ) -> Result<Appended> {
        if limit < block.len() {
            block.truncate(limit);
        }
        if let Some(whole) = &mut self.whole {
            let columns = &mut self.columns[0];
            // The records of a batch have one set of offsets.
            let count =
                if columns.len() > 0 && whole.clocks != Some(*clocks) { 0 } else { columns.append(block, clocks)? };
            whole.take(of, count, clocks);
            return Ok(Appended { count, full: (count < block.len()).then_some(0) });
        }
        let each = match of {
            Of::One(table) => {
                let count = self.columns[*table].append(block, clocks)?;
                let full = (count < block.len()).then_some(*table);
                return Ok(Appended { count, full });
            }
            Of::Each(each) => each,
        };
        let mut appended = Appended { count: block.len(), full: None };
        for table in 0..self.columns.len() {
            let rows: Vec<usize> = (0..appended.count).filter(|&i| usize::from(each[i]) == table).collect();
            let fits = match self.columns[table].fitting(&part(block, &rows)) {
                Ok(fits) => fits,
                // Those in front of the bad one are good.
                Err(_) if rows[0] > 0 => {
                    (appended.count, appended.full) = (rows[0], None);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if fits < rows.len() {
                appended = Appended { count: rows[fits], full: Some(table) };
            }
        }
        for (table, columns) in self.columns.iter_mut().enumerate() {
            let rows: Vec<usize> = (0..appended.count).filter(|&i| usize::from(each[i]) == table).collect();
            columns.append(&part(block, &rows), clocks)?;
        }
        Ok(appended)
    }
}

fn part<'a>(block: &Block<'a>, rows: &[usize]) -> Block<'a> {
    let mut part = Block::new();
    for &row in rows {
        part.push(block.record(row));
    }
    part
}
