//! Runs that are recorded to a file and replayed from it, without any model and any server. Owns
//! [`Cassette`].
//!
//! The file is YAML: a list of what was asked and what was answered, each as JSON text. Headers and keys
//! never are in it, and what is known to be secret is taken out of the rest.
//!
//! | module | owns |
//! |---|---|
//! | `failure` | what a request failed with |

mod failure;

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use self::failure::Failure;
use super::model::known::Played;
use super::model::{Chunks, Model, Origin, Reply};
use super::toolbox::{CallTerms, Tool, Toolbox};
use crate::document::{Data, Document, Node};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::llm::failure::Redactor;
use crate::tools::result::chat::Room;

/// The form of the file.
const VERSION: u64 = 1;
/// Members whose values are secrets wherever they stand, in lower case and without `-` and `_`.
const SECRET_NAMES: [&str; 9] = [
    "accesstoken",
    "apikey",
    "authorization",
    "clientsecret",
    "cookie",
    "password",
    "privatekey",
    "refreshtoken",
    "secret",
];
const REDACTED: &str = "[redacted]";

/// One question and its answer.
#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    asked: Value,
    answer: Answer,
    is_used: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A request to the model.
    Model,
    /// The list of the tools.
    Tools,
    /// A call of a tool.
    Call,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Model, Self::Tools, Self::Call];

    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Tools => "tools",
            Self::Call => "call",
        }
    }
}

#[derive(Debug, Clone)]
enum Answer {
    /// A chat completion, a list of tools, the result of a call.
    Given(Value),
    /// The chunks of a stream.
    Chunks(Vec<Value>),
    /// What it failed with.
    Failed(Failure),
}

/// What is on the tape, and what is done with it.
pub struct Cassette {
    path: PathBuf,
    is_replaying: bool,
    tape: Mutex<Tape>,
}

#[derive(Default)]
struct Tape {
    entries: Vec<Entry>,
    redactor: Redactor,
}

impl fmt::Debug for Cassette {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cassette")
            .field("path", &self.path)
            .field("is_replaying", &self.is_replaying)
            .finish_non_exhaustive()
    }
}

impl Cassette {
    /// One that records, to be written to this file.
    pub fn record(path: PathBuf) -> Self {
        Self {
            path,
            is_replaying: false,
            tape: Mutex::default(),
        }
    }

    /// One that replays what this file holds.
    ///
    /// # Errors
    /// It cannot be read, or is no cassette.
    pub fn replay(path: PathBuf) -> Result<Self> {
        let document = Document::read(&path)?;
        let version = document.root.get("version").map(|version| &version.data);
        if !matches!(version, Some(Data::Number(version)) if *version == VERSION.to_string()) {
            return Err(unusable(&path, &format!("its version is not {VERSION}")));
        }
        let list = document.root.get("interactions").map(|list| &list.data);
        let Some(Data::List(list)) = list else {
            return Err(unusable(&path, "it has no list of interactions"));
        };
        let entries = list.iter().enumerate().map(|(place, one)| {
            read_entry(one).map_err(|why| unusable(&path, &format!("interaction {place} {why}")))
        });
        let entries = entries.collect::<Result<_>>()?;
        Ok(Self {
            path,
            is_replaying: true,
            tape: Mutex::new(Tape {
                entries,
                redactor: Redactor::default(),
            }),
        })
    }

    /// Whether it replays.
    pub fn is_replaying(&self) -> bool {
        self.is_replaying
    }

    /// Says which texts are secrets: they are taken out wherever they stand.
    pub fn hide(&self, secrets: Vec<String>) {
        self.tape().redactor = Redactor::new(secrets);
    }

    /// A model that is recorded, or replaced by what is on the tape.
    pub fn model(self: &Arc<Self>, model: Arc<dyn Model>) -> Arc<dyn Model> {
        Arc::new(TapedModel {
            cassette: Arc::clone(self),
            model,
        })
    }

    /// The same of tools.
    pub fn toolbox(self: &Arc<Self>, tools: Arc<dyn Toolbox>) -> Arc<dyn Toolbox> {
        Arc::new(TapedTools {
            cassette: Arc::clone(self),
            tools,
        })
    }

