//! An endless source of record batches: buffers, the plans of their records, and who looks at them when.
//!
//! A [`Stream`] is looked at by the pump thread ([`pump`]), or by its reader when it is not a background stream. Each
//! look drains the buffers into columns; the reader takes batches from the queue, or what has been gathered so far.

mod combine;
mod merge;
mod per_cpu;
pub(crate) mod pump;
mod queue;
pub(crate) mod replay;
mod sequence;
mod source;
mod state;
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

pub(crate) use self::combine::{add_plans, check_names};
use self::combine::{check_count, check_times, taken};
pub(crate) use self::per_cpu::{PerCpu, Way};
use self::pump::Pump;
use self::queue::Queue;
pub(crate) use self::queue::{Batch, Overflow};
pub(crate) use self::sequence::{Place, Sequences, Shared};
pub(crate) use self::source::Input;
use self::source::Source;
use self::state::{After, Phase, State};
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
// The longest time without a look: programs may ask the kernel not to wake us.
const IDLE: Duration = Duration::from_millis(100);
// What a stream keeps for a slow reader; then the ring fills, and what finds no room is counted.
const QUEUE_BYTES: usize = 64 << 20;

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

// What a stream of others has from the start.
struct Begun {
    queue: Queue,
    statistics: Statistics,
    failure: Option<Error>,
}

impl Default for Begun {
    fn default() -> Self {
        Self { queue: Queue::new(0, Overflow::Block), statistics: Statistics::default(), failure: None }
    }
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
        // An ordered stream gives nothing for so long: it need not look all the time.
        self.max_latency.clamp(LEAST_GATHER, GATHER).max(self.look_back.unwrap_or_default() / 8)
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
        Self::begin(inputs, per_cpu, maps, plans, policy, Begun::default())
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

    fn begin(
        inputs: Vec<Input>,
        per_cpu: Vec<PerCpu>,
        maps: Vec<u32>,
        plans: Vec<Arc<Plan>>,
        policy: Policy,
        begun: Begun,
    ) -> Result<Arc<Self>> {
        static ID: AtomicU64 = AtomicU64::new(1);
        let Begun { queue: gathered, statistics, failure } = begun;
        check_count(inputs.iter().map(|input| input.source).max().unwrap_or(0))?;
        let wakes: Vec<Arc<OwnedFd>> = inputs.iter().flat_map(|input| input.transport.wakes()).collect();
        let source = Source::new(inputs, per_cpu, plans.clone(), &policy)?;
        let limit = if policy.background { (QUEUE_BYTES / source.slab_size()).max(2) } else { 0 };
        let now = Instant::now();
        let state = State {
            source: Some(source),
            phase: if failure.is_some() { Phase::Ended } else { Phase::Hot },
            failure,
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

    // The kernel's count of losses is asked for, or what is known of it is told.
    pub(crate) fn statistics(&self, ask: bool) -> Result<Statistics> {
        let state = self.lock()?;
        let mut statistics = state.statistics;
        statistics.dropped += state.queue.dropped;
        if let Some(source) = &state.source {
            statistics.be_late(source.late());
            statistics.lost += source.lost(state.phase == Phase::Ended, ask);
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

    // After a panic, which is a mistake of ours: the other streams go on.
    fn fail(&self) {
        if let Ok(mut state) = self.lock() {
            let text = "a mistake in fastbpf ended this stream; what it said stands on standard error";
            state.failure = Some(Error::Stream(text.into()));
            state.phase = Phase::Ended;
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
        if let Some(mut source) = state.source.take() {
            source.cut_off();
            let (events, bytes) = source.left();
            state.statistics.received += events;
            state.statistics.bytes += bytes;
            state.statistics.be_late(source.late());
            state.statistics.lost += source.lost(true, true);
        }
        state.queue.batches.clear();
        self.notify.signal();
        drop(state);
        self.forget(&wakes)
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
