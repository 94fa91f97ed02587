//! OpenAI's Responses API.

use bytes::Bytes;
use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::llm::wire::Wire;

use super::play::{Play, text_of};

fn play() -> Play {
    Play::new("openai/responses/gpt-4o")
}

fn stream(events: &[Value]) -> Vec<u8> {
    let events = events.iter().map(|event| {
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    });
    events.collect::<String>().into_bytes()
}

#[test]
fn models_that_have_no_other_api_are_asked_by_this_one() {
    for model in [
        "gpt-5-pro",
        "gpt-5-codex",
        "gpt-5.1-codex-max",
        "gpt-5.2-pro-2025-12-11",
        "o1-pro",
        "openai/o3-pro",
        "o3-deep-research",
        "codex-mini-latest",
        "openai/computer-use-preview",
        "openai/responses/anything",
    ] {
        assert_eq!(Play::new(model).endpoint.wire, Wire::Responses, "{model}");
    }
    for model in [
        "gpt-4o",
        "gpt-5",
        "gpt-5-mini",
        "o3",
        "o1-preview",
        "gpt-5.1-chat-latest",
    ] {
        assert_eq!(Play::new(model).endpoint.wire, Wire::Chat, "{model}");
    }
    let url = play().endpoint.url;
    assert_eq!(url.as_str(), "https://api.openai.com/v1/responses");
}

#[test]
fn a_whole_conversation_becomes_items() {
    let reasoning =
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"});
    let sent = play().sent(&json!({
        "messages": [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "https://h/a.png", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ]},
            {"role": "assistant", "content": "I look.", "reasoning_items": [reasoning], "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}},
                {"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "image_url", "image_url": {"url": "https://h/b.png"}}]},
            {"role": "system", "content": "Be shorter."},
        ],
        "tools": [{"type": "function", "function": {
            "name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {"type": "integer"}}}
        }}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": false,
        "max_tokens": 100,
        "temperature": 0.5,
        "store": false,
        "user": "u1",
        "reasoning_effort": {"effort": "low", "summary": "auto"},
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": true}},
        "previous_response_id": "resp_0",
        "truncation": "auto",
    }));
    assert_eq!(
        sent,
        json!({
            "model": "gpt-4o",
            "instructions": "Be short.",
            "input": [
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
                    {"type": "input_image", "image_url": "https://h/a.png", "detail": "low"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"},
                    {"type": "input_file", "file_id": "file-1"},
                ]},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
                {"type": "message", "role": "assistant", "content": "I look."},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{\"at\": 1}"},
                {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "one"},
                {"type": "function_call_output", "call_id": "c2", "output": [
                    {"type": "input_image", "image_url": "https://h/b.png", "detail": "auto"}
                ]},
                {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be shorter."}]},
            ],
            "max_output_tokens": 100,
            "store": false,
            "user": "u1",
            "temperature": 0.5,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "low", "summary": "auto"},
            "tools": [
                {"type": "function", "name": "look", "description": "Looks.",
                 "parameters": {"type": "object", "properties": {"at": {"type": "integer"}}}, "strict": false},
                {"type": "web_search"},
            ],
            "tool_choice": {"type": "function", "name": "look"},
            "parallel_tool_calls": false,
            "text": {
                "format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": true},
                "verbosity": "low",
            },
            "previous_response_id": "resp_0",
            "truncation": "auto",
        })
    );
}

#[test]
fn what_the_api_does_not_have_is_refused_by_name() {
    let body =
        json!({"messages": [{"role": "user", "content": "Hi"}], "n": 2, "stop": "x", "seed": 1});
    let error = play().request(&body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
    assert!(error.message().contains("n, seed, stop"), "{error}");
    let body = json!({"messages": [{"role": "user", "content": "Hi"}], "temperature": 0.2});
    let error = Play::new("gpt-5-pro").request(&body).unwrap_err();
    assert!(error.message().contains("temperature"), "{error}");
}

#[test]
fn an_answer_is_a_message_with_its_reasoning_calls_and_citations() {
    let notes = play().notes();
    let answer = play().answer(
        &json!({
            "id": "resp_1", "created_at": 1_741_569_952.0, "model": "gpt-5-pro-2025", "status": "completed", "error": null,
            "output": [
                {"type": "reasoning", "id": "rs_1", "status": null, "encrypted_content": "gAAA",
                 "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Then."}]},
                {"type": "web_search_call", "id": "ws_1", "status": "completed"},
                {"type": "message", "id": "msg_1", "role": "assistant", "content": [
                    {"type": "output_text", "text": "Ähm. ", "annotations": []},
                    {"type": "output_text", "text": "See h.", "annotations": [
                        {"type": "url_citation", "url": "https://h", "title": "H", "start_index": 4, "end_index": 5}
                    ], "logprobs": [{"token": "See", "logprob": -0.1, "bytes": [83], "top_logprobs": []}]},
                ]},
                {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{\"at\":1}"},
            ],
            "service_tier": "default",
            "usage": {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 5,
                      "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 17},
        }),
        &notes,
    );
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "Ähm. See h.");
    assert_eq!(message["reasoning_content"], "First.\n\nThen.");
    assert_eq!(message["reasoning_items"][0]["encrypted_content"], "gAAA");
    assert!(message["reasoning_items"][0].get("status").is_none());
    let citation = &message["annotations"][0]["url_citation"];
    assert_eq!(
        (&citation["start_index"], &citation["end_index"]),
        (&json!(9), &json!(10))
    );
    assert_eq!(message["tool_calls"][0]["id"], "c1");
    let others = &message["provider_specific_fields"]["output_items"];
    assert_eq!(others[0]["id"], "ws_1");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(
        answer["choices"][0]["logprobs"]["content"][0]["token"],
        "See"
    );
    assert_eq!(
        (&answer["id"], &answer["created"]),
        (&json!("resp_1"), &json!(1_741_569_952))
    );
    assert_eq!(answer["service_tier"], "default");
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17,
               "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}})
    );
    // What came goes back as it was.
    let sent = play().sent(&json!({"messages": [message]}));
    assert_eq!(sent["input"][0]["id"], "rs_1");
    assert_eq!(sent["input"][2]["call_id"], "c1");
}

