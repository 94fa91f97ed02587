//! The gateway: many MCP servers behind one endpoint and many models behind one OpenAI-compatible
//! endpoint, out of one configuration file. Owns [`Gateway`]; uses `mcp`, `llm` and what is below
//! them.
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | the configuration file, with everything that is wrong or unknown in it |
//! | `server` | the listening socket, connections and their end |
//! | `router` | which path is served by whom |
//! | `access` | who calls, and what a caller may use |
//! | `failure` | errors as HTTP answers |
//! | `llm` | the OpenAI side |
//! | `mcp` | the MCP side |

mod access;
pub mod config;
mod failure;
mod llm;
mod mcp;
mod router;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::error::Result;
use access::Access;
use config::Config;
use llm::Models;
use mcp::Endpoint;
use server::Server;

/// What every request is served with.
#[derive(Debug)]
struct Shared {
    access: Access,
    models: Models,
    mcp: Endpoint,
}

/// A gateway that serves. Dropping it ends it without waiting for what is in flight.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
    shared: Arc<Shared>,
}

impl Gateway {
    /// Listens, and begins to connect to the MCP servers; waits for none of them. Must be called
    /// inside the runtime.
    ///
    /// # Errors
    /// The configuration cannot be used, or the address cannot be listened on.
    pub async fn start(config: Config, host: &str, port: u16) -> Result<Self> {
        let access = Access::new(&config.access, host)?;
        let shared = Arc::new(Shared {
            access,
            models: Models::new(config.models),
            mcp: Endpoint::new(config.servers)?,
        });
        let server = Server::start(host, port, router::router(Arc::clone(&shared))).await?;
        Ok(Self { server, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Takes no more connections, lets what is in flight end, and closes the connections to the MCP
    /// servers.
    pub async fn stop(&self) {
        self.server.stop().await;
        self.shared.mcp.close().await;
    }
}
