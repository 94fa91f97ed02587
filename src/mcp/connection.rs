//! An open connection, whatever transport carries it: what a session starts on. Uses `transport`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;

use crate::mcp::client::Place;
use crate::mcp::session::Link;
use crate::mcp::transport::http::{CredentialChanges, SessionId};
use crate::mcp::transport::sse::SseConnection;
use crate::mcp::transport::stdio::StdioConnection;
use crate::mcp::transport::streamable_http::StreamableHttpConnection;

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
    /// To a server behind Streamable HTTP.
    StreamableHttp(StreamableHttpConnection),
    /// To a server behind HTTP+SSE.
    Sse(SseConnection),
}

impl Connection {
    /// What the session and whoever closes the connection share.
    pub fn link(&self) -> Arc<Link> {
        match self {
            Self::Stdio(connection) => connection.link(),
            Self::StreamableHttp(connection) => connection.link(),
            Self::Sse(connection) => connection.link(),
        }
    }

    /// What ends the connection.
    pub fn terminator(&self) -> Arc<dyn Terminate> {
        match self {
            Self::Stdio(connection) => connection.process(),
            Self::StreamableHttp(connection) => connection.endpoint(),
            Self::Sse(connection) => connection.endpoint(),
        }
    }

    /// What is remembered of the server under; none over HTTP+SSE, which has one era.
    pub(crate) fn place(&self) -> Option<Place> {
        match self {
            Self::Stdio(connection) => Some(connection.place()),
            Self::StreamableHttp(connection) => Some(connection.place()),
            Self::Sse(_) => None,
        }
    }

    /// How often its credentials became others; a child process has none.
    pub(crate) fn credential_changes(&self) -> CredentialChanges {
        match self {
            Self::Stdio(_) => CredentialChanges::default(),
            Self::StreamableHttp(connection) => connection.credential_changes(),
            Self::Sse(connection) => connection.credential_changes(),
        }
    }

    /// The id that the server gave the session; a child process gives none.
    pub fn session_id(&self) -> SessionId {
        match self {
            Self::Stdio(_) => SessionId::default(),
            Self::StreamableHttp(connection) => connection.session_id(),
            Self::Sse(connection) => connection.session_id(),
        }
    }
}

impl Transport<RoleClient> for Connection {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        // Posted here, not in the future: rmcp runs the futures in any order.
        let posted = match self {
            Self::Stdio(connection) => connection.post(&message).map(|()| None),
            Self::StreamableHttp(connection) => connection.post(&message),
            Self::Sse(connection) => connection.post(&message),
        };
        async move {
            let Some(delivery) = posted? else {
                return Ok(());
            };
            match delivery.await {
                Ok(outcome) => outcome.map_err(io::Error::other),
                Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        match self {
            Self::Stdio(connection) => connection.receive().await,
            Self::StreamableHttp(connection) => connection.receive().await,
            Self::Sse(connection) => connection.receive().await,
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.terminator().terminate().await;
        Ok(())
    }
}