    /// The file as it is to be written; none where nothing was recorded.
    pub fn written(&self) -> Option<String> {
        let tape = self.tape();
        if self.is_replaying || tape.entries.is_empty() {
            return None;
        }
        let mut text = format!(
            "# A recorded run of toolbridge. Headers and keys are not in it.\nversion: {VERSION}\ninteractions:\n"
        );
        for entry in &tape.entries {
            text.push_str("- kind: ");
            text.push_str(entry.kind.name());
            text.push('\n');
            write_text("asked", &entry.asked, &mut text);
            match &entry.answer {
                Answer::Given(answer) => write_text("answer", answer, &mut text),
                Answer::Chunks(chunks) => {
                    write_text("chunks", &Value::Array(chunks.clone()), &mut text);
                }
                Answer::Failed(failure) => write_text("failed", &failure.to_value(), &mut text),
            }
        }
        Some(text)
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, kind: Kind, asked: &Value, answer: Answer) {
        let mut tape = self.tape();
        let hidden = |value: &Value| hidden(value.clone(), &tape.redactor);
        let entry = Entry {
            kind,
            asked: hidden(asked),
            answer: match answer {
                Answer::Given(answer) => Answer::Given(hidden(&answer)),
                Answer::Chunks(chunks) => Answer::Chunks(chunks.iter().map(hidden).collect()),
                Answer::Failed(failure) => Answer::Failed(failure.redacted(&tape.redactor)),
            },
            is_used: false,
        };
        tape.entries.push(entry);
    }

    /// The first answer to this that was not given yet; the last one given where all were.
    fn find(&self, kind: Kind, asked: &Value) -> Result<Answer> {
        let mut tape = self.tape();
        let asked = hidden(asked.clone(), &tape.redactor);
        let same = |entry: &Entry| entry.kind == kind && entry.asked == asked;
        // The list of tools may be asked for more often than it was.
        let is_repeatable = kind == Kind::Tools;
        let found = tape
            .entries
            .iter()
            .position(|entry| same(entry) && !entry.is_used);
        let found = found.or_else(|| {
            is_repeatable
                .then(|| tape.entries.iter().rposition(same))
                .flatten()
        });
        let Some(found) = found else {
            return Err(self.absent(kind, &asked, &tape));
        };
        let entry = &mut tape.entries[found];
        entry.is_used = true;
        Ok(entry.answer.clone())
    }

    fn absent(&self, kind: Kind, asked: &Value, tape: &Tape) -> Error {
        let left = tape
            .entries
            .iter()
            .find(|entry| entry.kind == kind && !entry.is_used);
        let difference = match left {
            None => "there is none left of its kind".to_owned(),
            Some(entry) => {
                let place = difference(&entry.asked, asked, String::new());
                format!("the next one differs at {place}")
            }
        };
        let message = format!(
            "{} has no answer to this {} request: {difference}. Record it anew if the change is meant",
            self.path.display(),
            kind.name()
        );
        Error::new(ErrorKind::Configuration, message)
    }
}

fn unusable(path: &Path, why: &str) -> Error {
    let message = format!("{} is no cassette: {why}", path.display());
    Error::new(ErrorKind::Configuration, message)
}

