//! Messages, to a provider and back: what a model said is put into its provider's form, and read out of it as
//! an answer, which is the same form; and of a whole conversation everything arrives, once and in its order.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolbridge::llm::provider::Settings;

use super::play::Play;

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

/// A model of each protocol that keeps conversations, and how it keeps thoughts.
const MODELS: &[(&str, Thoughts)] = &[
    (
        "anthropic/claude-sonnet-4-5",
        Thoughts::Blocks { redacted: true },
    ),
    (
        "vertex_ai/claude-sonnet-4-5",
        Thoughts::Blocks { redacted: true },
    ),
    (
        "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
        Thoughts::Blocks { redacted: true },
    ),
    ("gemini/gemini-3-pro-preview", Thoughts::Signatures),
    ("cohere_chat/command-a-reasoning-08-2025", Thoughts::Text),
    (
        "mistral/magistral-medium-latest",
        Thoughts::Blocks { redacted: false },
    ),
    ("ollama_chat/llama3.2", Thoughts::Text),
    ("openai/responses/gpt-5", Thoughts::Items),
    ("openai/gpt-4o", Thoughts::Lost),
    (
        "databricks/databricks-claude-sonnet-4-5",
        Thoughts::Blocks { redacted: false },
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

/// Text that says something, and does not end in white space, which some providers refuse.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 \"\\\\{}é🦀\n]{0,12}[a-zA-Z0-9é🦀\"}]"
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            object(inner).prop_map(Value::Object),
        ]
    })
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    vec(("[a-z_]{1,6}", values), 0..3).prop_map(|members| members.into_iter().collect())
}

/// Calls, whose ids are the same in every protocol.
fn calls() -> impl Strategy<Value = Vec<Value>> {
    vec(("[a-z][a-z_]{0,8}", object(value())), 0..3).prop_map(|calls| {
        let calls = calls.into_iter().enumerate();
        calls
            .map(|(place, (name, arguments))| {
                json!({
                    "id": format!("Call0000{place}"),
                    "type": "function",
                    "function": {"name": name, "arguments": Value::Object(arguments).to_string()},
                })
            })
            .collect()
    })
}

fn put_thoughts(message: &mut Value, how: Thoughts, thoughts: &[(String, bool)]) {
    if thoughts.is_empty() {
        return;
    }
    let joined = |between| {
        let texts: Vec<_> = thoughts.iter().map(|(text, _)| text.as_str()).collect();
        texts.join(between)
    };
    match how {
        Thoughts::Lost => {}
        Thoughts::Text => message["reasoning_content"] = json!(joined("")),
        Thoughts::Blocks { redacted } => {
            let is_redacted = |place: usize| redacted && thoughts[place].1;
            let blocks = thoughts.iter().enumerate().map(|(place, (text, _))| {
                if is_redacted(place) {
                    json!({"type": "redacted_thinking", "data": format!("data{place}")})
                } else {
                    json!({"type": "thinking", "thinking": text, "signature": format!("signature{place}")})
                }
            });
            message["thinking_blocks"] = blocks.collect();
            let open = thoughts.iter().enumerate();
            let open: Vec<_> = open
                .filter(|(place, _)| !is_redacted(*place))
                .map(|(_, (text, _))| text.as_str())
                .collect();
            if !open.is_empty() {
                message["reasoning_content"] = json!(open.concat());
            }
        }
        Thoughts::Items => {
            let items = thoughts.iter().enumerate().map(|(place, (text, _))| {
                json!({
                    "type": "reasoning",
                    "id": format!("rs_{place}"),
                    "summary": [{"type": "summary_text", "text": text}],
                    "encrypted_content": format!("content{place}"),
                })
            });
            message["reasoning_items"] = items.collect();
            message["reasoning_content"] = json!(joined("\n\n"));
        }
        Thoughts::Signatures => {
            if message["content"].is_string() {
                message["provider_specific_fields"] = json!({"thought_signature": "dGV4dA=="});
            }
            if let Some(call) = message["tool_calls"].get_mut(0) {
                call["provider_specific_fields"] = json!({"thought_signature": "Y2FsbA=="});
            }
        }
    }
}

/// What a model said: text, calls, thoughts; something at least.
fn said(how: Thoughts) -> impl Strategy<Value = Value> {
    let thoughts = vec((text(), any::<bool>()), 0..3);
    (prop::option::of(text()), calls(), thoughts)
        .prop_filter("something is said", |(text, calls, _)| {
            text.is_some() || !calls.is_empty()
        })
        .prop_map(move |(text, calls, thoughts)| {
            let mut message = json!({"role": "assistant", "content": text});
            if !calls.is_empty() {
                message["tool_calls"] = Value::Array(calls);
            }
            put_thoughts(&mut message, how, &thoughts);
            // A call of Gemini's that nobody signed is signed in its name.
            if how == Thoughts::Signatures && thoughts.is_empty() {
                put_thoughts(&mut message, how, &[(String::new(), false)]);
            }
            message
        })
}

