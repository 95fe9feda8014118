//! Questions to the kernel.

use pyo3::prelude::*;

use crate::btf::Btf;
use crate::error::{Error, Result};
use crate::sys::clock::Offsets;
use crate::sys::{cpu, process};

// None where the kernel has no such enum, or no BTF at all.
#[pyfunction]
pub(super) fn btf_enumerators(py: Python<'_>, name: &str) -> Option<Vec<(String, u32)>> {
    py.detach(|| Btf::of_kernel()?.enumerators(name))
}

// None where the kernel has no BTF.
#[pyfunction]
pub(super) fn btf_has_member(py: Python<'_>, name: &str, path: Vec<String>) -> Option<bool> {
    py.detach(|| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        Btf::of_kernel().map(|btf| btf.has_member(name, &path))
    })
}

// None where the kernel has no such type, or no BTF at all.
#[pyfunction]
pub(super) fn btf_id(py: Python<'_>, name: &str, kind: u32) -> Option<u32> {
    py.detach(|| Btf::of_kernel()?.id(name, kind))
}

// None when the type of that number is neither struct nor union.
#[pyfunction]
pub(super) fn btf_members(py: Python<'_>, id: u32) -> Option<Vec<(String, u32, u32, u32)>> {
    py.detach(|| {
        let members = Btf::of_kernel()?.members(id)?;
        Some(members.into_iter().map(|member| (member.name, member.at, member.bits, member.id)).collect())
    })
}

#[pyfunction]
#[pyo3(signature = (kind, tag=None))]
pub(super) fn btf_names(py: Python<'_>, kind: u32, tag: Option<&str>) -> Vec<String> {
    py.detach(|| Btf::of_kernel().map(|btf| btf.names(kind, tag)).unwrap_or_default())
}

#[pyfunction]
pub(super) fn clock_offsets() -> (i64, i64, i64) {
    let Offsets { monotonic, boottime, tai } = Offsets::now();
    (monotonic, boottime, tai)
}

#[pyfunction]
pub(super) fn online_cpus() -> Result<Vec<u32>> {
    cpu::online().map_err(Error::kernel("cannot tell which CPUs are online"))
}

#[pyfunction]
pub(super) fn wait_for_running_programs(py: Python<'_>) {
    py.detach(process::wait_for_running_programs);
}
