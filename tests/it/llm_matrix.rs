//! The golden matrix of answers: every kind of answer as each protocol says it, and what a caller gets for
//! it, whole and as a stream. `fixtures/llm/matrix/wire` holds what providers say, one file for each
//! protocol, and where a protocol cannot say something, the reason; Python's tests let the official SDKs
//! judge it. `fixtures/llm/matrix/golden` holds what callers get; with `UPDATE_GOLDEN=1` it is written anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use toolbridge::llm::answer;
use toolbridge::llm::conversion::Notes;
use toolbridge::llm::framing::{Framer, Framing};
use toolbridge::llm::provider::Settings;
use toolbridge::llm::stream::Event;
use toolbridge::llm::wire::Wire;

use crate::llm_bytes::properties;
use crate::llm_conversion::bedrock::{event, frame};
use crate::llm_conversion::play::Play;

/// Every kind of answer.
const KINDS: &[&str] = &[
    "text",
    "several_texts",
    "tool_call",
    "parallel_tool_calls",
    "text_and_tool_call",
    "reasoning",
    "refusal",
    "length",
    "stop_sequence",
    "citations",
    "logprobs",
    "cached_tokens",
    "reasoning_tokens",
    "json_by_tool",
    "empty",
    "unknown",
    "image",
    "audio",
    "server_tool",
    "several_answers",
];

/// The file of a protocol, and a model that speaks it. Two models with one file get the same answers.
const PROTOCOLS: &[(&str, &str)] = &[
    ("anthropic", "anthropic/claude-3-haiku-20240307"),
    ("anthropic", "vertex_ai/claude-3-haiku@20240307"),
    ("bedrock", "bedrock/anthropic.claude-3-haiku-20240307-v1:0"),
    ("chat", "openai/gpt-4o"),
    ("chat", "sagemaker_chat/my-endpoint"),
    ("cohere", "cohere_chat/command-a-03-2025"),
    ("gemini", "gemini/gemini-2.5-flash"),
    ("mistral", "mistral/mistral-large-latest"),
    ("ollama", "ollama_chat/llama3.2"),
    ("replicate", "replicate/meta/meta-llama-3-70b-instruct"),
    ("responses", "openai/responses/gpt-4o"),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llm/matrix")
}

