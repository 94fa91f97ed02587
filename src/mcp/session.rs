//! A client session over any transport: raw requests out, raw answers in, with time limits,
//! progress and cancellation. Uses `wire`, `json`, `error` and rmcp; knows no transport by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderMap;
use rmcp::ErrorData;
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientConfig, ClientNotification,
    ClientRequest, ClientResult, CustomNotification, CustomRequest, CustomResult, ErrorCode,
    RequestId, ServerNotification, ServerRequest, ServerResult,
};
use rmcp::service::{
    NotificationContext, Peer, PeerRequestOptions, RequestContext, RoleClient, RunningService,
    Service, ServiceError, serve_directly,
};
use rmcp::transport::Transport;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::client::cache::CacheMode;
pub use crate::mcp::link::{
    Ending, Events, Link, PeerAnswer, PeerError, ProgressLease, ProgressListener,
    SubscriptionListener,
};
use crate::mcp::transport::http::snippet;
use crate::mcp::wire::{
    DROPPED_CODE, IncomingParams, Outgoing, Stateless, Undelivered, carried, kind_named, loss_named,
};

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// A JSON object without `_meta`; none leaves `params` out.
    pub object: Option<RawJson>,
    /// The caller's `_meta`, a JSON object.
    pub meta: Option<RawJson>,
}

/// How one request is made.
#[derive(Clone, Default)]
pub struct CallOptions {
    /// How long to wait for the answer; none waits for as long as the connection lives.
    pub timeout: Option<Duration>,
    /// Whether that limit is in the configuration of the server; else the caller gave it.
    pub has_servers_timeout: bool,
    /// How long to wait for the end of a task that the call became; none waits for as long as the
    /// server keeps it.
    pub task_timeout: Option<Duration>,
    /// Who hears the progress.
    pub progress: Option<ProgressListener>,
    /// Whether an answer that asks for input is handed out instead of being answered.
    pub allow_input_required: bool,
    /// Sent with this request alone, where the transport is HTTP.
    pub headers: HeaderMap,
    /// What the call does with the results that are kept.
    pub cache: CacheMode,
    /// Whether a task that a call became is handed out instead of being waited for.
    pub hands_out_task: bool,
    /// Who hears the states of a task that is waited for.
    pub task_status: Option<ProgressListener>,
    /// Keeps the progress of a call that became a task.
    pub progress_lease: Option<Arc<ProgressLease>>,
    /// Whether the parameters go out as they are, with their `_meta`, and the answer comes back as it
    /// is: nothing of them is looked after here but the token of the progress.
    pub verbatim: bool,
    /// Who hears what the server says on the stream of this request, where the transport has one,
    /// instead of whoever hears everything else.
    pub related: Option<Arc<dyn Events>>,
    /// Who hears the notifications of the subscription that the request opens.
    pub subscriber: Option<SubscriptionListener>,
}

impl std::fmt::Debug for CallOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CallOptions")
            .field("timeout", &self.timeout)
            .field("progress", &self.progress.is_some())
            .field("allow_input_required", &self.allow_input_required)
            // Their values may be what a tool was called with.
            .field("headers", &self.headers.len())
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// How many requests of the peer are handled at once; those beyond are refused. Each is a task and
/// maybe a question to a person.
const MAXIMUM_HANDLED: usize = 256;

/// rmcp's side of the session: it hears what the transport did not route itself.
struct Handler {
    link: Arc<Link>,
    handled: AtomicUsize,
}

/// One request that is being handled, until it is dropped.
struct Handled<'a>(&'a AtomicUsize);

impl Drop for Handled<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handler {
    fn begin(&self) -> Option<Handled<'_>> {
        let begun = Handled(&self.handled);
        (self.handled.fetch_add(1, Ordering::Relaxed) < MAXIMUM_HANDLED).then_some(begun)
    }
}

