//! Chat completions through a gateway, over raw sockets on both of its sides.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;
use toolbridge::gateway::Gateway;

use crate::gateway_client::{Connection, ask, gateway, get, model, post};
use crate::llm_endpoint::{
    Endpoint, GOOD, Reply, Step, answer, chunked_head, event, good, http_chunks, stream_head,
};

const PATH: &str = "/v1/chat/completions";
const BODY: &str = r#"{"model":"m","messages":[]}"#;
const STREAM: &str = r#"{"model":"m","stream":true}"#;

/// A gateway with one model `m` that is served by these replies.
async fn one(replies: Vec<Reply>) -> (Endpoint, Gateway) {
    let endpoint = Endpoint::start(replies).await;
    let text = format!("model_list:\n{}", model("m", &endpoint.origin, ""));
    (endpoint, gateway(&text).await)
}

/// The same without repetitions.
async fn once(replies: Vec<Reply>) -> (Endpoint, Gateway) {
    let endpoint = Endpoint::start(replies).await;
    let text = format!(
        "model_list:\n{}router_settings: {{num_retries: 0}}\n",
        model("m", &endpoint.origin, "")
    );
    (endpoint, gateway(&text).await)
}

/// The body of a request that an endpoint got.
fn sent(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn request_and_answer_pass_as_they_are_but_for_the_name_of_the_model() {
    let headers = "content-type: application/json\r\nx-request-id: req_1\r\nset-cookie: a=b\r\n\
                   x-ratelimit-remaining-tokens: 7\r\nopenai-processing-ms: 5\r\nserver: other\r\n";
    let (endpoint, gateway) = one(vec![answer("200 OK", headers, GOOD)]).await;
    let body = r#" {"messages" : [ {"role":"user","content":"\u00e9 1.50"} ],"model": "m", "new":{"b":1.0,"a":[]}, "n": 1e2 } "#;
    let mut connection = Connection::open(&gateway).await;
    let headers = "authorization: Bearer sk-of-the-caller\r\nx-litellm-call-id: call 7\r\n";
    let found = connection.ask(PATH, headers, body).await;
    assert_eq!((found.status, found.body.as_str()), (200, GOOD));
    assert_eq!(found.header("content-type"), Some("application/json"));
    assert_eq!(found.header("x-request-id"), Some("req_1"));
    assert_eq!(found.header("x-ratelimit-remaining-tokens"), Some("7"));
    assert_eq!(found.header("openai-processing-ms"), Some("5"));
    assert_eq!(found.header("x-litellm-call-id"), Some("call 7"));
    assert_eq!(found.header("x-litellm-model-id"), Some("m-1"));
    assert_eq!(found.header("x-litellm-model-group"), Some("m"));
    assert_eq!(found.header("x-litellm-attempted-retries"), Some("0"));
    assert_eq!(found.header("set-cookie"), None);
    assert_eq!(found.header("server"), None);
    let request = &endpoint.requests()[0];
    assert_eq!(sent(request), body.replace(r#""m""#, r#""wire-name""#));
    assert!(request.contains("Bearer sk-of-the-provider"), "{request}");
    assert!(!request.contains("sk-of-the-caller"), "{request}");
}

#[tokio::test]
async fn what_the_deployment_adds_is_added_where_it_is_missing() {
    let endpoint = Endpoint::start(vec![good(), good()]).await;
    let more = ", temperature: 0.5, extra_body: {top_k: 3}";
    let text = format!("model_list:\n{}", model("m", &endpoint.origin, more));
    let gateway = gateway(&text).await;
    ask(&gateway, r#"{"model":"m","temperature":1.0}"#).await;
    ask(&gateway, BODY).await;
    let requests = endpoint.requests();
    assert_eq!(
        sent(&requests[0]),
        r#"{"top_k":3,"model":"wire-name","temperature":1.0}"#
    );
    assert_eq!(
        sent(&requests[1]),
        r#"{"top_k":3,"temperature":0.5,"model":"wire-name","messages":[]}"#
    );
}

#[tokio::test]
async fn a_model_is_named_by_the_path_too() {
    let endpoint = Endpoint::start(vec![good(), good(), good()]).await;
    let text = format!("model_list:\n{}", model("a/m", &endpoint.origin, ""));
    let gateway = gateway(&text).await;
    let mut connection = Connection::open(&gateway).await;
    for path in [
        "/openai/deployments/a/m/chat/completions?api-version=1",
        "/engines/a%2Fm/chat/completions",
    ] {
        let found = connection.ask(path, "", r#"{"messages":[]}"#).await;
        assert_eq!(found.status, 200, "{path}: {}", found.body);
    }
    let found = connection
        .ask("/chat/completions", "", r#"{"model":"a/m"}"#)
        .await;
    assert_eq!(found.status, 200);
    assert_eq!(
        sent(&endpoint.requests()[0]),
        r#"{"model":"wire-name","messages":[]}"#
    );
    let found = connection.ask("/engines/a/m/embeddings", "", "{}").await;
    assert_eq!(found.status, 404);
}

#[tokio::test]
async fn requests_come_in_every_way_that_http_has() {
    let (endpoint, gateway) = one((0..6).map(|_| good()).collect()).await;
    let mut connection = Connection::open(&gateway).await;
    // In chunks, of whatever content type.
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\n";
    let (first, second) = BODY.split_at(9);
    connection
        .send(&format!(
            "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n",
            first.len()
        ))
        .await;
    connection
        .send(&format!("{:x};a=b\r\n{second}\r\n0\r\n\r\n", second.len()))
        .await;
    assert_eq!(connection.answer().await.status, 200);
    // Asking first whether the body is wanted.
    let length = BODY.len();
    connection
        .send(&format!(
            "{head}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
    assert_eq!(
        connection.until("\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    connection.send(BODY).await;
    assert_eq!(connection.answer().await.status, 200);
    // Two at once.
    connection.send(&post(PATH, "", BODY).repeat(2)).await;
    assert_eq!(connection.answer().await.body, GOOD);
    assert_eq!(connection.answer().await.body, GOOD);
    // A byte at a time.
    for byte in post(PATH, "", BODY).chars() {
        connection.send(&byte.to_string()).await;
    }
    assert_eq!(connection.answer().await.body, GOOD);
    // From before there were hosts and lasting connections.
    let mut old = Connection::open(&gateway).await;
    old.send(&format!(
        "POST {PATH} HTTP/1.0\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n\r\n{BODY}"
    ))
    .await;
    let found = old.rest().await;
    assert!(
        found.starts_with("HTTP/1.0 200 OK\r\n") && found.ends_with(GOOD),
        "{found}"
    );
    assert!(
        endpoint
            .requests()
            .iter()
            .all(|request| sent(request).contains("wire-name"))
    );
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_with_what_is_wrong() {
    let (endpoint, gateway) = one(vec![]).await;
    for (body, status, code, param, said) in [
        ("<html>", 400, json!(null), json!(null), "not JSON"),
        ("[1]", 400, json!(null), json!(null), "not an object"),
        (
            r#"{"messages":[]}"#,
            400,
            json!(null),
            json!("model"),
            "no \"model\"",
        ),
        (
            r#"{"model":7}"#,
            400,
            json!(null),
            json!("model"),
            "name of a model",
        ),
        (
            r#"{"model":"m","model":"n"}"#,
            400,
            json!(null),
            json!("model"),
            "twice",
        ),
        (
            r#"{"model":"n"}"#,
            404,
            json!("model_not_found"),
            json!("model"),
            "did you mean \"m\"?",
        ),
        (
            r#"{"model":"m","fallbacks":["n"]}"#,
            404,
            json!("model_not_found"),
            json!("fallbacks"),
            "\"n\"",
        ),
    ] {
        let found = ask(&gateway, body).await;
        assert_eq!(found.status, status, "{body}");
        let error = &found.json()["error"];
        assert_eq!((&error["code"], &error["param"]), (&code, &param), "{body}");
        assert_eq!(error["type"], "invalid_request_error", "{body}");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        assert!(
            found
                .header("x-litellm-call-id")
                .is_some_and(|id| id.len() == 36),
            "{}",
            found.head
        );
    }
    let mut connection = Connection::open(&gateway).await;
    connection
        .send(&format!(
            "POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 99999999\r\n\r\n{{"
        ))
        .await;
    let found = connection.answer().await;
    assert_eq!(found.status, 413);
    assert!(
        found.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("larger than")
    );
    assert_eq!(endpoint.requests().len(), 0);
}

#[tokio::test]
async fn what_the_provider_says_of_an_error_reaches_the_client_as_it_was_said() {
    let told = r#"{"error":{"message":"slow down","type":"tokens","param":null,"code":"rate_limit_exceeded","new":{"a":1.0}},"z":1}"#;
    let headers = "retry-after: 7\r\nx-request-id: req_9\r\nx-ratelimit-limit-requests: 3\r\nset-cookie: a\r\n";
    let (_endpoint, gateway) = once(vec![
        answer("429 Too Many Requests", headers, told),
        answer(
            "503 Service Unavailable",
            "content-type: text/html\r\n",
            "<h1>down</h1>",
        ),
        answer("200 OK", "", r#"{"error":{"message":"late","code":503}}"#),
    ])
    .await;
    let found = ask(&gateway, BODY).await;
    assert_eq!((found.status, found.body.as_str()), (429, told));
    assert_eq!(found.header("retry-after"), Some("7"));
    assert_eq!(found.header("x-request-id"), Some("req_9"));
    assert_eq!(found.header("x-ratelimit-limit-requests"), Some("3"));
    assert_eq!(found.header("set-cookie"), None);
    let found = ask(&gateway, BODY).await;
    assert_eq!(found.status, 503);
    let error = &found.json()["error"];
    assert_eq!(error["type"], "server_error");
    assert!(
        error["message"].as_str().unwrap().contains("503"),
        "{error}"
    );
    let found = ask(&gateway, BODY).await;
    assert_eq!(
        (found.status, &found.json()["error"]["message"]),
        (503, &json!("late"))
    );
}

#[tokio::test]
async fn a_key_that_a_provider_echoes_does_not_reach_the_client() {
    let told = r#"{"error":{"message":"wrong key sk-of-the-provider","code":"invalid_api_key"}}"#;
    let headers = "x-request-id: sk-of-the-provider\r\n";
    let (_endpoint, gateway) = once(vec![answer("401 Unauthorized", headers, told)]).await;
    let found = ask(&gateway, BODY).await;
    assert_eq!(found.status, 401);
    assert!(found.body.contains("[redacted]"), "{}", found.body);
    assert!(
        !format!("{found:?}").contains("sk-of-the-provider"),
        "{found:?}"
    );
}

#[tokio::test]
async fn events_pass_as_they_are_and_as_soon_as_they_come() {
    let gate = Arc::new(Notify::new());
    let first = format!(": hello\n\nid: 1\n{}", event("a", None));
    let second = format!("{}data: [DONE]\n\n", event("b", Some("stop")));
    let reply = vec![
        chunked_head(),
        http_chunks(&[&first]),
        Step::Wait(Arc::clone(&gate)),
        http_chunks(&[&second, ""]),
    ];
    let (endpoint, gateway) = one(vec![reply, good()]).await;
    let mut connection = Connection::open(&gateway).await;
    connection.send(&post(PATH, "", STREAM)).await;
    let head = connection.until("\r\n\r\n").await;
    assert!(
        head.contains("content-type: text/event-stream\r\n"),
        "{head}"
    );
    assert!(head.contains("x-litellm-model-id: m-1\r\n"), "{head}");
    let mut text = String::new();
    while text.len() < first.len() {
        text += &connection.chunk().await.unwrap();
    }
    assert_eq!(text, first);
    gate.notify_one();
    while let Some(chunk) = connection.chunk().await {
        text += &chunk;
    }
    assert_eq!(text, format!("{first}{second}"));
    // Both connections are good for another request.
    assert_eq!(connection.ask(PATH, "", BODY).await.status, 200);
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn a_stream_that_fails_midway_ends_with_an_error_and_without_done() {
    let told = "data: {\"error\":{\"message\":\"overloaded\",\"code\":\"x\",\"new\":1}}\n\n";
    let cut = "data: {\"choices\":[{\"delta\"";
    let good = event("a", None);
    let reply = |rest: &str| {
        vec![
            stream_head(),
            Step::Send(format!("{good}{rest}").into_bytes()),
            Step::Close,
        ]
    };
    let (endpoint, gateway) = one(vec![reply(told), reply(cut)]).await;
    let found = ask(&gateway, STREAM).await;
    assert_eq!((found.status, found.body), (200, format!("{good}{told}")));
    let found = ask(&gateway, STREAM).await;
    let rest = found.body.strip_prefix(&good).unwrap();
    let error: serde_json::Value =
        serde_json::from_str(rest.strip_prefix("data: ").unwrap()).unwrap();
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("ended early"),
        "{error}"
    );
    // Nobody was asked for a second answer.
    assert_eq!(endpoint.requests().len(), 2);
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_event_is_repeated() {
    let told = "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";
    let bad = vec![
        stream_head(),
        Step::Send(told.as_bytes().to_vec()),
        Step::Close,
    ];
    let whole = format!("{}data: [DONE]\n\n", event("b", Some("stop")));
    let fine = vec![
        stream_head(),
        Step::Send(whole.clone().into_bytes()),
        Step::Close,
    ];
    let endpoints = [
        Endpoint::start(vec![bad]).await,
        Endpoint::start(vec![fine]).await,
    ];
    let models: String = endpoints
        .iter()
        .map(|one| model("m", &one.origin, ""))
        .collect();
    let text = format!("model_list:\n{models}router_settings: {{routing_strategy: least-busy}}\n");
    let gateway = gateway(&text).await;
    let found = ask(&gateway, STREAM).await;
    assert_eq!((found.status, found.body), (200, whole));
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_request_of_the_provider() {
    for begins in [false, true] {
        let gone = Arc::new(Notify::new());
        let mut reply = vec![];
        if begins {
            reply = vec![chunked_head(), http_chunks(&[&event("a", None)])];
        }
        reply.push(Step::UntilGone(Arc::clone(&gone)));
        let (endpoint, gateway) = one(vec![reply]).await;
        let mut connection = Connection::open(&gateway).await;
        connection
            .send(&post(PATH, "", if begins { STREAM } else { BODY }))
            .await;
        if begins {
            connection.until("\"a\"").await;
        } else {
            while endpoint.requests().is_empty() {
                tokio::task::yield_now().await;
            }
        }
        drop(connection);
        gone.notified().await;
    }
}

#[tokio::test]
async fn the_lists_say_what_there_is_and_no_secret() {
    let text = "model_list:\n\
                \x20 - model_name: gpt-4o\n    litellm_params: {model: openai/x, api_base: http://127.0.0.1:9/path-key/v1, api_key: sk-secret, rpm: 6}\n    model_info: {id: one, mode: chat}\n\
                \x20 - model_name: gpt-4o\n    litellm_params: {model: openai/y, api_key: sk-secret}\n\
                \x20 - model_name: scripted\n    litellm_params: {model: openai/z, mock_response: hello there}\n\
                router_settings: {model_group_alias: {other: gpt-4o, unlisted: {model: gpt-4o, hidden: true}}}\n";
    let gateway = gateway(text).await;
    for path in ["/v1/models", "/models"] {
        let found = get(&gateway, path).await;
        let ids: Vec<_> = found.json()["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].clone())
            .collect();
        assert_eq!(ids, ["gpt-4o", "scripted", "other"]);
    }
    assert_eq!(
        get(&gateway, "/v1/models/other").await.json()["object"],
        "model"
    );
    let found = get(&gateway, "/v1/models/gpt-4").await;
    assert_eq!(
        (found.status, found.json()["error"]["code"].as_str()),
        (404, Some("model_not_found"))
    );
    let found = get(&gateway, "/model/info").await;
    assert!(
        !found.body.contains("sk-secret") && !found.body.contains("path-key"),
        "{}",
        found.body
    );
    let data = &found.json()["data"];
    assert_eq!(
        data[0],
        json!({
            "model_name": "gpt-4o",
            "litellm_params": {"model": "openai/x", "api_base": "http://127.0.0.1:9", "rpm": 6},
            "model_info": {"id": "one", "mode": "chat", "db_model": false},
        })
    );
    assert_eq!(data.as_array().unwrap().len(), 3);
    let found = get(&gateway, "/v1/model/info?litellm_model_id=one").await;
    assert_eq!(found.json()["data"].as_array().unwrap().len(), 1);
    let found = ask(&gateway, r#"{"model":"scripted"}"#).await;
    assert_eq!(
        found.json()["choices"][0]["message"]["content"],
        "hello there"
    );
}

#[tokio::test]
async fn what_is_known_of_a_model_is_told_and_the_configuration_wins() {
    let text = "model_list:\n\
                \x20 - model_name: a\n    litellm_params: {model: openai/gpt-4o, api_key: k, input_cost_per_token: 0.5}\n    model_info: {max_output_tokens: 7}\n\
                \x20 - model_name: b\n    litellm_params: {model: openai/ours, api_key: k}\n    model_info: {base_model: azure/gpt-4o-mini}\n";
    let gateway = gateway(text).await;
    let found = get(&gateway, "/model/info").await.json();
    let known = &found["data"][0]["model_info"];
    assert_eq!(known["key"], "gpt-4o");
    assert_eq!(known["max_input_tokens"], 128_000);
    assert_eq!(known["max_output_tokens"], 7);
    assert_eq!(known["input_cost_per_token"], 0.5);
    assert_eq!(known["supports_vision"], true);
    let based = &found["data"][1]["model_info"];
    assert_eq!(based["key"], "azure/gpt-4o-mini");
}
