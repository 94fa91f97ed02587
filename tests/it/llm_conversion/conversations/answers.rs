//! What a model said is put into its provider's form, and read out of it as an answer, which is the same form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Beside, Kept, MODELS, Model, Thoughts, play};
use crate::llm_conversion::play::Play;

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

/// Bytes as base64 text.
fn base64() -> impl Strategy<Value = String> {
    vec(any::<u8>(), 1..12).prop_map(|bytes| STANDARD.encode(bytes))
}

/// Puts into a message what a model says beside text. What is drawn from something is a text.
fn put_beside(message: &mut Value, beside: Beside, data: &[String]) {
    let Some(first) = data.first() else {
        return;
    };
    let is_text = message["content"].is_string();
    match beside {
        Beside::Pictures(kept) => {
            let pictures = data.iter().enumerate().map(|(place, data)| {
                let url = format!("data:image/webp;base64,{data}");
                let mut picture =
                    json!({"type": "image_url", "image_url": {"url": url}, "index": place});
                let fields = match kept {
                    Kept::Bytes => return picture,
                    Kept::Signature => json!({"thought_signature": data}),
                    Kept::Item => json!({"id": format!("ig_{place}"), "status": "completed",
                                         "output_format": "webp", "revised_prompt": data}),
                };
                picture["provider_specific_fields"] = fields;
                picture
            });
            message["images"] = pictures.collect();
        }
        Beside::Searches => {
            let parts = data.iter().enumerate().flat_map(|(id, data)| {
                let call = json!({"id": id.to_string(), "toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": [data]}});
                let response = json!({"id": id.to_string(), "toolType": "GOOGLE_SEARCH_WEB", "response": {"found": data}});
                [
                    json!({"toolCall": call, "thoughtSignature": data}),
                    json!({"toolResponse": response}),
                ]
            });
            message["provider_specific_fields"]["content_blocks"] = parts.collect();
        }
        Beside::KeptSound => {
            message["audio"] = json!({"id": "audio_1", "data": first, "expires_at": 1_700_000_000,
                                      "transcript": "It is sunny."});
        }
        Beside::Sound => {
            message["audio"] = json!({"id": "audio_1", "data": first, "expires_at": 1_700_000_000,
                                      "transcript": "", "mime_type": "audio/wav"});
        }
        Beside::Stretches { typed } if is_text => {
            let text: Vec<char> = message["content"].as_str().unwrap().chars().collect();
            let middle = text.len() / 2;
            let is_blank = |part: &[char]| part.iter().all(|one| one.is_whitespace());
            let is_cut = data.len() > 1 && !is_blank(&text[..middle]) && !is_blank(&text[middle..]);
            let (places, data) = if is_cut {
                (json!([[0, middle], [middle, text.len()]]), data)
            } else {
                (json!([[0, text.len()]]), &data[..1])
            };
            let citations = data.iter().map(|data| {
                json!([if typed {
                    json!({"type": "page_location", "cited_text": data, "document_index": 0,
                           "start_page_number": 1, "end_page_number": 2})
                } else {
                    json!({"title": "a", "sourceContent": [{"text": data}],
                           "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}})
                }])
            });
            let citations: Value = citations.collect();
            message["provider_specific_fields"] =
                json!({"citations": citations, "citation_places": places});
        }
        Beside::Sources if is_text => {
            let document =
                json!({"title": "a title", "url": format!("https://example.com/{first}")});
            let source = json!({"type": "document", "id": "d", "document": document});
            let citation = json!({"start": 0, "end": 1, "text": "x", "sources": [source]});
            message["annotations"] = json!([{"type": "url_citation", "url_citation": {
                "url": document["url"], "title": "a title", "start_index": 0, "end_index": 1,
            }}]);
            message["provider_specific_fields"] = json!({"citations": [citation]});
        }
        Beside::Annotations if is_text => {
            message["annotations"] = json!([{"type": "url_citation", "url_citation": {
                "url": first, "title": "a title", "start_index": 0, "end_index": 1,
            }}]);
        }
        Beside::Stretches { .. } | Beside::Sources | Beside::Annotations => {}
    }
}

/// What a model said: text, calls, thoughts, and what is beside them; something at least.
fn said(model: &'static Model) -> impl Strategy<Value = Value> {
    let how = model.thoughts;
    let thoughts = vec((text(), any::<bool>()), 0..3);
    let beside = vec(vec(base64(), 0..3), model.beside.len());
    (prop::option::of(text()), calls(), thoughts, beside)
        .prop_filter("something is said", |(text, calls, _, _)| {
            text.is_some() || !calls.is_empty()
        })
        .prop_map(move |(text, calls, thoughts, beside)| {
            let mut message = json!({"role": "assistant", "content": text});
            if !calls.is_empty() {
                message["tool_calls"] = Value::Array(calls);
            }
            put_thoughts(&mut message, how, &thoughts);
            // A call of Gemini's that nobody signed is signed in its name.
            if how == Thoughts::Signatures && thoughts.is_empty() {
                put_thoughts(&mut message, how, &[(String::new(), false)]);
            }
            for (beside, data) in model.beside.iter().zip(beside) {
                put_beside(&mut message, *beside, &data);
            }
            message
        })
}

/// The last turn of a request as the answer that it was.
fn as_answer(play: &Play, body: &Value, message: &Value) -> Value {
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
            let mut said = last(&body["messages"]);
            // The service keeps sound under its id.
            if said["audio"] == json!({"id": message["audio"]["id"]}) {
                said["audio"] = message["audio"].clone();
            }
            json!({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]})
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
    let answer = as_answer(&play, &sent, message);
    let answer = if play.endpoint.wire.conversion().is_some() {
        play.answer(&answer, &notes)
    } else {
        let checked = toolbridge::llm::answer::check(answer.to_string().into()).unwrap();
        serde_json::from_slice(&checked).unwrap()
    };
    let back = &answer["choices"][0]["message"];
    assert_eq!(told(back), told(message), "{model} got {sent}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_model_said_comes_back_as_it_was(
        (model, message) in prop::sample::select(MODELS.iter().collect::<Vec<_>>())
            .prop_flat_map(|model| (Just(model), said(model)))
    ) {
        comes_back(model.name, &message);
    }
}
