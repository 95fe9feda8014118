//! The module `fastbpf._native`: the only place that names pyo3. One class a file.

mod batch;
mod btf;
mod child;
mod decoder;
mod error;
mod kernel;
mod link;
mod map;
mod map_reader;
mod memory;
mod object;
mod program;
mod stream;
mod table;
mod user_ring;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<batch::RecordBatch>()?;
    module.add_class::<child::Child>()?;
    module.add_class::<decoder::Decoder>()?;
    module.add_class::<link::Link>()?;
    module.add_class::<map::Map>()?;
    module.add_class::<map_reader::MapReader>()?;
    module.add_class::<memory::Memory>()?;
    module.add_class::<object::Load>()?;
    module.add_class::<object::Object>()?;
    module.add_class::<program::Program>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<user_ring::UserRing>()?;
    module.add_function(wrap_pyfunction!(batch::record_schema, module)?)?;
    module.add_function(wrap_pyfunction!(btf::btf_layouts, module)?)?;
    module.add_function(wrap_pyfunction!(btf::btf_structs, module)?)?;
    module.add_function(wrap_pyfunction!(kernel::btf_enumerators, module)?)?;
    module.add_function(wrap_pyfunction!(kernel::btf_has_member, module)?)?;
    module.add_function(wrap_pyfunction!(kernel::btf_id, module)?)?;
    module.add_function(wrap_pyfunction!(kernel::btf_members, module)?)?;
    module.add_function(wrap_pyfunction!(kernel::btf_names, module)?)?;
    module.add_function(wrap_pyfunction!(map::map_ids, module)?)?;
    module.add_function(wrap_pyfunction!(program::program_instructions, module)?)?;
    module.add_function(wrap_pyfunction!(program::program_verdicts, module)?)?;
    module.add_function(wrap_pyfunction!(kernel::clock_offsets, module)?)?;
    module.add_function(wrap_pyfunction!(kernel::online_cpus, module)?)?;
    module.add_function(wrap_pyfunction!(kernel::wait_for_running_programs, module)?)?;
    Ok(())
}
