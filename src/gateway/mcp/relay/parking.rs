//! A client without a handshake at a server with one: what the server asks becomes a result that wants
//! input, and the call waits until the client repeats its request with the answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::describe::completed;
use super::direct::own_level;
use super::sampled::Halves;
use super::seal::{Purpose, Seal, Ticket, state_of};
use super::splice::{member, named, progress_token, with_member, without_envelope};
use super::{Asked, traced};
use crate::error::Result;
use crate::gateway::mcp::client::{Abilities, Outlet};
use crate::gateway::mcp::message::{INTERNAL_ERROR, INVALID_PARAMS, RpcError, unasked};
use crate::gateway::mcp::upstream::{
    Asks, Lease, Level, Served, Upstream, is_allowed, is_sampled_here,
};
use crate::gateway::trace::Span;
use crate::json::RawJson;
use crate::mcp::{CallOptions, Params, PeerError};

/// How long a call waits for its client to come back.
pub(super) const PATIENCE: Duration = Duration::from_mins(5);
/// How many calls may wait.
const MAXIMUM_PARKED: usize = 1_000;
/// How many questions of one call may be open.
const MAXIMUM_WISHES: usize = 100;

/// The calls that wait for their clients.
#[derive(Debug)]
pub(super) struct Parking {
    seal: Seal,
    parked: Mutex<HashMap<Ticket, Parked>>,
    patience: Duration,
    /// Of clients whose servers have no handshake either: nothing waits but answers.
    pub(super) halves: Halves,
}

#[derive(Debug)]
struct Parked {
    call: Call,
    _leaving: AbortOnDropHandle<()>,
}

/// A call that is under way at a server; dropping it cancels it there.
#[derive(Debug)]
struct Call {
    work: AbortOnDropHandle<Result<RawJson, RpcError>>,
    wishes: mpsc::Receiver<Wish>,
    /// What was asked of the client and has no answer.
    open: BTreeMap<String, Wish>,
    asked: u64,
    stream: Arc<Stream>,
}

/// What a server asks.
#[derive(Debug)]
struct Wish {
    method: String,
    params: Option<RawJson>,
    answer: oneshot::Sender<RawJson>,
}

/// The stream of whichever request of the client drives the call now.
struct Stream(Mutex<Option<Present>>);

struct Present {
    outlet: Arc<dyn Outlet>,
    token: Option<RawJson>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Stream")
    }
}

impl Stream {
    fn begin(&self, asked: &Asked<'_>) {
        *lock(&self.0) = Some(Present {
            outlet: Arc::clone(asked.outlet),
            token: asked.params.as_ref().and_then(progress_token),
        });
    }

    fn progress(&self, params: &RawJson) {
        let present = lock(&self.0);
        let Some(Present {
            outlet,
            token: Some(token),
        }) = &*present
        else {
            return;
        };
        let token = String::from_utf8_lossy(token.as_bytes());
        let told = with_member(params, "progressToken", &token);
        outlet.send(unasked(None, "notifications/progress", Some(&told)));
    }
}

impl Outlet for Stream {
    fn send(&self, message: Bytes) -> bool {
        let present = lock(&self.0);
        present
            .as_ref()
            .is_some_and(|present| present.outlet.send(message))
    }
}

