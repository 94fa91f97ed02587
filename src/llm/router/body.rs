//! The body of a chat completion request as a router needs it: read once, without decoding what is
//! inside, and written again by splicing text. Whatever nobody knows stays as it is. Pure.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use memchr::{memchr, memmem};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::llm::catalogue;

/// What a router takes out of a request for itself; providers know none of it.
const OWN: [&str; 5] = [
    "num_retries",
    "fallbacks",
    "disable_fallbacks",
    "timeout",
    "stream_timeout",
];
/// How many bytes of a request make a token, roughly.
const BYTES_PER_TOKEN: usize = 4;

/// Why a body is no request.
#[derive(Debug, thiserror::Error)]
pub enum NotARequest {
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON of another shape.
    #[error("the body is JSON, but not an object")]
    NotAnObject,
    /// A member that decides something stands there twice: another reader may take the other one.
    #[error("the body has {0:?} twice")]
    Twice(&'static str),
    /// A member has a value that cannot be used.
    #[error("{0} takes {1}")]
    Wrong(&'static str, &'static str),
}

impl NotARequest {
    /// The member that is concerned.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Twice(name) | Self::Wrong(name, _) => Some(name),
            Self::NotJson(_) | Self::NotAnObject => None,
        }
    }
}

/// What a request says to the router itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// How often it is repeated.
    pub num_retries: Option<u32>,
    /// Which models are asked when its own fails.
    pub fallbacks: Option<Vec<String>>,
    /// Whether none is.
    pub disable_fallbacks: bool,
    /// How long an answer may take.
    pub timeout: Option<Duration>,
    /// How long a stream may take to begin.
    pub stream_timeout: Option<Duration>,
}

/// A request.
#[derive(Clone)]
pub struct RequestBody {
    text: Bytes,
    headers: HeaderMap,
    /// Where the value is, and what it says.
    model: Option<(Range<usize>, String)>,
    streams: bool,
    is_empty: bool,
    has_own: bool,
    wishes: Wishes,
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Messages are nobody's business.
        write!(formatter, "RequestBody({} bytes)", self.text.len())
    }
}

/// What a deployment changes about the requests that it gets.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// The name of the model, as JSON.
    model: String,
    /// Members that a request gets when it has none of that name: the name, and `"name":value`.
    additions: Vec<(String, String)>,
    /// Members that are left out.
    dropped: Vec<String>,
}

impl Changes {
    /// The model by the name that its provider knows, and no other change.
    pub(super) fn new(model: &str) -> Self {
        Self {
            model: Value::from(model).to_string(),
            ..Self::default()
        }
    }

    /// A member for requests that have none of that name. What is said first stands.
    pub(super) fn add(&mut self, name: &str, value: &Value) {
        if !self.additions.iter().any(|(known, _)| known == name) {
            let text = format!("{}:{value}", Value::from(name));
            self.additions.push((name.to_owned(), text));
        }
    }

    /// A member that no request keeps.
    pub(super) fn drop(&mut self, name: &str) {
        self.dropped.push(name.to_owned());
    }
}

