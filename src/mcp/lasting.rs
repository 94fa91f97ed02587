//! One server that stays reached: connected anew when its connection is lost, its calls repeated
//! where that cannot do harm. Owns [`Lasting`] and [`Status`]; uses `client`, `connect` and `config`.

mod backoff;
mod memory;
mod server;
mod supervisor;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Loss, Result};
use crate::json::RawJson;
use crate::mcp::config::Endurance;
use crate::mcp::session::{CallOptions, Params};

pub use backoff::Jitter;
use memory::{Memory, only_reads};
pub use server::Server;
use supervisor::Supervisor;

/// How many orders wait for the supervisor; more of them say nothing new.
const ORDERS_AHEAD: usize = 64;
/// How often one call is sent again.
const MAXIMUM_REPEATS: u32 = 5;

/// One connection to a server, of either era.
pub trait Peer: Send + Sync {
    /// Sends a request and waits for its answer.
    fn request<'a>(
        &'a self,
        method: &'a str,
        params: Params,
        options: CallOptions,
    ) -> BoxFuture<'a, Result<RawJson>>;
    /// Sends a notification.
    fn notify<'a>(&'a self, method: &'a str, params: Option<RawJson>) -> BoxFuture<'a, Result<()>>;
    /// Asks for the notifications that the filter names, and waits until they come no more; that is
    /// no error where the server ended it and said so.
    fn listen<'a>(&'a self, filter: &'a RawJson) -> BoxFuture<'a, Result<()>>;
    /// Waits until the connection is gone, whoever ended it; the error says why.
    fn ended(&self) -> BoxFuture<'_, Error>;
    /// Whether it is gone already.
    fn has_ended(&self) -> bool;
    /// Ends it.
    fn close(&self) -> BoxFuture<'_, ()>;
    /// What the server said of itself.
    fn described(&self) -> RawJson;
    /// Whether the server says of a tool that a second call of it does no harm.
    fn may_repeat(&self, tool: &str) -> bool;
    /// Whether the revision that was agreed on knows `ping`.
    fn has_ping(&self) -> bool;
}

/// Makes connections to one server, one after another.
pub trait Reach: Send + Sync + 'static {
    /// Connects and agrees on a revision. Once `cancelled`, it ends soon, and leaves nothing open.
    fn connect(&self, cancelled: CancellationToken) -> BoxFuture<'_, Result<Arc<dyn Peer>>>;
    /// Whether a lost connection may be replaced without being asked.
    fn reconnects(&self) -> bool;
    /// Ends once a person whom the attempt asks has answered; none while nobody is asked.
    fn person(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The first attempt runs.
    Connecting,
    /// Calls go out.
    Ready,
    /// The connection is lost, or the first attempt failed; calls wait for the next one.
    Reconnecting,
    /// It was given up; calls fail, or try once more where that may help.
    Failed,
    /// Nobody called for a while; the next call connects.
    Idle,
    /// It was closed for good.
    Closed,
}

impl Status {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Reconnecting => "reconnecting",
            Self::Failed => "failed",
            Self::Idle => "idle",
            Self::Closed => "closed",
        }
    }
}

/// What is known at one moment.
#[derive(Clone)]
struct State {
    status: Status,
    peer: Option<Arc<dyn Peer>>,
    last_error: Option<Arc<Error>>,
    /// Counts the connections, so that the report of an old one is told from that of a new one.
    generation: u64,
    /// Attempts that have ended, whichever way.
    attempts: u64,
}

/// What the supervisor is told.
enum Order {
    /// Calls of this connection found nobody at the other end.
    Unreachable(u64, Arc<Error>),
    /// Somebody wants the server.
    Wake,
    /// Connect anew, whatever the status is.
    Reconnect,
}

