//! Sessions over HTTP/2: TLS, ALPN, one connection for everything that is under way.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::serve::Listener;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Notify};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use toolbridge::mcp::{
    CallOptions, Connection, HttpSettings, Params, Session, StreamableHttpConnection, Trust,
};

/// A certificate for localhost and its key; of these tests alone, and good until 2126.
const LOCALHOST: &[u8] = include_bytes!("../fixtures/tls/localhost.pem");
const AT_ONCE: usize = 20;

struct Seen {
    versions: Mutex<Vec<(String, Version)>>,
    connections: AtomicUsize,
    listening: Notify,
    all: Barrier,
}

/// Accepts TLS, and says which versions of HTTP it speaks.
struct Secure {
    tcp: TcpListener,
    tls: TlsAcceptor,
    seen: Arc<Seen>,
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.tls.accept(stream).await {
                self.seen.connections.fetch_add(1, Ordering::Relaxed);
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

fn note(seen: &Seen, name: &str, version: Version) {
    let mut versions = seen.versions.lock().unwrap();
    versions.push((name.to_owned(), version));
}

async fn take(State(seen): State<Arc<Seen>>, version: Version, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let method = message["method"].as_str().unwrap().to_owned();
    note(&seen, &method, version);
    let Some(id) = message.get("id") else {
        return StatusCode::ACCEPTED.into_response();
    };
    if method == "together" {
        // Ends only if all of them are under way at once.
        seen.all.wait().await;
    }
    let result = json!({ "protocolVersion": "2025-06-18", "capabilities": {} });
    let result = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    let kind = ("content-type", "application/json");
    let session = ("mcp-session-id", "s-1");
    ([kind, session], result.to_string()).into_response()
}

async fn listen(State(seen): State<Arc<Seen>>, version: Version, _: HeaderMap) -> Response {
    note(&seen, "GET", version);
    seen.listening.notify_one();
    let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    ([("content-type", "text/event-stream")], body).into_response()
}

async fn end(State(seen): State<Arc<Seen>>, version: Version) -> StatusCode {
    note(&seen, "DELETE", version);
    StatusCode::OK
}

async fn serve(protocols: &[&[u8]]) -> (String, Arc<Seen>) {
    let certificate = CertificateDer::from_pem_slice(LOCALHOST).unwrap();
    let key = PrivateKeyDer::from_pem_slice(LOCALHOST).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    let seen = Arc::new(Seen {
        versions: Mutex::default(),
        connections: AtomicUsize::new(0),
        listening: Notify::new(),
        all: Barrier::new(AT_ONCE),
    });
    let app = Router::new()
        .route("/mcp", post(take).get(listen).delete(end))
        .with_state(Arc::clone(&seen));
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/mcp", tcp.local_addr().unwrap().port());
    let secure = Secure {
        tcp,
        tls: TlsAcceptor::from(Arc::new(config)),
        seen: Arc::clone(&seen),
    };
    tokio::spawn(async move { axum::serve(secure, app).await });
    (url, seen)
}

/// A whole session: the handshake, the stream of notifications, many calls at once, the end.
async fn session_with(url: String, seen: &Seen) {
    let certificate = CertificateDer::from_pem_slice(LOCALHOST).unwrap();
    let settings = HttpSettings {
        trust: Trust::Certificates(vec![certificate.to_vec()]),
        read_timeout: Some(Duration::from_secs(20)),
        ..HttpSettings::new(url)
    };
    let connection = StreamableHttpConnection::open(&settings, true).unwrap();
    let link = connection.link();
    let session = Session::start(Connection::StreamableHttp(connection), link);
    let ask = |method| session.request(method, Params::default(), CallOptions::default());
    ask("initialize").await.unwrap();
    session
        .notify("notifications/initialized", None)
        .await
        .unwrap();
    seen.listening.notified().await;
    let calls = (0..AT_ONCE).map(|_| ask("together"));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    session.close().await;
}

#[tokio::test]
async fn a_session_over_http_2_shares_one_connection() {
    let (url, seen) = serve(&[b"h2", b"http/1.1"]).await;
    session_with(url, &seen).await;
    let versions = seen.versions.lock().unwrap();
    assert!(
        versions.iter().all(|(_, of)| *of == Version::HTTP_2),
        "{versions:?}"
    );
    assert_eq!(versions.len(), AT_ONCE + 4, "{versions:?}");
    assert_eq!(versions.last().unwrap().0, "DELETE");
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_without_http_2_is_spoken_to_in_http_1_1() {
    let (url, seen) = serve(&[b"http/1.1"]).await;
    session_with(url, &seen).await;
    let versions = seen.versions.lock().unwrap();
    assert!(
        versions.iter().all(|(_, of)| *of == Version::HTTP_11),
        "{versions:?}"
    );
    assert!(seen.connections.load(Ordering::Relaxed) > 1);
}
