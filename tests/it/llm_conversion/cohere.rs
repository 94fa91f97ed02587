//! Cohere's chat, the second version.

use proptest::prelude::*;
use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::llm::provider::Settings;

use super::play::{Play, calls_of, text_of};

fn command() -> Play {
    Play::new("cohere_chat/command-a-03-2025")
}

fn stream(events: &[Value]) -> Vec<u8> {
    let events = events.iter().map(|event| {
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    });
    events.collect::<String>().into_bytes()
}

#[test]
fn a_whole_conversation_becomes_the_messages_of_the_api() {
    let sent = command().sent(&json!({
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "short."}]},
            {"role": "user", "name": "u", "content": [
                {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
            ]},
            {"role": "assistant", "content": null, "reasoning_content": "I look.", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}, "index": 0},
                {"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "name": "look", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": [
                {"type": "document", "document": {"data": {"text": "two"}}}]},
            {"role": "assistant", "content": "Seen.", "reasoning_content": "Hm."},
            {"role": "user", "content": [{"type": "text", "text": "So?"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "strict": true}}],
        "tool_choice": "required",
        "max_tokens": 1, "max_completion_tokens": 100,
        "temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 7,
        "frequency_penalty": 0.1, "presence_penalty": 0.2,
        "stop": "END", "logprobs": true, "stream": true,
        "thinking": {"type": "enabled", "budget_tokens": 10},
        "safety_mode": "STRICT", "documents": ["d"], "citation_options": {"mode": "FAST"},
    }));
    assert_eq!(
        sent,
        json!({
            "model": "command-a-03-2025",
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "short."}]},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
                ]},
                {"role": "assistant", "tool_plan": "I look.", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}},
                    {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": "one"},
                {"role": "tool", "tool_call_id": "c2", "content": [
                    {"type": "document", "document": {"data": {"text": "two"}}}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Seen."}]},
                {"role": "user", "content": "So?"},
            ],
            "stream": true,
            "temperature": 0.5, "p": 0.9, "seed": 7,
            "frequency_penalty": 0.1, "presence_penalty": 0.2,
            "k": 5, "max_tokens": 100, "stop_sequences": ["END"], "logprobs": true,
            "thinking": {"type": "enabled", "token_budget": 10},
            "tools": [{"type": "function", "function": {
                "name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}}],
            "strict_tools": true,
            "tool_choice": "REQUIRED",
            "safety_mode": "STRICT", "documents": ["d"], "citation_options": {"mode": "FAST"},
        })
    );
}

#[test]
fn a_choice_of_tools_is_one_of_two_words_and_the_tools_that_are_told() {
    let sent = |choice: Value| {
        command().sent(&json!({
            "messages": [{"role": "user", "content": "x"}],
            "tools": [
                {"type": "function", "function": {"name": "a"}},
                {"type": "function", "function": {"name": "b"}},
            ],
            "tool_choice": choice,
        }))
    };
    let names = |sent: &Value| -> Vec<String> {
        let tools = sent["tools"].as_array().unwrap().iter();
        tools
            .map(|tool| tool["function"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(sent(json!("auto")).get("tool_choice"), None);
    assert_eq!(sent(json!("none"))["tool_choice"], "NONE");
    let one = sent(json!({"type": "function", "function": {"name": "b"}}));
    assert_eq!(
        (names(&one), &one["tool_choice"]),
        (vec!["b".to_owned()], &json!("REQUIRED"))
    );
    let error = command()
        .request(&json!({
            "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "function", "function": {"name": "a"}}],
            "tool_choice": {"type": "function", "function": {"name": "c"}},
        }))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRequest);
    assert!(error.message().contains("\"c\""), "{error}");
}

#[test]
fn json_and_thinking_are_asked_for_as_the_api_has_them() {
    let sent = |member: &str, value: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": "x"}]});
        body[member] = value;
        command().sent(&body)
    };
    assert_eq!(
        sent("response_format", json!({"type": "json_object"}))["response_format"],
        json!({"type": "json_object"})
    );
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    assert_eq!(
        sent("response_format", schema)["response_format"],
        json!({"type": "json_object", "json_schema": {"type": "object"}})
    );
    assert_eq!(
        sent("reasoning_effort", json!("none"))["thinking"],
        json!({"type": "disabled"})
    );
    assert_eq!(
        sent("reasoning_effort", json!("low"))["thinking"],
        json!({"type": "enabled", "token_budget": 1024})
    );
}

#[test]
fn what_the_api_does_not_take_is_refused_and_says_where_it_stands() {
    let play = command();
    for (part, place) in [
        (
            json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
            "messages[0].content[0]",
        ),
        (
            json!({"type": "file", "file": {"file_data": "AA"}}),
            "messages[0].content[0]",
        ),
    ] {
        let error = play
            .request(&json!({"messages": [{"role": "user", "content": [part]}]}))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(error.message().starts_with(place), "{error}");
    }
    let error = play
        .request(&json!({"messages": [{"role": "user", "content": "x"}], "n": 2}))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
}

#[test]
fn the_url_ends_with_the_path_of_the_second_version_once() {
    let url = |base: Option<&str>| {
        let settings = Settings {
            api_base: base.map(str::to_owned),
            ..Settings::default()
        };
        Play::with("cohere/command-r", settings)
            .endpoint
            .url
            .to_string()
    };
    assert_eq!(url(None), "https://api.cohere.com/v2/chat");
    for base in [
        "http://h",
        "http://h/",
        "http://h/v2",
        "http://h/v2/chat",
        "http://h/v1",
    ] {
        assert_eq!(url(Some(base)), "http://h/v2/chat", "{base}");
    }
    assert_eq!(
        Play::new("command-r-plus").model.provider.name,
        "cohere_chat"
    );
}

#[test]
fn an_answer_keeps_thoughts_calls_citations_and_both_counts() {
    let play = command();
    let citation = json!({"start": 0, "end": 4, "text": "Seen", "sources": [
        {"type": "document", "id": "doc:1", "document": {"id": "doc:1", "title": "t"}},
        {"type": "tool", "id": "c1:0", "tool_output": {"url": "https://h"}},
    ]});
    let answer = play.answer(
        &json!({
            "id": "a1", "finish_reason": "TOOL_CALL", "prompt": null, "extra": 1,
            "message": {
                "role": "assistant", "tool_plan": "I look.",
                "content": [{"type": "thinking", "thinking": "hm "}, {"type": "text", "text": "Seen"}],
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}}],
                "citations": [citation],
            },
            "logprobs": [{"text": "Seen", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]}],
            "usage": {
                "billed_units": {"input_tokens": 5.0, "output_tokens": 2.0},
                "tokens": {"input_tokens": 50.0, "output_tokens": 7.0},
                "cached_tokens": 30.0,
            },
        }),
        &play.notes(),
    );
    let choice = &answer["choices"][0];
    let message = &choice["message"];
    assert_eq!((&answer["id"], &answer["extra"]), (&json!("a1"), &json!(1)));
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(message["content"], "Seen");
    assert_eq!(message["reasoning_content"], "hm I look.");
    assert_eq!(message["provider_specific_fields"]["tool_plan"], "I look.");
    assert_eq!(
        message["provider_specific_fields"]["citations"],
        json!([citation])
    );
    assert_eq!(
        message["tool_calls"][0]["function"]["arguments"],
        "{\"at\":1}"
    );
    let urls: Vec<&Value> = message["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| &note["url_citation"]["url"])
        .collect();
    assert_eq!(urls, ["source:doc:1", "https://h"]);
    assert_eq!(message["annotations"][0]["url_citation"]["end_index"], 4);
    let tokens = choice["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len(), 2);
    assert_eq!(
        (&tokens[0]["token"], &tokens[1]["logprob"]),
        (&json!("Seen"), &json!(-0.25))
    );
    assert_eq!(answer["usage"]["prompt_tokens"], 50);
    assert_eq!(answer["usage"]["total_tokens"], 57);
    assert_eq!(
        answer["usage"]["prompt_tokens_details"]["cached_tokens"],
        30
    );
    assert_eq!(answer["usage"]["billed_units"]["input_tokens"], json!(5.0));

    let cut =
        json!({"message": {"role": "assistant", "content": []}, "finish_reason": "MAX_TOKENS"});
    assert_eq!(
        play.answer(&cut, &play.notes())["choices"][0]["finish_reason"],
        "length"
    );
}

#[tokio::test]
async fn a_stream_gives_the_same_chunks_wherever_it_is_split() {
    let play = command();
    let message = |message: Value| json!({"message": message});
    let text = stream(&[
        json!({"type": "message-start", "id": "m1", "delta": message(json!({"role": "assistant"}))}),
        json!({"type": "tool-plan-delta", "delta": message(json!({"tool_plan": "I look."}))}),
        json!({"type": "content-start", "index": 0, "delta": message(json!({"content": {"type": "thinking", "thinking": ""}}))}),
        json!({"type": "content-delta", "index": 0, "delta": message(json!({"content": {"thinking": " hm"}}))}),
        json!({"type": "content-end", "index": 0}),
        json!({"type": "content-start", "index": 1, "delta": message(json!({"content": {"type": "text", "text": ""}}))}),
        json!({"type": "content-delta", "index": 1, "delta": message(json!({"content": {"text": "Grüße "}}))}),
        json!({"type": "content-delta", "index": 1, "delta": message(json!({"content": {"text": "\"aus\" 🦀"}})),
            "logprobs": {"text": "\"aus\" 🦀", "token_ids": [1], "logprobs": [-0.5]}}),
        json!({"type": "citation-start", "index": 0, "delta": message(json!({"citations": {
            "start": 0, "end": 5, "text": "Grüße", "sources": [{"type": "document", "id": "d", "document": {"title": "t"}}]}}))}),
        json!({"type": "citation-end", "index": 0}),
        json!({"type": "content-end", "index": 1}),
        json!({"type": "tool-call-start", "index": 0, "delta": message(json!({"tool_calls": {
            "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}}))}),
        json!({"type": "tool-call-delta", "index": 0, "delta": message(json!({"tool_calls": {"function": {"arguments": "{\"at\""}}}))}),
        json!({"type": "tool-call-delta", "index": 0, "delta": message(json!({"tool_calls": {"function": {"arguments": ":1}"}}}))}),
        json!({"type": "tool-call-end", "index": 0}),
        json!({"type": "tool-call-start", "index": 1, "delta": message(json!({"tool_calls": {
            "id": "c2", "type": "function", "function": {"name": "now", "arguments": ""}}}))}),
        json!({"type": "tool-call-end", "index": 1}),
        json!({"type": "unheard-of"}),
        json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {"tokens": {"input_tokens": 3, "output_tokens": 9}}}}),
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
    let deltas = || chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]);
    let thoughts: String = deltas()
        .filter_map(|delta| delta["reasoning_content"].as_str())
        .collect();
    assert_eq!(thoughts, "I look. hm");
    assert_eq!(
        deltas().filter(|delta| delta.get("role").is_some()).count(),
        1
    );
    let notes = deltas().find_map(|delta| delta.get("annotations")).unwrap();
    assert_eq!(notes[0]["url_citation"]["end_index"], 5);
    let fields = deltas()
        .find_map(|delta| delta.get("provider_specific_fields"))
        .unwrap();
    assert_eq!(fields["citations"][0]["text"], "Grüße");
    let logprobs = chunks
        .iter()
        .find_map(|chunk| chunk["choices"][0]["logprobs"].as_object());
    assert_eq!(logprobs.unwrap()["content"][0]["logprob"], json!(-0.5));
    let finish = &chunks[chunks.len() - 2];
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(finish["id"], "m1");
    assert_eq!(chunks[chunks.len() - 1]["usage"]["total_tokens"], 12);
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_ends_it() {
    let play = command();
    let begin = json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}});
    for end in [
        json!({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "out of luck"}}),
        json!({"type": "message-end", "delta": {"error": "out of luck"}}),
    ] {
        let text = stream(&[begin.clone(), end]);
        let (chunks, error) = play.stream(vec![text.into()], &play.notes()).await;
        assert_eq!(text_of(&chunks), "a");
        assert!(error.unwrap().message().contains("out of luck"));
    }
    let (_, error) = play
        .stream(vec![stream(&[begin]).into()], &play.notes())
        .await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Connection);
}

proptest! {
    #[test]
    fn no_event_and_no_answer_makes_it_panic(events in super::play::events(&[
        "message-start", "content-start", "content-delta", "tool-plan-delta", "tool-call-start",
        "tool-call-delta", "tool-call-end", "citation-start", "message-end",
    ], &[
        "delta", "message", "content", "text", "thinking", "tool_plan", "tool_calls", "function",
        "arguments", "citations", "sources", "document", "usage", "tokens", "logprobs", "finish_reason",
    ])) {
        command().survives(&events);
    }
}
