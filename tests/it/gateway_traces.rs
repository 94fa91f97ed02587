//! W3C Trace Context through a gateway, and the spans that a collector gets of it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use toolbridge::gateway::Gateway;
use toolbridge::gateway::config::Config;
use toolbridge::mcp::config::Document;

use crate::gateway_client::{Connection, model};
use crate::gateway_upstream::Upstream;
use crate::llm_endpoint::{Endpoint, GOOD, answer, good};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const OTHER: &str = "00-11111111111111111111111111111111-2222222222222222-01";

/// What a collector was sent.
type Batches = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

async fn collector() -> (String, Batches) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let batches = Batches::default();
    let take = |State(batches): State<Batches>, headers: HeaderMap, Json(body): Json<Value>| async move {
        batches.lock().unwrap().push((headers, body));
        "{}"
    };
    let router = Router::new()
        .route("/v1/traces", post(take))
        .with_state(Arc::clone(&batches));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (origin, batches)
}

fn config(text: &str, variables: &[(&str, &str)]) -> toolbridge::error::Result<Config> {
    let document = Document::parse(text, Path::new("config.yaml")).unwrap();
    let value = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::from_document(&document, &value)
}

async fn gateway(text: &str, variables: &[(&str, &str)]) -> Gateway {
    let config = config(text, variables).unwrap();
    Gateway::start(config, "127.0.0.1", 0).await.unwrap()
}

fn servers(upstream: &Upstream) -> String {
    format!(
        "mcp_servers:\n  time: {{url: {}, transport: http}}\n",
        upstream.url
    )
}

