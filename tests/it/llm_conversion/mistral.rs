//! Mistral's chat completions, and Cloudflare's, which need a URL alone.

use proptest::prelude::*;
use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::{Endpoint, Settings};
use toolbridge::llm::wire::Wire;

use super::play::{Play, calls_of, text_of};

fn large() -> Play {
    Play::new("mistral/mistral-large-latest")
}

fn stream(chunks: &[Value]) -> Vec<u8> {
    let chunks = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    (chunks.collect::<String>() + "data: [DONE]\n\n").into_bytes()
}

fn chunk(delta: Value, finish: Option<&str>) -> Value {
    let mut chunk = json!({"id": "m1", "object": "chat.completion.chunk", "created": 5, "model": "mistral-x",
        "choices": [{"index": 0, "delta": null, "finish_reason": finish}]});
    chunk["choices"][0]["delta"] = delta;
    chunk
}

fn asked(member: &str, value: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "x"}]});
    body[member] = value;
    body
}

#[test]
fn a_whole_conversation_has_the_names_and_parts_of_the_api() {
    let sent = large().sent(&json!({
        "messages": [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "name": "u", "content": [
                {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "image_url", "image_url": "https://h/a.png"},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_id": "https://h/a.pdf"}},
                {"type": "file", "file": {"file_id": "f1"}},
                {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "mp3"}},
                {"type": "document_url", "document_url": "https://h/b.pdf"},
            ]},
            {"role": "assistant", "content": "", "reasoning_content": "I look.", "tool_calls": [
                {"id": "abcDEF123", "index": 0, "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}},
            ]},
            {"role": "tool", "tool_call_id": "abcDEF123", "name": "look", "content": "one"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "So?"},
            {"role": "assistant", "content": "It", "prefix": true, "annotations": []},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "strict": true,
            "parameters": {"$schema": "s", "type": "object", "properties": {}}}}],
        "tool_choice": "required", "parallel_tool_calls": false,
        "max_tokens": 1, "max_completion_tokens": 100, "seed": 7, "stop": "END", "n": 2,
        "safe_prompt": true, "user": "u1", "stream": true, "stream_options": {"include_usage": true},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
    }));
    assert_eq!(
        sent,
        json!({
            "model": "mistral-large-latest",
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
                    {"type": "document_url", "document_url": "data:application/pdf;base64,BBBB", "document_name": "a.pdf"},
                    {"type": "document_url", "document_url": "https://h/a.pdf"},
                    {"type": "file", "file_id": "f1"},
                    {"type": "input_audio", "input_audio": "CCCC"},
                    {"type": "document_url", "document_url": "https://h/b.pdf"},
                ]},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "abcDEF123", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}},
                ]},
                {"role": "tool", "content": "one", "name": "look", "tool_call_id": "abcDEF123"},
                {"role": "user", "content": "So?"},
                {"role": "assistant", "content": "It", "prefix": true},
            ],
            "stream": true, "max_tokens": 100, "stop": "END", "random_seed": 7, "n": 2,
            "tools": [{"type": "function", "function": {
                "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": true}}],
            "tool_choice": "any", "parallel_tool_calls": false,
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
            "safe_prompt": true,
        })
    );
}

#[test]
fn ids_of_calls_become_nine_letters_and_digits_the_same_ones_every_time() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let body = json!({"messages": [
        {"role": "assistant", "content": null, "tool_calls": [call("call_1"), call("call_2")]},
        {"role": "tool", "tool_call_id": "call_2", "content": "two"},
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
    ]});
    let sent = large().sent(&body);
    let id = |message: usize, call: usize| {
        sent["messages"][message]["tool_calls"][call]["id"]
            .as_str()
            .unwrap()
    };
    for made in [id(0, 0), id(0, 1)] {
        assert_eq!(made.len(), 9, "{made}");
        assert!(
            made.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{made}"
        );
    }
    assert_ne!(id(0, 0), id(0, 1));
    assert_eq!(sent["messages"][1]["tool_call_id"], id(0, 1));
    assert_eq!(sent["messages"][2]["tool_call_id"], id(0, 0));
    assert_eq!(large().sent(&body), sent);
}

