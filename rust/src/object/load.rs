//! An object on its way into the kernel: its types, then its maps, then its programs.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use aya_obj::btf::{Btf, BtfKind};

use super::{Linked, Object, features, function, guarded, instructions, link};
use crate::error::{Error, Result};
use crate::maps::Map;
use crate::sys::bpf::program::{self as kernel, Definition, Refused, Target};
use crate::sys::bpf::{self, MapDefinition, MapTypes};

pub(crate) struct Load {
    object: aya_obj::Object,
    // None when the object has no types, or when the kernel does not take them: it can do without.
    types: Option<OwnedFd>,
}

impl Load {
    // Fields of the kernel's structs get the places that they have in this kernel.
    pub(crate) fn new(object: &Object) -> Result<Self> {
        let mut newest = object.parsed.clone();
        let types = match types(object, &mut newest, true)? {
            Some(Ok(fd)) => Some(fd),
            Some(Err(_)) => {
                newest = object.parsed.clone();
                types(object, &mut newest, false)?.and_then(Result::ok)
            }
            None => None,
        };
        let mut load = Self { object: newest, types };
        if load.object.has_btf_relocations() {
            let target = Btf::from_sys_fs().map_err(|_| {
                Error::Object(
                    "the object reads fields of the kernel's structs (CO-RE), and this kernel does not say where they \
                     are: it has no /sys/kernel/btf/vmlinux; use one with CONFIG_DEBUG_INFO_BTF"
                        .into(),
                )
            })?;
            let what = "the object reads what this kernel does not have (CO-RE)";
            guarded(&object.elf, what, || load.object.relocate_btf(&target))?;
        }
        Ok(load)
    }

    // The map of that name, as `definition` says; its types and the maps in it are the object's to know.
    pub(crate) fn create_map(&self, name: &str, definition: &MapDefinition<'_>, possible_cpus: usize) -> Result<Map> {
        let map = self.object.maps.get(name);
        let inner = map.and_then(aya_obj::Map::inner).map(|inner| {
            let definition = MapDefinition {
                kind: inner.map_type(),
                key_size: inner.key_size(),
                value_size: inner.value_size(),
                max_entries: inner.max_entries(),
                flags: inner.map_flags(),
                name: definition.name,
                ..MapDefinition::default()
            };
            Map::create(&definition, possible_cpus)
        });
        let inner = inner.transpose()?;
        let plain = MapDefinition { types: None, inner: inner.as_ref().map(AsFd::as_fd), ..*definition };
        let types = match (map, &self.types) {
            (Some(aya_obj::Map::Btf(map)), Some(fd)) if map.def.btf_value_type_id != 0 => {
                Some(MapTypes { btf: fd.as_fd(), key: map.def.btf_key_type_id, value: map.def.btf_value_type_id })
            }
            // Global variables: the section is the type of the only value, and there is none of the key.
            (Some(aya_obj::Map::Legacy(_)), Some(fd)) => {
                let types = self.object.btf.as_ref();
                let section = types.and_then(|types| types.id_by_type_name_kind(name, BtfKind::DataSec).ok());
                section.map(|value| MapTypes { btf: fd.as_fd(), key: 0, value })
            }
            _ => None,
        };
        // Some types of maps take no types of elements (map_check_btf, kernel/bpf/syscall.c).
        types
            .and_then(|types| Map::create(&MapDefinition { types: Some(types), ..plain }, possible_cpus).ok())
            .map_or_else(|| Map::create(&plain, possible_cpus), Ok)
    }

    pub(crate) fn link(&mut self, object: &Object, maps: &HashMap<String, RawFd>) -> Result<()> {
        link(&object.elf, &mut self.object, maps)
    }

    pub(crate) fn code(&self, object: &Object, program: &str) -> Result<Linked> {
        object.code(&self.object, program)
    }

    // The program, and the verifier's statistics when they are asked for.
    pub(crate) fn program(
        &self,
        program: &str,
        kind: u32,
        flags: u32,
        target: Target,
        statistics: bool,
    ) -> Result<(OwnedFd, Vec<u8>)> {
        let function = function(&self.object, program)?;
        let words = function.func_info.func_info.iter();
        let functions: Vec<_> = words.map(|one| [one.insn_off, one.type_id]).collect();
        let words = function.line_info.line_info.iter();
        let lines: Vec<_> = words.map(|one| [one.insn_off, one.file_name_off, one.line_off, one.line_col]).collect();
        let types = self.types.as_ref().filter(|_| !functions.is_empty());
        let definition = Definition {
            kind,
            flags,
            instructions: &instructions(function),
            license: &self.object.license,
            name: program,
            fds: &[],
            functions: types.map(|fd| (fd.as_fd(), &functions[..])),
            lines: &lines,
            target,
        };
        kernel::load(&definition, statistics).map_err(|Refused { error, log }| Error::Refused {
            source: error,
            log: String::from_utf8_lossy(&log).into_owned(),
        })
    }
}

// The kernel's answer to the object's types, with what it may not know told in older words; None when there are none.
fn types(object: &Object, parsed: &mut aya_obj::Object, newest: bool) -> Result<Option<Result<OwnedFd>>> {
    let what = "the object's types cannot be given to the kernel";
    let bytes = guarded(&object.elf, what, || {
        parsed.fixup_and_sanitize_btf(&features(newest)).map(|types| types.map(Btf::to_bytes))
    })?;
    Ok(bytes.map(|bytes| bpf::btf_load(&bytes).map_err(Error::kernel("cannot load the object's types"))))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;
    use std::os::fd::IntoRawFd;
    use std::process::Command;
    use std::rc::Rc;

    use aya_obj::generated::bpf_cmd;

    use super::*;
    use crate::sys::{Call, fake};

    fn object(folder: &std::path::Path) -> Object {
        let (c, o) = (folder.join("x.c"), folder.join("x.o"));
        let text = "float half; __attribute__((section(\"xdp\"))) int use(void *ctx) { half = 0.5f; return 1; }";
        std::fs::write(&c, text).unwrap();
        let clang = Command::new("clang").args(["-target", "bpf", "-g", "-O2", "-c", "-o"]).arg(&o).arg(&c).status();
        assert!(clang.expect("tools/setup.sh test installs clang").success());
        Object::parse(&std::fs::read(o).unwrap()).unwrap()
    }

    // Of a kernel that refuses types so many times: how often it was asked, whether it has them, and the floats in them.
    fn loaded(object: &Object, refusals: usize) -> (usize, bool, Vec<String>) {
        let asked = Rc::new(Cell::new(0));
        let seen = Rc::clone(&asked);
        let answer = move |call: &Call<'_>| {
            assert!(matches!(call, Call::Bpf(bpf_cmd::BPF_BTF_LOAD, _)));
            seen.set(seen.get() + 1);
            if seen.get() <= refusals {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            Ok(i64::from(std::fs::File::open("/dev/null").unwrap().into_raw_fd()))
        };
        let load = fake::with(answer, || Load::new(object)).unwrap();
        let told = crate::btf::Btf::parse(load.object.btf.unwrap().to_bytes()).unwrap();
        (asked.get(), load.types.is_some(), told.names(16, None)) // BTF_KIND_FLOAT
    }

    #[test]
    fn types_that_a_kernel_refuses_are_told_in_older_words_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("fastbpf-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let object = object(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(loaded(&object, 0), (1, true, vec!["float".to_owned()]));
        assert_eq!(loaded(&object, 1), (2, true, vec![]));
        assert_eq!(loaded(&object, 2), (2, false, vec![]));
    }
}
