//! Another configuration takes the place of the one that is served by.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use toolbridge::gateway::Gateway;
use toolbridge::gateway::config::Config;
use toolbridge::mcp::config::Document;

async fn listening(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// An MCP server of 2025-11-25 with one tool.
#[derive(Clone, Default)]
struct McpServer {
    initialized: Arc<AtomicUsize>,
    called: Arc<Notify>,
    go: Arc<Notify>,
    deleted: Arc<Notify>,
}

impl McpServer {
    async fn start(&self) -> String {
        let (server, ended) = (self.clone(), Arc::clone(&self.deleted));
        let methods = post(move |body: Bytes| server.clone().answer(body)).delete(
            move |_: HeaderMap| async move {
                ended.notify_one();
                StatusCode::OK
            },
        );
        listening(Router::new().route("/mcp", methods)).await + "/mcp"
    }

    async fn answer(self, body: Bytes) -> Response {
        let message: Value = serde_json::from_slice(&body).unwrap();
        let result = match message["method"].as_str().unwrap() {
            "server/discover" => {
                let error = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}});
                return axum::Json(error).into_response();
            }
            "initialize" => {
                self.initialized.fetch_add(1, Ordering::Relaxed);
                json!({
                    "protocolVersion": "2025-11-25",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "scripted", "version": "1"},
                })
            }
            "tools/list" => json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
            "tools/call" => {
                if message["params"]["arguments"]["waits"] == true {
                    self.called.notify_one();
                    self.go.notified().await;
                }
                json!({"content": [{"type": "text", "text": "done"}]})
            }
            "ping" => json!({}),
            _ => return StatusCode::ACCEPTED.into_response(),
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        ([("mcp-session-id", "one")], axum::Json(answer)).into_response()
    }
}

/// A model that answers at once, or when it is told to.
#[derive(Clone, Default)]
struct Model {
    asked: Arc<Notify>,
    go: Arc<Notify>,
}

impl Model {
    async fn start(&self) -> String {
        let model = self.clone();
        let answer = move |body: Bytes| async move {
            let asked: Value = serde_json::from_slice(&body).unwrap();
            if asked["user"] == "slow" {
                model.asked.notify_one();
                model.go.notified().await;
            }
            axum::Json(json!({
                "id": "1", "object": "chat.completion", "created": 1, "model": asked["model"],
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
            }))
        };
        listening(Router::new().route("/v1/chat/completions", post(answer))).await + "/v1"
    }
}

fn config(value: Value) -> Config {
    Config::from_document(&Document::from_value(value), &|_| None).unwrap()
}

fn model(name: &str, url: &str) -> Value {
    json!({"model_name": name, "litellm_params": {"model": "openai/m", "api_key": "k", "api_base": url}})
}

/// A client of the gateway.
#[derive(Clone)]
struct Caller {
    url: String,
    http: reqwest::Client,
}

impl Caller {
    fn new(gateway: &Gateway) -> Self {
        Self {
            url: format!("http://{}", gateway.address()),
            http: reqwest::Client::new(),
        }
    }

    async fn chat(&self, model: &str, user: &str) -> StatusCode {
        let body =
            json!({"model": model, "user": user, "messages": [{"role": "user", "content": "x"}]});
        let url = format!("{}/v1/chat/completions", self.url);
        let answer = self.http.post(url).body(body.to_string()).send();
        answer.await.unwrap().status()
    }

    /// Opens a session; its id.
    async fn initialize(&self) -> String {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let answer = self.send(&message, None).await;
        let id = answer.headers()["mcp-session-id"].to_str().unwrap();
        let id = id.to_owned();
        let message = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.send(&message, Some(&id)).await;
        id
    }

    async fn send(&self, message: &Value, session: Option<&str>) -> reqwest::Response {
        let mut request = self
            .http
            .post(format!("{}/mcp", self.url))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(message.to_string());
        if let Some(session) = session {
            request = request
                .header("mcp-session-id", session)
                .header("mcp-protocol-version", "2025-11-25");
        }
        request.send().await.unwrap()
    }

