//! Ollama's own chat.

use proptest::prelude::*;
use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::llm::client::{ChatClient, ChatRequest, Limits, Reach, Trust};
use toolbridge::llm::conversion::parameters::Policy;
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::{Endpoint as Target, Settings};

use super::play::{Play, calls_of, text_of};
use crate::llm_endpoint::{Endpoint, answer};

fn llama() -> Play {
    Play::new("ollama_chat/llama3.3")
}

fn stream(lines: &[Value]) -> Vec<u8> {
    let lines = lines.iter().map(|line| format!("{line}\n"));
    lines.collect::<String>().into_bytes()
}

fn asked(member: &str, value: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "x"}]});
    body[member] = value;
    body
}

#[test]
fn a_whole_conversation_becomes_texts_with_pictures_and_calls_beside_them() {
    let sent = llama().sent(&json!({
        "messages": [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is "},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "text", "text": "this?"},
                {"type": "file", "file": {"file_data": "data:image/gif;base64,BBBB"}},
            ]},
            {"role": "assistant", "content": null, "reasoning_content": "I look.", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}},
                {"id": "c2", "type": "function", "function": {"name": "now", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
            {"role": "tool", "tool_call_id": "c1", "name": "look", "content": [{"type": "text", "text": "one"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "strict": true}}],
        "tool_choice": "auto",
        "max_completion_tokens": 100,
        "temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "seed": 7, "num_ctx": 8192,
        "frequency_penalty": 0.1, "presence_penalty": 0.2, "repeat_penalty": 1.1,
        "stop": "END", "keep_alive": "5m", "options": {"num_gpu": 1},
    }));
    assert_eq!(
        sent,
        json!({
            "model": "llama3.3",
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "What is this?", "images": ["AAAA", "BBBB"]},
                {"role": "assistant", "content": "", "thinking": "I look.", "tool_calls": [
                    {"id": "c1", "function": {"name": "look", "arguments": {"at": 1}}},
                    {"id": "c2", "function": {"name": "now", "arguments": {}}},
                ]},
                {"role": "tool", "content": "two", "tool_name": "now", "tool_call_id": "c2"},
                {"role": "tool", "content": "one", "tool_name": "look", "tool_call_id": "c1"},
            ],
            "stream": false,
            "options": {
                "num_gpu": 1, "frequency_penalty": 0.1, "min_p": 0.1, "num_ctx": 8192,
                "presence_penalty": 0.2, "repeat_penalty": 1.1, "seed": 7, "temperature": 0.5,
                "top_k": 5, "top_p": 0.9, "num_predict": 100, "stop": ["END"],
            },
            "tools": [{"type": "function", "function": {
                "name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}}],
            "keep_alive": "5m",
        })
    );
}

#[test]
fn json_is_a_word_or_a_schema() {
    let format = |format: Value| llama().sent(&asked("response_format", format))["format"].clone();
    assert_eq!(format(json!({"type": "json_object"})), "json");
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    assert_eq!(format(schema), json!({"type": "object"}));
    assert_eq!(format(json!({"type": "text"})), Value::Null);
}

#[test]
fn an_effort_is_a_level_where_the_model_has_levels() {
    let think = |model: &str, effort: &str| {
        let play = Play::new(&format!("ollama/{model}"));
        play.sent(&asked("reasoning_effort", json!(effort)))["think"].clone()
    };
    assert_eq!(think("gpt-oss:20b", "minimal"), "low");
    assert_eq!(think("me/gpt-oss:20b", "xhigh"), "high");
    assert_eq!(think("qwen3", "low"), true);
    assert_eq!(think("qwen3", "none"), false);
    let thinking =
        |kind: &str| llama().sent(&asked("thinking", json!({"type": kind})))["think"].clone();
    assert_eq!(thinking("enabled"), true);
    assert_eq!(thinking("disabled"), false);
    assert_eq!(
        llama().sent(&asked("think", json!("medium")))["think"],
        "medium"
    );
}

#[test]
fn a_call_cannot_be_forced_but_be_made_impossible() {
    let mut body = asked(
        "tools",
        json!([
            {"type": "function", "function": {"name": "a"}},
            {"type": "function", "function": {"name": "b"}},
        ]),
    );
    body["tool_choice"] = json!("none");
    assert_eq!(llama().sent(&body).get("tools"), None);
    body["tool_choice"] = json!({"type": "function", "function": {"name": "b"}});
    let error = llama().request(&body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
    assert!(error.message().contains("tool_choice"), "{error}");
    let mut play = llama();
    play.policy.drop_params = true;
    let sent = play.sent(&body);
    assert_eq!(sent["tools"].as_array().unwrap().len(), 1);
    assert_eq!(sent["tools"][0]["function"]["name"], "b");
}

#[test]
fn parts_that_are_neither_text_nor_pictures_are_refused_by_their_place() {
    for part in [
        json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
        json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}}),
        json!({"type": "image_url", "image_url": {"url": "gs://b/a.png"}}),
        json!({"type": "unheard_of"}),
    ] {
        let body = json!({"messages": [{"role": "user", "content": ["x", part]}]});
        let error = llama().request(&body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(
            error.message().starts_with("messages[0].content[1] "),
            "{error}"
        );
    }
}

