//! A run as one chat completion: the caller of a model asks once, and sees the answer alone. Owns
//! [`whole`], [`stream`] and [`begun`].
//!
//! What the answer says of the way to it is LiteLLM's: `provider_specific_fields` of the message with
//! `mcp_list_tools`, `mcp_tool_calls` and `mcp_call_results`; in a stream the first of them comes with
//! the first chunk, the others with the last.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream as streams};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::event::{Event, Listener};
use super::model::{Model, Origin, Reply};
use super::outcome::{Call, Done, Outcome, Stop, add_usage};
use super::results;
use super::run::Run;
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::tools::result::chat::Room;

/// How much of a text waits, until it is taken for the answer rather than for what a model says before
/// it calls a tool.
const HELD_CHARACTERS: usize = 200;

/// What a stream shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// The last turn alone. What a model says is held back until its turn is over without a call, since
    /// no text tells whether one follows: the answer comes chunk by chunk, but when it is complete.
    #[default]
    Final,
    /// The answer as it is written. A text that a model begins with is held back while it may be the
    /// announcement of a call, for as long as it is shorter than 200 characters; a longer one is shown
    /// even if a call follows.
    Answer,
    /// Every chunk of every round.
    Everything,
}

/// The error of a run that asked as often as it may.
pub fn round_limit(outcome: &Outcome) -> Error {
    let names: Vec<_> = outcome
        .pending
        .iter()
        .map(|call| call.name.as_str())
        .collect();
    let message = format!(
        "the model still calls tools after {} rounds; its last calls are {}. Allow more rounds \
         (max_rounds), or ask for less at once",
        outcome.rounds,
        names.join(", ")
    );
    Error::new(ErrorKind::RoundLimit, message)
}

/// Runs to the end; a chat completion, and where the last answer of the model comes from. Calls that are
/// left to the caller are the calls of its message.
///
/// # Errors
/// What the model, or whoever was asked about a call, failed with; the rounds were not enough.
pub async fn whole(run: Run) -> Result<(RawJson, Origin)> {
    let mut outcome = run.go().await;
    match std::mem::replace(&mut outcome.stop, Stop::Finished) {
        Stop::Failed(error) => return Err(error),
        Stop::RoundLimit => return Err(round_limit(&outcome)),
        Stop::Finished | Stop::Approval | Stop::FunctionCalls => {}
    }
    let Some(response) = &outcome.response else {
        return Err(Error::new(
            ErrorKind::Internal,
            "a run ended without an answer",
        ));
    };
    let mut response = response.to_value()?;
    if let Some(message) = response["choices"][0]["message"].as_object_mut() {
        if !outcome.pending.is_empty() {
            let calls = outcome.pending.iter().map(as_called).collect();
            message.insert("tool_calls".into(), calls);
        }
        let fields = metadata(Some(&outcome.offered), &outcome.calls);
        tell(message, fields);
    }
    if !outcome.usage.is_empty() {
        response["usage"] = Value::Object(outcome.usage);
    }
    Ok((RawJson::from_serialize(&response)?, outcome.origin))
}

fn as_called(call: &Call) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    })
}

fn metadata(offered: Option<&RawJson>, calls: &[Done]) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(Value::Array(tools)) = offered.and_then(|offered| offered.to_value().ok())
        && !tools.is_empty()
    {
        fields.insert("mcp_list_tools".into(), Value::Array(tools));
    }
    if !calls.is_empty() {
        let called = calls.iter().map(|done| as_called(&done.call)).collect();
        fields.insert("mcp_tool_calls".into(), called);
        let results = calls.iter().map(|done| {
            json!({
                "tool_call_id": done.call.id,
                "result": results::text(done),
                "name": done.call.name,
            })
        });
        fields.insert("mcp_call_results".into(), results.collect());
    }
    fields
}

