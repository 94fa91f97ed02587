//! The rows of `providers.toml`.

use std::collections::BTreeMap;

use http::HeaderName;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::matches;
use super::service::Kind;

/// One provider: where it is, and where its settings come from.
#[derive(Debug)]
pub struct Provider {
    /// As in `provider/model`.
    pub name: &'static str,
    /// Where it is when nobody says otherwise.
    pub default_base: Option<&'static str>,
    /// Variables that hold the base URL, the first that is set wins.
    pub base_variables: Vec<&'static str>,
    /// Variables that hold the key, the first that is set wins.
    pub key_variables: Vec<&'static str>,
    /// Whether a request without a key is refused before it is sent.
    pub key_required: bool,
    /// The header that carries the key, where it is not `Authorization: Bearer`.
    pub key_header: Option<HeaderName>,
    /// What follows the base in the URL of the call, where the kind does not say it.
    pub path: Option<&'static str>,
    /// What it speaks, and how its URLs and credentials are made.
    pub kind: Kind,
    /// Model names that need no prefix.
    pub bare_names: Vec<&'static str>,
    /// Headers that are filled from variables: the header, and its variables.
    pub header_variables: Vec<(&'static str, Vec<&'static str>)>,
    /// Why it cannot be called, for those that are known and not supported.
    pub unsupported: Option<&'static str>,
    /// What is particular about its parameters.
    pub parameters: Parameters,
}

/// What some models of a provider refuse.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SomeModels {
    /// Which ones, by patterns of their names.
    pub names: Vec<String>,
    /// Those of them that are not meant.
    #[serde(default)]
    pub except: Vec<String>,
    /// Parameters of OpenAI's API that they refuse.
    pub unsupported: Vec<String>,
}

impl SomeModels {
    /// Whether a model is one of them.
    pub fn has(&self, model: &str) -> bool {
        let is_one_of =
            |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, model));
        is_one_of(&self.names) && !is_one_of(&self.except)
    }
}

/// What is particular about the parameters of a provider.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Parameters of OpenAI's API that have another name there.
    pub rename: Map<String, Value>,
    /// Parameters of OpenAI's API that it refuses.
    pub unsupported: Vec<String>,
    /// Parameters that every request gets, whatever it says.
    pub force: Map<String, Value>,
    /// The greatest numbers that it takes; greater ones become these.
    pub maximum: Map<String, Value>,
    /// Values that it says by other members: the parameter, the value, and those members.
    pub instead: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
    /// What some of its models refuse.
    pub models: Vec<SomeModels>,
    /// Whether the API has no role `developer`, so that instructions are of the role `system`.
    pub system_messages: bool,
    /// Whether the content of messages has to be a text.
    pub text_content: bool,
    /// Whether what other protocols leave in a conversation is refused, and taken out; schemas of tools
    /// that are refused are said in other words.
    pub strict_messages: bool,
    /// The member of the body that takes parameters which nobody here knows; the body itself
    /// otherwise.
    pub inside: Option<String>,
}

impl Parameters {
    /// The parameters of OpenAI's API that a model refuses, by the name that its provider knows.
    pub fn refused_by(&self, model: &str) -> impl Iterator<Item = &str> {
        let some = self.models.iter().filter(move |some| some.has(model));
        let of_some = some.flat_map(|some| &some.unsupported);
        self.unsupported.iter().chain(of_some).map(String::as_str)
    }

    /// Whether a request goes out as it came, but for what `strict_messages` takes out.
    pub fn is_plain(&self) -> bool {
        let other = Self {
            strict_messages: self.strict_messages,
            ..Self::default()
        };
        *self == other
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    base: Option<String>,
    #[serde(default)]
    base_variables: Vec<String>,
    #[serde(default)]
    key_variables: Vec<String>,
    #[serde(default)]
    key: Key,
    #[serde(default, deserialize_with = "header")]
    key_header: Option<HeaderName>,
    path: Option<String>,
    #[serde(default)]
    service: Kind,
    #[serde(default)]
    bare_names: Vec<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    unsupported: Option<String>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Key {
    #[default]
    Required,
    Optional,
}

fn header<'de, D: Deserializer<'de>>(row: D) -> Result<Option<HeaderName>, D::Error> {
    let name = String::deserialize(row)?;
    name.parse().map(Some).map_err(serde::de::Error::custom)
}

/// The rows live as long as the process.
fn forever(text: String) -> &'static str {
    text.leak()
}

fn all_forever(texts: Vec<String>) -> Vec<&'static str> {
    texts.into_iter().map(forever).collect()
}

/// Reads the table that is part of the binary.
pub(super) fn read() -> Vec<Provider> {
    // A test reads it too: it cannot fail here.
    parse(include_str!("providers.toml")).unwrap_or_default()
}

fn parse(text: &str) -> Result<Vec<Provider>, toml::de::Error> {
    let rows: toml::Table = toml::from_str(text)?;
    rows.into_iter()
        .map(|(name, row)| Ok(provider(name, row.try_into()?)))
        .collect()
}

fn provider(name: String, row: Row) -> Provider {
    let headers = row.headers.into_iter();
    let header_variables = headers.map(|(header, variables)| {
        let variables = variables.as_array().into_iter().flatten();
        let names = variables.filter_map(Value::as_str).map(str::to_owned);
        (forever(header), names.map(forever).collect())
    });
    Provider {
        name: forever(name),
        default_base: row.base.map(forever),
        base_variables: all_forever(row.base_variables),
        key_variables: all_forever(row.key_variables),
        key_required: row.key == Key::Required,
        key_header: row.key_header,
        path: row.path.map(forever),
        kind: row.service,
        bare_names: all_forever(row.bare_names),
        header_variables: header_variables.collect(),
        unsupported: row.unsupported.map(forever),
        parameters: row.parameters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read() {
        let providers = parse(include_str!("providers.toml")).unwrap();
        assert!(providers.iter().any(|provider| provider.name == "openai"));
    }

    #[test]
    fn a_row_with_a_member_that_is_unknown_or_no_header_is_not_read() {
        for row in [
            "kay = \"optional\"",
            "key_header = \"a b\"",
            "parameters.maximal.n = 1",
            "parameters.models = [{ unsupported = [\"stop\"] }]",
            "parameters.instead = { reasoning_effort = \"none\" }",
        ] {
            assert!(parse(&format!("[x]\n{row}")).is_err(), "{row}");
        }
    }

    #[test]
    fn models_are_refused_parameters_by_the_patterns_of_their_names() {
        let row = "[x.parameters]\n\
            unsupported = [\"seed\"]\n\
            models = [\n\
                { names = [\"a-*\"], except = [\"*-plain*\"], unsupported = [\"stop\"] },\n\
                { names = [\"a-1\"], unsupported = [\"n\"] },\n\
            ]";
        let providers = parse(row).unwrap();
        let refused = |model| {
            let refused = providers[0].parameters.refused_by(model);
            refused.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(refused("a-1"), "seed stop n");
        assert_eq!(refused("a-2"), "seed stop");
        assert_eq!(refused("a-2-plain-latest"), "seed");
        assert_eq!(refused("b"), "seed");
    }
}
