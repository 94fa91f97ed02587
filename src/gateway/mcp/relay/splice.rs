//! Looks into JSON text, and changes of it that leave everything else as it was written. Pure.

use std::borrow::Cow;

use memchr::memmem;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::RawJson;

const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// The members of an object in their order; none of anything else.
pub(super) fn members(object: &[u8]) -> Vec<(String, &RawValue)> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    let mut text = serde_json::Deserializer::from_slice(object);
    text.deserialize_map(Members).unwrap_or_default()
}

/// A member of an object.
pub(in crate::gateway::mcp) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a RawValue> {
    struct Named<'n>(&'n str);
    impl<'de> Visitor<'de> for Named<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(name) = map.next_key::<String>()? {
                if name == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut text = serde_json::Deserializer::from_slice(object);
    text.deserialize_map(Named(name)).ok().flatten()
}

/// A member that is a text.
pub(in crate::gateway::mcp) fn text_member(object: &[u8], name: &str) -> Option<String> {
    serde_json::from_str(member(object, name)?.get()).ok()
}

/// The same text with another one in the place of a part of it.
pub(super) fn replaced(whole: &RawJson, part: &RawValue, new: &[u8]) -> RawJson {
    let text = whole.as_bytes();
    let start = (part.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let (before, rest) = text.split_at(start.min(text.len()));
    let after = rest.get(part.get().len()..).unwrap_or_default();
    RawJson::trusted([before, new, after].concat())
}

/// An object with further members, given as text, at its end.
pub(super) fn appended(object: &[u8], members: &str) -> RawJson {
    let object = object.trim_ascii();
    let inner = object
        .get(1..object.len().saturating_sub(1))
        .unwrap_or_default();
    let mut text = Vec::with_capacity(object.len() + members.len() + 2);
    text.push(b'{');
    text.extend_from_slice(inner);
    if !inner.trim_ascii().is_empty() && !members.is_empty() {
        text.push(b',');
    }
    text.extend_from_slice(members.as_bytes());
    text.push(b'}');
    RawJson::trusted(text)
}

/// An object with a member of that value, whether it had one or not.
pub(super) fn with_member(object: &RawJson, name: &str, value: &str) -> RawJson {
    match member(object.as_bytes(), name) {
        Some(found) => replaced(object, found, value.as_bytes()),
        None => appended(object.as_bytes(), &named(name, value)),
    }
}

/// An object without some of its members.
pub(super) fn without(object: &[u8], names: &[&str]) -> RawJson {
    let kept = members(object);
    let kept = kept
        .iter()
        .filter(|(name, _)| !names.contains(&name.as_str()));
    let kept: Vec<_> = kept.map(|(name, value)| named(name, value.get())).collect();
    RawJson::trusted(format!("{{{}}}", kept.join(",")))
}

/// A member as text.
pub(super) fn named(name: &str, value: &str) -> String {
    format!("{}:{value}", serde_json::Value::from(name))
}

/// The token by which a client wants to know of the progress of its request.
pub(super) fn progress_token(params: &RawJson) -> Option<RawJson> {
    memmem::find(params.as_bytes(), b"\"progressToken\"")?;
    let meta = member(params.as_bytes(), "_meta")?;
    let token = member(meta.get().as_bytes(), "progressToken")?;
    Some(RawJson::trusted(token.get().to_owned()))
}

/// Parameters whose `_meta` has these fields; one that is there stays.
pub(super) fn with_meta(params: Option<&RawJson>, fields: &[(&str, Cow<'_, str>)]) -> RawJson {
    let empty = RawJson::trusted("{}");
    let params = params.unwrap_or(&empty);
    let meta = member(params.as_bytes(), "_meta").filter(|meta| meta.get().starts_with('{'));
    let own = meta.map_or(&b"{}"[..], |meta| meta.get().as_bytes());
    let missing = fields
        .iter()
        .filter(|(name, _)| member(own, name).is_none());
    let missing: Vec<_> = missing.map(|(name, value)| named(name, value)).collect();
    let full = appended(own, &missing.join(","));
    match meta {
        Some(meta) => replaced(params, meta, full.as_bytes()),
        None => with_member(params, "_meta", &String::from_utf8_lossy(full.as_bytes())),
    }
}

/// What every request of the later era says of its sender; a server with a handshake refuses it.
const ENVELOPE: [&str; 4] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/logLevel",
];

/// Parameters of the later era for a server of the earlier one.
pub(super) fn without_envelope(params: &RawJson) -> RawJson {
    match member(params.as_bytes(), "_meta") {
        Some(meta) => {
            let rest = without(meta.get().as_bytes(), &ENVELOPE);
            replaced(params, meta, rest.as_bytes())
        }
        None => params.clone(),
    }
}

/// Parameters, or a result, with that id of a subscription in their `_meta`.
pub(in crate::gateway::mcp) fn with_subscription(
    params: Option<&RawJson>,
    id: &RawJson,
) -> RawJson {
    let id = String::from_utf8_lossy(id.as_bytes());
    if let Some(params) = params
        && let Some(meta) = member(params.as_bytes(), "_meta")
        && let Some(own) = member(meta.get().as_bytes(), SUBSCRIPTION_ID)
    {
        return replaced(params, own, id.as_bytes());
    }
    with_meta(params, &[(SUBSCRIPTION_ID, id)])
}

/// What kind of result an answer of the later era is; none is a complete one.
pub(super) fn result_type(answer: &RawJson) -> Option<String> {
    memmem::find(answer.as_bytes(), b"\"resultType\"")?;
    text_member(answer.as_bytes(), "resultType")
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
    fn a_change_leaves_the_rest_as_it_was_written() {
        let odd = raw(r#"{ "b" : 1.50, "name":"x" ,"a":[1e3]}"#);
        assert_eq!(
            text(&with_member(&odd, "name", "\"y\"")),
            r#"{ "b" : 1.50, "name":"y" ,"a":[1e3]}"#
        );
        assert_eq!(
            text(&with_member(&odd, "c", "0")),
            r#"{ "b" : 1.50, "name":"x" ,"a":[1e3],"c":0}"#
        );
        assert_eq!(text(&with_member(&raw("{ }"), "c", "0")), r#"{ "c":0}"#);
        assert_eq!(
            text(&without(odd.as_bytes(), &["name"])),
            r#"{"b":1.50,"a":[1e3]}"#
        );
    }

    #[test]
    fn meta_is_made_filled_and_never_overwritten() {
        let fields = [("v", Cow::from("1")), ("w", Cow::from("2"))];
        assert_eq!(
            text(&with_meta(None, &fields)),
            r#"{"_meta":{"v":1,"w":2}}"#
        );
        assert_eq!(
            text(&with_meta(
                Some(&raw(r#"{"_meta":{"w":3.0},"a":1}"#)),
                &fields
            )),
            r#"{"_meta":{"w":3.0,"v":1},"a":1}"#
        );
    }

    #[test]
    fn a_server_with_a_handshake_sees_nothing_of_the_later_era() {
        let params = raw(
            r#"{"b":1.50,"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"c"},"mine":2.0,"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"a":1}"#,
        );
        assert_eq!(
            text(&without_envelope(&params)),
            r#"{"b":1.50,"_meta":{"mine":2.0},"a":1}"#
        );
    }

    #[test]
    fn a_subscription_has_the_id_that_its_client_knows() {
        let id = raw("\"mine\"");
        let of_server = raw(&format!(
            r#"{{"_meta":{{"{SUBSCRIPTION_ID}":7,"x":1}},"uri":"u"}}"#
        ));
        assert_eq!(
            text(&with_subscription(Some(&of_server), &id)),
            format!(r#"{{"_meta":{{"{SUBSCRIPTION_ID}":"mine","x":1}},"uri":"u"}}"#)
        );
        assert_eq!(
            text(&with_subscription(None, &id)),
            format!(r#"{{"_meta":{{"{SUBSCRIPTION_ID}":"mine"}}}}"#)
        );
    }

    #[test]
    fn a_progress_token_is_found_where_it_belongs_and_nowhere_else() {
        let token =
            |params: &str| progress_token(&raw(params)).map(|found| text(&found).to_owned());
        assert_eq!(
            token(r#"{"_meta":{"progressToken":"a\u0062"}}"#).as_deref(),
            Some(r#""a\u0062""#)
        );
        assert_eq!(token(r#"{"arguments":{"progressToken":1}}"#), None);
    }
}
