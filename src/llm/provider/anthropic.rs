//! Anthropic's API: <https://docs.anthropic.com/en/api/messages>.

use http::HeaderName;
use url::Url;

use super::service::{Asked, Authentication, Service, join};
use crate::error::Error;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// The version of the API that the conversions follow.
pub const VERSION: &str = "2023-06-01";
/// The header that names it.
pub const VERSION_HEADER: &str = "anthropic-version";

/// The Messages API at `{base}/v1/messages`.
#[derive(Debug)]
pub struct Anthropic;

impl Service for Anthropic {
    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Anthropic
    }

    fn url(&self, base: Url, _asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let path = base.path().trim_end_matches('/');
        let rest = if path.ends_with("/v1/messages") {
            ""
        } else if path.ends_with("/v1") {
            "messages"
        } else {
            "v1/messages"
        };
        let url = join(base, rest);
        Ok(without_last_slash(url))
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        match key {
            // Tokens of an OAuth login, which the API takes as such.
            Some(key) if key.starts_with("sk-ant-oat") => Ok(Authentication::Bearer(key)),
            Some(key) => Ok(Authentication::Header(
                HeaderName::from_static("x-api-key"),
                key,
            )),
            None => match asked.variable("ANTHROPIC_AUTH_TOKEN") {
                Some(token) => Ok(Authentication::Bearer(token)),
                None if asked.needs_key() => Err(asked.no_key()),
                None => Ok(Authentication::Nothing),
            },
        }
    }

    fn headers(&self, _asked: &Asked<'_>) -> Vec<(HeaderName, String)> {
        vec![(HeaderName::from_static(VERSION_HEADER), VERSION.to_owned())]
    }
}

fn without_last_slash(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url
}
