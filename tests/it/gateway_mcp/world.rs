//! Scripted MCP servers of either era, a gateway in front of them, and a client that sees every byte.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures_util::StreamExt as _;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc};
use toolbridge::gateway::Gateway;
use toolbridge::gateway::config::Config;
use toolbridge::mcp::{HttpSettings, ServerConfig, Target};

pub(crate) const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"sampling":{},"roots":{}},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}"#;

/// What a server does with a request of some method.
#[derive(Clone)]
pub(crate) enum Does {
    /// Answers with this text as `result`.
    Result(String),
    /// Answers with these texts as `result`, one after the other; the last one stays.
    Each(Vec<String>),
    /// Answers with this text as `error`.
    Error(String),
    /// Says these messages on the stream of the request, where `{token}` stands for its progress token,
    /// and then answers with the result.
    Says(Vec<String>, String),
    /// Asks the client: sends this request on the stream and answers with the text of what comes back.
    Asks(String),
    /// Never answers; the guard tells when it is given up.
    Holds,
}

/// A scripted server.
pub(crate) struct Upstream {
    pub(crate) url: String,
    state: Arc<Script>,
}

#[derive(Default)]
struct Script {
    is_modern: bool,
    does: Mutex<Vec<(String, Does)>>,
    seen: Mutex<Vec<(String, String)>>,
    headers: Mutex<Vec<HeaderMap>>,
    answers: Mutex<Vec<mpsc::UnboundedSender<String>>>,
    held: Notify,
    given_up: Notify,
}

fn answer(kind: &str, body: impl Into<Body>) -> Response {
    ([("content-type", kind)], body.into()).into_response()
}

fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let members: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    members.get(name).map(|value| value.get())
}

async fn take(State(script): State<Arc<Script>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let Some(method) = member(&text, "method") else {
        let waiting = script.answers.lock().unwrap().remove(0);
        waiting.send(text).unwrap();
        return StatusCode::ACCEPTED.into_response();
    };
    let method: String = serde_json::from_str(method).unwrap();
    let params = member(&text, "params").unwrap_or_default().to_owned();
    script
        .seen
        .lock()
        .unwrap()
        .push((method.clone(), params.clone()));
    script.headers.lock().unwrap().push(headers);
    let Some(id) = member(&text, "id").map(str::to_owned) else {
        return StatusCode::ACCEPTED.into_response();
    };
    let does = {
        let mut does = script.does.lock().unwrap();
        let found = does.iter_mut().rev().find(|(name, _)| *name == method);
        found.map(|(_, does)| match does {
            Does::Each(texts) if texts.len() > 1 => Does::Result(texts.remove(0)),
            Does::Each(texts) => Does::Result(texts[0].clone()),
            other => other.clone(),
        })
    };
    let message =
        |key: &str, value: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"{key}":{value}}}"#);
    match does {
        Some(Does::Result(result)) => answer("application/json", message("result", &result)),
        Some(Does::Each(_)) => unreachable!("it is one result at a time"),
        Some(Does::Error(error)) => answer("application/json", message("error", &error)),
        Some(Does::Says(messages, result)) => {
            let token: Value = serde_json::from_str(&params).unwrap();
            let token = token["_meta"]["progressToken"].to_string();
            let said = messages.iter().map(|said| said.replace("{token}", &token));
            let said = said.chain([message("result", &result)]);
            let events: Vec<_> = said.map(|said| format!("data: {said}\n\n")).collect();
            answer("text/event-stream", events.concat())
        }
        Some(Does::Asks(request)) => {
            let (sender, mut answers) = mpsc::unbounded_channel();
            script.answers.lock().unwrap().push(sender);
            let events = async_stream(format!("data: {request}\n\n"), async move {
                let heard = answers.recv().await.unwrap();
                let heard = Value::from(heard).to_string();
                format!(
                    "data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[],\"heard\":{heard}}}}}\n\n"
                )
            });
            answer("text/event-stream", events)
        }
        Some(Does::Holds) => {
            let guard = Guard(Arc::clone(&script));
            script.held.notify_one();
            std::future::pending::<()>().await;
            drop(guard);
            StatusCode::OK.into_response()
        }
        None if method == "initialize" && !script.is_modern => answer(
            "application/json",
            message(
                "result",
                r#"{"serverInfo":{"name":"scripted","version":"1.10"},"odd":1.50,"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"experimental":{"z":{}},"resources":{"subscribe":true}},"instructions":"Call."}"#,
            ),
        ),
        None if method == "server/discover" && script.is_modern => answer(
            "application/json",
            message(
                "result",
                r#"{"resultType":"complete","odd":1.50,"supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"resources":{"subscribe":true}},"ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"scripted","version":"1.10"}}}"#,
            ),
        ),
        None if method == "tools/list" => answer(
            "application/json",
            message(
                "result",
                r#"{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}"#,
            ),
        ),
        None => {
            let error = message("error", r#"{"code":-32601,"message":"no such method"}"#);
            let status = if script.is_modern {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::OK
            };
            (status, [("content-type", "application/json")], error).into_response()
        }
    }
}