impl RequestBody {
    /// Reads a body.
    pub fn read(text: Bytes) -> Result<Self, NotARequest> {
        let seen = match serde_json::from_slice::<Seen<'_>>(&text) {
            Ok(seen) => seen,
            // The message of a wrong shape quotes what was found, which may be anything.
            Err(failure) if failure.is_data() => return Err(NotARequest::NotAnObject),
            Err(failure) => return Err(NotARequest::NotJson(failure.to_string())),
        };
        if let Some(name) = seen.twice {
            return Err(NotARequest::Twice(name));
        }
        let model = match seen.model {
            None => None,
            Some(raw) => {
                let Ok(name) = serde_json::from_str(raw.get()) else {
                    return Err(NotARequest::Wrong(
                        "model",
                        "the name of a model, as a text",
                    ));
                };
                Some((place_of(raw, &text), name))
            }
        };
        let wishes = seen.wishes()?;
        Ok(Self {
            model,
            streams: seen.stream.is_some_and(|raw| raw.get() == "true"),
            is_empty: seen.is_empty,
            has_own: seen.own.iter().any(Option::is_some),
            wishes,
            text,
            headers: HeaderMap::new(),
        })
    }

    /// The same request, with these headers for whoever is asked.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// What goes to whoever is asked beside the body.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The name of the model, if the request has one.
    pub fn model(&self) -> Option<&str> {
        self.model.as_ref().map(|(_, name)| name.as_str())
    }

    /// Whether a stream is asked for.
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// What it says to the router itself.
    pub fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// How many tokens it has, roughly.
    pub fn tokens(&self) -> u64 {
        u64::try_from(self.text.len() / BYTES_PER_TOKEN).unwrap_or(u64::MAX)
    }

    /// The same with more care, unless there are pictures or sounds in it, whose bytes say nothing
    /// about tokens.
    pub(super) fn countable_tokens(&self) -> Option<u64> {
        let has = |text: &str| memmem::find(&self.text, text.as_bytes()).is_some();
        let is_text = !has("base64,") && !has("\"input_audio\"") && !has("\"file_data\"");
        // JSON is always UTF-8.
        let text = std::str::from_utf8(&self.text).ok().filter(|_| is_text)?;
        Some(catalogue::tokens::of_text(text))
    }

    /// The body as a deployment gets it. All that is not changed stays byte for byte.
    pub(super) fn changed(&self, changes: &Changes) -> Bytes {
        if self.has_own || !changes.dropped.is_empty() {
            return self.rebuilt(changes);
        }
        let named = self.model.as_ref().map(|(place, _)| place.clone());
        let is_same = named
            .as_ref()
            .is_some_and(|place| self.text[place.clone()] == *changes.model.as_bytes());
        if is_same && changes.additions.is_empty() {
            return self.text.clone();
        }
        let added = changes.additions.iter().map(|(_, text)| text.len() + 1);
        let size = self.text.len() + changes.model.len() + added.sum::<usize>() + MODEL_KEY.len();
        let mut text = BytesMut::with_capacity(size);
        let open = memchr(b'{', &self.text).map_or(0, |place| place + 1);
        text.put_slice(&self.text[..open]);
        let mut is_first = true;
        let mut begin = |text: &mut BytesMut| {
            if !std::mem::take(&mut is_first) {
                text.put_u8(b',');
            }
        };
        if named.is_none() {
            begin(&mut text);
            text.put_slice(MODEL_KEY);
            text.put_slice(changes.model.as_bytes());
        }
        if !changes.additions.is_empty() {
            let there = self.members();
            for (name, member) in &changes.additions {
                if !there.iter().any(|(known, _)| known == name) {
                    begin(&mut text);
                    text.put_slice(member.as_bytes());
                }
            }
        }
        if !is_first && !self.is_empty {
            text.put_u8(b',');
        }
        match named {
            None => text.put_slice(&self.text[open..]),
            Some(place) => {
                text.put_slice(&self.text[open..place.start]);
                text.put_slice(changes.model.as_bytes());
                text.put_slice(&self.text[place.end..]);
            }
        }
        text.freeze()
    }

    /// As [`Self::changed`], member by member: for requests that something is taken out of.
    fn rebuilt(&self, changes: &Changes) -> Bytes {
        let members = self.members();
        let is_there = |name: &str| members.iter().any(|(known, _)| known == name);
        let is_dropped = |name: &str| {
            OWN.contains(&name) || changes.dropped.iter().any(|dropped| dropped == name)
        };
        let mut texts: Vec<Cow<'_, str>> = Vec::new();
        if self.model.is_none() {
            texts.push(format!("\"model\":{}", changes.model).into());
        }
        let additions = changes.additions.iter();
        let additions = additions.filter(|(name, _)| !is_there(name) && !is_dropped(name));
        texts.extend(additions.map(|(_, text)| Cow::from(text)));
        for (name, value) in &members {
            if is_dropped(name) {
                continue;
            }
            let value = if name == "model" {
                changes.model.as_str()
            } else {
                value.get()
            };
            texts.push(format!("{}:{value}", Value::from(name.as_ref())).into());
        }
        Bytes::from(format!("{{{}}}", texts.join(",")))
    }

    fn members(&self) -> Members<'_> {
        // It was read before.
        let members = serde_json::from_slice::<AllMembers<'_>>(&self.text);
        members.map(|all| all.0).unwrap_or_default()
    }
}

const MODEL_KEY: &[u8] = b"\"model\":";

/// Where a value stands in the text that it was read from.
fn place_of(raw: &RawValue, text: &Bytes) -> Range<usize> {
    let start = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + raw.get().len()
}

type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What one pass over a body finds.
#[derive(Default)]
struct Seen<'a> {
    model: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    /// In the order of [`OWN`].
    own: [Option<&'a RawValue>; OWN.len()],
    twice: Option<&'static str>,
    is_empty: bool,
}

impl<'a> Seen<'a> {
    fn take(&mut self, name: &str, value: &'a RawValue) {
        let (known, place) = match name {
            "model" => ("model", &mut self.model),
            "stream" => ("stream", &mut self.stream),
            _ => match OWN.iter().position(|own| *own == name) {
                Some(index) => (OWN[index], &mut self.own[index]),
                None => return,
            },
        };
        if place.replace(value).is_some() {
            self.twice = Some(known);
        }
    }

