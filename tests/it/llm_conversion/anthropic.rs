//! Anthropic's Messages API.

use serde_json::{Value, json};
use toolbridge::error::ErrorKind;

use super::play::{Play, calls_of, text_of};

fn claude() -> Play {
    Play::new("anthropic/claude-sonnet-4-5")
}

fn stream(events: &[Value]) -> Vec<u8> {
    let events = events.iter().map(|event| {
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    });
    events.collect::<String>().into_bytes()
}

#[test]
fn a_whole_conversation_becomes_turns_of_blocks() {
    let sent = claude().sent(&json!({
        "messages": [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"}},
            ]},
            {"role": "assistant", "content": null, "thinking_blocks": [
                {"type": "thinking", "thinking": "hm", "signature": "s"}
            ], "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}},
                {"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "So?"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {"type": "integer"}}}
        }}],
        "tool_choice": "required",
        "parallel_tool_calls": false,
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "stop": "END",
        "user": "u1",
        "top_k": 5,
    }));
    assert_eq!(
        sent,
        json!({
            "model": "claude-sonnet-4-5",
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}, "title": "a.pdf"},
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}},
                    {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "one"}]},
                    {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "two"}]},
                    {"type": "text", "text": "So?"},
                ]},
            ],
            "system": [{"type": "text", "text": "Be short."}],
            "max_tokens": 100,
            "temperature": 0.5,
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u1"},
            "tools": [{
                "type": "custom", "name": "look", "description": "Looks.",
                "input_schema": {"type": "object", "properties": {"at": {"type": "integer"}}}
            }],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "top_k": 5,
        })
    );
}

#[test]
fn an_effort_becomes_a_budget_or_an_effort_as_the_model_has_it() {
    let request =
        json!({"messages": [{"role": "user", "content": "x"}], "reasoning_effort": "high"});
    let older = claude().sent(&request);
    assert_eq!(
        older["thinking"],
        json!({"type": "enabled", "budget_tokens": 4096})
    );
    assert!(older["max_tokens"].as_u64().unwrap() > 4096);
    let newer = Play::new("claude-opus-4-6").sent(&request);
    assert_eq!(newer["thinking"], json!({"type": "adaptive"}));
    assert_eq!(newer["output_config"], json!({"effort": "high"}));
}

