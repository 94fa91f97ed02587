//! Messages, to a provider and back: what a model said comes back as it was (`answers`), and of a whole conversation
//! everything arrives, pictures, files and sound too, once and in its order.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use toolbridge::llm::provider::Settings;

use super::play::Play;

mod answers;

/// How thoughts are kept between turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Thoughts {
    /// Not at all.
    Lost,
    /// As text.
    Text,
    /// As blocks with signatures; some have no text that can be read.
    Blocks { redacted: bool },
    /// As items of OpenAI's.
    Items,
    /// As signatures of what was said, without the thoughts.
    Signatures,
}

/// What a message has beside text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Medium {
    Picture,
    File,
    Sound,
}

const MEDIA: &[Medium] = &[Medium::Picture, Medium::File, Medium::Sound];

/// What a picture is kept with between turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    /// Itself alone.
    Bytes,
    /// Its signature.
    Signature,
    /// The item that it came in.
    Item,
}

/// What an answer has beside text, calls and thoughts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beside {
    /// Pictures that the model made.
    Pictures(Kept),
    /// Sound that it made, as bytes.
    Sound,
    /// Sound that it made, which its provider keeps under an id.
    KeptSound,
    /// Searches that its provider made for it.
    Searches,
    /// What stretches of a text are drawn from, in the words of Anthropic (`typed`) or of Bedrock.
    Stretches { typed: bool },
    /// What Cohere's texts are drawn from.
    Sources,
    /// What OpenAI's texts are drawn from.
    Annotations,
}

/// A model, and what its protocol carries.
#[derive(Debug)]
struct Model {
    name: &'static str,
    thoughts: Thoughts,
    /// What a user's message may have.
    media: &'static [Medium],
    /// What an answer may have that is sent back in the next turn.
    beside: &'static [Beside],
}

const fn model(
    name: &'static str,
    thoughts: Thoughts,
    media: &'static [Medium],
    beside: &'static [Beside],
) -> Model {
    Model {
        name,
        thoughts,
        media,
        beside,
    }
}

/// A model of each protocol that keeps conversations.
const MODELS: &[Model] = &[
    model(
        "anthropic/claude-sonnet-4-5",
        Thoughts::Blocks { redacted: true },
        &[Medium::Picture, Medium::File],
        &[Beside::Stretches { typed: true }],
    ),
    model(
        "vertex_ai/claude-sonnet-4-5",
        Thoughts::Blocks { redacted: true },
        &[Medium::Picture, Medium::File],
        &[Beside::Stretches { typed: true }],
    ),
    model(
        "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
        Thoughts::Blocks { redacted: true },
        MEDIA,
        &[Beside::Stretches { typed: false }],
    ),
    model(
        "bedrock/amazon.nova-pro-v1:0",
        Thoughts::Lost,
        MEDIA,
        &[Beside::Pictures(Kept::Bytes), Beside::Sound],
    ),
    model(
        "gemini/gemini-3-pro-preview",
        Thoughts::Signatures,
        MEDIA,
        &[
            Beside::Pictures(Kept::Signature),
            Beside::Sound,
            Beside::Searches,
        ],
    ),
    model(
        "cohere_chat/command-a-reasoning-08-2025",
        Thoughts::Text,
        &[Medium::Picture],
        &[Beside::Sources],
    ),
    model(
        "mistral/magistral-medium-latest",
        Thoughts::Blocks { redacted: false },
        MEDIA,
        &[],
    ),
    model(
        "ollama_chat/llama3.2",
        Thoughts::Text,
        &[Medium::Picture],
        &[],
    ),
    model(
        "openai/responses/gpt-5",
        Thoughts::Items,
        &[Medium::Picture, Medium::File],
        &[Beside::Pictures(Kept::Item)],
    ),
    model(
        "openai/gpt-4o",
        Thoughts::Lost,
        MEDIA,
        &[Beside::Annotations, Beside::KeptSound],
    ),
    model(
        "databricks/databricks-claude-sonnet-4-5",
        Thoughts::Blocks { redacted: false },
        MEDIA,
        &[],
    ),
];

fn play(model: &str) -> Play {
    let options = json!({"vertex_project": "p", "vertex_location": "us-east5", "aws_region_name": "us-east-1"});
    let mut settings = Settings {
        api_base: Some("http://127.0.0.1:9".to_owned()),
        ..Settings::default()
    };
    settings.options.clone_from(options.as_object().unwrap());
    Play::with(model, settings)
}

/// A part of a conversation: who says it, and how.
#[derive(Debug, Clone)]
enum Turn {
    System,
    User { parts: Vec<Option<Medium>> },
    Answer { calls: usize, is_silent: bool },
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let part = prop::option::of(prop::sample::select(MEDIA));
    let user = vec(part, 1..4).prop_map(|parts| Turn::User { parts });
    let answer = (0..3_usize, any::<bool>()).prop_map(|(calls, is_silent)| Turn::Answer {
        calls,
        is_silent: is_silent && calls > 0,
    });
    (any::<bool>(), vec((user, answer), 1..4)).prop_map(|(has_system, pairs)| {
        let system = has_system.then_some(Turn::System);
        let pairs = pairs.into_iter().flat_map(|(user, answer)| [user, answer]);
        let last = Turn::User { parts: vec![None] };
        system.into_iter().chain(pairs).chain([last]).collect()
    })
}

