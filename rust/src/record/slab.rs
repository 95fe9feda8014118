//! Memory for column buffers: one mapping holds all columns of many rows, and goes back to its pool when the last
//! batch that lies in it is released. Touching memory for the first time costs more than decoding into it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_buffer::Buffer;
use arrow_buffer::alloc::Allocation;
use std::ptr::NonNull;

use crate::sys::memory::Mapping;

pub(crate) struct Pool {
    size: usize,
    free: Mutex<Vec<Mapping>>,
}

// What a pool keeps for reuse at most.
const KEEP: usize = 32 << 20;

impl Pool {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, free: Mutex::new(Vec::new()) })
    }

    pub(crate) fn take(self: &Arc<Self>) -> io::Result<Arc<Slab>> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mapping = free.map_or_else(|| Mapping::anonymous(self.size), Ok)?;
        Ok(Arc::new(Slab { mapping: Some(mapping), pool: Arc::clone(self) }))
    }

    fn give_back(&self, mapping: Mapping) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if (free.len() + 1) * self.size <= KEEP.max(2 * self.size) {
            free.push(mapping);
        }
    }
}

pub(crate) struct Slab {
    // Always there, until drop gives it back.
    mapping: Option<Mapping>,
    pool: Arc<Pool>,
}

impl Slab {
    pub(crate) fn base(&self) -> *mut u8 {
        self.mapping.as_ref().map_or(std::ptr::null_mut(), Mapping::base)
    }

    pub(crate) fn len(&self) -> usize {
        self.mapping.as_ref().map_or(0, Mapping::len)
    }

    // Lends a part to Arrow, which keeps the slab alive.
    //
    // SAFETY (of the caller): the range is initialised and nobody writes to it while the buffer lives.
    pub(crate) unsafe fn buffer(self: &Arc<Self>, at: *mut u8, len: usize) -> Buffer {
        debug_assert!(at >= self.base() && at.wrapping_add(len) <= self.base().wrapping_add(self.len()));
        let owner: Arc<dyn Allocation> = Arc::<Self>::clone(self);
        let at = NonNull::new(at).unwrap_or(NonNull::dangling());
        // SAFETY: the range lies in the slab, which `owner` keeps mapped; the rest is promised by the caller.
        unsafe { Buffer::from_custom_allocation(at, len, owner) }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        if let Some(mapping) = self.mapping.take() {
            self.pool.give_back(mapping);
        }
    }
}
