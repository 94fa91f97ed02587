//! Azure OpenAI: <https://learn.microsoft.com/azure/ai-foundry/openai/reference>. A deployment has a URL
//! of its own, or its name in the body where the URL is that of version 1.
//!
//! | module | owns |
//! |---|---|
//! | `credentials` | keys and tokens, for `azure_ai` too |

mod credentials;

use http::HeaderName;
use url::Url;

use super::anthropic::{self, Anthropic};
use super::openai::{chat_completions_url, is_of_responses, responses_url};
use super::service::{Asked, Authentication, Service, join};
use crate::error::Error;
use crate::llm::conversion::reasoning::SERIES;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// Beside those of its credentials.
const OPTIONS: [&str; 1] = ["api_version"];
/// The version where nobody names one: the last that has a date.
const DEFAULT_VERSION: &str = "2025-04-01-preview";
/// The name of the version in a URL.
const VERSION: &str = "api-version";

/// Deployments at `{base}/openai/deployments/{deployment}/chat/completions`.
#[derive(Debug)]
pub struct Azure;

impl Service for Azure {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&OPTIONS, &credentials::OPTIONS]
    }

    fn wire(&self, model: &ModelId) -> Wire {
        if is_of_responses(&model.name) {
            Wire::Responses
        } else {
            Wire::Chat
        }
    }

    /// What stands before the name says what the deployment is of, where its name does not.
    fn model_name(&self, name: &str) -> String {
        let bare = SERIES.iter().find_map(|series| name.strip_prefix(series));
        bare.unwrap_or(name).to_owned()
    }

    fn url(&self, base: Url, asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let version = asked.setting(
            &["api_version"],
            &["AZURE_API_VERSION", "OPENAI_API_VERSION"],
        );
        let version = version.as_deref();
        let is_of_responses = is_of_responses(&asked.model.name);
        let path = base.path().trim_end_matches('/').to_owned();
        let names_version_1 = path.ends_with("/openai/v1");
        let is_version_1 = names_version_1
            || matches!(version, Some("v1" | "preview" | "latest"))
            // The Responses API is there without a date alone, so that is where it is by itself.
            || (is_of_responses && version.is_none());
        let mut url = if path.ends_with("/chat/completions") || path.ends_with("/responses") {
            without_last_slash(base)
        } else if is_version_1 {
            let base = match path.as_str() {
                _ if names_version_1 => base,
                path if path.ends_with("/openai") => join(base, "v1"),
                _ => join(base, "openai/v1"),
            };
            let whole = if is_of_responses {
                responses_url(base)
            } else {
                chat_completions_url(base)
            };
            // It is the same without a version, but for what is not released.
            return Ok(match version {
                Some("preview") => with_version(whole, "preview"),
                _ => whole,
            });
        } else if is_of_responses {
            let base = if path.ends_with("/openai") {
                base
            } else {
                join(base, "openai")
            };
            responses_url(base)
        } else if path.contains("/openai/deployments/") {
            chat_completions_url(base)
        } else {
            let start = if path.ends_with("/openai") {
                "deployments"
            } else {
                "openai/deployments"
            };
            let deployment = &asked.model.name;
            join(base, &format!("{start}/{deployment}/chat/completions"))
        };
        if !is_version_1 {
            url = with_version(url, version.unwrap_or(DEFAULT_VERSION));
        }
        Ok(url)
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        let name = HeaderName::from_static("api-key");
        credentials::find(key, asked, |key| Authentication::Header(name, key))
    }
}

/// Models of Azure AI Foundry, whoever made them.
#[derive(Debug)]
pub struct AzureAi;

impl Service for AzureAi {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&OPTIONS, &credentials::OPTIONS]
    }

    fn wire(&self, model: &ModelId) -> Wire {
        if is_claude(&model.name) {
            Wire::Anthropic
        } else if is_of_responses(&model.name) {
            Wire::Responses
        } else {
            Wire::Chat
        }
    }

    fn url(&self, base: Url, asked: &Asked<'_>, streams: bool) -> Result<Url, Error> {
        let path = base.path().trim_end_matches('/').to_owned();
        let is_foundry = base
            .host_str()
            .is_some_and(|host| host.ends_with(".services.ai.azure.com"));
        if is_claude(&asked.model.name) {
            let has_part = path.contains("/anthropic");
            let base = if has_part {
                base
            } else {
                join(base, "anthropic")
            };
            return Anthropic.url(base, asked, streams);
        }
        if is_of_responses(&asked.model.name) {
            return Azure.url(base, asked, streams);
        }
        let whole = if is_foundry && path.is_empty() {
            join(base, "models/chat/completions")
        } else {
            chat_completions_url(base)
        };
        Ok(match asked.setting(&["api_version"], &[]) {
            Some(version) if !path.ends_with("/openai/v1") => with_version(whole, &version),
            _ => whole,
        })
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        let base = asked.base()?;
        // Models that are paid by use have an endpoint each, which takes no other header.
        let is_own_endpoint = base
            .and_then(|base| Url::parse(&base).ok())
            .is_some_and(|base| {
                let host = base.host_str().unwrap_or_default();
                host.ends_with(".models.ai.azure.com") || host.ends_with(".inference.ml.azure.com")
            });
        let is_claude = is_claude(&asked.model.name);
        credentials::find(key, asked, |key| {
            if is_claude {
                Authentication::Header(HeaderName::from_static("x-api-key"), key)
            } else if is_own_endpoint {
                Authentication::Bearer(key)
            } else {
                Authentication::Header(HeaderName::from_static("api-key"), key)
            }
        })
    }

    fn headers(&self, asked: &Asked<'_>) -> Vec<(HeaderName, String)> {
        if !is_claude(&asked.model.name) {
            return Vec::new();
        }
        let name = HeaderName::from_static(anthropic::VERSION_HEADER);
        vec![(name, anthropic::VERSION.to_owned())]
    }
}

fn is_claude(name: &str) -> bool {
    name.to_ascii_lowercase().contains("claude")
}

/// Names the version of the API, unless the base URL does.
pub(super) fn with_version(mut url: Url, version: &str) -> Url {
    if !url.query_pairs().any(|(name, _)| name == VERSION) {
        url.query_pairs_mut().append_pair(VERSION, version);
    }
    url
}

fn without_last_slash(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url
}
