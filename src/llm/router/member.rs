//! A deployment that a router asks: what is prepared for its requests, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::body::{Changes, RequestBody, Wishes};
use super::prices::Prices;
use super::rules::{self, Failure};
use super::script;
use super::settings::{Deployment, RouterSettings, Strategy};
use super::state::{Load, RouterState, Tally};
use crate::error::{Error, ErrorKind};
use crate::llm::answer::{Bill, Usage};
use crate::llm::catalogue::cost::Cost;
use crate::llm::client::{Call, ChatClient, DEFAULT_TIMEOUT, Limits, Trust};
use crate::llm::conversion::parameters::Policy;
use crate::llm::failure::FailureSite;
use crate::llm::passage::Passage;

/// How long a latency is remembered that no strategy needs.
const LATENCY_MEMORY: Duration = Duration::from_hours(1);

/// A deployment of a router.
#[derive(Debug)]
pub struct Member {
    deployment: Deployment,
    /// Whether its group has no other.
    is_alone: bool,
    settings: Arc<RouterSettings>,
    site: FailureSite,
    changes: Changes,
    tally: Arc<dyn Tally>,
    room: Option<Arc<Semaphore>>,
    trust: Trust,
    policy: Policy,
    /// What its context window takes, where that is looked at before it is asked.
    window: Option<u64>,
    prices: Prices,
}

/// A whole answer.
#[derive(Debug)]
pub struct Whole {
    /// The JSON text, as it came.
    pub body: Bytes,
    /// The headers that came with it.
    pub headers: HeaderMap,
    /// What it took.
    pub usage: Option<Usage>,
    /// What that costs, where the prices are known.
    pub cost: Option<Cost>,
}

/// A stream that has begun.
#[derive(Debug)]
pub struct Streamed {
    passage: Passage,
    /// The headers that came with it.
    pub headers: HeaderMap,
    request_tokens: u64,
    lease: Lease,
    is_over: bool,
}

/// What a deployment gives.
#[derive(Debug)]
pub enum Given {
    /// A whole answer.
    Whole(Whole),
    /// A stream.
    Stream(Box<Streamed>),
}

/// A request in flight. Whoever drops it has the answer, or does not want it any more.
#[derive(Debug)]
struct Lease {
    member: Arc<Member>,
    started: Instant,
    /// The request itself said how long it may take: that it took longer says nothing about the
    /// deployment.
    has_own_timeout: bool,
    _room: Option<OwnedSemaphorePermit>,
}

impl Lease {
    fn failed(&self, error: &Error) {
        if self.has_own_timeout && error.kind() == ErrorKind::Timeout {
            return;
        }
        self.member.failed(error);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.member.tally.ended();
    }
}

/// What the context window of a deployment takes: what was said about it, or what is known of its
/// model.
fn window(deployment: &Deployment) -> Option<u64> {
    let said = deployment.info.get("max_input_tokens");
    said.and_then(Value::as_u64).or_else(|| {
        let known = deployment.known_model()?;
        known.facts.get("max_input_tokens")?.as_u64()
    })
}

