//! What a model sends as the arguments of a call, before the call: read, made what the server's own
//! schema is about, and checked against it. Owns [`InputSchema`]; uses `schema`.

use serde_json::{Map, Value};

use crate::schema::{Fault, Lowered, Schema, Target, lower};
use crate::tools::call;

/// The schema of a tool's arguments: in the words of a target, and ready to check what comes back.
#[derive(Debug)]
pub struct InputSchema {
    lowered: Lowered,
    /// Nothing where the schema cannot be used to check: the server judges then.
    original: Option<Schema>,
}

impl InputSchema {
    /// Prepares the `inputSchema` of a tool for a target.
    pub fn new(schema: &Value, target: Target) -> Self {
        Self {
            lowered: lower(schema, target),
            original: Schema::compile(&schema.to_string()).ok(),
        }
    }

    /// The schema in the words of the target.
    pub fn lowered(&self) -> &Lowered {
        &self.lowered
    }

    /// Reads the text that a model sent as arguments.
    ///
    /// # Errors
    /// What to tell the model, so that it can call again with arguments that fit: where they do not,
    /// what stands there, and what the tool accepts. A schema that is no JSON Schema, or that takes too
    /// long to check, refuses nothing.
    pub fn read(&self, tool: &str, text: &str) -> Result<Map<String, Value>, String> {
        let text = call::arguments(text).map_err(|problem| {
            format!(
                "The arguments for the tool {tool:?} are {}. Call it again with a JSON object.",
                problem.message()
            )
        })?;
        let mut arguments: Value = serde_json::from_str(text).map_err(|problem| {
            format!(
                "The arguments for the tool {tool:?} cannot be read ({problem}). Call it again with a \
                 JSON object."
            )
        })?;
        self.lowered.restore(&mut arguments);
        let checked = match &self.original {
            Some(schema) => check(schema, tool, &arguments, text.len()),
            None => Ok(()),
        };
        checked?;
        match arguments {
            Value::Object(members) => Ok(members),
            other => Err(format!(
                "The arguments for the tool {tool:?} are {other}. Call it again with a JSON object."
            )),
        }
    }
}

/// Checks the arguments of a call against the server's own schema; `bytes` is how large they are as
/// JSON.
///
/// # Errors
/// What to tell the model, as [`InputSchema::read`] says.
pub fn check(schema: &Schema, tool: &str, arguments: &Value, bytes: usize) -> Result<(), String> {
    match schema.check(arguments, bytes) {
        Ok(()) | Err(Fault::GaveUp(_)) => Ok(()),
        Err(Fault::Mismatch(mismatch)) => {
            let place = if mismatch.path.is_empty() {
                String::new()
            } else {
                format!("at {} ", mismatch.path)
            };
            Err(format!(
                "The arguments for the tool {tool:?} do not fit its schema: {place}they have {}, and the \
                 schema accepts {}. Call it again with arguments that fit.",
                mismatch.found, mismatch.accepted
            ))
        }
    }
}
