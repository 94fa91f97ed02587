//! The result of an MCP tool as a model reads it: one table from what a `CallToolResult` of any
//! revision says to what each provider's API takes, in its richest documented form. Pure; uses
//! `error` alone.
//!
//! | module | owns |
//! |---|---|
//! | `read` | what a result says: its blocks as [`Piece`]s, in their order |
//! | `said` | whether the text says already what the structured content says |
//! | `media` | pictures, sounds, files: what they are, what an API takes of them ([`Takes`]) |
//! | `note` | the short texts in the place of what is not sent |
//! | [`chat`] | messages of OpenAI's chat completions, for every model of the engine |
//! | [`responses`], [`anthropic`], [`gemini`], [`bedrock`] | the forms of those APIs |
//! | `cut` | a result within a budget of tokens, and the rest of it |
//!
//! Nothing here fails: what an API cannot take becomes a note, and bytes never become text.

use serde_json::Value;

use crate::error::{Error, ErrorKind};

pub mod anthropic;
pub mod bedrock;
pub mod chat;
mod cut;
pub mod gemini;
mod media;
mod note;
mod read;
pub mod responses;
mod said;

pub use cut::{Cutting, Rest, cut};
pub use media::{Takes, Types};

/// The call that a result is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The id that the model gave the call; empty where it gave none.
    pub id: &'a str,
    /// The name of the tool, as the model knows it.
    pub name: Option<&'a str>,
}

impl<'a> Origin<'a> {
    /// Reads a tool call: the text of an id, or the call of chat completions, the Responses API,
    /// Anthropic, Gemini (`functionCall`) or Bedrock (`toolUse`), the last two also with the member
    /// that they stand in. None where it is none of these.
    pub fn read(call: &'a Value) -> Option<Self> {
        if let Some(id) = call.as_str() {
            return Some(Self { id, name: None });
        }
        call.as_object()?;
        let call = ["functionCall", "function_call", "toolUse"]
            .iter()
            .find_map(|name| call.get(*name).filter(|inner| inner.is_object()))
            .unwrap_or(call);
        let text = |value: &'a Value, name: &str| {
            let text = value.get(name)?.as_str()?;
            (!text.is_empty()).then_some(text)
        };
        // An item of the Responses API has an id of its own beside that of the call.
        let id = ["call_id", "toolUseId", "id"]
            .iter()
            .find_map(|name| text(call, name));
        let function = call.get("function").filter(|inner| inner.is_object());
        let name = text(function.unwrap_or(call), "name");
        (id.is_some() || name.is_some()).then_some(Self {
            id: id.unwrap_or_default(),
            name,
        })
    }

    /// The same, if it has an id.
    ///
    /// # Errors
    /// It has none.
    pub fn with_id(self) -> Result<Self, Error> {
        if self.id.is_empty() {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the call of the tool {:?} has no id, and this API finds the call of a result by \
                     its id",
                    self.name.unwrap_or_default()
                ),
            ));
        }
        Ok(self)
    }

    /// The same, if it has a name.
    ///
    /// # Errors
    /// It has none.
    pub fn with_name(self) -> Result<Self, Error> {
        if self.name.is_none() {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the call {:?} does not say which tool it is of, and this API finds the call of a \
                     result by the tool's name: give the whole tool call",
                    self.id
                ),
            ));
        }
        Ok(self)
    }

    /// The call in words, so that a model knows it again.
    fn shown(self) -> String {
        match self.name {
            Some(name) if self.id.is_empty() => name.to_owned(),
            Some(name) => format!("{name} ({})", self.id),
            None => self.id.to_owned(),
        }
    }
}

/// A member by the spelling of the wire, or by that of Python's SDKs; nothing where it is null.
fn member<'a>(value: &'a Value, wire: &str, python: &str) -> Option<&'a Value> {
    let found = value.get(wire).filter(|found| !found.is_null());
    found.or_else(|| value.get(python).filter(|found| !found.is_null()))
}

/// What stands before the text of a tool that failed, where an API has no member that says so.
fn failed(text: String) -> String {
    let says_it = text
        .get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case("error"));
    if says_it {
        text
    } else {
        format!("Error: {text}")
    }
}
