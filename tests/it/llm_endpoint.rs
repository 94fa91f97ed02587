//! A scripted HTTP endpoint on a raw socket: it sends exactly the bytes that a test gives it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use toolbridge::llm::client::{ChatRequest, Limits, Trust};
use toolbridge::llm::conversion::parameters::Policy;
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::{Endpoint as Target, Settings};

/// What is done for one request, in order; the connection stays open after it.
pub(crate) type Reply = Vec<Step>;

#[derive(Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Goes on when the test says so.
    Wait(Arc<Notify>),
    /// Says that it is here.
    Say(Arc<Notify>),
    /// Waits until the client has gone, and says so.
    UntilGone(Arc<Notify>),
    Close,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

pub(crate) struct Endpoint {
    pub(crate) origin: String,
    seen: Arc<Seen>,
}

impl Endpoint {
    /// Each request gets the next reply.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::listen(listener, move |_| replies)
    }

    /// As [`Self::start`], for replies that name the endpoint itself.
    pub(crate) async fn start_with(replies: impl FnOnce(&str) -> Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::listen(listener, replies)
    }

    fn listen(listener: TcpListener, replies: impl FnOnce(&str) -> Vec<Reply>) -> Self {
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        let replies = Arc::new(Mutex::new(VecDeque::from(replies(&origin))));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                socket.set_nodelay(true).unwrap();
                tokio::spawn(serve(socket, Arc::clone(&shared), Arc::clone(&replies)));
            }
        });
        Self { origin, seen }
    }

    /// The requests so far, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// A request to this endpoint without retries.
    pub(crate) fn request(&self) -> ChatRequest {
        request(&self.origin)
    }
}

pub(crate) const KEY: &str = "sk-a-secret-key";

/// A request to `origin` without retries.
pub(crate) fn request(origin: &str) -> ChatRequest {
    let model = ModelId::resolve("openai/gpt-4o", None, Some("")).unwrap();
    let settings = Settings {
        api_key: Some(KEY.to_owned()),
        api_base: Some(format!("{origin}/v1")),
        ..Settings::default()
    };
    ChatRequest {
        policy: Policy::default(),
        endpoint: Target::resolve(&model, &settings, &|_| None).unwrap(),
        model,
        body: r#"{"model":"gpt-4o","messages":[]}"#.into(),
        limits: Limits::default(),
        max_retries: 0,
        trust: Trust::System,
    }
}

async fn serve(mut socket: TcpStream, seen: Arc<Seen>, replies: Arc<Mutex<VecDeque<Reply>>>) {
    while let Some(request) = read_request(&mut socket).await {
        seen.requests.lock().unwrap().push(request);
        let Some(reply) = replies.lock().unwrap().pop_front() else {
            return;
        };
        for step in reply {
            match step {
                Step::Send(bytes) => {
                    if socket.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Wait(gate) => gate.notified().await,
                Step::Say(here) => here.notify_one(),
                Step::UntilGone(gone) => {
                    let mut rest = Vec::new();
                    socket.read_to_end(&mut rest).await.ok();
                    gone.notify_one();
                    return;
                }
                Step::Close => return,
            }
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = socket.read(&mut piece).await.ok()?;
        if length == 0 {
            return None;
        }
        text.extend_from_slice(&piece[..length]);
        let read = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = read.split_once("\r\n\r\n") else {
            continue;
        };
        let wanted = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            })
            .map_or(0, |length| length.parse().unwrap());
        if body.len() >= wanted {
            return Some(read);
        }
    }
}

/// A whole answer with a length.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    vec![Step::Send(
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
            .into_bytes(),
    )]
}

pub(crate) const GOOD: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"unknown":{"b":1,"a":2.50}}"#;

pub(crate) fn good() -> Reply {
    answer("200 OK", "content-type: application/json\r\n", GOOD)
}

/// The head of a stream that ends with its connection.
pub(crate) fn stream_head() -> Step {
    Step::Send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec(),
    )
}

/// The head of a stream in HTTP chunks, after which the connection can be used again.
pub(crate) fn chunked_head() -> Step {
    Step::Send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

/// HTTP chunks in one piece; an empty one ends the body.
pub(crate) fn http_chunks(texts: &[&str]) -> Step {
    let chunk = |text: &&str| format!("{:x}\r\n{text}\r\n", text.len());
    Step::Send(texts.iter().map(chunk).collect::<String>().into_bytes())
}

pub(crate) fn event(text: &str, finish: Option<&str>) -> String {
    let finish = finish.map_or("null".to_owned(), |reason| format!("\"{reason}\""));
    format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{finish}}}]}}\n\n"
    )
}
