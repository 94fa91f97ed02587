//! What takes the requests of a caller: one connection, one that is made anew when it is lost, or a
//! server of a group. Owns [`Upstream`] and [`Renewal`]; uses `client`, `lasting` and `group`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::json::RawJson;
use crate::mcp::client::{Client, Mode, Subscription};
use crate::mcp::config::{Endurance, Target};
use crate::mcp::connect::{Opening, connect};
use crate::mcp::group::Member;
use crate::mcp::lasting::{Jitter, Lasting, Peer, Reach, Server, peer_of};
use crate::mcp::session::{CallOptions, Params};

/// Hears the id of each session that takes the place of a lost one.
pub type SessionListener = Arc<dyn Fn(String) + Send + Sync>;

/// How often in a row, and after which waits, a lost connection is made anew: a call without a limit
/// of its own knows within eight seconds of waits that a server stays down.
const ENDURANCE: Endurance = Endurance {
    connect_timeout: Duration::from_secs(30),
    request_timeout: None,
    keep_alive: None,
    idle_close: None,
    restart: false,
    attempts: 6,
    first_wait: Duration::from_millis(250),
    longest_wait: Duration::from_secs(4),
};

/// How a session gets its next connection: to the same server, with the same settings, by the same
/// lifecycle.
pub struct Renewal {
    server: Server,
    /// The lifecycle that ran last.
    mode: Mutex<Mode>,
    on_session: Option<SessionListener>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Renewal")
            .field("server", &self.server.target.shown())
            .finish_non_exhaustive()
    }
}

impl Renewal {
    /// To this server, over connections that are opened like this.
    pub fn new(target: Target, opening: Opening, on_session: Option<SessionListener>) -> Arc<Self> {
        let server = Server {
            target,
            mode: Mode::Auto,
            opening,
            restart: false,
        };
        Arc::new(Self {
            mode: Mutex::new(server.mode.clone()),
            server,
            on_session,
        })
    }

    fn mode(&self) -> std::sync::MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reach for Renewal {
    fn connect(&self, cancelled: CancellationToken) -> BoxFuture<'_, Result<Arc<dyn Peer>>> {
        async move {
            let server = Server {
                mode: self.mode().clone(),
                ..self.server.clone()
            };
            let peer = server.connect(cancelled).await?;
            if let Some(listener) = &self.on_session
                && let Some(id) = peer.client().and_then(|client| client.session_id())
            {
                listener(id);
            }
            Ok(peer)
        }
        .boxed()
    }

    fn reconnects(&self) -> bool {
        self.server.reconnects()
    }

    fn person(&self) -> Option<BoxFuture<'_, ()>> {
        self.server.person()
    }
}

/// What takes the requests of a caller.
#[derive(Debug)]
pub struct Upstream {
    held: RwLock<Held>,
    /// None where a lost connection stays lost.
    renewal: Option<Arc<Renewal>>,
}

#[derive(Debug)]
struct Held {
    line: Line,
    is_closed: bool,
}

#[derive(Debug, Clone)]
enum Line {
    /// One connection.
    Once(Arc<Client>),
    /// One connection after another.
    Lasting(Arc<Lasting>),
    /// As `Lasting`, owned by a group.
    Member(Arc<Member>),
}

impl Line {
    fn lasting(&self) -> Result<&Lasting, &Arc<Client>> {
        match self {
            Self::Once(client) => Err(client),
            Self::Lasting(lasting) => Ok(lasting),
            Self::Member(member) => Ok(member.lasting()),
        }
    }
}

impl Upstream {
    /// A client whose lifecycle has not run yet. Once it has, a connection that is lost is replaced
    /// if there is a `renewal`.
    pub fn new(client: Client, renewal: Option<Arc<Renewal>>) -> Self {
        Self::over(Line::Once(Arc::new(client)), renewal)
    }

    /// Opens the first connection and runs the lifecycle; what the server said of itself comes with
    /// it. Must be called inside the runtime.
    ///
    /// # Errors
    /// What the server or the transport said; nothing is tried again, and nothing is left open.
    pub async fn open(mode: Mode, renewal: Arc<Renewal>) -> Result<(Self, RawJson)> {
        let connected = connect(&renewal.server.target, &mode, &renewal.server.opening).await?;
        let upstream = Self::new(connected.client, Some(renewal));
        upstream.last(mode);
        Ok((upstream, connected.described))
    }

