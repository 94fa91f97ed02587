//! Structured results against the output schema of their tool. Pure; nothing that a schema refers to
//! is fetched or opened, and what a check may cost is bounded. Uses `json` and `error`.
//!
//! The schema is the server's, so it must not be able to take this client down. The crate
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
mod report;

use memchr::memmem;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use compile::Table;
use evaluate::Stop;

/// How large the text of a schema may be.
const MAXIMUM_SCHEMA_BYTES: usize = 4 << 20;

/// An output schema, ready to check results.
#[derive(Debug)]
pub struct OutputSchema {
    table: Table,
}

impl OutputSchema {
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
}

/// The parts of a result that decide whether and what is checked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(default)]
    result_type: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    structured_content: Option<&'a RawValue>,
}

/// A member that is there, `null` too.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Whether a result of `tools/call` may carry structured content; never says no to one that does.
pub fn may_be_structured(result: &RawJson) -> bool {
    memmem::find(result.as_bytes(), b"\"structuredContent\"").is_some()
}

/// Checks a final result of `tools/call` against the schema of its tool.
///
/// `schema` is `ToolFacts::output_schema`. A result that says `isError`, and one that is not the
/// final one (`resultType`), is left alone.
///
/// # Errors
/// [`ErrorKind::ToolOutput`], its `data` an object with the tool and, for content that does not
/// fit, `path`, `found` and `accepted`.
pub fn validate(
    tool: &str,
    schema: Option<Result<&OutputSchema, &str>>,
    result: &RawJson,
) -> Result<()> {
    let Some(schema) = schema else { return Ok(()) };
    let Ok(call) = serde_json::from_slice::<CallResult<'_>>(result.as_bytes()) else {
        // Not the shape of a result of a call: whoever decodes it says so.
        return Ok(());
    };
    let is_final = call.result_type.is_none_or(|kind| kind == "complete");
    if call.is_error == Some(true) || !is_final {
        return Ok(());
    }
    let schema = schema.map_err(|reason| unusable(tool, reason))?;
    let Some(content) = call.structured_content else {
        let message = format!(
            "the tool {tool:?} has an output schema, but its result has no structuredContent; \
             {REMEDY}"
        );
        return Err(refusal(message, &json!({"tool": tool})));
    };
    let value: Value = serde_json::from_str(content.get()).map_err(|failure| {
        let message = format!(
            "the structuredContent of the tool {tool:?} cannot be read: {failure}; {REMEDY}"
        );
        refusal(message, &json!({"tool": tool})).with_source(failure)
    })?;
    match evaluate::check(&schema.table, &value, content.get().len()) {
        Ok(()) => Ok(()),
        Err(Stop::GaveUp(reason)) => Err(unusable(tool, &reason)),
        Err(Stop::Mismatch(mismatch)) => {
            let place = if mismatch.path.is_empty() {
                "itself"
            } else {
                &mismatch.path
            };
            let message = format!(
                "the structuredContent of the tool {tool:?} does not fit its output schema: at \
                 {place} it has {}, and the schema accepts {}; {REMEDY}",
                mismatch.found, mismatch.accepted
            );
            let data = json!({
                "tool": tool,
                "path": mismatch.path,
                "found": mismatch.found,
                "accepted": mismatch.accepted,
            });
            Err(refusal(message, &data))
        }
    }
}

const REMEDY: &str = "the server is at fault; validate_output=False passes such results on";

fn unusable(tool: &str, reason: &str) -> Error {
    let message = format!(
        "the output schema of the tool {tool:?} cannot be used to check its result: {reason}; \
         {REMEDY}"
    );
    refusal(message, &json!({"tool": tool, "reason": reason}))
}

fn refusal(message: String, data: &Value) -> Error {
    Error::new(ErrorKind::ToolOutput, message)
        .map_context(|context| context.rpc_data = Some(data.to_string()))
}
