//! ELF objects: programs, maps and types that a compiler wrote. What knows the format is aya-obj.

mod check;
mod elf;
mod load;

use std::collections::{HashMap, HashSet};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aya_obj::btf::BtfFeatures;
use aya_obj::generated::bpf_insn;

use crate::btf::Btf;
use crate::btf::layout::Member;
use crate::error::{Error, Result};
use elf::Elf;
pub(crate) use load::Load;

// What kernels before 6.0 may not know of BTF; whatever is older, every kernel with ring buffers has.
const fn features(newest: bool) -> BtfFeatures {
    BtfFeatures::new(true, true, true, newest, newest, newest, newest, newest)
}

pub(crate) struct Object {
    elf: Elf,
    parsed: aya_obj::Object,
    // The object's own types, with the places that the compiler left open.
    types: Option<Btf>,
}

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) section: String,
    pub(crate) code: Linked,
}

// A program and the functions that it calls, one after the other.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) instructions: Vec<u8>,
    // Where a line of source begins: the slot, the file and the line's number.
    pub(crate) lines: Vec<(u32, String, u32)>,
}

pub(crate) struct Map {
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    // Where the types of the object tell.
    pub(crate) key: Option<Member>,
    pub(crate) value: Option<Member>,
    // What global variables are from the start; empty in all other maps.
    pub(crate) content: Vec<u8>,
}

impl Object {
    pub(crate) fn parse(data: &[u8]) -> Result<Self> {
        let (elf, data) = Elf::read(data)?;
        let mut parsed = guarded(&elf, "the object cannot be read", || aya_obj::Object::parse(&data))?;
        // aya-obj takes silence for GPL.
        if !elf.names.iter().any(|name| name == "license") {
            parsed.license = c"".into();
        }
        let mut fixed = parsed.clone();
        // Types that cannot be put right are no obstacle to a look; the kernel says more, if it is asked.
        let types = guarded(&elf, "", || {
            fixed
                .fixup_and_sanitize_btf(&features(true))
                .map(|types| types.and_then(|types| Btf::parse(types.to_bytes())))
        });
        Ok(Self { parsed, types: types.ok().flatten(), elf })
    }

    pub(crate) fn license(&self) -> String {
        self.parsed.license.to_string_lossy().into_owned()
    }

    // In the order of the file; map references have the number of the map in `maps()` where a descriptor belongs.
    pub(crate) fn programs(&self) -> Result<Vec<Program>> {
        let names = self.map_names();
        let numbered = names.iter().zip(0..).map(|(name, number)| ((*name).clone(), number));
        let mut linked = self.parsed.clone();
        link(&self.elf, &mut linked, &numbered.collect())?;
        let mut programs: Vec<_> = linked.programs.iter().collect();
        programs.sort_by_key(|(_, program)| program.function_key());
        programs
            .into_iter()
            .map(|(name, program)| {
                let section = self.elf.names.get(program.section_index).cloned().unwrap_or_default();
                Ok(Program { name: name.clone(), section, code: self.code(&linked, name)? })
            })
            .collect()
    }

    // In the order of their names.
    pub(crate) fn maps(&self) -> Vec<Map> {
        let names = self.map_names().into_iter();
        names
            .map(|name| {
                let map = &self.parsed.maps[name];
                let types = self.types.as_ref();
                let of = |id: u32| types.and_then(|types| types.content(id));
                let (key, value) = match map {
                    aya_obj::Map::Btf(map) => (of(map.def.btf_key_type_id), of(map.def.btf_value_type_id)),
                    aya_obj::Map::Legacy(_) => (None, types.and_then(|types| types.section(name))),
                };
                Map {
                    name: name.clone(),
                    kind: map.map_type(),
                    key_size: map.key_size(),
                    value_size: map.value_size(),
                    max_entries: map.max_entries(),
                    flags: map.map_flags(),
                    key,
                    value,
                    content: map.data().to_vec(),
                }
            })
            .collect()
    }

    // A section without a byte makes no map.
    fn map_names(&self) -> Vec<&String> {
        let maps = self.parsed.maps.iter();
        let mut names: Vec<_> = maps.filter(|(_, map)| is_map(map)).map(|(name, _)| name).collect();
        names.sort();
        names
    }

    fn code(&self, linked: &aya_obj::Object, program: &str) -> Result<Linked> {
        let function = function(linked, program)?;
        let lines = function.line_info.line_info.iter().filter_map(|line| {
            let file = self.types.as_ref()?.string(line.file_name_off)?;
            Some((line.insn_off, file, line.line_col >> 10))
        });
        Ok(Linked { instructions: instructions(function), lines: lines.collect() })
    }
}

fn is_map(map: &aya_obj::Map) -> bool {
    map.value_size() > 0 || matches!(map, aya_obj::Map::Btf(_)) || map.symbol_index().is_some()
}

fn function<'a>(object: &'a aya_obj::Object, program: &str) -> Result<&'a aya_obj::Function> {
    let found = object.programs.get(program).and_then(|found| object.functions.get(&found.function_key()));
    found.ok_or_else(|| Error::Object(format!("the object has no program {program:?}")))
}

fn instructions(function: &aya_obj::Function) -> Vec<u8> {
    function.instructions.iter().copied().flat_map(slot).collect()
}

fn slot(insn: bpf_insn) -> [u8; 8] {
    let mut bytes = [insn.code, insn.dst_reg() | insn.src_reg() << 4, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&insn.off.to_ne_bytes());
    bytes[4..].copy_from_slice(&insn.imm.to_ne_bytes());
    bytes
}

// Puts descriptors where maps are named, and functions behind the programs that call them.
fn link(elf: &Elf, object: &mut aya_obj::Object, maps: &HashMap<String, RawFd>) -> Result<()> {
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let known = std::mem::take(&mut object.maps);
    let placed = known.iter().filter_map(|(name, map)| Some((name.as_str(), *maps.get(name)?, map)));
    let done = guarded(elf, "the programs' maps cannot be put in place", || object.relocate_maps(placed, &sections));
    object.maps = known;
    done?;
    guarded(elf, "the functions of the object cannot be put together", || object.relocate_calls(&sections))
}

// What aya-obj's words mean for whoever wrote the C, and what to do.
const REMEDIES: [(&str, &str); 3] = [
    (
        ".kconfig",
        "; fastbpf gives it no settings of the kernel: make it a `const volatile` variable, and give it a value",
    ),
    (".ksyms", "; fastbpf does not find the kernel's own functions and variables for it: do without them"),
    (
        "unexpected BTF type",
        "; it may be that a map in .maps is filled in C, as a prog_array is by `values`: fastbpf does not do that, leave \
         `values` out",
    ),
];

// aya-obj takes what it reads on trust, and panics where that was too much.
fn guarded<T, E: std::error::Error>(
    elf: &Elf,
    what: &str,
    run: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    let told = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => elf.said(&reasons(&error)),
        Err(_) => "the file is damaged".into(),
    };
    let why = REMEDIES.iter().find(|(words, _)| told.contains(words)).map_or("", |(_, why)| why);
    Err(Error::Object(format!("{what}: {told}{why}")))
}

fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