/// Adds fields to those that a message or a delta has for LiteLLM's users.
fn tell(message: &mut Map<String, Value>, fields: Map<String, Value>) {
    if fields.is_empty() {
        return;
    }
    match message.get_mut("provider_specific_fields") {
        Some(Value::Object(known)) => known.extend(fields),
        _ => {
            message.insert("provider_specific_fields".into(), Value::Object(fields));
        }
    }
}

/// Runs to the end; the chunks as server-sent events. Dropping the stream ends the run.
pub fn stream(run: Run, detail: Detail) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let (listener, events) = Listener::new(true);
    let showing = Showing {
        running: Some(run.streaming().heard_by(listener).go().boxed()),
        events,
        outcome: None,
        shown: Shown::new(detail),
    };
    streams::unfold(Some(showing), |showing| async move {
        let mut showing = showing?;
        match showing.next().await {
            Ok(Some(text)) => Some((Ok(text), Some(showing))),
            Ok(None) => {
                let ended = showing.end();
                Some((ended, None))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// As [`stream`], once the model has begun to answer; with where that answer comes from.
///
/// # Errors
/// It never began.
pub async fn begun(
    run: Run,
    detail: Detail,
) -> Result<(
    Origin,
    impl Stream<Item = Result<Bytes>> + Send + Unpin + 'static,
)> {
    let (sender, mut first) = oneshot::channel();
    let announced = |model| -> Arc<dyn Model> {
        let first = Mutex::new(Some(sender));
        Arc::new(Announced { model, first })
    };
    let mut events = Box::pin(stream(run.asking(announced), detail));
    let (origin, early) = tokio::select! {
        biased;
        Ok(origin) = &mut first => (origin, None),
        event = events.next() => match event {
            Some(Err(error)) => return Err(error),
            event => (first.try_recv().unwrap_or_default(), event),
        },
    };
    let events: Pin<Box<dyn Stream<Item = _> + Send>> = events;
    Ok((origin, streams::iter(early).chain(events)))
}

/// A model that says when it has begun to answer for the first time.
#[derive(Debug)]
struct Announced {
    model: Arc<dyn Model>,
    first: Mutex<Option<oneshot::Sender<Origin>>>,
}

impl Model for Announced {
    fn room(&self) -> Room {
        self.model.room()
    }

    fn ask(&self, body: Bytes, streams: bool) -> BoxFuture<'_, Result<Reply>> {
        async move {
            let reply = self.model.ask(body, streams).await?;
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(first) = first.take() {
                // Whoever wanted to know may be gone.
                let _ = first.send(reply.origin().clone());
            }
            Ok(reply)
        }
        .boxed()
    }
}

struct Showing {
    running: Option<BoxFuture<'static, Outcome>>,
    events: mpsc::Receiver<Event>,
    outcome: Option<Outcome>,
    shown: Shown,
}

impl Showing {
    /// What is to be shown next; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let event = match &mut self.running {
                Some(running) => tokio::select! {
                    biased;
                    event = self.events.recv() => event,
                    outcome = running => {
                        self.outcome = Some(outcome);
                        self.running = None;
                        continue;
                    }
                },
                None => self.events.recv().await,
            };
            let Some(event) = event else {
                if self.running.is_some() {
                    // The run drops its listener when it is over, and says so right after.
                    let running = self.running.take();
                    if let Some(running) = running {
                        self.outcome = Some(running.await);
                    }
                }
                return Ok(None);
            };
            let text = self.shown.hear(event);
            if !text.is_empty() {
                return Ok(Some(Bytes::from(text)));
            }
        }
    }

    fn end(&mut self) -> Result<Bytes> {
        let Some(mut outcome) = self.outcome.take() else {
            return Err(Error::new(
                ErrorKind::Internal,
                "a run ended without an outcome",
            ));
        };
        match std::mem::replace(&mut outcome.stop, Stop::Finished) {
            Stop::Failed(error) => Err(error),
            Stop::RoundLimit => Err(round_limit(&outcome)),
            Stop::Finished | Stop::Approval | Stop::FunctionCalls => {
                Ok(Bytes::from(self.shown.end(&outcome)))
            }
        }
    }
}

