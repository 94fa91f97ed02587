//! What a model said in one round. Owns [`Turn`]: a whole answer, or one that is put together from its
//! stream while its events are told.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::event::{Event, Listener, raw};
use super::model::{Chunks, Model, Origin, Reply};
use super::outcome::Call;
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::llm::rebuild::Rebuild;

/// What a model said.
#[derive(Debug)]
pub(super) struct Turn {
    /// The answer, a chat completion.
    pub(super) response: RawJson,
    /// Its message as it goes back to the model.
    pub(super) message: RawJson,
    /// The calls that it makes, in order.
    pub(super) calls: Vec<Called>,
    /// Why the model stopped.
    pub(super) finish_reason: Option<String>,
    /// What it took.
    pub(super) usage: Option<Map<String, Value>>,
    /// Where the answer comes from.
    pub(super) origin: Origin,
}

/// A call as the model made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Called {
    /// Of a function.
    Function(Call),
    /// Of something else, such as a tool with free text: its id and its kind.
    Other {
        /// The id.
        id: String,
        /// The kind.
        kind: String,
    },
}

/// Asks the model and hears what it says.
pub(super) async fn take(
    model: &dyn Model,
    body: Bytes,
    streams: bool,
    round: u32,
    listener: Option<&Listener>,
) -> Result<Turn> {
    match model.ask(body, streams).await? {
        Reply::Whole(response, origin) => {
            let value = response.to_value()?;
            let turn = read(response, &value, round, origin)?;
            if let Some(listener) = listener {
                tell_whole(&turn, round, listener).await;
            }
            Ok(turn)
        }
        Reply::Stream(mut chunks, origin) => {
            let value = follow(chunks.as_mut(), round, listener).await?;
            read(RawJson::from_serialize(&value)?, &value, round, origin)
        }
    }
}

async fn tell_whole(turn: &Turn, round: u32, listener: &Listener) {
    let Ok(message) = turn.message.to_value() else {
        return;
    };
    for (field, is_text) in [("reasoning_content", false), ("content", true)] {
        if let Some(text) = message[field].as_str().filter(|text| !text.is_empty()) {
            let text = text.to_owned();
            let event = if is_text {
                Event::TextDelta { round, text }
            } else {
                Event::ReasoningDelta { round, text }
            };
            listener.tell(event).await;
        }
    }
    for called in &turn.calls {
        if let Called::Function(call) = called {
            let (id, name) = (call.id.clone(), call.name.clone());
            listener
                .tell(Event::ToolCallStarted {
                    round,
                    id: id.clone(),
                    name,
                    server: call.server.clone(),
                })
                .await;
            let text = call.arguments.clone();
            listener
                .tell(Event::ToolCallArguments { round, id, text })
                .await;
        }
    }
}

/// Reads a stream to its end.
async fn follow(chunks: &mut dyn Chunks, round: u32, listener: Option<&Listener>) -> Result<Value> {
    let mut rebuild = Rebuild::default();
    let mut started = Started::default();
    while let Some(batch) = chunks.next().await? {
        for text in batch {
            let chunk: Value = serde_json::from_slice(&text).map_err(|cause| {
                Error::new(
                    ErrorKind::ResponseValidation,
                    "a chunk of the stream is not JSON",
                )
                .with_source(cause)
            })?;
            if let Some(listener) = listener {
                if listener.wants_chunks {
                    let chunk = raw(&text);
                    listener.tell(Event::Chunk { round, chunk }).await;
                }
                for event in started.events(&chunk, round) {
                    listener.tell(event).await;
                }
            }
            rebuild.add(chunk);
        }
    }
    Ok(rebuild.finish())
}

/// The calls that have begun in a stream: the id of each, by its index.
#[derive(Debug, Default)]
struct Started(Vec<(u64, String)>);

impl Started {
    fn events(&mut self, chunk: &Value, round: u32) -> Vec<Event> {
        let mut events = Vec::new();
        let choices = chunk["choices"].as_array().map_or(&[][..], Vec::as_slice);
        for choice in choices {
            let delta = &choice["delta"];
            let text = |field: &str| {
                let text = delta[field].as_str().filter(|text| !text.is_empty());
                text.map(str::to_owned)
            };
            if let Some(text) = text("reasoning_content").or_else(|| text("reasoning")) {
                events.push(Event::ReasoningDelta { round, text });
            }
            if let Some(text) = text("content") {
                events.push(Event::TextDelta { round, text });
            }
            let fragments = delta["tool_calls"].as_array();
            for fragment in fragments.map_or(&[][..], Vec::as_slice) {
                self.fragment(fragment, round, &mut events);
            }
        }
        events
    }

    fn fragment(&mut self, fragment: &Value, round: u32, events: &mut Vec<Event>) {
        let last = self.0.last().map_or(0, |(index, _)| *index);
        let index = fragment["index"].as_u64().unwrap_or(last);
        let function = &fragment["function"];
        let given = fragment["id"].as_str().filter(|id| !id.is_empty());
        let name = function["name"].as_str().filter(|name| !name.is_empty());
        let known = self.0.iter().rev().find(|(known, _)| *known == index);
        let known = known.map(|(_, id)| id.clone());
        // As when the answer is put together: another id with a name is another call.
        let is_new = given.is_some_and(|given| known.as_deref() != Some(given) && name.is_some());
        let id = match (known, given) {
            (Some(known), _) if !is_new => known,
            (_, given) => {
                let (Some(id), Some(name)) = (given, name) else {
                    return;
                };
                self.0.push((index, id.to_owned()));
                events.push(Event::ToolCallStarted {
                    round,
                    id: id.to_owned(),
                    name: name.to_owned(),
                    server: None,
                });
                id.to_owned()
            }
        };
        if let Some(text) = function["arguments"]
            .as_str()
            .filter(|text| !text.is_empty())
        {
            let text = text.to_owned();
            events.push(Event::ToolCallArguments { round, id, text });
        }
    }
}

fn read(response: RawJson, value: &Value, round: u32, origin: Origin) -> Result<Turn> {
    let choice = &value["choices"][0];
    let Some(said) = choice["message"].as_object() else {
        let message = "the answer of the model has no message in its first choice";
        return Err(Error::new(ErrorKind::ResponseValidation, message));
    };
    let mut message = Map::new();
    for (name, value) in said {
        // Nulls say nothing, and some providers refuse them.
        if !value.is_null() || name == "content" {
            message.insert(name.clone(), value.clone());
        }
    }
    if !message.contains_key("role") {
        message.insert("role".into(), "assistant".into());
    }
    let mut calls = Vec::new();
    if let Some(Value::Array(made)) = message.get_mut("tool_calls") {
        for (place, call) in made.iter_mut().enumerate() {
            // A result says by its id which call it is of.
            if call["id"].as_str().is_none_or(str::is_empty)
                && let Some(call) = call.as_object_mut()
            {
                call.insert("id".into(), format!("call_{round}_{place}").into());
            }
            calls.push(called(call));
        }
    }
    Ok(Turn {
        calls,
        finish_reason: choice["finish_reason"].as_str().map(str::to_owned),
        usage: value["usage"].as_object().cloned(),
        message: RawJson::from_serialize(&message)?,
        response,
        origin,
    })
}

fn called(call: &Value) -> Called {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = text(&call["id"]);
    let function = &call["function"];
    if !function.is_object() {
        let kind = text(&call["type"]);
        return Called::Other { id, kind };
    }
    let arguments = match &function["arguments"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        // Some servers send the object itself.
        other => other.to_string(),
    };
    Called::Function(Call {
        id,
        name: text(&function["name"]),
        server: None,
        arguments,
    })
}
