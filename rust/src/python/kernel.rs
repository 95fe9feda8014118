//! Questions to the kernel.

use pyo3::prelude::*;

use crate::btf::Btf;
use crate::sys::clock::Offsets;
use crate::sys::process;

// None where the kernel has no BTF.
#[pyfunction]
pub(super) fn btf_has_member(py: Python<'_>, name: &str, path: Vec<String>) -> Option<bool> {
    py.detach(|| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        Btf::of_kernel().map(|btf| btf.has_member(name, &path))
    })
}

#[pyfunction]
pub(super) fn clock_offsets() -> (i64, i64, i64) {
    let Offsets { monotonic, boottime, tai } = Offsets::now();
    (monotonic, boottime, tai)
}

#[pyfunction]
pub(super) fn wait_for_running_programs(py: Python<'_>) {
    py.detach(process::wait_for_running_programs);
}
