//! What a session and its transport share: who hears what the peer says unasked, the listeners of
//! single requests, and the end of the connection. Uses `json`, `error` and rmcp.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rmcp::model::{ErrorCode, RequestId};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::backlog::Backlog;
use crate::mcp::wire::SUBSCRIPTION_TORN_DOWN;

/// Called with the parameters of each progress notification of one request, in wire order.
pub type ProgressListener = Arc<dyn Fn(RawJson) + Send + Sync>;

/// Called with the method and the parameters of each notification of one subscription, in wire
/// order.
pub type SubscriptionListener = Arc<dyn Fn(&str, &RawJson) + Send + Sync>;

/// What a listener of [`Events::request`] gives back later.
pub type PeerAnswer = Pin<Box<dyn Future<Output = Result<RawJson, PeerError>> + Send>>;

/// A JSON-RPC error that is sent to the peer.
#[derive(Debug, Clone)]
pub struct PeerError {
    /// The JSON-RPC code.
    pub code: i32,
    /// The sentence.
    pub message: String,
    /// Anything more, as JSON.
    pub data: Option<RawJson>,
}

impl PeerError {
    /// The answer to a request whose handling was given up.
    pub fn unanswered(method: &str) -> Self {
        Self {
            code: ErrorCode::INTERNAL_ERROR.0,
            message: format!("this client gave up {method} before it had an answer"),
            data: None,
        }
    }

    /// The answer to a request beyond those that are handled at once.
    pub(crate) fn too_many(method: &str, limit: usize) -> Self {
        Self {
            code: ErrorCode::INTERNAL_ERROR.0,
            message: format!(
                "this client handles {limit} requests at once, and that many have no answer yet: \
                 {method} was refused; ask again when there are fewer"
            ),
            data: None,
        }
    }

    /// The answer to a request whose parameters cannot be used.
    pub fn invalid_params(message: String) -> Self {
        Self {
            code: ErrorCode::INVALID_PARAMS.0,
            message,
            data: None,
        }
    }

    /// The answer to a method that nobody here handles.
    pub fn method_not_found(method: &str) -> Self {
        Self {
            code: ErrorCode::METHOD_NOT_FOUND.0,
            message: format!("this client does not handle {method}"),
            data: None,
        }
    }
}

/// Who hears what the peer says unasked. Called in wire order and before the answers that follow on
/// the wire are handed out, so an implementation must not wait.
pub trait Events: Send + Sync + 'static {
    /// A notification other than the progress of a request and cancellations.
    fn notification(&self, method: &str, params: Option<RawJson>);
    /// Something that is not MCP; `preview` is the beginning of it.
    fn garbage(&self, preview: &str, reason: &str);
    /// A request of the peer other than `ping`.
    fn request(&self, method: &str, params: Option<RawJson>) -> PeerAnswer;
    /// What was heard and not taken yet, where that takes time: reading pauses while it is full.
    fn backlog(&self) -> Option<&Backlog> {
        None
    }
}

/// Why and how a connection ended, for the calls that it left waiting.
#[derive(Debug, Clone)]
pub struct Ending {
    /// A sentence part such as "the MCP server `git` ended with exit status 3".
    pub what: String,
    /// The last lines that the server wrote to its standard error, if any.
    pub last_lines: String,
}

/// Hears a notification and its parameters.
pub(crate) type Observer = Box<dyn Fn(&str, Option<&RawJson>) + Send + Sync>;

/// Keeps the listener of the progress of a request after its answer, until it is dropped.
#[derive(Debug, Default)]
pub struct ProgressLease(Mutex<Option<(Arc<Link>, String)>>);

impl ProgressLease {
    pub(crate) fn hold(&self, link: &Arc<Link>, token: &str) {
        let held = Some((Arc::clone(link), token.to_owned()));
        let before = std::mem::replace(
            &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            held,
        );
        if let Some((link, token)) = before {
            link.forget_progress(&token);
        }
    }
}

impl Drop for ProgressLease {
    fn drop(&mut self) {
        let held = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((link, token)) = held.take() {
            link.forget_progress(&token);
        }
    }
}

/// Shared by a session and its transport: progress listeners, and the end of the connection.
#[derive(Default)]
pub struct Link {
    progress: Mutex<HashMap<String, ProgressListener>>,
    /// With whether nobody else hears what belongs to one.
    subscriptions: Mutex<HashMap<String, (SubscriptionListener, bool)>>,
    related: Mutex<HashMap<RequestId, Arc<dyn Events>>>,
    events: OnceLock<Arc<dyn Events>>,
    observer: OnceLock<Observer>,
    ended: CancellationToken,
    ending: OnceLock<Ending>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Link")
            .field("ending", &self.ending.get())
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Who hears the notifications; the first call wins.
    pub fn listen(&self, events: Arc<dyn Events>) -> bool {
        self.events.set(events).is_ok()
    }

