//! The one thread of a process that looks after all background streams: one epoll set for idle rings, one timer for
//! busy ones.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use super::Stream;
use crate::error::{Error, Result};
use crate::sys::clock::{self, Jumps};
use crate::sys::poll::{Epoll, EventFd, wait};
use crate::sys::process;

pub(crate) struct Pump {
    process: u32,
    epoll: Epoll,
    wake: EventFd,
    // Tells when UTC is set, so that the moment is known.
    jumps: Jumps,
    streams: Mutex<HashMap<u64, Arc<Stream>>>,
    started: Mutex<bool>,
    // The pump of a process that was forked from this one.
    child: OnceLock<Box<Self>>,
}

const WAKE: u64 = 0; // streams count from 1
const JUMP: u64 = u64::MAX;

const FAILED: &str = "cannot start the pump thread";

static FIRST: OnceLock<Box<Pump>> = OnceLock::new();

// This process's pump, started when it is first asked for. A forked child has no thread of its parent's, so it gets a
// pump of its own; the parent's stays where it is, untouched, and no lock is taken that the fork may have frozen.
pub(crate) fn current() -> Result<&'static Pump> {
    let mut place = &FIRST;
    loop {
        match place.get() {
            Some(pump) if pump.process == process::id() => {
                pump.start()?;
                return Ok(pump);
            }
            Some(pump) => place = &pump.child,
            None => {
                let pump = Box::new(Pump::new().map_err(Error::kernel(FAILED))?);
                // Another thread may be faster: then its pump is the one.
                let _ = place.set(pump);
            }
        }
    }
}

impl Pump {
    fn new() -> std::io::Result<Self> {
        let epoll = Epoll::new()?;
        let wake = EventFd::new()?;
        epoll.add_always(wake.as_fd(), WAKE)?;
        let jumps = Jumps::new()?;
        epoll.add_always(jumps.as_fd(), JUMP)?;
        Ok(Self {
            process: process::id(),
            epoll,
            wake,
            jumps,
            streams: Mutex::new(HashMap::new()),
            started: Mutex::new(false),
            child: OnceLock::new(),
        })
    }

    // Starts the thread, once; where there was none to be had, the next stream tries again.
    fn start(&'static self) -> Result<()> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if !*started {
            let thread = thread::Builder::new().name("fastbpf-pump".into());
            thread.spawn(|| self.run()).map_err(Error::kernel(FAILED))?;
            *started = true;
        }
        Ok(())
    }

    // Lets epoll wait for a stream's buffers. One that is being closed may have left the set.
    pub(super) fn arm(&self, buffers: &[Arc<OwnedFd>], id: u64) {
        for buffer in buffers {
            let _ = self.epoll.arm(buffer.as_fd(), id);
        }
    }

    pub(super) fn add(&self, stream: &Arc<Stream>, buffers: &[Arc<OwnedFd>]) -> Result<()> {
        self.wait_for(buffers, stream.id())?;
        self.streams().insert(stream.id(), Arc::clone(stream));
        self.wake();
        Ok(())
    }

    pub(super) fn wait_for(&self, buffers: &[Arc<OwnedFd>], id: u64) -> Result<()> {
        for (i, buffer) in buffers.iter().enumerate() {
            if let Err(error) = self.epoll.add_disarmed(buffer.as_fd(), id) {
                buffers[..i].iter().for_each(|buffer| self.epoll.remove(buffer.as_fd()));
                return Err(Error::kernel("cannot wait for the buffer")(error));
            }
        }
        Ok(())
    }

    pub(super) fn remove(&self, stream: &Stream, buffers: &[Arc<OwnedFd>]) {
        for buffer in buffers {
            self.epoll.remove(buffer.as_fd());
        }
        self.streams().remove(&stream.id());
    }

    // Lets the thread ask the streams anew when they are due.
    pub(super) fn wake(&self) {
        self.wake.signal();
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u64, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) -> ! {
        loop {
            let streams: Vec<Arc<Stream>> = self.streams().values().cloned().collect();
            let due = streams.iter().filter_map(|stream| stream.due()).min();
            let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
            // Nothing but a lack of memory makes this fail, and then the streams are looked at all the same.
            let _ = wait(&[self.epoll.as_fd()], timeout);
            let ready = self.epoll.ready().unwrap_or_default();
            if ready.contains(&WAKE) {
                self.wake.clear();
            }
            if ready.contains(&JUMP) {
                clock::look(true);
                let _ = self.jumps.arm();
            }
            let now = Instant::now();
            for stream in streams {
                let is_due = stream.due().is_some_and(|due| due <= now);
                if is_due || ready.contains(&stream.id()) {
                    // Whatever is wrong with one stream, the others are looked at.
                    if catch_unwind(AssertUnwindSafe(|| stream.turn(now, self))).is_err() {
                        stream.fail();
                    }
                }
            }
        }
    }
}