    fn wishes(&self) -> Result<Wishes, NotARequest> {
        let [
            num_retries,
            fallbacks,
            disable_fallbacks,
            timeout,
            stream_timeout,
        ] = self.own;
        Ok(Wishes {
            num_retries: read(num_retries, "num_retries", "a whole number")?,
            fallbacks: read::<Vec<Target>>(fallbacks, "fallbacks", "a list of names of models")?
                .map(|targets| targets.into_iter().map(Target::name).collect()),
            disable_fallbacks: read(disable_fallbacks, "disable_fallbacks", "true or false")?
                .unwrap_or_default(),
            timeout: seconds(timeout, "timeout")?,
            stream_timeout: seconds(stream_timeout, "stream_timeout")?,
        })
    }
}

/// A fallback as a request names it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Target {
    Name(String),
    Object { model: String },
}

impl Target {
    fn name(self) -> String {
        match self {
            Self::Name(name) | Self::Object { model: name } => name,
        }
    }
}

fn read<'a, T: Deserialize<'a>>(
    raw: Option<&'a RawValue>,
    name: &'static str,
    accepted: &'static str,
) -> Result<Option<T>, NotARequest> {
    let Some(raw) = raw else { return Ok(None) };
    serde_json::from_str(raw.get()).map_err(|_| NotARequest::Wrong(name, accepted))
}

fn seconds(raw: Option<&RawValue>, name: &'static str) -> Result<Option<Duration>, NotARequest> {
    let accepted = "a number of seconds above 0";
    let Some(number) = read::<f64>(raw, name, accepted)? else {
        return Ok(None);
    };
    let duration = Duration::try_from_secs_f64(number).ok();
    match duration.filter(|duration| !duration.is_zero()) {
        None => Err(NotARequest::Wrong(name, accepted)),
        some => Ok(some),
    }
}

impl<'de> Deserialize<'de> for Seen<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut seen = Self {
            is_empty: true,
            ..Self::default()
        };
        deserializer.deserialize_map(Each(|name: Cow<'de, str>, value| {
            seen.is_empty = false;
            seen.take(&name, value);
        }))?;
        Ok(seen)
    }
}

/// Every member of an object, in its order.
struct AllMembers<'a>(Members<'a>);

impl<'de> Deserialize<'de> for AllMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = Vec::new();
        deserializer.deserialize_map(Each(|name, value| all.push((name, value))))?;
        Ok(Self(all))
    }
}

