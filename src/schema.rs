//! JSON Schema: values checked against it, and schemas said in the words of those who know a part of
//! it. Pure; uses `json` and `error`.
//!
//! What reads a schema alone is written over [`Tree`]: JSON values of Rust and the dicts of Python are
//! both trees, so neither has to become the other first.

pub mod lower;
mod plain;
mod references;
pub mod target;
mod tree;
pub mod validate;

pub use lower::{Change, Lowered, lower};
pub use plain::is_plain;
pub use target::Target;
pub use tree::{Kind, Tree};
pub use validate::{Fault, Mismatch, Schema};
