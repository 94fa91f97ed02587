//! A server whose connections and calls are scripted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolbridge::error::{Error, ErrorKind, Loss, Result};
use toolbridge::json::RawJson;
use toolbridge::mcp::lasting::{Peer, Reach};
use toolbridge::mcp::{CallOptions, Params};

/// What one attempt to connect does.
#[derive(Clone, Copy)]
pub(super) enum Attempt {
    Connects,
    Refuses,
    Unauthorized,
    Hangs,
}

/// A server whose every connection and call is scripted.
#[derive(Default)]
pub(super) struct World {
    pub(super) attempts: Mutex<VecDeque<Attempt>>,
    /// When each attempt began.
    pub(super) times: Mutex<Vec<Instant>>,
    pub(super) calls: Mutex<Vec<(usize, String)>>,
    /// What the next calls do; without one they are answered.
    pub(super) script: Mutex<VecDeque<Call>>,
    pub(super) peers: Mutex<Vec<CancellationToken>>,
    pub(super) closed: Mutex<Vec<usize>>,
    pub(super) given_up: Mutex<usize>,
    pub(super) stays_down: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Call {
    /// The connection dies under it.
    Dies,
    /// Its own exchange breaks; the connection stays.
    Breaks,
    /// The transport gave up waiting for its answer.
    IsSilent,
    /// It never leaves.
    Unreachable,
    /// The server no longer knows the session.
    IsForgotten,
    /// It is never answered.
    Hangs,
}

impl World {
    pub(super) fn new(attempts: &[Attempt]) -> Arc<Self> {
        Arc::new(Self {
            attempts: Mutex::new(attempts.iter().copied().collect()),
            ..Self::default()
        })
    }

    pub(super) fn then(&self, calls: &[Call]) {
        self.script.lock().unwrap().extend(calls);
    }

    pub(super) fn kill(&self) {
        self.peers.lock().unwrap().last().unwrap().cancel();
    }

    pub(super) fn waits(&self) -> Vec<u128> {
        let times = self.times.lock().unwrap();
        times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_millis())
            .collect()
    }

    pub(super) fn calls(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls
            .iter()
            .map(|(peer, method)| format!("{peer} {method}"))
            .collect()
    }
}

pub(super) struct Scripted(pub(super) Arc<World>);

impl Reach for Scripted {
    fn connect(&self, cancelled: CancellationToken) -> BoxFuture<'_, Result<Arc<dyn Peer>>> {
        async move {
            self.0.times.lock().unwrap().push(Instant::now());
            let attempt = self.0.attempts.lock().unwrap().pop_front();
            let refusal = |status: Option<u16>| {
                Error::new(ErrorKind::Transport, "refused").map_context(|context| {
                    context.status = status;
                })
            };
            match attempt.unwrap_or(Attempt::Connects) {
                Attempt::Connects => {}
                Attempt::Refuses => return Err(refusal(None)),
                Attempt::Unauthorized => return Err(refusal(Some(401))),
                Attempt::Hangs => {
                    cancelled.cancelled().await;
                    *self.0.given_up.lock().unwrap() += 1;
                    return Err(refusal(None));
                }
            }
            let ended = CancellationToken::new();
            let mut peers = self.0.peers.lock().unwrap();
            peers.push(ended.clone());
            let peer: Arc<dyn Peer> = Arc::new(Connection {
                world: Arc::clone(&self.0),
                number: peers.len(),
                ended,
            });
            Ok(peer)
        }
        .boxed()
    }

    fn reconnects(&self) -> bool {
        !self.0.stays_down
    }
}

struct Connection {
    world: Arc<World>,
    number: usize,
    ended: CancellationToken,
}

fn lost(kind: ErrorKind, loss: Loss) -> Error {
    Error::new(kind, "the connection broke").map_context(|context| context.loss = Some(loss))
}

impl Peer for Connection {
    fn request<'a>(
        &'a self,
        method: &'a str,
        params: Params,
        options: CallOptions,
    ) -> BoxFuture<'a, Result<RawJson>> {
        async move {
            let shown = params.object.map_or_else(String::new, |object| {
                format!(" {}", std::str::from_utf8(object.as_bytes()).unwrap())
            });
            self.world
                .calls
                .lock()
                .unwrap()
                .push((self.number, format!("{method}{shown}")));
            let call = self.world.script.lock().unwrap().pop_front();
            match call {
                None => Ok(RawJson::trusted("{}")),
                Some(Call::Dies) => {
                    self.ended.cancel();
                    Err(Error::new(
                        ErrorKind::ConnectionClosed,
                        "the connection ended",
                    ))
                }
                Some(Call::Breaks) => Err(lost(ErrorKind::Transport, Loss::Broken)),
                Some(Call::IsSilent) => Err(lost(ErrorKind::Transport, Loss::Silent)),
                Some(Call::IsForgotten) => {
                    self.ended.cancel();
                    Err(lost(ErrorKind::ConnectionClosed, Loss::Forgotten))
                }
                Some(Call::Unreachable) => Err(lost(ErrorKind::Transport, Loss::Unsent)),
                Some(Call::Hangs) => {
                    let limit = options.timeout.unwrap_or(Duration::MAX);
                    tokio::select! {
                        () = self.ended.cancelled() => {
                            Err(Error::new(ErrorKind::ConnectionClosed, "the connection ended"))
                        }
                        () = tokio::time::sleep(limit) => {
                            Err(Error::new(ErrorKind::McpTimeout, "no answer"))
                        }
                    }
                }
            }
        }
        .boxed()
    }

    fn notify<'a>(&'a self, method: &'a str, _: Option<RawJson>) -> BoxFuture<'a, Result<()>> {
        let sent = self.request(method, Params::default(), CallOptions::default());
        async { sent.await.map(drop) }.boxed()
    }

    fn listen<'a>(&'a self, _: &'a RawJson) -> BoxFuture<'a, Result<()>> {
        unreachable!("a server with a handshake is not asked for its notifications")
    }

    fn ended(&self) -> BoxFuture<'_, Error> {
        async {
            self.ended.cancelled().await;
            Error::new(ErrorKind::ConnectionClosed, "the server is gone")
        }
        .boxed()
    }

    fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.ended.cancel();
            self.world.closed.lock().unwrap().push(self.number);
        }
        .boxed()
    }

    fn described(&self) -> RawJson {
        RawJson::trusted("{}")
    }

    fn may_repeat(&self, tool: &str) -> bool {
        tool == "read"
    }

    fn has_ping(&self) -> bool {
        true
    }
}
