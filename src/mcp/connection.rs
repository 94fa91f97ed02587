//! An open connection, whatever transport carries it: what a session starts on. Uses `transport`.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;

use crate::mcp::session::Link;
use crate::mcp::transport::stdio::StdioConnection;

/// Ends a connection gracefully, from wherever and however often it is asked.
pub trait Terminate: Send + Sync {
    /// Ends it; a second call waits for the first.
    fn terminate(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// An open connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Connection {
    /// To a child process.
    Stdio(StdioConnection),
}

impl Connection {
    /// What the session and whoever closes the connection share.
    pub fn link(&self) -> Arc<Link> {
        match self {
            Self::Stdio(connection) => connection.link(),
        }
    }

    /// What ends the connection.
    pub fn terminator(&self) -> Arc<dyn Terminate> {
        match self {
            Self::Stdio(connection) => connection.process(),
        }
    }
}

impl Transport<RoleClient> for Connection {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let sent: Ready<_> = ready(match self {
            Self::Stdio(connection) => connection.post(&message),
        });
        sent
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        match self {
            Self::Stdio(connection) => connection.receive().await,
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.terminator().terminate().await;
        Ok(())
    }
}