fn async_stream(first: String, rest: impl Future<Output = String> + Send + 'static) -> Body {
    let first = futures_util::stream::once(async move { Ok::<_, std::io::Error>(first) });
    let rest = futures_util::stream::once(async move { Ok(rest.await) });
    Body::from_stream(first.chain(rest))
}

struct Guard(Arc<Script>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.given_up.notify_one();
    }
}

impl Upstream {
    /// With a handshake, or without one.
    pub(crate) async fn of(is_modern: bool) -> Self {
        let state = Arc::new(Script {
            is_modern,
            ..Script::default()
        });
        let app = Router::new()
            .route("/mcp", post(take))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state }
    }

    /// With a handshake.
    pub(crate) async fn old() -> Self {
        Self::of(false).await
    }

    /// Without one.
    pub(crate) async fn new() -> Self {
        Self::of(true).await
    }

    pub(crate) fn does(&self, method: &str, does: Does) {
        let mut script = self.state.does.lock().unwrap();
        script.retain(|(name, _)| name != method);
        script.push((method.to_owned(), does));
    }

    /// The parameters of the last request of a method, as they came.
    pub(crate) fn params(&self, method: &str) -> Option<String> {
        let seen = self.state.seen.lock().unwrap();
        let found = seen.iter().rev().find(|(name, _)| name == method);
        found.map(|(_, params)| params.clone())
    }

    /// As if nothing had come.
    pub(crate) fn forget(&self) {
        self.state.seen.lock().unwrap().clear();
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        let seen = self.state.seen.lock().unwrap();
        seen.iter().filter(|(name, _)| name == method).count()
    }

    /// The headers of the last message.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.state.headers.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) async fn holds(&self) {
        self.state.held.notified().await;
    }

    pub(crate) async fn was_given_up(&self) {
        self.state.given_up.notified().await;
    }
}

/// A server as it is configured.
pub(crate) fn server(name: &str, upstream: &Upstream) -> ServerConfig {
    let target = Target::Http {
        settings: HttpSettings::new(&upstream.url),
        kind: None,
    };
    ServerConfig::new(name, target)
}

pub(crate) async fn gateway(servers: Vec<ServerConfig>) -> Gateway {
    let config = Config {
        servers,
        ..Config::default()
    };
    Gateway::start(config, "127.0.0.1", 0).await.unwrap()
}

/// A client of one endpoint.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    session: Option<String>,
    is_modern: bool,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The messages, as they came.
    pub(crate) messages: Vec<String>,
}

impl Answer {
    pub(crate) fn last(&self) -> &str {
        self.messages.last().unwrap()
    }

    /// The text of the result.
    pub(crate) fn result(&self) -> &str {
        let last = self.last();
        member(last, "result").unwrap_or_else(|| panic!("no result: {last}"))
    }

    pub(crate) fn error(&self) -> &str {
        let last = self.last();
        member(last, "error").unwrap_or_else(|| panic!("no error: {last}"))
    }
}