/// The last turn of a request as the answer that it was.
fn as_answer(play: &Play, body: &Value) -> Value {
    let last = |list: &Value| list.as_array().unwrap().last().unwrap().clone();
    let listed = |content: &Value| match content {
        Value::String(text) => json!([{"type": "text", "text": text}]),
        other => other.clone(),
    };
    match play.model.provider.name {
        "anthropic" | "vertex_ai" => json!({"content": last(&body["messages"])["content"]}),
        "bedrock" => json!({"output": {"message": last(&body["messages"])}}),
        "gemini" => json!({"candidates": [{"content": last(&body["contents"])}]}),
        "cohere_chat" | "cohere" => {
            let mut message = last(&body["messages"]);
            message["content"] = listed(&message["content"]);
            json!({"message": message})
        }
        "ollama_chat" | "ollama" => json!({"message": last(&body["messages"]), "done": true}),
        "openai" if body.get("input").is_some() => {
            let items = body["input"].as_array().unwrap().iter();
            let output = items.skip_while(|item| item["role"] == "user").map(|item| {
                let mut item = item.clone();
                if let Some(text) = item["content"].as_str() {
                    item["content"] =
                        json!([{"type": "output_text", "text": text, "annotations": []}]);
                }
                item
            });
            json!({"output": output.collect::<Vec<_>>(), "status": "completed"})
        }
        _ => {
            json!({"choices": [{"index": 0, "message": last(&body["messages"]), "finish_reason": "stop"}]})
        }
    }
}

/// A message without what says nothing.
fn told(message: &Value) -> Value {
    let mut message = message.clone();
    let members = message.as_object_mut().unwrap();
    members.retain(|name, value| {
        !value.is_null() && (name != "content" || value != "") && value != &json!([])
    });
    for call in members
        .get_mut("tool_calls")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        call.as_object_mut().unwrap().shift_remove("index");
        let arguments = call["function"]["arguments"].as_str().unwrap();
        call["function"]["arguments"] = serde_json::from_str(arguments).unwrap();
    }
    // The plan of a model stands among its thoughts too.
    if let Some(Value::Object(fields)) = members.get_mut("provider_specific_fields") {
        fields.shift_remove("tool_plan");
        if fields.is_empty() {
            members.shift_remove("provider_specific_fields");
        }
    }
    message
}

fn comes_back(model: &str, message: &Value) {
    let play = play(model);
    let body = json!({"messages": [{"role": "user", "content": "So?"}, message]});
    let (sent, notes) = play.request(&body).unwrap();
    let answer = as_answer(&play, &sent);
    let answer = if play.endpoint.wire.conversion().is_some() {
        play.answer(&answer, &notes)
    } else {
        let checked = toolbridge::llm::answer::check(answer.to_string().into()).unwrap();
        serde_json::from_slice(&checked).unwrap()
    };
    let back = &answer["choices"][0]["message"];
    assert_eq!(told(back), told(message), "{model} got {sent}");
}

/// A part of a conversation: who says it, and how.
#[derive(Debug, Clone)]
enum Turn {
    System,
    User { parts: usize },
    Answer { calls: usize, is_silent: bool },
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let user = (1..4_usize).prop_map(|parts| Turn::User { parts });
    let answer = (0..3_usize, any::<bool>()).prop_map(|(calls, is_silent)| Turn::Answer {
        calls,
        is_silent: is_silent && calls > 0,
    });
    (any::<bool>(), vec((user, answer), 1..4)).prop_map(|(has_system, pairs)| {
        let system = has_system.then_some(Turn::System);
        let pairs = pairs.into_iter().flat_map(|(user, answer)| [user, answer]);
        let last = Turn::User { parts: 1 };
        system.into_iter().chain(pairs).chain([last]).collect()
    })
}

/// The messages of turns, and the marks that they carry, in order. Each mark is there once.
fn conversation(turns: &[Turn]) -> (Value, Vec<String>) {
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
            Turn::User { parts: 1 } => messages.push(json!({"role": "user", "content": mark()})),
            Turn::User { parts } => {
                let parts = (0..*parts).map(|_| json!({"type": "text", "text": mark()}));
                messages.push(json!({"role": "user", "content": parts.collect::<Vec<_>>()}));
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

fn arrives(model: &str, turns: &[Turn]) {
    let (messages, marks) = conversation(turns);
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
    fn what_a_model_said_comes_back_as_it_was(
        (model, message) in prop::sample::select(MODELS)
            .prop_flat_map(|(model, how)| (Just(model), said(how)))
    ) {
        comes_back(model, &message);
    }

    #[test]
    fn of_a_conversation_everything_arrives_once_and_in_its_order(turns in turns()) {
        for (model, _) in MODELS {
            arrives(model, &turns);
        }
        let is_text = |turn: &Turn| !matches!(turn, Turn::Answer { calls: 1.., .. });
        if turns.iter().all(is_text) {
            arrives("replicate/meta/meta-llama-3-70b-instruct", &turns);
        }
    }
}

#[test]
fn every_protocol_has_its_conversations() {
    use toolbridge::llm::wire::Wire;
    let asked: Vec<_> = MODELS
        .iter()
        .map(|(model, _)| play(model).endpoint.wire)
        .collect();
    for wire in Wire::ALL {
        // A transcript is no conversation that comes back; frames are around the same chunks.
        let is_other = matches!(wire, Wire::Replicate | Wire::ChatInFrames);
        assert!(is_other || asked.contains(wire), "{wire:?}");
    }
}
