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
//! upstream       the connections to servers, and who hears what of them
//! ```

mod client;
mod exchange;
mod get;
mod headers;
pub mod message;
mod post;
mod relay;
mod scope;
mod session;
mod stream;
mod upstream;

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::routing::{MethodRouter, get as get_method};

use super::Current;
use crate::error::Result;
use crate::mcp::ServerConfig;
use relay::Relay;
use session::{Session, Sessions};

/// How often sessions that nobody uses are looked for.
const SWEEP: Duration = Duration::from_mins(1);

/// Everything behind the MCP paths.
#[derive(Debug)]
pub(super) struct Endpoint {
    relay: Relay,
    sessions: Sessions,
}

impl Endpoint {
    /// Must be called inside the runtime.
    pub(super) fn new(servers: Vec<ServerConfig>) -> Result<Arc<Self>> {
        let endpoint = Arc::new(Self {
            relay: Relay::new(servers)?,
            sessions: Sessions::default(),
        });
        tokio::spawn(sweep(Arc::downgrade(&endpoint)));
        Ok(endpoint)
    }

    /// Ends a session, and what of the servers belongs to it alone.
    fn end(&self, session: &Session) {
        self.sessions.end(session);
        self.relay.closed(&session.client);
    }

    /// Ends every session, so that no stream stays open.
    pub(super) fn end_sessions(&self) {
        for session in self.sessions.all() {
            self.end(&session);
        }
    }

    /// Takes other servers; clients and what they have in flight stay.
    pub(super) fn reload(&self, servers: Vec<ServerConfig>) -> Result<()> {
        self.relay.reload(servers)
    }

    pub(super) async fn close(&self) {
        self.end_sessions();
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
