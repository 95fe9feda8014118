//! fastbpf's core: kernel events to Arrow columns.
//!
//! The way of an event: [`attach`] puts a program on a hook; it writes records into a [`ring`] or a [`perf`] buffer; a
//! [`stream`] reads them, [`record`] decodes them into columns, and [`python`] hands batches over.

mod attach;
mod btf;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod maps;
mod object;
#[expect(unsafe_code, reason = "memory shared with the kernel")]
mod perf;
mod python;
#[expect(unsafe_code, reason = "reads records where they lie")]
mod record;
#[expect(unsafe_code, reason = "memory shared with the kernel")]
mod ring;
mod stream;
#[expect(unsafe_code, reason = "syscalls and mappings")]
mod sys;
mod text;
