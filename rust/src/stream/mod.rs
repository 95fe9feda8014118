//! An endless source of record batches: buffers, the plans of their records, and who looks at them when.
//!
//! A [`Stream`] is looked at by the pump thread ([`pump`]), or by its reader when it is not a background stream. Each
//! look drains the buffers into columns; the reader takes batches from the queue, or what has been gathered so far.

mod merge;
mod per_cpu;
pub(crate) mod pump;
mod queue;
pub(crate) mod replay;
mod sequence;
mod source;
mod tables;
mod transport;
mod whole;
pub(crate) mod writer;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow_schema::SchemaRef;

pub(crate) use self::per_cpu::{PerCpu, Way};
use self::pump::Pump;
use self::queue::Queue;
pub(crate) use self::queue::{Batch, Overflow};
pub(crate) use self::sequence::Place;
pub(crate) use self::source::Input;
use self::source::{Drained, Source};
pub(crate) use self::tables::{Route, Tag};
pub(crate) use self::transport::{Form, Transport};
use crate::error::{Error, Result};
use crate::record::plan::Plan;
use crate::sys::poll::{EventFd, Woken, wait};
use crate::sys::process;

// How long events gather in the ring between two looks. Looking more often chases the producers: every look takes cache
// lines from them (measured: twice the cost at full rate).
const GATHER: Duration = Duration::from_millis(1);
// However small the ring and however short the latency that was asked for.
const LEAST_GATHER: Duration = Duration::from_micros(50);
// A ring without a new event for so long is left to epoll; before, its producers are spared the wake-up.
const LINGER: Duration = Duration::from_millis(10);
// The longest time without a look: programs may ask the kernel not to wake us.
const IDLE: Duration = Duration::from_millis(100);
// The longest time without a look at buffers that tell of many events only.
const UNTOLD: Duration = Duration::from_millis(10);
// A record that its producer does not finish is waited for no longer than this when a stream ends.
const UNFINISHED: Duration = Duration::from_secs(1);
// What a stream keeps for a slow reader; then the ring fills, and what finds no room is counted.
const QUEUE_BYTES: usize = 64 << 20;
const MOST: usize = 255;

pub(crate) struct Policy {
    pub(crate) max_rows: usize,
    pub(crate) max_latency: Duration,
    pub(crate) background: bool,
    pub(crate) overflow: Overflow,
    // Gives events in the order of their times, each so long after it happened.
    pub(crate) look_back: Option<Duration>,
    // Gives columns; or else whole records, to be decoded later.
    pub(crate) decode: bool,
}

pub(crate) struct Stream {
    id: u64,
    process: u32,
    // The maps that are read, which no other stream may.
    maps: Vec<u32>,
    policy: Policy,
    plans: Vec<Arc<Plan>>,
    state: Mutex<State>,
    // Tells the reader that there is something to take.
    notify: EventFd,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Statistics {
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    pub(crate) wakeups: u64,
    pub(crate) cuts: u64,
    pub(crate) dropped: u64,
    // Events that came too late for their place in the order, and by how many nanoseconds the latest of them.
    pub(crate) late: u64,
    pub(crate) lateness: u64,
    // Events that are missing in sequences, or that the kernel counted as lost.
    pub(crate) lost: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    // Looked at every GATHER; the last record stays unacknowledged, so the kernel sends no wake-up.
    Hot,
    // Everything is acknowledged and epoll waits for the next record.
    Idle,
    // stop() was called: what is in the ring is still read.
    Ending { since: Instant },
    Ended,
    Closed,
}

struct State {
    // Gone when the stream is closed, whoever still holds it.
    source: Option<Source>,
    phase: Phase,
    failure: Option<Error>,
    queue: Queue,
    // The reader sleeps until there are so many rows.
    waiting: Option<usize>,
    // When the ring is to be looked at next, when it was last, when it was last read to its end, and when it last had
    // something.
    due: Instant,
    looked: Instant,
    emptied: Instant,
    active: Instant,
    gather: Duration,
    // The open batch has no room, and neither has the queue.
    full: bool,
    // No event of the open batch happened before this.
    oldest: Instant,
    statistics: Statistics,
}

// What the pump has to do after a look.
#[derive(PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    // Let epoll wait for the ring.
    Arm,
}

