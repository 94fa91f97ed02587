//! What several servers together say of themselves. Pure.

use serde_json::{Map, Value, json};

use crate::json::RawJson;
use crate::mcp::client::MODERN_VERSIONS;

/// What one server says: its name, what it said of itself if it is reached, and what the configuration
/// says instead of its instructions.
pub(super) struct Said<'a> {
    pub(super) name: &'a str,
    pub(super) described: Option<RawJson>,
    pub(super) instructions: Option<&'a str>,
}

/// What an endpoint of several servers cannot serve, for nothing tells whose it is.
const APART: [&str; 1] = ["tasks"];

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(known) => merge(known, value),
                    None => drop(into.insert(name, value)),
                }
            }
        }
        (into @ Value::Bool(false), from @ Value::Bool(true)) => *into = from,
        _ => {}
    }
}

fn capabilities(servers: &[Said<'_>]) -> Value {
    let mut merged = json!({"tools": {"listChanged": true}});
    for server in servers {
        let Some(described) = &server.described else {
            // It may have anything once it is reached.
            merge(
                &mut merged,
                json!({
                    "prompts": {"listChanged": true},
                    "resources": {"listChanged": true, "subscribe": true},
                }),
            );
            continue;
        };
        let described = described.to_value().unwrap_or_default();
        if let Some(Value::Object(mut own)) = described.get("capabilities").cloned() {
            own.retain(|name, _| !APART.contains(&name.as_str()));
            merge(&mut merged, Value::Object(own));
        }
    }
    // Servers come and go while the gateway serves.
    for list in ["prompts", "resources"] {
        if let Some(Value::Object(own)) = merged.get_mut(list) {
            own.insert("listChanged".to_owned(), true.into());
        }
    }
    merged
}

fn instructions(servers: &[Said<'_>]) -> Option<String> {
    let own = |server: &Said<'_>| {
        let said = || {
            let described = server.described.as_ref()?.to_value().ok()?;
            described.get("instructions")?.as_str().map(str::to_owned)
        };
        let text = server.instructions.map(str::to_owned).or_else(said)?;
        (!text.trim().is_empty()).then(|| format!("{}: {text}", server.name))
    };
    let texts: Vec<_> = servers.iter().filter_map(own).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

fn ourselves() -> Value {
    json!({"name": "toolbridge", "version": env!("CARGO_PKG_VERSION")})
}

fn written(mut object: Map<String, Value>, servers: &[Said<'_>]) -> RawJson {
    if let Some(text) = instructions(servers) {
        object.insert("instructions".to_owned(), text.into());
    }
    RawJson::trusted(Value::Object(object).to_string())
}

/// The answer to `initialize`.
pub(super) fn initialized(servers: &[Said<'_>], version: &str) -> RawJson {
    let mut object = Map::new();
    object.insert("protocolVersion".to_owned(), version.into());
    object.insert("capabilities".to_owned(), capabilities(servers));
    object.insert("serverInfo".to_owned(), ourselves());
    written(object, servers)
}

/// The answer to `server/discover`.
pub(super) fn discovered(servers: &[Said<'_>]) -> RawJson {
    let mut object = Map::new();
    object.insert("resultType".to_owned(), "complete".into());
    object.insert("supportedVersions".to_owned(), json!(MODERN_VERSIONS));
    object.insert("capabilities".to_owned(), capabilities(servers));
    object.insert("ttlMs".to_owned(), 0.into());
    object.insert("cacheScope".to_owned(), "private".into());
    let meta = json!({"io.modelcontextprotocol/serverInfo": ourselves()});
    object.insert("_meta".to_owned(), meta);
    written(object, servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_servers_can_what_one_of_them_can() {
        let said = |name, text: &'static str| Said {
            name,
            described: Some(RawJson::trusted(text)),
            instructions: None,
        };
        let servers = [
            said(
                "a",
                r#"{"capabilities":{"tools":{"x":1.5},"resources":{"subscribe":false},"tasks":{}},"instructions":"Do."}"#,
            ),
            said(
                "b",
                r#"{"capabilities":{"resources":{"subscribe":true},"logging":{}}}"#,
            ),
            Said {
                instructions: Some("Ours."),
                ..said("c", r#"{"capabilities":{},"instructions":"Theirs."}"#)
            },
        ];
        let value = initialized(&servers, "2025-06-18").to_value().unwrap();
        assert_eq!(
            value["capabilities"],
            json!({
                "tools": {"listChanged": true, "x": 1.5},
                "resources": {"subscribe": true, "listChanged": true},
                "logging": {},
            })
        );
        assert_eq!(value["instructions"], "a: Do.\n\nc: Ours.");
        assert_eq!(value["protocolVersion"], "2025-06-18");
        let value = discovered(&servers).to_value().unwrap();
        assert_eq!(value["supportedVersions"], json!(["2026-07-28"]));
    }
}
