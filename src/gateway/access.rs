//! Who calls, and what a caller may use. Owns [`Access`] and [`Caller`]; uses `config`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, StatusCode};

use super::config::AccessConfig;
use super::failure::Failure;
use super::origin::is_loopback;
use crate::error::{Error, ErrorKind, Result};

/// The key that the documentation of LiteLLM gives as its example.
const PUBLIC_KEY: &str = "sk-1234";

/// Whoever calls a gateway without keys.
const ANYBODY: &str = "anybody";

/// The keys that are accepted.
#[derive(Debug)]
pub(super) struct Access {
    /// None accepts everybody.
    master_key: Option<Secret>,
}

struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Whoever sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// What the caller is told apart from others by; never the key.
    pub(super) identity: String,
}

impl Caller {
    /// Whether it had to give no key.
    pub(super) fn is_anybody(&self) -> bool {
        self.identity == ANYBODY
    }
}

impl Access {
    pub(super) fn new(config: &AccessConfig, host: &str) -> Result<Self> {
        let is_local = is_loopback(host);
        match config.master_key.as_deref() {
            None if !is_local => Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the gateway does not listen on {host} without a key: set general_settings.master_key, \
                     TOOLBRIDGE_MASTER_KEY or LITELLM_MASTER_KEY, or listen on 127.0.0.1"
                ),
            )),
            Some(PUBLIC_KEY) if !is_local => Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the master key is the example of a documentation, which everybody knows; with it the \
                     gateway listens on 127.0.0.1 alone, not on {host}"
                ),
            )),
            key => {
                if key == Some(PUBLIC_KEY) {
                    tracing::warn!(
                        target: "toolbridge::gateway",
                        "the master key is the example of a documentation, which everybody knows; it is \
                         accepted because the gateway listens on {host}"
                    );
                }
                Ok(Self {
                    master_key: key.map(|key| Secret(key.to_owned())),
                })
            }
        }
    }

    /// Finds out who sent a request.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Caller, Failure> {
        let Some(Secret(wanted)) = &self.master_key else {
            return Ok(Caller {
                identity: ANYBODY.to_owned(),
            });
        };
        let found = given(headers);
        let matches = found.is_some_and(|found| {
            verify_slices_are_equal(found.as_bytes(), wanted.as_bytes()).is_ok()
        });
        if matches {
            return Ok(Caller {
                identity: "master".to_owned(),
            });
        }
        let what = if found.is_none() {
            "no key was given"
        } else {
            "the key is not known"
        };
        Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            format!("{what}: send one as Authorization: Bearer …, x-litellm-api-key or api-key"),
        )
        .with_code("invalid_api_key"))
    }
}

/// The key of a request, whichever header carries it.
fn given(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    ["x-litellm-api-key", "api-key", "authorization"]
        .into_iter()
        .find_map(text)
        .map(|value| match value.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
            _ => value.trim(),
        })
}
