//! What Bedrock gets, and whole answers.

use proptest::prelude::*;
use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::llm::conversion::Conversion as _;
use toolbridge::llm::conversion::bedrock::Converse;
use toolbridge::llm::types::content;

use super::{claude, model};
use crate::llm_conversion::play::Play;

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

#[test]
fn a_whole_conversation_becomes_turns_of_blocks() {
    let sent = claude().sent(&json!({
        "messages": [
            {"role": "developer", "content": "Be short.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "s3://bucket/a.png"}},
                {"type": "file", "citations": {"enabled": true}, "file": {"file_data": "data:application/pdf;base64,BBBB", "filename": "my_file (1).pdf"}},
                {"type": "file", "file": {"file_data": "data:video/mp4;base64,CCCC"}},
                {"type": "guarded_text", "text": "look at this"},
            ]},
            {"role": "user", "content": "  "},
            {"role": "assistant", "content": null, "thinking_blocks": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "ZZZZ"},
                {"type": "thinking", "thinking": "of another provider"}
            ], "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}},
                {"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}], "is_error": true, "cache_control": {"type": "ephemeral"}},
            {"role": "user", "content": "So?"},
        ],
        "tools": [{"type": "function", "cache_control": {"type": "ephemeral"}, "function": {
            "name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {"type": "integer"}}}
        }}],
        "tool_choice": "required",
        "parallel_tool_calls": false,
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": "END",
        "user": "u1",
        "top_k": 5,
        "anthropic_beta": ["b"],
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
        "requestMetadata": {"team": "a"},
        "service_tier": "flex",
    }));
    assert_eq!(
        sent,
        json!({
            "messages": [
                {"role": "user", "content": [
                    {"text": "What is this?"},
                    {"cachePoint": {"type": "default"}},
                    {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}},
                    {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png"}}}},
                    {"document": {"format": "pdf", "name": "my-file (1)", "source": {"bytes": "BBBB"}, "citations": {"enabled": true}}},
                    {"video": {"format": "mp4", "source": {"bytes": "CCCC"}}},
                    {"guardContent": {"text": {"text": "look at this"}}},
                ]},
                {"role": "assistant", "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
                    {"reasoningContent": {"redactedContent": "ZZZZ"}},
                    {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": 1}}},
                    {"toolUse": {"toolUseId": "c2", "name": "look", "input": {}}},
                ]},
                {"role": "user", "content": [
                    {"toolResult": {"toolUseId": "c1", "content": [{"text": "one"}]}},
                    {"toolResult": {"toolUseId": "c2", "content": [{"text": "two"}], "status": "error"}},
                    {"cachePoint": {"type": "default"}},
                    {"text": "So?"},
                ]},
            ],
            "system": [{"text": "Be short."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
            "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
            "performanceConfig": {"latency": "optimized"},
            "requestMetadata": {"team": "a"},
            "serviceTier": {"type": "flex"},
            "toolConfig": {
                "tools": [
                    {"toolSpec": {
                        "name": "look", "description": "Looks.",
                        "inputSchema": {"json": {"type": "object", "properties": {"at": {"type": "integer"}}}}
                    }},
                    {"cachePoint": {"type": "default"}},
                ],
                "toolChoice": {"any": {}},
            },
            "additionalModelRequestFields": {
                "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
                "top_k": 5,
                "anthropic_beta": ["b"],
            },
        })
    );
}

#[test]
fn an_effort_is_what_the_family_of_the_model_has_for_it() {
    let additional = |name: &str| {
        let request =
            json!({"messages": user("x"), "reasoning_effort": "high", "max_tokens": 4000});
        model(name).sent(&request)
    };
    let sent = additional("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0");
    let fields = &sent["additionalModelRequestFields"];
    assert_eq!(
        fields["thinking"],
        json!({"type": "enabled", "budget_tokens": 4096})
    );
    assert_eq!(sent["inferenceConfig"]["maxTokens"], 8096);
    let fields =
        &additional("bedrock/global.anthropic.claude-opus-4-6-v1")["additionalModelRequestFields"];
    assert_eq!(
        fields,
        &json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}})
    );
    let fields = &additional("bedrock/us.amazon.nova-2-lite-v1:0")["additionalModelRequestFields"];
    assert_eq!(
        fields,
        &json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}})
    );
    for (member, name) in [
        ("reasoning_effort", "bedrock/openai.gpt-oss-120b-1:0"),
        ("reasoning_effort", "bedrock/deepseek.v3-v1:0"),
        ("reasoning_effort", "bedrock/moonshot.kimi-k2-thinking"),
        ("reasoning_config", "bedrock/moonshotai.kimi-k2.5"),
        ("reasoning_config", "bedrock/zai.glm-5"),
        ("reasoning_config", "bedrock/qwen.qwen3-235b-a22b-2507-v1:0"),
    ] {
        let fields = &additional(name)["additionalModelRequestFields"];
        assert_eq!(fields, &json!({ member: "high" }), "{name}");
    }
    // What is left out is what these do by themselves, and what OpenAI's have a word for.
    let none = json!({"messages": user("x"), "reasoning_effort": "none"});
    let sent = model("bedrock/deepseek.v3.2").sent(&none);
    assert!(sent.get("additionalModelRequestFields").is_none(), "{sent}");
    let sent = model("bedrock/openai.gpt-oss-120b-1:0").sent(&none);
    assert_eq!(
        sent["additionalModelRequestFields"]["reasoning_effort"],
        "none"
    );
    let request = json!({"messages": user("x"), "reasoning_effort": "high"});
    let error = model("bedrock/minimax.minimax-m2")
        .request(&request)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
    let request = json!({"messages": user("x"), "reasoning_effort": "high"});
    let error = model("bedrock/meta.llama3-1-70b-instruct-v1:0")
        .request(&request)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
}