/// Hands every member of an object to a function.
struct Each<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = members.next_key()? {
            let value = members.next_value()?;
            (self.0)(name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<RequestBody, NotARequest> {
        RequestBody::read(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn changed(text: &str, changes: &Changes) -> String {
        let bytes = read(text).unwrap().changed(changes);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn adding(members: &[(&str, Value)]) -> Changes {
        let mut changes = Changes::new("wire");
        for (name, value) in members {
            changes.add(name, value);
        }
        changes
    }

    #[test]
    fn only_the_name_of_the_model_changes() {
        let changes = Changes::new("a\"b");
        assert_eq!(
            changed(
                r#" { "x" : 1.50 , "model":"m", "y":[ ],"é":"\u00e9" } "#,
                &changes
            ),
            r#" { "x" : 1.50 , "model":"a\"b", "y":[ ],"é":"\u00e9" } "#
        );
        assert_eq!(
            changed(r#"{"mod\u0065l" :"m"}"#, &changes),
            r#"{"mod\u0065l" :"a\"b"}"#
        );
        assert_eq!(
            changed(r#"{"x":{"model":"m"}}"#, &changes),
            r#"{"model":"a\"b","x":{"model":"m"}}"#
        );
        assert_eq!(changed("{ }", &changes), r#"{"model":"a\"b" }"#);
    }

    #[test]
    fn a_body_that_needs_no_change_is_not_copied() {
        let body = read(r#"{"model":"wire","x":1}"#).unwrap();
        let same = body.changed(&Changes::new("wire"));
        assert_eq!(same.as_ptr(), body.text.as_ptr());
    }

    #[test]
    fn a_member_is_added_where_it_is_missing() {
        let changes = adding(&[("a", json!(1)), ("b", json!("x")), ("a", json!(2))]);
        assert_eq!(
            changed(r#"{"model":"m","b":null}"#, &changes),
            r#"{"a":1,"model":"wire","b":null}"#
        );
        assert_eq!(changed("{}", &changes), r#"{"model":"wire","a":1,"b":"x"}"#);
        assert_eq!(
            changed(r#"{"a":0,"b":0,"model":"m"}"#, &changes),
            r#"{"a":0,"b":0,"model":"wire"}"#
        );
    }

    #[test]
    fn what_is_meant_for_the_router_does_not_go_on() {
        let text = r#"{"num_retries":3, "model":"m","fallbacks":["a",{"model":"b"}],"x": 1.0 ,"timeout":0.5,"disable_fallbacks":true}"#;
        let body = read(text).unwrap();
        let wishes = Wishes {
            num_retries: Some(3),
            fallbacks: Some(vec!["a".to_owned(), "b".to_owned()]),
            disable_fallbacks: true,
            timeout: Some(Duration::from_millis(500)),
            stream_timeout: None,
        };
        assert_eq!(*body.wishes(), wishes);
        assert_eq!(
            changed(text, &adding(&[("y", json!(2))])),
            r#"{"y":2,"model":"wire","x":1.0}"#
        );
        let mut dropping = adding(&[("z", json!(2))]);
        dropping.drop("x");
        dropping.drop("z");
        assert_eq!(
            changed(r#"{"x":1,"\"":2}"#, &dropping),
            r#"{"model":"wire","\"":2}"#
        );
    }

    #[test]
    fn what_is_no_request_is_told_apart_and_not_quoted() {
        for text in ["", "{", "<html>", "{\"a\":}", "{} {}", "{\"a\":\"\u{1}\"}"] {
            assert!(matches!(read(text), Err(NotARequest::NotJson(_))), "{text}");
        }
        for text in ["[]", "\"secret\"", "1", "null"] {
            assert!(
                matches!(read(text), Err(NotARequest::NotAnObject)),
                "{text}"
            );
        }
        assert!(RequestBody::read(Bytes::from_static(b"{\"a\":\"\xff\"}")).is_err());
        for text in [
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a","mod\u0065l":"b"}"#,
        ] {
            assert!(
                matches!(read(text), Err(NotARequest::Twice("model"))),
                "{text}"
            );
        }
        for (text, param) in [
            (r#"{"model":1}"#, "model"),
            (r#"{"num_retries":-1}"#, "num_retries"),
            (r#"{"timeout":0}"#, "timeout"),
            (r#"{"fallbacks":"a"}"#, "fallbacks"),
        ] {
            assert_eq!(read(text).unwrap_err().param(), Some(param), "{text}");
        }
        assert!(
            read(r#"{"num_retries":null}"#)
                .unwrap()
                .wishes()
                .num_retries
                .is_none()
        );
    }

    #[test]
    fn a_stream_is_asked_for_by_true_alone() {
        for (text, streams) in [
            ("true", true),
            ("false", false),
            ("null", false),
            ("1", false),
        ] {
            assert_eq!(
                read(&format!("{{\"stream\": {text}}}")).unwrap().streams(),
                streams
            );
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\PC\"\\\\\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let members = proptest::collection::vec(("[a-e\"é]{0,3}", inner.clone()), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::from),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_changed_body_says_what_it_said_and_the_changes(
            members in proptest::collection::vec(("[a-e\"é]{0,3}|model|timeout|num_retries", any_json()), 0..6),
            additions in proptest::collection::vec(("[a-e]{1,2}", any_json()), 0..4),
            dropped in proptest::collection::vec("[a-e]{1,2}", 0..2),
            is_pretty in any::<bool>(),
        ) {
            let mut members: serde_json::Map<_, _> = members.into_iter().collect();
            for (name, value) in [("model", json!("m")), ("timeout", json!(1)), ("num_retries", json!(1))] {
                if let Some(there) = members.get_mut(name) {
                    *there = value;
                }
            }
            let text = if is_pretty {
                serde_json::to_string_pretty(&members).unwrap()
            } else {
                serde_json::to_string(&members).unwrap()
            };
            let mut changes = Changes::new("wire");
            for (name, value) in &additions {
                changes.add(name, value);
            }
            for name in &dropped {
                changes.drop(name);
            }
            let mut wanted = members.clone();
            for (name, value) in additions {
                wanted.entry(name).or_insert(value);
            }
            wanted.insert("model".to_owned(), json!("wire"));
            wanted.retain(|name, _| !OWN.contains(&name.as_str()) && !dropped.contains(name));
            let found: Value = serde_json::from_str(&changed(&text, &changes)).unwrap();
            let kept = |object: &serde_json::Map<String, Value>| -> Vec<String> {
                object.keys().filter(|name| members.contains_key(*name)).cloned().collect()
            };
            prop_assert_eq!(kept(found.as_object().unwrap()), kept(&wanted));
            prop_assert_eq!(found, Value::Object(wanted));
        }
    }
}
