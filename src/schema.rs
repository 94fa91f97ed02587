//! JSON Schema. Pure; uses `json` and `error`.

pub mod validate;

pub use validate::{Fault, Mismatch, Schema};