/// A server that stays reached. Dropping it closes the connection.
pub struct Lasting {
    name: String,
    endurance: Endurance,
    state: watch::Receiver<State>,
    orders: mpsc::Sender<Order>,
    memory: Arc<Memory>,
    reconnects: bool,
    closing: CancellationToken,
    /// Cancelled when the supervisor has closed everything.
    closed: CancellationToken,
}

impl fmt::Debug for Lasting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Lasting")
            .field("name", &self.name)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Lasting {
    /// Begins to connect. Must be called inside the runtime.
    pub fn start(
        name: impl Into<String>,
        endurance: Endurance,
        reach: Arc<dyn Reach>,
        jitter: Jitter,
    ) -> Self {
        let (orders, received) = mpsc::channel(ORDERS_AHEAD);
        let (sender, state) = watch::channel(State {
            status: Status::Connecting,
            peer: None,
            last_error: None,
            generation: 0,
            attempts: 0,
        });
        let lasting = Self {
            name: name.into(),
            reconnects: reach.reconnects(),
            state,
            orders,
            memory: Arc::default(),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
            endurance,
        };
        tokio::spawn(
            Supervisor {
                name: lasting.name.clone(),
                endurance: lasting.endurance.clone(),
                reach,
                jitter,
                state: sender,
                orders: received,
                memory: Arc::clone(&lasting.memory),
                closing: lasting.closing.clone(),
                closed: lasting.closed.clone(),
                failures: 0,
                retired: JoinSet::new(),
            }
            .run(),
        );
        lasting
    }

    /// What it is called in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the server stands.
    pub fn status(&self) -> Status {
        self.state.borrow().status
    }

    /// Why the last connection was lost or did not come to be; none while the server is ready.
    pub fn last_error(&self) -> Option<Arc<Error>> {
        self.state.borrow().last_error.clone()
    }

    /// What the server said of itself when it was last connected to.
    pub fn described(&self) -> Option<RawJson> {
        let state = self.state.borrow();
        state.peer.as_ref().map(|peer| peer.described())
    }

    /// Whether the revision that was last agreed on has a handshake, and with it `ping` and
    /// notifications that nobody has to ask for.
    pub fn has_handshake(&self) -> bool {
        let state = self.state.borrow();
        state.peer.as_ref().is_some_and(|peer| peer.has_ping())
    }

    /// Counts the connections: a list that was read on an earlier one may be stale.
    pub fn generation(&self) -> u64 {
        self.state.borrow().generation
    }

    /// Waits until the first attempt has ended, whichever way; no longer than it may take.
    pub async fn settled(&self) {
        let mut state = self.state.clone();
        // The supervisor ends only after it has said that the server is closed.
        let _ = state
            .wait_for(|state| state.attempts > 0 || state.status == Status::Closed)
            .await;
    }

    /// Waits until the status changes, or the connection under it.
    pub fn changes(&self) -> BoxFuture<'static, Status> {
        let mut state = self.state.clone();
        let before = {
            let now = state.borrow_and_update();
            (now.status, now.generation)
        };
        Box::pin(async move {
            let changed = state.wait_for(|state| (state.status, state.generation) != before);
            changed.await.map_or(Status::Closed, |state| state.status)
        })
    }

    /// Connects anew, whatever the status is, and waits for the outcome.
    ///
    /// # Errors
    /// The attempt failed, or the server was closed.
    pub async fn reconnect(&self) -> Result<()> {
        let mut state = self.state.clone();
        let before = state.borrow_and_update().attempts;
        // Nobody listens once it is closed, which the state tells.
        let _ = self.orders.send(Order::Reconnect).await;
        let outcome = state
            .wait_for(|state| state.attempts > before || state.status == Status::Closed)
            .await;
        match outcome.as_deref() {
            Ok(State {
                status: Status::Ready,
                ..
            }) => Ok(()),
            Ok(State {
                last_error: Some(error),
                status,
                ..
            }) if *status != Status::Closed => Err(Error::shared(error)),
            _ => Err(self.is_closed("reconnect")),
        }
    }

    /// Sends a request over the connection that there is, or the next one, and waits for its answer.
    ///
    /// A request whose connection is lost is sent again if it only reads, if the tool that it calls
    /// says that a second call does no harm, or if it never left.
    ///
    /// # Errors
    /// `ConnectionClosed` if the outcome is unknown; `McpTimeout` if the time was over first, waiting
    /// for a connection included; else what the server or the transport said.
    pub async fn request(
        &self,
        method: &str,
        params: Params,
        mut options: CallOptions,
    ) -> Result<RawJson> {
        options.timeout = options.timeout.or(self.endurance.request_timeout);
        let deadline = options
            .timeout
            .and_then(|limit| Instant::now().checked_add(limit));
        let _call = self.memory.begin();
        let mut repeats = 0;
        loop {
            let (peer, generation) = self.ready(method, deadline, options.timeout).await?;
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let attempt = CallOptions {
                timeout: left,
                ..options.clone()
            };
            let outcome = peer.request(method, params.clone(), attempt).await;
            let failure = match outcome {
                Ok(answer) => {
                    self.memory.answered(method, &params);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let Some(loss) = loss_of(&failure) else {
                return Err(failure);
            };
            let may_repeat = loss == Loss::Unsent
                || only_reads(method)
                || (method == "tools/call"
                    && memory::tool_of(&params).is_some_and(|tool| peer.may_repeat(&tool)));
            let failure = Arc::new(failure);
            if loss == Loss::Unsent {
                let order = Order::Unreachable(generation, Arc::clone(&failure));
                // A queue that is full holds the same order already.
                let _ = self.orders.try_send(order);
            }
            if !may_repeat {
                return Err(self.unknown_outcome(method, &failure));
            }
            if repeats == MAXIMUM_REPEATS || self.status() == Status::Closed {
                return Err(Error::shared(&failure));
            }
            repeats += 1;
            self.left_behind(generation, loss).await;
        }
    }

    /// Sends a notification over the connection that there is, or the next one.
    ///
    /// # Errors
    /// As for a request.
    pub async fn notify(&self, method: &str, params: Option<RawJson>) -> Result<()> {
        let limit = self.endurance.request_timeout;
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let (peer, _) = self.ready(method, deadline, limit).await?;
        peer.notify(method, params).await
    }

    /// Asks the connection that there is for the notifications that the filter names, and waits
    /// until they come no more. It is no call: it neither connects nor keeps a connection from being
    /// idle.
    ///
    /// # Errors
    /// There is no connection, the server refused, or the notifications were cut off.
    pub async fn listen(&self, filter: &RawJson) -> Result<()> {
        let (peer, generation) = {
            let state = self.state.borrow();
            (state.peer.clone(), state.generation)
        };
        let Some(peer) = peer else {
            return Err(self.is_lost("subscriptions/listen", self.last_error().as_ref()));
        };
        let Err(failure) = peer.listen(filter).await else {
            return Ok(());
        };
        if loss_of(&failure) == Some(Loss::Unsent) {
            let failure = Arc::new(failure);
            let order = Order::Unreachable(generation, Arc::clone(&failure));
            // As for a call.
            let _ = self.orders.try_send(order);
            return Err(Error::shared(&failure));
        }
        Err(failure)
    }

    /// Begins to close the connection for good.
    pub(crate) fn begin_close(&self) {
        self.closing.cancel();
    }

    /// Closes the connection for good and waits until nothing of it is left. Waiting calls get a
    /// `ConnectionClosed` error. Closing twice does nothing.
    pub async fn close(&self) {
        self.closing.cancel();
        self.closed.cancelled().await;
    }

    /// The connection, waited for if there is none.
    async fn ready(
        &self,
        method: &str,
        deadline: Option<Instant>,
        limit: Option<Duration>,
    ) -> Result<(Arc<dyn Peer>, u64)> {
        let mut state = self.state.clone();
        let attempts = state.borrow().attempts;
        let mut has_asked = false;
        loop {
            {
                let now = state.borrow_and_update();
                match now.status {
                    Status::Ready => {
                        if let Some(peer) = now.peer.as_ref().filter(|peer| !peer.has_ended()) {
                            return Ok((Arc::clone(peer), now.generation));
                        }
                    }
                    Status::Closed => return Err(self.is_closed(method)),
                    // One attempt more, where one may help.
                    Status::Failed
                        if !self.reconnects || (has_asked && now.attempts > attempts) =>
                    {
                        return Err(self.is_lost(method, now.last_error.as_ref()));
                    }
                    _ => {}
                }
            }
            if !has_asked {
                has_asked = true;
                // As for a call that finds nobody.
                let _ = self.orders.try_send(Order::Wake);
            }
            let changed = async {
                match deadline {
                    Some(deadline) => tokio::time::timeout_at(deadline, state.changed()).await,
                    None => Ok(state.changed().await),
                }
            };
            match changed.await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(self.is_closed(method)),
                Err(_) => return Err(self.still_lost(method, limit.unwrap_or_default())),
            }
        }
    }

    /// Waits until the connection that failed a call is known to be gone, or for a moment if it is
    /// not: a single exchange of it may have broken.
    async fn left_behind(&self, generation: u64, loss: Loss) {
        let mut state = self.state.clone();
        let gone = state.wait_for(|state| {
            state.generation != generation
                || state.status != Status::Ready
                || state.peer.as_ref().is_none_or(|peer| peer.has_ended())
        });
        let patience = match loss {
            Loss::Unsent => self.endurance.longest_wait,
            Loss::Broken => self.endurance.first_wait,
        };
        // Whether it is gone or not, the next attempt finds out.
        let _ = tokio::time::timeout(patience, gone).await;
    }

    fn is_closed(&self, method: &str) -> Error {
        Error::new(
            ErrorKind::ConnectionClosed,
            format!(
                "the connection to the MCP server `{}` was closed, so {method} was not sent",
                self.name
            ),
        )
    }

    fn is_lost(&self, method: &str, cause: Option<&Arc<Error>>) -> Error {
        let why = cause.map_or_else(String::new, |cause| format!(": {}", cause.message()));
        let error = Error::new(
            cause.map_or(ErrorKind::ConnectionClosed, |cause| cause.kind()),
            format!(
                "the MCP server `{}` is not connected, so {method} was not sent{why}",
                self.name
            ),
        );
        match cause {
            Some(cause) => error
                .with_context(cause.context().clone())
                .with_source(Error::shared(cause)),
            None => error,
        }
    }

    fn still_lost(&self, method: &str, limit: Duration) -> Error {
        let state = self.state.borrow();
        let why = match &state.last_error {
            Some(cause) => format!(": {}", cause.message()),
            None => String::new(),
        };
        Error::new(
            ErrorKind::McpTimeout,
            format!(
                "the MCP server `{}` was {} for the {} s that {method} could wait, so it was not \
                 sent{why}",
                self.name,
                state.status.name(),
                limit.as_secs_f64()
            ),
        )
    }

    fn unknown_outcome(&self, method: &str, cause: &Arc<Error>) -> Error {
        Error::new(
            ErrorKind::ConnectionClosed,
            format!(
                "the connection to the MCP server `{}` was lost while {method} was under way, so its \
                 outcome is unknown: it may have been carried out. It is not repeated, because the \
                 tool does not say that it is idempotent or only reads: {}",
                self.name,
                cause.message()
            ),
        )
        .with_context(cause.context().clone())
        .with_source(Error::shared(cause))
    }
}

/// How the connection under a call was lost; none if the call failed for a reason of its own.
fn loss_of(failure: &Error) -> Option<Loss> {
    match failure.kind() {
        ErrorKind::ConnectionClosed => Some(failure.context().loss.unwrap_or(Loss::Broken)),
        ErrorKind::Transport => failure.context().loss,
        _ => None,
    }
}
