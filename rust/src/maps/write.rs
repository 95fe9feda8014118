//! Tables into a map, and keys out of it.
//!
//! All rows are checked and packed before the first is tried. The kernel takes them by batches, which are not atomic: it
//! stops at the first element that it refuses, which is noted, and goes on behind it. What it does not do by batches (maps
//! without them, flags that they do not take: `generic_map_update_batch`) goes element by element.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use arrow_array::{RecordBatch, RecordBatchReader};

use super::Map;
use crate::error::{Error, Result};
use crate::record::rows::{Layout, Rows};
use crate::sys::bpf::batch::{Changed, Elements};

// What one call is given: more bring nothing.
const MOST_ELEMENTS: usize = 4096;
const MOST_BYTES: usize = 1 << 20;
// How long Ctrl-C may have to wait: about so many elements.
const PORTION: usize = 1 << 16;

// The kernel's own ENOTSUPP (include/linux/errno.h).
const ENOTSUPP: i32 = 524;

pub(crate) type Columns = (Vec<(String, isize, String)>, usize);

// What is to be done: rows of keys, and of values unless they are to be deleted.
pub(crate) struct Work {
    parts: Vec<Part>,
    flags: u64,
    is_deletion: bool,
}

struct Part {
    keys: Rows,
    values: Option<Rows>,
    // The rows of the table that elements come from.
    numbers: Numbers,
}

enum Numbers {
    From(usize),
    Each(Vec<usize>),
}

#[derive(Default)]
pub(crate) struct Progress {
    part: usize,
    element: usize,
    element_by_element: bool,
    // Elements that were changed, and those that were not: their rows, and errno.
    pub(crate) done: usize,
    pub(crate) failed: Vec<(usize, i32)>,
}

impl Work {
    pub(crate) fn update(
        reader: impl RecordBatchReader,
        keys: Columns,
        values: Columns,
        cpus: Option<&[u32]>,
        flags: u64,
    ) -> Result<Self> {
        let (keys, values) = (Layout::new(keys.0, keys.1)?, Layout::new(values.0, values.1)?);
        let parts = match cpus {
            None => parts(reader, &keys, Some(&values))?,
            Some(cpus) => vec![per_cpu(reader, &keys, &values, cpus)?],
        };
        Ok(Self { parts, flags, is_deletion: false })
    }

    pub(crate) fn delete(reader: impl RecordBatchReader, keys: Columns) -> Result<Self> {
        let keys = Layout::new(keys.0, keys.1)?;
        Ok(Self { parts: parts(reader, &keys, None)?, flags: 0, is_deletion: true })
    }
}

// Each batch of the table with the number of its first row; at last none of its rows, for what has none has types.
fn each(reader: impl RecordBatchReader, mut work: impl FnMut(&RecordBatch, usize) -> Result<()>) -> Result<()> {
    let schema = reader.schema();
    let mut before = 0;
    for batch in reader {
        let batch = batch?;
        work(&batch, before)?;
        before += batch.num_rows();
    }
    work(&RecordBatch::new_empty(schema), before)
}

fn parts(reader: impl RecordBatchReader, keys: &Layout, values: Option<&Layout>) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    each(reader, |batch, before| {
        let keys = keys.rows(batch, before)?;
        let values = values.map(|values| values.rows(batch, before)).transpose()?;
        parts.push(Part { keys, values, numbers: Numbers::From(before) });
        Ok(())
    })?;
    Ok(parts)
}

// The long form: a row for each key and CPU. An element has the values of all possible CPUs, each rounded up to 8 bytes.
fn per_cpu(reader: impl RecordBatchReader, keys: &Layout, values: &Layout, possible: &[u32]) -> Result<Part> {
    let column = Layout::new(vec![("cpu".into(), 0, "u32".into())], 4)?;
    let cpus = possible.len();
    let stride = values.size.next_multiple_of(8);
    let (mut places, mut there, mut numbers) = (HashMap::new(), Vec::new(), Vec::new());
    let (mut all_keys, mut all_values) = (Vec::new(), Vec::new());
    let mut rooms = (Vec::new(), Vec::new(), Vec::new());
    each(reader, |batch, before| {
        let (keys, values, column) =
            (keys.rows(batch, before)?, values.rows(batch, before)?, column.rows(batch, before)?);
        let count = batch.num_rows();
        let cpus_there = column.packed(0, count, &mut rooms.0).as_chunks::<4>().0;
        let keys_there = keys.packed(0, count, &mut rooms.1);
        let values_there = values.packed(0, count, &mut rooms.2);
        for (row, (cpu, value)) in cpus_there.iter().zip(values_there.chunks_exact(values.size)).enumerate() {
            let refused = |why: String| Error::Layout(format!("column \"cpu\", row {}: {why}", before + row));
            let number = u32::from_ne_bytes(*cpu);
            let cpu = possible.iter().position(|&cpu| cpu == number);
            let cpu = cpu.ok_or_else(|| refused(format!("there is no CPU {number}, only {possible:?}")))?;
            let key = &keys_there[row * keys.size..(row + 1) * keys.size];
            let place = *places.entry(key.to_vec()).or_insert_with(|| {
                all_keys.extend_from_slice(key);
                all_values.resize(all_values.len() + stride * cpus, 0);
                there.resize(there.len() + cpus, false);
                numbers.push(before + row);
                numbers.len() - 1
            });
            if std::mem::replace(&mut there[place * cpus + cpu], true) {
                return Err(refused(format!("the key has a row for CPU {number} before this one")));
            }
            let at = (place * cpus + cpu) * stride;
            all_values[at..at + value.len()].copy_from_slice(value);
        }
        Ok(())
    })?;
    if let Some(missing) = there.iter().position(|there| !there) {
        return Err(Error::Layout(format!(
            "column \"cpu\", row {}: the key has no row for CPU {}; give one for each of the {cpus} possible CPUs",
            numbers[missing / cpus],
            possible[missing % cpus],
        )));
    }
    let (keys, values) = (Rows::of(all_keys, keys.size), Rows::of(all_values, stride * cpus));
    Ok(Part { keys, values: Some(values), numbers: Numbers::Each(numbers) })
}

