//! Replicate's predictions: made, asked for until they are over, read as a stream.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::Notify;
use toolbridge::error::{Error, ErrorKind};
use toolbridge::llm::client::{ChatClient, ChatRequest, Limits, Trust};
use toolbridge::llm::conversion::parameters::Policy;
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::{Endpoint as Target, Settings};
use toolbridge::llm::wire::Wire;

use super::play::{Play, text_of};
use crate::llm_endpoint::{Endpoint, Reply, Step, answer, stream_head};

fn llama() -> Play {
    Play::new("replicate/meta/meta-llama-3-70b-instruct")
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

#[test]
fn one_message_is_the_prompt_and_unknown_names_are_input() {
    let sent = llama().sent(&json!({
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["a", "b"],
        "top_k": 3, "image": "https://h/a.png", "webhook": "https://h",
    }));
    assert_eq!(
        sent,
        json!({
            "input": {
                "prompt": "Hi", "system_prompt": "Be short.", "max_tokens": 5, "stop_sequences": "a,b",
                "temperature": 0.5, "top_p": 0.9, "seed": 7, "top_k": 3, "image": "https://h/a.png",
            },
            "webhook": "https://h",
        })
    );
}

#[test]
fn several_messages_are_a_transcript() {
    let sent = llama().sent(&json!({
        "messages": [user("Hi"), {"role": "assistant", "content": "Ho"}, user("So?")],
        "stream": true,
    }));
    assert_eq!(
        sent,
        json!({"input": {"prompt": "User: Hi\n\nAssistant: Ho\n\nUser: So?\n\nAssistant:"}, "stream": true})
    );
}

#[test]
fn what_no_model_takes_is_refused() {
    for (member, value) in [
        (
            "tools",
            json!([{"type": "function", "function": {"name": "f"}}]),
        ),
        ("response_format", json!({"type": "json_object"})),
        ("logit_bias", json!({"1": 2})),
    ] {
        let mut body = json!({"messages": [user("x")]});
        body[member] = value;
        let error = llama().request(&body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedParams);
        assert!(error.message().contains(member), "{error}");
    }
    let picture = json!([{"type": "image_url", "image_url": {"url": "https://h/a.png"}}]);
    let body = json!({"messages": [{"role": "user", "content": picture}]});
    let error = llama().request(&body).unwrap_err();
    assert!(
        error.message().starts_with("messages[0].content[0] "),
        "{error}"
    );
}

#[test]
fn a_model_a_version_and_a_deployment_have_paths_of_their_own() {
    let version = "a".repeat(64);
    let url = |model: &str| {
        Play::new(&format!("replicate/{model}"))
            .endpoint
            .url
            .to_string()
    };
    let api = "https://api.replicate.com/v1";
    assert_eq!(
        url("meta/llama"),
        format!("{api}/models/meta/llama/predictions")
    );
    assert_eq!(
        url("deployments/me/mine"),
        format!("{api}/deployments/me/mine/predictions")
    );
    assert_eq!(url(&version), format!("{api}/predictions"));
    let named = format!("meta/llama:{version}");
    assert_eq!(url(&named), format!("{api}/predictions"));
    let sent = Play::new(&format!("replicate/{named}")).sent(&json!({"messages": [user("x")]}));
    assert_eq!(sent["version"], version);
    for wrong in ["llama", "a/b/c", "../x", "a/b?c"] {
        let model = ModelId::resolve(&format!("replicate/{wrong}"), None, None).unwrap();
        let settings = Settings {
            api_key: Some("r8_a-key".to_owned()),
            ..Settings::default()
        };
        let error = Target::resolve(&model, &settings, &|_| None).unwrap_err();
        assert!(error.message().contains("owner/name"), "{error}");
    }
}

fn call(origin: &str) -> ChatRequest {
    let model = ModelId::resolve("replicate/meta/llama", None, Some("")).unwrap();
    let settings = Settings {
        api_key: Some("r8_a-key".to_owned()),
        api_base: Some(format!("{origin}/v1")),
        ..Settings::default()
    };
    ChatRequest {
        endpoint: Target::resolve(&model, &settings, &|_| None).unwrap(),
        model,
        body: json!({"messages": [user("Hi")]}).to_string().into(),
        policy: Policy::default(),
        limits: Limits::default(),
        max_retries: 2,
        trust: Trust::System,
    }
}

fn prediction(status: &str, more: Value) -> Reply {
    let mut body = json!({"id": "p1", "model": "meta/llama", "status": status});
    let Value::Object(more) = more else {
        panic!("{more} is no object");
    };
    body.as_object_mut().unwrap().extend(more);
    answer(
        "201 Created",
        "content-type: application/json\r\n",
        &body.to_string(),
    )
}

/// Asks an endpoint that knows its own address.
async fn asked(replies: impl FnOnce(&str) -> Vec<Reply>) -> (Endpoint, Result<Value, Error>) {
    let endpoint = Endpoint::start_with(replies).await;
    let answer = ChatClient::default()
        .complete(&call(&endpoint.origin))
        .await;
    let answer = answer.map(|answer| serde_json::from_slice(answer.body.as_bytes()).unwrap());
    (endpoint, answer)
}

#[tokio::test]
async fn a_prediction_that_is_over_at_once_is_asked_for_once() {
    let (endpoint, answer) = asked(|_| {
        vec![prediction(
            "succeeded",
            json!({"output": ["a ", "cat"], "metrics": {"input_token_count": 3, "output_token_count": 4, "predict_time": 0.5}}),
        )]
    })
    .await;
    let answer = answer.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "a cat");
    assert_eq!(
        (&answer["id"], &answer["usage"]["total_tokens"]),
        (&json!("p1"), &json!(7))
    );
    assert_eq!(answer["metrics"]["predict_time"], json!(0.5));
    let sent = endpoint.requests();
    assert_eq!(sent.len(), 1);
    assert!(
        sent[0].starts_with("POST /v1/models/meta/llama/predictions HTTP/1.1\r\n"),
        "{}",
        sent[0]
    );
    assert!(sent[0].contains("prefer: wait=5\r\n"), "{}", sent[0]);
}

