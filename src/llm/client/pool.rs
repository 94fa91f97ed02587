//! The connections to providers, by whom they trust.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;

use crate::error::{Error, ErrorKind};
use crate::llm::failure::FailureSite;
use crate::llm::trust::Trust;

use super::{Call, root_cause};

/// Pools beyond this number are closed, the oldest first: a caller that makes up certificates or
/// timeouts per call must not collect connections.
const MAX_POOLS: usize = 8;
const MAX_REDIRECTS: usize = 5;

/// The pools, one for each way to connect.
#[derive(Debug, Default)]
pub(super) struct Pools(Mutex<Vec<(PoolKey, reqwest::Client)>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct PoolKey {
    /// No certificates are needed, and none are loaded, for `http`.
    trust: Option<Trust>,
    connect: Duration,
}

impl Pools {
    /// The one for a call.
    pub(super) fn of(&self, call: &Call<'_>) -> Result<reqwest::Client, Error> {
        let is_plain = call.endpoint.url.scheme() == "http";
        let is_the_one = |key: &PoolKey| {
            let trust = (!is_plain).then_some(call.trust);
            key.trust.as_ref() == trust && key.connect == call.limits.connect
        };
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pool)) = pools.iter().find(|(key, _)| is_the_one(key)) {
            return Ok(pool.clone());
        }
        let key = PoolKey {
            trust: (!is_plain).then(|| call.trust.clone()),
            connect: call.limits.connect,
        };
        let pool = build_pool(&key, call.site)?;
        if pools.len() == MAX_POOLS {
            pools.remove(0);
        }
        pools.push((key, pool.clone()));
        Ok(pool)
    }
}

fn build_pool(key: &PoolKey, site: &FailureSite) -> Result<reqwest::Client, Error> {
    let builder = reqwest::Client::builder()
        .tcp_nodelay(true)
        .connect_timeout(key.connect)
        // The body and the key go where the caller sent them, and nowhere else.
        .redirect(Policy::custom(|attempt| {
            let is_same = attempt
                .previous()
                .first()
                .is_some_and(|first| first.origin() == attempt.url().origin());
            if is_same && attempt.previous().len() <= MAX_REDIRECTS {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }));
    let builder = match &key.trust {
        None => Ok(builder.tls_certs_only([])),
        Some(trust) => trust.for_endpoint(builder),
    };
    let builder = builder.map_err(|error| site.placed(error))?;
    builder.build().map_err(|cause| {
        let message = format!("the HTTP client cannot be set up: {}", root_cause(&cause));
        site.error(ErrorKind::Configuration, message)
            .with_source(cause)
    })
}