#[test]
fn thoughts_go_back_to_models_that_think() {
    let body = json!({"messages": [
        {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."},
        {"role": "assistant", "content": "No.", "reasoning_content": "Ah.", "thinking_blocks": [
            {"type": "thinking", "thinking": "Ah.", "signature": "s"}]},
    ]});
    let sent = Play::new("mistral/magistral-medium-latest").sent(&body);
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(
        sent["messages"],
        json!([
            {"role": "assistant", "content": [{"type": "thinking", "thinking": [text("Hm.")]}, text("Yes.")]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": [text("Ah.")], "signature": "s"}, text("No.")]},
        ])
    );
    assert_eq!(large().sent(&body)["messages"][0]["content"], "Yes.");
    let sent = Play::new("mistral/magistral-medium-latest")
        .sent(&asked("reasoning_effort", json!("high")));
    assert_eq!(
        (&sent["prompt_mode"], sent.get("reasoning_effort")),
        (&json!("reasoning"), None)
    );
    let sent = large().sent(&asked(
        "thinking",
        json!({"type": "enabled", "budget_tokens": 5}),
    ));
    assert_eq!(
        (&sent["reasoning_effort"], sent.get("thinking")),
        (&json!("high"), None)
    );
}

#[test]
fn what_the_api_does_not_have_is_refused() {
    let error = large()
        .request(&asked("logit_bias", json!({"1": 2})))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
}

#[test]
fn an_answer_tells_thoughts_from_text() {
    let play = large();
    let answer = play.answer(
        &json!({
            "id": "m1", "object": "chat.completion", "created": 5, "model": "mistral-x", "extra": 1,
            "choices": [
                {"index": 0, "finish_reason": "model_length", "message": {"role": "assistant", "prefix": false, "content": [
                    {"type": "thinking", "signature": "s", "thinking": [{"type": "text", "text": "hm "}, {"type": "text", "text": "ah"}]},
                    {"type": "text", "text": "Yes"}, {"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "!"}]}},
                {"index": 1, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "abcDEF123", "function": {"name": "look", "arguments": {"at": 1}}}]}},
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_audio_seconds": 2},
        }),
        &play.notes(),
    );
    let first = &answer["choices"][0];
    assert_eq!(first["finish_reason"], "length");
    assert_eq!(first["message"]["content"], "Yes!");
    assert_eq!(first["message"]["reasoning_content"], "hm ah");
    assert_eq!(
        first["message"]["thinking_blocks"],
        json!([{"type": "thinking", "thinking": "hm ah", "signature": "s"}])
    );
    assert_eq!(
        first["message"]["provider_specific_fields"]["content_blocks"][0]["type"],
        "reference"
    );
    let second = &answer["choices"][1];
    assert_eq!(
        (&second["index"], &second["message"]["content"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(
        second["message"]["tool_calls"][0]["function"]["arguments"],
        "{\"at\":1}"
    );
    assert_eq!(
        (&answer["id"], &answer["created"], &answer["extra"]),
        (&json!("m1"), &json!(5), &json!(1))
    );
    assert_eq!(answer["usage"]["total_tokens"], 7);
    assert_eq!(answer["usage"]["prompt_audio_seconds"], 2);
}

#[tokio::test]
async fn a_stream_gives_the_same_chunks_wherever_it_is_split() {
    let play = Play::new("mistral/magistral-small");
    let mut last = chunk(
        json!({"content": "", "tool_calls": [
        {"index": 0, "id": "abcDEF123", "function": {"name": "look", "arguments": {"at": 1}}}]}),
        Some("model_length"),
    );
    last["usage"] = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7});
    let plain = chunk(json!({"content": "\"aus\" 🦀"}), None);
    let text = stream(&[
        chunk(json!({"role": "assistant", "content": ""}), None),
        chunk(
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
            None,
        ),
        chunk(
            json!({"content": [{"type": "text", "text": "Grüße "}]}),
            None,
        ),
        plain.clone(),
        last,
    ]);
    let chunks = play.split_everywhere(&text, &play.notes()).await;
    assert_eq!(text_of(&chunks), "Grüße \"aus\" 🦀");
    let delta = &chunks[1]["choices"][0]["delta"];
    assert_eq!(
        (&delta["reasoning_content"], delta.get("content")),
        (&json!("hm"), None)
    );
    assert_eq!(chunks[3], plain);
    assert_eq!(calls_of(&chunks)[0].2, "{\"at\":1}");
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "length");
    assert_eq!(chunks[4]["usage"]["total_tokens"], 7);
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_ends_it_and_a_cut_is_no_answer() {
    let play = large();
    let begin = format!("data: {}\n\n", chunk(json!({"content": "a"}), None));
    for end in [
        json!({"error": {"message": "out of luck"}}),
        chunk(json!({"content": "out of luck"}), Some("error")),
    ] {
        let text = format!("{begin}data: {end}\n\n");
        let (chunks, error) = play.stream(vec![text.into()], &play.notes()).await;
        assert_eq!(text_of(&chunks), "a");
        assert!(error.unwrap().message().contains("out of luck"));
    }
    let (_, error) = play.stream(vec![begin.into()], &play.notes()).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Connection);
}

#[test]
fn the_url_has_the_version_once() {
    let url = |model: &str, base: Option<&str>| {
        let settings = Settings {
            api_base: base.map(str::to_owned),
            ..Settings::default()
        };
        Play::with(model, settings).endpoint.url.to_string()
    };
    assert_eq!(
        url("mistral/m", None),
        "https://api.mistral.ai/v1/chat/completions"
    );
    assert_eq!(
        url("codestral/m", None),
        "https://codestral.mistral.ai/v1/chat/completions"
    );
    for base in [
        "http://h",
        "http://h/",
        "http://h/v1",
        "http://h/v1/chat/completions",
    ] {
        assert_eq!(
            url("mistral/m", Some(base)),
            "http://h/v1/chat/completions",
            "{base}"
        );
    }
}

#[test]
fn cloudflare_is_openais_protocol_at_the_path_of_the_account() {
    let model = ModelId::resolve("cloudflare/@cf/meta/llama-3", None, None).unwrap();
    assert_eq!(model.name, "@cf/meta/llama-3");
    let resolve = |settings: &Settings, account: Option<&str>| {
        Endpoint::resolve(&model, settings, &|name| match name {
            "CLOUDFLARE_API_KEY" => Some("a-cloudflare-key".to_owned()),
            "CLOUDFLARE_ACCOUNT_ID" => account.map(str::to_owned),
            _ => None,
        })
    };
    let endpoint = resolve(&Settings::default(), Some("a1b2")).unwrap();
    assert_eq!(
        endpoint.url.as_str(),
        "https://api.cloudflare.com/client/v4/accounts/a1b2/ai/v1/chat/completions"
    );
    assert_eq!(endpoint.wire, Wire::Chat);
    assert_eq!(endpoint.headers["authorization"], "Bearer a-cloudflare-key");
    let mut settings = Settings::default();
    settings
        .options
        .insert("account_id".to_owned(), json!("c3"));
    assert!(
        resolve(&settings, Some("a1b2"))
            .unwrap()
            .url
            .path()
            .contains("/accounts/c3/")
    );
    settings.api_base = Some("http://h/accounts/x/ai/run/".to_owned());
    assert_eq!(
        resolve(&settings, None).unwrap().url.as_str(),
        "http://h/accounts/x/ai/v1/chat/completions"
    );
    for account in [None, Some("a/../b")] {
        let error = resolve(&Settings::default(), account).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("CLOUDFLARE_ACCOUNT_ID"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_chunk_and_no_answer_makes_it_panic(chunks in super::play::events(&["text", "thinking", "error"], &[
        "choices", "delta", "message", "content", "type", "text", "thinking", "signature", "tool_calls",
        "function", "arguments", "finish_reason", "usage", "id",
    ])) {
        large().survives(&chunks);
    }
}
