//! The buffers of a stream and the columns that their records go to.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::merge::{Merge, Time};
use super::per_cpu::{PerCpu, Way};
use super::queue::{Queue, Room};
use super::sequence::Shared;
use super::tables::{Of, Route, Tables};
use super::transport::{Cursor, Stop, Transport};
use super::{LEAST_GATHER, Policy};
use crate::error::{Error, Result};
use crate::record::block::{Block, CAPACITY};
use crate::record::plan::Plan;
use crate::sys::clock::{self, History, Offsets};
use crate::sys::process;

pub(crate) struct Input {
    pub(crate) transport: Transport,
    pub(crate) route: Route,
    // Which of the stream's ways it is: recorded records are told apart by it.
    pub(crate) source: usize,
    pub(super) sequence: Option<Shared>,
    // Whether the kernel's count of losses is asked for, what it answered, and what its records told so far.
    counts: bool,
    answered: Cell<u64>,
    pub(super) lost: u64,
    // Where a record of each table tells its time.
    pub(super) times: Vec<Option<Time>>,
}

pub(super) struct Source {
    inputs: Vec<Input>,
    // Maps whose perf buffers some of the inputs are.
    per_cpu: Vec<PerCpu>,
    renewed: Instant,
    plans: Vec<Arc<Plan>>,
    tables: Tables,
    merge: Option<Merge>,
    clocks: History,
    generation: u64,
    looked: Instant,
    // The buffer that is looked at first: after one that filled the queue, the next.
    first: usize,
    // What is written from now on is left unread.
    ending: bool,
}

// What a stream leaves behind.
pub(super) struct Released {
    pub(super) inputs: Vec<Input>,
    pub(super) per_cpu: Vec<PerCpu>,
    pub(super) plans: Vec<Arc<Plan>>,
    pub(super) queue: Queue,
    pub(super) drained: Drained,
    // Texts that were cut meanwhile.
    pub(super) cuts: u64,
    // As `late` tells.
    pub(super) late: (u64, u64),
    // Why there is no more.
    pub(super) failure: Option<Error>,
}

#[derive(Default)]
pub(super) struct Drained {
    pub(super) events: u64,
    pub(super) bytes: u64,
    // There was no room for the next event.
    pub(super) full: bool,
    // The next record is still being written.
    pub(super) busy: bool,
    // The largest part of a buffer that had been filled, in percent.
    pub(super) pressure: u64,
}

impl Drained {
    fn press(&mut self, bytes: u64, size: usize) {
        self.pressure = self.pressure.max(100 * bytes / size as u64);
    }
}

// Clocks are looked at no more often than this.
const CLOCKS: Duration = Duration::from_millis(10);
// How often it is asked which CPUs are online.
const RENEW: Duration = Duration::from_secs(1);
// How much is read before producers get the room back.
const ACKNOWLEDGE: usize = 256 << 10;

pub(super) fn corrupt(length: usize, at: usize) -> Error {
    Error::Stream(format!(
        "the buffer holds a record that cannot be right ({length} bytes, {at} bytes into what was there to read); is \
         another reader using the same map?"
    ))
}

impl Source {
    pub(super) fn new(
        mut inputs: Vec<Input>,
        per_cpu: Vec<PerCpu>,
        plans: Vec<Arc<Plan>>,
        policy: &Policy,
    ) -> Result<Self> {
        for input in &mut inputs {
            input.tell_times(&plans);
        }
        let longest = inputs.iter().map(|input| input.transport.size()).max().unwrap_or(0);
        let tables = if policy.decode {
            Tables::new(plans.clone(), policy.max_rows, longest)
        } else {
            Tables::whole(policy.max_rows, longest)?
        };
        let merge = policy.look_back.map(|look_back| Merge::new(look_back, inputs.len()));
        let (clocks, looked, generation) = (clock::look(false), Instant::now(), clock::generation());
        Ok(Self {
            inputs,
            per_cpu,
            renewed: looked,
            plans,
            tables,
            merge,
            clocks,
            generation,
            looked,
            first: 0,
            ending: false,
        })
    }

