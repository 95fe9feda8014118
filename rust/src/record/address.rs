//! Network addresses as text.

use std::io::Write;
use std::net::Ipv6Addr;

use super::kind::Address;

// Bytes that the text of an address takes at most, in the column.
pub(super) const fn room(address: Address) -> usize {
    match address {
        Address::Ipv4 => 16, // "255.255.255.255", and the dot that is written behind it
        Address::Ipv6 => 39,
        Address::Mac => 17,
    }
}

// Each byte in decimal with a dot, and how long that is without the dot.
const DECIMALS: [([u8; 4], u8); 256] = {
    let mut decimals = [([0; 4], 0); 256];
    let mut byte = 0;
    while byte < 256 {
        let digits = [b'0' + byte as u8 / 100, b'0' + byte as u8 / 10 % 10, b'0' + byte as u8 % 10];
        decimals[byte] = match byte {
            0..10 => ([digits[2], b'.', 0, 0], 1),
            10..100 => ([digits[1], digits[2], b'.', 0], 2),
            _ => ([digits[0], digits[1], digits[2], b'.'], 3),
        };
        byte += 1;
    }
    decimals
};

// Writes the address; returns the bytes written.
//
// SAFETY (of the caller): `from` is readable for the address, `to` is writable for its room().
#[inline(always)]
pub(super) unsafe fn write(address: Address, from: *const u8, to: *mut u8) -> usize {
    // SAFETY: promised by the caller.
    unsafe {
        match address {
            Address::Ipv4 => {
                let mut written = 0;
                for byte in from.cast::<[u8; 4]>().read() {
                    let (text, len) = DECIMALS[usize::from(byte)];
                    to.add(written).cast::<[u8; 4]>().write(text);
                    written += usize::from(len) + 1;
                }
                written - 1
            }
            Address::Ipv6 => ipv6(from.cast::<[u8; 16]>().read(), std::slice::from_raw_parts_mut(to, room(address))),
            Address::Mac => {
                let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
                for (i, byte) in from.cast::<[u8; 6]>().read().into_iter().enumerate() {
                    let colon = i * 3;
                    if i > 0 {
                        to.add(colon - 1).write(b':');
                    }
                    to.add(colon).write(digit(byte >> 4));
                    to.add(colon + 1).write(digit(byte & 15));
                }
                room(address)
            }
        }
    }
}

// What is compressed to :: is std's affair.
fn ipv6(address: [u8; 16], mut to: &mut [u8]) -> usize {
    let room = to.len();
    write!(to, "{}", Ipv6Addr::from(address)).expect("no address is longer");
    room - to.len()
}
