//! What a field can be, and the numbers that records hold.

use std::sync::Arc;

use crate::sys::clock::Offsets;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

// A number as it stands in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) scalar: Scalar,
    pub(crate) big: bool,
}

// Some bits of an integer: a bitfield, or all of it. Bit 0 is the least significant of the integer as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    pub(crate) number: Number,
    pub(crate) first: u32,
    pub(crate) width: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Monotonic,
    Boottime,
    Tai,
}

impl Clock {
    // What to add to a reading to get UTC.
    pub(crate) fn offset(self, offsets: &Offsets) -> i64 {
        match self {
            Self::Monotonic => offsets.monotonic,
            Self::Boottime => offsets.boottime,
            Self::Tai => offsets.tai,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Ipv4,
    Ipv6,
    Mac,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number(Number),
    Bool,
    Time(Clock),
    Duration,
    // As text, or as it stands in the record.
    Address(Address),
    RawAddress(Address),
    Port,
    // NUL-terminated text in N bytes.
    Chars(usize),
    Bytes(usize),
    Numbers(Number, usize),
    // Addresses of instructions, up to the first zero (bpf_get_stack).
    Stack(usize),
    Enum(Number, Names),
    Bits(Bits),
    // One bit of a byte.
    Flag(u32),
    // What follows stands in the record's tail: a u32 holds its place, length << 16 | offset, as the kernel's __data_loc
    // does; offset 0 means that it could not be read.
    Text { most: usize },
    TailBytes,
    TailNumbers(Number),
    // The whole record as it stands in the ring, header and padding included.
    Record,
    Struct(Struct),
    List(Struct, usize),
    Union(Union),
}

// The numbers that have names.
pub(crate) type Names = Arc<[(String, i128)]>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) offset: isize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Struct {
    pub(crate) size: usize,
    pub(crate) fields: Vec<Field>,
}

// Several types for the same bytes; an integer beside the union says which one holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Union {
    pub(crate) size: usize,
    pub(crate) tag: String,
    pub(crate) members: Vec<(i128, Field)>,
}

impl Scalar {
    pub(crate) fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    fn is_signed(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::I64)
    }
}

impl Number {
    pub(crate) const U16_BE: Self = Self { scalar: Scalar::U16, big: true };
    pub(crate) const I64: Self = Self { scalar: Scalar::I64, big: false };

    pub(crate) fn width(self) -> usize {
        self.scalar.width()
    }

    pub(crate) fn is_integer(self) -> bool {
        !matches!(self.scalar, Scalar::F32 | Scalar::F64)
    }
}

impl Bits {
    pub(crate) fn all(number: Number) -> Self {
        Self { number, first: 0, width: 8 * number.width() as u32 }
    }

    // The bits of a number that was read; negative ones as two's complement in 64 bits.
    #[inline(always)]
    pub(crate) fn extract(self, number: u64) -> u64 {
        let top = number << (64 - self.first - self.width);
        let down = 64 - self.width;
        if self.number.scalar.is_signed() { (top.cast_signed() >> down).cast_unsigned() } else { top >> down }
    }

    // SAFETY (of the caller): `at` is readable for the number.
    #[inline(always)]
    pub(crate) unsafe fn read(self, at: *const u8) -> u64 {
        let big = self.number.big;
        // SAFETY: promised by the caller; records need not be aligned.
        let number = unsafe {
            match self.number.width() {
                1 => u64::from(at.read()),
                2 => u64::from(native16(big, at.cast::<u16>().read_unaligned())),
                4 => u64::from(native32(big, at.cast::<u32>().read_unaligned())),
                _ => native64(big, at.cast::<u64>().read_unaligned()),
            }
        };
        self.extract(number)
    }

    pub(crate) fn decimal(self, number: u64) -> String {
        if self.number.scalar.is_signed() { number.cast_signed().to_string() } else { number.to_string() }
    }

    // What read() gives for a number that these bits can hold.
    pub(crate) fn holding(self, number: i128) -> Option<u64> {
        let width = self.width;
        let least = if self.number.scalar.is_signed() { -(1_i128 << (width - 1)) } else { 0 };
        (least..least + (1 << width)).contains(&number).then_some(number.cast_unsigned() as u64)
    }
}

// Numbers of the record's byte order in the processor's.
#[inline(always)]
pub(crate) fn native16(big: bool, number: u16) -> u16 {
    if big { u16::from_be(number) } else { number }
}

#[inline(always)]
pub(crate) fn native32(big: bool, number: u32) -> u32 {
    if big { u32::from_be(number) } else { number }
}

#[inline(always)]
pub(crate) fn native64(big: bool, number: u64) -> u64 {
    if big { u64::from_be(number) } else { number }
}

impl Address {
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
            Self::Mac => 6,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Mac => "mac",
        }
    }
}

impl Kind {
    // Bytes in the fixed part of the record.
    pub(crate) fn size(&self) -> usize {
        match *self {
            Self::Number(number) | Self::Enum(number, _) => number.width(),
            Self::Bits(bits) => bits.number.width(),
            Self::Bool | Self::Flag(_) => 1,
            Self::Time(_) | Self::Duration => 8,
            Self::Address(address) | Self::RawAddress(address) => address.size(),
            Self::Port => 2,
            Self::Chars(count) | Self::Bytes(count) => count,
            Self::Numbers(number, count) => number.width() * count,
            Self::Stack(count) => 8 * count,
            Self::Text { .. } | Self::TailBytes | Self::TailNumbers(_) => 4,
            Self::Record => 0,
            Self::Struct(Struct { size, .. }) | Self::Union(Union { size, .. }) => size,
            Self::List(Struct { size, .. }, count) => size * count,
        }
    }

    // Whether the value stands in the record's tail, or may be null because it could not be read.
    pub(crate) fn is_tail(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::TailBytes | Self::TailNumbers(_))
    }

    // The integer that the field is, if it can say which member of a union holds.
    pub(crate) fn as_tag(&self) -> Option<Bits> {
        match *self {
            Self::Number(number) if number.is_integer() => Some(Bits::all(number)),
            Self::Enum(number, _) => Some(Bits::all(number)),
            Self::Bits(bits) => Some(bits),
            _ => None,
        }
    }
}
