//! One client of the gateway: what it said of itself, where it hears what it did not ask for, and
//! what it was asked. Owns [`Client`] and [`Outlet`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::message::unasked;
use crate::gateway::access::Caller;
use crate::json::RawJson;
use crate::mcp::PeerError;

/// Where messages to a client go: the stream of one request of its, or one that belongs to none.
pub(super) trait Outlet: Send + Sync {
    /// Sends the text of a message; false if nobody can hear it any more.
    fn send(&self, message: Bytes) -> bool;
}

/// What a client was asked and has not answered.
type Waiting = HashMap<u64, oneshot::Sender<Result<RawJson, RawJson>>>;

/// A client.
pub(super) struct Client {
    /// Who it is, for what it may use.
    pub(super) caller: Caller,
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
    pub(super) fn new(caller: Caller, described: Described) -> Self {
        Self {
            caller,
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

    /// Sends what belongs to no request; lost while the client does not listen.
    pub(super) fn tell(&self, method: &str, params: Option<&RawJson>) -> bool {
        let outlet = self
            .unasked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        outlet.is_some_and(|outlet| outlet.send(unasked(None, method, params)))
    }

    /// Asks the client and waits for its answer. Dropping the future forgets the question.
    pub(super) async fn ask(
        &self,
        outlet: &dyn Outlet,
        method: &str,
        params: Option<&RawJson>,
    ) -> Result<RawJson, PeerError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, sender);
        let _forget = Forget(self, id);
        if !outlet.send(unasked(Some(id), method, params)) {
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

struct Forget<'a>(&'a Client, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.1);
    }
}

fn peer_error(error: &RawJson) -> PeerError {
    #[derive(serde::Deserialize)]
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