fn read(path: &PathBuf) -> Map<String, Value> {
    let text = std::fs::read(path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
    serde_json::from_slice(&text).unwrap()
}

fn wire_of(name: &str) -> Map<String, Value> {
    read(&folder().join(format!("wire/{name}.json")))
}

fn play(model: &str) -> Play {
    let options = json!({"vertex_project": "p", "vertex_location": "us-east5", "aws_region_name": "us-east-1"});
    let mut settings = Settings::default();
    settings.options.clone_from(options.as_object().unwrap());
    Play::with(model, settings)
}

/// What is known of the request: one that asks for JSON where a tool stands for the answer.
fn notes(play: &Play, kind: &str) -> Notes {
    if kind != "json_by_tool" {
        return play.notes();
    }
    let asked = json!({
        "messages": [{"role": "user", "content": "Answer in JSON."}],
        "response_format": {"type": "json_object"},
    });
    let (_, mut notes) = play.request(&asked).unwrap();
    notes.include_usage = true;
    notes
}

/// The bytes of a stream, framed as its protocol frames it.
fn framed(wire: Wire, events: &[Value]) -> Vec<u8> {
    let mut text = Vec::new();
    for one in events {
        match wire.framing() {
            Framing::Lines => text.extend(format!("{one}\n").bytes()),
            Framing::AwsEvents => {
                let (name, payload) = one.as_object().unwrap().iter().next().unwrap();
                text.extend(event(name, payload.to_string().as_bytes()));
            }
            Framing::NamedEvents => {
                let said = one["data"].as_str().unwrap();
                let lines: String = said.split('\n').fold(String::new(), |mut lines, line| {
                    writeln!(lines, "data: {line}").unwrap();
                    lines
                });
                let name = one["event"].as_str().unwrap();
                text.extend(format!("event: {name}\nid: 1\n{lines}\n").bytes());
            }
            Framing::Events | Framing::AwsParts => {
                if let Some(name) = one["type"].as_str() {
                    text.extend(format!("event: {name}\n").bytes());
                }
                text.extend(format!("data: {one}\n\n").bytes());
            }
            other => panic!("no test knows how streams of {other:?} are framed"),
        }
    }
    if matches!(wire, Wire::Chat | Wire::ChatInFrames | Wire::Mistral) {
        text.extend(b"data: [DONE]\n\n");
    }
    if wire == Wire::ChatInFrames {
        // A frame ends anywhere.
        let headers = [(":event-type", "PayloadPart"), (":message-type", "event")];
        let parts = text.chunks(100);
        return parts.flat_map(|part| frame(&headers, part)).collect();
    }
    text
}

fn whole(play: &Play, body: &Value, notes: &Notes) -> Value {
    if play.endpoint.wire.conversion().is_some() {
        return play.answer(body, notes);
    }
    let checked = answer::check(Bytes::from(body.to_string())).unwrap();
    serde_json::from_slice(&checked).unwrap()
}

/// The events of a stream that comes in two parts, and how many are over with the first.
fn events(wire: Wire, first: &Bytes, second: &Bytes) -> (Vec<Event>, usize) {
    let mut framer = Framer::new(wire.framing());
    let mut events = Vec::new();
    framer.feed(first, &mut events).unwrap();
    let count = events.len();
    framer.feed(second, &mut events).unwrap();
    events.extend(framer.finish());
    (events, count)
}

/// The chunks of a stream, the same wherever it is split. All that is made of a part is made of the events that
/// are over with it: they are told apart at every place, and chunks are made of every way to share them out.
async fn streamed(play: &Play, text: Bytes, notes: &Notes) -> Vec<Value> {
    let wire = play.endpoint.wire;
    let chunks = play.stream_as_is(vec![text.clone()], notes).await;
    let (whole, _) = events(wire, &text, &Bytes::new());
    let mut shared_out = None;
    for place in 1..text.len() {
        let (first, second) = (text.slice(..place), text.slice(place..));
        let (found, count) = events(wire, &first, &second);
        assert_eq!(found, whole, "split at {place}");
        if shared_out.replace(count) != Some(count) {
            let found = play.stream_as_is(vec![first, second], notes).await;
            assert_eq!(found, chunks, "split at {place}");
        }
    }
    let bytes = (0..text.len()).map(|place| text.slice(place..=place));
    let found = play.stream_as_is(bytes.collect(), notes).await;
    assert_eq!(found, chunks, "byte by byte");
    let chunks = chunks.iter();
    chunks
        .map(|chunk| serde_json::from_slice(chunk).unwrap())
        .collect()
}

/// What a caller gets of each kind, whole and as a stream.
fn found(name: &str, play: &Play) -> Map<String, Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut found = Map::new();
    for (kind, said) in wire_of(name) {
        if said.get("absent").is_some() {
            continue;
        }
        let notes = notes(play, &kind);
        let mut got = Map::new();
        if let Some(body) = said.get("answer") {
            got.insert("answer".to_owned(), whole(play, body, &notes));
        }
        if let Some(events) = said.get("stream") {
            let bytes = framed(play.endpoint.wire, events.as_array().unwrap());
            let chunks = runtime.block_on(streamed(play, bytes.into(), &notes));
            got.insert("stream".to_owned(), Value::from(chunks));
        }
        found.insert(kind, Value::Object(got));
    }
    found
}

