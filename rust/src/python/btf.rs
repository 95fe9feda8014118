//! Layouts of C types.

use pyo3::prelude::*;

use crate::btf::layout::{Kind, Layout, Member};
use crate::btf::{Btf, STRUCT};
use crate::error::Result;

// The running kernel's types, or those of an object.
fn with<T>(py: Python<'_>, object: Option<Vec<u8>>, ask: impl FnOnce(&Btf) -> Result<T> + Send) -> Result<Option<T>>
where
    T: Send,
{
    py.detach(|| match object {
        Some(data) => ask(&Btf::of_object(data)?).map(Some),
        None => Btf::of_kernel().map(ask).transpose(),
    })
}

// None where the kernel has no BTF.
#[pyfunction]
#[pyo3(signature = (name, object=None))]
pub(super) fn btf_layouts<'py>(
    py: Python<'py>,
    name: &str,
    object: Option<Vec<u8>>,
) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
    let Some(found) = with(py, object, |btf| btf.layouts(name))? else { return Ok(None) };
    found.into_iter().map(|layout| python(py, layout)).collect::<PyResult<_>>().map(Some)
}

#[pyfunction]
#[pyo3(signature = (object=None))]
pub(super) fn btf_structs(py: Python<'_>, object: Option<Vec<u8>>) -> PyResult<Vec<String>> {
    Ok(with(py, object, |btf| Ok(btf.names(STRUCT, None)))?.unwrap_or_default())
}

// (name, size, align, members)
fn python(py: Python<'_>, layout: Layout) -> PyResult<Bound<'_, PyAny>> {
    let members = layout.members.into_iter().map(|one| member(py, one)).collect::<PyResult<Vec<_>>>()?;
    Ok((layout.name, layout.size, layout.align, members).into_pyobject(py)?.into_any())
}

// (name, bit, width, count, type, names, layout)
pub(super) fn member(py: Python<'_>, member: Member) -> PyResult<Bound<'_, PyAny>> {
    let (text, names, inner) = match member.kind {
        Kind::Number(text) => (text, None, None),
        Kind::Enum { base, names } => (base, Some(names), None),
        Kind::Struct(inner) => ("struct".into(), None, Some(python(py, inner)?)),
        Kind::Opaque(size) => (format!("bytes[{size}]"), None, None),
    };
    Ok((member.name, member.bit, member.width, member.count, text, names, inner).into_pyobject(py)?.into_any())
}
