//! Sessions over Streamable HTTP with a scripted endpoint on the loopback interface.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::Notify;
use toolbridge::error::{ErrorKind, Loss};
use toolbridge::mcp::{
    CallOptions, Connection, HttpSettings, Params, Session, StreamableHttpConnection, Terminate,
    Trust,
};

/// What the endpoint saw.
#[derive(Default)]
struct Seen {
    messages: Mutex<Vec<(String, Option<String>)>>,
    dropped: Notify,
    held: Notify,
}

impl Seen {
    fn methods(&self) -> Vec<String> {
        let messages = self.messages.lock().unwrap();
        messages.iter().map(|(method, _)| method.clone()).collect()
    }
}

/// Tells when the answer that it belongs to is dropped.
struct Guard(Arc<Seen>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dropped.notify_one();
    }
}

fn answer(kind: &str, body: impl Into<Body>) -> Response {
    ([("content-type", kind)], body.into()).into_response()
}

async fn take(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let method = message["method"].as_str().unwrap_or("answer").to_owned();
    let session = headers
        .get("mcp-session-id")
        .map(|id| id.to_str().unwrap().to_owned());
    seen.messages
        .lock()
        .unwrap()
        .push((method.clone(), session));
    let id = &message["id"];
    match method.as_str() {
        "initialize" => {
            let result = json!({ "id": id, "result": { "protocolVersion": "2025-06-18" } });
            let mut answer = answer("application/json", result.to_string());
            answer
                .headers_mut()
                .insert("mcp-session-id", "s-1".parse().unwrap());
            answer
        }
        "exact" => answer(
            "application/json",
            format!(r#"{{"id":{id},"result":{{"z":1.10,"a":null,"n":123456789012345678901}}}}"#),
        ),
        "events" => answer(
            "text/event-stream; charset=utf-8",
            format!("data: {{\"id\":{id},\ndata: \"result\":{{\"b\":1.10}}}}\n\n"),
        ),
        "headers" => {
            let own = headers.get("mcp-name").map(|name| name.to_str().unwrap());
            let result = json!({ "own": own, "key": headers["x-key"].to_str().unwrap() });
            answer(
                "application/json",
                format!(r#"{{"id":{id},"result":{result}}}"#),
            )
        }
        "forgotten" => StatusCode::NOT_FOUND.into_response(),
        "refused" => (StatusCode::FORBIDDEN, "not you").into_response(),
        "hold" => {
            let guard = Guard(Arc::clone(&seen));
            seen.held.notify_one();
            std::future::pending::<()>().await;
            drop(guard);
            StatusCode::OK.into_response()
        }
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

async fn end(State(seen): State<Arc<Seen>>, headers: HeaderMap) -> StatusCode {
    let session = headers["mcp-session-id"].to_str().unwrap().to_owned();
    seen.messages
        .lock()
        .unwrap()
        .push(("DELETE".to_owned(), Some(session)));
    StatusCode::OK
}

async fn serve() -> (String, Arc<Seen>) {
    let seen = Arc::<Seen>::default();
    let app = Router::new()
        .route("/mcp", post(take).delete(end))
        .with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

fn settings(url: String) -> HttpSettings {
    HttpSettings {
        url,
        headers: vec![("x-key".to_owned(), "hidden".to_owned())],
        timeout: Some(Duration::from_secs(10)),
        read_timeout: Some(Duration::from_secs(10)),
        maximum_message_bytes: 1 << 20,
        trust: Trust::System,
        identity: None,
        authorizer: None,
        proxy: None,
        unix_socket: None,
    }
}

async fn open() -> (Arc<Session>, Arc<Seen>, Arc<dyn Terminate>) {
    let (url, seen) = serve().await;
    let connection = StreamableHttpConnection::open(&settings(url), true).unwrap();
    let session_id = connection.session_id();
    let link = connection.link();
    let connection = Connection::StreamableHttp(connection);
    let terminator = connection.terminator();
    let session = Arc::new(Session::start(connection, link));
    assert_eq!(session_id.get(), None);
    call(&session, "initialize").await.unwrap();
    session
        .notify("notifications/initialized", None)
        .await
        .unwrap();
    assert_eq!(session_id.get().as_deref(), Some("s-1"));
    (session, seen, terminator)
}

async fn call(session: &Session, method: &str) -> toolbridge::error::Result<String> {
    let answer = session
        .request(method, Params::default(), CallOptions::default())
        .await?;
    Ok(String::from_utf8(answer.as_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn an_answer_is_the_text_that_the_server_wrote() {
    let (session, seen, _) = open().await;
    assert_eq!(
        call(&session, "exact").await.unwrap(),
        r#"{"z":1.10,"a":null,"n":123456789012345678901}"#
    );
    assert_eq!(call(&session, "events").await.unwrap(), r#"{"b":1.10}"#);
    session.close().await;
    let messages = seen.messages.lock().unwrap();
    let sessions: Vec<_> = messages.iter().map(|(_, id)| id.as_deref()).collect();
    assert_eq!(
        sessions,
        [None, Some("s-1"), Some("s-1"), Some("s-1"), Some("s-1")]
    );
}

#[tokio::test]
async fn an_http_error_is_that_of_its_caller_and_shows_no_header() {
    let (session, _, _) = open().await;
    let error = call(&session, "refused").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert_eq!(error.context().status, Some(403));
    assert!(error.message().contains("not you"), "{error}");
    assert!(!format!("{error:?}").contains("hidden"));
    assert!(!format!("{:?}", settings("http://u:hidden@h/hidden".to_owned())).contains("hidden"));
    call(&session, "exact").await.unwrap();
}

#[tokio::test]
async fn a_call_that_the_server_took_and_never_answered_may_have_been_carried_out() {
    let (session, _, _) = open().await;
    let error = call(&session, "anything").await.unwrap_err();
    assert!(error.message().contains("did not answer it"), "{error}");
    assert_eq!(error.context().loss, Some(Loss::Broken));
    session.close().await;

    let (url, _) = serve().await;
    let impatient = HttpSettings {
        read_timeout: Some(Duration::from_millis(1)),
        ..settings(url)
    };
    let connection = StreamableHttpConnection::open(&impatient, false).unwrap();
    let link = connection.link();
    let session = Session::start(Connection::StreamableHttp(connection), link);
    let error = call(&session, "hold").await.unwrap_err();
    assert!(error.message().contains("sent nothing for"), "{error}");
    assert_eq!(error.context().loss, Some(Loss::Silent));
    session.close().await;
}

#[tokio::test]
async fn a_forgotten_session_ends_the_calls_in_flight() {
    let (session, seen, _) = open().await;
    let held = Arc::clone(&session);
    let held = tokio::spawn(async move { call(&held, "hold").await });
    seen.held.notified().await;
    for error in [
        call(&session, "forgotten").await.unwrap_err(),
        held.await.unwrap().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ConnectionClosed);
        assert!(error.message().contains("no longer knows"), "{error}");
    }
    session.close().await;
    assert!(!seen.methods().contains(&"DELETE".to_owned()));
}

#[tokio::test]
async fn a_header_of_one_request_is_sent_with_it_alone() {
    let (session, _, _) = open().await;
    let options = CallOptions {
        headers: HeaderMap::from_iter([("mcp-name".parse().unwrap(), "add".parse().unwrap())]),
        ..CallOptions::default()
    };
    assert!(!format!("{options:?}").contains("add"));
    let answer = session.request("headers", Params::default(), options);
    assert_eq!(
        answer.await.unwrap().as_bytes(),
        br#"{"own":"add","key":"hidden"}"#
    );
    assert_eq!(
        call(&session, "headers").await.unwrap(),
        r#"{"own":null,"key":"hidden"}"#
    );
}

#[tokio::test]
async fn a_dropped_call_drops_its_request() {
    let (session, seen, _) = open().await;
    let held = Arc::clone(&session);
    let held = tokio::spawn(async move { call(&held, "hold").await });
    seen.held.notified().await;
    held.abort();
    seen.dropped.notified().await;
}

#[tokio::test]
async fn a_connection_ends_once_however_often_it_is_asked() {
    let (session, seen, terminator) = open().await;
    tokio::join!(terminator.terminate(), terminator.terminate());
    let error = call(&session, "exact").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionClosed);
    session.close().await;
    let farewells = seen.methods().iter().filter(|one| *one == "DELETE").count();
    assert_eq!(farewells, 1);
}
