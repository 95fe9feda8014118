//! What a stream knows of itself between two looks at its buffers: when the next one is due, and what is ready.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::combine::taken;
use super::queue::{Batch, Queue};
use super::source::{Drained, Source};
use super::{GATHER, IDLE, Policy, Statistics, Wanted};
use crate::error::{Error, Result};

// A ring without a new event for so long is left to epoll; before, its producers are spared the wake-up.
const LINGER: Duration = Duration::from_millis(10);
// The longest time without a look at buffers that tell of many events only.
const UNTOLD: Duration = Duration::from_millis(10);
// A record that its producer does not finish is waited for no longer than this when a stream ends.
const UNFINISHED: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    // Looked at every GATHER; the last record stays unacknowledged, so the kernel sends no wake-up.
    Hot,
    // Everything is acknowledged and epoll waits for the next record.
    Idle,
    // stop() was called: what is in the ring is still read.
    Ending { since: Instant },
    Ended,
    Closed,
}

pub(super) struct State {
    // Gone when the stream is closed, whoever still holds it.
    pub(super) source: Option<Source>,
    pub(super) phase: Phase,
    pub(super) failure: Option<Error>,
    pub(super) queue: Queue,
    // The reader sleeps until there are so many rows.
    pub(super) waiting: Option<usize>,
    // When the ring is to be looked at next, when it was last, when it was last read to its end, and when it last had
    // something.
    pub(super) due: Instant,
    pub(super) looked: Instant,
    pub(super) emptied: Instant,
    pub(super) active: Instant,
    pub(super) gather: Duration,
    // The open batch has no room, and neither has the queue.
    pub(super) full: bool,
    // No event of the open batch happened before this.
    pub(super) oldest: Instant,
    pub(super) statistics: Statistics,
}

// What the pump has to do after a look.
#[derive(PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    // Let epoll wait for the ring.
    Arm,
}

impl State {
    pub(super) fn check_whole(&self) -> Result<()> {
        if matches!(self.phase, Phase::Hot | Phase::Idle) && self.failure.is_none() { Ok(()) } else { Err(taken()) }
    }

    pub(super) fn look(&mut self, policy: &Policy, now: Instant) -> Result<After> {
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
        // Whoever wants many rows is not told of a few, however old they are.
        if self.waiting.is_some_and(|least| least <= 1) && self.gathered() > 0 {
            self.due = self.due.min((self.oldest + policy.max_latency).max(now));
        }
        Ok(After::Arm)
    }

    // Rows of the open batch.
    pub(super) fn gathered(&self) -> usize {
        self.source.as_ref().map_or(0, |source| source.tables().gathered())
    }

    // What becomes readable when there is an event.
    pub(super) fn wakes(&self) -> Vec<Arc<OwnedFd>> {
        let inputs = self.source.as_ref().map_or(&[][..], Source::inputs);
        inputs.iter().flat_map(|input| input.transport.wakes()).collect()
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Closed)
    }

    // Some when a reader who wants `least` rows need not wait any longer.
    pub(super) fn ready(&self, policy: &Policy, least: usize, now: Instant) -> Option<()> {
        let gathered = self.gathered();
        let late = gathered > 0 && least <= 1 && now >= self.oldest + policy.max_latency;
        let enough = gathered >= least.min(policy.max_rows).max(1);
        let over = self.full || self.is_over() || self.failure.is_some();
        let batch = self.source.as_ref().is_some_and(|source| source.tables().is_full());
        (!self.queue.batches.is_empty() || late || enough && least > 1 || batch || over).then_some(())
    }

    pub(super) fn take_ready(
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
