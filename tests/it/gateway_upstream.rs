//! An MCP server of 2025-11-25 behind a gateway: over Streamable HTTP, with the tools that a test names.
//! `wait` is answered when the test says so.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    /// Notified when `wait` is called.
    pub(crate) called: Arc<Notify>,
    /// Lets `wait` answer.
    pub(crate) go_on: Arc<Semaphore>,
}

#[derive(Clone)]
struct Server {
    tools: Arc<Vec<String>>,
    upstream: Upstream,
}

impl Upstream {
    pub(crate) async fn start(tools: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self {
            url: format!("http://{}/mcp", listener.local_addr().unwrap()),
            seen: Arc::default(),
            called: Arc::default(),
            go_on: Arc::new(Semaphore::new(0)),
        };
        let server = Server {
            tools: Arc::new(tools.iter().map(|&tool| tool.to_owned()).collect()),
            upstream: upstream.clone(),
        };
        let router = Router::new()
            .route("/mcp", post(answer).delete(|| async {}))
            .with_state(server);
        tokio::spawn(async move { axum::serve(listener, router).await });
        upstream
    }

    /// The parameters of the calls so far.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        let calls = seen
            .iter()
            .filter(|(_, body)| body["method"] == "tools/call");
        calls.map(|(_, body)| body["params"].clone()).collect()
    }

    /// The headers and the parameters of the last call.
    pub(crate) fn last_call(&self) -> (HeaderMap, Value) {
        let seen = self.seen.lock().unwrap();
        let mut calls = seen
            .iter()
            .filter(|(_, body)| body["method"] == "tools/call");
        let (headers, body) = calls.next_back().unwrap();
        (headers.clone(), body["params"].clone())
    }

    /// All that was heard, headers too.
    pub(crate) fn heard(&self) -> String {
        format!("{:?}", self.seen.lock().unwrap())
    }
}

async fn answer(State(server): State<Server>, headers: HeaderMap, body: Json<Value>) -> Response {
    let Json(body) = body;
    let upstream = &server.upstream;
    upstream.seen.lock().unwrap().push((headers, body.clone()));
    let Some(id) = body.get("id") else {
        return StatusCode::ACCEPTED.into_response();
    };
    let result = match body["method"].as_str().unwrap() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {"listChanged": true}},
            "serverInfo": {"name": "scripted", "version": "1"},
        }),
        "tools/list" => {
            let tools = server.tools.iter();
            let tools = tools.map(|name| {
                json!({
                    "name": name,
                    "description": format!("does {name}"),
                    "inputSchema": {"type": "object", "x": 1.10},
                })
            });
            json!({"tools": tools.collect::<Vec<_>>()})
        }
        "tools/call" => {
            let name = body["params"]["name"].as_str().unwrap();
            if name == "wait" {
                upstream.called.notify_one();
                upstream.go_on.acquire().await.unwrap().forget();
            }
            json!({
                "content": [{"type": "text", "text": format!("{name} {}", body["params"]["arguments"])}],
                "isError": name == "fail",
                "odd": 1.50,
            })
        }
        "ping" => json!({}),
        other => {
            let error = json!({"code": -32601, "message": format!("no {other} here")});
            return Json(json!({"jsonrpc": "2.0", "id": id, "error": error})).into_response();
        }
    };
    Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
}