#[test]
fn json_by_schema_is_the_services_own_or_comes_through_a_tool() {
    let request = json!({
        "messages": user("x"),
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": {"type": "object"}}},
    });
    let newer = claude().sent(&request);
    assert_eq!(
        newer["outputConfig"]["textFormat"],
        json!({"type": "json_schema", "structure": {"jsonSchema": {
            "schema": "{\"type\":\"object\",\"additionalProperties\":false}", "name": "n", "description": "d"
        }}})
    );
    assert_eq!(newer.get("toolConfig"), None);
    let play = model("bedrock/anthropic.claude-3-haiku-20240307-v1:0");
    let (older, notes) = play.request(&request).unwrap();
    let name = &older["toolConfig"]["tools"][0]["toolSpec"]["name"];
    assert_eq!(
        older["toolConfig"]["toolChoice"],
        json!({"tool": {"name": name}})
    );
    let answer = play.answer(
        &json!({
            "output": {"message": {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": "t", "name": name, "input": {"a": 1}}}
            ]}},
            "stopReason": "tool_use",
        }),
        &notes,
    );
    assert_eq!(answer["choices"][0]["message"]["content"], "{\"a\":1}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["choices"][0]["message"].get("tool_calls"), None);
}

#[test]
fn a_conversation_with_calls_keeps_its_tools_where_none_may_be_called() {
    let tools = json!([{"type": "function", "function": {"name": "look"}}]);
    let none = json!({"messages": user("x"), "tools": tools, "tool_choice": "none"});
    assert_eq!(claude().sent(&none).get("toolConfig"), None);
    let history = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
    ]);
    let kept = claude().sent(&json!({"messages": history, "tools": tools, "tool_choice": "none"}));
    assert_eq!(kept["toolConfig"]["tools"][0]["toolSpec"]["name"], "look");
    assert_eq!(kept["toolConfig"].get("toolChoice"), None);
    // Without tools the service would refuse the calls that the conversation has.
    let made = claude().sent(&json!({"messages": history}));
    assert_eq!(made["toolConfig"]["tools"][0]["toolSpec"]["name"], "look");
}

#[test]
fn what_the_service_would_refuse_is_refused_by_its_place_before_it_is_sent() {
    for (messages, says) in [
        (
            json!([{"role": "assistant", "content": "a"}]),
            "messages[0]",
        ),
        (
            json!([{"role": "system", "content": "a"}]),
            "no message of the user",
        ),
        (
            json!([{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "c9", "content": "one"}]),
            "c9",
        ),
        (
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/a.png"}}]}]),
            "messages[0].content[0]",
        ),
        (
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}}]}]),
            "image/tiff",
        ),
        (
            json!([{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]),
            "messages[0].content[0]",
        ),
        (
            json!([{"role": "user", "content": [{"type": "hologram"}]}]),
            "hologram",
        ),
    ] {
        let error = claude()
            .request(&json!({"messages": messages}))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
}

