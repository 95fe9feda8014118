//! The kernel's clocks against UTC.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::time::{
    ClockId, DynamicClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    clock_gettime_dynamic, timerfd_create, timerfd_settime,
};

// Nanoseconds to add to a clock's reading to get UTC, taken at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) monotonic: i64,
    pub(crate) boottime: i64,
    pub(crate) tai: i64,
}

// One look at all clocks.
#[derive(Clone, Copy)]
struct Snapshot {
    offsets: Offsets,
    // How far the offsets may be from the truth.
    doubt: i64,
    // CLOCK_MONOTONIC's own reading.
    at: i64,
}

// The offsets never drift: the kernel slews its clocks together (kernel/time/timekeeping.c, timekeeping_adjust). They
// jump, when UTC is set, at a leap second, and CLOCK_MONOTONIC's after a suspension; between two jumps they are kept as
// they were measured best.
#[derive(Clone, Debug)]
pub(crate) struct History {
    // By the time from which each holds; the first holds for all that was before.
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    // CLOCK_MONOTONIC's reading at the jump.
    since: i64,
    offsets: Offsets,
    doubt: i64,
    // CLOCK_MONOTONIC's reading when the offsets were last seen to hold.
    seen: i64,
}

// Two readings of vDSO clocks lie closer together than this.
const LEAST_JUMP: i64 = 500;
// Jumps that are remembered: what lies longer back than the oldest was read long ago.
const SPANS: usize = 64;

impl Offsets {
    pub(crate) fn now() -> Self {
        Snapshot::take().offsets
    }

    fn differ(self, other: Self, more_than: i64) -> bool {
        let apart = |a: i64, b: i64| a.abs_diff(b) > more_than.unsigned_abs();
        apart(self.monotonic, other.monotonic) || apart(self.boottime, other.boottime) || apart(self.tai, other.tai)
    }
}

impl Snapshot {
    fn take() -> Self {
        let (monotonic, first) = offset(DynamicClockId::Known(ClockId::Monotonic));
        let (boottime, second) = offset(DynamicClockId::Known(ClockId::Boottime));
        let (tai, third) = offset(DynamicClockId::Tai);
        let at = nanoseconds(clock_gettime(ClockId::Monotonic));
        Self { offsets: Offsets { monotonic, boottime, tai }, doubt: first.max(second).max(third), at }
    }
}

impl History {
    fn new(first: Snapshot) -> Self {
        let Snapshot { offsets, doubt, at } = first;
        Self { spans: vec![Span { since: at, offsets, doubt, seen: at }] }
    }

    // `told`: the kernel has just said that a clock was set, so the jump was now.
    fn see(&mut self, new: Snapshot, told: bool) {
        let last = self.spans.len() - 1;
        let span = &mut self.spans[last];
        if !new.offsets.differ(span.offsets, LEAST_JUMP + new.doubt + span.doubt) {
            if new.doubt < span.doubt {
                (span.offsets, span.doubt) = (new.offsets, new.doubt);
            }
            span.seen = new.at;
            return;
        }
        let since = if told { new.at } else { span.seen + (new.at - span.seen) / 2 };
        GENERATION.fetch_add(1, Ordering::Release);
        self.spans.push(Span { since, offsets: new.offsets, doubt: new.doubt, seen: new.at });
        if self.spans.len() > SPANS {
            self.spans.remove(0);
        }
    }

    // The offsets that held when a clock, whose offset `of` picks, read `value`.
    pub(crate) fn at(&self, value: i64, of: impl Fn(&Offsets) -> i64) -> Offsets {
        let held = |span: &&Span| {
            // What the clock read at the jump, told by the offsets behind it: CLOCK_MONOTONIC and UTC are known then.
            let since = span.since + span.offsets.monotonic - of(&span.offsets);
            value >= since
        };
        self.spans.iter().rev().find(held).unwrap_or(&self.spans[0]).offsets
    }

    pub(crate) fn latest(&self) -> Offsets {
        self.spans[self.spans.len() - 1].offsets
    }

    // The offsets that hold for all that a reader can find, None when some of it was before a jump.
    pub(crate) fn steady(&self) -> Option<Offsets> {
        (self.spans.len() == 1).then(|| self.latest())
    }
}

// Counts jumps.
static GENERATION: AtomicU64 = AtomicU64::new(0);

pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

static HISTORY: Mutex<Option<History>> = Mutex::new(None);

fn history() -> MutexGuard<'static, Option<History>> {
    HISTORY.lock().unwrap_or_else(PoisonError::into_inner)
}

// What is known of the clocks, looked at now.
pub(crate) fn look(told: bool) -> History {
    let new = Snapshot::take();
    let mut history = history();
    match &mut *history {
        Some(known) => {
            known.see(new, told);
            known.clone()
        }
        None => history.insert(History::new(new)).clone(),
    }
}

