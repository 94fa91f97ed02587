//! Catalogues that are too large to be told to a model: it finds tools by words and calls them by name.
//! Owns the two tools for that, and the answer to a search; pure.

use serde_json::{Value, json};

use super::offer::Offered;
use crate::tools::search::Index;
use std::sync::Arc;

/// How many tools a search gives when nobody says, and at most.
const DEFAULT_LIMIT: usize = 8;
const MAXIMUM_LIMIT: usize = 50;

/// The tool that searches, as a function of a chat completion.
pub(super) fn search_tools(name: &str, call: &str, count: usize) -> Value {
    let description = format!(
        "Finds tools by words: there are {count}, too many to list. Gives their names, descriptions and \
         parameters; call one with {call}."
    );
    json!({"type": "function", "function": {
        "name": name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What the tool should do, in a few words"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAXIMUM_LIMIT,
                    "description": format!("How many tools are wanted, {DEFAULT_LIMIT} by default")},
            },
            "required": ["query"],
            "additionalProperties": false,
        },
    }})
}

/// The tool that calls what was found.
pub(super) fn call_tool(name: &str, search: &str) -> Value {
    json!({"type": "function", "function": {
        "name": name,
        "description": format!("Calls a tool that {search} found."),
        "parameters": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "The name of the tool"},
                "arguments": {"type": "object", "description": "Its arguments, as its parameters say"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": false,
        },
    }})
}

/// What a search found, for the model: JSON text.
///
/// # Errors
/// What the model is told of arguments that are none.
pub(super) fn found(
    index: &Index,
    tools: &[Arc<Offered>],
    arguments: &str,
) -> Result<String, String> {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let Some(query) = arguments["query"].as_str() else {
        return Err("A search takes {\"query\": \"what the tool should do\"}.".to_owned());
    };
    let limit = arguments["limit"].as_u64().map_or(DEFAULT_LIMIT, |limit| {
        usize::try_from(limit).unwrap_or(MAXIMUM_LIMIT)
    });
    let found = index.search(query, limit.clamp(1, MAXIMUM_LIMIT));
    if found.is_empty() {
        return Ok(format!("No tool fits {query:?}. Try other words."));
    }
    let found = found.iter().filter_map(|(place, _)| {
        let described = tools[*place].tool.described.to_value().ok()?;
        Some(json!({
            "name": described["name"],
            "description": described["description"],
            "parameters": described["inputSchema"],
        }))
    });
    Ok(Value::Array(found.collect()).to_string())
}
