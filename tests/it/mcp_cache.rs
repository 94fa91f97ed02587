//! Kept results and the credentials that they were fetched with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use toolbridge::json::RawJson;
use toolbridge::mcp::auth::{Authorizer, Pending, Refusal, Rounds};
use toolbridge::mcp::client::Setup;
use toolbridge::mcp::client::cache::CacheSettings;
use toolbridge::mcp::{CallOptions, Client, HttpSettings, Mode, Opening, Params, Target, connect};
use url::Url;

/// Gives a token that a test can replace.
#[derive(Debug, Default)]
struct Tokens(AtomicU64);

impl Authorizer for Tokens {
    fn attach(&self, _settings: &HttpSettings) {}

    fn headers<'a>(&'a self, _method: &'a Method, _url: &'a Url) -> Pending<'a, HeaderMap> {
        let token = format!("Bearer {}", self.0.load(Ordering::SeqCst));
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::try_from(token).unwrap());
        Box::pin(async { Ok(headers) })
    }

    fn heard(&self, _url: &Url, _headers: &HeaderMap) {}

    fn refused<'a>(&'a self, _refusal: Refusal<'a>, _rounds: &'a mut Rounds) -> Pending<'a, bool> {
        Box::pin(async { Ok(false) })
    }
}

fn answer(headers: &HeaderMap, body: &Bytes) -> String {
    let message: Value = serde_json::from_slice(body).unwrap();
    // The resources are those of whoever asks.
    let caller = headers["authorization"].to_str().unwrap();
    let result = json!({ "resultType": "complete", "ttlMs": 60_000, "cacheScope": "private",
                         "caller": caller, "supportedVersions": ["2026-07-28"], "capabilities": {} });
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string()
}

async fn caller_of(client: &Client, method: &str) -> String {
    let object = Some(RawJson::trusted(r#"{"uri":"test://a"}"#));
    let params = Params { object, meta: None };
    let answer = client.request(method, params, CallOptions::default()).await;
    let answer = answer.unwrap().to_value().unwrap();
    answer["caller"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_result_of_other_credentials_is_not_served() {
    let answered = |headers: HeaderMap, body: Bytes| async move {
        let text = answer(&headers, &body);
        ([("content-type", "application/json")], text)
    };
    let router = Router::new().route("/mcp", post(answered));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let tokens = Arc::new(Tokens::default());
    let mut settings = HttpSettings::new(&url);
    settings.authorizer = Some(Arc::clone(&tokens) as Arc<dyn Authorizer>);
    let opening = Opening {
        setup: Setup {
            cache: Some(CacheSettings::default()),
            ..Setup::default()
        },
        ..Opening::default()
    };
    let target = Target::Http {
        settings,
        kind: None,
    };
    let mode = Mode::Pinned("2026-07-28".to_owned());
    let client = connect(&target, &mode, &opening).await.unwrap().client;
    assert_eq!(caller_of(&client, "resources/read").await, "Bearer 0");
    tokens.0.store(1, Ordering::SeqCst);
    // Nothing was sent with the new token yet.
    assert_eq!(caller_of(&client, "resources/read").await, "Bearer 0");
    assert_eq!(caller_of(&client, "server/discover").await, "Bearer 1");
    assert_eq!(caller_of(&client, "resources/read").await, "Bearer 1");
    tokens.0.store(2, Ordering::SeqCst);
    assert_eq!(caller_of(&client, "resources/read").await, "Bearer 1");
    client.close().await;
}