#[test]
fn json_by_schema_is_the_models_own_or_comes_through_a_tool() {
    let request = json!({
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    });
    let newer = claude().sent(&request);
    assert_eq!(
        newer["output_config"]["format"],
        json!({"type": "json_schema", "schema": {"type": "object", "additionalProperties": false}})
    );
    let play = Play::new("anthropic/claude-3-haiku-20240307");
    let (older, notes) = play.request(&request).unwrap();
    let name = &older["tools"][0]["name"];
    assert_eq!(older["tool_choice"], json!({"type": "tool", "name": name}));
    let answer = play.answer(
        &json!({"content": [{"type": "tool_use", "id": "t", "name": name, "input": {"a": 1}}], "stop_reason": "tool_use"}),
        &notes,
    );
    assert_eq!(answer["choices"][0]["message"]["content"], "{\"a\":1}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["choices"][0]["message"].get("tool_calls"), None);
}

#[test]
fn what_the_api_does_not_take_is_refused_by_name_dropped_or_passed_on() {
    let mut play = claude();
    let request = json!({"messages": [{"role": "user", "content": "x"}], "logit_bias": {"1": 2}});
    let error = play.request(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
    for part in ["logit_bias", "anthropic", "drop_params"] {
        assert!(error.message().contains(part), "{error}");
    }
    play.policy.drop_params = true;
    assert_eq!(play.sent(&request).get("logit_bias"), None);
    play.policy.allowed = vec!["logit_bias".to_owned()];
    assert_eq!(play.sent(&request)["logit_bias"], json!({"1": 2}));
}

#[test]
fn a_tool_result_without_its_call_is_refused_before_it_is_sent() {
    let error = claude()
        .request(&json!({"messages": [
            {"role": "user", "content": "x"},
            {"role": "tool", "tool_call_id": "c9", "content": "one"},
        ]}))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRequest);
    assert!(
        error.message().contains("messages[1]") && error.message().contains("c9"),
        "{error}"
    );
}

#[test]
fn an_answer_keeps_thoughts_calls_usage_and_what_nobody_knows() {
    let play = claude();
    let answer = play.answer(
        &json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "Look", "citations": [{"type": "web_search_result_location", "url": "https://h", "title": "t"}]},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}},
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null, "container": {"id": "k"},
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 7, "service_tier": "standard"},
        }),
        &play.notes(),
    );
    let message = &answer["choices"][0]["message"];
    assert_eq!(answer["id"], "msg_1");
    assert_eq!(answer["model"], "claude-x");
    assert_eq!(answer["container"], json!({"id": "k"}));
    assert_eq!(answer["service_tier"], "default");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(message["content"], "Look");
    assert_eq!(message["reasoning_content"], "hm");
    assert_eq!(message["thinking_blocks"][0]["signature"], "s");
    assert_eq!(
        message["annotations"][0]["url_citation"]["url"],
        "https://h"
    );
    assert_eq!(
        message["tool_calls"],
        json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}}])
    );
    assert_eq!(
        message["provider_specific_fields"]["content_blocks"][0]["type"],
        "server_tool_use"
    );
    assert_eq!(answer["usage"]["prompt_tokens"], 17);
    assert_eq!(answer["usage"]["total_tokens"], 24);
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
    assert_eq!(answer["usage"]["cache_read_input_tokens"], 5);
}

#[tokio::test]
async fn a_stream_gives_the_same_chunks_wherever_it_is_split() {
    let play = claude();
    let text = stream(&[
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude-x", "usage": {"input_tokens": 3, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "ping"}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Grüße "}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "\"aus\" 🦀"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "c1", "name": "look", "input": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"at\""}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ":1}"}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "content_block_start", "index": 3, "content_block": {"type": "tool_use", "id": "c2", "name": "now", "input": {}}}),
        json!({"type": "content_block_stop", "index": 3}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ]);
    let chunks = play.split_everywhere(&text, &play.notes()).await;
    assert_eq!(text_of(&chunks), "Grüße \"aus\" 🦀");
    assert_eq!(
        calls_of(&chunks),
        [
            ("c1".to_owned(), "look".to_owned(), "{\"at\":1}".to_owned()),
            ("c2".to_owned(), "now".to_owned(), "{}".to_owned()),
        ]
    );
    let roles = chunks.iter().filter(|chunk| {
        let delta = &chunk["choices"][0]["delta"];
        delta.get("role").is_some()
    });
    assert_eq!(roles.count(), 1);
    let blocks = chunks
        .iter()
        .find_map(|chunk| chunk["choices"][0]["delta"].get("thinking_blocks"));
    assert_eq!(
        blocks.unwrap(),
        &json!([{"type": "thinking", "thinking": "hm", "signature": "s"}])
    );
    let finish = &chunks[chunks.len() - 2];
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(finish["id"], "msg_1");
    let usage = &chunks[chunks.len() - 1];
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 9);
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_has_its_kind_and_ends_it() {
    let play = claude();
    let text = stream(&[
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}}),
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    ]);
    let (chunks, error) = play.stream(vec![text.into()], &play.notes()).await;
    assert_eq!(text_of(&chunks), "a");
    assert!(error.unwrap().message().contains("Overloaded"));
}

#[tokio::test]
async fn a_stream_that_is_cut_short_is_no_answer() {
    let play = claude();
    let text = stream(&[
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}}),
    ]);
    let (_, error) = play.stream(vec![text.into()], &play.notes()).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Connection);
}
