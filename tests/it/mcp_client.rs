//! Which revision a client and a scripted server agree on, over HTTP.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::json::RawJson;
use toolbridge::mcp::link::PeerAnswer;
use toolbridge::mcp::{
    CallOptions, Client, Connected, Era, Events, HttpSettings, Mode, Opening, Params, PeerError,
    Target, connect,
};

/// What the server does with one message: a status and a body.
type Script = fn(&str, &Value, &HeaderMap) -> (u16, String);

/// A server and the messages that it saw.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<(String, HeaderMap, Value)>>>,
}

impl Server {
    async fn start(script: Script) -> Self {
        Self::start_with(script, None).await
    }

    /// `sse` is what a GET gives, if the server speaks HTTP+SSE.
    async fn start_with(script: Script, sse: Option<fn() -> Response>) -> Self {
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let take = move |State(seen): State<Arc<Mutex<Vec<_>>>>,
                         headers: HeaderMap,
                         body: Bytes| async move {
            let message: Value = serde_json::from_slice(&body).unwrap();
            let method = message["method"].as_str().unwrap_or("answer").to_owned();
            let (status, body) = script(&method, &message, &headers);
            seen.lock().unwrap().push((method, headers, message));
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("content-type", "application/json")], body).into_response()
        };
        let mut routes = post(take);
        if let Some(sse) = sse {
            routes = routes.get(move || async move { sse() });
        }
        let router = Router::new()
            .route("/mcp", routes)
            .with_state(Arc::clone(&seen));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, seen }
    }

    fn methods(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(method, ..)| method.clone()).collect()
    }

    async fn connect(&self, mode: &Mode) -> toolbridge::error::Result<Connected> {
        let target = Target::Http {
            settings: HttpSettings::new(&self.url),
            kind: None,
        };
        connect(&target, mode, &Opening::default()).await
    }
}

fn result(message: &Value, result: &Value) -> (u16, String) {
    (
        200,
        json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string(),
    )
}

fn error(status: u16, message: &Value, error: &Value) -> (u16, String) {
    (
        status,
        json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }).to_string(),
    )
}

fn modern(method: &str, message: &Value, _headers: &HeaderMap) -> (u16, String) {
    match method {
        "server/discover" => result(
            message,
            &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": {}, "ttlMs": 0, "cacheScope": "private" }),
        ),
        "tools/call" => result(message, &json!({ "resultType": "complete", "content": [] })),
        _ => error(
            404,
            message,
            &json!({ "code": -32601, "message": "no such method" }),
        ),
    }
}

fn legacy(method: &str, message: &Value, _headers: &HeaderMap) -> (u16, String) {
    match method {
        "initialize" => result(
            message,
            &json!({ "protocolVersion": "2025-06-18", "capabilities": {},
                    "serverInfo": { "name": "old", "version": "1" } }),
        ),
        "notifications/initialized" => (202, String::new()),
        _ => (400, "Bad Request: no session".to_owned()),
    }
}

