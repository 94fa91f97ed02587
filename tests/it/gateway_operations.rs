//! What a gateway says of itself, how much it takes, and how it ends: over raw sockets.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;
use toolbridge::gateway::Gateway;

use crate::gateway_client::{Answer, Connection, gateway, get, model, post};
use crate::gateway_upstream::Upstream;
use crate::llm_endpoint::{Endpoint, GOOD, Step, answer, chunked_head, event, http_chunks};

const CHAT: &str = "/v1/chat/completions";
const BODY: &str = r#"{"model":"m","messages":[]}"#;

fn rpc(id: u64, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

async fn mcp(gateway: &Gateway, headers: &str, body: &str) -> Answer {
    Connection::open(gateway)
        .await
        .ask("/mcp", headers, body)
        .await
}

/// Begins a session and gives the header that names it.
async fn session(gateway: &Gateway) -> String {
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let began = mcp(gateway, "", &rpc(1, "initialize", &params)).await;
    format!(
        "mcp-session-id: {}\r\n",
        began.header("mcp-session-id").unwrap()
    )
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request() {
    let gateway = gateway("model_list: []\n").await;
    let mut connection = Connection::open(&gateway).await;
    let ask = |id: &str| format!("GET /health/liveness HTTP/1.1\r\nhost: localhost\r\n{id}\r\n");
    connection.send(&ask("x-request-id: my-id.7\r\n")).await;
    assert_eq!(
        connection.answer().await.header("x-request-id"),
        Some("my-id.7")
    );
    let mut made = Vec::new();
    let long = "x".repeat(200);
    for id in [
        "",
        "x-request-id: two words\r\n",
        &format!("x-request-id: {long}\r\n"),
    ] {
        connection.send(&ask(id)).await;
        let answer = connection.answer().await;
        assert_eq!(answer.status, 200);
        made.push(answer.header("x-request-id").unwrap().to_owned());
    }
    made.dedup();
    assert!(
        made.len() == 3 && made.iter().all(|id| id.len() == 32),
        "{made:?}"
    );
    connection
        .send("GET /nowhere HTTP/1.1\r\nhost: evil.example\r\n\r\n")
        .await;
    assert!(connection.answer().await.header("x-request-id").is_some());
    gateway.stop().await;
}

#[tokio::test]
async fn metrics_count_calls_models_and_tokens() {
    let endpoint = Endpoint::start(vec![answer(
        "200 OK",
        "content-type: application/json\r\n",
        &GOOD.replace(
            "\"unknown\"",
            r#""usage":{"prompt_tokens":7,"completion_tokens":5},"unknown""#,
        ),
    )])
    .await;
    let upstream = Upstream::start(&["now", "fail"]).await;
    let text = format!(
        "model_list:\n{}mcp_servers:\n  time: {{url: {}, transport: http}}\n",
        model("m", &endpoint.origin, ""),
        upstream.url
    );
    let gateway = gateway(&text).await;
    let session = session(&gateway).await;
    for tool in ["time-now", "time-now", "time-fail", "time-nothing"] {
        mcp(
            &gateway,
            &session,
            &rpc(2, "tools/call", &json!({"name": tool})),
        )
        .await;
    }
    Connection::open(&gateway).await.ask(CHAT, "", BODY).await;
    Connection::open(&gateway)
        .await
        .ask(CHAT, "", r#"{"model":"n"}"#)
        .await;
    let answer = get(&gateway, "/metrics").await;
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    for line in [
        r#"toolbridge_tool_calls_total{server="time",tool="now",outcome="ok"} 2"#,
        r#"toolbridge_tool_calls_total{server="time",tool="fail",outcome="tool_error"} 1"#,
        r#"toolbridge_tokens_total{model="m",kind="prompt"} 7"#,
        r#"toolbridge_tokens_total{model="m",kind="completion"} 5"#,
        r#"toolbridge_chat_completions_total{model="m",status="200"} 1"#,
        r#"toolbridge_http_requests_total{route="/v1/chat/completions",method="POST",status="404"} 1"#,
        r#"toolbridge_http_requests_total{route="/mcp",method="POST",status="200"} 5"#,
        r#"toolbridge_mcp_sessions{transport="streamable_http"} 1"#,
        r#"toolbridge_mcp_server_up{server="time",status="ready"} 1"#,
        "toolbridge_http_requests_in_flight 1",
    ] {
        assert!(
            answer.body.lines().any(|found| found == line),
            "{line}\n{}",
            answer.body
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn health_says_which_server_is_not_reached() {
    let upstream = Upstream::start(&["now"]).await;
    let text = format!(
        "mcp_servers:\n  time: {{url: {}, transport: http, server_id: t-1}}\n  \
         gone: {{url: 'http://127.0.0.1:9/sk-in-the-path', transport: http}}\n",
        upstream.url
    );
    let gateway = gateway(&text).await;
    let health = get(&gateway, "/health?check=true").await;
    assert!(!health.body.contains("sk-in-the-path"), "{}", health.body);
    let health = health.json();
    assert_eq!(health["status"], "degraded", "{health}");
    let time = &health["mcp_servers"][0];
    assert_eq!(
        (&time["server_id"], &time["status"]),
        (&json!("t-1"), &json!("ready"))
    );
    assert!(health["mcp_servers"][1]["error"].is_string(), "{health}");
    let ready = get(&gateway, "/health/readiness").await;
    assert_eq!(
        ready.json(),
        json!({"status": "healthy", "db": "Not connected"})
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let text =
        "general_settings: {max_request_size_mb: 1, max_sessions: 1, max_header_bytes: 8192}\n";
    let gateway = gateway(text).await;
    let large = "x".repeat((1 << 20) + 1);
    for path in [CHAT, "/mcp"] {
        let answer = Connection::open(&gateway).await.ask(path, "", &large).await;
        assert_eq!(answer.status, 413, "{path}");
        let mut connection = Connection::open(&gateway).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        connection
            .send(&format!("{head}{:x}\r\n{large}\r\n0\r\n\r\n", large.len()))
            .await;
        assert_eq!(connection.answer().await.status, 413, "{path}");
    }
    session(&gateway).await;
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    let second = mcp(&gateway, "", &rpc(1, "initialize", &params)).await;
    assert_eq!(second.status, 503, "{second:?}");
    let mut connection = Connection::open(&gateway).await;
    let header = "x".repeat(10_000);
    connection
        .send(&format!(
            "GET / HTTP/1.1\r\nhost: localhost\r\nx: {header}\r\n\r\n"
        ))
        .await;
    assert_eq!(connection.answer().await.status, 431);
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let gateway = gateway("general_settings: {body_timeout: 0.05}\n").await;
    for path in [CHAT, "/mcp"] {
        let mut connection = Connection::open(&gateway).await;
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{{");
        connection.send(&head).await;
        assert_eq!(connection.answer().await.status, 408, "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let gateway = gateway("general_settings: {max_connections: 1}\n").await;
    let mut first = Connection::open(&gateway).await;
    let ask = "GET /health/liveness HTTP/1.1\r\nhost: localhost\r\n\r\n";
    first.send(ask).await;
    first.answer().await;
    let mut second = Connection::open(&gateway).await;
    second.send(ask).await;
    first.send(ask).await;
    assert_eq!(first.answer().await.status, 200);
    drop(first);
    assert_eq!(second.answer().await.status, 200);
    drop(second);
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_stops_finishes_what_is_in_flight() {
    let go_on = Arc::new(Notify::new());
    let endpoint = Endpoint::start(vec![vec![
        chunked_head(),
        http_chunks(&[&event("one", None)]),
        Step::Wait(Arc::clone(&go_on)),
        http_chunks(&["data: [DONE]\n\n"]),
        Step::Send(b"0\r\n\r\n".to_vec()),
    ]])
    .await;
    let upstream = Upstream::start(&["wait"]).await;
    let text = format!(
        "model_list:\n{}mcp_servers:\n  slow: {{url: {}, transport: http}}\n",
        model("m", &endpoint.origin, ""),
        upstream.url
    );
    let gateway = Arc::new(gateway(&text).await);
    let session = session(&gateway).await;
    let mut news = Connection::open(&gateway).await;
    let listen = format!(
        "GET /mcp HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{session}\r\n"
    );
    news.send(&listen).await;
    news.until("data: \n\n").await;
    let mut old = Connection::open(&gateway).await;
    old.send("GET /sse HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
        .await;
    let place = old.until("\n\n").await;
    let place = place.split("?sessionId=").nth(1).unwrap().trim().to_owned();
    let mut chat = Connection::open(&gateway).await;
    chat.send(&post(CHAT, "", r#"{"model":"m","stream":true}"#))
        .await;
    chat.until("data: ").await;
    let wait = rpc(7, "tools/call", &json!({"name": "slow-wait"}));
    let mut plain = Connection::open(&gateway).await;
    plain.send(&post("/mcp", &session, &wait)).await;
    upstream.called.notified().await;
    let mut streamed = Connection::open(&gateway).await;
    let accept = format!("{session}accept: text/event-stream\r\n");
    streamed
        .send(&post(
            "/mcp",
            &accept,
            &rpc(8, "tools/call", &json!({"name": "slow-wait"})),
        ))
        .await;
    upstream.called.notified().await;
    Connection::open(&gateway)
        .await
        .ask(&format!("/sse?sessionId={place}"), "", &wait)
        .await;
    upstream.called.notified().await;
    let stopping = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.stop().await }
    });
    // What waits for news ends at once; what was asked for does not.
    news.rest().await;
    assert!(!stopping.is_finished());
    upstream.go_on.add_permits(3);
    let answer = plain.answer().await;
    assert!(answer.body.contains("\"id\":7"), "{answer:?}");
    let answer = streamed.rest().await;
    assert!(answer.contains("\"id\":8"), "{answer}");
    let answer = old.rest().await;
    assert!(answer.contains("\"id\":7"), "{answer}");
    go_on.notify_one();
    assert!(chat.rest().await.contains("[DONE]"));
    stopping.await.unwrap();
}
