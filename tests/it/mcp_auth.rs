//! OAuth from Rust: an MCP server and its authorization server on the loopback interface, and no
//! Python.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Notify;
use toolbridge::error::ErrorKind;
use toolbridge::mcp::auth::{
    Authorizer as _, Callbacks, Document, FileStorage, Grant, MemoryStorage, OAuth, OAuthSettings,
    Pending, Refusal, Rounds, TokenStorage,
};
use toolbridge::mcp::{
    CallOptions, Connection, HttpSettings, Params, Session, StreamableHttpConnection,
};
use url::Url;

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
    Json(json!({
        "issuer": servers.at(""),
        "authorization_endpoint": servers.at("/authorize"),
        "token_endpoint": servers.at("/token"),
        "code_challenge_methods_supported": ["S256"],
    }))
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

/// Agrees when it is told to.
#[derive(Default)]
struct Person {
    urls: Mutex<Vec<String>>,
    asked: Notify,
    agrees: Notify,
}

impl Callbacks for Person {
    fn redirect(&self, url: String) -> Pending<'_, ()> {
        self.urls.lock().unwrap().push(url);
        Box::pin(async { Ok(()) })
    }

    fn callback(&self) -> Pending<'_, Document> {
        self.asked.notify_one();
        Box::pin(async {
            self.agrees.notified().await;
            let url = Url::parse(&self.urls.lock().unwrap()[0]).unwrap();
            let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
            let mut answer = Document::default();
            answer.set("code", "c");
            answer.set("state", &*state);
            Ok(answer)
        })
    }
}

#[tokio::test]
async fn a_flow_goes_on_for_as_long_as_one_of_many_callers_waits() {
    let servers = serve().await;
    let person = Arc::new(Person::default());
    let mut settings = settings(&servers, Grant::AuthorizationCode);
    settings
        .client_metadata
        .set("redirect_uris", vec!["http://127.0.0.1:1/"]);
    settings.client = Document::parse(br#"{"client_id":"c"}"#);
    let storage = Arc::new(MemoryStorage::default());
    let authorizer = OAuth::new(settings, Arc::clone(&person) as _, storage).unwrap();
    let url = Url::parse(&servers.at("/mcp")).unwrap();
    let nothing = HeaderMap::new();
    let refusal = Refusal {
        method: &Method::POST,
        url: &url,
        sent: &nothing,
        credentials: &nothing,
        status: StatusCode::UNAUTHORIZED,
        headers: &nothing,
    };
    let mut rounds = [Rounds::default(); 3];
    let [first, second, third] = &mut rounds;
    let mut first = authorizer.refused(refusal, first);
    let mut second = authorizer.refused(refusal, second);
    tokio::select! {
        biased;
        _ = &mut first => panic!("nobody has agreed yet"),
        _ = &mut second => panic!("nobody has agreed yet"),
        () = person.asked.notified() => {}
    }
    drop(first);
    person.agrees.notify_one();
    assert!(second.await.unwrap());
    // One that comes later sends its request again with what the others got.
    assert!(authorizer.refused(refusal, third).await.unwrap());
    assert_eq!(person.urls.lock().unwrap().len(), 1);
    let headers = authorizer.headers(&Method::POST, &url).await.unwrap();
    assert_eq!(headers["authorization"], "Bearer token-1");
    assert!(headers["authorization"].is_sensitive());
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