    /// Calls a tool; the text of the answer.
    async fn call(&self, tool: &str, session: &str, waits: bool) -> String {
        let params = json!({"name": tool, "arguments": {"waits": waits}});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let answer = self.send(&message, Some(session)).await;
        answer.text().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_dropped_while_configurations_come_and_go() {
    let (server, other) = (McpServer::default(), McpServer::default());
    let (url, other_url) = (server.start().await, other.start().await);
    let model_url = Model::default().start().await;
    let with = |names: &[&str], also_other: bool| {
        let mut servers = json!({"one": {"url": url}});
        if also_other {
            servers["two"] = json!({"url": other_url});
        }
        let models: Vec<_> = names.iter().map(|name| model(name, &model_url)).collect();
        config(json!({"model_list": models, "mcp_servers": servers}))
    };
    let first = with(&["m"], false);
    let gateway = Gateway::start(first, "127.0.0.1", 0).await.unwrap();
    let caller = Caller::new(&gateway);
    let session = caller.initialize().await;
    let answer = caller.call("one-echo", &session, false).await;
    assert!(answer.contains("done"), "{answer}");
    let is_over = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..8)
        .map(|number| {
            let (caller, session) = (caller.clone(), session.clone());
            let is_over = Arc::clone(&is_over);
            tokio::spawn(async move {
                let mut done = 0;
                while is_over.load(Ordering::Relaxed) == 0 {
                    if number % 2 == 0 {
                        assert_eq!(caller.chat("m", "x").await, StatusCode::OK);
                    } else {
                        let answer = caller.call("one-echo", &session, false).await;
                        assert!(answer.contains("done"), "{answer}");
                    }
                    done += 1;
                }
                done
            })
        })
        .collect();
    for round in 0..40 {
        let is_even = round % 2 == 0;
        let names: &[&str] = if is_even { &["m", "n"] } else { &["n", "m"] };
        gateway.reload(with(names, is_even)).unwrap();
        // Every configuration is served by before the next one comes.
        assert_eq!(caller.chat("n", "x").await, StatusCode::OK);
    }
    is_over.store(1, Ordering::Relaxed);
    for task in load {
        assert!(task.await.unwrap() > 0);
    }
    let initialized = server.initialized.load(Ordering::Relaxed);
    assert_eq!(
        initialized, 1,
        "the server that did not change kept its connection"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_by_the_configuration_that_it_began_with() {
    let slow = Model::default();
    let url = slow.start().await;
    let old = config(json!({"model_list": [model("m", &url)]}));
    let gateway = Gateway::start(old, "127.0.0.1", 0).await.unwrap();
    let caller = Caller::new(&gateway);
    let answer = tokio::spawn({
        let caller = caller.clone();
        async move { caller.chat("m", "slow").await }
    });
    slow.asked.notified().await;
    let new = json!({"model_list": [model("n", &url)], "general_settings": {"master_key": "k"}});
    gateway.reload(config(new)).unwrap();
    assert_eq!(caller.chat("m", "x").await, StatusCode::UNAUTHORIZED);
    slow.go.notify_one();
    assert_eq!(answer.await.unwrap(), StatusCode::OK);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_taken_away_ends_its_calls_before_its_connection() {
    let server = McpServer::default();
    let url = server.start().await;
    let with = config(json!({"mcp_servers": {"one": {"url": url}}}));
    let gateway = Gateway::start(with, "127.0.0.1", 0).await.unwrap();
    let caller = Caller::new(&gateway);
    let session = caller.initialize().await;
    let answer = tokio::spawn({
        let (caller, session) = (caller.clone(), session.clone());
        async move { caller.call("one-echo", &session, true).await }
    });
    server.called.notified().await;
    gateway.reload(config(json!({"mcp_servers": {}}))).unwrap();
    let refusal = caller.call("one-echo", &session, false).await;
    assert!(refusal.contains("error"), "{refusal}");
    server.go.notify_one();
    let answer = answer.await.unwrap();
    assert!(answer.contains("done"), "{answer}");
    server.deleted.notified().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_used_changes_nothing() {
    let url = Model::default().start().await;
    let good = config(json!({"model_list": [model("m", &url)]}));
    let gateway = Gateway::start(good, "127.0.0.1", 0).await.unwrap();
    let caller = Caller::new(&gateway);
    let mut bad = config(json!({"mcp_servers": {"a": {"url": "http://127.0.0.1:9/"}}}));
    bad.servers.push(bad.servers[0].clone());
    let error = gateway.reload(bad).unwrap_err();
    assert!(error.to_string().contains("\"a\""), "{error}");
    assert_eq!(caller.chat("m", "x").await, StatusCode::OK);
    gateway.stop().await;
}

#[test]
fn a_file_that_is_broken_is_no_configuration() {
    let text = "model_list:\n  - model_name: m\n    litellm_params: {model: gpt-4o, mock_response: x}\nmcp_servers:\n  a: {}\n";
    let document = Document::parse(text, Path::new("config.yaml")).unwrap();
    let error = Config::from_document(&document, &|_| None).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("config.yaml, line 5: mcp_servers.a has no url")
    );
}
