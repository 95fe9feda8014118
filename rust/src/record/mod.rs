//! From the bytes of records to Arrow columns.
//!
//! A [`plan::Plan`] says where each field stands in a record and which column it becomes; [`columns::Columns`] writes
//! blocks of records into column buffers and cuts record batches off them. Nothing here knows where the bytes come from.

mod address;
pub(crate) mod block;
pub(crate) mod columns;
mod dictionary;
pub(crate) mod kind;
#[cfg(test)]
mod model;
mod names;
mod nested;
mod parse;
mod path;
pub(crate) mod plan;
mod prefetch;
pub(crate) mod rows;
mod schema;
mod slab;
mod variable;
mod words;
mod writer;