#[tokio::test]
async fn a_modern_server_is_asked_once_and_every_request_carries_what_it_wants() {
    let server = Server::start(modern).await;
    let connected = server.connect(&Mode::Auto).await.unwrap();
    assert_eq!(connected.era(), Era::Modern);
    assert_eq!(server.methods(), ["server/discover"]);
    let params = Params {
        object: Some(toolbridge::json::RawJson::trusted(r#"{"name":"ä"}"#)),
        meta: Some(toolbridge::json::RawJson::trusted(r#"{"own":1}"#)),
    };
    let client = &connected.client;
    client
        .request("tools/call", params, CallOptions::default())
        .await
        .unwrap();
    client
        .notify("notifications/roots/list_changed", None)
        .await
        .unwrap();
    client.close().await;
    assert_eq!(server.methods(), ["server/discover", "tools/call"]);
    let seen = server.seen.lock().unwrap();
    let (_, headers, message) = &seen[1];
    assert_eq!(headers["mcp-protocol-version"], "2026-07-28");
    assert_eq!(headers["mcp-method"], "tools/call");
    assert_eq!(headers["mcp-name"], "=?base64?w6Q=?=");
    assert!(!headers.contains_key("mcp-session-id"));
    let meta = &message["params"]["_meta"];
    assert_eq!(meta["own"], 1);
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientInfo"]["name"],
        "toolbridge"
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({})
    );
}

#[tokio::test]
async fn a_legacy_server_gets_the_handshake_and_the_next_connection_goes_straight_there() {
    let server = Server::start(legacy).await;
    let connected = server.connect(&Mode::Auto).await.unwrap();
    assert_eq!(connected.era(), Era::Legacy);
    let first = ["server/discover", "initialize", "notifications/initialized"];
    assert_eq!(server.methods(), first);
    let again = server.connect(&Mode::Auto).await.unwrap();
    assert_eq!(server.methods()[3..], first[1..]);
    connected.client.close().await;
    again.client.close().await;
}

#[tokio::test]
async fn what_was_remembered_of_a_server_is_corrected_when_it_has_changed() {
    static IS_MODERN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    fn changing(method: &str, message: &Value, headers: &HeaderMap) -> (u16, String) {
        if IS_MODERN.load(std::sync::atomic::Ordering::SeqCst) {
            return modern(method, message, headers);
        }
        legacy(method, message, headers)
    }
    let server = Server::start(changing).await;
    let old = server.connect(&Mode::Auto).await.unwrap();
    assert_eq!(old.era(), Era::Legacy);
    IS_MODERN.store(true, std::sync::atomic::Ordering::SeqCst);
    let new = server.connect(&Mode::Auto).await.unwrap();
    assert_eq!(new.era(), Era::Modern);
    assert_eq!(server.methods()[3..], ["initialize", "server/discover"]);
}

#[tokio::test]
async fn a_server_that_names_a_revision_in_common_is_asked_again_and_one_without_is_an_error() {
    fn undecided(method: &str, message: &Value, headers: &HeaderMap) -> (u16, String) {
        static ASKED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        if !ASKED.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let data = json!({ "supported": ["2026-07-28"], "requested": "?" });
            let refusal = json!({ "code": -32022, "message": "unsupported", "data": data });
            return error(400, message, &refusal);
        }
        modern(method, message, headers)
    }
    fn foreign(_: &str, message: &Value, _: &HeaderMap) -> (u16, String) {
        let data = json!({ "supported": ["2099-01-01"], "requested": "2026-07-28" });
        error(
            400,
            message,
            &json!({ "code": -32022, "message": "unsupported", "data": data }),
        )
    }
    let server = Server::start(undecided).await;
    let connected = server.connect(&Mode::Auto).await.unwrap();
    assert_eq!(connected.era(), Era::Modern);
    assert_eq!(server.methods(), ["server/discover", "server/discover"]);

    let server = Server::start(foreign).await;
    let refusal = server.connect(&Mode::Auto).await.unwrap_err();
    assert_eq!(refusal.context().rpc_code, Some(-32022));
    assert_eq!(server.methods(), ["server/discover"]);
}

#[tokio::test]
async fn an_outage_is_no_verdict_on_the_revision() {
    fn busy(_: &str, _: &Value, _: &HeaderMap) -> (u16, String) {
        (503, "later".to_owned())
    }
    let server = Server::start(busy).await;
    let failure = server.connect(&Mode::Auto).await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Transport);
    assert_eq!(failure.context().status, Some(503));
    assert_eq!(server.methods(), ["server/discover"]);
}

#[tokio::test]
async fn an_endpoint_that_takes_no_messages_is_tried_over_http_sse() {
    fn refuses(_: &str, _: &Value, _: &HeaderMap) -> (u16, String) {
        (405, String::new())
    }
    fn events() -> Response {
        let body = Body::from("event: endpoint\ndata: /elsewhere\n\n");
        ([("content-type", "text/event-stream")], body).into_response()
    }
    let server = Server::start_with(refuses, Some(events)).await;
    let failure = server.connect(&Mode::Auto).await.unwrap_err();
    // The stream ends at once, so nothing is agreed on, but its endpoint was posted to.
    assert_eq!(server.methods(), ["server/discover", "initialize"]);
    assert_eq!(failure.context().status, Some(405));
}

#[test]
fn a_mode_that_does_not_exist_is_named() {
    let failure = Mode::parse("2025-11-25").unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Configuration);
    assert!(failure.message().contains("mode \"legacy\""), "{failure}");
}

