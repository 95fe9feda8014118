//! The kernel's clocks against UTC.

use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime, clock_gettime_dynamic};

// Nanoseconds to add to a clock's reading to get UTC, taken at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) monotonic: i64,
    pub(crate) boottime: i64,
    pub(crate) tai: i64,
}

impl Offsets {
    pub(crate) fn now() -> Self {
        Self {
            monotonic: offset(DynamicClockId::Known(ClockId::Monotonic)),
            boottime: offset(DynamicClockId::Known(ClockId::Boottime)),
            tai: offset(DynamicClockId::Tai),
        }
    }
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn realtime() -> i64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

// Of three readings between two readings of UTC, the one that was interrupted least.
fn offset(clock: DynamicClockId<'_>) -> i64 {
    (0..3)
        .filter_map(|_| {
            let before = realtime();
            let reading = nanoseconds(clock_gettime_dynamic(clock).ok()?);
            let width = realtime() - before;
            Some((width, before + width / 2 - reading))
        })
        .min_by_key(|&(width, _)| width)
        .map_or(0, |(_, offset)| offset)
}
