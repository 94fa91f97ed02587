//! What follows from a failure: whether the deployment is left alone for a while, whether the request
//! is repeated, after which wait, and which other models are asked. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::settings::{Deployment, RetryPolicy, RouterSettings};
use super::state::Failures;
use crate::error::{Error, ErrorKind};
use crate::llm::retry;

/// The longest time that a provider can ask to be left alone.
const MAX_COOLDOWN: Duration = Duration::from_hours(1);
/// Failures are a share of something from this many requests in a minute on.
const FEW_REQUESTS: u64 = 5;
/// A deployment that has no other beside it is left alone when this many failed, and nothing else.
const MANY_REQUESTS: u64 = 1000;

/// A failed request, in the terms that decide what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// Its kind.
    pub(super) kind: ErrorKind,
    /// The status that it has, or would have.
    pub(super) status: u16,
    /// What the provider asks for.
    pub(super) retry_after: Option<Duration>,
    /// What the provider says about another try, if it says anything.
    pub(super) should_retry: Option<bool>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let context = error.context();
        let said = context
            .headers
            .iter()
            .find(|(name, _)| name == "x-should-retry");
        // A good status with an error behind it says nothing.
        let status = context.status.filter(|status| *status >= 400);
        Self {
            kind: error.kind(),
            status: status.unwrap_or_else(|| status_of(error.kind())),
            retry_after: context.retry_after,
            should_retry: said.and_then(|(_, value)| value.parse().ok()),
        }
    }
}

fn status_of(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Configuration
        | ErrorKind::BadRequest
        | ErrorKind::ContextWindowExceeded
        | ErrorKind::ContentPolicyViolation
        | ErrorKind::UnsupportedParams => 400,
        ErrorKind::Authentication => 401,
        ErrorKind::PaymentRequired => 402,
        ErrorKind::PermissionDenied => 403,
        ErrorKind::NotFound => 404,
        ErrorKind::Timeout => 408,
        ErrorKind::Conflict => 409,
        ErrorKind::UnprocessableEntity => 422,
        ErrorKind::RateLimit => 429,
        ErrorKind::BadGateway => 502,
        ErrorKind::ServiceUnavailable => 503,
        _ => 500,
    }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 409 | 429) || status >= 500
}

/// Whether a failure says something about the deployment, not about the request.
pub(super) fn concerns_deployment(settings: &RouterSettings, failure: Failure) -> bool {
    matches!(failure.status, 401 | 404 | 408 | 429 | 500..)
        || allowed(&settings.allowed_fails_policy, failure.kind).is_some()
}

/// How long a deployment is left alone after a failure, if it is. `is_alone` says that its group
/// has no other.
pub(super) fn cooldown(
    settings: &RouterSettings,
    deployment: &Deployment,
    failure: Failure,
    counts: Failures,
    is_alone: bool,
) -> Option<Duration> {
    if settings.disable_cooldowns || !concerns_deployment(settings, failure) {
        return None;
    }
    let policy = allowed(&settings.allowed_fails_policy, failure.kind);
    let has_policy = settings.allowed_fails_policy != RetryPolicy::default();
    let cools = if has_policy || settings.allowed_fails.is_some() {
        let allowed = policy.or(settings.allowed_fails);
        counts.recent > allowed.unwrap_or(DEFAULT_ALLOWED_FAILS)
    } else {
        let all = counts.successes + counts.failures;
        let most = counts.failures > all / 2;
        (failure.status == 429 && !is_alone)
            || (counts.successes == 0 && all >= MANY_REQUESTS)
            || (most && all >= FEW_REQUESTS && !is_alone)
            || !is_passing(failure.status)
    };
    let time = deployment
        .cooldown_time
        .or(failure.retry_after.map(|asked| asked.min(MAX_COOLDOWN)))
        .unwrap_or(settings.cooldown_time);
    (cools && !time.is_zero()).then_some(time)
}

/// Failures that are allowed to an error that the policy does not name.
const DEFAULT_ALLOWED_FAILS: u32 = 3;

/// The number that a policy has for an error. A refusal by the content policy is a bad request
/// where it has none of its own.
fn allowed(policy: &RetryPolicy, kind: ErrorKind) -> Option<u32> {
    match kind {
        ErrorKind::ContentPolicyViolation => policy.content_policy.or(policy.bad_request),
        ErrorKind::BadRequest | ErrorKind::ContextWindowExceeded | ErrorKind::UnsupportedParams => {
            policy.bad_request
        }
        ErrorKind::Authentication => policy.authentication,
        ErrorKind::Timeout => policy.timeout,
        ErrorKind::RateLimit => policy.rate_limit,
        ErrorKind::InternalServer
        | ErrorKind::BadGateway
        | ErrorKind::ServiceUnavailable
        | ErrorKind::Connection => policy.internal_server,
        _ => None,
    }
}

