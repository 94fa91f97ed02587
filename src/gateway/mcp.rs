//! The MCP side: what clients say comes in over HTTP, goes to the servers that it is meant for, and
//! what those say goes back. Owns [`Endpoint`]; uses `mcp`.
//!
//! ```text
//! post, get      HTTP of one transport -> `message` -> `relay`
//! exchange       how a request is answered over HTTP
//! headers        which revision a request is of, and whether its headers agree with its body
//! session        what lasts longer than a request
//! stream         what one answer carries, and how it is taken up again
//! client         one client: what it can do, where it hears, what it was asked
//! scope          which servers a client came for
//! relay          one message of a client, and where it goes; and the same backwards
//! rest           tools over plain HTTP, as LiteLLM answers
//! toolbox        the servers as tools of a run
//! upstream       the connections to servers, and who hears what of them
//! ```

mod client;
mod exchange;
mod get;
mod headers;
pub mod message;
mod post;
mod relay;
pub(super) mod rest;
mod scope;
mod session;
mod stream;
pub(super) mod toolbox;
mod upstream;

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::routing::{MethodRouter, get as get_method};
use tokio_util::sync::CancellationToken;

use super::Current;
use super::config::Limits;
use super::metrics::Metrics;
use super::sampling::Sampler;
use crate::error::Result;
use crate::mcp::{Member, ServerConfig};
use relay::Relay;
use session::{Session, Sessions};

/// How often sessions that nobody uses are looked for.
const SWEEP: Duration = Duration::from_mins(1);

/// Everything behind the MCP paths.
#[derive(Debug)]
pub(super) struct Endpoint {
    relay: Relay,
    sessions: Sessions,
    /// Cancelled once nothing new begins.
    stopping: CancellationToken,
}

impl Endpoint {
    /// Must be called inside the runtime.
    pub(super) fn new(
        servers: Vec<ServerConfig>,
        limits: &Limits,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Self>> {
        let endpoint = Arc::new(Self {
            relay: Relay::new(servers, Arc::clone(metrics))?,
            sessions: Sessions::new(limits),
            stopping: CancellationToken::new(),
        });
        tokio::spawn(sweep(Arc::downgrade(&endpoint)));
        Ok(endpoint)
    }

    /// Ends a session, and what of the servers belongs to it alone.
    fn end(&self, session: &Session) {
        self.sessions.end(session);
        self.relay.closed(&session.client);
    }

    /// Lets what is in flight end: each session ends with its last answer, and streams that belong to
    /// no request now.
    pub(super) fn drain(&self) {
        self.stopping.cancel();
        for session in self.sessions.all() {
            session.drain();
        }
    }

    /// Whether nothing new begins.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// What answers for clients that cannot.
    pub(super) fn sampler(&self) -> &Sampler {
        self.relay.sampler()
    }

    /// The servers.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        self.relay.members()
    }

    /// Reaches the servers that nobody has used for a while.
    pub(super) async fn reach(&self) {
        self.relay.reach().await;
    }

    /// How many sessions there are of each transport.
    pub(super) fn sessions_by_kind(&self) -> [(&'static str, u64); 2] {
        let sessions = self.sessions.all();
        let of = |kind| {
            sessions
                .iter()
                .filter(|session| session.kind == kind)
                .count() as u64
        };
        [
            ("streamable_http", of(session::Kind::Streamable)),
            ("sse", of(session::Kind::Sse)),
        ]
    }

    /// How many streams are read that belong to no request.
    pub(super) fn open_streams(&self) -> u64 {
        let sessions = self.sessions.all();
        let open = sessions.iter().filter(|session| session.unasked.is_read());
        open.count() as u64
    }

    /// How many calls wait for clients that have to come back.
    pub(super) fn waiting_calls(&self) -> u64 {
        self.relay.waiting_calls()
    }

    /// Takes other servers; clients and what they have in flight stay.
    pub(super) fn reload(&self, servers: Vec<ServerConfig>, limits: &Limits) -> Result<()> {
        self.relay.reload(servers)?;
        self.sessions.limit(limits);
        Ok(())
    }

    pub(super) async fn close(&self) {
        for session in self.sessions.all() {
            self.end(&session);
        }
        self.relay.close().await;
    }
}

async fn sweep(endpoint: Weak<Endpoint>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(endpoint) = endpoint.upgrade() else {
            return;
        };
        for session in endpoint.sessions.sweep() {
            endpoint.relay.closed(&session.client);
        }
    }
}

/// What the paths of an endpoint answer to.
pub(super) fn methods() -> MethodRouter<Current> {
    get_method(get::get).post(post::post).delete(get::delete)
}

/// The same for a path of HTTP+SSE alone.
pub(super) fn sse_methods() -> MethodRouter<Current> {
    get_method(get::sse).post(post::post)
}
