//! Elements as the kernel gives them: keys in one buffer, values in another, few enough to stay in the cache.

use std::collections::HashSet;

use crate::error::{Error, Result};

// Larger batches bring nothing, and those that are much smaller cost (measured: 256 to 65,536 are alike).
const ELEMENTS: usize = 4096;
const BYTES: usize = 1 << 20;
const FEWEST: usize = 16;
// Whoever decodes may read a whole word where a record ends.
pub(super) const SLACK: usize = 8;

pub(super) struct Chunk {
    pub(super) key_size: usize,
    // Bytes of all that a look-up gives.
    pub(super) value_size: usize,
    pub(super) keys: Vec<u8>,
    pub(super) values: Vec<u8>,
    // Elements that are there, and those that there is room for.
    pub(super) len: usize,
    pub(super) room: usize,
}

impl Chunk {
    // For a map of `entries`; 0 where it has no such number.
    pub(super) fn new(key_size: usize, value_size: usize, entries: usize) -> Self {
        let fit = BYTES / (key_size + value_size).max(1);
        let entries = if entries == 0 { ELEMENTS } else { entries };
        let mut chunk = Self { key_size, value_size, keys: Vec::new(), values: Vec::new(), len: 0, room: 0 };
        chunk.grow(fit.clamp(FEWEST, ELEMENTS).min(entries.max(FEWEST)));
        chunk
    }

    pub(super) fn grow(&mut self, room: usize) {
        self.room = room;
        self.keys = vec![0; room * self.key_size + SLACK];
        self.values = vec![0; room * self.value_size + SLACK];
        self.len = 0;
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        &self.keys[at * self.key_size..][..self.key_size]
    }

    // The value of the element that comes next, and room for its key.
    pub(super) fn next(&mut self) -> (&mut [u8], &mut [u8]) {
        let key = &mut self.keys[self.len * self.key_size..][..self.key_size];
        (key, &mut self.values[self.len * self.value_size..][..self.value_size])
    }

    // Leaves out elements.
    fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let mut len = 0;
        for at in 0..self.len {
            if !keep(self.key(at)) {
                continue;
            }
            if len < at {
                let (key, value) = (self.key_size, self.value_size);
                self.keys.copy_within(at * key..(at + 1) * key, len * key);
                self.values.copy_within(at * value..(at + 1) * value, len * value);
            }
            len += 1;
        }
        self.len = len;
    }
}

// The keys that were read, where the kernel goes on by keys: when the key where it is to go on is deleted meanwhile, it
// begins again.
pub(super) struct Seen {
    keys: HashSet<Box<[u8]>>,
    again: usize,
}

// How often the whole map may be read before that is no use.
const MOST_ROUNDS: usize = 32;

impl Seen {
    pub(super) fn new() -> Self {
        Self { keys: HashSet::new(), again: 0 }
    }

    // Leaves out what was read before.
    pub(super) fn filter(&mut self, chunk: &mut Chunk) -> Result<()> {
        let read = chunk.len;
        chunk.retain(|key| self.keys.insert(key.into()));
        self.again += read - chunk.len;
        if self.again > MOST_ROUNDS * self.keys.len().max(1024) {
            let error = std::io::Error::from_raw_os_error(libc::EAGAIN);
            return Err(Error::kernel("keys of the map are deleted faster than it can be read; read it again")(error));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(keys: &[u8]) -> Chunk {
        let mut chunk = Chunk::new(1, 2, 100);
        for &key in keys {
            let (to, value) = chunk.next();
            to[0] = key;
            value.copy_from_slice(&[key, key + 1]);
            chunk.len += 1;
        }
        chunk
    }

    #[test]
    fn what_was_read_before_is_left_out() {
        let mut seen = Seen::new();
        for (keys, new) in [(&[1, 2, 2, 3][..], &[1, 2, 3][..]), (&[3, 1, 2], &[]), (&[4, 1, 5], &[4, 5]), (&[], &[])] {
            let mut chunk = chunk(keys);
            seen.filter(&mut chunk).unwrap();
            assert_eq!(&chunk.keys[..chunk.len], new);
            let values: Vec<u8> = new.iter().flat_map(|key| [*key, key + 1]).collect();
            assert_eq!(chunk.values[..2 * chunk.len], values);
        }
    }

    #[test]
    fn a_walk_that_never_ends_is_ended() {
        let mut seen = Seen::new();
        let errno = (0..100_000).find_map(|_| seen.filter(&mut chunk(&[1, 2, 3])).err());
        assert!(matches!(errno, Some(Error::Kernel { source, .. }) if source.raw_os_error() == Some(libc::EAGAIN)));
    }
}