#[test]
fn the_url_ends_with_the_path_of_the_chat_once_and_a_key_may_be_missing() {
    let url = |base: Option<&str>| {
        let settings = Settings {
            api_base: base.map(str::to_owned),
            ..Settings::default()
        };
        Play::with("ollama/m", settings).endpoint.url.to_string()
    };
    assert_eq!(url(None), "http://localhost:11434/api/chat");
    for base in [
        "http://h",
        "http://h/",
        "http://h/api",
        "http://h/api/chat",
        "http://h/v1",
    ] {
        assert_eq!(url(Some(base)), "http://h/api/chat", "{base}");
    }
    let model = ModelId::resolve("ollama/m", None, None).unwrap();
    let variables = |name: &str| (name == "OLLAMA_API_BASE").then(|| "http://v".to_owned());
    let target = Target::resolve(&model, &Settings::default(), &variables).unwrap();
    assert_eq!(target.url.as_str(), "http://v/api/chat");
    assert!(!target.headers.contains_key("authorization"));
}

#[test]
fn an_answer_keeps_thoughts_calls_and_counts() {
    let play = llama();
    let answer = play.answer(
        &json!({
            "model": "llama3.3", "created_at": "2026-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
                {"function": {"name": "look", "arguments": {"at": 1}}},
                {"id": "own", "function": {"index": 1, "name": "now", "arguments": {}}},
            ]},
            "done": true, "done_reason": "stop", "total_duration": 5,
            "prompt_eval_count": 26, "eval_count": 298,
            "logprobs": [{"token": "a", "logprob": -0.5}],
        }),
        &play.notes(),
    );
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    assert_eq!(choice["message"]["reasoning_content"], "hm");
    assert_eq!(
        choice["message"]["tool_calls"],
        json!([
            {"index": 0, "id": "call_1_0", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}},
            {"index": 1, "id": "own", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ])
    );
    assert_eq!(choice["logprobs"]["content"][0]["logprob"], json!(-0.5));
    assert_eq!(answer["usage"]["prompt_tokens"], 26);
    assert_eq!(answer["usage"]["total_tokens"], 324);
    assert_eq!(answer["total_duration"], 5);
    let cut = json!({"message": {"role": "assistant", "content": "a"}, "done": true, "done_reason": "length"});
    let cut = play.answer(&cut, &play.notes());
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
    assert_eq!(cut["choices"][0]["message"]["content"], "a");
}