fn read_entry(one: &Node) -> Result<Entry, String> {
    let text = |name: &str| match one.get(name).map(|node| &node.data) {
        Some(Data::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let kind = text("kind").unwrap_or_default();
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
    let kind = kind.ok_or("is of no kind that there is: model, tools, call")?;
    let read = |name: &str| -> Result<Option<Value>, String> {
        let Some(text) = text(name) else {
            return Ok(None);
        };
        let value = serde_json::from_str(text);
        value
            .map(Some)
            .map_err(|cause| format!("has no JSON under {name}: {cause}"))
    };
    let asked = read("asked")?.ok_or("has no question (asked)")?;
    let answer = match (read("answer")?, read("chunks")?, read("failed")?) {
        (Some(answer), ..) => Answer::Given(answer),
        (None, Some(Value::Array(chunks)), _) => Answer::Chunks(chunks),
        (None, _, Some(failure)) => Answer::Failed(Failure::read(&failure)?),
        _ => return Err("has no answer (answer, chunks or failed)".to_owned()),
    };
    Ok(Entry {
        kind,
        asked,
        answer,
        is_used: false,
    })
}

/// A member whose value is JSON text, as a YAML block.
fn write_text(name: &str, value: &Value, text: &mut String) {
    text.push_str("  ");
    text.push_str(name);
    text.push_str(": |\n");
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    for line in pretty.lines() {
        text.push_str("    ");
        for character in line.chars() {
            // What YAML does not take as it is; all of it stands in strings.
            if matches!(
                character,
                '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
            ) {
                // Writing to a text does not fail.
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            } else {
                text.push(character);
            }
        }
        text.push('\n');
    }
}

fn hidden(value: Value, redactor: &Redactor) -> Value {
    match value {
        Value::String(text) => Value::String(redactor.redact(&text).into_owned()),
        Value::Array(list) => list.into_iter().map(|one| hidden(one, redactor)).collect(),
        Value::Object(object) => {
            let members = object.into_iter().map(|(name, value)| {
                let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
                let is_secret = SECRET_NAMES.contains(&plain.to_ascii_lowercase().as_str());
                let value = if is_secret && value.is_string() {
                    REDACTED.into()
                } else {
                    hidden(value, redactor)
                };
                (name, value)
            });
            Value::Object(members.collect())
        }
        other => other,
    }
}

/// Where two values part ways, as a JSON pointer.
fn difference(one: &Value, other: &Value, place: String) -> String {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in other {
                let inner = format!("{place}/{name}");
                match one.get(name) {
                    Some(known) if known == value => {}
                    Some(known) => return difference(known, value, inner),
                    None => return inner,
                }
            }
            let gone = one.keys().find(|name| !other.contains_key(*name));
            gone.map_or(place.clone(), |name| format!("{place}/{name}"))
        }
        (Value::Array(one), Value::Array(other)) => {
            for (index, (known, value)) in one.iter().zip(other).enumerate() {
                if known != value {
                    return difference(known, value, format!("{place}/{index}"));
                }
            }
            format!("{place}/{}", one.len().min(other.len()))
        }
        _ => place,
    }
}

#[derive(Debug)]
struct TapedModel {
    cassette: Arc<Cassette>,
    model: Arc<dyn Model>,
}

impl TapedModel {
    fn replay(&self, asked: &Value) -> Result<Reply> {
        match self.cassette.find(Kind::Model, asked)? {
            Answer::Given(answer) => {
                let answer = RawJson::from_serialize(&answer)?;
                Ok(Reply::Whole(answer, Origin::default()))
            }
            Answer::Chunks(chunks) => {
                let chunks = chunks.iter().map(|chunk| Bytes::from(chunk.to_string()));
                let played = Played {
                    chunks: chunks.collect(),
                    ending: None,
                };
                Ok(Reply::Stream(Box::new(played), Origin::default()))
            }
            Answer::Failed(failure) => Err(failure.error(ErrorKind::Api)),
        }
    }

    async fn record(&self, body: Bytes, asked: Value, streams: bool) -> Result<Reply> {
        let keep = |answer| self.cassette.keep(Kind::Model, &asked, answer);
        match self.model.ask(body, streams).await {
            Ok(Reply::Whole(answer, origin)) => {
                keep(Answer::Given(answer.to_value()?));
                Ok(Reply::Whole(answer, origin))
            }
            Ok(Reply::Stream(chunks, origin)) => {
                let recorded = Recorded {
                    chunks,
                    cassette: Arc::clone(&self.cassette),
                    asked,
                    seen: Vec::new(),
                };
                Ok(Reply::Stream(Box::new(recorded), origin))
            }
            Err(error) => {
                keep(Answer::Failed(Failure::of(&error)));
                Err(error)
            }
        }
    }
}

impl Model for TapedModel {
    fn room(&self) -> Room {
        self.model.room()
    }

    fn ask(&self, body: Bytes, streams: bool) -> BoxFuture<'_, Result<Reply>> {
        async move {
            let asked = RawJson::trusted(body.clone()).to_value()?;
            if self.cassette.is_replaying {
                return self.replay(&asked);
            }
            self.record(body, asked, streams).await
        }
        .boxed()
    }
}