#[tokio::test]
async fn a_prediction_is_asked_for_until_it_is_over_and_never_made_twice() {
    let (endpoint, answer) = asked(|origin| {
        let urls = json!({"urls": {"get": format!("{origin}/v1/predictions/p1")}});
        vec![
            prediction("starting", urls.clone()),
            answer("503 Service Unavailable", "", ""),
            prediction("processing", urls),
            prediction("succeeded", json!({"output": "a cat"})),
        ]
    })
    .await;
    assert_eq!(answer.unwrap()["choices"][0]["message"]["content"], "a cat");
    let sent = endpoint.requests();
    assert_eq!(sent.len(), 4);
    for question in &sent[1..] {
        assert!(
            question.starts_with("GET /v1/predictions/p1 HTTP/1.1\r\n"),
            "{question}"
        );
        assert!(
            question.contains("authorization: Bearer r8_a-key\r\n"),
            "{question}"
        );
    }
}

#[tokio::test]
async fn a_prediction_that_failed_is_an_error_with_its_sentence() {
    let (endpoint, answer) = asked(|origin| {
        let urls = json!({"urls": {"get": format!("{origin}/v1/predictions/p1")}});
        vec![
            prediction("starting", urls),
            prediction("failed", json!({"error": "out of luck"})),
        ]
    })
    .await;
    assert!(answer.unwrap_err().message().contains("out of luck"));
    assert_eq!(endpoint.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_that_is_elsewhere_without_encryption_is_not_asked_for() {
    let (endpoint, answer) = asked(|_| {
        vec![prediction(
            "starting",
            json!({"urls": {"get": "http://127.0.0.2:1/p1"}}),
        )]
    })
    .await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::ResponseValidation);
    assert_eq!(endpoint.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_is_read_where_the_prediction_says_that_it_is() {
    let text = "event: output\nid: 1\ndata: a \n\nevent: output\nid: 2\ndata: cat\n\nevent: done\ndata: {}\n\n";
    let endpoint = Endpoint::start_with(|origin| {
        let url = format!("{origin}/streams/s1");
        vec![
            prediction("starting", json!({"urls": {"stream": url}})),
            vec![stream_head(), Step::Send(text.into()), Step::Close],
        ]
    })
    .await;
    let streamed = ChatClient::default()
        .stream(&call(&endpoint.origin))
        .await
        .unwrap();
    let mut chunks: Vec<Value> = Vec::new();
    while let Some(more) = streamed.stream.next_chunks().await.unwrap() {
        chunks.extend(
            more.iter()
                .map(|chunk| serde_json::from_slice(chunk).unwrap()),
        );
    }
    assert_eq!(text_of(&chunks), "a cat");
    let sent = endpoint.requests();
    assert!(
        sent[0].contains(r#""stream":true"#) && !sent[0].contains("prefer:"),
        "{}",
        sent[0]
    );
    assert!(
        sent[1].starts_with("GET /streams/s1 HTTP/1.1\r\n"),
        "{}",
        sent[1]
    );
    assert!(
        sent[1].contains("accept: text/event-stream\r\n"),
        "{}",
        sent[1]
    );
}

#[tokio::test]
async fn a_model_that_does_not_stream_says_so() {
    let endpoint = Endpoint::start(vec![prediction("starting", json!({"urls": {}}))]).await;
    let error = ChatClient::default()
        .stream(&call(&endpoint.origin))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResponseValidation);
    assert!(error.message().contains("leave stream out"), "{error}");
}

/// A prediction that runs, and the steps of the next requests: one that is left alone, and the order to
/// end the prediction.
fn left_alone(origin: &str, asked: &Arc<Notify>, ended: &Arc<Notify>) -> [Reply; 3] {
    let url = format!("{origin}/v1/predictions/p1");
    let urls = json!({"get": url, "stream": format!("{origin}/streams/s1"), "cancel": format!("{url}/cancel")});
    let mut end = vec![Step::Say(Arc::clone(ended))];
    end.extend(prediction("canceled", json!({})));
    [
        prediction("processing", json!({ "urls": urls })),
        vec![Step::Say(Arc::clone(asked)), Step::Wait(Arc::default())],
        end,
    ]
}

fn is_the_order_to_end_it(request: &str) {
    let line = "POST /v1/predictions/p1/cancel HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
    let key = "authorization: Bearer r8_a-key\r\n";
    assert!(request.contains(key), "{request}");
}

#[tokio::test]
async fn a_prediction_that_nobody_waits_for_any_more_is_ended() {
    let (asked, ended) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let endpoint = Endpoint::start_with(|origin| left_alone(origin, &asked, &ended).into()).await;
    let call = call(&endpoint.origin);
    let waiting = tokio::spawn(async move { ChatClient::default().complete(&call).await });
    asked.notified().await;
    waiting.abort();
    ended.notified().await;
    is_the_order_to_end_it(&endpoint.requests()[2]);
}

#[tokio::test]
async fn a_prediction_that_nobody_waits_for_while_it_is_made_is_ended_when_it_is_known() {
    let (made, ended, asked) = (
        Arc::<Notify>::default(),
        Arc::<Notify>::default(),
        Arc::<Notify>::default(),
    );
    let gate = Arc::<Notify>::default();
    let endpoint = Endpoint::start_with(|origin| {
        let [mut begin, _, end] = left_alone(origin, &asked, &ended);
        begin.splice(
            0..0,
            [Step::Say(Arc::clone(&made)), Step::Wait(Arc::clone(&gate))],
        );
        vec![begin, end]
    })
    .await;
    let call = call(&endpoint.origin);
    let waiting = tokio::spawn(async move { ChatClient::default().complete(&call).await });
    made.notified().await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    gate.notify_one();
    ended.notified().await;
    is_the_order_to_end_it(&endpoint.requests()[1]);
}

#[tokio::test]
async fn a_prediction_whose_stream_is_left_early_is_ended() {
    let (asked, ended) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let endpoint = Endpoint::start_with(|origin| {
        let [begin, _, end] = left_alone(origin, &asked, &ended);
        let text = "event: output\nid: 1\ndata: a \n\n";
        let stream = vec![
            stream_head(),
            Step::Send(text.into()),
            Step::Wait(Arc::default()),
        ];
        vec![begin, stream, end]
    })
    .await;
    let streamed = ChatClient::default()
        .stream(&call(&endpoint.origin))
        .await
        .unwrap();
    assert!(streamed.stream.next_chunks().await.unwrap().is_some());
    drop(streamed);
    ended.notified().await;
    is_the_order_to_end_it(&endpoint.requests()[2]);
}

#[test]
fn a_prediction_that_is_over_is_not_ended() {
    let follow_up = Wire::Replicate.conversion().unwrap().follow_up().unwrap();
    let urls = json!({"cancel": "https://h/cancel"});
    for (status, wanted) in [
        ("starting", Some("https://h/cancel")),
        ("succeeded", None),
        ("failed", None),
    ] {
        let body = json!({"status": status, "urls": urls}).to_string();
        assert_eq!(
            (follow_up.cancel)(body.as_bytes()).as_deref(),
            wanted,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_stream_gives_the_same_chunks_wherever_it_is_split() {
    let play = llama();
    let text = "event: output\nid: 1\ndata: Grüße\n\n: hi\n\nevent: logs\ndata: x\n\nevent: output\ndata:\ndata:\n\n\
                event: output\r\ndata: {\"error\": \"aus\"} 🦀\r\n\r\nevent: done\ndata: {}\n\n";
    let chunks = play.split_everywhere(text.as_bytes(), &play.notes()).await;
    assert_eq!(text_of(&chunks), "Grüße\n{\"error\": \"aus\"} 🦀");
    assert_eq!(
        chunks[chunks.len() - 1]["choices"][0]["finish_reason"],
        "stop"
    );
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_ends_it_and_a_cut_is_no_answer() {
    let play = llama();
    let begin = "event: output\ndata: a\n\n";
    for end in [
        "event: error\ndata: {\"detail\": \"out of luck\"}\n\n",
        "event: done\ndata: {\"reason\": \"out of luck\"}\n\n",
    ] {
        let text = format!("{begin}{end}");
        let (chunks, error) = play.stream(vec![text.into()], &play.notes()).await;
        assert_eq!(text_of(&chunks), "a");
        assert!(error.unwrap().message().contains("out of luck"));
    }
    let (_, error) = play.stream(vec![begin.into()], &play.notes()).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Connection);
}

proptest! {
    #[test]
    fn no_event_and_no_prediction_makes_it_panic(events in super::play::events(&["output", "done", "succeeded"], &[
        "event", "data", "status", "output", "metrics", "urls", "stream", "get", "input_token_count",
    ])) {
        llama().survives(&events);
    }
}
