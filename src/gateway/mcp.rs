//! The MCP side: what clients say comes in over HTTP, goes to the servers that it is meant for, and
//! what those say goes back. Owns [`Endpoint`]; uses `mcp`.
//!
//! ```text
//! post, sse      HTTP of one transport -> `message` -> `relay`
//! client         one client: what it can do, where it hears, what it was asked
//! relay          one message of a client, and where it goes; and the same backwards
//! ```

#[expect(dead_code, reason = "sessions come next")]
mod client;
#[expect(dead_code, reason = "sessions come next")]
mod message;
mod post;
mod relay;
mod sse;

use axum::routing::{MethodRouter, post as post_method};

use super::Current;
use crate::error::Result;
use crate::mcp::ServerConfig;
use relay::Relay;

/// Everything behind the MCP paths.
#[derive(Debug)]
pub(super) struct Endpoint {
    relay: Relay,
}

impl Endpoint {
    pub(super) fn new(servers: Vec<ServerConfig>) -> Result<Self> {
        Ok(Self {
            relay: Relay::new(servers)?,
        })
    }

    /// Takes other servers; clients and what they have in flight stay.
    pub(super) fn reload(&self, servers: Vec<ServerConfig>) -> Result<()> {
        self.relay.reload(servers)
    }

    pub(super) async fn close(&self) {
        self.relay.close().await;
    }
}

/// What the paths of an endpoint answer to.
pub(super) fn methods() -> MethodRouter<Current> {
    post_method(post::post).get(sse::get).delete(post::delete)
}
