//! OAuth from Rust: an MCP server and its authorization server on the loopback interface, and no
//! Python.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::mcp::auth::{
    Callbacks, Document, FileStorage, Grant, MemoryStorage, OAuth, OAuthSettings, Pending,
    TokenStorage,
};
use toolbridge::mcp::{
    CallOptions, Connection, HttpSettings, Params, Session, StreamableHttpConnection,
};

#[derive(Default)]
struct Servers {
    origin: Mutex<String>,
    forms: Mutex<Vec<Vec<(String, String)>>>,
}

impl Servers {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin.lock().unwrap())
    }
}

type Shared = State<Arc<Servers>>;

async fn resource(State(servers): Shared) -> Json<Value> {
    Json(json!({ "resource": servers.at("/mcp"), "authorization_servers": [servers.at("")] }))
}

async fn metadata(State(servers): Shared) -> Json<Value> {
    Json(json!({ "issuer": servers.at(""), "token_endpoint": servers.at("/token") }))
}

async fn token(State(servers): Shared, Form(form): Form<Vec<(String, String)>>) -> Json<Value> {
    let mut forms = servers.forms.lock().unwrap();
    forms.push(form);
    let token = format!("token-{}", forms.len());
    Json(json!({ "access_token": token, "token_type": "bearer", "expires_in": 3600 }))
}

async fn mcp(headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    if headers
        .get("authorization")
        .is_none_or(|token| token != "Bearer token-1")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(json!({ "jsonrpc": "2.0", "id": message["id"], "result": {} })).into_response()
}

async fn serve() -> Arc<Servers> {
    let servers = Arc::<Servers>::default();
    let app = Router::new()
        .route("/mcp", post(mcp))
        .route("/.well-known/oauth-protected-resource/mcp", get(resource))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/token", post(token))
        .with_state(Arc::clone(&servers));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    *servers.origin.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    servers
}

struct Workload;

impl Callbacks for Workload {
    fn assertion(&self, audience: String, resource: String) -> Pending<'_, String> {
        Box::pin(async move { Ok(format!("{audience} {resource}")) })
    }
}

fn settings(servers: &Servers, grant: Grant) -> OAuthSettings {
    let text = json!({
        "server_url": servers.at("/mcp"),
        "grant": "jwt_bearer",
        "timeout_seconds": 10.0,
    });
    let settings = serde_json::from_value(text).unwrap();
    OAuthSettings { grant, ..settings }
}

async fn call(servers: &Servers, authorizer: OAuth) -> toolbridge::error::Result<()> {
    let settings = HttpSettings {
        authorizer: Some(Arc::new(authorizer)),
        ..HttpSettings::new(servers.at("/mcp"))
    };
    let connection = StreamableHttpConnection::open(&settings, true)?;
    let link = connection.link();
    let session = Session::start(Connection::StreamableHttp(connection), link);
    let answer = session
        .request("tools/list", Params::default(), CallOptions::default())
        .await;
    session.close().await;
    answer.map(drop)
}

#[tokio::test]
async fn a_workload_is_authorized_without_python() {
    let servers = serve().await;
    let storage = Arc::new(MemoryStorage::default());
    let authorizer = OAuth::new(
        settings(&servers, Grant::JwtBearer),
        Arc::new(Workload),
        Arc::clone(&storage) as Arc<dyn TokenStorage>,
    );
    call(&servers, authorizer.unwrap()).await.unwrap();
    let forms = servers.forms.lock().unwrap().clone();
    let [form] = forms.try_into().unwrap();
    let field = |wanted: &str| {
        form.iter()
            .find(|(name, _)| name == wanted)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(
        field("assertion"),
        format!("{} {}", servers.at(""), servers.at("/mcp"))
    );
    assert_eq!(field("resource"), servers.at("/mcp"));
    let kept = storage.tokens().await.unwrap().unwrap();
    assert_eq!(kept.text("access_token"), Some("token-1"));
    assert!(kept.seconds("expires_at").is_some());
    assert!(!format!("{kept:?}").contains("token-1"));
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let servers = serve().await;
    let authorizer = OAuth::new(
        settings(&servers, Grant::AuthorizationCode),
        Arc::new(Workload),
        Arc::new(MemoryStorage::default()),
    );
    let error = call(&servers, authorizer.unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OAuthFlow);
    assert_eq!(error.context().status, Some(401));
    assert!(error.message().contains("redirect_uris"), "{error}");
}

#[tokio::test]
async fn a_file_keeps_what_memory_keeps() {
    let folder = std::env::temp_dir().join(format!("toolbridge-tokens-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let document = |text: &str| Document::parse(text.as_bytes()).unwrap();
    let kinds: [Box<dyn TokenStorage>; 2] = [
        Box::new(MemoryStorage::default()),
        Box::new(FileStorage::new(folder.join("tokens"), "https://h")),
    ];
    for storage in kinds {
        assert_eq!(storage.tokens().await.unwrap(), None);
        let tokens = document(r#"{"access_token":"t","n":123456789012345678901}"#);
        storage.set_tokens(tokens.clone()).await.unwrap();
        assert_eq!(storage.tokens().await.unwrap(), Some(tokens));
        let clients = [
            r#"{"client_id":"a","issuer":"https://a"}"#,
            r#"{"client_id":"b"}"#,
        ];
        for client in clients {
            storage.set_client(document(client)).await.unwrap();
        }
        for (issuer, expected) in [
            (Some("https://a"), "a"),
            (Some("https://c"), "b"),
            (None, "b"),
        ] {
            let client = storage.client(issuer).await.unwrap().unwrap();
            assert_eq!(client.text("client_id"), Some(expected));
        }
        storage.set_key("k".to_owned()).await.unwrap();
        assert_eq!(storage.key().await.unwrap().as_deref(), Some("k"));
    }
    std::fs::remove_dir_all(folder).unwrap();
}
