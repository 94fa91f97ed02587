//! What is said about deployments and about the choice among them, by whatever describes them. Plain
//! values; nothing of it is obeyed in here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::llm::catalogue::{self, Model};
use crate::llm::model_id::ModelId;
use crate::llm::provider::Endpoint;

/// One place that serves a model. Several may stand under one name.
#[derive(Clone)]
pub struct Deployment {
    /// What callers ask for.
    pub name: String,
    /// What this deployment is told apart by, in logs, health and metrics.
    pub id: String,
    /// The model at its provider.
    pub model: ModelId,
    /// Where it is, with its key.
    pub endpoint: Endpoint,
    /// Parameters of a request that has them not itself, by the names of the OpenAI API.
    pub defaults: Map<String, Value>,
    /// Fields of the body that no API names; those of the request win.
    pub extra_body: Map<String, Value>,
    /// How long an answer may take.
    pub timeout: Option<Duration>,
    /// How long a stream may take to begin, and be silent.
    pub stream_timeout: Option<Duration>,
    /// How often one request is sent again to this deployment.
    pub max_retries: Option<u32>,
    /// Requests that it takes in a minute.
    pub rpm: Option<u64>,
    /// Tokens that it takes in a minute.
    pub tpm: Option<u64>,
    /// Its share of the requests.
    pub weight: Option<f64>,
    /// Requests that it takes at once.
    pub max_parallel_requests: Option<usize>,
    /// How long it is left alone after too many failures, where that is not what all are.
    pub cooldown_time: Option<Duration>,
    /// Parameters that the model does not take are left out instead of refused.
    pub drop_params: Option<bool>,
    /// Parameters that are always left out.
    pub additional_drop_params: Vec<String>,
    /// Parameters that are sent whatever is known of the model.
    pub allowed_openai_params: Vec<String>,
    /// An answer that is given without asking anybody.
    pub mock_response: Option<Value>,
    /// What else is known about the model; passed on as it is.
    pub info: Map<String, Value>,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Defaults and the body may carry keys.
        formatter
            .debug_struct("Deployment")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("model", &self.model.given)
            .finish_non_exhaustive()
    }
}

impl Deployment {
    /// A deployment of which nothing else is said.
    pub fn new(name: impl Into<String>, model: ModelId, endpoint: Endpoint) -> Self {
        let name = name.into();
        Self {
            id: name.clone(),
            name,
            model,
            endpoint,
            defaults: Map::new(),
            extra_body: Map::new(),
            timeout: None,
            stream_timeout: None,
            max_retries: None,
            rpm: None,
            tpm: None,
            weight: None,
            max_parallel_requests: None,
            cooldown_time: None,
            drop_params: None,
            additional_drop_params: Vec::new(),
            allowed_openai_params: Vec::new(),
            mock_response: None,
            info: Map::new(),
        }
    }

    /// What the catalogue knows of its model: of the one that `base_model` says, for names that are
    /// those of deployments, or else of the one that is asked for.
    pub fn known_model(&self) -> Option<Model> {
        let base = self.info.get("base_model").and_then(Value::as_str);
        let base = base.and_then(|base| catalogue::find(base, None));
        base.or_else(|| catalogue::find(&self.model.name, Some(self.model.provider.name)))
    }

    /// What is known of its model: what was said here, over what the catalogue knows.
    pub fn facts(&self) -> Map<String, Value> {
        let known = self.known_model();
        let mut facts = known.map_or_else(Map::new, |known| Arc::unwrap_or_clone(known.facts));
        facts.extend(self.info.clone());
        facts
    }
}

/// How a deployment is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Strategy {
    /// At random, by weight, else by rpm, else by tpm.
    #[default]
    SimpleShuffle,
    /// The one with the fewest requests in flight.
    LeastBusy,
    /// The one that answered fastest of late.
    LatencyBased {
        /// How long a measurement counts.
        memory: Duration,
        /// Which share of the lowest latency another may be slower and still be chosen.
        buffer: f64,
    },
    /// The one with the fewest tokens in this minute, within its rpm and tpm.
    UsageBased,
}

