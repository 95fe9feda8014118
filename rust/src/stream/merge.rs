//! Events of several buffers in the order of their times.
//!
//! Records stay where they are until it is their turn: an event's turn is when `look_back` has gone by since, so that an
//! earlier one, in another buffer or still being written, has had time to appear. What appears later is given at once,
//! out of order, and counted.

use std::collections::VecDeque;
use std::time::Duration;

use super::source::{Drained, Input, corrupt};
use super::tables::{Of, Tables};
use super::transport::{Cursor, Stop};
use crate::error::{Error, Result};
use crate::perf::scan::{LEAD, TIME};
use crate::record::block::{Block, CAPACITY, Record};
use crate::record::kind::Clock;
use crate::sys::clock::{self, Offsets};

pub(super) struct Merge {
    look_back: i64,
    // By time, those whose turn has not come.
    waiting: Vec<Waiting>,
    // How far each buffer has been given to the columns.
    progress: Vec<Progress>,
    // The time of the latest event that was given.
    newest: i64,
    pub(super) late: u64,
    // Nanoseconds that the latest of those that came too late was behind.
    pub(super) lateness: u64,
}

#[derive(Clone, Copy)]
struct Waiting {
    // UTC
    time: i64,
    // Of this buffer's records, counted from the first.
    number: u64,
    position: u64,
    length: u32,
    input: u16,
    table: u8,
}

#[derive(Default)]
struct Progress {
    // Records from the `first`th on: where each stands, and whether it was given.
    first: u64,
    records: VecDeque<(u64, bool)>,
    // Copies of those that lie in two pieces, one a lap, by where they stand.
    wrapped: VecDeque<(u64, Vec<u64>)>,
}

impl Progress {
    // Bytes that cannot be given back to the producers yet.
    fn held(&self, position: u64) -> usize {
        self.records.front().map_or(0, |&(first, _)| (position - first) as usize)
    }

    fn copy(&self, position: u64, length: u32) -> Record<'_> {
        let found = self.wrapped.iter().find(|&&(start, _)| start == position);
        let (_, words) = found.expect("a record in two pieces has been copied");
        Record::of_words(words, length, LEAD)
    }
}

// Where a record tells its time.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) offset: isize,
    pub(crate) clock: Clock,
}

impl Time {
    // A perf buffer's samples have it from the kernel.
    pub(super) const OF_SAMPLE: Self = Self { offset: TIME, clock: Clock::Monotonic };

    // A reading of the clock.
    pub(super) fn of(self, record: Record<'_>) -> Option<i64> {
        Some(i64::from_ne_bytes(record.bytes(self.offset, 8)?.try_into().ok()?))
    }
}

impl Merge {
    pub(super) fn new(look_back: Duration, inputs: usize) -> Self {
        Self {
            look_back: i64::try_from(look_back.as_nanos()).unwrap_or(i64::MAX),
            waiting: Vec::new(),
            progress: (0..inputs).map(|_| Progress::default()).collect(),
            newest: i64::MIN,
            late: 0,
            lateness: 0,
        }
    }