/// What becomes of the chunks of one round.
enum Round {
    /// They wait, with so many characters of text.
    Held(Vec<Value>, usize),
    /// They are shown.
    Live,
    /// They are not.
    Hidden,
}

struct Shown {
    detail: Detail,
    number: u32,
    round: Round,
    offered: Option<RawJson>,
    calls: Vec<(Call, String)>,
    /// What the rounds before took.
    usage: Map<String, Value>,
    /// Of the first chunk that was shown: all have the same.
    id: Option<Value>,
    /// A chunk without its choices, for what is added.
    frame: Map<String, Value>,
    has_told_tools: bool,
    has_told_role: bool,
    wants_usage: bool,
}

impl Shown {
    fn new(detail: Detail) -> Self {
        Self {
            detail,
            number: 0,
            round: Round::Hidden,
            offered: None,
            calls: Vec::new(),
            usage: Map::new(),
            id: None,
            frame: Map::new(),
            has_told_tools: false,
            has_told_role: false,
            wants_usage: false,
        }
    }

    fn hear(&mut self, event: Event) -> Vec<u8> {
        let mut text = Vec::new();
        match event {
            Event::Offered { tools, .. } => {
                self.offered = Some(RawJson::trusted(tools.get().to_owned()));
            }
            Event::Chunk { round, chunk } => {
                let Ok(chunk) = serde_json::from_str(chunk.get()) else {
                    return text;
                };
                if round != self.number {
                    self.number = round;
                    self.round = match self.detail {
                        Detail::Final | Detail::Answer => Round::Held(Vec::new(), 0),
                        Detail::Everything => Round::Live,
                    };
                }
                self.chunk(chunk, &mut text);
            }
            Event::RoundFinished { usage, .. } => {
                // What was held and had no call is the answer.
                if let Round::Held(held, _) = std::mem::replace(&mut self.round, Round::Live) {
                    for chunk in held {
                        self.show(chunk, &mut text);
                    }
                }
                if let Some(Value::Object(usage)) = usage {
                    add_usage(&mut self.usage, &usage);
                }
            }
            Event::ToolCallFinished {
                id,
                name,
                result,
                server,
                arguments,
                ..
            } => {
                let arguments = arguments.map_or_else(String::new, |sent| sent.get().to_owned());
                let call = Call {
                    id,
                    name,
                    server,
                    arguments,
                };
                self.calls.push((call, results::text_of(result.get())));
            }
            _ => {}
        }
        text
    }

    fn chunk(&mut self, mut chunk: Value, text: &mut Vec<u8>) {
        if self.detail == Detail::Everything {
            self.show(chunk, text);
            return;
        }
        let choices = chunk["choices"].as_array().map_or(&[][..], Vec::as_slice);
        let calls = choices.iter().any(|choice| {
            let calls = choice["delta"]["tool_calls"].as_array();
            calls.is_some_and(|calls| !calls.is_empty()) || choice["finish_reason"] == "tool_calls"
        });
        let ends = choices
            .iter()
            .any(|choice| choice["finish_reason"].is_string());
        let length = |choice: &Value| choice["delta"]["content"].as_str().map_or(0, str::len);
        let length: usize = choices.iter().map(length).sum();
        match &mut self.round {
            Round::Hidden => {}
            Round::Held(..) if calls => self.round = Round::Hidden,
            Round::Live if calls => {
                self.round = Round::Hidden;
                // What it says beside the call belongs to what was shown.
                if length > 0 {
                    for choice in chunk["choices"].as_array_mut().into_iter().flatten() {
                        choice["finish_reason"] = Value::Null;
                        if let Some(delta) = choice["delta"].as_object_mut() {
                            delta.remove("tool_calls");
                        }
                    }
                    self.show(chunk, text);
                }
            }
            Round::Live => self.show(chunk, text),
            Round::Held(held, characters) => {
                *characters += length;
                held.push(chunk);
                let is_enough = ends || *characters > HELD_CHARACTERS;
                if is_enough && self.detail == Detail::Answer {
                    let held = std::mem::take(held);
                    self.round = Round::Live;
                    for chunk in held {
                        self.show(chunk, text);
                    }
                }
            }
        }
    }

