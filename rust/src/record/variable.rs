//! Columns whose values differ in length: text, bytes and lists from the record's tail.

use super::block::{Block, Record};
use super::plan::{Form, Leaf};

// The value that a field's place in the record points to; None when it could not be read, an error when it points out
// of the record.
pub(super) fn tail<'a>(leaf: &Leaf, record: Record<'a>) -> Result<Option<&'a [u8]>, OutOfRecord> {
    if matches!(leaf.form, Form::Record) {
        return Ok(Some(record.whole()));
    }
    let payload = record.payload();
    let at = leaf.offset.cast_unsigned();
    let place = payload.get(at..at + 4).ok_or(OutOfRecord)?;
    let (offset, len) = split(u32::from_ne_bytes([place[0], place[1], place[2], place[3]]));
    if offset == 0 {
        return Ok(None);
    }
    payload.get(offset..offset + len).map(Some).ok_or(OutOfRecord)
}

pub(super) struct OutOfRecord;

// Whether the field's place in each of the first `count` records points into it.
//
// SAFETY (of the caller): none of the records is too short to hold the place.
pub(super) unsafe fn all_within(leaf: &Leaf, block: &Block<'_>, count: usize) -> bool {
    if matches!(leaf.form, Form::Record) {
        return true;
    }
    (0..count).all(|index| {
        let (payload, length) = block.payload(index);
        // SAFETY: promised by the caller.
        let place = unsafe { payload.offset(leaf.offset).cast::<u32>().read_unaligned() };
        let (offset, len) = split(place);
        offset == 0 || offset + len <= length
    })
}

// A place is __data_loc's: the value's length above its offset.
#[inline(always)]
fn split(place: u32) -> (usize, usize) {
    ((place & 0xFFFF) as usize, (place >> 16) as usize)
}

// Room that a value may take in the column. An invalid byte becomes U+FFFD, which is three.
pub(super) fn room(form: &Form, value: &[u8]) -> usize {
    if matches!(form, Form::Text { .. }) { value.len() * 3 } else { value.len() }
}

// The first `most` bytes of a text, without a character that would be torn.
pub(super) fn cut(text: &[u8], most: usize) -> &[u8] {
    if text.len() <= most {
        return text;
    }
    let start = (0..most.min(4)).map(|back| most - 1 - back).find(|&at| text[at] & 0xC0 != 0x80);
    match start {
        Some(start) if start + utf8_length(text[start]) > most => &text[..start],
        _ => &text[..most],
    }
}

fn utf8_length(first: u8) -> usize {
    match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    }
}

// Bytes of a text that are copied at once, however short it is: the copy is then free of branches that depend on it. Tails
// have so much room behind them.
pub(super) const AT_ONCE: usize = 64;

// Copies AT_ONCE bytes, and says whether the first `len` of them are ASCII.
//
// SAFETY (of the caller): `from` is readable and `to` writable for AT_ONCE bytes; len is not more.
#[inline(always)]
pub(super) unsafe fn copy_ascii(from: *const u8, len: usize, to: *mut u8) -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: promised by the caller.
    unsafe {
        use core::arch::x86_64::{_mm_loadu_si128, _mm_movemask_epi8, _mm_storeu_si128};
        let mut high = 0;
        for at in (0..AT_ONCE).step_by(16) {
            let bytes = _mm_loadu_si128(from.add(at).cast());
            _mm_storeu_si128(to.add(at).cast(), bytes);
            high |= u64::from(_mm_movemask_epi8(bytes).cast_unsigned()) << at;
        }
        high & 1_u64.checked_shl(len as u32).unwrap_or(0).wrapping_sub(1) == 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: promised by the caller.
    unsafe {
        to.cast::<[u8; AT_ONCE]>().write(from.cast::<[u8; AT_ONCE]>().read());
        std::slice::from_raw_parts(from, len).is_ascii()
    }
}

// Writes text as valid UTF-8, what is not valid replaced; returns the bytes written.
//
// SAFETY (of the caller): `to` is writable for three times the length of `text`.
pub(super) unsafe fn write_text(text: &[u8], to: *mut u8) -> usize {
    // Nearly all of it is.
    if let Ok(valid) = std::str::from_utf8(text) {
        // SAFETY: promised by the caller.
        unsafe { std::ptr::copy_nonoverlapping(valid.as_ptr(), to, valid.len()) };
        return valid.len();
    }
    let mut written = 0;
    let mut push = |part: &[u8]| {
        // SAFETY: each part is at most three times as long as the bytes of `text` that it stands for.
        unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), to.add(written), part.len()) };
        written += part.len();
    };
    for chunk in text.utf8_chunks() {
        push(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            push("\u{FFFD}".as_bytes());
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn written_text_is_the_lossy_text(text in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut buffer = vec![0; text.len() * 3 + 1];
            // SAFETY: the buffer is three times as long.
            let written = unsafe { write_text(&text, buffer.as_mut_ptr()) };
            prop_assert_eq!(std::str::from_utf8(&buffer[..written]).unwrap(), String::from_utf8_lossy(&text));
        }

        #[test]
        fn short_text_is_copied_and_looked_at_as_far_as_it_goes(text in prop::collection::vec(prop_oneof![9 => 0_u8..128, 1 => any::<u8>()], AT_ONCE), len in 0..=AT_ONCE) {
            let mut buffer = [0; AT_ONCE];
            // SAFETY: both have so many bytes.
            let ascii = unsafe { copy_ascii(text.as_ptr(), len, buffer.as_mut_ptr()) };
            prop_assert_eq!(ascii, text[..len].is_ascii());
            prop_assert_eq!(&buffer[..], &text[..]);
        }

        #[test]
        fn a_cut_tears_no_character(text in ".{0,32}", most in 1_usize..64) {
            let kept = cut(text.as_bytes(), most);
            prop_assert!(kept.len() <= most);
            let kept = std::str::from_utf8(kept).unwrap();
            prop_assert!(text.starts_with(kept));
            prop_assert!(text.len() <= most || kept.len() + 4 > most);
        }
    }
}
