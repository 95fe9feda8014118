//! How elements become rows: one each, or one for each CPU.

use aya_obj::generated::bpf_map_info;

use super::chunk::{Chunk, SLACK};
use super::fold::Fold;
use super::table::Records;
use super::{Field, Request};
use crate::error::{Error, Result};
use crate::maps::PER_CPU;
use crate::record::plan::Plan;

pub(super) struct Layout {
    has_key: bool,
    has_value: bool,
    key_size: usize,
    // Bytes of a value, and from one to the next.
    size: usize,
    stride: usize,
    cpus: Cpus,
}

enum Cpus {
    // Nothing of the map is a CPU's own.
    None,
    // What belongs to a chunk's rows: keys, which several rows have, and the numbers of CPUs.
    Each { numbers: Vec<u32>, keys: Vec<u8>, cpus: Vec<u8> },
    // Values that were made one.
    Folded { fold: Fold, count: usize, values: Vec<u8> },
}

impl Layout {
    pub(super) fn new(info: &bpf_map_info, request: Request) -> Result<(Self, Vec<Plan>)> {
        let Request { key, mut value, cpus, reduce, .. } = request;
        let (key_size, mut size) = (info.key_size as usize, info.value_size as usize);
        let mut stride = size;
        let (has_key, has_value) = (!key.is_empty(), !value.is_empty());
        let mut plans = Vec::new();
        if has_key {
            plans.push(plan(key, key_size)?);
        }
        let mut per_cpu = Cpus::None;
        if PER_CPU.iter().any(|&kind| kind as u32 == info.type_) {
            stride = size.next_multiple_of(8);
            if let Some(way) = reduce {
                let (fold, folded) = Fold::new(&value, size, way)?;
                (value, size) = (folded, fold.size);
                per_cpu = Cpus::Folded { fold, count: cpus.len(), values: Vec::new() };
            } else {
                plans.push(plan(vec![("cpu".into(), 0, "u32".into())], 4)?);
                per_cpu = Cpus::Each { numbers: cpus, keys: Vec::new(), cpus: Vec::new() };
            }
        }
        if has_value {
            plans.push(plan(value, size)?);
        }
        Ok((Self { has_key, has_value, key_size, size, stride, cpus: per_cpu }, plans))
    }

    // Bytes that a look-up gives.
    pub(super) fn value_size(&self) -> usize {
        match &self.cpus {
            Cpus::None => self.stride,
            Cpus::Each { numbers, .. } => self.stride * numbers.len(),
            Cpus::Folded { count, .. } => self.stride * count,
        }
    }

    pub(super) fn has_key(&self) -> bool {
        self.has_key
    }

    // Rows of an element.
    pub(super) fn each(&self) -> usize {
        if let Cpus::Each { numbers, .. } = &self.cpus { numbers.len() } else { 1 }
    }

    // How many rows a new chunk has.
    pub(super) fn rows(&mut self, chunk: &Chunk) -> usize {
        match &mut self.cpus {
            Cpus::None => return chunk.len,
            Cpus::Each { numbers, keys, cpus } => {
                keys.clear();
                for at in 0..chunk.len {
                    for _ in &*numbers {
                        keys.extend_from_slice(chunk.key(at));
                    }
                }
                // The same for every chunk.
                while cpus.len() < chunk.room * numbers.len() * 4 + SLACK {
                    cpus.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
                }
                keys.extend([0; SLACK]);
            }
            Cpus::Folded { fold, values, .. } => {
                values.resize(chunk.room * fold.size + SLACK, 0);
                let all = chunk.values.chunks_exact(chunk.value_size);
                for (all, folded) in all.zip(values.chunks_exact_mut(fold.size)).take(chunk.len) {
                    fold.fold(all, self.stride, folded);
                }
            }
        }
        chunk.len * self.each()
    }

    // Those of the plans, in their order.
    pub(super) fn records<'a>(&'a self, chunk: &'a Chunk) -> Vec<Records<'a>> {
        let records = |bytes, length, stride| Records { bytes, length, stride };
        let key = |bytes| records(bytes, self.key_size, self.key_size);
        let (key, cpu, value) = match &self.cpus {
            Cpus::None => (key(&chunk.keys), None, records(&chunk.values, self.size, self.stride)),
            Cpus::Each { keys, cpus, .. } => {
                (key(keys), Some(records(cpus, 4, 4)), records(&chunk.values, self.size, self.stride))
            }
            Cpus::Folded { values, .. } => (key(&chunk.keys), None, records(values, self.size, self.size)),
        };
        self.has_key.then_some(key).into_iter().chain(cpu).chain(self.has_value.then_some(value)).collect()
    }
}

fn plan(fields: Vec<Field>, size: usize) -> Result<Plan> {
    let plan = Plan::new(fields, size)?.without_lead()?;
    if plan.has_tail() {
        return Err(Error::Layout(
            "fields of any length stand behind a record; keys and values of maps have none".into(),
        ));
    }
    Ok(plan)
}
