//! Chat completions as other protocols have them, and back. Pure: no I/O, no clock but the one that
//! is handed in. Owns [`Conversion`]; one folder beside this file for each protocol.
//!
//! A conversion takes out of a request what it knows; parameters that it leaves are refused, dropped
//! or passed on by [`parameters`].

use std::fmt::Debug;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::types::chat::ChatRequest;
use super::types::chunk::ChunkWriter;
use super::types::completion::Completion;
use super::types::content::Part;
use super::types::fields::Unusable;

pub mod anthropic;
pub mod as_is;
pub mod bedrock;
mod cited;
pub mod cohere;
pub mod finish;
pub mod foreign;
pub mod gemini;
pub mod mistral;
pub mod ollama;
pub mod own_tools;
pub mod parameters;
pub mod reasoning;
pub mod replicate;
pub mod responses;
mod sound;
mod stand_in;

/// What the conversion of an answer has to know of its request.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// The model by the name that its provider knows.
    pub model: String,
    /// Seconds since 1970, for answers that do not say when they were made.
    pub now: u64,
    /// A random id, for answers that have none.
    pub id: String,
    /// Whether the caller asked for the usage at the end of a stream.
    pub include_usage: bool,
    /// The name of the tool that stands for a JSON answer: its arguments are the text.
    pub json_tool: Option<String>,
}

impl Notes {
    /// Those of a request.
    pub fn new(request: &ChatRequest, now: u64, id: String) -> Self {
        Self {
            model: request.model.clone(),
            now,
            id,
            include_usage: request.include_usage,
            json_tool: None,
        }
    }

    /// A writer for the stream that answers it.
    pub fn writer(&self) -> ChunkWriter {
        ChunkWriter::new(&self.id, self.now, &self.model, self.include_usage)
    }
}

/// Why a body, or an event of a stream, is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON at all, or cut short.
    #[error("not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON without what an answer has; the text says what that is, as in `no list "content"`.
    #[error("JSON with {0}")]
    Incomplete(&'static str),
    /// An error of the provider in place of the answer.
    #[error("an error object")]
    Error,
}

impl From<serde_json::Error> for Unreadable {
    fn from(cause: serde_json::Error) -> Self {
        if cause.is_data() {
            Self::Incomplete("members of other types than an answer has")
        } else {
            Self::NotJson(cause)
        }
    }
}

/// A protocol that chat completions are converted to and from.
pub trait Conversion: Debug + Sync {
    /// The body of the request. Takes out of `request` what it carries; the parameters that stay are
    /// those that the protocol does not have.
    fn request(
        &self,
        request: &mut ChatRequest,
        notes: &mut Notes,
    ) -> Result<Map<String, Value>, Unusable>;

    /// A whole answer.
    fn answer(&self, body: &[u8], notes: &Notes) -> Result<Completion, Unreadable>;

    /// What turns the events of a stream into chunks.
    fn stream(&self, notes: &Notes) -> Box<dyn Translator>;

    /// Whether the protocol carries what a URL names only as bytes, so that it has to be fetched.
    fn needs_bytes(&self, _part: &Part) -> bool {
        false
    }

    /// How an answer is followed up that is not the real one yet. None where the first always is.
    fn follow_up(&self) -> Option<FollowUp> {
        None
    }
}

/// How an answer is followed up that only says where the real one will be.
#[derive(Debug, Clone, Copy)]
pub struct FollowUp {
    /// A header that asks for the real answer at once, where it is there soon; not for streams.
    pub at_once: (&'static str, &'static str),
    /// What is asked next after an answer with this body, for a stream or for a whole answer. None
    /// where it is the real one.
    pub next: fn(body: &[u8], streams: bool) -> Option<Next>,
    /// Where the work of an answer with this body is ended, by a `POST`, when nobody waits for it any
    /// more. None where it is over.
    pub cancel: fn(body: &[u8]) -> Option<String>,
}

/// What is asked after an answer that is not the real one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The same question again, at this URL, after a while.
    Again(String),
    /// The stream at this URL.
    Stream(String),
}

/// Turns the events of one stream into chunks.
pub trait Translator: Debug + Send {
    /// Takes the data of an event and appends the chunks that it makes.
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable>;

    /// Nothing more comes; appends what was held back. Gives whether the answer is whole.
    fn end(&mut self, chunks: &mut Vec<Bytes>) -> bool;
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More comes.
    More,
    /// That was the last event.
    Done,
}