/// Whether a request may be answered with a wish for input.
pub(super) fn may_want_input(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

pub(super) fn refused() -> RpcError {
    RpcError::new(
        INVALID_PARAMS,
        "requestState is not valid for this request: it is too old, was used before, or belongs to \
         something else; send the request anew without it",
    )
}

/// In seconds.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl Parking {
    pub(super) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            seal: Seal::new()?,
            parked: Mutex::default(),
            patience: PATIENCE,
            halves: Halves::new()?,
        }))
    }

    /// Answers a request, or its repetition.
    pub(super) async fn request(
        self: &Arc<Self>,
        up: &Upstream,
        asked: &Asked<'_>,
    ) -> Result<RawJson, RpcError> {
        let params = asked.params.as_ref();
        let purpose = Purpose::new(
            &asked.client.caller.identity(),
            &up.config().name,
            asked.method,
            params,
        );
        let call = match state_of(params) {
            Some(state) => {
                let ticket = self
                    .seal
                    .open(&state, now(), &purpose)
                    .ok_or_else(refused)?;
                let parked = lock(&self.parked).remove(&ticket);
                let mut call = parked.ok_or_else(refused)?.call;
                call.stream.begin(asked);
                let responses =
                    params.and_then(|params| member(params.as_bytes(), "inputResponses"));
                call.answered(responses);
                call
            }
            None => begin(up, asked)?,
        };
        self.drive(call, asked.method, &purpose).await
    }

    async fn drive(
        self: &Arc<Self>,
        mut call: Call,
        method: &str,
        purpose: &Purpose,
    ) -> Result<RawJson, RpcError> {
        if call.open.is_empty() {
            tokio::select! {
                biased;
                outcome = &mut call.work => {
                    let broken = |_| RpcError::new(INTERNAL_ERROR, "the call did not come to its end");
                    return Ok(completed(method, &outcome.map_err(broken)??));
                }
                Some(wish) = call.wishes.recv() => call.wishes(wish),
            }
            while call.open.len() < MAXIMUM_WISHES
                && let Ok(wish) = call.wishes.try_recv()
            {
                call.wishes(wish);
            }
        }
        *lock(&call.stream.0) = None;
        let until = now() + self.patience.as_secs();
        let (ticket, state) = self.seal.seal(until, purpose)?;
        let wishes: Vec<_> = call.open.iter().map(|(key, wish)| wish.text(key)).collect();
        let answer = format!(
            r#"{{"resultType":"input_required","inputRequests":{{{}}},"requestState":"{state}"}}"#,
            wishes.join(",")
        );
        self.park(ticket, call)?;
        Ok(RawJson::trusted(answer))
    }

    fn park(self: &Arc<Self>, ticket: Ticket, call: Call) -> Result<(), RpcError> {
        let (parking, patience) = (Arc::downgrade(self), self.patience);
        let leaving = tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            if let Some(parking) = parking.upgrade() {
                let left = lock(&parking.parked).remove(&ticket);
                // Dropped without the lock, and not before this task could be aborted by it.
                if let Some(left) = left {
                    tracing::debug!(target: "toolbridge::gateway", "a call was cancelled: its client did not come back");
                    drop(left);
                }
            }
        });
        let mut parked = lock(&self.parked);
        if parked.len() >= MAXIMUM_PARKED {
            return Err(RpcError::new(
                INTERNAL_ERROR,
                "too many calls wait for their clients; come back later",
            ));
        }
        let place = Parked {
            call,
            _leaving: AbortOnDropHandle::new(leaving),
        };
        parked.insert(ticket, place);
        Ok(())
    }
}

impl Call {
    fn wishes(&mut self, wish: Wish) {
        self.asked += 1;
        self.open.insert(self.asked.to_string(), wish);
    }

    /// Hands the answers of the client to whoever waits for them; what has none stays open.
    fn answered(&mut self, responses: Option<&RawValue>) {
        let Some(responses) = responses else { return };
        let open = std::mem::take(&mut self.open);
        for (key, wish) in open {
            match member(responses.get().as_bytes(), &key) {
                Some(response) => {
                    // A server that took its question back does not wait.
                    let _ = wish
                        .answer
                        .send(RawJson::trusted(response.get().to_owned()));
                }
                None if wish.answer.is_closed() => {}
                None => {
                    self.open.insert(key, wish);
                }
            }
        }
    }
}

