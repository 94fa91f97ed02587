//! A real server as what a lasting connection is made of. Uses `client` and `connect`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
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
            let peer: Arc<dyn Peer> = Arc::new(Connected {
                client: connected.client,
                described: connected.described,
                repeatable: Mutex::default(),
            });
            Ok(peer)
        }
        .boxed()
    }

    fn reconnects(&self) -> bool {
        self.restart || matches!(self.target, Target::Http { .. })
    }
}

struct Connected {
    client: Client,
    described: RawJson,
    /// The tools that say that a second call of them does no harm.
    repeatable: Mutex<HashSet<String>>,
}

impl Connected {
    /// Reads a page of tools for what it says about repeating.
    fn hear_tools(&self, page: &RawJson) {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tools: Vec<Listed>,
        }
        #[derive(Deserialize)]
        struct Listed {
            name: String,
            #[serde(default)]
            annotations: Option<Hints>,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase")]
        struct Hints {
            #[serde(default)]
            read_only_hint: Option<bool>,
            #[serde(default)]
            idempotent_hint: Option<bool>,
        }
        let Ok(page) = serde_json::from_slice::<Page>(page.as_bytes()) else {
            return;
        };
        let mut repeatable = self
            .repeatable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for tool in page.tools {
            let hints = tool.annotations.unwrap_or_default();
            if hints.read_only_hint == Some(true) || hints.idempotent_hint == Some(true) {
                repeatable.insert(tool.name);
            } else {
                repeatable.remove(&tool.name);
            }
        }
    }
}

impl Peer for Connected {
    fn request<'a>(
        &'a self,
        method: &'a str,
        params: Params,
        options: CallOptions,
    ) -> BoxFuture<'a, Result<RawJson>> {
        async move {
            let answer = self.client.request(method, params, options).await?;
            if method == "tools/list" {
                self.hear_tools(&answer);
            }
            Ok(answer)
        }
        .boxed()
    }

    fn notify<'a>(&'a self, method: &'a str, params: Option<RawJson>) -> BoxFuture<'a, Result<()>> {
        self.client.notify(method, params).boxed()
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

    fn described(&self) -> RawJson {
        self.described.clone()
    }

    fn may_repeat(&self, tool: &str) -> bool {
        let repeatable = self
            .repeatable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        repeatable.contains(tool)
    }

    fn has_ping(&self) -> bool {
        self.client
            .agreed()
            .is_some_and(|agreed| agreed.era() == Era::Legacy)
    }
}
