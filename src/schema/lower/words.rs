//! Keywords in words, for descriptions. Owns [`say`], [`shown`] and [`Notes`].

use serde_json::{Map, Value};

/// How much of a schema or a value a description shows.
const SHOWN: usize = 400;
/// How much may be added to the description of one schema.
const NOTES: usize = 2_000;

/// What a keyword says, with `{}` in the place of its value.
const SENTENCES: [(&str, &str); 40] = [
    ("minimum", "At least {}."),
    ("maximum", "At most {}."),
    ("exclusiveMinimum", "More than {}."),
    ("exclusiveMaximum", "Less than {}."),
    ("multipleOf", "A multiple of {}."),
    ("minLength", "At least {} characters."),
    ("maxLength", "At most {} characters."),
    ("pattern", "Matches the regular expression {}."),
    ("format", "Format: {}."),
    ("contentEncoding", "Encoded as {}."),
    ("contentMediaType", "Its content is of the type {}."),
    ("contentSchema", "Its content fits {}."),
    ("minItems", "At least {} items."),
    ("maxItems", "At most {} items."),
    ("uniqueItems", "No item twice."),
    ("contains", "At least one item fits {}."),
    ("minContains", "At least {} items fit what it contains."),
    ("maxContains", "At most {} items fit what it contains."),
    ("unevaluatedItems", "Other items fit {}."),
    ("additionalItems", "Further items fit {}."),
    ("prefixItems", "The items fit, in this order: {}."),
    ("items", "The items fit {}."),
    ("minProperties", "At least {} members."),
    ("maxProperties", "At most {} members."),
    ("required", "Required: {}."),
    ("propertyNames", "The names of its members fit {}."),
    ("additionalProperties", "Other members fit {}."),
    ("unevaluatedProperties", "Other members fit {}."),
    (
        "patternProperties",
        "Members fit by their names, each a regular expression: {}.",
    ),
    (
        "dependentRequired",
        "Members that need others beside them: {}.",
    ),
    (
        "dependentSchemas",
        "With a member of this name it fits this too: {}.",
    ),
    ("dependencies", "Members that need others beside them: {}."),
    ("enum", "One of {}."),
    ("const", "Always {}."),
    ("default", "Default: {}."),
    ("examples", "Examples: {}."),
    ("allOf", "Fits all of {}."),
    ("anyOf", "Fits one or more of {}."),
    ("oneOf", "Fits exactly one of {}."),
    ("not", "Does not fit {}."),
];

/// A value as short JSON.
pub(super) fn shown(value: &Value) -> String {
    shortened(&value.to_string(), SHOWN)
}

pub(super) fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let start: String = text.chars().take(limit).collect();
    if start.len() < text.len() {
        format!("{start}…")
    } else {
        start
    }
}

/// What a keyword says, as a sentence.
pub(super) fn say(keyword: &str, value: &Value) -> String {
    if keyword == "deprecated" {
        return "Deprecated.".to_owned();
    }
    if matches!(keyword, "additionalProperties" | "unevaluatedProperties")
        && let Value::Bool(is_open) = value
    {
        let sentence = if *is_open {
            "It may have other members."
        } else {
            "It has no other members."
        };
        return sentence.to_owned();
    }
    match SENTENCES.iter().find(|(known, _)| *known == keyword) {
        Some((_, sentence)) => sentence.replace("{}", &shown(value)),
        None => format!("{}: {}.", shortened(keyword, 80), shown(value)),
    }
}

/// `if`, `then` and `else` in one sentence.
pub(super) fn say_condition(keywords: &Map<String, Value>) -> String {
    let part = |word: &str, keyword| {
        let value = keywords.get(keyword).map(shown);
        value.map_or_else(String::new, |value| format!("{word}{value}"))
    };
    let condition = part("If it fits ", "if");
    let (then, otherwise) = (part(", it fits ", "then"), part(", else it fits ", "else"));
    format!("{condition}{then}{otherwise}.")
}

/// Sentences for a description.
#[derive(Debug, Default)]
pub(super) struct Notes(String);

impl Notes {
    pub(super) fn add(&mut self, sentence: &str) {
        if self.0.len() >= NOTES {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0
            .push_str(&shortened(sentence, NOTES.saturating_sub(self.0.len())));
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}
