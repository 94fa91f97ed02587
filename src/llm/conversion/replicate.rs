//! Replicate's predictions: <https://replicate.com/docs/reference/http>. A model there takes a text
//! and gives a text; a prediction is made, and asked for until it is over, or read as a stream.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Conversion, FollowUp, Next, Notes, Progress, Translator, Unreadable, finish, parameters,
};
use crate::llm::types::chat::{ChatRequest, Message, Role};
use crate::llm::types::chunk::ChunkWriter;
use crate::llm::types::completion::{AssistantMessage, Choice, Completion, Usage};
use crate::llm::types::content::PartKind;
use crate::llm::types::fields::{Fields, Unusable};

/// The conversion.
#[derive(Debug)]
pub struct Predictions;

/// Parameters of OpenAI's that many models take under the same name.
const SAME: [&str; 5] = [
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
];
/// What stands beside the input. Everything else that is unknown to OpenAI is input.
const BESIDE: [&str; 2] = ["webhook", "webhook_events_filter"];

impl Conversion for Predictions {
    fn request(
        &self,
        request: &mut ChatRequest,
        _notes: &mut Notes,
    ) -> Result<Map<String, Value>, Unusable> {
        convert(request)
    }

    fn answer(&self, body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
        answer(serde_json::from_slice(body)?, notes)
    }

    fn stream(&self, notes: &Notes) -> Box<dyn Translator> {
        Box::new(Events {
            writer: notes.writer(),
        })
    }

    fn follow_up(&self) -> Option<FollowUp> {
        Some(FollowUp {
            // Not as long as it can wait: until the answer comes, nobody can end the prediction.
            at_once: ("prefer", "wait=5"),
            next,
            cancel,
        })
    }
}

fn convert(request: &mut ChatRequest) -> Result<Map<String, Value>, Unusable> {
    let mut input = Map::new();
    let system = request.take_system();
    let system = system
        .into_iter()
        .map(text)
        .collect::<Result<Vec<_>, _>>()?;
    let messages = std::mem::take(&mut request.messages);
    input.insert("prompt".to_owned(), Value::from(prompt(messages)?));
    if !system.is_empty() {
        let system = system.join("\n\n");
        input.insert("system_prompt".to_owned(), Value::from(system));
    }
    if let Some(limit) = request.take_max_tokens()? {
        let model = request.model.to_ascii_lowercase();
        let name = if model.contains("llama-2") || model.contains("mistral-7b") {
            "max_new_tokens"
        } else if model.starts_with("openai/") {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        input.insert(name.to_owned(), Value::from(limit));
    }
    let stop = request.take_stop()?;
    if !stop.is_empty() {
        // One text there, with commas.
        let stop = stop.join(",");
        input.insert("stop_sequences".to_owned(), Value::from(stop));
    }
    for name in SAME {
        if let Some(value) = request.parameters.take(name) {
            input.insert(name.to_owned(), value);
        }
    }
    let mut body = Map::new();
    if let Some((_, version)) = request.model.split_once(':') {
        body.insert("version".to_owned(), Value::from(version));
    } else if !request.model.contains('/') {
        body.insert("version".to_owned(), Value::from(request.model.clone()));
    }
    let left = std::mem::replace(&mut request.parameters, Fields::root(Map::new()));
    for (name, value) in left.rest() {
        if parameters::OPENAI.contains(&name.as_str()) {
            request.parameters.put(&name, value);
        } else if BESIDE.contains(&name.as_str()) {
            body.insert(name, value);
        } else if !value.is_null() {
            input.insert(name, value);
        }
    }
    if !std::mem::take(&mut request.tools).is_empty() {
        request.parameters.put("tools", json!([]));
    }
    if request
        .response_format
        .take()
        .is_some_and(|format| !matches!(format, crate::llm::types::chat::ResponseFormat::Text))
    {
        request.parameters.put("response_format", Value::Bool(true));
    }
    body.insert("input".to_owned(), Value::Object(input));
    if request.stream {
        body.insert("stream".to_owned(), Value::Bool(true));
    }
    Ok(body)
}

/// One message is the prompt itself, several are a transcript.
fn prompt(mut messages: Vec<Message>) -> Result<String, Unusable> {
    if messages.len() == 1
        && let Some(only) = messages.pop_if(|message| message.role == Role::User)
    {
        return text(only);
    }
    let mut turns = Vec::with_capacity(messages.len() + 1);
    for message in messages {
        let speaker = match message.role {
            Role::Assistant => "Assistant",
            Role::Tool => "Tool",
            Role::User | Role::System => "User",
        };
        turns.push(format!("{speaker}: {}", text(message)?));
    }
    turns.push("Assistant:".to_owned());
    Ok(turns.join("\n\n"))
}

fn text(message: Message) -> Result<String, Unusable> {
    if let Some(call) = message.tool_calls.first() {
        let problem = "is a tool call, and models of Replicate take text alone";
        return Err(Unusable::new(&call.place, problem));
    }
    let parts = message.content.into_iter().map(|part| match part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => Ok(text),
        PartKind::Thinking(_) => Ok(String::new()),
        _ => Err(Unusable::new(
            part.place,
            "is no text, and a message to a model of Replicate is text alone: give what else the model \
             takes by the names of its inputs, as in image=…",
        )),
    });
    parts.collect()
}

