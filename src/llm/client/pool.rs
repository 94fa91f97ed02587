//! The connections to providers, by whom they trust.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;

use crate::error::{Error, ErrorKind};
use crate::llm::failure::FailureSite;

use super::{Call, root_cause};

/// Pools beyond this number are closed, the oldest first: a caller that makes up certificates or
/// timeouts per call must not collect connections.
const MAX_POOLS: usize = 8;
const MAX_REDIRECTS: usize = 5;

/// Whom to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// The certificates of the system.
    #[default]
    System,
    /// The certificates of this PEM file, and no others.
    Bundle(PathBuf),
    /// Everybody.
    Anybody,
}

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
        None => builder.tls_certs_only([]),
        Some(Trust::System) => builder,
        Some(Trust::Anybody) => builder.tls_danger_accept_invalid_certs(true),
        Some(Trust::Bundle(path)) => {
            let shown = path.display();
            let certificates = std::fs::read(path)
                .map_err(|cause| {
                    let message = format!("ssl_verify: the certificates in {shown} cannot be read");
                    site.error(ErrorKind::Configuration, message)
                        .with_source(cause)
                })
                .and_then(|text| {
                    reqwest::Certificate::from_pem_bundle(&text).map_err(|cause| {
                        let message = format!("ssl_verify: {shown} holds no PEM certificates");
                        site.error(ErrorKind::Configuration, message)
                            .with_source(cause)
                    })
                })?;
            if certificates.is_empty() {
                let message = format!("ssl_verify: {shown} holds no PEM certificates");
                return Err(site.error(ErrorKind::Configuration, message));
            }
            builder.tls_certs_only(certificates)
        }
    };
    builder.build().map_err(|cause| {
        let message = format!("the HTTP client cannot be set up: {}", root_cause(&cause));
        site.error(ErrorKind::Configuration, message)
            .with_source(cause)
    })
}
