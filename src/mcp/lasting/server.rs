//! A real server as what a lasting connection is made of. Uses `client` and `connect`.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Peer, Reach};
use crate::error::{Error, Result};
use crate::json::RawJson;
use crate::mcp::client::{Client, Era, Mode};
use crate::mcp::config::Target;
use crate::mcp::connect::{Opening, connect};
use crate::mcp::session::{CallOptions, Params};

/// A server by its description.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// Which revision is wanted.
    pub mode: Mode,
    /// What every connection to it is opened with.
    pub opening: Opening,
    /// Whether a child process that died is started anew.
    pub restart: bool,
}

impl Reach for Server {
    fn connect(&self, cancelled: CancellationToken) -> BoxFuture<'_, Result<Arc<dyn Peer>>> {
        async move {
            let opening = Opening {
                cancelled,
                ..self.opening.clone()
            };
            let connected = connect(&self.target, &self.mode, &opening).await?;
            Ok(peer_of(Arc::new(connected.client)))
        }
        .boxed()
    }

    fn reconnects(&self) -> bool {
        self.restart || matches!(self.target, Target::Http { .. })
    }

    fn person(&self) -> Option<BoxFuture<'_, ()>> {
        match &self.target {
            Target::Http { settings, .. } => settings.authorizer.as_ref()?.person(),
            Target::Stdio(_) => None,
        }
    }
}

/// A client that has agreed with its server, as a connection.
pub(in crate::mcp) fn peer_of(client: Arc<Client>) -> Arc<dyn Peer> {
    Arc::new(Connected { client })
}

struct Connected {
    client: Arc<Client>,
}

impl Peer for Connected {
    fn request<'a>(
        &'a self,
        method: &'a str,
        params: Params,
        options: CallOptions,
    ) -> BoxFuture<'a, Result<RawJson>> {
        self.client.request(method, params, options).boxed()
    }

    fn notify<'a>(&'a self, method: &'a str, params: Option<RawJson>) -> BoxFuture<'a, Result<()>> {
        self.client.notify(method, params).boxed()
    }

    fn listen<'a>(&'a self, filter: &'a RawJson) -> BoxFuture<'a, Result<()>> {
        async move {
            let subscription = self.client.listen(filter, None).await?;
            // What it says is heard with everything else that the server says unasked.
            while subscription.next().await?.is_some() {}
            Ok(())
        }
        .boxed()
    }

    fn ended(&self) -> BoxFuture<'_, Error> {
        self.client.ended().boxed()
    }

    fn has_ended(&self) -> bool {
        self.client.has_ended()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.client.close().boxed()
    }

    fn client(&self) -> Option<Arc<Client>> {
        Some(Arc::clone(&self.client))
    }

    fn described(&self) -> RawJson {
        let agreed = self.client.agreed();
        agreed.map_or_else(|| RawJson::trusted("{}"), |agreed| agreed.described.clone())
    }

    fn may_repeat(&self, tool: &str) -> bool {
        self.client.catalogue().may_repeat(tool)
    }

    fn has_ping(&self) -> bool {
        self.client
            .agreed()
            .is_some_and(|agreed| agreed.era() == Era::Legacy)
    }
}
