//! What clients may send to the MCP side of the gateway over HTTP, of every revision, and what they
//! hear; over raw sockets, with a scripted server behind it.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post as posted;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use toolbridge::gateway::Gateway;

use crate::gateway_client::{Answer, Connection, gateway, model, post};

const JSON: &str = "content-type: application/json\r\n";
const BOTH: &str = "accept: application/json, text/event-stream\r\n";

/// A server of 2025-11-25 with a tool that answers and one that does not.
#[derive(Clone, Default)]
struct Server {
    called: Arc<Notify>,
    cancelled: Arc<Notify>,
}

impl Server {
    async fn start(&self) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        let methods = posted(move |body: Bytes| server.clone().answer(body));
        let router = Router::new().route("/mcp", methods);
        tokio::spawn(async move { axum::serve(listener, router).await });
        gateway(&format!(
            "mcp_servers: {{s: {{url: 'http://{address}/mcp'}}}}\n"
        ))
        .await
    }

    async fn answer(self, body: Bytes) -> Response {
        let message: Value = serde_json::from_slice(&body).unwrap();
        let result = match message["method"].as_str().unwrap() {
            "initialize" => json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "scripted", "version": "1"},
            }),
            "tools/list" => json!({"tools": [
                {"name": "echo", "inputSchema": {"type": "object"}},
                {"name": "hang", "inputSchema": {"type": "object"}},
            ]}),
            "tools/call" if message["params"]["name"] == "hang" => {
                self.called.notify_one();
                std::future::pending().await
            }
            "tools/call" => {
                let said = message["params"]["arguments"].to_string();
                json!({"content": [{"type": "text", "text": said}]})
            }
            "ping" => json!({}),
            "notifications/cancelled" => {
                self.cancelled.notify_one();
                return StatusCode::ACCEPTED.into_response();
            }
            method if method.starts_with("notifications/") => {
                return StatusCode::ACCEPTED.into_response();
            }
            _ => {
                let error = json!({"code": -32601, "message": "no such method"});
                let answer = json!({"jsonrpc": "2.0", "id": message["id"], "error": error});
                return axum::Json(answer).into_response();
            }
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        axum::Json(answer).into_response()
    }
}