#[derive(Deserialize)]
struct Prediction {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    status: String,
    #[serde(default)]
    output: Option<Value>,
    #[serde(default)]
    metrics: Option<Map<String, Value>>,
    #[serde(default)]
    urls: Map<String, Value>,
}

impl Prediction {
    fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "starting" | "processing" | "queued")
    }
}

fn next(body: &[u8], streams: bool) -> Option<Next> {
    let prediction: Prediction = serde_json::from_slice(body).ok()?;
    let failed = ["failed", "canceled", "aborted"].contains(&prediction.status.as_str());
    let url = |name: &str| prediction.urls.get(name)?.as_str().map(str::to_owned);
    if streams {
        // A stream is there to the end, and after it for a while.
        return url("stream").filter(|_| !failed).map(Next::Stream);
    }
    if prediction.is_over() {
        return None;
    }
    url("get").map(Next::Again)
}

fn cancel(body: &[u8]) -> Option<String> {
    let prediction: Prediction = serde_json::from_slice(body).ok()?;
    let url = prediction.urls.get("cancel")?.as_str().map(str::to_owned);
    url.filter(|_| !prediction.is_over())
}

fn answer(prediction: Prediction, notes: &Notes) -> Result<Completion, Unreadable> {
    match prediction.status.as_str() {
        "succeeded" => {}
        "failed" | "canceled" | "aborted" => return Err(Unreadable::Error),
        _ => {
            let what = "a prediction that is not over, and no URL where it can be read (a model may not stream: leave stream out)";
            return Err(Unreadable::Incomplete(what));
        }
    }
    let mut message = AssistantMessage::default();
    match prediction.output {
        None => message.push_text(""),
        Some(Value::String(text)) => message.push_text(&text),
        Some(Value::Array(pieces)) if pieces.iter().all(Value::is_string) => {
            let pieces = pieces.iter().filter_map(Value::as_str);
            message.push_text(&pieces.collect::<String>());
        }
        Some(other) => message.push_text(&other.to_string()),
    }
    let choice = Choice {
        index: 0,
        message,
        finish_reason: finish::reason("stop"),
        logprobs: None,
    };
    let mut completion = Completion::new(
        prediction.id.unwrap_or_else(|| notes.id.clone()),
        notes.now,
        prediction.model.unwrap_or_else(|| notes.model.clone()),
        choice,
    );
    if let Some(metrics) = prediction.metrics {
        let count = |name: &str| metrics.get(name).and_then(Value::as_u64);
        if let (Some(request), Some(said)) =
            (count("input_token_count"), count("output_token_count"))
        {
            completion.usage = Some(Usage::new(request, said));
        }
        let metrics = Value::Object(metrics);
        completion.rest.insert("metrics".to_owned(), metrics);
    }
    Ok(completion)
}

/// The events of a stream, by their names.
#[derive(Debug)]
struct Events {
    writer: ChunkWriter,
}

#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    data: String,
}

impl Translator for Events {
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable> {
        let event: Event = serde_json::from_slice(data)?;
        match event.event.as_str() {
            "output" => self.writer.text(&event.data),
            "error" => return Err(Unreadable::Error),
            "done" => {
                let said: Value = serde_json::from_str(&event.data).unwrap_or_default();
                if said["reason"]
                    .as_str()
                    .is_some_and(|reason| !reason.is_empty())
                {
                    return Err(Unreadable::Error);
                }
                self.writer.finish(finish::reason("stop"));
                return Ok(Progress::Done);
            }
            // Logs, and what nobody here knows.
            _ => {}
        }
        chunks.append(&mut self.writer.take());
        Ok(Progress::More)
    }

    fn end(&mut self, chunks: &mut Vec<Bytes>) -> bool {
        chunks.append(&mut self.writer.take());
        self.writer.is_finished()
    }
}