    /// A server of a group.
    pub fn member(member: Arc<Member>) -> Self {
        Self::over(Line::Member(member), None)
    }

    fn over(line: Line, renewal: Option<Arc<Renewal>>) -> Self {
        let held = Held {
            line,
            is_closed: false,
        };
        Self {
            held: RwLock::new(held),
            renewal,
        }
    }

    fn line(&self) -> Line {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.line.clone()
    }

    /// The client of the connection that is in force, or was last.
    pub fn client(&self) -> Option<Arc<Client>> {
        match self.line().lasting() {
            Ok(lasting) => lasting.client(),
            Err(client) => Some(Arc::clone(client)),
        }
    }

    /// How often the connection was replaced.
    pub fn renewals(&self) -> u64 {
        match self.line().lasting() {
            Ok(lasting) => lasting.generation().saturating_sub(1),
            Err(_) => 0,
        }
    }

    /// Runs the lifecycle on the connection that is there; what the server said of itself. Must be
    /// called inside the runtime.
    ///
    /// # Errors
    /// What the server or the transport said; nothing is tried again.
    pub async fn connect(&self, mode: Mode) -> Result<RawJson> {
        let line = self.line();
        let client = match line.lasting() {
            Ok(lasting) => lasting.reached("the lifecycle").await?,
            Err(client) => Arc::clone(client),
        };
        let described = client.connect(&mode).await?;
        self.last(mode);
        Ok(described)
    }

    /// Goes on with what the server said of itself earlier; nothing is sent. Must be called inside
    /// the runtime.
    ///
    /// # Errors
    /// It names no revision that the client speaks.
    pub fn adopt(&self, described: RawJson) -> Result<()> {
        if let Some(client) = self.client() {
            client.adopt(described.clone())?;
        }
        self.last(Mode::Known(described));
        Ok(())
    }

    /// The lifecycle has run: from here on a lost connection is replaced, by the same lifecycle.
    fn last(&self, mode: Mode) {
        let Some(renewal) = &self.renewal else {
            return;
        };
        *renewal.mode() = mode;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.is_closed {
            return;
        }
        let Line::Once(client) = &held.line else {
            return;
        };
        let lasting = Lasting::adopt(
            renewal.server.target.shown(),
            ENDURANCE,
            peer_of(Arc::clone(client)),
            Arc::<Renewal>::clone(renewal),
            Jitter::default(),
        );
        held.line = Line::Lasting(Arc::new(lasting));
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// As [`Lasting::request`].
    pub async fn request(
        &self,
        method: &str,
        params: Params,
        options: CallOptions,
    ) -> Result<RawJson> {
        match self.line().lasting() {
            Ok(lasting) => lasting.request(method, params, options).await,
            Err(client) => client.request(method, params, options).await,
        }
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// As [`Lasting::notify`].
    pub async fn notify(&self, method: &str, params: Option<RawJson>) -> Result<()> {
        match self.line().lasting() {
            Ok(lasting) => lasting.notify(method, params).await,
            Err(client) => client.notify(method, params).await,
        }
    }

    /// Waits for the result of a task.
    ///
    /// # Errors
    /// As [`Lasting::finish_task`].
    pub async fn finish_task(
        &self,
        tool: Option<&str>,
        created: RawJson,
        options: &CallOptions,
    ) -> Result<RawJson> {
        match self.line().lasting() {
            Ok(lasting) => lasting.finish_task(tool, created, options).await,
            Err(client) => client.task_result(tool, created, options).await,
        }
    }

    /// Subscribes to changes and waits for the acknowledgment.
    ///
    /// # Errors
    /// As [`Lasting::subscribe`].
    pub async fn subscribe(
        &self,
        filter: &RawJson,
        limit: Option<Duration>,
    ) -> Result<Subscription> {
        match self.line().lasting() {
            Ok(lasting) => lasting.subscribe(filter, limit).await,
            Err(client) => client.listen(filter, limit).await,
        }
    }

    /// Ends the connection for good. Closing twice does nothing.
    pub async fn close(&self) {
        let line = {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            held.is_closed = true;
            held.line.clone()
        };
        match line.lasting() {
            Ok(lasting) => lasting.close().await,
            Err(client) => client.close().await,
        }
    }
}