pub(crate) enum Next {
    Batch(Batch),
    TimedOut,
    // There is nothing yet; the stream's descriptor will tell.
    Pending,
    // A signal arrived: let Python look at it, then call again.
    Interrupted,
    // The descriptor that was to be watched is ready.
    Until,
    End,
}

pub(crate) struct Wanted<'a> {
    pub(crate) deadline: Option<Instant>,
    // Do not return before there are so many rows (or the deadline, or a full batch) ...
    pub(crate) least: usize,
    // ... and not more than so many.
    pub(crate) most: usize,
    pub(crate) until: Option<BorrowedFd<'a>>,
    // Whether to sleep for it.
    pub(crate) wait: bool,
}

impl Policy {
    // How long events gather in the ring; looking without a pause would take a CPU.
    fn gather(&self) -> Duration {
        self.max_latency.clamp(LEAST_GATHER, GATHER)
    }
}

// The maps that streams of this process read, with the process: a forked child's are others.
fn readers() -> MutexGuard<'static, BTreeSet<(u32, u32)>> {
    static READERS: Mutex<BTreeSet<(u32, u32)>> = Mutex::new(BTreeSet::new());
    READERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    pub(crate) fn open(
        inputs: Vec<Input>,
        per_cpu: Vec<PerCpu>,
        maps: Vec<u32>,
        plans: Vec<Arc<Plan>>,
        policy: Policy,
    ) -> Result<Arc<Self>> {
        Self::check_unread(&maps)?;
        check_names(&plans)?;
        check_times(&inputs, &plans, &policy)?;
        Self::begin(inputs, per_cpu, maps, plans, policy, Queue::new(0, Overflow::Block), Statistics::default())
    }

    // Each event can be read once: a map that a stream of this process reads is refused.
    pub(crate) fn check_unread(maps: &[u32]) -> Result<()> {
        let readers = readers();
        if maps.iter().any(|&map| readers.contains(&(process::id(), map))) {
            return Err(Error::Stream(
                "this buffer has a reader already, and each event can be read once; close that stream first".into(),
            ));
        }
        Ok(())
    }

    // One stream of several: they are over, and what they had gathered comes first.
    pub(crate) fn combine(parts: &[Arc<Self>], policy: Policy) -> Result<Arc<Self>> {
        let mut all: Vec<Arc<Plan>> = Vec::new();
        for part in parts {
            add_plans(&mut all, &part.plans);
            let state = part.lock()?;
            state.check_whole()?;
            if part.policy.decode != policy.decode {
                return Err(Error::Stream(
                    "streams that decode and streams that do not (decode=False) cannot become one".into(),
                ));
            }
            check_times(state.source.as_ref().map_or(&[][..], Source::inputs), &part.plans, &policy)?;
        }
        check_names(&all)?;
        let mut inputs = Vec::new();
        let mut per_cpu = Vec::new();
        let mut maps = Vec::new();
        let mut plans: Vec<Arc<Plan>> = Vec::new();
        let mut gathered = Queue::new(0, Overflow::Block);
        let mut statistics = Statistics::default();
        let mut sources = 0;
        for part in parts {
            let (source, queue, counted) = part.take_apart()?;
            let mut released = source.release()?;
            let renumbered = add_plans(&mut plans, &released.plans);
            for batch in queue.batches.into_iter().chain(released.queue.batches) {
                gathered.batches.push_back(if policy.decode {
                    Batch { table: renumbered[batch.table], ..batch }
                } else {
                    whole::shifted(batch, sources)?
                });
            }
            released.inputs.iter_mut().for_each(|input| input.route.renumber(&renumbered));
            released.per_cpu.iter_mut().for_each(|group| group.way.route.renumber(&renumbered));
            let own = released.inputs.iter().map(|input| input.source).max().map_or(0, |last| last + 1);
            released.inputs.iter_mut().for_each(|input| input.source += sources);
            released.per_cpu.iter_mut().for_each(|group| group.way.source += sources);
            sources += own;
            inputs.extend(released.inputs);
            per_cpu.extend(released.per_cpu);
            statistics.received += released.drained.events;
            statistics.bytes += released.drained.bytes;
            statistics.cuts += released.cuts;
            maps.extend(&part.maps);
            statistics.add(&counted);
        }
        Self::begin(inputs, per_cpu, maps, plans, policy, gathered, statistics)
    }

    fn begin(
        inputs: Vec<Input>,
        per_cpu: Vec<PerCpu>,
        maps: Vec<u32>,
        plans: Vec<Arc<Plan>>,
        policy: Policy,
        gathered: Queue,
        statistics: Statistics,
    ) -> Result<Arc<Self>> {
        static ID: AtomicU64 = AtomicU64::new(1);
        check_count(inputs.iter().map(|input| input.source).max().unwrap_or(0))?;
        let wakes: Vec<Arc<OwnedFd>> = inputs.iter().flat_map(|input| input.transport.wakes()).collect();
        let source = Source::new(inputs, per_cpu, plans.clone(), &policy)?;
        let limit = if policy.background { (QUEUE_BYTES / source.slab_size()).max(2) } else { 0 };
        let now = Instant::now();
        let state = State {
            source: Some(source),
            phase: Phase::Hot,
            failure: None,
            queue: Queue { limit, overflow: policy.overflow, ..gathered },
            waiting: None,
            due: now,
            looked: now,
            emptied: now,
            active: now,
            gather: policy.gather(),
            full: false,
            oldest: now,
            statistics,
        };
        let stream = Arc::new(Self {
            id: ID.fetch_add(1, Ordering::Relaxed),
            process: process::id(),
            maps,
            policy,
            plans,
            state: Mutex::new(state),
            notify: EventFd::new().map_err(Error::kernel("cannot make an eventfd"))?,
        });
        if stream.policy.background {
            pump::current()?.add(&stream, &wakes)?;
        }
        readers().extend(stream.maps.iter().map(|&map| (stream.process, map)));
        Ok(stream)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    // Of each table.
    pub(crate) fn schemas(&self) -> Vec<SchemaRef> {
        if !self.policy.decode {
            return vec![whole::schema()];
        }
        self.plans.iter().map(|plan| Arc::clone(&plan.schema)).collect()
    }

    // The names of the tables.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.policy.decode {
            self.plans.iter().map(|plan| plan.name().into()).collect()
        } else {
            vec!["Record".into()]
        }
    }

    // The kind of buffer of each source.
    pub(crate) fn sources(&self) -> Result<Vec<Form>> {
        let state = self.lock()?;
        let source = state.source.as_ref().ok_or_else(taken)?;
        let mut forms: Vec<_> = source.inputs().iter().map(|input| (input.source, input.transport.form())).collect();
        forms.sort_unstable_by_key(|&(source, _)| source);
        forms.dedup();
        Ok(forms.into_iter().map(|(_, form)| form).collect())
    }

    // Becomes readable when there is something for a reader that was told to come back.
    pub(crate) fn notifies(&self) -> BorrowedFd<'_> {
        self.notify.as_fd()
    }

    // A forked child has the parent's streams in its memory, but no pump, and perhaps a lock that nobody will release.
    pub(crate) fn is_foreign(&self) -> bool {
        self.process != process::id()
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        if self.is_foreign() {
            return Err(Error::Stream(format!(
                "this stream belongs to process {}, which forked this one; open a stream of its own in the child",
                self.process
            )));
        }
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn statistics(&self) -> Result<Statistics> {
        let state = self.lock()?;
        let mut statistics = state.statistics;
        statistics.dropped += state.queue.dropped;
        if let Some(source) = &state.source {
            (statistics.late, statistics.lateness) = source.late();
            statistics.lost += source.lost(state.phase == Phase::Ended);
        }
        Ok(statistics)
    }

    // Gives the next batch to the reader. Called without the GIL.
    pub(crate) fn next(&self, wanted: &Wanted<'_>) -> Result<Next> {
        let mut last_look = false;
        let mut slept = !wanted.wait;
        loop {
            let mut state = self.lock()?;
            let now = Instant::now();
            let expired = wanted.deadline.is_some_and(|deadline| now >= deadline);
            if slept && !state.is_over() {
                self.notify.clear();
            }
            // An idle ring is looked at by the reader itself, once: a program that wakes nobody loses no time.
            let idle = state.phase == Phase::Idle;
            let look = if self.policy.background {
                idle && now >= state.looked + GATHER
            } else {
                (idle || now >= state.due) && state.ready(&self.policy, wanted.least, now).is_none()
            };
            if look || (expired && !last_look) {
                last_look = expired;
                let after = self.look(&mut state, now);
                if self.policy.background {
                    let pump = pump::current()?;
                    if after == After::Arm {
                        pump.arm(&state.wakes(), self.id);
                    } else if idle && state.phase == Phase::Hot {
                        pump.wake();
                    }
                }
            }
            if let Some(batch) = state.take_ready(&self.policy, wanted, now, expired)? {
                return Ok(Next::Batch(batch));
            }
            match state.phase {
                Phase::Closed => {
                    return Err(Error::Stream("this stream is closed; its statistics can still be read".into()));
                }
                Phase::Ended => return Ok(Next::End),
                _ if expired => return Ok(Next::TimedOut),
                _ => {}
            }
            let mut until = now + IDLE;
            if !self.policy.background {
                until = until.min(state.due);
            }
            if let Some(deadline) = wanted.deadline {
                until = until.min(deadline);
            }
            if wanted.least <= 1 && state.gathered() > 0 {
                until = until.min(state.oldest + self.policy.max_latency);
            }
            state.waiting = Some(state.waiting.map_or(wanted.least, |least| least.min(wanted.least)));
            if !wanted.wait {
                return Ok(Next::Pending);
            }
            // The pump waits for idle buffers, or else the reader.
            let buffers =
                if state.phase == Phase::Idle && !self.policy.background { state.wakes() } else { Vec::new() };
            drop(state);
            if let Some(next) = self.sleep(until.saturating_duration_since(now), &buffers, wanted.until)? {
                return Ok(next);
            }
            slept = true;
        }
    }

    fn sleep(
        &self,
        timeout: Duration,
        buffers: &[Arc<OwnedFd>],
        until: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Next>> {
        let mut fds = vec![self.notify.as_fd()];
        fds.extend(buffers.iter().map(AsFd::as_fd));
        let failed = "cannot wait for events";
        fds.extend(until);
        if wait(&fds, Some(timeout)).map_err(Error::kernel(failed))? == Woken::Interrupted {
            return Ok(Some(Next::Interrupted));
        }
        if let Some(until) = until
            && wait(&[until], Some(Duration::ZERO)).map_err(Error::kernel(failed))? == Woken::Ready
        {
            return Ok(Some(Next::Until));
        }
        Ok(None)
    }

    // The pump's turn.
    fn turn(&self, now: Instant, pump: &Pump) {
        let Ok(mut state) = self.lock() else {
            return;
        };
        if self.look(&mut state, now) == After::Arm {
            pump.arm(&state.wakes(), self.id);
        }
        if let Some(least) = state.waiting
            && state.ready(&self.policy, least, now).is_some()
        {
            state.waiting = None;
            self.notify.signal();
        }
    }

    fn due(&self) -> Option<Instant> {
        let state = self.lock().ok()?;
        (!matches!(state.phase, Phase::Ended | Phase::Closed)).then_some(state.due)
    }

    fn look(&self, state: &mut State, now: Instant) -> After {
        if let Some(source) = &mut state.source
            && let Err(error) = source.renew(now).and_then(|wakes| self.wait_for(&wakes))
        {
            state.failure = Some(error);
            state.phase = Phase::Ended;
        }
        match state.look(&self.policy, now) {
            Ok(after) => after,
            Err(error) => {
                state.failure = Some(error);
                state.phase = Phase::Ended;
                After::Nothing
            }
        }
    }

    fn wait_for(&self, wakes: &[Arc<OwnedFd>]) -> Result<()> {
        if self.policy.background && !wakes.is_empty() { pump::current()?.wait_for(wakes, self.id) } else { Ok(()) }
    }

    // While it is paused, events of perf buffers are lost, and counted.
    pub(crate) fn pause(&self, paused: bool) -> Result<()> {
        let state = self.lock()?;
        let closed = || Error::Stream("this stream is closed; its statistics can still be read".into());
        state.source.as_ref().ok_or_else(closed)?.pause(paused)
    }

    // While it is held a stream reads what is in the ring now, and nothing that comes later.
    pub(crate) fn hold(&self, held: bool) -> Result<()> {
        let mut state = self.lock()?;
        let running = matches!(state.phase, Phase::Hot | Phase::Idle);
        if let Some(source) = &mut state.source
            && running
        {
            source.end(held);
        }
        Ok(())
    }

    // Nothing more will be written to the ring: what is there can be read to the end. The caller has detached before.
    pub(crate) fn stop(&self) -> Result<()> {
        let mut state = self.lock()?;
        if matches!(state.phase, Phase::Hot | Phase::Idle) {
            let now = Instant::now();
            if let Some(source) = &mut state.source {
                source.end(true);
            }
            state.phase = Phase::Ending { since: now };
            state.due = now;
            // Until it has ended, or the reader has to make room, or a record is still being written.
            while matches!(state.phase, Phase::Ending { .. }) && state.due <= now && !state.full {
                self.look(&mut state, now);
            }
            self.notify.signal();
            if self.policy.background {
                pump::current()?.wake();
            }
        }
        Ok(())
    }

    // Ends the stream at once. What was not taken stays in the count of what was received.
    pub(crate) fn close(self: &Arc<Self>) -> Result<()> {
        if self.is_foreign() {
            return Ok(()); // the parent's, which goes on
        }
        let mut state = self.lock()?;
        if state.phase == Phase::Closed {
            return Ok(());
        }
        state.phase = Phase::Closed;
        let wakes = state.wakes();
        if let Some(source) = state.source.take() {
            let (events, bytes) = source.left();
            state.statistics.received += events;
            state.statistics.bytes += bytes;
            (state.statistics.late, state.statistics.lateness) = source.late();
            state.statistics.lost += source.lost(true);
        }
        state.queue.batches.clear();
        self.notify.signal();
        drop(state);
        self.forget(&wakes)
    }

    // Gives away what the stream reads from, and what it has read.
    fn take_apart(self: &Arc<Self>) -> Result<(Source, Queue, Statistics)> {
        let mut state = self.lock()?;
        state.check_whole()?;
        let wakes = state.wakes();
        let source = state.source.take().ok_or_else(taken)?;
        state.phase = Phase::Closed;
        let queue = std::mem::replace(&mut state.queue, Queue::new(0, Overflow::Block));
        let mut statistics = state.statistics;
        statistics.dropped += queue.dropped;
        self.notify.signal();
        drop(state);
        self.forget(&wakes)?;
        Ok((source, Queue { dropped: 0, ..queue }, statistics))
    }

    fn forget(self: &Arc<Self>, wakes: &[Arc<OwnedFd>]) -> Result<()> {
        {
            let mut readers = readers();
            for &map in &self.maps {
                readers.remove(&(self.process, map));
            }
        }
        if self.policy.background {
            pump::current()?.remove(self, wakes);
        }
        Ok(())
    }
}

impl Statistics {
    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.delivered += other.delivered;
        self.bytes += other.bytes;
        self.batches += other.batches;
        self.wakeups += other.wakeups;
        self.cuts += other.cuts;
        self.dropped += other.dropped;
    }
}

