//! A JSON object of an authorization server, kept whole: metadata, a client, tokens. Its values may
//! be secrets and are never shown.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A JSON object whose fields are looked at one by one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(Map<String, Value>);

impl std::fmt::Debug for Document {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Document")
            .field(&self.0.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Document {
    /// Reads a JSON object.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The object as text.
    pub fn to_text(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// A field that is a text; servers write an empty one, or null, for one that they leave out.
    pub fn text(&self, name: &str) -> Option<&str> {
        let text = self.0.get(name)?.as_str()?;
        (!text.is_empty()).then_some(text)
    }

    /// A field that is a number of seconds; some servers write it as a text.
    pub fn seconds(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Value::String(text) => text.trim().parse().ok(),
            number => number.as_f64().and_then(|seconds| {
                let whole = std::time::Duration::try_from_secs_f64(seconds).ok()?;
                Some(whole.as_secs())
            }),
        }
    }

    /// The texts of a field that is a list.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        let items = self.0.get(name)?.as_array()?;
        Some(items.iter().filter_map(Value::as_str).collect())
    }

    /// Whether a field is true.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether a field has a value.
    pub fn has(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
    }

    /// Sets a field.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Sets a field that has no value.
    pub fn set_default(&mut self, name: &str, value: impl Into<Value>) {
        if !self.has(name) {
            self.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_left_out_in_its_own_way_is_absent() {
        let text = br#"{"a":"","b":null,"c":"x","n":"60","m":3600,"f":1.5,"l":["p",1,"q"]}"#;
        let document = Document::parse(text).unwrap();
        assert_eq!(document.text("a"), None);
        assert!(!document.has("a") && !document.has("b") && document.has("c"));
        assert_eq!(document.seconds("n"), Some(60));
        assert_eq!(document.seconds("m"), Some(3600));
        assert_eq!(document.seconds("f"), Some(1));
        assert_eq!(document.list("l"), Some(vec!["p", "q"]));
        assert_eq!(document.to_text().as_bytes(), text);
        assert!(Document::parse(b"[1]").is_none());
        assert!(!format!("{document:?}").contains("3600"));
    }
}