    // Before this, everything has had time to appear. To be asked before the buffers are looked at.
    pub(super) fn horizon(&self, offsets: &Offsets) -> i64 {
        (clock::boottime() + offsets.boottime).saturating_sub(self.look_back)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    // For as many buffers as there are now.
    pub(super) fn widen(&mut self, inputs: usize) {
        self.progress.resize_with(inputs, Progress::default);
    }

    // Takes note of what is in a buffer.
    pub(super) fn collect(
        &mut self,
        index: usize,
        input: &mut Input,
        offsets: &Offsets,
        drained: &mut Drained,
    ) -> Result<()> {
        let progress = &mut self.progress[index];
        let Input { transport, route, sequence, times, lost, .. } = input;
        let window = transport.window();
        let mut cursor = Cursor::default();
        let mut block = Block::new();
        loop {
            let before = cursor;
            let mut stop = window.scan(&mut cursor, &mut block, CAPACITY);
            let mut count = block.len();
            let of = route.of(&block, &mut count)?;
            for (i, record) in block.records().take(count).enumerate() {
                let table = of.table(i);
                let time = times[table].and_then(|time| Some((time.of(record)?, time.clock)));
                let (reading, clock) = time.ok_or_else(|| {
                    let length = record.payload().len();
                    Error::Layout(format!("a record of {length} bytes is too short to tell its time"))
                })?;
                let time = reading.wrapping_add(clock.offset(offsets));
                let (position, length) = (window.position(cursor, &block, i), record.payload().len() as u32);
                let number = progress.first + progress.records.len() as u64;
                progress.records.push_back((position, false));
                if window.has_copied(record) {
                    progress.wrapped.push_back((position, record.to_words()));
                }
                let (input, table) = (index as u16, table as u8);
                self.waiting.push(Waiting { time, number, position, length, input, table });
            }
            if count < block.len() {
                window.pass_only(&mut cursor, before, &mut block, count);
                stop = Stop::Full;
            }
            if let Some(sequence) = sequence {
                sequence.see_all(&block, count);
            }
            *lost += cursor.lost_since(before);
            let passed = cursor.at - before.at;
            transport.advance(passed);
            drained.events += count as u64;
            drained.bytes += passed as u64;
            match stop {
                Stop::Full => {}
                Stop::End => return Ok(()),
                Stop::Busy => {
                    drained.busy = true;
                    return Ok(());
                }
                Stop::Corrupt { length, at } => return Err(corrupt(length, at)),
            }
        }
    }

    // A buffer that is half full of what waits gets room: then all of it is given.
    pub(super) fn is_pressed(&self, inputs: &[Input]) -> bool {
        let held = |(progress, input): (&Progress, &Input)| progress.held(input.transport.position());
        self.progress.iter().zip(inputs).any(|one| held(one) > one.1.transport.size() / 2)
    }

    // Sorts what waits, and tells how many events have their turn.
    pub(super) fn turn(&mut self, horizon: i64) -> usize {
        // Runs that are sorted already, one a buffer and look: the stable sort finds them.
        self.waiting.sort_by_key(|event| (event.time, event.input, event.number));
        self.waiting.partition_point(|event| event.time <= horizon)
    }

    // A block of the events whose turn it is, from the `at`th.
    pub(super) fn block<'a>(&'a self, inputs: &'a [Input], at: usize, end: usize, tables: &Tables) -> (Block<'a>, Of) {
        let mut block = Block::new();
        let mut each = [0; CAPACITY];
        let events = &self.waiting[at..end];
        for (event, table) in events.iter().take(tables.room().min(CAPACITY)).zip(&mut each) {
            let input = usize::from(event.input);
            let found = inputs[input].transport.record(event.position, event.length);
            let record = found.unwrap_or_else(|| self.progress[input].copy(event.position, event.length));
            if block.len() > 0 && block.record(0).lead() != record.lead() {
                break; // another kind of buffer
            }
            block.push(record);
            *table = if tables.are_whole() { inputs[input].source as u8 } else { event.table };
        }
        (block, Of::Each(each))
    }

    // So many events from the `at`th were given.
    pub(super) fn given(&mut self, at: usize, count: usize) {
        for event in &self.waiting[at..at + count] {
            if event.time < self.newest {
                self.late += 1;
                self.lateness = self.newest.abs_diff(event.time);
            } else {
                self.newest = event.time;
            }
            let progress = &mut self.progress[usize::from(event.input)];
            let index = (event.number - progress.first) as usize;
            progress.records[index].1 = true;
        }
    }

    // Lets go of the first `count` events, and gives their room back.
    pub(super) fn release(&mut self, count: usize, inputs: &[Input]) {
        self.waiting.drain(..count);
        for (progress, input) in self.progress.iter_mut().zip(inputs) {
            while let Some(&(start, true)) = progress.records.front() {
                progress.records.pop_front();
                progress.first += 1;
                if progress.wrapped.front().is_some_and(|&(position, _)| position == start) {
                    progress.wrapped.pop_front();
                }
            }
            input.transport.acknowledge(progress.held(input.transport.position()));
        }
    }
}