fn messages(kind: &str, text: &str) -> Vec<String> {
    if kind == "application/json" {
        return vec![text.to_owned()];
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| !data.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Client {
    /// Without a handshake.
    pub(crate) fn new(gateway: &Gateway, path: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: format!("http://{}{path}", gateway.address()),
            session: None,
            is_modern: true,
        }
    }

    /// With a handshake, which is made; what the server said of itself comes with it.
    pub(crate) async fn old(gateway: &Gateway, path: &str, capabilities: &str) -> (Self, String) {
        let mut client = Self {
            is_modern: false,
            ..Self::new(gateway, path)
        };
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":"i","method":"initialize","params":{{"protocolVersion":"2025-06-18","capabilities":{capabilities},"clientInfo":{{"name":"c","version":"1.0"}}}}}}"#
        );
        let response = client.send(body, &[]).await;
        let session = response.headers()["mcp-session-id"].to_str().unwrap();
        client.session = Some(session.to_owned());
        let text = response.text().await.unwrap();
        let described = member(&text, "result").unwrap().to_owned();
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(client.send(initialized.to_owned(), &[]).await.status(), 202);
        (client, described)
    }

    /// One or the other.
    pub(crate) async fn of(is_modern: bool, gateway: &Gateway, path: &str) -> Self {
        if is_modern {
            Self::new(gateway, path)
        } else {
            Self::old(gateway, path, "{}").await.0
        }
    }

    /// The stream of what belongs to no request.
    pub(crate) async fn listen(&self) -> Stream {
        let request = self
            .http
            .get(&self.url)
            .header("accept", "text/event-stream")
            .header("mcp-session-id", self.session.as_deref().unwrap());
        Stream {
            response: request.send().await.unwrap(),
            text: String::new(),
        }
    }

    /// The same session at another path.
    pub(crate) fn at(&self, gateway: &Gateway, path: &str) -> Self {
        Self {
            http: self.http.clone(),
            url: format!("http://{}{path}", gateway.address()),
            session: self.session.clone(),
            is_modern: self.is_modern,
        }
    }

    pub(crate) async fn send(&self, body: String, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        if self.is_modern
            && let Some(method) = member(&body, "method")
        {
            let method: String = serde_json::from_str(method).unwrap();
            request = request
                .header("mcp-protocol-version", "2026-07-28")
                .header("mcp-method", method);
            let params = member(&body, "params").unwrap_or("{}");
            if let Some(name) = member(params, "name").or_else(|| member(params, "uri"))
                && let Ok(name) = serde_json::from_str::<String>(name)
            {
                request = request.header("mcp-name", name);
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).send().await.unwrap()
    }

    /// One request and all that comes back.
    pub(crate) async fn request(&self, method: &str, params: &str) -> Answer {
        self.request_with(method, params, &[]).await
    }

    pub(crate) async fn request_with(
        &self,
        method: &str,
        params: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let method = Value::from(method);
        let body = format!(r#"{{"jsonrpc":"2.0","id":"q1","method":{method},"params":{params}}}"#);
        let response = self.send(body, headers).await;
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let text = response.text().await.unwrap();
        Answer {
            status,
            messages: messages(&kind, &text),
        }
    }

    /// One request; each message that comes back as soon as it is there.
    pub(crate) async fn begin(&self, method: &str, params: &str) -> Stream {
        let method = Value::from(method);
        let body = format!(r#"{{"jsonrpc":"2.0","id":"q1","method":{method},"params":{params}}}"#);
        Stream {
            response: self.send(body, &[]).await,
            text: String::new(),
        }
    }

    /// Answers a request of the server.
    pub(crate) async fn answer(&self, id: &str, result: &str) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        assert_eq!(self.send(body, &[]).await.status(), 202);
    }
}

/// An answer that is still coming.
pub(crate) struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    /// The next message.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let found = messages("", event);
                self.text = rest.to_owned();
                if let Some(found) = found.into_iter().next() {
                    return found;
                }
                continue;
            }
            let chunk = self.response.chunk().await.unwrap().expect("a message");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// A member of a message, as text.
pub(crate) fn text_of<'a>(message: &'a str, name: &str) -> &'a str {
    member(message, name).unwrap_or_else(|| panic!("no {name}: {message}"))
}
