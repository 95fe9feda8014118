use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::btf::member;
use super::map::Map;
use super::program::Program;
use crate::error::{Error, Result};
use crate::object;
use crate::sys::bpf::MapDefinition;
use crate::sys::bpf::program::Target;

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Object {
    inner: Arc<object::Object>,
}

// Slots, and where lines of source begin among them.
type Code<'py> = (Bound<'py, PyBytes>, Vec<(u32, String, u32)>);
type Listed<'py> = (String, String, Code<'py>);
type Type<'py> = Option<Bound<'py, PyAny>>;
type ListedMap<'py> = (String, [u32; 5], Type<'py>, Type<'py>, Bound<'py, PyBytes>);

#[pymethods]
impl Object {
    #[new]
    fn new(py: Python<'_>, data: &[u8]) -> Result<Self> {
        let inner = Arc::new(py.detach(|| object::Object::parse(data))?);
        Ok(Self { inner })
    }

    #[getter]
    fn license(&self) -> String {
        self.inner.license()
    }

    fn programs<'py>(&self, py: Python<'py>) -> Result<Vec<Listed<'py>>> {
        let programs = py.detach(|| self.inner.programs())?;
        Ok(programs.into_iter().map(|one| (one.name, one.section, code(py, one.code))).collect())
    }

    fn maps<'py>(&self, py: Python<'py>) -> PyResult<Vec<ListedMap<'py>>> {
        let maps = self.inner.maps().into_iter();
        maps.map(|map| {
            let numbers = [map.kind, map.key_size, map.value_size, map.max_entries, map.flags];
            let [key, value] = [map.key, map.value].map(|found| found.map(|found| member(py, found)).transpose());
            Ok((map.name, numbers, key?, value?, PyBytes::new(py, &map.content)))
        })
        .collect()
    }
}

#[pyclass(frozen, module = "fastbpf._native")]
pub(super) struct Load {
    object: Arc<object::Object>,
    load: Mutex<object::Load>,
}

#[pymethods]
impl Load {
    #[new]
    fn new(py: Python<'_>, object: &Object) -> Result<Self> {
        let object = Arc::clone(&object.inner);
        let load = Mutex::new(py.detach(|| object::Load::new(&object))?);
        Ok(Self { object, load })
    }

    #[expect(clippy::too_many_arguments, reason = "what the kernel asks")]
    fn create_map(
        &self,
        object_name: &str,
        kind: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
        name: &str,
        possible_cpus: usize,
    ) -> Result<Map> {
        let definition =
            MapDefinition { kind, key_size, value_size, max_entries, flags, name, ..MapDefinition::default() };
        self.with(|load| load.create_map(object_name, &definition, possible_cpus)).map(Map::from)
    }

    fn link(&self, maps: HashMap<String, RawFd>) -> Result<()> {
        self.with(|load| load.link(&self.object, &maps))
    }

    fn code<'py>(&self, py: Python<'py>, program: &str) -> Result<Code<'py>> {
        Ok(code(py, self.with(|load| load.code(&self.object, program))?))
    }

    #[expect(clippy::too_many_arguments, reason = "what the kernel asks")]
    fn program(
        &self,
        py: Python<'_>,
        program: &str,
        kind: u32,
        flags: u32,
        attach_type: u32,
        btf_id: u32,
        statistics: bool,
    ) -> Result<Program> {
        let target = Target { attach_type, btf_id };
        py.detach(|| self.with(|load| load.program(program, kind, flags, target, statistics))).map(Program::from)
    }
}

impl Load {
    fn with<T>(&self, run: impl FnOnce(&mut object::Load) -> Result<T>) -> Result<T> {
        let load = self.load.lock();
        run(&mut *load.map_err(|_| Error::Object("loading this object has failed before; open it again".into()))?)
    }
}

fn code(py: Python<'_>, code: object::Linked) -> Code<'_> {
    (PyBytes::new(py, &code.instructions), code.lines)
}