fn taken() -> Error {
    Error::Stream("this stream was stopped or closed, or is a part of another one already".into())
}

// Records of one layout go to one table: where those of each plan go.
pub(crate) fn add_plans(all: &mut Vec<Arc<Plan>>, plans: &[Arc<Plan>]) -> Vec<usize> {
    let mut place = |plan: &Arc<Plan>| {
        all.iter().position(|known| known.is_like(plan)).unwrap_or_else(|| {
            all.push(Arc::clone(plan));
            all.len() - 1
        })
    };
    plans.iter().map(&mut place).collect()
}

// Tables are told apart by their names.
pub(crate) fn check_names(plans: &[Arc<Plan>]) -> Result<()> {
    check_count(plans.len())?;
    let mut names = BTreeSet::new();
    plans.iter().map(|plan| plan.name()).try_for_each(|name| {
        let twice = || Error::Layout(format!("two different types of record are called {name:?}; rename one of them"));
        names.insert(name).then_some(()).ok_or_else(twice)
    })
}

// Types of record, or sources: their numbers are kept in a byte.
pub(crate) fn check_count(count: usize) -> Result<()> {
    if count > MOST {
        return Err(Error::Layout(format!(
            "a stream has at most {MOST} types of record, and as many parts; make several"
        )));
    }
    Ok(())
}

