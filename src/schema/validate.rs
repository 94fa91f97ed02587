//! Values against schemas. Nothing that a schema refers to is fetched or opened, and what a check may
//! cost is bounded.
//!
//! The schema is a peer's, so it must not be able to take this process down. The crate
//! `jsonschema` (0.60, without default features) has no such limit: 24 definitions of two references
//! each to the next take 0.14 s to check, and twice that with each one more; where they are `anyOf`
//! and nothing fits, the description of the failure takes all memory. It refuses look-around in
//! patterns with the one of its two regex engines that has linear time, and it weighs 5 MB. Hence a
//! table of rules of our own, with a budget of steps; it passes all of the official test suite of
//! draft-07 and 2020-12 that refers to nothing outside of its schemas, custom vocabularies aside.

mod compile;
mod decimal;
mod evaluate;
mod keywords;
mod pattern;
mod report;

use serde_json::Value;

pub use evaluate::Stop as Fault;
pub use report::Mismatch;

use compile::Table;

/// How large the text of a schema may be.
const MAXIMUM_SCHEMA_BYTES: usize = 4 << 20;

/// A schema, ready to check values.
#[derive(Debug)]
pub struct Schema {
    table: Table,
}

impl Schema {
    /// Compiles the text of a schema: draft-07 where its `$schema` says so, else 2020-12.
    ///
    /// # Errors
    /// A sentence part that says what about the schema cannot be used.
    pub fn compile(schema: &str) -> Result<Self, String> {
        if schema.len() > MAXIMUM_SCHEMA_BYTES {
            return Err(format!("it is larger than {MAXIMUM_SCHEMA_BYTES} bytes"));
        }
        let schema: Value = serde_json::from_str(schema)
            .map_err(|failure| format!("it cannot be read: {failure}"))?;
        compile::compile(&schema).map(|table| Self { table })
    }

    /// Whether a check costs little: the schema is small, searches for no patterns and does not lead
    /// back into itself.
    pub fn is_light(&self) -> bool {
        self.table.is_light
    }

    /// Checks a value that is `bytes` bytes of JSON.
    ///
    /// # Errors
    /// Where the value and the schema part ways, or why the schema cannot be followed.
    pub fn check(&self, value: &Value, bytes: usize) -> Result<(), Fault> {
        evaluate::check(&self.table, value, bytes)
    }
}