impl Service<RoleClient> for Handler {
    async fn handle_request(
        &self,
        request: ServerRequest,
        context: RequestContext<RoleClient>,
    ) -> Result<ClientResult, ErrorData> {
        let ServerRequest::CustomRequest(request) = request else {
            return Err(to_rmcp(PeerError::method_not_found("a typed request")));
        };
        if request.method == "ping" {
            return Ok(ClientResult::empty(()));
        }
        if self.link.has_ended() {
            // Whoever asked is gone, and a user who is asked now would answer nobody.
            return Err(to_rmcp(PeerError::unanswered(&request.method)));
        }
        let Some(_handled) = self.begin() else {
            return Err(to_rmcp(PeerError::too_many(
                &request.method,
                MAXIMUM_HANDLED,
            )));
        };
        let came = context.extensions.get::<IncomingParams>();
        let params = came.and_then(|came| came.params.clone());
        let related = came
            .and_then(|came| came.origin.as_ref())
            .and_then(|origin| self.link.related(origin));
        let Some(events) = related.or_else(|| self.link.events().cloned()) else {
            return Err(to_rmcp(PeerError::method_not_found(&request.method)));
        };
        let answer = events.request(&request.method, params);
        tokio::select! {
            outcome = answer => {
                let raw = outcome.map_err(to_rmcp)?;
                Ok(ClientResult::CustomResult(CustomResult::new(carried(&raw))))
            }
            () = self.link.ended() => Err(to_rmcp(PeerError::unanswered(&request.method))),
            () = context.ct.cancelled() => {
                Err(ErrorData::internal_error("the request was cancelled by its sender", None))
            }
        }
    }

    async fn handle_notification(
        &self,
        _notification: ServerNotification,
        _context: NotificationContext<RoleClient>,
    ) -> Result<(), ErrorData> {
        // Only cancellations come this way, and rmcp's loop has already acted on them.
        Ok(())
    }

    fn get_info(&self) -> ClientConfig {
        ClientConfig::default()
    }
}

fn to_rmcp(error: PeerError) -> ErrorData {
    let data = error.data.and_then(|data| data.to_value().ok());
    ErrorData::new(ErrorCode(error.code), error.message, data)
}

/// A session with one MCP server.
pub struct Session {
    peer: Peer<RoleClient>,
    running: tokio::sync::Mutex<Option<RunningService<RoleClient, Handler>>>,
    link: Arc<Link>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Session")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Starts the service loop over an open transport. Nothing is sent yet: the lifecycle is the
    /// caller's, as plain requests, so that every answer of it is kept whole.
    ///
    /// Must be called inside the runtime.
    pub fn start<T>(transport: T, link: Arc<Link>) -> Self
    where
        T: Transport<RoleClient> + 'static,
    {
        let running = serve_directly::<RoleClient, _, _, T::Error, _>(
            Handler {
                link: Arc::clone(&link),
                handled: AtomicUsize::new(0),
            },
            transport,
            None,
        );
        Self {
            peer: running.peer().clone(),
            running: tokio::sync::Mutex::new(Some(running)),
            link,
        }
    }

    /// Sends a request and waits for its answer, the text of the result.
    ///
    /// Dropping the future tells the peer that the answer is no longer wanted.
    pub async fn request(
        &self,
        method: &str,
        params: Params,
        options: CallOptions,
    ) -> Result<RawJson> {
        self.send(method, params, options, None).await
    }

