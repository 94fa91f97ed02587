//! Tool calls: what a model asked for, as a call over MCP. Owns [`Call`], [`read_call`] and
//! [`arguments`].

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};
use crate::schema::{Kind, Tree};

/// A tool call as the model sent it.
#[derive(Debug, Clone)]
pub struct Call<T> {
    /// The tool.
    pub name: String,
    /// The arguments: a text, an object, or whatever else stood there; nothing when absent or null.
    pub arguments: Option<T>,
}

/// Reads a tool call: a chat completion's `{"function": {"name", "arguments"}}`, a Responses API
/// `function_call` or an Anthropic `tool_use`, both flat.
///
/// # Errors
/// It is none of these, or names no tool.
pub fn read_call<T: Tree>(call: &T) -> Result<Call<T>, Error> {
    if call.kind() != Kind::Object {
        return Err(unusable(format!(
            "a tool call is an object, not {}",
            call.kind()
        )));
    }
    let function = call
        .member("function")?
        .filter(|function| function.kind() != Kind::Null);
    if let Some(function) = &function
        && function.kind() != Kind::Object
    {
        return Err(unusable(format!(
            "the function of a tool call is an object, not {}",
            function.kind()
        )));
    }
    let source = function.as_ref().unwrap_or(call);
    let name = match source.member("name")? {
        Some(name) => name
            .as_text()?
            .filter(|name| !name.is_empty())
            .map(Cow::into_owned),
        None => None,
    };
    let Some(name) = name else {
        return Err(unusable(
            "the tool call names no tool; it takes {\"function\": {\"name\": …, \"arguments\": …}} \
             or {\"name\": …, \"arguments\": …}"
                .to_owned(),
        ));
    };
    let arguments = match source.member("arguments")? {
        Some(arguments) => Some(arguments),
        None => source.member("input")?,
    };
    Ok(Call {
        name,
        arguments: arguments.filter(|sent| sent.kind() != Kind::Null),
    })
}

/// Checks that the text which a model sent as arguments is a JSON object, and hands it back without
/// the blanks around it. A blank text is a call without arguments.
///
/// # Errors
/// The text is not JSON, or is another JSON value. The sentence completes "the arguments are …".
pub fn arguments(text: &str) -> Result<&str, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Ok("{}");
    }
    if let Err(cause) = serde_json::from_str::<&RawValue>(text) {
        return Err(unusable(format!("not valid JSON ({cause})")));
    }
    match text.as_bytes()[0] {
        b'{' => Ok(text),
        first => {
            let kind = match first {
                b'[' => Kind::List,
                b'"' => Kind::Text,
                b't' | b'f' => Kind::Boolean,
                b'n' => Kind::Null,
                _ => Kind::Number,
            };
            Err(unusable(format!("{kind} instead of a JSON object")))
        }
    }
}

fn unusable(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}