#[test]
fn what_no_model_takes_is_refused_by_name_dropped_or_passed_on_inside() {
    let mut play = model("bedrock/amazon.nova-lite-v1:0");
    let request = json!({"messages": user("x"), "logit_bias": {"1": 2}, "top_k": 3});
    let error = play.request(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
    assert!(error.message().contains("logit_bias"), "{error}");
    play.policy.drop_params = true;
    let fields = &play.sent(&request)["additionalModelRequestFields"];
    assert_eq!(fields, &json!({"inferenceConfig": {"topK": 3}}));
    play.policy.allowed = vec!["logit_bias".to_owned()];
    let sent = play.sent(&request);
    assert_eq!(
        sent["additionalModelRequestFields"]["logit_bias"],
        json!({"1": 2})
    );
    assert_eq!(sent.get("logit_bias"), None);
}

#[test]
fn only_what_is_elsewhere_than_in_s3_has_to_be_fetched() {
    let parts = json!([
        {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
        {"type": "image_url", "image_url": {"url": "s3://b/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "file": {"file_id": "https://h/a.pdf"}},
        {"type": "text", "text": "a"},
    ]);
    let parts = content::read(Some(parts), "content").unwrap();
    let found: Vec<bool> = parts
        .iter()
        .map(|part| Converse.needs_bytes(part))
        .collect();
    assert_eq!(found, [true, false, false, true, false]);
}

#[test]
fn an_answer_keeps_thoughts_calls_usage_and_what_nobody_knows() {
    let play = claude();
    let answer = play.answer(
        &json!({
            "output": {"message": {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
                {"reasoningContent": {"redactedContent": "ZZZZ"}},
                {"text": "Look"},
                {"citationsContent": {"content": [{"text": " here"}], "citations": [
                    {"title": "t", "location": {"web": {"url": "https://h"}}}
                ]}},
                {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": 1}}},
                {"toolUse": {"toolUseId": "s1", "name": "search", "input": {}, "type": "server_tool_use"}},
            ]}},
            "stopReason": "tool_use",
            "usage": {"inputTokens": 10, "outputTokens": 7, "totalTokens": 24, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 2},
            "metrics": {"latencyMs": 12},
            "trace": {"promptRouter": {"invokedModelId": "m"}},
            "serviceTier": {"type": "flex"},
        }),
        &play.notes(),
    );
    let message = &answer["choices"][0]["message"];
    assert_eq!(answer["metrics"], json!({"latencyMs": 12}));
    assert_eq!(answer["trace"]["promptRouter"]["invokedModelId"], "m");
    assert_eq!(answer["service_tier"], "flex");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(message["content"], "Look here");
    assert_eq!(message["reasoning_content"], "hm");
    assert_eq!(
        message["thinking_blocks"],
        json!([
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "ZZZZ"},
        ])
    );
    let note = &message["annotations"][0]["url_citation"];
    assert_eq!(
        (&note["url"], &note["start_index"], &note["end_index"]),
        (&json!("https://h"), &json!(4), &json!(9))
    );
    assert_eq!(
        message["tool_calls"],
        json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}}])
    );
    assert_eq!(
        message["provider_specific_fields"]["content_blocks"][0]["toolUse"]["toolUseId"],
        "s1"
    );
    assert_eq!(answer["usage"]["prompt_tokens"], 17);
    assert_eq!(answer["usage"]["total_tokens"], 24);
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
    assert_eq!(answer["usage"]["cache_creation_input_tokens"], 2);
}

#[test]
fn every_reason_to_end_has_its_finish_reason() {
    for (native, wanted) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
    ] {
        let body =
            json!({"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": native});
        let answer = claude().answer(&body, &claude().notes());
        assert_eq!(answer["choices"][0]["finish_reason"], wanted, "{native}");
    }
}

fn words() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 .!]{0,12}"
}