// Becomes ready when UTC jumps: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.
pub(crate) struct Jumps(OwnedFd);

impl Jumps {
    pub(crate) fn new() -> std::io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let jumps = Self(timer);
        jumps.arm()?;
        Ok(jumps)
    }

    // Asks to be told of the next jump.
    pub(crate) fn arm(&self) -> std::io::Result<()> {
        let never = Timespec { tv_sec: i64::from(i32::MAX) * 4, tv_nsec: 0 };
        let timer = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &timer)?;
        Ok(())
    }
}

impl AsFd for Jumps {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(crate) fn boottime() -> i64 {
    nanoseconds(clock_gettime(ClockId::Boottime))
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn realtime() -> i64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

// Of three readings between two readings of UTC, the one that was interrupted least, and how far off it may be.
fn offset(clock: DynamicClockId<'_>) -> (i64, i64) {
    (0..3)
        .filter_map(|_| {
            let before = realtime();
            let reading = nanoseconds(clock_gettime_dynamic(clock).ok()?);
            let width = realtime() - before;
            // A width below zero was a jump between the two.
            (width >= 0).then_some((before + width / 2 - reading, width / 2))
        })
        .min_by_key(|&(_, doubt)| doubt)
        .unwrap_or((0, i64::MAX / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(at: i64, utc_minus_monotonic: i64, suspended: i64) -> Snapshot {
        let monotonic = utc_minus_monotonic;
        let offsets = Offsets { monotonic, boottime: monotonic - suspended, tai: -37_000_000_000 };
        Snapshot { offsets, doubt: 50, at }
    }

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn noise_is_no_jump() {
        let mut history = History::new(snapshot(SECOND, 7 * SECOND, 0));
        for i in 2..100 {
            history.see(snapshot(i * SECOND, 7 * SECOND + i % 90, 0), false);
        }
        assert_eq!(history.steady(), Some(history.latest()));
    }

    #[test]
    fn an_event_before_a_set_clock_keeps_its_time() {
        let mut history = History::new(snapshot(10 * SECOND, 1000 * SECOND, 3 * SECOND));
        history.see(snapshot(11 * SECOND, 1000 * SECOND, 3 * SECOND), false);
        // UTC is set an hour ahead, and the kernel tells at once.
        history.see(snapshot(12 * SECOND, 4600 * SECOND, 3 * SECOND), true);
        let monotonic = |value| value + history.at(value, |offsets| offsets.monotonic).monotonic;
        let boottime = |value| value + history.at(value, |offsets| offsets.boottime).boottime;
        assert_eq!(monotonic(12 * SECOND - 1000), 1012 * SECOND - 1000);
        assert_eq!(monotonic(12 * SECOND + 1000), 4612 * SECOND + 1000);
        // CLOCK_BOOTTIME is three seconds ahead of CLOCK_MONOTONIC.
        assert_eq!(boottime(15 * SECOND - 1000), 1012 * SECOND - 1000);
        assert_eq!(boottime(15 * SECOND + 1000), 4612 * SECOND + 1000);
        assert_eq!(history.steady(), None);
    }

    #[test]
    fn an_event_before_a_suspension_keeps_its_time() {
        let mut history = History::new(snapshot(10 * SECOND, 1000 * SECOND, 0));
        // Asleep for a minute: UTC and CLOCK_BOOTTIME went on.
        history.see(snapshot(10 * SECOND + 4000, 1060 * SECOND, 60 * SECOND), true);
        let monotonic = |value| value + history.at(value, |offsets| offsets.monotonic).monotonic;
        assert_eq!(monotonic(10 * SECOND), 1010 * SECOND);
        assert_eq!(monotonic(11 * SECOND), 1071 * SECOND);
        let boottime = |value| value + history.at(value, |offsets| offsets.boottime).boottime;
        assert_eq!(boottime(10 * SECOND), 1010 * SECOND);
        assert_eq!(boottime(71 * SECOND), 1071 * SECOND);
    }

    #[test]
    fn a_jump_that_nobody_told_of_is_put_halfway() {
        let mut history = History::new(snapshot(0, SECOND, 0));
        history.see(snapshot(1000, 5 * SECOND, 0), false);
        let at = |value| history.at(value, |offsets| offsets.monotonic).monotonic;
        assert_eq!((at(499), at(500)), (SECOND, 5 * SECOND));
    }

    #[test]
    fn the_kernel_takes_the_timer() {
        Jumps::new().unwrap();
    }

    #[test]
    fn the_real_clocks_are_steady() {
        let first = look(false);
        let second = look(false);
        assert!(!first.latest().differ(second.latest(), 100_000_000));
    }
}