impl Part {
    fn number(&self, element: usize) -> usize {
        match &self.numbers {
            Numbers::From(first) => first + element,
            Numbers::Each(rows) => rows[element],
        }
    }
}

impl Map {
    // Does a portion of the work; false when nothing is left.
    pub(crate) fn change(&self, work: &Work, progress: &mut Progress) -> Result<bool> {
        let mut left = PORTION;
        let (mut key_room, mut value_room) = (Vec::new(), Vec::new());
        let most = (MOST_BYTES / (self.key_size + self.value_size).max(1)).clamp(1, MOST_ELEMENTS);
        while let Some(part) = work.parts.get(progress.part) {
            let count = (part.keys.len - progress.element).min(most);
            if count == 0 {
                progress.part += 1;
                progress.element = 0;
                continue;
            }
            if left == 0 {
                return Ok(true);
            }
            let from = progress.element;
            let keys = part.keys.packed(from, count, &mut key_room);
            let values = part.values.as_ref().map_or(&[][..], |values| values.packed(from, count, &mut value_room));
            // The kernel reads as much as the map's sizes say.
            if keys.len() != count * self.key_size || !work.is_deletion && values.len() != count * self.value_size {
                return Err(Error::Layout(format!(
                    "keys of this map have {} bytes and values {}, which the layout of the columns has not",
                    self.key_size, self.value_size
                )));
            }
            let tried = self.try_elements(work, keys, values, count, progress, part)?;
            progress.element += tried;
            left = left.saturating_sub(tried);
        }
        Ok(false)
    }

    // How many elements were tried.
    fn try_elements(
        &self,
        work: &Work,
        keys: &[u8],
        values: &[u8],
        count: usize,
        progress: &mut Progress,
        part: &Part,
    ) -> Result<usize> {
        if progress.element_by_element {
            for element in 0..count {
                let answer = self.try_one(work, keys, values, element);
                progress.note(part, element, answer)?;
            }
            return Ok(count);
        }
        let batch = Elements { map: self.fd.as_fd(), count: count as u32, keys, values, flags: work.flags };
        match if work.is_deletion { batch.delete() } else { batch.update() } {
            Changed::All => {
                progress.done += count;
                Ok(count)
            }
            Changed::Before(done, error) => {
                let done = done as usize;
                progress.done += done;
                progress.note(part, done, Err(error))?;
                Ok(done + 1)
            }
            Changed::None => {
                progress.element_by_element = true;
                Ok(0)
            }
        }
    }

    fn try_one(&self, work: &Work, keys: &[u8], values: &[u8], element: usize) -> io::Result<()> {
        let key = &keys[element * self.key_size..(element + 1) * self.key_size];
        let place = super::Element { map: self.fd.as_fd(), key };
        if work.is_deletion {
            return if place.delete()? { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOENT)) };
        }
        place.update(&values[element * self.value_size..(element + 1) * self.value_size], work.flags)
    }
}

impl Progress {
    // Of an element, counted from where this portion began. What is wrong with the map and not the row ends the work.
    fn note(&mut self, part: &Part, element: usize, answer: io::Result<()>) -> Result<()> {
        let Err(error) = answer else {
            self.done += 1;
            return Ok(());
        };
        match error.raw_os_error() {
            Some(errno) if ![libc::EPERM, libc::EBADF, libc::EFAULT, libc::EOPNOTSUPP, ENOTSUPP].contains(&errno) => {
                self.failed.push((part.number(self.element + element), errno));
                Ok(())
            }
            _ => Err(Error::kernel("cannot change the map")(error)),
        }
    }
}