fn message(index: usize) -> impl Strategy<Value = Vec<Value>> {
    let user = words().prop_map(|text| vec![json!({"role": "user", "content": text})]);
    let parts = prop::collection::vec(words(), 0..3).prop_map(|texts| {
        let parts: Vec<Value> = texts
            .iter()
            .map(|text| json!({"type": "text", "text": text}))
            .collect();
        vec![json!({"role": "user", "content": parts})]
    });
    let assistant = words().prop_map(|text| vec![json!({"role": "assistant", "content": text})]);
    let calls = (words(), prop::collection::vec(words(), 1..3)).prop_map(move |(text, results)| {
        let id = |place: usize| format!("call {index}/{place}");
        let calls: Vec<Value> = (0..results.len())
            .map(|place| json!({"id": id(place), "type": "function", "function": {"name": format!("f{index}"), "arguments": format!("{{\"n\":{place}}}")}}))
            .collect();
        let mut all = vec![json!({"role": "assistant", "content": text, "tool_calls": calls})];
        all.extend(results.iter().enumerate().map(|(place, result)| {
            json!({"role": "tool", "tool_call_id": id(place), "content": result})
        }));
        all
    });
    prop_oneof![user, parts, assistant, calls]
}

fn conversation() -> impl Strategy<Value = Vec<Value>> {
    let turns: Vec<_> = (0..6).map(message).collect();
    turns.prop_map(|turns| {
        let mut all = vec![json!({"role": "user", "content": "begin"})];
        all.extend(turns.into_iter().flatten());
        all
    })
}

/// Every text, in order, and the names and arguments of every call.
fn said(messages: &[Value]) -> (String, Vec<(String, Value)>) {
    let mut text = String::new();
    let mut calls = Vec::new();
    for message in messages {
        match &message["content"] {
            Value::String(said) => text += said,
            Value::Array(parts) => {
                for part in parts {
                    text += part["text"].as_str().unwrap_or_default();
                    for result in part["toolResult"]["content"]
                        .as_array()
                        .into_iter()
                        .flatten()
                    {
                        text += result["text"].as_str().unwrap();
                    }
                    if let Some(call) = part.get("toolUse") {
                        calls.push((
                            call["name"].as_str().unwrap().to_owned(),
                            call["input"].clone(),
                        ));
                    }
                }
            }
            _ => {}
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let arguments = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
            calls.push((function["name"].as_str().unwrap().to_owned(), arguments));
        }
    }
    text.retain(|letter| letter != ' ');
    (text, calls)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_and_every_call_arrives_in_turns_that_alternate(messages in conversation()) {
        let sent = claude().sent(&json!({"messages": messages}));
        let turns = sent["messages"].as_array().unwrap();
        prop_assert_eq!(said(turns), said(&messages));
        for (place, turn) in turns.iter().enumerate() {
            let role = if place % 2 == 0 { "user" } else { "assistant" };
            prop_assert_eq!(&turn["role"], role);
            let content = turn["content"].as_array().unwrap();
            prop_assert!(!content.is_empty());
            let mut ids = content.iter().filter_map(|block| block["toolUse"]["toolUseId"].as_str());
            prop_assert!(ids.all(|id| id.len() <= 64 && id.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.:-".contains(letter))));
        }
    }
}

#[test]
fn claude_thinks_on_bedrock_as_it_does_at_anthropic() {
    let request =
        json!({"messages": [{"role": "user", "content": "x"}], "reasoning_effort": "xhigh"});
    for model in [
        "claude-opus-4-6",
        "claude-opus-4-8",
        "claude-3-7-sonnet-20250219",
    ] {
        let direct = Play::new(&format!("anthropic/{model}")).sent(&request);
        let served = super::model(&format!("bedrock/anthropic.{model}-v1:0")).sent(&request);
        let inside = &served["additionalModelRequestFields"];
        for member in ["thinking", "output_config"] {
            assert_eq!(inside.get(member), direct.get(member), "{model}: {member}");
        }
    }
    let play = model("bedrock/anthropic.claude-opus-4-8-v1:0");
    let request = json!({"messages": [{"role": "user", "content": "x"}], "temperature": 0.5});
    assert_eq!(
        play.request(&request).unwrap_err().kind(),
        ErrorKind::UnsupportedParams
    );
}
