//! What is in buffers that are overwritten, taken at one moment.
//!
//! The kernel writes such a buffer from its end towards its start, so that the newest record is found where the kernel
//! stands and each older one behind it (`perf_event_attr.write_backward`). Output is paused while the bytes are copied.

use super::Buffer;
use super::window::{HEADER, Window};
use crate::error::{Error, Result};
use crate::sys::process::wait_for_running_programs;

// The records of each buffer that were written since the last snapshot, oldest first and in one piece: a window of them
// is scanned like one of a buffer. Events that happen meanwhile are lost, and counted as lost.
pub(crate) fn take(buffers: &[&Buffer]) -> Result<Vec<Vec<u64>>> {
    let mut paused = Paused(Vec::new());
    for &buffer in buffers.iter().filter(|buffer| !buffer.paused.get()) {
        buffer.pause(true).map_err(Error::kernel("cannot pause a perf buffer"))?;
        paused.0.push(buffer);
    }
    // One that has begun to write may be about to overwrite the oldest records.
    wait_for_running_programs();
    buffers.iter().map(|buffer| buffer.copy()).collect()
}

struct Paused<'a>(Vec<&'a Buffer>);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        for buffer in &self.0 {
            // What could be paused can go on.
            let _ = buffer.pause(false);
        }
    }
}

impl Buffer {
    pub(super) fn copy(&self) -> Result<Vec<u64>> {
        let head = self.head();
        let written = self.position.get().wrapping_sub(head);
        let window = self.part(head, written);
        let (starts, len) = starts(&window, written > self.size)?;
        let mut words = Vec::with_capacity(len / 8);
        for &at in starts.iter().rev() {
            window.copy(at, window.header(at).size as usize, &mut words);
        }
        self.position.set(head);
        Ok(words)
    }
}

// Where each record of the window starts, and where the last one ends. Of a buffer that has been overwritten, the oldest
// record may have lost its end.
fn starts(window: &Window<'_>, overwritten: bool) -> Result<(Vec<usize>, usize)> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at < window.len() {
        let size = window.header(at).size as usize;
        let fits = size <= window.len() - at;
        if size < HEADER || !size.is_multiple_of(8) || !fits && !overwritten {
            return Err(Error::Stream(format!(
                "a perf buffer holds a record that cannot be right ({size} bytes, {at} bytes behind the newest)"
            )));
        }
        if !fits {
            break;
        }
        starts.push(at);
        at += size;
    }
    Ok((starts, at))
}
