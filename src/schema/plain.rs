//! Schemas that can be seen to be what a target takes, without making anything of them: most tools have
//! one, and a catalogue has a thousand. Owns [`is_plain`]; what it does not know is left to `lower`.

use super::target::Target;
use super::tree::{Kind, Tree};

/// How deep schemas may stand in one another here.
const MAXIMUM_DEPTH: usize = 16;
/// Longer lists of texts are not compared, each with each.
const MAXIMUM_TEXTS: usize = 32;
/// The longest name that every one of the targets takes.
const MAXIMUM_NAME: usize = 64;

/// Whether `lower` would leave the schema of a tool's arguments as it is. False means that nobody knows
/// yet.
pub fn is_plain<T: Tree>(schema: &T, target: Target) -> bool {
    // Those whose words are JSON Schema's own.
    let is_wide = matches!(
        target,
        Target::OpenAi | Target::OpenAiResponses | Target::Anthropic | Target::Bedrock
    );
    is_wide
        && matches!(
            read(schema, 0),
            Some(Read {
                kind: Type::Object,
                has_properties: true,
                ..
            })
        )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Object,
    Array,
    Text,
    Number,
    Other,
}

/// What was read of a schema.
struct Read {
    kind: Type,
    has_properties: bool,
}

/// Reads a schema; none if it is not plain.
fn read<T: Tree>(schema: &T, depth: usize) -> Option<Read> {
    let mut kind = None;
    // The type that its keywords are about.
    let mut about_type = None;
    let (mut has_alternatives, mut has_properties, mut has_items) = (false, false, false);
    let is_known = depth < MAXIMUM_DEPTH
        && schema.every_member(&mut |keyword, value| {
            let about = match keyword {
                "type" => {
                    kind = type_of(value);
                    return kind.is_some();
                }
                "description" | "title" => return value.kind() == Kind::Text,
                "default" => return is_scalar(value),
                "anyOf" => {
                    let are_plain = value.every_element(&mut |one| {
                        has_alternatives = true;
                        is_whole(one, depth + 1)
                    });
                    // One of none is nothing.
                    return are_plain && has_alternatives;
                }
                "$schema" => return depth == 0 && value.kind() == Kind::Text,
                "properties" => {
                    has_properties = true;
                    let are_plain = value.every_member(&mut |name, property| {
                        is_plain_name(name) && is_whole(property, depth + 1)
                    });
                    are_plain.then_some(Type::Object)
                }
                "required" => is_texts(value).then_some(Type::Object),
                "additionalProperties" => {
                    let is_fine = value.kind() == Kind::Boolean || is_whole(value, depth + 1);
                    is_fine.then_some(Type::Object)
                }
                "items" => {
                    has_items = true;
                    is_whole(value, depth + 1).then_some(Type::Array)
                }
                "minItems" | "maxItems" => is_count(value).then_some(Type::Array),
                "uniqueItems" => (value.kind() == Kind::Boolean).then_some(Type::Array),
                "enum" => is_texts(value).then_some(Type::Text),
                "minLength" | "maxLength" => is_count(value).then_some(Type::Text),
                "format" => (value.kind() == Kind::Text).then_some(Type::Text),
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                    value.as_number().map(|_| Type::Number)
                }
                _ => None,
            };
            let is_one = about.is_some() && about_type.is_none_or(|other| about == Some(other));
            about_type = about;
            is_one
        });
    if !is_known {
        return None;
    }
    if has_alternatives {
        // They say it all. At the root, where they are refused, this is no object.
        let says_more = kind.is_some() || about_type.is_some();
        kind = (!says_more).then_some(Type::Other);
        about_type = None;
    }
    let kind = kind?;
    let fits = about_type.is_none_or(|about| about == kind);
    let is_whole = fits && (kind != Type::Array || has_items);
    is_whole.then_some(Read {
        kind,
        has_properties,
    })
}

fn is_whole<T: Tree>(schema: &T, depth: usize) -> bool {
    read(schema, depth).is_some()
}

fn type_of<T: Tree>(value: &T) -> Option<Type> {
    Some(match &*value.as_text().ok()?? {
        "object" => Type::Object,
        "array" => Type::Array,
        "string" => Type::Text,
        "integer" | "number" => Type::Number,
        "boolean" | "null" => Type::Other,
        _ => return None,
    })
}

fn is_scalar<T: Tree>(value: &T) -> bool {
    match value.kind() {
        Kind::Null | Kind::Boolean | Kind::Text => true,
        Kind::Number => value.as_number().is_some(),
        _ => false,
    }
}

fn is_count<T: Tree>(value: &T) -> bool {
    value
        .as_number()
        .is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
}

/// Texts, and none of them twice.
fn is_texts<T: Tree>(value: &T) -> bool {
    let mut texts: Vec<String> = Vec::new();
    let are_texts = value.every_element(&mut |element| {
        let Ok(Some(text)) = element.as_text() else {
            return false;
        };
        if texts.len() == MAXIMUM_TEXTS || texts.iter().any(|other| *other == *text) {
            return false;
        }
        texts.push(text.into_owned());
        true
    });
    are_texts && !texts.is_empty()
}

fn is_plain_name(name: &str) -> bool {
    (1..=MAXIMUM_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}
