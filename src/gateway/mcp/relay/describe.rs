//! What one server says of itself, in the words of its client's era. Pure.

use serde_json::value::RawValue;

use super::splice::{member, members, named, replaced, with_member};
use crate::json::RawJson;
use crate::mcp::client::MODERN_VERSIONS;

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// The members of a `DiscoverResult` that no `InitializeResult` has.
const OF_DISCOVER: [&str; 6] = [
    "resultType",
    "supportedVersions",
    "ttlMs",
    "cacheScope",
    "capabilities",
    "_meta",
];

/// The members of an `InitializeResult` that no `DiscoverResult` has.
const OF_INITIALIZE: [&str; 3] = ["protocolVersion", "serverInfo", "_meta"];

fn text_of(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The answer to `initialize` of a client of this revision.
pub(super) fn initialized(
    described: &RawJson,
    version: &str,
    server: &str,
    instructions: Option<&str>,
) -> RawJson {
    let object = described.as_bytes();
    let answer = if let Some(own) = member(object, "protocolVersion") {
        replaced(described, own, text_of(version).as_bytes())
    } else {
        let meta = member(object, "_meta").map_or("{}", RawValue::get);
        let info = member(meta.as_bytes(), SERVER_INFO).map(|info| info.get().to_owned());
        let info =
            info.unwrap_or_else(|| format!("{{\"name\":{},\"version\":\"\"}}", text_of(server)));
        let capabilities = member(object, "capabilities").map_or("{}", RawValue::get);
        let mut pieces = vec![
            named("protocolVersion", &text_of(version)),
            named("capabilities", capabilities),
            named("serverInfo", &info),
        ];
        let rest = members(object).into_iter();
        let rest = rest.filter(|(name, _)| !OF_DISCOVER.contains(&name.as_str()));
        pieces.extend(rest.map(|(name, value)| named(&name, value.get())));
        let meta: Vec<_> = members(meta.as_bytes())
            .into_iter()
            .filter(|(name, _)| name != SERVER_INFO)
            .map(|(name, value)| named(&name, value.get()))
            .collect();
        if !meta.is_empty() {
            pieces.push(named("_meta", &format!("{{{}}}", meta.join(","))));
        }
        RawJson::trusted(format!("{{{}}}", pieces.join(",")))
    };
    instructed(answer, instructions)
}

/// The answer to `server/discover`.
pub(super) fn discovered(described: &RawJson, instructions: Option<&str>) -> RawJson {
    let object = described.as_bytes();
    if member(object, "supportedVersions").is_some() {
        return instructed(described.clone(), instructions);
    }
    let versions: Vec<_> = MODERN_VERSIONS
        .iter()
        .map(|version| text_of(version))
        .collect();
    let mut pieces = vec![
        named("resultType", "\"complete\""),
        named("supportedVersions", &format!("[{}]", versions.join(","))),
    ];
    let rest = members(object).into_iter();
    let rest = rest.filter(|(name, _)| !OF_INITIALIZE.contains(&name.as_str()));
    pieces.extend(rest.map(|(name, value)| named(&name, value.get())));
    pieces.push(named("ttlMs", "0"));
    pieces.push(named("cacheScope", "\"private\""));
    let meta = member(object, "_meta").map_or("{}", RawValue::get);
    let meta = members(meta.as_bytes()).into_iter();
    let mut meta: Vec<_> = meta
        .map(|(name, value)| named(&name, value.get()))
        .collect();
    if let Some(info) = member(object, "serverInfo") {
        meta.push(named(SERVER_INFO, info.get()));
    }
    pieces.push(named("_meta", &format!("{{{}}}", meta.join(","))));
    let answer = RawJson::trusted(format!("{{{}}}", pieces.join(",")));
    instructed(answer, instructions)
}

fn instructed(answer: RawJson, instructions: Option<&str>) -> RawJson {
    match instructions {
        Some(text) => with_member(&answer, "instructions", &text_of(text)),
        None => answer,
    }
}

/// The answer of a server with a handshake as one of the later era: complete, and not to be kept.
pub(super) fn completed(method: &str, answer: &RawJson) -> RawJson {
    if member(answer.as_bytes(), "resultType").is_some() {
        return answer.clone();
    }
    let hints = match method {
        "tools/list"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list"
        | "resources/read" => r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#,
        _ => r#""resultType":"complete""#,
    };
    super::splice::appended(answer.as_bytes(), hints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawJson {
        RawJson::trusted(text.to_owned())
    }

    fn text(raw: &RawJson) -> &str {
        std::str::from_utf8(raw.as_bytes()).unwrap()
    }

    #[test]
    fn a_server_introduces_itself_in_the_words_of_either_era() {
        let old = raw(
            r#"{"serverInfo":{"name":"s","x":1.0},"protocolVersion":"2025-11-25","capabilities":{"tools":{"y":2.50}},"odd":[1]}"#,
        );
        assert_eq!(
            text(&initialized(&old, "2025-06-18", "s", None)),
            r#"{"serverInfo":{"name":"s","x":1.0},"protocolVersion":"2025-06-18","capabilities":{"tools":{"y":2.50}},"odd":[1]}"#
        );
        let new = discovered(&old, Some("read me"));
        assert_eq!(
            text(&new),
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"y":2.50}},"odd":[1],"ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","x":1.0}},"instructions":"read me"}"#
        );
        assert_eq!(
            text(&initialized(&new, "2025-06-18", "s", None)),
            r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{"y":2.50}},"serverInfo":{"name":"s","x":1.0},"odd":[1],"instructions":"read me"}"#
        );
        assert_eq!(discovered(&new, None), new);
    }

    #[test]
    fn results_of_the_earlier_era_become_complete_ones() {
        assert_eq!(
            text(&completed("tools/call", &raw(r#"{"content":[]}"#))),
            r#"{"content":[],"resultType":"complete"}"#
        );
        assert_eq!(
            text(&completed("x/y", &raw("{}"))),
            r#"{"resultType":"complete"}"#
        );
    }
}