impl Wish {
    fn text(&self, key: &str) -> String {
        let mut text = named(
            "method",
            &serde_json::Value::from(self.method.as_str()).to_string(),
        );
        if let Some(params) = &self.params {
            text.push(',');
            text.push_str(&named(
                "params",
                &String::from_utf8_lossy(params.as_bytes()),
            ));
        }
        named(key, &format!("{{{text}}}"))
    }
}

/// Whether a client can be asked that.
fn can_answer(abilities: Abilities, method: &str) -> bool {
    match method {
        "sampling/createMessage" => abilities.sampling,
        "elicitation/create" => abilities.elicitation,
        "roots/list" => abilities.roots,
        _ => false,
    }
}

/// Begins a call on a connection that serves nothing else meanwhile.
fn begin(up: &Upstream, asked: &Asked<'_>) -> Result<Call, RpcError> {
    let (sender, wishes) = mpsc::channel(MAXIMUM_WISHES);
    let (abilities, policy) = (
        asked.client.described().abilities(),
        up.config().policy.clone(),
    );
    let sampler = Arc::clone(up.shared.sampler());
    let asks: Asks = Arc::new(move |method, params| {
        if is_sampled_here(&policy, abilities, method) {
            return sampler.answer(params);
        }
        let is_possible = can_answer(abilities, method) && is_allowed(&policy, method);
        let (method, sender) = (method.to_owned(), sender.clone());
        Box::pin(async move {
            if !is_possible {
                return Err(PeerError::method_not_found(&method));
            }
            let (answer, answered) = oneshot::channel();
            let wish = Wish {
                method: method.clone(),
                params,
                answer,
            };
            if sender.send(wish).await.is_err() {
                return Err(PeerError::unanswered(&method));
            }
            answered.await.map_err(|_| PeerError::unanswered(&method))
        })
    });
    let stream = Arc::new(Stream(Mutex::default()));
    stream.begin(asked);
    let level = own_level(asked).ok_or(());
    let served = Served {
        outlet: Arc::<Stream>::clone(&stream),
        asks,
        level,
    };
    let lease = up.leases.take(up.config(), asked.client, served)?;
    let progress = asked.params.as_ref().and_then(progress_token).map(|_| {
        let stream = Arc::clone(&stream);
        let listener: crate::mcp::session::ProgressListener =
            Arc::new(move |params| stream.progress(&params));
        listener
    });
    let method = asked.method.to_owned();
    let params = asked.params.as_ref().map(without_envelope);
    let span = traced::begin(asked, &up.config().name);
    let work = tokio::spawn(async move {
        let outcome = work(&lease, &method, (params, span), progress, level.ok()).await;
        lease.give_back();
        outcome
    });
    Ok(Call {
        work: AbortOnDropHandle::new(work),
        wishes,
        open: BTreeMap::new(),
        asked: 0,
        stream,
    })
}

async fn work(
    lease: &Lease,
    method: &str,
    (params, mut span): (Option<RawJson>, Span),
    progress: Option<crate::mcp::session::ProgressListener>,
    level: Option<Level>,
) -> Result<RawJson, RpcError> {
    let Some(leased) = lease.lasting() else {
        return Err(RpcError::new(INTERNAL_ERROR, "the connection is gone"));
    };
    let lasting = &leased.lasting;
    if let Some(level) = level
        && lock(&leased.level).replace(level) != Some(level)
    {
        let object = serde_json::json!({ "level": level.name() }).to_string();
        let params = Params {
            object: Some(RawJson::trusted(object)),
            meta: None,
        };
        // A server without log lines refuses; the call is the same.
        let _ = lasting
            .request("logging/setLevel", params, CallOptions::default())
            .await;
    }
    let (params, headers) = traced::passed_on(&span, params);
    let options = CallOptions {
        verbatim: true,
        headers,
        progress,
        related: Some(leased.events()),
        ..CallOptions::default()
    };
    let params = Params {
        object: params,
        meta: None,
    };
    let answer = lasting.request(method, params, options).await;
    traced::end(&mut span, answer.as_ref());
    Ok(answer?)
}
