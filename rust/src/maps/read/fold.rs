//! The values of all CPUs made one: sum, largest, smallest or mean of each field.

use crate::error::{Error, Result};
use crate::record::kind::{Kind, Number, Scalar};
use crate::record::plan::parsed;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Sum,
    Max,
    Min,
    Mean,
}

type Field = (String, isize, String);

pub(super) struct Fold {
    way: Way,
    numbers: Vec<Folded>,
    // Bytes of the record that comes out.
    pub(super) size: usize,
}

// One number of a record, or several that follow each other.
struct Folded {
    number: Number,
    count: usize,
    from: usize,
    to: usize,
    // Whether a mean is a whole number.
    whole: bool,
}

impl Fold {
    // Also the fields of the record that comes out.
    pub(super) fn new(fields: &[Field], size: usize, way: Way) -> Result<(Self, Vec<Field>)> {
        let mut fold = Self { way, numbers: Vec::new(), size: 0 };
        let mut out = Vec::new();
        for (field, (name, offset, text)) in parsed(fields.to_vec(), size)?.iter().zip(fields) {
            let (number, count, whole) = match field.kind {
                Kind::Number(number) => (number, 1, false),
                Kind::Numbers(number, count) => (number, count, false),
                Kind::Duration => (Number::I64, 1, true),
                Kind::Time(_) if matches!(way, Way::Max | Way::Min) => {
                    (Number { scalar: Scalar::U64, big: false }, 1, true)
                }
                _ => {
                    return Err(Error::Layout(format!(
                        "field {name:?} ({text}) of several CPUs does not become one value this way; numbers and \
                         durations do, times by max and min; without reduce= there is a row for each CPU"
                    )));
                }
            };
            let wide = match (way, number.scalar) {
                (Way::Max | Way::Min, _) => text.clone(),
                _ if whole => text.clone(),
                (Way::Mean, _) | (_, Scalar::F32 | Scalar::F64) => counted("f64", &field.kind),
                (_, Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64) => counted("i64", &field.kind),
                _ => counted("u64", &field.kind),
            };
            out.push((name.clone(), fold.size.cast_signed(), wide));
            fold.numbers.push(Folded { number, count, from: offset.unsigned_abs(), to: fold.size, whole });
            fold.size += 8 * count;
        }
        Ok((fold, out))
    }

    // One element's value: `cpus` records, `stride` bytes from each to the next.
    pub(super) fn fold(&self, cpus: &[u8], stride: usize, to: &mut [u8]) {
        for Folded { number, count, from, to: at, whole } in &self.numbers {
            let width = number.width();
            let wide = if matches!(self.way, Way::Max | Way::Min) { width } else { 8 };
            for i in 0..*count {
                let values = cpus.chunks_exact(stride).map(|record| &record[from + i * width..][..width]);
                let to = &mut to[at + i * wide..][..wide];
                match self.way {
                    Way::Max | Way::Min => to.copy_from_slice(self.furthest(*number, values)),
                    _ if !number.is_integer() => {
                        let count = values.len();
                        let sum: f64 = values.map(|value| float(*number, value)).sum();
                        to.copy_from_slice(&if self.way == Way::Sum { sum } else { mean(sum, count) }.to_ne_bytes());
                    }
                    // Most counters are: sums of 64 bits need no wider ones.
                    Way::Sum if width == 8 && !number.big => {
                        let words = values.map(|value| u64::from_ne_bytes(value.try_into().expect("8 bytes")));
                        to.copy_from_slice(&words.fold(0, u64::wrapping_add).to_ne_bytes());
                    }
                    _ => {
                        let count = values.len();
                        let sum: i128 = values.map(|value| integer(*number, value)).sum();
                        to.copy_from_slice(&match self.way {
                            Way::Mean if *whole => modulo(sum / count as i128).to_ne_bytes(),
                            #[expect(clippy::cast_precision_loss, reason = "a mean is a float")]
                            Way::Mean => mean(sum as f64, count).to_ne_bytes(),
                            _ => modulo(sum).to_ne_bytes(),
                        });
                    }
                }
            }
        }
    }

    // The largest or smallest value, as it stands there; the first of equal ones.
    fn furthest<'a>(&self, number: Number, values: impl Iterator<Item = &'a [u8]>) -> &'a [u8] {
        let mut values = values;
        let mut best = values.next().unwrap_or_default();
        for value in values {
            let order = if number.is_integer() {
                integer(number, value).cmp(&integer(number, best))
            } else {
                float(number, value).total_cmp(&float(number, best))
            };
            if order.is_gt() == (self.way == Way::Max) && order.is_ne() {
                best = value;
            }
        }
        best
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer CPUs")]
fn mean(sum: f64, count: usize) -> f64 {
    sum / count as f64
}

// Modulo 2^64, as counters are.
fn modulo(sum: i128) -> u64 {
    sum.cast_unsigned() as u64
}

fn counted(scalar: &str, kind: &Kind) -> String {
    if let Kind::Numbers(_, count) = kind { format!("{scalar}[{count}]") } else { scalar.into() }
}

// The bytes in this machine's order, with zeros or the sign in front.
fn integer(number: Number, bytes: &[u8]) -> i128 {
    let mut all = [0; 8];
    let width = number.width();
    let read = native(number, bytes, &mut all);
    let unsigned = u64::from_le_bytes(read);
    match number.scalar {
        Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 => {
            let unused = 64 - 8 * width;
            i128::from((unsigned << unused).cast_signed() >> unused)
        }
        _ => i128::from(unsigned),
    }
}

fn float(number: Number, bytes: &[u8]) -> f64 {
    let bits = u64::from_le_bytes(native(number, bytes, &mut [0; 8]));
    if number.width() == 4 { f64::from(f32::from_bits(bits as u32)) } else { f64::from_bits(bits) }
}

// Least significant byte first.
fn native(number: Number, bytes: &[u8], all: &mut [u8; 8]) -> [u8; 8] {
    all[..bytes.len()].copy_from_slice(bytes);
    if number.big || cfg!(target_endian = "big") {
        all[..bytes.len()].reverse();
    }
    *all
}