async fn call(gateway: &Gateway, headers: &str, meta: &Value) {
    let params = json!({"name": "now", "arguments": {}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let mut connection = Connection::open(gateway).await;
    let answer = connection
        .ask("/mcp/time", headers, &body.to_string())
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The trace that the last call came with: by its header, and by its `_meta`.
fn arrived(upstream: &Upstream) -> (Option<String>, Value) {
    let (headers, params) = upstream.last_call();
    let header = headers.get("traceparent");
    let header = header.map(|value| value.to_str().unwrap().to_owned());
    (header, params["_meta"].clone())
}

#[tokio::test]
async fn a_trace_of_the_caller_goes_on_to_the_server_by_headers_and_by_meta() {
    let upstream = Upstream::start(&["now"]).await;
    let gateway = gateway(&servers(&upstream), &[]).await;
    let headers = format!("traceparent: {PARENT}\r\ntracestate: vendor=1\r\n");
    call(&gateway, &headers, &json!({"mine": 1})).await;
    let (header, meta) = arrived(&upstream);
    assert_eq!(header.as_deref(), Some(PARENT));
    assert_eq!(meta["traceparent"], PARENT);
    assert_eq!(
        (&meta["tracestate"], &meta["mine"]),
        (&json!("vendor=1"), &json!(1))
    );
    // What the message says is nearer than what the connection does.
    call(&gateway, &headers, &json!({"traceparent": OTHER})).await;
    let (header, meta) = arrived(&upstream);
    assert_eq!(header.as_deref(), Some(OTHER));
    assert_eq!(meta["traceparent"], OTHER);
    assert_eq!(meta.get("tracestate"), None);
    gateway.stop().await;
}

#[tokio::test]
async fn a_trace_that_is_named_among_the_headers_to_pass_on_needs_no_connection_of_its_own() {
    let upstream = Upstream::start(&["now"]).await;
    let servers = servers(&upstream).replace("http}", "http, extra_headers: [traceparent]}");
    let gateway = gateway(&servers, &[]).await;
    for context in [PARENT, OTHER] {
        let headers = format!("traceparent: {context}\r\n");
        call(&gateway, &headers, &json!({})).await;
        assert_eq!(arrived(&upstream).0.as_deref(), Some(context));
    }
    assert_eq!(upstream.heard().matches("\"initialize\"").count(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn what_names_no_trace_or_a_broken_one_goes_on_as_it_came() {
    let upstream = Upstream::start(&["now"]).await;
    let gateway = gateway(&servers(&upstream), &[]).await;
    call(&gateway, "traceparent: 00-broken\r\n", &json!({"mine": 1})).await;
    let (header, meta) = arrived(&upstream);
    assert_eq!((header, meta.get("traceparent")), (None, None));
    call(&gateway, "", &json!({"traceparent": "broken"})).await;
    let (header, meta) = arrived(&upstream);
    assert_eq!((header, &meta["traceparent"]), (None, &json!("broken")));
    gateway.stop().await;
}

/// A header of a request as a provider got it.
fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let head = request.split_once("\r\n\r\n").unwrap().0;
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[]}"#;

#[tokio::test]
async fn a_trace_of_the_caller_goes_on_to_the_provider_unless_it_is_to_end_here() {
    let refused = || answer("429 Too Many Requests", "retry-after-ms: 1\r\n", "{}");
    let endpoint = Endpoint::start(vec![refused(), good(), good(), good(), good()]).await;
    let more = ", extra_headers: {traceparent: 00-of-the-file}";
    let models = format!("model_list:\n{}", model("m", &endpoint.origin, more));
    let sent = format!("traceparent: {PARENT}\r\ntracestate: vendor=1\r\n");
    let open = gateway(&models, &[]).await;
    let mut connection = Connection::open(&open).await;
    for (headers, sent_before, parent, state) in [
        // Every repetition belongs to it.
        (sent.as_str(), 0, PARENT, Some("vendor=1")),
        ("traceparent: 00-broken\r\n", 2, "00-of-the-file", None),
        ("", 3, "00-of-the-file", None),
    ] {
        assert_eq!(connection.ask(CHAT, headers, ASK).await.status, 200);
        for request in &endpoint.requests()[sent_before..] {
            assert_eq!(header(request, "traceparent"), Some(parent), "{request}");
            assert_eq!(header(request, "tracestate"), state, "{request}");
        }
    }
    assert_eq!(endpoint.requests().len(), 4);
    let closed = "litellm_settings: {forward_traceparent_to_llm_provider: false}\n";
    let closed = gateway(&format!("{models}{closed}"), &[]).await;
    let mut connection = Connection::open(&closed).await;
    assert_eq!(connection.ask(CHAT, &sent, ASK).await.status, 200);
    let requests = endpoint.requests();
    let last = requests.last().unwrap();
    assert_eq!(header(last, "traceparent"), Some("00-of-the-file"));
    assert_eq!(header(last, "tracestate"), None);
}

#[tokio::test]
async fn a_collector_gets_the_spans_of_a_call_inside_the_trace_of_its_caller() {
    let (origin, batches) = collector().await;
    let upstream = Upstream::start(&["now"]).await;
    let endpoint = Endpoint::start(vec![answer(
        "200 OK",
        "content-type: application/json\r\n",
        &GOOD.replace(
            "\"unknown\"",
            r#""usage":{"prompt_tokens":7,"completion_tokens":5},"unknown""#,
        ),
    )])
    .await;
    let text = format!(
        "model_list:\n{}{}",
        model("m", &endpoint.origin, ""),
        servers(&upstream)
    );
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", origin.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b"),
        ("OTEL_SERVICE_NAME", "edge"),
    ];
    let gateway = gateway(&text, &variables).await;
    let headers = format!("traceparent: {PARENT}\r\n");
    call(&gateway, &headers, &json!({})).await;
    let (header, meta) = arrived(&upstream);
    let chat = r#"{"model":"m","messages":[]}"#;
    let mut connection = Connection::open(&gateway).await;
    connection.ask("/v1/chat/completions", &headers, chat).await;
    // It is the caller's choice that nothing is recorded of this one.
    let unsampled = format!("traceparent: {UNSAMPLED}\r\n");
    call(&gateway, &unsampled, &json!({})).await;
    drop(connection);
    gateway.stop().await;

    let batches = batches.lock().unwrap();
    assert_eq!(batches[0].0["x-key"], "a b");
    assert_eq!(batches[0].0["content-type"], "application/json");
    let resource = &batches[0].1["resourceSpans"][0]["resource"];
    assert_eq!(
        resource["attributes"][0],
        json!({"key": "service.name", "value": {"stringValue": "edge"}})
    );
    let spans: Vec<Value> = batches
        .iter()
        .flat_map(|(_, body)| {
            let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
            spans.as_array().unwrap().clone()
        })
        .collect();
    let of = |name: &str| {
        let found = spans.iter().find(|span| span["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {spans:?}"))
    };
    assert!(
        spans.iter().all(|span| span["traceId"] == TRACE),
        "{spans:?}"
    );
    assert_eq!(spans.len(), 4, "{spans:?}");
    let request = of("POST /mcp/{names}");
    assert_eq!(request["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(request["kind"], 2);
    let called = of("tools/call now");
    assert_eq!(called["parentSpanId"], request["spanId"]);
    let server = json!({"key": "mcp.server.name", "value": {"stringValue": "time"}});
    assert!(called["attributes"].as_array().unwrap().contains(&server));
    // The server's own spans belong to the call.
    let expected = format!("00-{TRACE}-{}-01", called["spanId"].as_str().unwrap());
    assert_eq!(header.as_deref(), Some(expected.as_str()));
    assert_eq!(meta["traceparent"], expected);
    // And the provider's to the chat.
    let expected = format!("00-{TRACE}-{}-01", of("chat m")["spanId"].as_str().unwrap());
    let requests = endpoint.requests();
    let parent = self::header(&requests[0], "traceparent");
    assert_eq!(parent, Some(expected.as_str()));
    let tokens = json!({"key": "gen_ai.usage.output_tokens", "value": {"intValue": "5"}});
    assert!(
        of("chat m")["attributes"]
            .as_array()
            .unwrap()
            .contains(&tokens)
    );
    assert_eq!(
        of("POST /v1/chat/completions")["parentSpanId"],
        "00f067aa0ba902b7"
    );
}

#[tokio::test]
async fn a_collector_that_is_down_holds_nobody_up() {
    let upstream = Upstream::start(&["now"]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", origin.as_str())];
    let gateway = gateway(&servers(&upstream), &variables).await;
    call(&gateway, "", &json!({})).await;
    let (header, _) = arrived(&upstream);
    assert!(header.unwrap().starts_with("00-"));
    gateway.stop().await;
}

#[test]
fn a_variable_of_traces_that_means_nothing_is_named() {
    let on = (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://localhost:4318/with/path/",
    );
    for (name, value, why) in [
        (on.0, "localhost:4318", "is no URL"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "over HTTP"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "sk-secret", "name=value"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "always_on"),
    ] {
        let variables = [(name, value), on];
        let error = config("model_list: []\n", &variables)
            .unwrap_err()
            .to_string();
        assert!(error.contains(name) && error.contains(why), "{error}");
        assert!(!error.contains("sk-secret"), "{error}");
    }
    let traces = |variables: &[_]| config("model_list: []\n", variables).unwrap().traces;
    assert!(traces(&[]).is_none());
    assert!(traces(&[on, ("OTEL_SDK_DISABLED", "true")]).is_none());
    assert!(traces(&[on, ("OTEL_TRACES_EXPORTER", "none")]).is_none());
    let found = traces(&[on]).unwrap();
    assert_eq!(found.url.path(), "/with/path/v1/traces");
    let own = (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "http://localhost:4318/mine",
    );
    assert_eq!(traces(&[on, own]).unwrap().url.path(), "/mine");
}

#[test]
fn the_callback_of_litellm_takes_its_variables_and_the_others_are_named() {
    let text = "litellm_settings: {callbacks: [otel]}\n";
    let variables = [
        ("OTEL_ENDPOINT", "http://localhost:4318"),
        ("OTEL_HEADERS", "x-key=a"),
        ("OTEL_EXPORTER", "otlp_http"),
    ];
    let found = config(text, &variables).unwrap();
    assert!(found.notices.is_empty(), "{:?}", found.notices);
    let traces = found.traces.unwrap();
    assert_eq!(traces.url.as_str(), "http://localhost:4318/v1/traces");
    assert_eq!(traces.headers["x-key"], "a");
    let whole = [("OTEL_ENDPOINT", "http://localhost:4318/v1/traces")];
    let whole = config(text, &whole).unwrap().traces.unwrap();
    assert_eq!(whole.url, traces.url);
    // Nobody asked for it.
    assert!(
        config("model_list: []\n", &variables)
            .unwrap()
            .traces
            .is_none()
    );
    let standard = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let both = config(text, &[variables[0], standard]).unwrap();
    assert_eq!(both.traces.unwrap().url.host_str(), Some("collector"));
    let error = config(text, &[variables[0], ("OTEL_EXPORTER", "otlp_grpc")]).unwrap_err();
    assert!(error.to_string().contains("OTEL_EXPORTER"), "{error}");

    let notices = |text: &str| {
        let config = config(text, &[]).unwrap();
        let notices = config.notices.iter();
        notices
            .map(|notice| (notice.is_strict(), notice.to_string()))
            .collect::<Vec<_>>()
    };
    let found = notices(text);
    assert!(
        matches!(&found[..], [(false, why)] if why.contains("OTEL_EXPORTER_OTLP_ENDPOINT")),
        "{found:?}"
    );
    for text in [
        "litellm_settings: {callbacks: [prometheus, langfuse]}\n",
        "litellm_settings: {callbacks: my.own.handler}\n",
    ] {
        let found = notices(text);
        assert!(
            matches!(&found[..], [(true, why)] if why.contains("callbacks") && why.contains("not implemented")),
            "{found:?}"
        );
    }
}
