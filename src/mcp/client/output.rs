//! Structured results against the output schema of their tool. Uses `schema`, `json` and `error`.

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::fields::present;
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::schema::{Fault, Schema};

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
pub fn validate(tool: &str, schema: Option<Result<&Schema, &str>>, result: &RawJson) -> Result<()> {
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
    match schema.check(&value, content.get().len()) {
        Ok(()) => Ok(()),
        Err(Fault::GaveUp(reason)) => Err(unusable(tool, &reason)),
        Err(Fault::Mismatch(mismatch)) => {
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