fn check_times(inputs: &[Input], plans: &[Arc<Plan>], policy: &Policy) -> Result<()> {
    if policy.look_back.is_some() && !inputs.iter().all(|input| input.tells_times(plans)) {
        return Err(Error::Layout(
            "ordered=True goes by the records' own times; give each a field such as `ts: fb.boottime`".into(),
        ));
    }
    Ok(())
}

impl State {
    fn check_whole(&self) -> Result<()> {
        if matches!(self.phase, Phase::Hot | Phase::Idle) && self.failure.is_none() { Ok(()) } else { Err(taken()) }
    }

    fn look(&mut self, policy: &Policy, now: Instant) -> Result<After> {
        let Some(source) = &mut self.source else {
            return Ok(After::Nothing);
        };
        if matches!(self.phase, Phase::Ended | Phase::Closed) {
            return Ok(After::Nothing);
        }
        let gathered = source.tables().gathered();
        let cuts = source.tables().cuts();
        let mut drained = Drained::default();
        let outcome = source.drain(&mut self.queue, &mut drained);
        let Drained { events, bytes, full, busy, pressure } = drained;
        self.statistics.received += events;
        self.statistics.bytes += bytes;
        self.statistics.wakeups += 1;
        self.statistics.cuts += source.tables().cuts() - cuts;
        outcome?;
        if gathered == 0 || !self.queue.batches.is_empty() {
            self.oldest = self.emptied;
        }
        self.looked = now;
        self.full = full;
        if !full {
            self.emptied = now;
        }
        if full {
            // A reader that decodes on its own thread goes on at once; the pump waits for room.
            self.due = if policy.background { now + GATHER } else { now };
            return Ok(After::Nothing);
        }
        if let Phase::Ending { since } = self.phase {
            self.due = now + self.gather;
            if events == 0 && (!busy || now > since + UNFINISHED) {
                let _ = source.acknowledge();
                self.phase = Phase::Ended;
            } else if events > 0 && !busy {
                self.due = now;
            }
            return Ok(After::Nothing);
        }
        if bytes > 0 {
            self.active = now;
        }
        self.gather = Source::pace(self.gather, policy.gather(), pressure);
        // A record that is being written is waited for by the clock: epoll would answer at once, again and again.
        if busy || now < self.active + LINGER || !source.acknowledge() {
            self.phase = Phase::Hot;
            let wait = if busy { (now - self.active).min(IDLE) / 4 } else { self.gather };
            self.due = now + wait.max(self.gather);
            return Ok(After::Nothing);
        }
        self.phase = Phase::Idle;
        // Where a single event wakes nobody, it is looked for.
        self.due = now + if source.wakes_at_once() { IDLE } else { UNTOLD };
        Ok(After::Arm)
    }

