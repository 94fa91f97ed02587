//! What it costs to turn chat completions into the protocols of providers and back: no socket, no
//! Python.
//!
//! Speaks the line protocol of `benches/peers/measure.py`. A row is `request_…`, `answer_…` or
//! `event_…` with the name of a protocol: one request with pictures, tools and their results, from
//! JSON text to JSON text; one answer with tool calls likewise; one event of a stream, the mean of all
//! events of one. `benches/peers/conversions.py` asks litellm for the same.

#[path = "../servers/event_frame.rs"]
mod event_frame;
mod measure;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value};
use toolbridge::llm::conversion::{Conversion, Notes};
use toolbridge::llm::framing::Framer;
use toolbridge::llm::types::chat::ChatRequest;
use toolbridge::llm::wire::Wire;

use measure::Failure;

/// What one sample repeats, so that the clock is not what it shows.
const REPEATED: u32 = 200;

/// A protocol: its name in the rows, the model that is asked, and its fixtures with the ending of
/// those of streams.
const PROTOCOLS: &[(&str, Wire, &str, &str, &str)] = &[
    (
        "anthropic",
        Wire::Anthropic,
        "claude-sonnet-4-5",
        "anthropic",
        "sse",
    ),
    (
        "bedrock",
        Wire::Converse,
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock",
        "events",
    ),
    ("gemini", Wire::Gemini, "gemini-2.5-flash", "gemini", "sse"),
    ("cohere", Wire::Cohere, "command-a-03-2025", "cohere", "sse"),
    (
        "mistral",
        Wire::Mistral,
        "mistral-large-latest",
        "chat",
        "sse",
    ),
    ("ollama", Wire::Ollama, "llama3.2", "ollama", "ndjson"),
    ("responses", Wire::Responses, "gpt-4o", "responses", "sse"),
];

/// One protocol with what is converted.
struct Work {
    conversion: &'static dyn Conversion,
    wire: Wire,
    notes: Notes,
    request: Bytes,
    answer: Bytes,
    stream: Bytes,
    /// How many events the stream has.
    events: u32,
}

fn main() -> Result<(), Failure> {
    measure::serve(|row, count| {
        let (kind, protocol) = row.split_once('_').ok_or("a row without a protocol")?;
        let work = Work::of(protocol)?;
        (0..count).map(|_| work.sample(kind)).collect()
    })
}

impl Work {
    fn of(protocol: &str) -> Result<Self, Failure> {
        let known = PROTOCOLS.iter().find(|(name, ..)| *name == protocol);
        let (_, wire, model, fixtures, ending) = known.ok_or("no such protocol")?;
        let read = |name: String| {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llm");
            std::fs::read(folder.join(name)).map(Bytes::from)
        };
        let cases: Map<String, Value> = serde_json::from_slice(&read("cases.json".to_owned())?)?;
        let mut request = cases.get("full").cloned().ok_or("no case full")?;
        request["model"] = Value::from(*model);
        let mut work = Self {
            conversion: wire.conversion().ok_or("nothing is converted")?,
            wire: *wire,
            notes: Notes {
                model: (*model).to_owned(),
                id: "chatcmpl-bench".to_owned(),
                ..Notes::default()
            },
            request: request.to_string().into(),
            answer: read(format!("answers/{fixtures}.tools.json"))?,
            stream: stream_of(*wire, read(format!("answers/{fixtures}.tools.{ending}"))?)?,
            events: 0,
        };
        work.events = work.stream()?;
        Ok(work)
    }

    /// The time of one conversion.
    fn sample(&self, kind: &str) -> Result<Duration, Failure> {
        let start = Instant::now();
        for _ in 0..REPEATED {
            match kind {
                "request" => self.request()?,
                "answer" => self.answer()?,
                "event" => {
                    self.stream()?;
                }
                _ => return Err(format!("no row {kind}").into()),
            }
        }
        let each = start.elapsed() / REPEATED;
        Ok(if kind == "event" {
            each / self.events
        } else {
            each
        })
    }

    fn request(&self) -> Result<(), Failure> {
        let body = serde_json::from_slice(&self.request)?;
        let mut request = ChatRequest::read(body)?;
        let mut notes = self.notes.clone();
        let body = self.conversion.request(&mut request, &mut notes)?;
        black_box(serde_json::to_vec(&body)?);
        Ok(())
    }

    fn answer(&self) -> Result<(), Failure> {
        black_box(
            self.conversion
                .answer(&self.answer, &self.notes)?
                .to_bytes(),
        );
        Ok(())
    }

    /// The whole stream; gives how many events it has.
    fn stream(&self) -> Result<u32, Failure> {
        let mut framer = Framer::new(self.wire.framing());
        let mut translator = self.conversion.stream(&self.notes);
        let (mut events, mut chunks) = (Vec::new(), Vec::new());
        framer.feed(&self.stream, &mut events)?;
        let mut count = 0;
        for event in events {
            // The end of Mistral's, which is no JSON.
            if event.data.as_ref() != b"[DONE]" {
                translator.event(&event.data, &mut chunks)?;
                count += 1;
            }
        }
        translator.end(&mut chunks);
        if chunks.is_empty() || count == 0 {
            return Err("a stream without chunks".into());
        }
        black_box(chunks);
        Ok(count)
    }
}

/// A stream as its endpoint sends it; that of AWS is framed, and a line of its fixture is an event.
fn stream_of(wire: Wire, fixture: Bytes) -> Result<Bytes, Failure> {
    if wire != Wire::Converse {
        return Ok(fixture);
    }
    let mut stream = Vec::new();
    for line in serde_json::Deserializer::from_slice(&fixture).into_iter::<Map<String, Value>>() {
        for (name, payload) in line? {
            stream.extend_from_slice(&event_frame::frame(&name, &payload)?);
        }
    }
    Ok(stream.into())
}