/// Answers every request of the server, or refuses it.
struct Callbacks {
    refuses: bool,
    heard: Mutex<Vec<String>>,
}

impl Events for Callbacks {
    fn notification(&self, method: &str, _params: Option<RawJson>) {
        self.heard.lock().unwrap().push(method.to_owned());
    }

    fn garbage(&self, preview: &str, _reason: &str) {
        panic!("garbage: {preview}")
    }

    fn request(&self, method: &str, params: Option<RawJson>) -> PeerAnswer {
        let text = format!(
            r#"{{"asked":"{method}","with":{}}}"#,
            params.map_or_else(
                || "null".to_owned(),
                |params| String::from_utf8(params.into_bytes().to_vec()).unwrap()
            )
        );
        let outcome = if self.refuses {
            Err(PeerError {
                code: -7,
                message: "no".to_owned(),
                data: None,
            })
        } else {
            Ok(RawJson::trusted(text))
        };
        Box::pin(async move { outcome })
    }
}

async fn connect_with(server: &Server, callbacks: &Arc<Callbacks>) -> Arc<Client> {
    let target = Target::Http {
        settings: HttpSettings::new(&server.url),
        kind: None,
    };
    let opening = Opening {
        events: Some(Arc::clone(callbacks) as Arc<dyn Events>),
        ..Opening::default()
    };
    let connected = connect(&target, &Mode::Auto, &opening).await.unwrap();
    Arc::new(connected.client)
}

/// Wants input once, and says then what it got.
fn wishing(method: &str, message: &Value, headers: &HeaderMap) -> (u16, String) {
    if method != "prompts/get" {
        return modern(method, message, headers);
    }
    let params = &message["params"];
    if params.get("inputResponses").is_some() {
        return result(message, &json!({ "got": params }));
    }
    let text = format!(
        r#"{{"id":{},"result":{{"resultType":"input_required","inputRequests":{{"a\"b":{{"method":"roots/list","params":{{"n":1.10}}}}}},"requestState":"\u00e9\/"}}}}"#,
        message["id"]
    );
    (200, text)
}

#[tokio::test]
async fn a_wish_for_input_is_answered_and_its_state_echoed() {
    let server = Server::start(wishing).await;
    let callbacks = Arc::new(Callbacks {
        refuses: false,
        heard: Mutex::default(),
    });
    let client = connect_with(&server, &callbacks).await;
    let params = Params {
        object: Some(RawJson::trusted(r#"{"name":"p"}"#)),
        meta: None,
    };
    let answer = client
        .request("prompts/get", params, CallOptions::default())
        .await
        .unwrap();
    let got = answer.to_value().unwrap();
    assert_eq!(got["got"]["requestState"], "\u{e9}/");
    let response = &got["got"]["inputResponses"]["a\"b"];
    assert_eq!(response["asked"], "roots/list");
    assert_eq!(response["with"].to_string(), r#"{"n":1.10}"#);
    client.close().await;
}

#[tokio::test]
async fn a_refused_wish_is_the_error_of_the_call_and_a_wish_can_be_handed_out() {
    let server = Server::start(wishing).await;
    let callbacks = Arc::new(Callbacks {
        refuses: true,
        heard: Mutex::default(),
    });
    let client = connect_with(&server, &callbacks).await;
    let failure = client
        .request("prompts/get", Params::default(), CallOptions::default())
        .await
        .unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Mcp);
    assert_eq!(failure.context().rpc_code, Some(-7));
    let options = CallOptions {
        allow_input_required: true,
        ..CallOptions::default()
    };
    let wish = client
        .request("prompts/get", Params::default(), options)
        .await
        .unwrap();
    assert_eq!(wish.to_value().unwrap()["resultType"], "input_required");
    client.close().await;
}