    /// As [`Session::request`], for a request that belongs to no session.
    pub(crate) async fn send(
        &self,
        method: &str,
        params: Params,
        options: CallOptions,
        stateless: Option<Stateless>,
    ) -> Result<RawJson> {
        if self.link.has_ended() {
            return Err(self.link.closed(method));
        }
        let is_subscription = stateless
            .as_ref()
            .is_some_and(|stateless| stateless.subscriber.is_some());
        let mut custom = CustomRequest::new(method, None);
        custom.extensions.insert(Outgoing {
            params: params.object,
            meta: params.meta,
            progress: options.progress.clone(),
            headers: options.headers,
            stateless,
            verbatim: options.verbatim,
            related: options.related.clone(),
        });
        let sending = self.peer.send_request_with_option(
            ClientRequest::CustomRequest(custom),
            PeerRequestOptions::no_options(),
        );
        let mut handle = match sending.await {
            Ok(handle) => handle,
            Err(failure) => return Err(self.failure(method, failure).await),
        };
        let mut guard = CallGuard {
            session: self,
            id: Some(handle.id.clone()),
            progress: options
                .progress
                .map(|_| handle.progress_token.0.to_string())
                .filter(|token| match &options.progress_lease {
                    Some(lease) => {
                        lease.hold(&self.link, token);
                        false
                    }
                    None => true,
                }),
            subscription: is_subscription.then(|| handle.id.to_string()),
            related: options.related.is_some().then(|| handle.id.clone()),
            // The specification forbids to cancel `initialize`, and a server that does not know
            // `server/discover` takes nothing but `initialize` after it.
            cancellable: !matches!(method, "initialize" | "server/discover"),
        };
        let expired = async {
            match options.timeout {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            answer = &mut handle.rx => answer.unwrap_or(Err(ServiceError::TransportClosed)),
            () = self.link.ended() => {
                guard.id = None;
                return Err(self.link.closed(method));
            }
            () = expired => {
                let limit = options.timeout.unwrap_or_default();
                let setting = if options.has_servers_timeout {
                    "`timeout` of the server"
                } else {
                    "read_timeout_seconds"
                };
                return Err(Error::new(
                    ErrorKind::McpTimeout,
                    format!(
                        "the MCP server did not answer {method} within {} s; the request was \
                         cancelled. Give it more time with {setting}",
                        limit.as_secs_f64()
                    ),
                )
                .map_context(|context| context.rpc_code = Some(REQUEST_TIMEOUT_CODE)));
            }
        };
        guard.id = None;
        match outcome {
            Ok(ServerResult::CustomResult(CustomResult(Value::String(text)))) => {
                Ok(RawJson::trusted(text))
            }
            Ok(_) => Err(Error::new(
                ErrorKind::Internal,
                "the transport handed over an answer that is not raw text",
            )),
            Err(failure) => Err(self.failure(method, failure).await),
        }
    }

    /// Sends a notification.
    pub async fn notify(&self, method: &str, params: Option<RawJson>) -> Result<()> {
        if self.link.has_ended() {
            return Err(self.link.closed(method));
        }
        // rmcp writes a notification without parameters as `"params": null`.
        let value = match params {
            Some(raw) => carried(&raw),
            None => Value::Object(serde_json::Map::new()),
        };
        let notification =
            ClientNotification::CustomNotification(CustomNotification::new(method, Some(value)));
        match self.peer.send_notification(notification).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(self.failure(method, failure).await),
        }
    }

    /// Waits for the end of the connection, whoever ends it; the error says why.
    pub(crate) async fn ended(&self) -> Error {
        self.link.ended().await;
        self.link.closed("what was asked of it")
    }

    /// Whether the connection is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.link.has_ended()
    }

    /// Ends the session and its transport; every waiting call gets a `ConnectionClosed` error.
    /// Closing a closed session does nothing.
    pub async fn close(&self) {
        let running = self.running.lock().await.take();
        self.link.end(Ending {
            what: "the MCP session was closed".to_owned(),
            last_lines: String::new(),
        });
        if let Some(running) = running {
            // The loop's own panic is all that could come back, and nobody waits for it any more.
            let _ = running.cancel().await;
        }
    }

    async fn failure(&self, method: &str, failure: ServiceError) -> Error {
        match failure {
            ServiceError::McpError(answer) => peer_error(method, &answer),
            ServiceError::TransportSend(cause) => {
                if let Some(reason) = undelivered(cause.error.as_ref()) {
                    return error_of_text(method, &reason.text());
                }
                // A pipe breaks before the reason is known: the transport is about to tell it.
                let ended = self.link.ended();
                if tokio::time::timeout(REASON_PATIENCE, ended).await.is_ok() {
                    return self.link.closed(method);
                }
                Error::new(ErrorKind::Transport, format!("{method} could not be sent"))
                    .with_source(cause)
            }
            ServiceError::TransportClosed => self.link.closed(method),
            other => {
                Error::new(ErrorKind::Transport, format!("{method} failed")).with_source(other)
            }
        }
    }
}