#[test]
fn an_answer_that_was_cut_short_says_why() {
    let reason = |details: Value| {
        let body = json!({"output": [], "status": "incomplete", "incomplete_details": details});
        let answer = play().answer(&body, &play().notes());
        answer["choices"][0]["finish_reason"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(reason(json!({"reason": "max_output_tokens"})), "length");
    assert_eq!(
        reason(json!({"reason": "content_filter"})),
        "content_filter"
    );
    assert_eq!(reason(Value::Null), "length");
}

fn events() -> Vec<Value> {
    let response = json!({"id": "resp_1", "created_at": 7, "model": "served", "error": null, "output": [], "status": "in_progress"});
    let item = json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"});
    vec![
        json!({"type": "response.created", "response": response}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1", "summary": []}}),
        json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Hm."}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "id": "msg_1", "content": []}}),
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Sünny", "logprobs": []}),
        json!({"type": "response.unknown.delta", "delta": {"a": 1}}),
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "."}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "message", "id": "msg_1", "content": []}}),
        json!({"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "item_id": "fc_1", "delta": "{\"at\""}),
        json!({"type": "response.output_item.added", "output_index": 3, "item": {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "wait", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "item_id": "fc_1", "delta": ":1}"}),
        json!({"type": "response.output_item.done", "output_index": 3, "item": {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "wait", "arguments": "{}"}}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": [], "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}}}),
    ]
}

#[tokio::test]
async fn a_stream_has_text_thoughts_calls_and_usage_wherever_it_is_cut() {
    let chunks = play()
        .split_everywhere(&stream(&events()), &play().notes())
        .await;
    assert_eq!(text_of(&chunks), "Sünny.");
    let deltas: Vec<_> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"])
        .collect();
    assert_eq!(
        deltas
            .iter()
            .filter(|delta| delta["role"] == "assistant")
            .count(),
        1
    );
    assert!(
        deltas
            .iter()
            .any(|delta| delta["reasoning_content"] == "Hm.")
    );
    assert!(
        deltas
            .iter()
            .any(|delta| delta["reasoning_items"][0]["encrypted_content"] == "gAAA")
    );
    let mut arguments = [String::new(), String::new()];
    for call in deltas.iter().filter_map(|delta| delta.get("tool_calls")) {
        let index = usize::try_from(call[0]["index"].as_u64().unwrap()).unwrap();
        arguments[index].push_str(call[0]["function"]["arguments"].as_str().unwrap());
    }
    assert_eq!(arguments, ["{\"at\":1}", "{}"]);
    let [.., end, usage] = chunks.as_slice() else {
        panic!("chunks")
    };
    assert_eq!(end["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(usage["usage"]["total_tokens"], 7);
    assert_eq!(
        (&end["id"], &end["model"], &end["created"]),
        (&json!("resp_1"), &json!("served"), &json!(7))
    );
}

#[tokio::test]
async fn a_stream_that_fails_or_breaks_off_is_an_error() {
    let failure = json!({"code": "rate_limit_exceeded", "message": "slow down"});
    for (event, kind) in [
        (
            json!({"type": "error", "code": "server_error", "message": "slow down"}),
            ErrorKind::Api,
        ),
        (
            json!({"type": "response.failed", "response": {"error": failure, "status": "failed"}}),
            ErrorKind::RateLimit,
        ),
    ] {
        let mut all = events();
        all.truncate(8);
        all.push(event);
        let text = Bytes::from(stream(&all));
        let (chunks, error) = play().stream(vec![text], &play().notes()).await;
        assert_eq!(text_of(&chunks), "Sünny");
        let error = error.unwrap();
        assert!(error.message().contains("slow down"), "{error}");
        assert_eq!(error.kind(), kind);
    }
    let mut all = events();
    all.pop();
    let text = Bytes::from(stream(&all));
    let (_, error) = play().stream(vec![text], &play().notes()).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Connection);
    let cut = json!({"type": "response.incomplete", "response": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}});
    all.push(cut);
    let text = Bytes::from(stream(&all));
    let (chunks, error) = play().stream(vec![text], &play().notes()).await;
    assert!(error.is_none());
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "length"
    );
}
