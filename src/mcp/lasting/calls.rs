//! The calls of a lasting connection: each waits for a connection within its own time, and is sent
//! again where that cannot do harm.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::memory::{self, only_reads, tool_of};
use super::{Lasting, Order, Peer, Status};
use crate::error::{Error, ErrorKind, Loss, Result};
use crate::json::RawJson;
use crate::mcp::client::{Client, Subscription};
use crate::mcp::session::{CallOptions, Params};

/// How often one call is sent again.
const MAXIMUM_REPEATS: u32 = 5;

impl Lasting {
    /// Sends a request over the connection that there is, or the next one, and waits for its answer.
    ///
    /// A request whose connection is lost is sent again if it only reads, if the tool that it calls
    /// says that a second call does no harm, or if it never left.
    ///
    /// # Errors
    /// `ConnectionClosed` if the outcome is unknown; `McpTimeout` if the time was over first, waiting
    /// for a connection included; else what the server or the transport said.
    pub async fn request(
        &self,
        method: &str,
        params: Params,
        options: CallOptions,
    ) -> Result<RawJson> {
        let mut call = self.begin(options.timeout);
        loop {
            let (peer, generation) = self.ready(method, &mut call).await?;
            let attempt = CallOptions {
                timeout: call.left(),
                has_servers_timeout: options.timeout.is_none(),
                ..options.clone()
            };
            let failure = match peer.request(method, params.clone(), attempt).await {
                Ok(answer) => {
                    self.memory.answered(method, &params);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let may_repeat = || {
                only_reads(method)
                    || (method == "tools/call"
                        && tool_of(&params).is_some_and(|tool| peer.may_repeat(&tool)))
            };
            self.lost(&mut call, method, generation, failure, may_repeat)
                .await?;
        }
    }

    /// The client of the connection that there is, or the next one.
    pub(in crate::mcp) async fn reached(&self, what: &str) -> Result<Arc<Client>> {
        let (peer, _) = self.ready(what, &mut self.begin(None)).await?;
        client_of(&peer)
    }

    /// Waits for the result of a task, over as many connections as it takes; `created` is what the
    /// server said of it last. The time limit is that of each request about it.
    ///
    /// # Errors
    /// As for a request.
    pub async fn finish_task(
        &self,
        tool: Option<&str>,
        created: RawJson,
        options: &CallOptions,
    ) -> Result<RawJson> {
        let what = "the question about a task";
        let mut repeats = 0;
        loop {
            let mut call = self.begin(options.timeout);
            call.repeats = repeats;
            let (peer, generation) = self.ready(what, &mut call).await?;
            let client = client_of(&peer)?;
            let outcome = client.task_result(tool, created.clone(), options).await;
            let Err(failure) = outcome else {
                return outcome;
            };
            call.deadline = None;
            // What is asked is how the task stands.
            self.lost(&mut call, what, generation, failure, || true)
                .await?;
            repeats = call.repeats;
        }
    }

    /// Subscribes over the connection that there is, or the next one. The subscription ends with its
    /// connection.
    ///
    /// # Errors
    /// As for a request.
    pub async fn subscribe(
        &self,
        filter: &RawJson,
        limit: Option<Duration>,
    ) -> Result<Subscription> {
        let method = "subscriptions/listen";
        let mut call = self.begin(limit);
        loop {
            let (peer, generation) = self.ready(method, &mut call).await?;
            match client_of(&peer)?.listen(filter, call.left()).await {
                Ok(subscription) => return Ok(subscription),
                Err(failure) => {
                    self.lost(&mut call, method, generation, failure, || true)
                        .await?;
                }
            }
        }
    }

    /// Sends a notification over the connection that there is, or the next one.
    ///
    /// # Errors
    /// As for a request.
    pub async fn notify(&self, method: &str, params: Option<RawJson>) -> Result<()> {
        let mut call = self.begin(None);
        loop {
            let (peer, generation) = self.ready(method, &mut call).await?;
            match peer.notify(method, params.clone()).await {
                Err(failure) if loss_of(&failure).is_some_and(Loss::leaves_nothing_done) => {
                    self.lost(&mut call, method, generation, failure, || true)
                        .await?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Asks the connection that there is for the notifications that the filter names, and waits
    /// until they come no more. It is no call: it neither connects nor keeps a connection from being
    /// idle.
    ///
    /// # Errors
    /// There is no connection, the server refused, or the notifications were cut off.
    pub async fn listen(&self, filter: &RawJson) -> Result<()> {
        let (peer, generation) = {
            let state = self.state.borrow();
            (state.peer.clone(), state.generation)
        };
        let Some(peer) = peer else {
            return Err(self.is_lost("subscriptions/listen", self.last_error().as_ref()));
        };
        let Err(failure) = peer.listen(filter).await else {
            return Ok(());
        };
        if loss_of(&failure).is_some_and(Loss::leaves_nothing_done) {
            let failure = Arc::new(failure);
            let order = Order::Unreachable(generation, Arc::clone(&failure));
            // As for a call.
            let _ = self.orders.try_send(order);
            return Err(Error::clone(&failure));
        }
        Err(failure)
    }

    fn begin(&self, limit: Option<Duration>) -> Call<'_> {
        let limit = limit.or(self.endurance.request_timeout);
        Call {
            _counted: self.memory.begin(),
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
            limit,
            has_waited: false,
            was_forgotten: false,
            repeats: 0,
        }
    }

    /// The connection, waited for if there is none.
    async fn ready(&self, method: &str, call: &mut Call<'_>) -> Result<(Arc<dyn Peer>, u64)> {
        if let Some(found) = self.state.borrow().in_force() {
            return Ok(found);
        }
        call.has_waited = true;
        let mut state = self.state.clone();
        let attempts = state.borrow().attempts;
        let mut has_asked = false;
        loop {
            {
                let now = state.borrow_and_update();
                if let Some(found) = now.in_force() {
                    return Ok(found);
                }
                match now.status {
                    Status::Closed => return Err(self.is_closed(method)),
                    // One attempt more, where one may help.
                    Status::Failed
                        if !self.reconnects || (has_asked && now.attempts > attempts) =>
                    {
                        return Err(self.is_lost(method, now.last_error.as_ref()));
                    }
                    _ => {}
                }
            }
            if !has_asked {
                has_asked = true;
                // As for a call that finds nobody.
                let _ = self.orders.try_send(Order::Wake);
            }
            let changed = async {
                match call.deadline {
                    Some(deadline) => tokio::time::timeout_at(deadline, state.changed()).await,
                    None => Ok(state.changed().await),
                }
            };
            match changed.await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(self.is_closed(method)),
                Err(_) => return Err(self.still_lost(method, call.limit.unwrap_or_default())),
            }
        }
    }

    /// Takes note of a failed call and waits until it may be sent again; the error is what becomes of
    /// it if it may not.
    async fn lost(
        &self,
        call: &mut Call<'_>,
        method: &str,
        generation: u64,
        failure: Error,
        may_repeat: impl FnOnce() -> bool + Send,
    ) -> Result<()> {
        let Some(loss) = loss_of(&failure) else {
            return Err(failure);
        };
        let may_repeat = loss.leaves_nothing_done() || may_repeat();
        let failure = Arc::new(failure);
        // In a session that was made for it, it is the call that the server does not know.
        let is_refused = loss == Loss::Forgotten && call.was_forgotten;
        call.was_forgotten |= loss == Loss::Forgotten;
        if loss.leaves_nothing_done() {
            let order = Order::Unreachable(generation, Arc::clone(&failure));
            // A queue that is full holds the same order already.
            let _ = self.orders.try_send(order);
        }
        if !may_repeat {
            return Err(self.unknown_outcome(method, &failure));
        }
        // The caller has waited for as long as the transport allows; once is enough.
        if loss == Loss::Silent
            || is_refused
            || call.repeats == MAXIMUM_REPEATS
            || self.status() == Status::Closed
        {
            return Err(Error::clone(&failure));
        }
        call.has_waited = true;
        call.repeats += 1;
        let left_behind = self.left_behind(generation, loss);
        let Some(deadline) = call.deadline else {
            left_behind.await;
            return Ok(());
        };
        tokio::time::timeout_at(deadline, left_behind)
            .await
            .map_err(|_| Error::clone(&failure))
    }

    /// Waits until the connection that failed a call is known to be gone, or for a moment if it is
    /// not: a single exchange of it may have broken.
    async fn left_behind(&self, generation: u64, loss: Loss) {
        let mut state = self.state.clone();
        let gone = state.wait_for(|state| {
            state.generation != generation
                || state.status != Status::Ready
                || state.peer.as_ref().is_none_or(|peer| peer.has_ended())
        });
        let patience = match loss {
            Loss::Unsent | Loss::Forgotten => self.endurance.longest_wait,
            Loss::Broken | Loss::Silent => self.endurance.first_wait,
        };
        // Whether it is gone or not, the next attempt finds out.
        let _ = tokio::time::timeout(patience, gone).await;
    }

    pub(super) fn is_closed(&self, method: &str) -> Error {
        Error::new(
            ErrorKind::ConnectionClosed,
            format!(
                "the connection to the MCP server `{}` was closed, so {method} was not sent",
                self.name
            ),
        )
    }

    fn is_lost(&self, method: &str, cause: Option<&Arc<Error>>) -> Error {
        let why = cause.map_or_else(String::new, |cause| format!(": {}", cause.message()));
        let error = Error::new(
            cause.map_or(ErrorKind::ConnectionClosed, |cause| cause.kind()),
            format!(
                "the MCP server `{}` is not connected, so {method} was not sent{why}",
                self.name
            ),
        );
        match cause {
            Some(cause) => error
                .with_context(cause.context().clone())
                .with_source(Error::clone(cause)),
            None => error,
        }
    }

    fn still_lost(&self, method: &str, limit: Duration) -> Error {
        let state = self.state.borrow();
        let why = match &state.last_error {
            Some(cause) => format!(": {}", cause.message()),
            None => String::new(),
        };
        Error::new(
            ErrorKind::McpTimeout,
            format!(
                "the MCP server `{}` was {} for the {} s that {method} could wait, so it was not \
                 sent{why}",
                self.name,
                state.status.name(),
                limit.as_secs_f64()
            ),
        )
    }

    fn unknown_outcome(&self, method: &str, cause: &Arc<Error>) -> Error {
        Error::new(
            ErrorKind::ConnectionClosed,
            format!(
                "the connection to the MCP server `{}` was lost while {method} was under way, so its \
                 outcome is unknown: it may have been carried out. It is not repeated, because the \
                 tool does not say that it is idempotent or only reads: {}",
                self.name,
                cause.message()
            ),
        )
        .with_context(cause.context().clone())
        .with_source(Error::clone(cause))
    }
}

/// One call on its way to an answer.
struct Call<'a> {
    /// Keeps the connection from being idle.
    _counted: memory::Call<'a>,
    deadline: Option<Instant>,
    limit: Option<Duration>,
    /// For a connection, so that less than the limit is left.
    has_waited: bool,
    /// A session was lost with it already.
    was_forgotten: bool,
    /// How often it was sent again.
    repeats: u32,
}

impl Call<'_> {
    fn left(&self) -> Option<Duration> {
        if !self.has_waited {
            return self.limit;
        }
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

fn client_of(peer: &Arc<dyn Peer>) -> Result<Arc<Client>> {
    peer.client().ok_or_else(|| {
        let message = "this connection takes requests and nothing else";
        Error::new(ErrorKind::Internal, message)
    })
}

/// How the connection under a call was lost; none if the call failed for a reason of its own.
fn loss_of(failure: &Error) -> Option<Loss> {
    match failure.kind() {
        ErrorKind::ConnectionClosed => Some(failure.context().loss.unwrap_or(Loss::Broken)),
        ErrorKind::Transport => failure.context().loss,
        _ => None,
    }
}
