//! The task behind a lasting connection: it connects, watches, connects anew. Everything that changes
//! the state of the connection happens here, one thing after another.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Jitter;
use super::memory::Memory;
use super::{Order, Peer, Reach, State, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::mcp::config::Endurance;
use crate::mcp::session::{CallOptions, Params};

/// What came of an attempt, or that its time is over.
type Waited<T> = Result<Result<T, oneshot::error::RecvError>, tokio::time::error::Elapsed>;

pub(super) struct Supervisor {
    pub(super) name: String,
    pub(super) endurance: Endurance,
    pub(super) reach: Arc<dyn Reach>,
    pub(super) jitter: Jitter,
    pub(super) state: watch::Sender<State>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) memory: Arc<Memory>,
    pub(super) closing: CancellationToken,
    pub(super) closed: CancellationToken,
    /// How often in a row the server was not reached, or lost soon after.
    pub(super) failures: u32,
    /// Attempts that were given up, and connections that were replaced: what is still to be closed.
    pub(super) retired: JoinSet<()>,
}

/// What comes after a phase.
enum Next {
    /// Connect at once.
    Connect,
    /// The connection was lost.
    Lost(Arc<Error>),
    /// Wait for somebody who wants the server.
    Sleep(Status),
    Close,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        let first = self.state.borrow().peer.clone();
        let mut next = match first {
            Some(peer) => self.watch(peer).await,
            None => Next::Connect,
        };
        loop {
            next = match next {
                Next::Connect => self.connect().await,
                Next::Lost(error) => self.lost(error).await,
                Next::Sleep(status) => self.sleep(status).await,
                Next::Close => break,
            };
        }
        let mut peer = None;
        self.state.send_modify(|state| {
            state.status = Status::Closed;
            // It is still asked what the server said of itself.
            peer.clone_from(&state.peer);
        });
        if let Some(peer) = peer {
            peer.close().await;
        }
        while self.retired.join_next().await.is_some() {}
        self.closed.cancel();
    }

    /// Tries until there is a connection, then watches it.
    async fn connect(&mut self) -> Next {
        loop {
            let error = match self.attempt().await {
                None => return Next::Close,
                Some(Ok(peer)) => {
                    self.replace(Arc::clone(&peer));
                    return self.watch(peer).await;
                }
                Some(Err(error)) => Arc::new(error),
            };
            self.failures += 1;
            let is_hopeless = !self.reach.reconnects() || is_permanent(&error);
            let is_last = is_hopeless || self.failures >= self.endurance.attempts;
            let status = if is_last {
                Status::Failed
            } else {
                Status::Reconnecting
            };
            self.state.send_modify(|state| {
                state.status = status;
                state.attempts += 1;
                state.last_error = Some(Arc::clone(&error));
            });
            tracing::info!(target: "toolbridge::mcp", server = self.name, "connecting failed: {error}");
            if is_last {
                return Next::Sleep(Status::Failed);
            }
            if let Some(next) = self.pause().await {
                return next;
            }
        }
    }

    /// One attempt, within its time; none if the connection was closed meanwhile.
    async fn attempt(&mut self) -> Option<Result<Arc<dyn Peer>>> {
        let limit = self.endurance.connect_timeout;
        let cancelled = CancellationToken::new();
        let (sender, receiver) = oneshot::channel();
        let reach = Arc::clone(&self.reach);
        let restoring = self.memory.restoring();
        let name = self.name.clone();
        let token = cancelled.clone();
        // A task of its own: one that is given up still has to clear up behind itself.
        self.retired.spawn(async move {
            let outcome = match reach.connect(token).await {
                Ok(peer) => restored(peer, restoring, &name).await,
                Err(failure) => Err(failure),
            };
            if let Err(Ok(peer)) = sender.send(outcome) {
                peer.close().await;
            }
        });
        let outcome = tokio::select! {
            biased;
            () = self.closing.cancelled() => None,
            outcome = self.in_time(receiver) => Some(outcome),
        };
        match outcome {
            Some(Ok(Ok(outcome))) => return Some(outcome),
            Some(Ok(Err(_))) => {
                let message = "a defect of toolbridge stopped an attempt to connect";
                return Some(Err(Error::new(ErrorKind::Internal, message)));
            }
            _ => cancelled.cancel(),
        }
        outcome.map(|_| {
            Err(Error::new(
                ErrorKind::McpTimeout,
                format!(
                    "the MCP server `{}` did not connect within {} s; give it more time with \
                     connect_timeout",
                    self.name,
                    limit.as_secs_f64()
                ),
            ))
        })
    }

    /// Waits for an attempt, within its time. It does not pass while a person is being asked, who
    /// would be asked again by the next attempt.
    async fn in_time<T>(&self, mut attempt: oneshot::Receiver<T>) -> Waited<T> {
        loop {
            let limit = self.endurance.connect_timeout;
            let late = match tokio::time::timeout(limit, &mut attempt).await {
                Ok(outcome) => return Ok(outcome),
                Err(late) => late,
            };
            let Some(person) = self.reach.person() else {
                return Err(late);
            };
            tokio::select! {
                outcome = &mut attempt => return Ok(outcome),
                () = person => {}
            }
        }
    }

    /// Waits before the next attempt; something else may come first.
    async fn pause(&mut self) -> Option<Next> {
        let until = Instant::now() + self.jitter.wait(&self.endurance, self.failures);
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return Some(Next::Close),
                order = self.orders.recv() => match order {
                    Some(Order::Reconnect) => {
                        self.failures = 0;
                        return Some(Next::Connect);
                    }
                    Some(Order::Wake | Order::Unreachable(..)) => {}
                    None => return Some(Next::Close),
                },
                () = tokio::time::sleep_until(until) => return None,
            }
        }
    }

    fn replace(&mut self, peer: Arc<dyn Peer>) {
        let mut old = None;
        self.state.send_modify(|state| {
            state.status = Status::Ready;
            state.attempts += 1;
            state.generation += 1;
            state.last_error = None;
            old = state.peer.replace(peer);
        });
        if let Some(old) = old {
            let closing = self.closing.clone();
            self.retired.spawn(async move {
                // Its calls hold it as well: they end by answers, or with the connection.
                while Arc::strong_count(&old) > 1 && !old.has_ended() {
                    tokio::select! {
                        () = closing.cancelled() => break,
                        () = tokio::time::sleep(RETIREMENT_LOOK) => {}
                    }
                }
                old.close().await;
            });
        }
        while self.retired.try_join_next().is_some() {}
    }

    /// Watches a connection until something ends it.
    async fn watch(&mut self, peer: Arc<dyn Peer>) -> Next {
        let since = Instant::now();
        let next = self.watched(peer).await;
        // One that held for a while is not the next failure of a row.
        if since.elapsed() >= self.endurance.longest_wait {
            self.failures = 0;
        }
        next
    }

    async fn watched(&mut self, peer: Arc<dyn Peer>) -> Next {
        let generation = self.state.borrow().generation;
        let mut heard = self.memory.heard();
        let mut quiet_since = Instant::now();
        loop {
            let keep_alive = self.endurance.keep_alive.filter(|_| peer.has_ping());
            let looks = [keep_alive, self.endurance.idle_close];
            let look = looks.into_iter().flatten().min();
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return Next::Close,
                error = peer.ended() => return Next::Lost(Arc::new(error)),
                order = self.orders.recv() => match order {
                    Some(Order::Unreachable(of, error)) if of == generation => return Next::Lost(error),
                    Some(Order::Reconnect) => {
                        self.failures = 0;
                        self.state.send_modify(|state| state.status = Status::Reconnecting);
                        return Next::Connect;
                    }
                    Some(_) => {}
                    None => return Next::Close,
                },
                () = sleep_or_never(look) => {
                    let now = self.memory.heard();
                    if now != heard || !self.memory.is_quiet() {
                        heard = now;
                        quiet_since = Instant::now();
                    } else if self.endurance.idle_close.is_some_and(|limit| quiet_since.elapsed() >= limit) {
                        self.state.send_modify(|state| {
                            state.status = Status::Idle;
                            state.peer = None;
                        });
                        peer.close().await;
                        return Next::Sleep(Status::Idle);
                    } else if let Some(interval) = keep_alive
                        && let Err(error) = self.ping(&peer, interval).await
                    {
                        if self.closing.is_cancelled() {
                            return Next::Close;
                        }
                        return Next::Lost(Arc::new(error));
                    }
                }
            }
        }
    }

    /// Any answer is a sign of life, a refusal included.
    async fn ping(&self, peer: &Arc<dyn Peer>, limit: std::time::Duration) -> Result<()> {
        let options = CallOptions {
            timeout: Some(limit),
            ..CallOptions::default()
        };
        let answer = tokio::select! {
            () = self.closing.cancelled() => return Ok(()),
            answer = peer.request("ping", Params::default(), options) => answer,
        };
        match answer {
            Err(failure) if failure.kind() != ErrorKind::Mcp => Err(failure),
            _ => Ok(()),
        }
    }

    /// Takes note of a loss. The first one is made good at once; a server that is lost again and
    /// again is given more and more time.
    async fn lost(&mut self, error: Arc<Error>) -> Next {
        let is_given_up = !self.reach.reconnects() || self.failures >= self.endurance.attempts;
        let status = if is_given_up {
            Status::Failed
        } else {
            Status::Reconnecting
        };
        tracing::info!(target: "toolbridge::mcp", server = self.name, "connection lost: {error}");
        self.state.send_modify(|state| {
            state.status = status;
            state.last_error = Some(error);
        });
        if is_given_up {
            return Next::Sleep(status);
        }
        if self.failures > 0
            && let Some(next) = self.pause().await
        {
            return next;
        }
        self.failures += 1;
        Next::Connect
    }

    /// Waits for somebody who wants the server.
    async fn sleep(&mut self, status: Status) -> Next {
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return Next::Close,
                order = self.orders.recv() => match order {
                    Some(Order::Wake) if status == Status::Idle => break,
                    // One attempt, and no more unless it succeeds.
                    Some(Order::Wake) if self.reach.reconnects() => {
                        self.failures = self.endurance.attempts.saturating_sub(1);
                        break;
                    }
                    Some(Order::Reconnect) => {
                        self.failures = 0;
                        break;
                    }
                    Some(_) => {}
                    None => return Next::Close,
                },
            }
        }
        let status = if status == Status::Idle {
            Status::Connecting
        } else {
            Status::Reconnecting
        };
        self.state.send_modify(|state| state.status = status);
        Next::Connect
    }
}

/// Tells a new connection what the old one was told.
async fn restored(
    peer: Arc<dyn Peer>,
    restoring: Vec<(&'static str, Params)>,
    name: &str,
) -> Result<Arc<dyn Peer>> {
    for (method, params) in restoring {
        if let Err(failure) = peer.request(method, params, CallOptions::default()).await {
            if peer.has_ended() {
                return Err(failure);
            }
            tracing::warn!(target: "toolbridge::mcp", server = name, "{method} was not restored: {failure}");
        }
    }
    Ok(peer)
}

/// How often it is looked whether the last call of a replaced connection has ended.
const RETIREMENT_LOOK: std::time::Duration = std::time::Duration::from_millis(250);

async fn sleep_or_never(limit: Option<std::time::Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Whether the same attempt would fail in the same way: the server answered and will not have us, or
/// there is nothing to start.
fn is_permanent(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Transport => error
            .context()
            .status
            .is_some_and(|status| status < 500 && !matches!(status, 404 | 408 | 425 | 429)),
        ErrorKind::ConnectionClosed | ErrorKind::McpTimeout => false,
        _ => true,
    }
}