    // Rows of the open batch.
    fn gathered(&self) -> usize {
        self.source.as_ref().map_or(0, |source| source.tables().gathered())
    }

    // What becomes readable when there is an event.
    fn wakes(&self) -> Vec<Arc<OwnedFd>> {
        let inputs = self.source.as_ref().map_or(&[][..], Source::inputs);
        inputs.iter().flat_map(|input| input.transport.wakes()).collect()
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Closed)
    }

    // Some when a reader who wants `least` rows need not wait any longer.
    fn ready(&self, policy: &Policy, least: usize, now: Instant) -> Option<()> {
        let gathered = self.gathered();
        let late = gathered > 0 && least <= 1 && now >= self.oldest + policy.max_latency;
        let enough = gathered >= least.min(policy.max_rows).max(1);
        let over = self.full || self.is_over() || self.failure.is_some();
        let batch = self.source.as_ref().is_some_and(|source| source.tables().is_full());
        (!self.queue.batches.is_empty() || late || enough && least > 1 || batch || over).then_some(())
    }

    fn take_ready(
        &mut self,
        policy: &Policy,
        wanted: &Wanted<'_>,
        now: Instant,
        expired: bool,
    ) -> Result<Option<Batch>> {
        if self.ready(policy, wanted.least, now).is_none() && !expired {
            return Ok(None);
        }
        let batch = match (self.queue.batches.pop_front(), &mut self.source) {
            (Some(batch), _) => Some(batch),
            (None, Some(source)) => {
                self.full = false;
                let fullest = source.tables().fullest();
                source.tables_mut().cut(fullest)?
            }
            (None, None) => None,
        };
        let Some(mut batch) = batch else {
            return self.failure.take().map_or(Ok(None), Err);
        };
        let Batch { table, rows } = &batch;
        if rows.num_rows() > wanted.most {
            let rest = rows.slice(wanted.most, rows.num_rows() - wanted.most);
            self.queue.batches.push_front(Batch { table: *table, rows: rest });
            batch.rows = batch.rows.slice(0, wanted.most);
        }
        self.statistics.delivered += batch.rows.num_rows() as u64;
        self.statistics.batches += 1;
        Ok(Some(batch))
    }
}
