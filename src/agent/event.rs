//! What a run tells while it goes on. Owns [`Event`] and [`Listener`].

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

/// How many events wait for their reader before the run waits for it.
const MAXIMUM_WAITING: usize = 256;

/// What happened. As JSON it has its name as `type`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A piece of what the model says.
    TextDelta {
        /// Counts the questions to the model, from 1.
        round: u32,
        /// The piece.
        text: String,
    },
    /// A piece of what the model thinks.
    ReasoningDelta {
        /// As above.
        round: u32,
        /// The piece.
        text: String,
    },
    /// The model began to call a tool.
    ToolCallStarted {
        /// As above.
        round: u32,
        /// The id of the call.
        id: String,
        /// The tool.
        name: String,
        /// Whose it is, if it is known.
        server: Option<String>,
    },
    /// A piece of the arguments of a call, text of JSON.
    ToolCallArguments {
        /// As above.
        round: u32,
        /// The id of the call.
        id: String,
        /// The piece.
        text: String,
    },
    /// A tool tells how far it is.
    ToolCallProgress {
        /// As above.
        round: u32,
        /// The id of the call.
        id: String,
        /// The parameters of MCP's `notifications/progress`: `progress`, `total`, `message`.
        #[serde(flatten)]
        report: Value,
    },
    /// A call is over.
    ToolCallFinished {
        /// As above.
        round: u32,
        /// The id of the call.
        id: String,
        /// The tool.
        name: String,
        /// Whose it is, if it is known.
        server: Option<String>,
        /// What it was called with, if that was an object.
        arguments: Option<Box<RawValue>>,
        /// MCP's `CallToolResult`; where the call was not made, or failed, one that says why.
        result: Box<RawValue>,
        /// Whether it failed.
        is_error: bool,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// The model has said all that it says in this round.
    RoundFinished {
        /// As above.
        round: u32,
        /// Its message.
        message: Box<RawValue>,
        /// Why it stopped.
        finish_reason: Option<String>,
        /// What the round took, if the provider reported it.
        usage: Option<Value>,
    },
    /// The tools of servers that are offered, for listeners that asked for chunks.
    Offered {
        /// As above.
        round: u32,
        /// Their definitions, as in OpenAI's `tools`.
        tools: Box<RawValue>,
    },
    /// A chunk of the model's stream, for listeners that asked for them.
    Chunk {
        /// As above.
        round: u32,
        /// The chunk.
        chunk: Box<RawValue>,
    },
}

/// Who hears of it.
#[derive(Debug, Clone)]
pub struct Listener {
    sender: mpsc::Sender<Event>,
    /// Whether chunks are told too.
    pub wants_chunks: bool,
}

impl Listener {
    /// One, and where its events come out.
    pub fn new(wants_chunks: bool) -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(MAXIMUM_WAITING);
        let listener = Self {
            sender,
            wants_chunks,
        };
        (listener, receiver)
    }

    /// Tells an event; waits while too many of them wait for their reader.
    pub async fn tell(&self, event: Event) {
        // A reader that is gone does not stop the run: whoever dropped it drops the run as well.
        let _ = self.sender.send(event).await;
    }

    /// Tells an event that may be lost.
    pub fn mention(&self, event: Event) {
        let _ = self.sender.try_send(event);
    }
}

/// The text of a JSON value for an event.
pub(super) fn raw(text: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(text).into_owned();
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