    /// Who hears each notification before everybody else; the first call wins.
    pub(crate) fn observe(&self, observer: Observer) {
        // A connection has one client.
        let _ = self.observer.set(observer);
    }

    pub(crate) fn events(&self) -> Option<&Arc<dyn Events>> {
        self.events.get()
    }

    fn backlog(&self) -> Option<&Backlog> {
        self.events.get().and_then(|events| events.backlog())
    }

    /// Whether nothing more should be read for the moment.
    pub(crate) fn is_congested(&self) -> bool {
        self.backlog().is_some_and(Backlog::is_full)
    }

    /// Waits for the end of that moment.
    pub(crate) async fn room(&self) {
        if let Some(backlog) = self.backlog() {
            backlog.room().await;
        }
    }

    /// Tells every waiting call that the connection is gone; the first reason stays.
    pub(crate) fn end(&self, ending: Ending) {
        // A second end of the same connection says nothing new.
        let _ = self.ending.set(ending);
        self.ended.cancel();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits for the end of the connection.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(crate) fn register_progress(&self, token: String, listener: ProgressListener) {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token, listener);
    }

    pub(crate) fn forget_progress(&self, token: &str) {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(token);
    }

    /// `id` is the id of the request that opened the subscription, as JSON text. What belongs to one
    /// that is `apart` is heard by its listener alone.
    pub(crate) fn register_subscription(
        &self,
        id: String,
        listener: SubscriptionListener,
        apart: bool,
    ) {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, (listener, apart));
    }

    pub(crate) fn forget_subscription(&self, id: &str) {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }

    /// Who hears what comes on the stream of a request.
    pub(crate) fn register_related(&self, id: RequestId, events: Arc<dyn Events>) {
        self.related
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, events);
    }

    pub(crate) fn forget_related(&self, id: &RequestId) {
        self.related
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }

    pub(crate) fn related(&self, id: &RequestId) -> Option<Arc<dyn Events>> {
        let related = self.related.lock().unwrap_or_else(PoisonError::into_inner);
        related.get(id).cloned()
    }

    /// Hands a notification to its listener: progress to the call, all else to the session, and
    /// what belongs to a subscription to that as well. `origin` is the request on whose stream it
    /// came.
    pub(crate) fn notification(
        &self,
        method: &str,
        params: Option<RawJson>,
        origin: Option<&RequestId>,
    ) {
        if method == "notifications/progress"
            && let Some(params) = &params
            && let Some(listener) = self.progress_listener(params)
        {
            listener(params.clone());
            return;
        }
        if let Some(observer) = self.observer.get() {
            observer(method, params.as_ref());
        }
        if let Some(params) = &params
            && let Some((listener, apart)) = self.subscription_listener(params)
        {
            listener(method, params);
            if apart {
                return;
            }
        } else if let Some(related) = origin.and_then(|origin| self.related(origin)) {
            related.notification(method, params);
            return;
        }
        if let Some(events) = self.events.get() {
            events.notification(method, params);
        }
    }

    /// The server takes a subscription back.
    pub(crate) fn subscription_torn_down(&self, id: &str) {
        let listeners = self
            .subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let listener = listeners.get(id).cloned();
        drop(listeners);
        if let Some((listener, _)) = listener {
            listener(SUBSCRIPTION_TORN_DOWN, &RawJson::trusted("{}"));
        }
    }

    fn subscription_listener(&self, params: &RawJson) -> Option<(SubscriptionListener, bool)> {
        #[derive(Deserialize)]
        struct Subscribed<'a> {
            #[serde(borrow, rename = "_meta")]
            meta: Subscription<'a>,
        }
        #[derive(Deserialize)]
        struct Subscription<'a> {
            #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
            id: &'a serde_json::value::RawValue,
        }
        let listeners = self
            .subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listeners.is_empty() {
            return None;
        }
        let subscribed: Subscribed<'_> = serde_json::from_slice(params.as_bytes()).ok()?;
        listeners.get(subscribed.meta.id.get()).cloned()
    }

    fn progress_listener(&self, params: &RawJson) -> Option<ProgressListener> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Progress<'a> {
            #[serde(borrow)]
            progress_token: &'a serde_json::value::RawValue,
        }
        let progress: Progress<'_> = serde_json::from_slice(params.as_bytes()).ok()?;
        let listeners = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.get(progress.progress_token.get()).cloned()
    }

    pub(crate) fn closed(&self, during: &str) -> Error {
        let (what, last_lines) = match self.ending.get() {
            Some(ending) => (ending.what.as_str(), ending.last_lines.as_str()),
            None => ("the MCP connection was closed", ""),
        };
        let mut message = format!("{what}, so {during} has no answer");
        if !last_lines.is_empty() {
            message.push_str("; the last lines of its standard error:\n");
            message.push_str(last_lines);
        }
        Error::new(ErrorKind::ConnectionClosed, message)
    }
}
