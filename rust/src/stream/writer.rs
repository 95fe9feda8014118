//! The stream in the other direction: rows into a user ring buffer, whose programs read them.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::record::rows::Rows;
use crate::ring::user::UserRing;
use crate::sys::bpf::{self, MapType};
use crate::sys::poll::{Epoll, EventFd, Woken, wait};
use crate::sys::process;

// Programs that drain with BPF_RB_NO_WAKEUP do not tell that there is room.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

pub(crate) struct Writer {
    map: OwnedFd,
    id: u32,
    process: u32,
    // None when closed.
    ring: Mutex<Option<UserRing>>,
    closed: EventFd,
    written: AtomicU64,
}

// How far a call of `write` has come.
#[derive(Default)]
pub(crate) struct Progress {
    batch: usize,
    row: usize,
    pub(crate) rows: usize,
}

#[derive(PartialEq, Eq)]
pub(crate) enum Written {
    // All rows, or those that found room in time.
    Over,
    // A signal came: to be called again.
    Interrupted,
}

// The maps that this process writes to, with the process: a forked child's are others.
fn writers() -> MutexGuard<'static, BTreeSet<(u32, u32)>> {
    static WRITERS: Mutex<BTreeSet<(u32, u32)>> = Mutex::new(BTreeSet::new());
    WRITERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    pub(crate) fn open(map: OwnedFd, record: usize) -> Result<Self> {
        let info = bpf::map_info(map.as_fd()).map_err(Error::kernel("cannot look at the map"))?;
        if info.type_ != MapType::BPF_MAP_TYPE_USER_RINGBUF as u32 {
            return Err(Error::Layout(format!(
                "map {:?} is not a user ring buffer (its type is {}); pass a map made by MapSpec(\"user_ringbuf\")",
                bpf::info_name(&info.name),
                info.type_,
            )));
        }
        let size = info.max_entries as usize;
        UserRing::check(size, record)?;
        let closed = EventFd::new().map_err(Error::kernel("cannot make an eventfd"))?;
        let process = process::id();
        if !writers().insert((process, info.id)) {
            return Err(Error::Stream(
                "this ring has a writer already, and two would write over each other; close that one first".into(),
            ));
        }
        let ring = UserRing::open(map.as_fd(), size).inspect_err(|_| {
            writers().remove(&(process, info.id));
        })?;
        let ring = Mutex::new(Some(ring));
        Ok(Self { map, id: info.id, process, ring, closed, written: AtomicU64::new(0) })
    }

    // Rows that were written since it was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    // Bytes, headers included, that programs have not read.
    pub(crate) fn unread(&self) -> Result<u64> {
        self.with(|ring| Ok(ring.unread()))
    }

    // Writes the rows behind `progress`. While there is no room it waits until the deadline, without one for ever.
    pub(crate) fn write(
        &self,
        batches: &[Rows],
        progress: &mut Progress,
        deadline: Option<Instant>,
    ) -> Result<Written> {
        let mut room: Option<Epoll> = None;
        loop {
            self.fill(batches, progress)?;
            if progress.batch == batches.len() {
                return Ok(Written::Over);
            }
            let now = Instant::now();
            let left = deadline.map_or(LONGEST_WAIT, |deadline| deadline.saturating_duration_since(now));
            if left.is_zero() {
                return Ok(Written::Over);
            }
            // The kernel calls a ring writable as long as a byte of it is free, so it is the change that is waited for.
            // A program that drains moves its position first and then wakes (bpf_user_ringbuf_drain); what it does after
            // the set was made is in the set, and what it did before is seen by looking once more.
            let Some(room) = &room else {
                let made = Epoll::new().and_then(|set| set.add_room(self.map.as_fd()).map(|()| set));
                room = Some(made.map_err(Error::kernel("cannot wait for room"))?);
                continue;
            };
            let woken = wait(&[room.as_fd(), self.closed.as_fd()], Some(left.min(LONGEST_WAIT)))
                .and_then(|woken| room.ready().map(|_| woken))
                .map_err(Error::kernel("cannot wait for room"))?;
            if woken == Woken::Interrupted {
                return Ok(Written::Interrupted);
            }
        }
    }

    fn fill(&self, batches: &[Rows], progress: &mut Progress) -> Result<()> {
        self.with(|ring| {
            while let Some(rows) = batches.get(progress.batch) {
                let count = ring.write(rows, progress.row)?;
                progress.row += count;
                progress.rows += count;
                self.written.fetch_add(count as u64, Ordering::Relaxed);
                if progress.row < rows.len {
                    break;
                }
                progress.batch += 1;
                progress.row = 0;
            }
            Ok(())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut UserRing) -> Result<T>) -> Result<T> {
        // First: whoever held the lock at the fork will never give it back in the child.
        if self.process != process::id() {
            return Err(Error::Stream(format!(
                "this ring belongs to process {}, which forked this one, and has one writer",
                self.process
            )));
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        work(ring.as_mut().ok_or_else(|| Error::Stream("this ring is closed".into()))?)
    }

    // What was written stays in the ring. A second time does nothing, nor does a forked child's.
    pub(crate) fn close(&self) {
        if self.process != process::id() {
            return;
        }
        if self.ring.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            writers().remove(&(self.process, self.id));
            self.closed.signal();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}
