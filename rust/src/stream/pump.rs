//! The one thread of a process that looks after all background streams: one epoll set for idle rings, one timer for
//! busy ones.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::{After, Stream};
use crate::error::{Error, Result};
use crate::sys::poll::{Epoll, EventFd, wait};
use crate::sys::process;

pub(crate) struct Pump {
    process: u32,
    epoll: Epoll,
    wake: EventFd,
    streams: Mutex<HashMap<u64, Arc<Stream>>>,
}

const WAKE: u64 = 0; // streams count from 1

static CURRENT: AtomicPtr<Pump> = AtomicPtr::new(ptr::null_mut());

// This process's pump, started when it is first asked for. A forked child has no thread of its parent's, so it gets a
// pump of its own; the parent's stays where it is, untouched.
pub(crate) fn current() -> Result<&'static Pump> {
    let known = CURRENT.load(Ordering::Acquire);
    // SAFETY: what CURRENT points to was leaked below and is never freed.
    if let Some(pump) = unsafe { known.as_ref() }
        && pump.process == process::id()
    {
        return Ok(pump);
    }
    let pump = Box::into_raw(Box::new(
        Pump::new().map_err(Error::kernel("cannot start the pump thread"))?,
    ));
    if CURRENT
        .compare_exchange(known, pump, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        // SAFETY: it was made above and nobody has seen it: another thread was faster.
        drop(unsafe { Box::from_raw(pump) });
        return current();
    }
    // SAFETY: leaked for good, since CURRENT shows it to everybody.
    let pump: &'static Pump = unsafe { &*pump };
    thread::Builder::new()
        .name("fastbpf-pump".into())
        .spawn(|| pump.run())
        .map_err(Error::kernel("cannot start the pump thread"))?;
    Ok(pump)
}

impl Pump {
    fn new() -> std::io::Result<Self> {
        let epoll = Epoll::new()?;
        let wake = EventFd::new()?;
        epoll.add_always(wake.as_fd(), WAKE)?;
        Ok(Self {
            process: process::id(),
            epoll,
            wake,
            streams: Mutex::new(HashMap::new()),
        })
    }

    pub(super) fn add(&self, stream: &Arc<Stream>) -> Result<()> {
        self.epoll
            .add_disarmed(stream.as_fd(), stream.id())
            .map_err(Error::kernel("cannot wait for the ring buffer"))?;
        self.streams().insert(stream.id(), Arc::clone(stream));
        self.wake();
        Ok(())
    }

    pub(super) fn remove(&self, stream: &Stream) {
        self.epoll.remove(stream.as_fd());
        self.streams().remove(&stream.id());
    }

    // Lets the thread ask the streams anew when they are due.
    pub(super) fn wake(&self) {
        self.wake.signal();
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let streams: Vec<Arc<Stream>> = self.streams().values().cloned().collect();
            let due = streams.iter().filter_map(|stream| stream.due()).min();
            let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
            // An epoll set that cannot be waited for leaves the clock, which is enough.
            let _ = wait(&[self.epoll.as_fd()], timeout);
            let ready = self.epoll.ready().unwrap_or_default();
            if ready.contains(&WAKE) {
                self.wake.clear();
            }
            let now = Instant::now();
            for stream in streams {
                let is_due = stream.due().is_some_and(|due| due <= now);
                if (is_due || ready.contains(&stream.id())) && stream.turn(now) == After::Arm {
                    // A stream that was closed meanwhile has left the set.
                    let _ = self.epoll.arm(stream.as_fd(), stream.id());
                }
            }
        }
    }
}