#[tokio::test]
async fn a_stream_gives_the_same_chunks_wherever_it_is_split() {
    let play = llama();
    let line = |message: Value| json!({"model": "llama3.3:70b", "message": message, "done": false});
    let text = stream(&[
        line(json!({"role": "assistant", "content": "", "thinking": "hm"})),
        line(json!({"role": "assistant", "content": "Grüße "})),
        line(json!({"role": "assistant", "content": "\"aus\" 🦀"})),
        line(
            json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}]}),
        ),
        line(
            json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "now", "arguments": {}}}]}),
        ),
        json!({"model": "llama3.3:70b", "message": {"role": "assistant", "content": ""}, "done": true,
            "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 9}),
    ]);
    let chunks = play.split_everywhere(&text, &play.notes()).await;
    assert_eq!(text_of(&chunks), "Grüße \"aus\" 🦀");
    assert_eq!(
        calls_of(&chunks),
        [
            (
                "call_1_0".to_owned(),
                "look".to_owned(),
                "{\"at\":1}".to_owned()
            ),
            ("call_1_1".to_owned(), "now".to_owned(), "{}".to_owned()),
        ]
    );
    assert_eq!(chunks[0]["choices"][0]["delta"]["reasoning_content"], "hm");
    assert_eq!(chunks[0]["model"], "llama3.3:70b");
    let finish = &chunks[chunks.len() - 2];
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks[chunks.len() - 1]["usage"]["total_tokens"], 12);
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_ends_it_and_a_cut_is_no_answer() {
    let play = llama();
    let line = json!({"message": {"role": "assistant", "content": "a"}, "done": false});
    let text = stream(&[line.clone(), json!({"error": "out of memory"})]);
    let (chunks, error) = play.stream(vec![text.into()], &play.notes()).await;
    assert_eq!(text_of(&chunks), "a");
    assert!(error.unwrap().message().contains("out of memory"));
    let (_, error) = play
        .stream(vec![stream(&[line]).into()], &play.notes())
        .await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Connection);
}

#[tokio::test]
async fn a_call_fetches_its_picture_and_sends_the_bytes() {
    let picture =
        Endpoint::start(vec![answer("200 OK", "content-type: image/png\r\n", "abc")]).await;
    let ollama = Endpoint::start(vec![answer(
        "200 OK",
        "content-type: application/json\r\n",
        r#"{"message": {"role": "assistant", "content": "a cat"}, "done": true}"#,
    )])
    .await;
    let model = ModelId::resolve("ollama/llava", None, Some("")).unwrap();
    let settings = Settings {
        api_base: Some(ollama.origin.clone()),
        ..Settings::default()
    };
    let url = format!("{}/a.png", picture.origin);
    let body = json!({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}}]}]});
    let request = ChatRequest {
        endpoint: Target::resolve(&model, &settings, &|_| None).unwrap(),
        model,
        body: body.to_string().into(),
        policy: Policy::default(),
        limits: Limits::default(),
        max_retries: 0,
        trust: Trust::System,
    };
    let error = ChatClient::default().complete(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRequest);
    assert_eq!(error.context().provider.as_deref(), Some("ollama"));
    assert!(
        error.message().starts_with("messages[0].content[0] "),
        "{error}"
    );
    assert!(ollama.requests().is_empty() && picture.requests().is_empty());

    let client = ChatClient::with_reach(Reach::with(vec!["127.0.0.1".parse().unwrap()]));
    let answer = client.complete(&request).await.unwrap();
    assert!(String::from_utf8_lossy(answer.body.as_bytes()).contains("a cat"));
    let sent = ollama.requests().remove(0);
    assert!(sent.contains(r#""images":["YWJj"]"#), "{sent}");
}

proptest! {
    #[test]
    fn no_line_and_no_answer_makes_it_panic(lines in super::play::events(&["a", "done"], &[
        "message", "content", "thinking", "tool_calls", "function", "arguments", "name", "id", "done",
        "done_reason", "model", "logprobs", "eval_count",
    ])) {
        llama().survives(&lines);
    }
}
