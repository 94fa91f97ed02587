//! The tools of a request in the words of OpenAI's own API, which refuses schemas that it cannot read.
//! A request whose tools it takes goes out as it came.

use memchr::memmem;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::schema::{Target, lower};
use crate::tools::with_remarks;

/// What is looked at.
#[derive(Deserialize)]
struct Tools {
    #[serde(default)]
    tools: Vec<Value>,
}

/// Whether some tool in the text of a request would be refused for its schema.
pub fn are_refused(body: &[u8]) -> bool {
    if memmem::find(body, b"\"tools\"").is_none() {
        return false;
    }
    let Ok(read) = serde_json::from_slice::<Tools>(body) else {
        // Not a request of this form: whoever answers it says so.
        return false;
    };
    read.tools.iter().any(|tool| {
        let schema = tool
            .get("function")
            .and_then(|function| function.get("parameters"));
        schema
            .is_some_and(|schema| schema.is_object() && lower(schema, Target::OpenAi).is_changed())
    })
}

/// Lowers the schemas of all tools.
pub fn lower_all(body: &mut Map<String, Value>) {
    let Some(Value::Array(tools)) = body.get_mut("tools") else {
        return;
    };
    for tool in tools {
        let Some(Value::Object(function)) = tool.get_mut("function") else {
            continue;
        };
        let Some(schema) = function
            .get_mut("parameters")
            .filter(|schema| schema.is_object())
        else {
            continue;
        };
        let lowered = lower(schema, Target::OpenAi);
        *schema = lowered.schema;
        if !lowered.remarks.is_empty() {
            let said = function.get("description").and_then(Value::as_str);
            let told = with_remarks(said.unwrap_or_default().to_owned(), &lowered.remarks);
            function.insert("description".to_owned(), Value::String(told));
        }
    }
}