/// The deployments of a group after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// All of them.
    pub(super) all: usize,
    /// Those that are not left alone.
    pub(super) usable: usize,
}

/// Whether a request that failed is sent again to its group. `asked` is what the request itself
/// says about the number of repetitions, `repeated` how many there were.
pub(super) fn repeats(
    settings: &RouterSettings,
    deployment: &Deployment,
    failure: Failure,
    group: Group<'_>,
    asked: Option<u32>,
    repeated: u32,
) -> bool {
    let policy = settings.group_retry_policies.get(group.name);
    let by_policy = allowed(policy.unwrap_or(&settings.retry_policy), failure.kind);
    let limit = by_policy
        .or(asked)
        .or(deployment.max_retries)
        .unwrap_or(settings.num_retries);
    if repeated >= limit {
        return false;
    }
    by_policy.is_some() || is_worth_another_try(settings, failure, group)
}

fn is_worth_another_try(settings: &RouterSettings, failure: Failure, group: Group<'_>) -> bool {
    let has_own_fallbacks = match failure.kind {
        ErrorKind::ContextWindowExceeded => !settings.context_window_fallbacks.0.is_empty(),
        ErrorKind::ContentPolicyViolation => !settings.content_policy_fallbacks.0.is_empty(),
        _ => false,
    };
    let concerns_key = matches!(failure.status, 401 | 403);
    let is_passing = failure.should_retry.unwrap_or(is_passing(failure.status));
    !has_own_fallbacks && group.usable > 0 && (is_passing || (concerns_key && group.all > 1))
}

/// How long to wait before a repetition: not at all where another deployment can take it.
pub(super) fn wait(
    settings: &RouterSettings,
    failure: Failure,
    group: Group<'_>,
    repeated: u32,
    chance: f64,
) -> Duration {
    if group.all > 1 && group.usable > 0 {
        return Duration::ZERO;
    }
    retry::delay(repeated, failure.retry_after, chance).max(settings.retry_after)
}

/// The way of one request through the models that are asked instead of the one that failed: each
/// at most once, those of a failed fallback before its siblings.
#[derive(Debug)]
pub(super) struct Detours<'a> {
    settings: &'a RouterSettings,
    /// What the request itself says, instead of the settings.
    own: Option<&'a [String]>,
    met: Vec<&'a str>,
    waiting: VecDeque<&'a str>,
    taken: u32,
}

impl<'a> Detours<'a> {
    /// The way of a request for `group`.
    pub(super) fn new(
        settings: &'a RouterSettings,
        own: Option<&'a [String]>,
        group: &'a str,
    ) -> Self {
        Self {
            settings,
            own,
            met: vec![group],
            waiting: VecDeque::new(),
            taken: 0,
        }
    }

    /// Who is asked now that `group` failed.
    pub(super) fn next(&mut self, group: &str, kind: ErrorKind) -> Option<&'a str> {
        if self.taken >= self.settings.max_fallbacks {
            return None;
        }
        let first = self.taken == 0;
        let instead = match self.own {
            Some(own) if first => own,
            Some(_) => &[],
            None => fallbacks(self.settings, group, kind),
        };
        for name in instead.iter().rev() {
            self.waiting.push_front(name);
        }
        while let Some(name) = self.waiting.pop_front() {
            if !self.met.contains(&name) {
                self.met.push(name);
                self.taken += 1;
                return Some(name);
            }
        }
        None
    }

    /// How many there were.
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }
}

/// Who is asked when a group fails in this way.
pub(super) fn fallbacks<'a>(
    settings: &'a RouterSettings,
    group: &str,
    kind: ErrorKind,
) -> &'a [String] {
    let special = match kind {
        ErrorKind::ContextWindowExceeded => Some(&settings.context_window_fallbacks),
        ErrorKind::ContentPolicyViolation => Some(&settings.content_policy_fallbacks),
        _ => None,
    };
    // Where such errors have a list, no other is meant for them.
    if let Some(special) = special.filter(|special| !special.0.is_empty()) {
        return special.of(group);
    }
    match settings.fallbacks.of(group) {
        [] => &settings.default_fallbacks,
        named => named,
    }
}
