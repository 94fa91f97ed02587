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
/// The most repetitions that a request can ask for itself.
const MAX_ASKED_RETRIES: u32 = 10;
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
        .or(asked.map(|asked| asked.min(MAX_ASKED_RETRIES)))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::llm::model_id::ModelId;
    use crate::llm::provider::{Endpoint, Settings};
    use crate::llm::router::settings::Fallbacks;

    fn deployment() -> Deployment {
        let settings = Settings {
            api_base: Some("http://127.0.0.1:9/v1".to_owned()),
            ..Settings::default()
        };
        let model = ModelId::resolve("custom_openai/m", None, Some("")).unwrap();
        let endpoint = Endpoint::resolve(&model, &settings, &|_| None).unwrap();
        Deployment::new("m", model, endpoint)
    }

    fn failure(kind: ErrorKind) -> Failure {
        Failure::from(&Error::new(kind, "x"))
    }

    fn counts(successes: u64, failures: u64) -> Failures {
        Failures {
            successes,
            failures,
            recent: u32::try_from(failures).unwrap(),
        }
    }

    /// Whether one failure, the only one, leaves the deployment alone: with others beside it, and
    /// without.
    fn cools_at_once(kind: ErrorKind) -> [bool; 2] {
        let settings = RouterSettings::default();
        [false, true].map(|is_alone| {
            let counts = counts(0, 1);
            cooldown(&settings, &deployment(), failure(kind), counts, is_alone).is_some()
        })
    }

    #[test]
    fn each_status_has_its_rule_of_cooldown() {
        for kind in [ErrorKind::Authentication, ErrorKind::NotFound] {
            assert_eq!(cools_at_once(kind), [true, true], "{kind:?}");
        }
        assert_eq!(cools_at_once(ErrorKind::RateLimit), [true, false]);
        for kind in [
            ErrorKind::InternalServer,
            ErrorKind::Timeout,
            ErrorKind::Connection,
            ErrorKind::BadRequest,
            ErrorKind::PermissionDenied,
            ErrorKind::UnprocessableEntity,
            ErrorKind::ContextWindowExceeded,
        ] {
            assert_eq!(cools_at_once(kind), [false, false], "{kind:?}");
        }
    }

    #[test]
    fn a_share_of_failures_counts_from_five_requests_on() {
        let cools = |successes, failures, is_alone| {
            let counts = counts(successes, failures);
            let failure = failure(ErrorKind::InternalServer);
            let settings = RouterSettings::default();
            cooldown(&settings, &deployment(), failure, counts, is_alone).is_some()
        };
        assert!(!cools(0, 4, false));
        assert!(cools(2, 3, false) && !cools(3, 3, false));
        assert!(!cools(0, 999, true) && cools(0, 1000, true) && !cools(1, 1000, true));
    }

    #[test]
    fn the_time_is_the_deployments_then_the_providers_then_the_routers() {
        let settings = RouterSettings::default();
        let time = |own: Option<u64>, asked: Option<u64>| {
            let mut deployment = deployment();
            deployment.cooldown_time = own.map(Duration::from_secs);
            let mut failure = failure(ErrorKind::RateLimit);
            failure.retry_after = asked.map(Duration::from_secs);
            let time = cooldown(&settings, &deployment, failure, counts(0, 1), false);
            time.map(|time| time.as_secs())
        };
        assert_eq!(time(Some(7), Some(3)), Some(7));
        assert_eq!(time(None, Some(3)), Some(3));
        assert_eq!(time(None, Some(1_000_000)), Some(MAX_COOLDOWN.as_secs()));
        assert_eq!(time(None, None), Some(5));
        assert_eq!(time(Some(0), None), None);
    }

    #[test]
    fn a_policy_of_allowed_fails_counts_its_own_kinds() {
        let settings = RouterSettings {
            allowed_fails: Some(1),
            allowed_fails_policy: RetryPolicy {
                bad_request: Some(2),
                ..RetryPolicy::default()
            },
            ..RouterSettings::default()
        };
        let first = |kind| {
            let cools = |failures| {
                let failure = failure(kind);
                cooldown(&settings, &deployment(), failure, counts(0, failures), true).is_some()
            };
            (1..10).find(|failures| cools(*failures))
        };
        assert_eq!(first(ErrorKind::BadRequest), Some(3));
        assert_eq!(first(ErrorKind::InternalServer), Some(2));
        assert_eq!(first(ErrorKind::PermissionDenied), None);
    }

    fn repeated(failure: Failure, all: usize, usable: usize) -> bool {
        let settings = RouterSettings::default();
        let group = Group {
            name: "m",
            all,
            usable,
        };
        repeats(&settings, &deployment(), failure, group, None, 0)
    }

    #[test]
    fn what_may_get_better_is_repeated_while_somebody_is_there() {
        for kind in [
            ErrorKind::RateLimit,
            ErrorKind::Timeout,
            ErrorKind::Connection,
            ErrorKind::Conflict,
            ErrorKind::ServiceUnavailable,
        ] {
            assert!(repeated(failure(kind), 1, 1), "{kind:?}");
            assert!(!repeated(failure(kind), 2, 0), "{kind:?}");
        }
        for kind in [ErrorKind::BadRequest, ErrorKind::NotFound] {
            assert!(!repeated(failure(kind), 2, 2), "{kind:?}");
        }
        // Another deployment has another key.
        for kind in [ErrorKind::Authentication, ErrorKind::PermissionDenied] {
            assert!(repeated(failure(kind), 2, 1) && !repeated(failure(kind), 1, 1));
        }
        let mut told = failure(ErrorKind::InternalServer);
        told.should_retry = Some(false);
        assert!(!repeated(told, 2, 2));
    }

    #[test]
    fn the_number_is_the_policys_then_the_requests_then_the_deployments_then_the_routers() {
        let group = Group {
            name: "m",
            all: 1,
            usable: 1,
        };
        let failure = failure(ErrorKind::RateLimit);
        let most = |policy, asked, own| {
            let settings = RouterSettings {
                num_retries: 1,
                retry_policy: RetryPolicy {
                    rate_limit: policy,
                    ..RetryPolicy::default()
                },
                ..RouterSettings::default()
            };
            let mut deployment = deployment();
            deployment.max_retries = own;
            (0..9)
                .find(|repeated| !repeats(&settings, &deployment, failure, group, asked, *repeated))
        };
        assert_eq!(most(Some(4), Some(3), Some(2)), Some(4));
        assert_eq!(most(None, Some(3), Some(2)), Some(3));
        assert_eq!(most(None, None, Some(2)), Some(2));
        assert_eq!(most(None, None, None), Some(1));
        assert_eq!(most(None, Some(u32::MAX), None), None);
        assert!(!repeats(
            &RouterSettings::default(),
            &deployment(),
            failure,
            group,
            Some(u32::MAX),
            MAX_ASKED_RETRIES
        ));
    }

    #[test]
    fn there_is_no_wait_where_another_can_take_it() {
        let settings = RouterSettings {
            retry_after: Duration::from_secs(1),
            ..RouterSettings::default()
        };
        let wait = |all, usable, asked: Option<u64>| {
            let mut failure = failure(ErrorKind::RateLimit);
            failure.retry_after = asked.map(Duration::from_secs);
            let group = Group {
                name: "m",
                all,
                usable,
            };
            super::wait(&settings, failure, group, 0, 0.0).as_secs()
        };
        assert_eq!(wait(2, 1, Some(9)), 0);
        assert_eq!(wait(1, 1, Some(9)), 9);
        assert_eq!(wait(1, 1, None), 1);
    }

    proptest! {
        #[test]
        fn a_way_meets_nobody_twice_and_ends(
            links in proptest::collection::vec(("[a-d]|\\*", proptest::collection::vec("[a-f]", 0..4)), 0..6),
            default_fallbacks in proptest::collection::vec("[a-f]", 0..3),
            own in proptest::option::of(proptest::collection::vec("[a-f]", 0..3)),
            max_fallbacks in 0_u32..6,
        ) {
            let settings = RouterSettings {
                fallbacks: Fallbacks(links),
                default_fallbacks,
                max_fallbacks,
                ..RouterSettings::default()
            };
            let mut detours = Detours::new(&settings, own.as_deref(), "a");
            let mut met = vec!["a"];
            while let Some(next) = detours.next(met[met.len() - 1], ErrorKind::InternalServer) {
                prop_assert!(!met.contains(&next));
                if let Some(own) = &own {
                    prop_assert!(own.iter().any(|name| name == next));
                }
                met.push(next);
                prop_assert!(met.len() <= 1 + usize::try_from(max_fallbacks).unwrap());
            }
            prop_assert_eq!(usize::try_from(detours.taken()).unwrap(), met.len() - 1);
        }
    }
}