    fn show(&mut self, mut chunk: Value, text: &mut Vec<u8>) {
        let Some(object) = chunk.as_object_mut() else {
            return;
        };
        if let Some(first) = &self.id {
            object.insert("id".into(), first.clone());
        } else {
            self.id = object.get("id").cloned();
            self.frame.clone_from(object);
            self.frame.remove("usage");
        }
        if let Some(Value::Object(usage)) = object.get_mut("usage")
            && self.detail != Detail::Everything
        {
            self.wants_usage = true;
            let mut sum = self.usage.clone();
            add_usage(&mut sum, usage);
            *usage = sum;
        }
        for choice in object
            .get_mut("choices")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let ends =
                choice["finish_reason"].is_string() && choice["finish_reason"] != "tool_calls";
            let Some(choice) = choice.as_object_mut() else {
                continue;
            };
            let delta = choice.entry("delta").or_insert_with(|| json!({}));
            let Some(delta) = delta.as_object_mut() else {
                continue;
            };
            if delta.contains_key("role") && std::mem::replace(&mut self.has_told_role, true) {
                delta.remove("role");
            }
            if !std::mem::replace(&mut self.has_told_tools, true) {
                tell(delta, metadata(self.offered.as_ref(), &[]));
            }
            if ends {
                tell(delta, self.carried_out());
            }
        }
        write(&chunk, text);
    }

    fn carried_out(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        if !self.calls.is_empty() {
            let calls = self.calls.iter().map(|(call, _)| as_called(call));
            fields.insert("mcp_tool_calls".into(), calls.collect());
            let results = self.calls.iter().map(|(call, result)| {
                json!({"tool_call_id": call.id, "result": result, "name": call.name})
            });
            fields.insert("mcp_call_results".into(), results.collect());
        }
        fields
    }

    /// What is left to say when the run is over: the calls that are the caller's.
    fn end(&mut self, outcome: &Outcome) -> Vec<u8> {
        let mut text = Vec::new();
        if !outcome.pending.is_empty() && self.detail != Detail::Everything {
            let frame = outcome
                .response
                .as_ref()
                .and_then(|response| response.to_value().ok());
            let mut chunk = std::mem::take(&mut self.frame);
            if let (true, Some(Value::Object(response))) = (chunk.is_empty(), frame) {
                for name in ["id", "created", "model", "system_fingerprint"] {
                    if let Some(value) = response.get(name) {
                        chunk.insert(name.to_owned(), value.clone());
                    }
                }
            }
            let calls = outcome.pending.iter().enumerate().map(|(place, call)| {
                let mut called = as_called(call);
                called["index"] = place.into();
                called
            });
            let delta = json!({"role": "assistant", "tool_calls": calls.collect::<Vec<_>>()});
            chunk.insert("object".into(), "chat.completion.chunk".into());
            let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
            chunk.insert("choices".into(), json!([choice]));
            self.show(Value::Object(chunk.clone()), &mut text);
            let mut delta = Map::new();
            tell(&mut delta, self.carried_out());
            let choice = json!({"index": 0, "delta": delta, "finish_reason": "tool_calls"});
            chunk.insert("choices".into(), json!([choice]));
            self.show(Value::Object(chunk.clone()), &mut text);
            if !outcome.usage.is_empty() && !self.wants_usage {
                chunk.insert("choices".into(), json!([]));
                chunk.insert("usage".into(), Value::Object(outcome.usage.clone()));
                self.usage.clear();
                self.show(Value::Object(chunk), &mut text);
            }
        }
        text.extend_from_slice(b"data: [DONE]\n\n");
        text
    }
}

fn write(chunk: &Value, text: &mut Vec<u8>) {
    text.extend_from_slice(b"data: ");
    // A value that was read can be written.
    let _ = serde_json::to_writer(&mut *text, chunk);
    text.extend_from_slice(b"\n\n");
}
