//! JSON Schema: values checked against it, and schemas said in the words of those who know a part of
//! it. Pure; uses `json` and `error`.

pub mod lower;
mod references;
pub mod target;
pub mod validate;

pub use lower::{Change, Lowered, lower};
pub use target::Target;
pub use validate::{Fault, Mismatch, Schema};