/// One answer and one chunk on each line.
fn written(found: &Map<String, Value>) -> String {
    let kinds = found.iter().map(|(kind, got)| {
        let members = got.as_object().unwrap().iter().map(|(name, value)| {
            let value = match value {
                Value::Array(chunks) => {
                    let chunks: Vec<_> = chunks.iter().map(|one| format!("      {one}")).collect();
                    format!("[\n{}\n    ]", chunks.join(",\n"))
                }
                other => other.to_string(),
            };
            format!("    {}: {value}", Value::from(name.as_str()))
        });
        let members: Vec<_> = members.collect();
        let kind = Value::from(kind.as_str());
        format!("  {kind}: {{\n{}\n  }}", members.join(",\n"))
    });
    let kinds: Vec<_> = kinds.collect();
    format!("{{\n{}\n}}\n", kinds.join(",\n"))
}

fn check(model: &str) {
    let (name, _) = PROTOCOLS.iter().find(|(_, known)| *known == model).unwrap();
    let is_first = PROTOCOLS.iter().find(|(known, _)| known == name).unwrap().1 == model;
    let found = found(name, &play(model));
    let path = folder().join(format!("golden/{name}.json"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() && is_first {
        std::fs::write(&path, written(&found)).unwrap();
        return;
    }
    let golden = read(&path);
    let mut differences = Vec::new();
    for (kind, got) in &found {
        if golden.get(kind) != Some(got) {
            let wanted = golden.get(kind).unwrap_or(&Value::Null);
            differences.push(format!(
                "{model}, {kind}:\n  found  {got}\n  golden {wanted}"
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(
        golden.len(),
        found.len(),
        "{model}: kinds were added or removed"
    );
}

macro_rules! protocols {
    ($($test:ident: $model:literal,)*) => {
        $(
            #[test]
            fn $test() {
                check($model);
            }
        )*

        #[test]
        fn every_model_of_the_matrix_has_its_test() {
            let tested = BTreeSet::from([$($model),*]);
            let listed: BTreeSet<_> = PROTOCOLS.iter().map(|(_, model)| *model).collect();
            assert_eq!(tested, listed);
        }
    };
}

protocols! {
    answers_of_anthropic_are_those_of_the_golden_file: "anthropic/claude-3-haiku-20240307",
    answers_of_claude_on_vertex_are_those_of_anthropic: "vertex_ai/claude-3-haiku@20240307",
    answers_of_bedrock_are_those_of_the_golden_file: "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
    answers_of_openai_are_those_of_the_golden_file: "openai/gpt-4o",
    answers_of_sagemaker_are_those_of_openai: "sagemaker_chat/my-endpoint",
    answers_of_cohere_are_those_of_the_golden_file: "cohere_chat/command-a-03-2025",
    answers_of_gemini_are_those_of_the_golden_file: "gemini/gemini-2.5-flash",
    answers_of_mistral_are_those_of_the_golden_file: "mistral/mistral-large-latest",
    answers_of_ollama_are_those_of_the_golden_file: "ollama_chat/llama3.2",
    answers_of_replicate_are_those_of_the_golden_file: "replicate/meta/meta-llama-3-70b-instruct",
    answers_of_the_responses_api_are_those_of_the_golden_file: "openai/responses/gpt-4o",
}

#[test]
fn every_protocol_is_in_the_matrix() {
    let models = PROTOCOLS.iter().map(|(_, model)| play(model).endpoint.wire);
    let asked: Vec<_> = models.collect();
    for wire in Wire::ALL {
        assert!(
            asked.contains(wire),
            "{wire:?} has no answers in the matrix"
        );
    }
}

/// What is wrong with what a protocol says of a kind: there is an answer and a stream, or a reason.
fn gap(said: Option<&Value>) -> Option<&'static str> {
    let Some(said) = said else {
        return Some("nothing is said of it");
    };
    let is_reason = |name: &str| said[name].as_str().is_some_and(|reason| reason.len() > 20);
    let has = |name: &str| said.get(name).is_some();
    if has("absent") {
        let is_alone = said.as_object().is_some_and(|members| members.len() == 1);
        return (!is_alone || !is_reason("absent"))
            .then_some("it is absent without a reason alone");
    }
    if !said["answer"].is_object() {
        return Some("there is no answer");
    }
    match &said["stream"] {
        Value::Array(events) if !events.is_empty() => None,
        _ => (!is_reason("no_stream")).then_some("there is no stream, and no reason for it"),
    }
}

#[test]
fn what_a_protocol_cannot_say_has_its_reason() {
    let mut problems = Vec::new();
    for name in PROTOCOLS
        .iter()
        .map(|(name, _)| *name)
        .collect::<BTreeSet<_>>()
    {
        let file = wire_of(name);
        for kind in KINDS {
            if let Some(problem) = gap(file.get(*kind)) {
                problems.push(format!("{name}, {kind}: {problem}"));
            }
        }
        let others = file.keys().filter(|kind| !KINDS.contains(&kind.as_str()));
        problems.extend(others.map(|kind| format!("{name}, {kind}: no such kind")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_gap_without_a_reason_is_seen() {
    assert!(gap(None).is_some());
    assert!(gap(Some(&json!({"absent": ""}))).is_some());
    assert!(gap(Some(&json!({"answer": {}}))).is_some());
    assert!(gap(Some(&json!({"stream": [{}]}))).is_some());
    assert!(gap(Some(&json!({"answer": {}, "stream": [{}]}))).is_none());
    let reason = "a message has no member for it";
    assert!(gap(Some(&json!({"absent": reason}))).is_none());
    assert!(gap(Some(&json!({"answer": {}, "no_stream": reason}))).is_none());
}

#[test]
fn json_by_a_tool_is_in_the_matrix_where_requests_ask_for_it() {
    for (name, model) in PROTOCOLS {
        let by_tool = play(model);
        let asks = by_tool.endpoint.wire.conversion().is_some()
            && notes(&by_tool, "text").json_tool.is_none()
            && by_tool
                .request(&json!({
                    "messages": [{"role": "user", "content": "Answer in JSON."}],
                    "response_format": {"type": "json_object"},
                }))
                .is_ok_and(|(_, notes)| notes.json_tool.is_some());
        let has = wire_of(name)["json_by_tool"].get("answer").is_some();
        assert_eq!(asks, has, "{model}");
    }
}

/// Kinds that fuzzing begins with.
const SEEDS: &[&str] = &[
    "text_and_tool_call",
    "reasoning",
    "citations",
    "unknown",
    "server_tool",
    "audio",
];

/// What the fuzz target `provider` begins with, by name: a byte that chooses the protocol there, and
/// what its provider says.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let wires: Vec<_> = Wire::ALL
        .iter()
        .filter(|wire| wire.conversion().is_some())
        .collect();
    let mut seeds = Vec::new();
    for (name, model) in PROTOCOLS {
        let wire = play(model).endpoint.wire;
        let Some(place) = wires.iter().position(|known| **known == wire) else {
            continue;
        };
        let is_chosen = |byte: &u8| usize::from(*byte) % wires.len() == place;
        let choice = (b'A'..=b'Z').find(is_chosen).unwrap();
        for (kind, said) in wire_of(name) {
            if !SEEDS.contains(&kind.as_str()) || (wire == Wire::AnthropicOnVertex) {
                continue;
            }
            if let Some(body) = said.get("answer") {
                let seed = [&[choice], body.to_string().as_bytes()].concat();
                seeds.push((format!("{name}-{kind}-answer"), seed));
            }
            if let Some(events) = said.get("stream").and_then(Value::as_array) {
                let seed = [&[choice], framed(wire, events).as_slice()].concat();
                seeds.push((format!("{name}-{kind}-stream"), seed));
            }
        }
    }
    seeds
}

#[test]
fn fuzzing_begins_with_the_answers_of_the_matrix() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/provider");
    let seeds = seeds();
    for (name, seed) in &seeds {
        let path = corpus.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&corpus).unwrap();
            std::fs::write(&path, seed).unwrap();
        }
        let found = std::fs::read(&path).unwrap_or_default();
        assert!(
            found == *seed,
            "{}: UPDATE_GOLDEN=1 writes it",
            path.display()
        );
        properties::provider(seed);
    }
    assert!(seeds.len() > 40, "{} seeds", seeds.len());
}
