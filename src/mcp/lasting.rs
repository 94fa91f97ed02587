//! One server that stays reached: connected anew when its connection is lost, its calls repeated
//! where that cannot do harm. Owns [`Lasting`] and [`Status`]; uses `client`, `connect` and `config`.

mod backoff;
mod calls;
mod memory;
mod server;
mod supervisor;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::json::RawJson;
use crate::mcp::client::Client;
use crate::mcp::config::Endurance;
use crate::mcp::session::{CallOptions, Params};

pub use backoff::Jitter;
use memory::Memory;
pub use server::Server;
pub(in crate::mcp) use server::peer_of;
use supervisor::Supervisor;

/// How many orders wait for the supervisor; more of them say nothing new.
const ORDERS_AHEAD: usize = 64;

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
    /// The client of it, for what is more than a request; none where there is nothing more.
    fn client(&self) -> Option<Arc<Client>> {
        None
    }
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

impl State {
    /// The connection that calls go out on, and its number.
    fn in_force(&self) -> Option<(Arc<dyn Peer>, u64)> {
        let peer = self.peer.as_ref().filter(|peer| !peer.has_ended())?;
        (self.status == Status::Ready).then(|| (Arc::clone(peer), self.generation))
    }
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
        Self::over(name.into(), endurance, None, reach, jitter)
    }

    /// Begins with a connection that is there already; `reach` makes those that come after it. Must
    /// be called inside the runtime.
    pub fn adopt(
        name: impl Into<String>,
        endurance: Endurance,
        peer: Arc<dyn Peer>,
        reach: Arc<dyn Reach>,
        jitter: Jitter,
    ) -> Self {
        Self::over(name.into(), endurance, Some(peer), reach, jitter)
    }

    fn over(
        name: String,
        endurance: Endurance,
        peer: Option<Arc<dyn Peer>>,
        reach: Arc<dyn Reach>,
        jitter: Jitter,
    ) -> Self {
        let (orders, received) = mpsc::channel(ORDERS_AHEAD);
        let count = u64::from(peer.is_some());
        let (sender, state) = watch::channel(State {
            status: if peer.is_some() {
                Status::Ready
            } else {
                Status::Connecting
            },
            peer,
            last_error: None,
            generation: count,
            attempts: count,
        });
        let lasting = Self {
            name,
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

    /// The client of the connection that there is, or was last.
    pub fn client(&self) -> Option<Arc<Client>> {
        let state = self.state.borrow();
        state.peer.as_ref().and_then(|peer| peer.client())
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

    /// Begins to connect anew where it was given up: what made it fail may be gone.
    pub fn try_again(&self) {
        if self.status() == Status::Failed {
            // A full queue wakes it too.
            let _ = self.orders.try_send(Order::Reconnect);
        }
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
            }) if *status != Status::Closed => Err(Error::clone(error)),
            _ => Err(self.is_closed("reconnect")),
        }
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
}