fn request(id: &Value, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn call(id: i64, tool: &str) -> String {
    request(
        &json!(id),
        "tools/call",
        &json!({"name": format!("s-{tool}"), "arguments": {}}),
    )
}

async fn sent(gateway: &Gateway, text: &str) -> Answer {
    let mut connection = Connection::open(gateway).await;
    connection.send(text).await;
    connection.answer().await
}

async fn told(gateway: &Gateway, headers: &str, body: &str) -> Answer {
    sent(
        gateway,
        &post("/mcp", &format!("{JSON}{BOTH}{headers}"), body),
    )
    .await
}

/// A session; the header that names it.
async fn session(gateway: &Gateway, version: &str) -> String {
    let params = json!({
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    });
    let answer = told(gateway, "", &request(&json!(0), "initialize", &params)).await;
    assert_eq!(answer.json()["result"]["protocolVersion"], version);
    let id = answer.header("mcp-session-id").unwrap();
    format!("mcp-session-id: {id}\r\nmcp-protocol-version: {version}\r\n")
}

fn without_body(method: &str, headers: &str) -> String {
    format!("{method} /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n")
}

/// A request of 2026-07-28; the headers that it needs, and its body.
fn modern(id: i64, method: &str, mut params: Value) -> (String, String) {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let mut headers = format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n");
    if let Some(name) = params["name"].as_str() {
        headers = format!("{headers}mcp-name: {name}\r\n");
    }
    (headers, request(&json!(id), method, &params))
}

async fn nothing() -> Gateway {
    gateway(&format!(
        "model_list:\n{}",
        model("m", "http://127.0.0.1:9", "")
    ))
    .await
}

#[tokio::test]
async fn a_body_that_is_no_message_is_refused_with_what_is_wrong() {
    let gateway = nothing().await;
    let message = |id: &str| format!(r#"{{"jsonrpc":"2.0",{id}"method":"ping"}}"#);
    for (body, code, id) in [
        ("{", -32700, Value::Null),
        ("not json", -32700, Value::Null),
        ("[]", -32600, Value::Null),
        ("{}", -32600, Value::Null),
        ("3", -32600, Value::Null),
        (
            r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#,
            -32600,
            json!("a"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":[1]}"#,
            -32602,
            json!(7),
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"ping","method":"x"}"#,
            -32600,
            Value::Null,
        ),
        (r#"{"jsonrpc":"2.0","id":7}"#, -32600, Value::Null),
        (
            r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{}}"#,
            -32600,
            Value::Null,
        ),
        (&message(r#""id":null,"#), -32600, Value::Null),
        (&message(r#""id":{},"#), -32600, Value::Null),
        (&message(r#""id":true,"#), -32600, Value::Null),
    ] {
        let answer = told(&gateway, "", body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["error"]["code"], code, "{body}");
        assert_eq!(answer.json()["id"], id, "{body}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused() {
    let gateway = nothing().await;
    let mut connection = Connection::open(&gateway).await;
    let body = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"a\":\"\xff\"}}";
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\n{JSON}{BOTH}content-length: {}\r\n\r\n",
        body.len()
    );
    connection
        .send_bytes(&[head.as_bytes(), body].concat())
        .await;
    let answer = connection.answer().await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (400, &json!(-32700))
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_of_another_kind_or_of_a_size_beyond_the_limit_is_refused() {
    let gateway = nothing().await;
    let ping = request(&json!(1), "ping", &json!({}));
    for (kind, status) in [
        ("content-type: text/plain\r\n", 415),
        ("content-type: application/x-www-form-urlencoded\r\n", 415),
        ("content-type: Application/JSON; charset=utf-8\r\n", 200),
        ("", 200),
    ] {
        let answer = sent(&gateway, &post("/mcp", kind, &ping)).await;
        assert_eq!(answer.status, status, "{kind}");
    }
    let long = format!("{ping}{}", " ".repeat(16 << 20));
    assert_eq!(told(&gateway, "", &long).await.status, 413);
    assert_eq!(
        told(&gateway, "accept: text/html\r\n", &ping).await.status,
        200
    );
    let answer = sent(&gateway, &post("/mcp", "accept: text/html\r\n", &ping)).await;
    assert_eq!(answer.status, 406);
    gateway.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_without_end() {
    let gateway = nothing().await;
    let begun = tokio::time::Instant::now();
    let head = "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{";
    let answer = sent(&gateway, head).await;
    assert_eq!(answer.status, 408);
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn deep_arguments_go_through_as_they_are() {
    let server = Server::default();
    let gateway = server.start().await;
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"s-echo","arguments":{{"a":{deep}}}}}}}"#
    );
    let answer = told(&gateway, "", &body).await;
    let said = answer.json()["result"]["content"][0]["text"].clone();
    assert_eq!(said, json!(format!("{{\"a\":{deep}}}")));
    // Deeper than anybody decodes: an answer, whatever it says, and a gateway that goes on.
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{deep}}}}}"#);
    assert_eq!(told(&gateway, "", &body).await.json()["id"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_revision_that_nobody_knows_is_refused_wherever_it_is_named() {
    let server = Server::default();
    let gateway = server.start().await;
    let session = session(&gateway, "2025-06-18").await;
    let other = session.replace("2025-06-18", "1999-01-01");
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(told(&gateway, &session, initialized).await.status, 202);
    let ping = request(&json!(1), "ping", &json!({}));
    for text in [
        post("/mcp", &format!("{JSON}{BOTH}{other}"), initialized),
        post("/mcp", &format!("{JSON}{BOTH}{other}"), &ping),
        post(
            "/mcp",
            &format!("{JSON}{BOTH}{other}"),
            &format!("[{ping}]"),
        ),
        without_body("GET", &format!("{BOTH}{other}")),
    ] {
        let answer = sent(&gateway, &text).await;
        assert_eq!(answer.status, 400, "{text}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], -32022, "{text}");
        assert_eq!(error["data"]["supported"], json!(["2026-07-28"]), "{text}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn headers_that_say_something_else_than_the_body_are_refused() {
    let server = Server::default();
    let gateway = server.start().await;
    let (headers, body) = modern(1, "tools/call", json!({"name": "s-echo", "arguments": {}}));
    assert_eq!(told(&gateway, &headers, &body).await.status, 200);
    for (wrong, body, code) in [
        (
            headers.replace("mcp-name: s-echo", "mcp-name: s-hang"),
            body.clone(),
            -32020,
        ),
        (
            headers.replace("mcp-name: s-echo\r\n", ""),
            body.clone(),
            -32020,
        ),
        (
            headers.replace("tools/call", "tools/list"),
            body.clone(),
            -32020,
        ),
        (
            format!("{headers}mcp-name: s-hang\r\n"),
            body.clone(),
            -32020,
        ),
        (
            format!("{headers}mcp-method: tools/list\r\n"),
            body.clone(),
            -32020,
        ),
        (
            headers.replace("s-echo", "=?base64?s?="),
            body.clone(),
            -32020,
        ),
        // Whoever stands between may have read the other one of the two.
        (
            headers.clone(),
            body.replace(r#""name":"#, r#""name":"s-hang","name":"#),
            -32602,
        ),
    ] {
        let answer = told(&gateway, &wrong, &body).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert_eq!(answer.json()["error"]["code"], code, "{wrong}");
        assert_eq!(answer.json()["id"], 1, "{wrong}");
    }
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let (headers, body) = modern(1, method, json!({"taskId": "mine"}));
        for wrong in [headers.clone(), format!("{headers}mcp-name: yours\r\n")] {
            let answer = told(&gateway, &wrong, &body).await;
            assert_eq!(answer.status, 400, "{wrong}");
            assert_eq!(answer.json()["error"]["code"], -32020, "{wrong}");
        }
    }
    let encoded = headers.replace("s-echo", "=?base64?cy1lY2hv?=");
    assert_eq!(told(&gateway, &encoded, &body).await.status, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn the_later_era_has_no_handshake_no_sessions_and_no_answers_of_clients() {
    let server = Server::default();
    let gateway = server.start().await;
    let (headers, body) = modern(1, "initialize", json!({"protocolVersion": "2025-11-25"}));
    let answer = told(&gateway, &headers, &body).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (404, &json!(-32601))
    );
    assert_eq!(answer.header("mcp-session-id"), None);
    let session = session(&gateway, "2025-11-25").await;
    let later = session.replace("2025-11-25", "2026-07-28");
    for method in ["GET", "DELETE"] {
        let answer = sent(&gateway, &without_body(method, &format!("{BOTH}{later}"))).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("POST")),
            "{method}"
        );
    }
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(told(&gateway, &later, answer).await.status, 400);
    assert_eq!(told(&gateway, "", answer).await.status, 400);
    // One that comes too late is nobody's, and no error.
    assert_eq!(told(&gateway, &session, answer).await.status, 202);
    let unread = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#;
    assert_eq!(told(&gateway, &session, unread).await.status, 202);
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_its_client_says_so() {
    let server = Server::default();
    let gateway = server.start().await;
    let session = session(&gateway, "2025-11-25").await;
    let ping = request(&json!(1), "ping", &json!({}));
    assert_eq!(told(&gateway, &session, &ping).await.status, 200);
    let delete = without_body("DELETE", &session);
    assert_eq!(sent(&gateway, &delete).await.status, 200);
    assert_eq!(told(&gateway, &session, &ping).await.status, 404);
    assert_eq!(sent(&gateway, &delete).await.status, 404);
    let listen = without_body("GET", &format!("{BOTH}{session}"));
    assert_eq!(sent(&gateway, &listen).await.status, 404);
    assert_eq!(
        sent(&gateway, &without_body("DELETE", "")).await.status,
        405
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_of_a_session_tells_its_client_where_to_take_it_up_again() {
    let server = Server::default();
    let gateway = server.start().await;
    for (version, first) in [
        ("2025-11-25", "id: 0-0\nretry: 1000\ndata: \n\n"),
        ("2025-06-18", ": open\n\n"),
    ] {
        let session = session(&gateway, version).await;
        let mut connection = Connection::open(&gateway).await;
        let listen = without_body("GET", &format!("{BOTH}{session}"));
        connection.send(&listen).await;
        let head = connection.until("\r\n\r\n").await;
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert_eq!(connection.chunk().await.unwrap(), first);
        for wrong in ["0-7", "9-0", "0", "x-y", ""] {
            let headers = format!("{BOTH}{session}last-event-id: {wrong}\r\n");
            let answer = sent(&gateway, &without_body("GET", &headers)).await;
            assert_eq!(answer.status, 400, "{wrong:?}");
        }
        // A refusal does not end the stream that is read; a new reader does.
        let mut later = Connection::open(&gateway).await;
        later.send(&listen).await;
        assert_eq!(connection.chunk().await, None);
        later.until(first).await;
        let answer = sent(&gateway, &without_body("GET", &session)).await;
        assert_eq!(answer.status, 406);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_is_answered_in_one_list_where_its_revision_has_batches() {
    let server = Server::default();
    let gateway = server.start().await;
    let session = session(&gateway, "2025-03-26").await;
    let batch = format!(
        r#"[{},{{"jsonrpc":"2.0","method":"notifications/initialized"}},{},{{"jsonrpc":"2.0","id":5,"method":3}},{}]"#,
        request(&json!(1), "ping", &json!({})),
        call(2, "echo"),
        request(&json!(3), "initialize", &json!({})),
    );
    let answer = told(&gateway, &session, &batch).await;
    let mut ids: Vec<_> = answer
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["1", "2", "3", "null"]);
    assert_eq!(told(&gateway, "", &batch).await.status, 200);
    let only = r#"[{"jsonrpc":"2.0","method":"notifications/initialized"}]"#;
    assert_eq!(told(&gateway, &session, only).await.status, 202);
    let later = "mcp-protocol-version: 2025-06-18\r\n";
    assert_eq!(told(&gateway, later, &batch).await.status, 400);
    let later = self::session(&gateway, "2025-06-18").await;
    assert_eq!(told(&gateway, &later, &batch).await.status, 400);
    gateway.stop().await;
}

#[tokio::test]
async fn requests_of_one_id_do_not_disturb_each_other_and_a_cancelled_call_is_cancelled_upstream() {
    let server = Server::default();
    let gateway = server.start().await;
    let session = session(&gateway, "2025-11-25").await;
    let mut connection = Connection::open(&gateway).await;
    let headers = format!("{JSON}{BOTH}{session}");
    connection
        .send(&post("/mcp", &headers, &call(7, "hang")))
        .await;
    server.called.notified().await;
    let again = told(&gateway, &session, &call(7, "echo")).await;
    assert_eq!(again.json()["result"]["content"][0]["text"], "{}");
    // The text 7 is another id than the number.
    let other = request(&json!("7"), "ping", &json!({}));
    assert_eq!(told(&gateway, &session, &other).await.status, 200);
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    assert_eq!(told(&gateway, &session, cancel).await.status, 202);
    server.cancelled.notified().await;
    assert_eq!(connection.answer().await.json()["error"]["code"], -32800);
    assert_eq!(told(&gateway, &session, &call(7, "echo")).await.status, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn the_call_of_a_client_that_vanishes_is_cancelled_upstream() {
    let server = Server::default();
    let gateway = server.start().await;
    let session = session(&gateway, "2025-11-25").await;
    let (headers, body) = modern(1, "tools/call", json!({"name": "s-hang", "arguments": {}}));
    for (headers, body) in [
        (format!("{BOTH}{session}"), call(1, "hang")),
        (
            format!("accept: application/json\r\n{session}"),
            call(2, "hang"),
        ),
        (BOTH.to_owned(), call(3, "hang")),
        (format!("{BOTH}{headers}"), body),
    ] {
        let mut connection = Connection::open(&gateway).await;
        connection
            .send(&post("/mcp", &format!("{JSON}{headers}"), &body))
            .await;
        server.called.notified().await;
        drop(connection);
        server.cancelled.notified().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_of_http_and_sse_lasts_as_long_as_its_stream() {
    let server = Server::default();
    let gateway = server.start().await;
    let mut stream = Connection::open(&gateway).await;
    stream
        .send(&without_body("GET", "accept: text/event-stream\r\n"))
        .await;
    stream.until("event: endpoint\ndata: ").await;
    let place = stream.until("\n").await;
    let place = format!("/mcp{}", place.trim());
    let headers = JSON.to_owned();
    let params = json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {}});
    for body in [
        request(&json!("one"), "initialize", &params),
        "{".to_owned(),
    ] {
        let status = if body == "{" { 400 } else { 202 };
        assert_eq!(
            sent(&gateway, &post(&place, &headers, &body)).await.status,
            status
        );
    }
    stream.until(r#""id":"one""#).await;
    // Its cancellation is not lost, however soon it comes.
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
    let mut connection = Connection::open(&gateway).await;
    connection.ask(&place, &headers, &call(2, "hang")).await;
    connection.ask(&place, &headers, cancel).await;
    stream.until("-32800").await;
    let mut connection = Connection::open(&gateway).await;
    connection.ask(&place, &headers, &call(3, "hang")).await;
    server.called.notified().await;
    drop(stream);
    server.cancelled.notified().await;
    let answer = connection.ask(&place, &headers, &call(4, "echo")).await;
    assert_eq!(answer.status, 404);
    gateway.stop().await;
}