    pub(super) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    pub(super) fn slab_size(&self) -> usize {
        self.tables.slab_size()
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(super) fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    // Events that came too late for their place in the order, and by how many nanoseconds the latest.
    pub(super) fn late(&self) -> (u64, u64) {
        self.merge.as_ref().map_or((0, 0), |merge| (merge.late, merge.lateness))
    }

    // Events that are missing in sequences, or that the kernel counted as lost: as it says now, or as is known of it.
    pub(super) fn lost(&self, over: bool, ask: bool) -> u64 {
        let gaps = |sequence: &Shared| sequence.lock().unwrap_or_else(PoisonError::into_inner).lost(over);
        self.sequences().map(gaps).sum::<u64>() + self.inputs.iter().map(|input| input.lost(ask)).sum::<u64>()
    }

    // Each once, whatever the number of buffers that share it.
    fn sequences(&self) -> impl Iterator<Item = &Shared> {
        let all = || self.inputs.iter().filter_map(|input| input.sequence.as_ref());
        all()
            .enumerate()
            .filter(move |&(at, one)| !all().take(at).any(|other| Arc::ptr_eq(one, other)))
            .map(|(_, one)| one)
    }

    // Adds buffers for CPUs that came online, and gives what makes them known.
    pub(super) fn renew(&mut self, now: Instant) -> Result<Vec<Arc<OwnedFd>>> {
        if self.per_cpu.is_empty() || now < self.renewed + RENEW {
            return Ok(Vec::new());
        }
        self.renewed = now;
        let mut wakes = Vec::new();
        for per_cpu in &mut self.per_cpu {
            for transport in per_cpu.renew()? {
                wakes.extend(transport.wakes());
                let mut input = per_cpu.input(transport);
                input.tell_times(&self.plans);
                self.inputs.push(input);
            }
        }
        if let Some(merge) = &mut self.merge {
            merge.widen(self.inputs.len());
        }
        Ok(wakes)
    }

    // Whether each buffer makes itself known with its first event.
    pub(super) fn wakes_at_once(&self) -> bool {
        self.inputs.iter().all(|input| input.transport.wakes_at_once())
    }

    pub(super) fn pause(&self, paused: bool) -> Result<()> {
        self.inputs.iter().try_for_each(|input| input.transport.pause(paused))
    }

    // Reads what is there. Full batches go to the queue as long as it has room. What was done before an error stands in
    // `drained` too.
    pub(super) fn drain(&mut self, queue: &mut Queue, drained: &mut Drained) -> Result<()> {
        let outcome = self.drain_all(queue, drained);
        if !drained.full {
            for sequence in self.sequences() {
                sequence.lock().unwrap_or_else(PoisonError::into_inner).looked();
            }
        }
        outcome
    }

    fn drain_all(&mut self, queue: &mut Queue, drained: &mut Drained) -> Result<()> {
        if self.looked.elapsed() > CLOCKS || clock::generation() != self.generation {
            self.clocks = clock::look(false);
            (self.looked, self.generation) = (Instant::now(), clock::generation());
        }
        if self.merge.is_some() {
            return self.drain_in_order(queue, drained);
        }
        let Self { inputs, tables, clocks, first, .. } = self;
        inputs.iter_mut().try_for_each(|input| input.transport.refresh())?;
        let count = inputs.len();
        for step in 0..count {
            let index = (*first + step) % count;
            let bytes = drained.bytes;
            let input = &mut inputs[index];
            let outcome = input.drain(tables, clocks, queue, drained);
            drained.press(drained.bytes - bytes, input.transport.size());
            outcome?;
            if drained.full {
                *first = (index + 1) % count;
                break;
            }
        }
        Ok(())
    }

    fn drain_in_order(&mut self, queue: &mut Queue, drained: &mut Drained) -> Result<()> {
        let Self { inputs, tables, clocks, ending, .. } = self;
        let Some(merge) = &mut self.merge else { return Ok(()) };
        let mut horizon = merge.horizon();
        for (index, input) in inputs.iter_mut().enumerate() {
            // What waits stands in the snapshot that it was taken from.
            if !merge.holds(index) {
                input.transport.refresh()?;
            }
            if input.transport.is_snapshot() {
                horizon = i64::MAX;
            }
        }
        let offsets = clocks.latest();
        let mut outcome = Ok(());
        for (index, input) in inputs.iter_mut().enumerate() {
            let bytes = drained.bytes;
            let collected = merge.collect(index, input, &offsets, drained);
            outcome = outcome.and(collected);
            drained.press(drained.bytes - bytes, input.transport.size());
        }
        if *ending || outcome.is_err() || merge.is_pressed(inputs) {
            horizon = i64::MAX;
        }
        let end = merge.turn(horizon);
        let mut at = 0;
        // A table whose columns have no room for the next record.
        let mut full = None;
        while at < end {
            let room =
                full.take().or_else(|| tables.full()).map_or(Ok(Room::Made), |table| make(table, tables, queue))?;
            let count = match room {
                Room::None => {
                    drained.full = true;
                    break;
                }
                Room::Drop => {
                    queue.dropped += (end - at) as u64;
                    end - at
                }
                Room::Made => {
                    let (mut block, of) = merge.block(inputs, at, end, tables);
                    let (offsets, count) = merge.offsets(at, block.len(), clocks);
                    let appended = tables.append(&mut block, &of, count, &offsets)?;
                    full = appended.full;
                    appended.count
                }
            };
            merge.given(at, count);
            at += count;
        }
        merge.release(at, inputs);
        outcome
    }

    // Takes the batches that were gathered, and the buffers: the stream that held them is over.
    pub(super) fn release(mut self) -> Released {
        let mut queue = Queue::new(usize::MAX, super::queue::Overflow::Block);
        self.end(true);
        let (mut drained, cuts) = (Drained::default(), self.tables.cuts());
        let mut failure = self.drain(&mut queue, &mut drained).err();
        for table in 0..self.tables.len() {
            match self.tables.cut(table) {
                Ok(batch) => queue.batches.extend(batch),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        self.end(false);
        let (cuts, late) = (self.tables.cuts() - cuts, self.late());
        let Self { inputs, per_cpu, plans, .. } = self;
        Released { inputs, per_cpu, plans, queue, drained, cuts, late, failure }
    }

    // How long to let events gather: less when they take more than a quarter of a buffer meanwhile.
    pub(super) fn pace(gather: Duration, most: Duration, pressure: u64) -> Duration {
        if pressure > 25 {
            (gather / 2).max(LEAST_GATHER)
        } else if pressure < 6 {
            (gather * 2).min(most)
        } else {
            gather
        }
    }

    // Whether what is written from now on is left unread.
    pub(super) fn end(&mut self, here: bool) {
        self.ending = here;
        for input in &self.inputs {
            input.transport.end(here);
        }
    }

    // True when nothing is left and the next event will wake us.
    pub(super) fn acknowledge(&self) -> bool {
        self.merge.as_ref().is_none_or(Merge::is_empty)
            && self.inputs.iter().all(|input| input.transport.acknowledge_and_recheck())
    }

    // Nothing more comes through perf buffers: events that have no buffer are told of to their programs.
    pub(super) fn cut_off(&mut self) {
        if self.per_cpu.is_empty() {
            return;
        }
        self.per_cpu.clear();
        process::wait_for_running_programs();
        for input in self.inputs.iter().filter(|input| !input.transport.wakes_at_once()) {
            input.transport.end(false);
        }
    }

    // Events and bytes that nobody has read, which are passed: another reader of the buffers begins behind them.
    pub(super) fn left(&mut self) -> (u64, u64) {
        let mut left = (0, 0);
        for input in &mut self.inputs {
            let window = input.transport.window();
            let mut cursor = Cursor::default();
            let mut block = Block::new();
            loop {
                let stop = window.scan(&mut cursor, &mut block, CAPACITY);
                left.0 += block.len() as u64;
                if stop != Stop::Full {
                    break;
                }
            }
            left.1 += cursor.at as u64;
            input.lost += cursor.lost_since(Cursor::default());
            input.transport.advance(cursor.at);
            input.transport.acknowledge(0);
        }
        left
    }
}

// Room in a table that has none: its batch goes to the queue.
fn make(table: usize, tables: &mut Tables, queue: &mut Queue) -> Result<Room> {
    let room = queue.room();
    if room == Room::Made {
        let batch = tables.cut(table)?;
        let too_large = || Error::Layout("a record has more text than a batch can hold".into());
        queue.batches.push_back(batch.ok_or_else(too_large)?);
    }
    Ok(room)
}

impl Input {
    pub(crate) fn new(transport: Transport, way: Way) -> Self {
        let Way { route, sequence, counts, source } = way;
        Self { transport, route, source, sequence, counts, answered: Cell::new(0), lost: 0, times: Vec::new() }
    }

    // The column that a reader sees in order, and where there is none what the kernel stamps.
    fn tell_times(&mut self, plans: &[Arc<Plan>]) {
        let stamps = self.transport.stamps().then_some(Time::OF_SAMPLE);
        let time = |plan: &Arc<Plan>| plan.time().map(|(offset, clock)| Time { offset, clock });
        self.times = plans.iter().map(|plan| time(plan).or(stamps)).collect();
    }

    // To ask interrupts the buffer's CPU (perf_event_read).
    fn lost(&self, ask: bool) -> u64 {
        if self.counts && ask {
            let answer = self.transport.lost().ok().flatten().unwrap_or(0);
            self.answered.set(answer.max(self.answered.get()));
        }
        if self.counts { self.answered.get().max(self.lost) } else { 0 }
    }

    // Whether each of its records tells when it was written.
    pub(super) fn tells_times(&self, plans: &[Arc<Plan>]) -> bool {
        let told = |table: usize| self.transport.stamps() || plans[table].time().is_some();
        match &self.route {
            Route::Table(table) => told(*table),
            Route::Tagged(tag) => tag.tables.iter().all(|&(_, table)| told(table)),
        }
    }

    // Reads one window: what was there when it began.
    fn drain(&mut self, tables: &mut Tables, clocks: &History, queue: &mut Queue, drained: &mut Drained) -> Result<()> {
        let Self { transport, route, source, sequence, times, lost, .. } = self;
        let window = transport.window();
        let mut cursor = Cursor::default();
        let mut block = Block::new();
        let every = ACKNOWLEDGE.min(transport.size() / 8);
        // The last record stays unacknowledged: a producer then sees that nobody waits, and wakes nobody. It does so after
        // an empty look too. A record that takes much of the buffer is given back.
        let keep = |last: usize| if last <= every { last } else { 0 };
        // A table whose columns have no room for the next record.
        let mut full = None;
        loop {
            let room = match full.take().or_else(|| tables.full()) {
                Some(table) => make(table, tables, queue)?,
                None => Room::Made,
            };
            if room == Room::None {
                drained.full = true;
                break;
            }
            let before = cursor;
            let limit = if room == Room::Made { tables.room() } else { CAPACITY };
            let mut stop = window.scan(&mut cursor, &mut block, limit);
            let found = block.len();
            let mut count = found;
            if room == Room::Drop {
                queue.dropped += count as u64;
            } else {
                let of = route.of(&block, &mut count)?;
                let offsets = offsets(times, &block, &of, &mut count, clocks);
                let of = if tables.are_whole() { Of::One(*source) } else { of };
                let appended = tables.append(&mut block, &of, count, &offsets)?;
                (count, full) = (appended.count, appended.full);
                if count < found {
                    window.pass_only(&mut cursor, before, &mut block, count);
                    stop = Stop::Full;
                }
            }
            *lost += cursor.lost_since(before);
            if let Some(sequence) = sequence {
                sequence.lock().unwrap_or_else(PoisonError::into_inner).see_all(&block, count);
            }
            let passed = cursor.at - before.at;
            drained.events += count as u64;
            drained.bytes += passed as u64;
            transport.advance(passed);
            if cursor.at > 0 && transport.unacknowledged() >= every {
                transport.acknowledge(keep(cursor.last));
            }
            match stop {
                Stop::Full => {}
                Stop::End => break,
                Stop::Busy => {
                    drained.busy = true;
                    break;
                }
                Stop::Corrupt { length, at } => return Err(corrupt(length, at)),
            }
        }
        if cursor.at > 0 {
            transport.acknowledge(keep(cursor.last));
        }
        Ok(())
    }
}

// The clocks' offsets to UTC that held for a block; after a jump of a clock, for the first of its records.
fn offsets(times: &[Option<Time>], block: &Block<'_>, of: &Of, count: &mut usize, clocks: &History) -> Offsets {
    if let Some(offsets) = clocks.steady() {
        return offsets;
    }
    let at = |row: usize| {
        let time = times[of.table(row)]?;
        Some(clocks.at(time.of(block.record(row))?, |offsets| time.clock.offset(offsets)))
    };
    let (Some(last), true) = (count.checked_sub(1), block.len() > 0) else { return clocks.latest() };
    let first = at(0);
    if first != at(last) {
        *count = 1;
    }
    first.unwrap_or_else(|| clocks.latest())
}
