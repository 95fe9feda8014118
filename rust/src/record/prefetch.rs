//! Asking for memory before it is needed: the ring's pages are scattered, so the hardware does not guess the next one.
//!
//! A core waits for few cache lines at a time. So the lines of a later block are asked for in small portions, one before
//! each column of the block that is being decoded: memory and decoder then work at the same time (measured: a quarter less).

const LINE: usize = 64;
// From a block's end to what is asked for while it is decoded.
const DISTANCE: usize = 2 * 1024;

// Lines that are asked for in a turn, without a branch: asking twice for some costs less than a wrong guess of how many.
const PORTION: usize = 4;

pub(super) struct Ahead {
    next: *const u8,
    // Bytes of a turn.
    step: usize,
}

impl Ahead {
    // As many bytes as the block has that ends at `end`, in so many turns.
    pub(super) fn new(end: *const u8, bytes: usize, turns: usize) -> Self {
        Self { next: end.wrapping_add(DISTANCE), step: bytes.div_ceil(turns.max(1)) }
    }

    #[inline(always)]
    pub(super) fn fetch(&mut self) {
        for line in 0..PORTION {
            prefetch(self.next.wrapping_add(line * LINE));
        }
        for line in (PORTION * LINE..self.step + LINE).step_by(LINE) {
            prefetch(self.next.wrapping_add(line));
        }
        self.next = self.next.wrapping_add(self.step);
    }
}

#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address, mapped or not, has no effect but on the cache.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
