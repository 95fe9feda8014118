//! Network addresses as text.

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::kind::Address;

// Where text goes; its writer knows that there is room.
struct Place {
    at: *mut u8,
    written: usize,
}

impl Write for Place {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: promised by the caller of `write`: no address is longer than there is room.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), self.at.add(self.written), text.len()) };
        self.written += text.len();
        Ok(())
    }
}

// Writes the address; returns the bytes written.
//
// SAFETY (of the caller): `from` is readable for the address, `to` is writable for its longest text.
pub(super) unsafe fn write(address: Address, from: *const u8, to: *mut u8) -> usize {
    let mut place = Place { at: to, written: 0 };
    // SAFETY: promised by the caller.
    let written = unsafe {
        match address {
            Address::Ipv4 => write!(place, "{}", Ipv4Addr::from(from.cast::<[u8; 4]>().read())),
            Address::Ipv6 => write!(place, "{}", Ipv6Addr::from(from.cast::<[u8; 16]>().read())),
            Address::Mac => {
                let [a, b, c, d, e, f] = from.cast::<[u8; 6]>().read();
                write!(place, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
            }
        }
    };
    written.expect("a Place takes everything");
    place.written
}