#[derive(Debug)]
struct Recorded {
    chunks: Box<dyn Chunks>,
    cassette: Arc<Cassette>,
    asked: Value,
    seen: Vec<Value>,
}

impl Recorded {
    async fn follow(&mut self) -> Result<Option<VecDeque<Bytes>>> {
        match self.chunks.next().await {
            Ok(Some(chunks)) => {
                let read = |chunk: &Bytes| serde_json::from_slice(chunk).ok();
                self.seen.extend(chunks.iter().filter_map(read));
                Ok(Some(chunks))
            }
            Ok(None) => {
                let seen = Answer::Chunks(std::mem::take(&mut self.seen));
                self.cassette.keep(Kind::Model, &self.asked, seen);
                Ok(None)
            }
            Err(error) => {
                let failure = Answer::Failed(Failure::of(&error));
                self.cassette.keep(Kind::Model, &self.asked, failure);
                Err(error)
            }
        }
    }
}

impl Chunks for Recorded {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<VecDeque<Bytes>>>> {
        self.follow().boxed()
    }
}

#[derive(Debug)]
struct TapedTools {
    cassette: Arc<Cassette>,
    tools: Arc<dyn Toolbox>,
}

impl TapedTools {
    async fn list(&self) -> Result<(u64, Arc<Vec<Tool>>)> {
        if self.cassette.is_replaying {
            let Answer::Given(Value::Array(list)) =
                self.cassette.find(Kind::Tools, &Value::Null)?
            else {
                let message = "the list of tools on the cassette is none";
                return Err(Error::new(ErrorKind::Configuration, message));
            };
            let tools = list.iter().map(|tool| {
                Ok(Tool {
                    name: tool["tool"]["name"].as_str().unwrap_or_default().to_owned(),
                    server: tool["server"].as_str().map(str::to_owned),
                    own_name: tool["own_name"].as_str().map(str::to_owned),
                    described: RawJson::from_serialize(&tool["tool"])?,
                })
            });
            return Ok((0, Arc::new(tools.collect::<Result<_>>()?)));
        }
        let (version, tools) = self.tools.tools().await?;
        let mut list = Vec::with_capacity(tools.len());
        for tool in tools.iter() {
            list.push(json!({
                "server": tool.server,
                "own_name": tool.own_name,
                "tool": tool.described.to_value()?,
            }));
        }
        let list = Value::Array(list);
        // It is asked for in every round, and seldom another one.
        let is_known = matches!(
            self.cassette.tape().entries.iter().rfind(|entry| entry.kind == Kind::Tools),
            Some(Entry { answer: Answer::Given(known), .. }) if *known == list
        );
        if !is_known {
            self.cassette
                .keep(Kind::Tools, &Value::Null, Answer::Given(list));
        }
        Ok((version, tools))
    }

    async fn carry_out(
        &self,
        name: String,
        arguments: RawJson,
        terms: CallTerms,
    ) -> Result<RawJson> {
        let asked = json!({"name": name, "arguments": arguments.to_value()?});
        if self.cassette.is_replaying {
            return match self.cassette.find(Kind::Call, &asked)? {
                Answer::Given(result) => RawJson::from_serialize(&result),
                Answer::Failed(failure) => Err(failure.error(ErrorKind::Mcp)),
                Answer::Chunks(_) => {
                    Err(Error::new(ErrorKind::Configuration, "a call has no chunks"))
                }
            };
        }
        let outcome = self.tools.call(name, arguments, terms).await;
        let answer = match &outcome {
            Ok(result) => Answer::Given(result.to_value()?),
            Err(error) => Answer::Failed(Failure::of(error)),
        };
        self.cassette.keep(Kind::Call, &asked, answer);
        outcome
    }
}

impl Toolbox for TapedTools {
    fn tools(&self) -> BoxFuture<'_, Result<(u64, Arc<Vec<Tool>>)>> {
        self.list().boxed()
    }

    fn call(
        &self,
        name: String,
        arguments: RawJson,
        terms: CallTerms,
    ) -> BoxFuture<'_, Result<RawJson>> {
        self.carry_out(name, arguments, terms).boxed()
    }
}