/// A part that carries a mark.
fn part(medium: Option<Medium>, mark: &str) -> Value {
    let data = STANDARD.encode(mark);
    let url = |kind: &str| format!("data:{kind};base64,{data}");
    match medium {
        None => json!({"type": "text", "text": mark}),
        Some(Medium::Picture) => {
            json!({"type": "image_url", "image_url": {"url": url("image/png")}})
        }
        Some(Medium::File) => {
            let file = json!({"file_data": url("application/pdf"), "filename": "a.pdf"});
            json!({"type": "file", "file": file})
        }
        Some(Medium::Sound) => {
            json!({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
        }
    }
}

/// The messages of turns, and the marks that they carry, in order. Each mark is there once. What is none of these
/// media is a text instead.
fn conversation(
    turns: &[Turn],
    media: &[Medium],
    pictures_stand_apart: bool,
) -> (Value, Vec<String>) {
    let mut marks: Vec<String> = Vec::new();
    let mut mark = || {
        marks.push(format!("mark-{}-", marks.len()));
        marks.last().unwrap().clone()
    };
    let mut messages = Vec::new();
    let mut calls_so_far = 0;
    for turn in turns {
        match turn {
            Turn::System => messages.push(json!({"role": "system", "content": mark()})),
            Turn::User { parts } => {
                let kept = |part: &Option<Medium>| part.filter(|medium| media.contains(medium));
                let mut kinds: Vec<_> = parts.iter().map(kept).collect();
                if pictures_stand_apart {
                    kinds.sort_by_key(Option::is_some);
                }
                let content = match kinds.as_slice() {
                    [None] => Value::from(mark()),
                    kinds => kinds.iter().map(|kind| part(*kind, &mark())).collect(),
                };
                messages.push(json!({"role": "user", "content": content}));
            }
            Turn::Answer { calls, is_silent } => {
                let text = (!is_silent).then(&mut mark);
                let mut message = json!({"role": "assistant", "content": text});
                let ids: Vec<_> = (0..*calls)
                    .map(|_| {
                        calls_so_far += 1;
                        format!("Call{calls_so_far:05}")
                    })
                    .collect();
                let calls: Vec<_> = ids
                    .iter()
                    .map(|id| {
                        let arguments = json!({"with": mark()}).to_string();
                        json!({"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}})
                    })
                    .collect();
                if !calls.is_empty() {
                    message["tool_calls"] = Value::Array(calls);
                }
                messages.push(message);
                for id in ids {
                    messages.push(json!({"role": "tool", "tool_call_id": id, "content": mark()}));
                }
            }
        }
    }
    (Value::Array(messages), marks)
}

/// The marks of a body in the order in which it has them.
fn found(value: &Value, marks: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let data = text.rsplit("base64,").next().unwrap_or_default();
            let bytes = STANDARD.decode(data).ok();
            let text = bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .unwrap_or_else(|| text.clone());
            let pieces = text.split("mark-").skip(1);
            let pieces = pieces.filter_map(|piece| piece.split_once('-'));
            marks.extend(pieces.map(|(number, _)| format!("mark-{number}-")));
        }
        Value::Array(items) => items.iter().for_each(|item| found(item, marks)),
        // Members have no order: what is said stands before the calls.
        Value::Object(members) => {
            let (said, others): (Vec<_>, Vec<_>) =
                members.iter().partition(|(name, _)| *name == "content");
            let members = said.into_iter().chain(others);
            members.for_each(|(_, member)| found(member, marks));
        }
        _ => {}
    }
}

fn arrives(model: &str, media: &[Medium], turns: &[Turn]) {
    // Pictures stand beside the text there.
    let (messages, marks) = conversation(turns, media, model.starts_with("ollama"));
    let sent = play(model).sent(&json!({"messages": messages}));
    let mut arrived = Vec::new();
    // Instructions that stand beside the conversation come before it.
    for name in ["system", "systemInstruction", "instructions"] {
        found(&sent[name], &mut arrived);
    }
    if let Some(input) = sent["input"].as_object() {
        found(
            input.get("system_prompt").unwrap_or(&Value::Null),
            &mut arrived,
        );
        found(&input["prompt"], &mut arrived);
    }
    for name in ["messages", "contents", "input"] {
        if sent[name].is_array() {
            found(&sent[name], &mut arrived);
        }
    }
    assert_eq!(arrived, marks, "{model} got {sent}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_a_conversation_everything_arrives_once_and_in_its_order(turns in turns()) {
        for model in MODELS {
            arrives(model.name, model.media, &turns);
        }
        let is_text = |turn: &Turn| !matches!(turn, Turn::Answer { calls: 1.., .. });
        if turns.iter().all(is_text) {
            arrives("replicate/meta/meta-llama-3-70b-instruct", &[], &turns);
        }
    }
}

#[test]
fn every_protocol_has_its_conversations() {
    use toolbridge::llm::wire::Wire;
    let asked: Vec<_> = MODELS
        .iter()
        .map(|model| play(model.name).endpoint.wire)
        .collect();
    for wire in Wire::ALL {
        // A transcript is no conversation that comes back; frames are around the same chunks.
        let is_other = matches!(wire, Wire::Replicate | Wire::ChatInFrames);
        assert!(is_other || asked.contains(wire), "{wire:?}");
    }
}

#[test]
fn what_a_protocol_does_not_carry_is_refused_and_not_lost() {
    for model in MODELS {
        for medium in MEDIA {
            let content = json!([part(None, "What is it?"), part(Some(*medium), "mark-0-")]);
            let asked = json!({"messages": [{"role": "user", "content": content}]});
            let is_taken = play(model.name).request(&asked).is_ok();
            let is_carried = model.media.contains(medium);
            assert_eq!(is_taken, is_carried, "{medium:?} for {}", model.name);
        }
    }
}