/// How long a message that could not be sent waits for the end of its connection.
const REASON_PATIENCE: Duration = Duration::from_secs(2);

/// The code that the official SDKs give a request that was not answered in time.
pub(crate) const REQUEST_TIMEOUT_CODE: i64 = -32_001;

/// The error of an error answer, whose whole text travels in `data`.
fn peer_error(method: &str, answer: &ErrorData) -> Error {
    let text = answer.data.as_ref().and_then(Value::as_str);
    error_of_text(method, text.unwrap_or_default())
}

/// Why a transport that knows the reason could not send.
fn undelivered<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a Undelivered> {
    let outer = cause.downcast_ref::<std::io::Error>()?;
    outer.get_ref()?.downcast_ref()
}

fn error_of_text(method: &str, text: &str) -> Error {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(default)]
        code: Option<i64>,
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        loss: Option<String>,
        #[serde(borrow, default)]
        data: Option<&'a serde_json::value::RawValue>,
        #[serde(default)]
        kind: Option<String>,
    }
    let Ok(wire) = serde_json::from_str::<Wire<'_>>(text) else {
        return Error::new(
            ErrorKind::Mcp,
            format!(
                "the MCP server answered {method} with an error that is not one: {}",
                snippet(text)
            ),
        );
    };
    let kind = match wire.code {
        Some(DROPPED_CODE) => wire
            .kind
            .and_then(|name| kind_named(&name))
            .unwrap_or(ErrorKind::Transport),
        _ => ErrorKind::Mcp,
    };
    let message = wire
        .message
        .unwrap_or_else(|| format!("the MCP server refused {method} without a reason"));
    Error::new(kind, message).map_context(|context| {
        // A closed connection is no answer of anybody's.
        context.rpc_code = wire.code.filter(|_| kind != ErrorKind::ConnectionClosed);
        if kind != ErrorKind::Mcp {
            context.status = wire.data.and_then(|data| status_of(data.get()));
            context.loss = wire.loss.as_deref().and_then(loss_named);
        }
        context.rpc_data = wire.data.map(|data| data.get().to_owned());
        context.body = Some(text.to_owned());
    })
}

fn status_of(data: &str) -> Option<u16> {
    #[derive(Deserialize)]
    struct Data {
        status: u16,
    }
    serde_json::from_str::<Data>(data)
        .ok()
        .map(|data| data.status)
}

/// Cleans up after a call, however it ends: a call that was given up is cancelled at the peer.
struct CallGuard<'a> {
    session: &'a Session,
    id: Option<RequestId>,
    progress: Option<String>,
    subscription: Option<String>,
    /// The request whose stream somebody hears.
    related: Option<RequestId>,
    cancellable: bool,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        if let Some(token) = &self.progress {
            self.session.link.forget_progress(token);
        }
        if let Some(id) = &self.subscription {
            self.session.link.forget_subscription(id);
        }
        if let Some(id) = &self.related {
            self.session.link.forget_related(id);
        }
        let Some(id) = self.id.take() else { return };
        if !self.cancellable {
            return;
        }
        let peer = self.session.peer.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            let params = CancelledNotificationParam::new(
                Some(id),
                Some("the caller no longer waits for the answer".to_owned()),
            );
            // A connection that is gone has nobody to tell.
            let _ = peer
                .send_notification(CancelledNotification::new(params).into())
                .await;
        });
    }
}