impl Member {
    pub(super) fn new(
        deployment: Deployment,
        is_alone: bool,
        settings: &Arc<RouterSettings>,
        state: &dyn RouterState,
    ) -> Self {
        let mut changes = Changes::new(&deployment.model.name);
        let additions = [
            &deployment.extra_body,
            &deployment.defaults,
            &settings.defaults,
        ];
        for (name, value) in additions.into_iter().flatten() {
            changes.add(name, value);
        }
        for name in &deployment.additional_drop_params {
            changes.drop(name);
        }
        let at_once = deployment.max_parallel_requests;
        let at_once = at_once.or(settings.max_parallel_requests);
        Self {
            site: FailureSite::new(&deployment.model, &deployment.endpoint),
            tally: state.tally(&deployment.id),
            room: at_once.map(|count| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))),
            settings: Arc::clone(settings),
            trust: Trust::default(),
            policy: Policy {
                drop_params: deployment.drop_params.unwrap_or(settings.drop_params),
                allowed: deployment.allowed_openai_params.clone(),
            },
            window: settings
                .enable_pre_call_checks
                .then(|| window(&deployment))
                .flatten(),
            prices: Prices::default(),
            deployment,
            is_alone,
            changes,
        }
    }

    /// What was said about it.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// What is known of it.
    pub fn load(&self) -> Load {
        let memory = match self.settings.strategy {
            Strategy::LatencyBased { memory, .. } => memory,
            _ => LATENCY_MEMORY,
        };
        self.tally.load(memory)
    }

    /// Whether a request fits its context window, as far as is known of both.
    pub(super) fn has_room_for(&self, body: &RequestBody) -> bool {
        self.window.is_none_or(|window| {
            body.countable_tokens()
                .is_none_or(|tokens| tokens <= window)
        })
    }

    /// Asks it once.
    pub(super) async fn ask(
        self: &Arc<Self>,
        client: &ChatClient,
        body: &RequestBody,
    ) -> Result<Given, Error> {
        let room = match &self.room {
            // It is never closed.
            Some(room) => Arc::clone(room).acquire_owned().await.ok(),
            None => None,
        };
        let wishes = body.wishes();
        self.tally.began();
        let lease = Lease {
            member: Arc::clone(self),
            started: Instant::now(),
            has_own_timeout: wishes.timeout.or(wishes.stream_timeout).is_some(),
            _room: room,
        };
        let given = if body.streams() {
            self.stream(client, body, lease).await
        } else {
            self.whole(client, body, lease).await
        };
        given.map_err(|(error, lease)| {
            lease.failed(&error);
            error
        })
    }

    async fn whole(
        &self,
        client: &ChatClient,
        body: &RequestBody,
        lease: Lease,
    ) -> Result<Given, (Error, Lease)> {
        let answer = if let Some(script) = &self.deployment.mock_response {
            let body = script::whole(script, &self.deployment.name, &self.site);
            body.map(|body| (body, HeaderMap::new()))
        } else {
            let limit = self.limit(body.wishes());
            let answer = client.answer(&self.call(body, limit)).await;
            answer.map(|answer| (answer.body.into_bytes(), answer.context.headers))
        };
        let (answer, headers) = match answer {
            Ok(answer) => answer,
            Err(error) => return Err((error, lease)),
        };
        let bill = Bill::read(&answer);
        let usage = bill.as_ref().and_then(Bill::tokens);
        let cost = bill.and_then(|bill| self.prices.cost(&self.deployment, &bill));
        let tokens = usage.map_or(body.tokens(), |usage| usage.total_tokens);
        self.tally.succeeded(lease.started.elapsed(), tokens);
        Ok(Given::Whole(Whole {
            body: answer,
            headers,
            usage,
            cost,
        }))
    }

    async fn stream(
        &self,
        client: &ChatClient,
        body: &RequestBody,
        lease: Lease,
    ) -> Result<Given, (Error, Lease)> {
        let begun = if let Some(script) = &self.deployment.mock_response {
            let passage = script::streamed(script, &self.deployment.name, &self.site);
            passage.map(|passage| (passage, HeaderMap::new()))
        } else {
            let limit = self.stream_limit(body.wishes());
            let begun = client.pass(&self.call(body, limit)).await;
            begun.map(|(passage, context)| (passage, context.headers))
        };
        let (passage, headers) = match begun {
            Ok(begun) => begun,
            Err(error) => return Err((error, lease)),
        };
        self.tally.first_piece(lease.started.elapsed());
        Ok(Given::Stream(Box::new(Streamed {
            passage,
            headers,
            request_tokens: body.tokens(),
            lease,
            is_over: false,
        })))
    }

    fn call<'a>(&'a self, body: &'a RequestBody, answer: Duration) -> Call<'a> {
        Call {
            site: &self.site,
            model: &self.deployment.model,
            policy: &self.policy,
            endpoint: &self.deployment.endpoint,
            body: body.changed(&self.changes),
            headers: Some(body.headers()),
            limits: Limits {
                answer: Some(answer),
                ..Limits::default()
            },
            // Repeating is the router's.
            max_retries: 0,
            trust: &self.trust,
        }
    }

    fn limit(&self, wishes: &Wishes) -> Duration {
        wishes
            .timeout
            .or(self.deployment.timeout)
            .or(self.settings.timeout)
            .unwrap_or(DEFAULT_TIMEOUT)
    }

    fn stream_limit(&self, wishes: &Wishes) -> Duration {
        wishes
            .stream_timeout
            .or(wishes.timeout)
            .or(self.deployment.stream_timeout)
            .or(self.settings.stream_timeout)
            .unwrap_or_else(|| self.limit(wishes))
    }

    fn failed(&self, error: &Error) {
        let failure = Failure::from(error);
        let memory = self.deployment.cooldown_time;
        let memory = memory.unwrap_or(self.settings.cooldown_time);
        let is_timeout = failure.kind == ErrorKind::Timeout;
        // What the client did wrong is not the deployment's failure.
        if !rules::concerns_deployment(&self.settings, failure) {
            return;
        }
        let counts = self.tally.failed(is_timeout, memory);
        let cooldown = rules::cooldown(
            &self.settings,
            &self.deployment,
            failure,
            counts,
            self.is_alone,
        );
        if let Some(time) = cooldown {
            tracing::warn!(
                target: "toolbridge::router",
                deployment = self.deployment.id,
                model = self.deployment.name,
                seconds = time.as_secs_f64(),
                reason = %error,
                "a deployment is left alone for a while"
            );
            self.tally.cool(time);
        }
    }
}

impl Streamed {
    /// The next events; see [`Passage::next`].
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let next = self.passage.next().await;
        if !self.is_over {
            match &next {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    self.is_over = true;
                    self.lease.failed(error);
                }
                None => {
                    self.is_over = true;
                    let tally = &self.lease.member.tally;
                    tally.succeeded(self.lease.started.elapsed(), self.tokens());
                }
            }
        }
        next
    }

    /// What it took, once it is over.
    pub fn usage(&self) -> Option<Usage> {
        self.passage.usage()
    }

    /// What that costs, where the prices are known.
    pub fn cost(&self) -> Option<Cost> {
        let member = &self.lease.member;
        let bill = Bill::read(self.passage.bill()?)?;
        member.prices.cost(&member.deployment, &bill)
    }

    /// A chunk stands for a token where the stream does not say what it took.
    fn tokens(&self) -> u64 {
        let chunks = u64::try_from(self.passage.chunks()).unwrap_or(u64::MAX);
        let guess = self.request_tokens.saturating_add(chunks);
        self.usage().map_or(guess, |usage| usage.total_tokens)
    }
}
