//! One client of the gateway: what it said of itself, where it hears what it did not ask for, and
//! what it was asked. Owns [`Client`], [`Described`] and [`Outlet`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::oneshot;

use super::message::unasked;
use super::scope::Scope;
use crate::gateway::access::Caller;
use crate::json::RawJson;
use crate::mcp::PeerError;
use crate::mcp::client::MODERN_VERSIONS;

/// Where messages to a client go: the stream of one request of its, or one that belongs to none.
pub(super) trait Outlet: Send + Sync {
    /// Sends the text of a message; false if nobody can hear it any more.
    fn send(&self, message: Bytes) -> bool;
}

/// What a client was asked and has not answered.
type Waiting = HashMap<u64, oneshot::Sender<Result<RawJson, RawJson>>>;

/// How many questions one client may have before it.
const MAXIMUM_WAITING: usize = 1_000;

/// Tells clients apart.
static NEXT_CLIENT: AtomicU64 = AtomicU64::new(1);

/// A client.
pub(super) struct Client {
    /// What tells it from every other client of this process.
    pub(super) number: u64,
    /// Who it is, for what it may use.
    pub(super) caller: Caller,
    /// The servers that it came for.
    pub(super) scope: Scope,
    /// What it said of itself when it began.
    described: RwLock<Arc<Described>>,
    /// Where it hears what belongs to no request; none while it does not listen.
    unasked: Mutex<Option<Arc<dyn Outlet>>>,
    waiting: Mutex<Waiting>,
    next_id: AtomicU64,
}

/// What a client said of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Described {
    /// The revision that was agreed on with it.
    pub(super) version: String,
    /// Its capabilities, a JSON object.
    pub(super) capabilities: Option<RawJson>,
    /// Its name and version, a JSON object.
    pub(super) info: Option<RawJson>,
}

impl Described {
    /// Whether its revision has no handshake.
    pub(super) fn is_modern(&self) -> bool {
        MODERN_VERSIONS.contains(&self.version.as_str())
    }

    /// What servers may ask it for.
    pub(super) fn abilities(&self) -> Abilities {
        let capabilities = self.capabilities.as_ref();
        capabilities
            .and_then(|text| serde_json::from_slice(text.as_bytes()).ok())
            .unwrap_or_default()
    }
}

/// What servers may ask a client for.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Abilities {
    #[serde(default, deserialize_with = "is_there")]
    pub(super) sampling: bool,
    #[serde(default, deserialize_with = "is_there")]
    pub(super) elicitation: bool,
    #[serde(default, deserialize_with = "is_there")]
    pub(super) roots: bool,
}

impl Abilities {
    /// Whether there is anything at all.
    pub(super) fn any(self) -> bool {
        self.sampling || self.elicitation || self.roots
    }
}

fn is_there<'de, D: serde::Deserializer<'de>>(text: D) -> Result<bool, D::Error> {
    Option::<IgnoredAny>::deserialize(text).map(|found| found.is_some())
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("caller", &self.caller)
            .field("version", &self.described().version)
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(caller: Caller, scope: Scope, described: Described) -> Self {
        Self {
            number: NEXT_CLIENT.fetch_add(1, Ordering::Relaxed),
            caller,
            scope,
            described: RwLock::new(Arc::new(described)),
            unasked: Mutex::default(),
            waiting: Mutex::default(),
            next_id: AtomicU64::new(1),
        }
    }

    /// What it said of itself.
    pub(super) fn described(&self) -> Arc<Described> {
        Arc::clone(
            &self
                .described
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The client introduces itself after its stream was opened, as those of HTTP+SSE do.
    pub(super) fn introduce(&self, described: Arc<Described>) {
        *self
            .described
            .write()
            .unwrap_or_else(PoisonError::into_inner) = described;
    }

    /// From now on the client hears there what belongs to no request.
    pub(super) fn listen(&self, outlet: Arc<dyn Outlet>) {
        *self.unasked.lock().unwrap_or_else(PoisonError::into_inner) = Some(outlet);
    }

    /// Where it hears what belongs to no request.
    fn open_outlet(&self) -> Option<Arc<dyn Outlet>> {
        self.unasked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether it lasts longer than a request, so that it can be asked and told.
    pub(super) fn has_session(&self) -> bool {
        self.open_outlet().is_some()
    }

    /// Sends what belongs to no request; lost while the client does not listen.
    pub(super) fn tell(&self, method: &str, params: Option<&RawJson>) -> bool {
        self.open_outlet()
            .is_some_and(|outlet| outlet.send(unasked(None, method, params)))
    }

    /// Asks the client and waits for its answer; where the stream of the request is closed, on the one
    /// that belongs to none. Dropping the future takes the question back.
    pub(super) async fn ask(
        &self,
        outlet: Option<&Arc<dyn Outlet>>,
        method: &str,
        params: Option<&RawJson>,
    ) -> Result<RawJson, PeerError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MAXIMUM_WAITING {
                return Err(PeerError::unanswered(method));
            }
            waiting.insert(id, sender);
        }
        let mut asked = Asked {
            client: self,
            id,
            heard: None,
        };
        let outlets = outlet.cloned().into_iter().chain(self.open_outlet());
        for outlet in outlets {
            if outlet.send(unasked(Some(id), method, params)) {
                asked.heard = Some(outlet);
                break;
            }
        }
        if asked.heard.is_none() {
            return Err(PeerError::unanswered(method));
        }
        match receiver.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(peer_error(&error)),
            Err(_) => Err(PeerError::unanswered(method)),
        }
    }

    /// The client answers; false if it was not asked.
    pub(super) fn answered(&self, id: &RawJson, outcome: Result<RawJson, RawJson>) -> bool {
        let id: Option<u64> = serde_json::from_slice(id.as_bytes()).ok();
        let sender = id.and_then(|id| {
            self.waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&id)
        });
        sender.is_some_and(|sender| sender.send(outcome).is_ok())
    }
}

/// A question that is not answered yet.
struct Asked<'a> {
    client: &'a Client,
    id: u64,
    /// Where the client heard it.
    heard: Option<Arc<dyn Outlet>>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut waiting = self
            .client
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_open = waiting.remove(&self.id).is_some();
        drop(waiting);
        if is_open && let Some(outlet) = &self.heard {
            let params = RawJson::trusted(format!("{{\"requestId\":{}}}", self.id));
            outlet.send(unasked(None, "notifications/cancelled", Some(&params)));
        }
    }
}

fn peer_error(error: &RawJson) -> PeerError {
    #[derive(Deserialize)]
    struct Wire<'a> {
        code: i32,
        message: String,
        #[serde(borrow, default)]
        data: Option<&'a serde_json::value::RawValue>,
    }
    match serde_json::from_slice::<Wire<'_>>(error.as_bytes()) {
        Ok(wire) => PeerError {
            code: wire.code,
            message: wire.message,
            data: wire
                .data
                .map(|data| RawJson::trusted(data.get().to_owned())),
        },
        Err(_) => PeerError::invalid_params(
            "the client answered with an error that is not one".to_owned(),
        ),
    }
}
