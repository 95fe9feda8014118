//! One element after another: for maps and kernels without batch commands, and what is drained by taking.

use std::os::fd::BorrowedFd;

use super::chunk::Chunk;
use crate::error::{Error, Result};
use crate::sys::bpf::read::map_pop;
use crate::sys::bpf::{Element, map_next_key};

pub(super) struct Walk {
    flags: u64,
    // The last key; None in front of the first.
    at: Option<Vec<u8>>,
}

impl Walk {
    pub(super) fn new(at: Option<Vec<u8>>, flags: u64) -> Self {
        Self { flags, at }
    }

    // False at the end. What is deleted between the two calls is not there.
    pub(super) fn fill(&mut self, map: BorrowedFd<'_>, chunk: &mut Chunk) -> Result<bool> {
        chunk.len = 0;
        // Gaps of an array are steps, too.
        for _ in 0..chunk.room {
            let (key, value) = chunk.next();
            if !map_next_key(map, self.at.as_deref(), key).map_err(Error::kernel("cannot walk the map"))? {
                return Ok(false);
            }
            let element = Element { map, key };
            let found = element.lookup_flags(value, self.flags).map_err(Error::kernel("cannot read from the map"))?;
            match &mut self.at {
                Some(at) => at.copy_from_slice(key),
                None => self.at = Some(key.to_vec()),
            }
            chunk.len += usize::from(found);
        }
        Ok(true)
    }
}

// Values of a queue or stack, as they come out.
pub(super) struct Pops {
    // A map into which somebody keeps pushing has an end all the same.
    left: usize,
}

impl Pops {
    pub(super) fn new(entries: usize) -> Self {
        Self { left: entries }
    }

    // False at the end.
    pub(super) fn fill(&mut self, map: BorrowedFd<'_>, chunk: &mut Chunk) -> Result<bool> {
        chunk.len = 0;
        while chunk.len < chunk.room && self.left > 0 {
            let (_, value) = chunk.next();
            match map_pop(map, value) {
                Ok(true) => chunk.len += 1,
                Ok(false) => return Ok(false),
                // What was taken is not to be lost: the error comes again with the next call.
                Err(_) if chunk.len > 0 => return Ok(true),
                Err(error) => return Err(Error::kernel("cannot take from the map")(error)),
            }
            self.left -= 1;
        }
        Ok(self.left > 0)
    }
}
