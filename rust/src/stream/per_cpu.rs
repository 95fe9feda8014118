//! The perf buffers of a map: one for each CPU that is online, also for those that come online later.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use super::sequence::Place;
use super::source::Input;
use super::tables::Route;
use super::transport::Transport;
use crate::error::Result;
use crate::perf::{self, Buffer};
use crate::sys::bpf::Element;
use crate::sys::cpu;

pub(crate) struct PerCpu {
    // The kernel keeps what was put in as long as this file is open (perf_event_fd_array_release, kernel/bpf/arraymap.c).
    map: OwnedFd,
    size: usize,
    // Those that had a buffer, and were online when they were looked at last.
    online: BTreeSet<u32>,
    filled: BTreeSet<u32>,
    pub(super) way: Way,
    grows: bool,
}

// What is done with the records of each buffer.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) route: Route,
    pub(crate) sequence: Option<Place>,
    // Whether the kernel's count of losses is asked for: nobody else counts them.
    pub(crate) counts: bool,
    // The number of this way among those of its stream.
    pub(crate) source: usize,
}

impl PerCpu {
    pub(crate) fn open(map: OwnedFd, size: usize, overwrite: bool, way: Way) -> Result<(Self, Vec<Transport>)> {
        let buffers = perf::open(map.as_fd(), size, overwrite)?;
        let online: BTreeSet<u32> = buffers.iter().map(Buffer::cpu).collect();
        let transports = if overwrite {
            vec![Transport::snapshots(buffers)]
        } else {
            buffers.into_iter().map(Transport::Perf).collect()
        };
        Ok((Self { map, size, filled: online.clone(), online, way, grows: !overwrite }, transports))
    }

    // Buffers for CPUs that came online since. One that was away has a new one: the kernel lets go of its event.
    pub(super) fn renew(&mut self) -> Result<Vec<Transport>> {
        if !self.grows {
            return Ok(Vec::new());
        }
        let Ok(online) = cpu::online() else { return Ok(Vec::new()) };
        let online: BTreeSet<u32> = online.into_iter().collect();
        let mut added = Vec::new();
        for &cpu in online.difference(&self.online) {
            let buffer = Buffer::open(cpu, self.size, false)?;
            perf::fill(self.map.as_fd(), &[&buffer])?;
            self.filled.insert(cpu);
            added.push(Transport::Perf(buffer));
        }
        self.online = online;
        Ok(added)
    }

    pub(super) fn input(&self, transport: Transport) -> Input {
        Input::new(transport, self.way.clone())
    }
}

impl Drop for PerCpu {
    fn drop(&mut self) {
        // Programs may go on: what they write belongs to nobody then, and they are told so (-ENOENT).
        for cpu in &self.filled {
            let _ = Element { map: self.map.as_fd(), key: &cpu.to_ne_bytes() }.delete();
        }
    }
}
