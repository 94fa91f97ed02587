//! One server and the revision that it speaks: the lifecycle (`initialize`, `server/discover`, or
//! whichever of them the server knows), and requests in the form of that revision. Uses `session`,
//! `json` and `error`.

pub mod cache;
mod calls;
pub mod catalogue;
mod era;
mod fields;
pub mod headers;
mod knowledge;
mod lifecycle;
mod listen;
mod memory;
pub mod output;
mod rounds;
mod task;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::json::RawJson;
use crate::mcp::connection::Connection;
use crate::mcp::session::{CallOptions, Link, Params, Session};
use crate::mcp::transport::http::SessionId;
use knowledge::Knowledge;

pub use era::{Agreed, Era, LEGACY_VERSIONS, MODERN_VERSIONS, Mode};
pub(crate) use lifecycle::is_outage;
pub use listen::{Change, Subscription};
pub(crate) use memory::{Found, Place};

/// What a client says of itself.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name and version, a JSON object.
    pub client_info: RawJson,
    /// What it can do for the server, a JSON object.
    pub capabilities: RawJson,
    /// The least important log lines that it wants, as in `warning`. Only revisions without a
    /// handshake are told this way; in the others it is a request, `logging/setLevel`.
    pub log_level: Option<String>,
}

impl Default for Profile {
    /// This package, without any capability.
    fn default() -> Self {
        let info = concat!(
            r#"{"name":"toolbridge","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#""}"#
        );
        Self {
            client_info: RawJson::trusted(info),
            capabilities: RawJson::trusted("{}"),
            log_level: None,
        }
    }
}

/// How a client behaves on its connection.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What it says of itself.
    pub profile: Profile,
    /// How long the requests of the lifecycle wait for their answers; none waits for as long as the
    /// connection lives.
    pub timeout: Option<Duration>,
    /// How long a child process may be silent about `server/discover` before it counts as one
    /// that does not know it. The answer of a server behind HTTP is waited for.
    pub patience: Duration,
    /// How often one call is repeated because the server wants input.
    pub maximum_rounds: u32,
    /// Where results are kept for as long as the server allows; none keeps nothing.
    pub cache: Option<cache::CacheSettings>,
    /// Whether structured results are checked against the output schema of their tool.
    pub validates_output: bool,
    /// Whether the client says that it knows tasks, and a call that became one is waited for.
    pub follows_tasks: bool,
    /// Whether tools whose `x-mcp-header` is invalid are left out of listings, as a client of
    /// Streamable HTTP must.
    pub screens_tools: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            timeout: None,
            patience: Duration::from_secs(10),
            maximum_rounds: 10,
            cache: None,
            validates_output: false,
            follows_tasks: false,
            screens_tools: true,
        }
    }
}

/// A client of one server.
///
/// Requests may be made from any number of tasks at once. Before the lifecycle has run they go out
/// as the caller made them.
#[derive(Debug)]
pub struct Client {
    session: Arc<Session>,
    link: Arc<Link>,
    setup: Setup,
    /// Where the revision of this server is remembered; none if nothing would be learned.
    place: Option<Place>,
    is_http: bool,
    session_id: SessionId,
    /// Held while the lifecycle runs, so that it runs once.
    lifecycle: tokio::sync::Mutex<()>,
    agreed: RwLock<Option<Arc<Agreed>>>,
    is_modern: AtomicBool,
    knowledge: Arc<Knowledge>,
}

impl Client {
    /// Starts the session on an open connection; nothing is sent yet.
    ///
    /// Must be called inside the runtime. Whoever hears the notifications and answers the requests
    /// of the server is entered with [`Link::listen`](crate::mcp::session::Link::listen) before.
    pub fn start(connection: Connection, setup: Setup) -> Self {
        let place = connection.place();
        let is_http = !matches!(connection, Connection::Stdio(_));
        let link = connection.link();
        let session_id = connection.session_id();
        let credentials = connection.credential_changes();
        let mut setup = setup;
        let knowledge = Arc::new(Knowledge::new(setup.cache.take(), credentials));
        let heard = Arc::clone(&knowledge);
        link.observe(Box::new(move |method, params| heard.hear(method, params)));
        Self {
            session: Arc::new(Session::start(connection, Arc::clone(&link))),
            link,
            setup,
            place,
            is_http,
            session_id,
            lifecycle: tokio::sync::Mutex::new(()),
            agreed: RwLock::default(),
            is_modern: AtomicBool::new(false),
            knowledge,
        }
    }

    /// What the lifecycle found out; none before it has run.
    pub fn agreed(&self) -> Option<Arc<Agreed>> {
        self.agreed
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The id that the server gave the session, if it gave one.
    pub fn session_id(&self) -> Option<String> {
        self.session_id.get()
    }

    fn agree(&self, agreed: Agreed) -> RawJson {
        let described = agreed.described.clone();
        self.is_modern
            .store(agreed.era() == Era::Modern, Ordering::Release);
        *self.agreed.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(agreed));
        described
    }

    /// One request and its answer, in the form of the agreed revision; input that the server wants
    /// is given.
    async fn exchange(
        &self,
        method: &str,
        params: Params,
        options: CallOptions,
    ) -> Result<RawJson> {
        if self.is_modern.load(Ordering::Acquire)
            && let Some(agreed) = self.agreed()
        {
            let request = self.request_modern(&agreed, method, params, options);
            return Box::pin(request).await;
        }
        self.session.request(method, params, options).await
    }

    /// Sends a notification. What the agreed revision has removed is not sent.
    pub async fn notify(&self, method: &str, params: Option<RawJson>) -> Result<()> {
        if self.is_modern.load(Ordering::Acquire) && era::is_removed_notification(method) {
            return Ok(());
        }
        self.session.notify(method, params).await
    }

    /// Waits for the end of the connection, whoever ends it; the error says why.
    pub(crate) async fn ended(&self) -> Error {
        self.session.ended().await
    }

    /// Whether the connection is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.session.has_ended()
    }

    /// Ends the session and its connection; every waiting call gets a `ConnectionClosed` error.
    /// Closing a closed client does nothing.
    pub async fn close(&self) {
        self.session.close().await;
    }
}