/// A number for each kind of failure that has one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryPolicy {
    /// Status 400.
    pub bad_request: Option<u32>,
    /// Status 401.
    pub authentication: Option<u32>,
    /// No answer in time.
    pub timeout: Option<u32>,
    /// Status 429.
    pub rate_limit: Option<u32>,
    /// Refused by the content policy.
    pub content_policy: Option<u32>,
    /// Status 5xx.
    pub internal_server: Option<u32>,
}

/// How many failures of a kind a deployment may have within its cooldown time.
pub type AllowedFails = RetryPolicy;

/// From the name of a model to those that are asked when it fails, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fallbacks(pub Vec<(String, Vec<String>)>);

impl Fallbacks {
    /// Those of a model; `*` stands for every model that is not named.
    pub fn of(&self, model: &str) -> &[String] {
        let named = |wanted: &str| self.0.iter().find(|(name, _)| name == wanted);
        named(model)
            .or_else(|| named("*"))
            .map_or(&[], |(_, models)| models.as_slice())
    }
}

/// Another name of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The other name.
    pub name: String,
    /// The name that it stands for.
    pub model: String,
    /// It is served, but not listed.
    pub is_hidden: bool,
}

/// What is said about the choice among deployments.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterSettings {
    /// How a deployment is chosen.
    pub strategy: Strategy,
    /// How often a failed request goes out again, to another deployment where there is one.
    pub num_retries: u32,
    /// The same for kinds of failures that have a number of their own.
    pub retry_policy: RetryPolicy,
    /// The same for the deployments under one name.
    pub group_retry_policies: BTreeMap<String, RetryPolicy>,
    /// The shortest wait before a request goes out again.
    pub retry_after: Duration,
    /// How long an answer may take; None is as long as a call of the library.
    pub timeout: Option<Duration>,
    /// How long a stream may take to begin, and be silent.
    pub stream_timeout: Option<Duration>,
    /// How many failures a deployment may have within its cooldown time before it is left alone;
    /// None leaves that to the share of failures within a minute.
    pub allowed_fails: Option<u32>,
    /// The same for kinds of failures that have a number of their own.
    pub allowed_fails_policy: AllowedFails,
    /// How long a deployment is left alone.
    pub cooldown_time: Duration,
    /// No deployment is ever left alone.
    pub disable_cooldowns: bool,
    /// Other models, whatever went wrong.
    pub fallbacks: Fallbacks,
    /// Other models for messages that are too long.
    pub context_window_fallbacks: Fallbacks,
    /// Other models for messages that a content policy refused.
    pub content_policy_fallbacks: Fallbacks,
    /// Other models for those without any of their own.
    pub default_fallbacks: Vec<String>,
    /// How many other models are asked for one request.
    pub max_fallbacks: u32,
    /// Other names of models.
    pub aliases: Vec<Alias>,
    /// Requests at once that a deployment takes which does not say.
    pub max_parallel_requests: Option<usize>,
    /// Deployments whose context window is too small for a request are not asked.
    pub enable_pre_call_checks: bool,
    /// Parameters that a model does not take are left out instead of refused.
    pub drop_params: bool,
    /// Parameters of every request that has them not itself.
    pub defaults: Map<String, Value>,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            num_retries: 2,
            retry_policy: RetryPolicy::default(),
            group_retry_policies: BTreeMap::new(),
            retry_after: Duration::ZERO,
            timeout: None,
            stream_timeout: None,
            allowed_fails: None,
            allowed_fails_policy: AllowedFails::default(),
            cooldown_time: Duration::from_secs(5),
            disable_cooldowns: false,
            fallbacks: Fallbacks::default(),
            context_window_fallbacks: Fallbacks::default(),
            content_policy_fallbacks: Fallbacks::default(),
            default_fallbacks: Vec::new(),
            max_fallbacks: 5,
            aliases: Vec::new(),
            max_parallel_requests: None,
            enable_pre_call_checks: false,
            drop_params: false,
            defaults: Map::new(),
        }
    }
}
