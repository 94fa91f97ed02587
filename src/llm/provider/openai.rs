//! OpenAI's API, and what is compatible with it: the path of the call, its headers.

use url::Url;

use super::azure::with_version;
use super::service::{Asked, Service, join};
use crate::error::Error;
use crate::llm::conversion::responses::RESPONSES_PREFIX;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// The row of OpenAI itself.
const NAME: &str = "openai";
/// Models that have the Responses API alone, by the begin of their names.
const RESPONSES_ALONE: &[&str] = &[
    "o1-pro",
    "o3-pro",
    "o3-deep-research",
    "o4-mini-deep-research",
    "codex-mini",
    "computer-use-preview",
];
/// Header of the organization.
pub const ORGANIZATION: &str = "openai-organization";
/// Header of the project.
pub const PROJECT: &str = "openai-project";

/// Chat completions at `{base}/chat/completions`.
#[derive(Debug)]
pub struct OpenAi;

impl Service for OpenAi {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&["api_version"]]
    }

    fn wire(&self, model: &ModelId) -> Wire {
        if model.provider.name == NAME && is_of_responses(&model.name) {
            Wire::Responses
        } else {
            Wire::Chat
        }
    }

    fn url(&self, base: Url, asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        if self.wire(asked.model) == Wire::Responses {
            return Ok(responses_url(base));
        }
        let url = match asked.provider().path {
            Some(path) => with_path(base, path),
            None => chat_completions_url(base),
        };
        // Servers of others may want a version in the URL, as Azure's do.
        Ok(match asked.option("api_version") {
            Some(version) => with_version(url, &version),
            None => url,
        })
    }
}

/// `base` + `path`, unless the base is the whole URL; segments that end the base and begin the path
/// stand once, as in `https://host/v1` and `v1/chat/completions`.
fn with_path(base: Url, path: &str) -> Url {
    let given: Vec<&str> = base
        .path()
        .split('/')
        .filter(|one| !one.is_empty())
        .collect();
    if given.ends_with(&["chat", "completions"]) {
        return base;
    }
    let wanted: Vec<&str> = path.split('/').collect();
    let shared = (0..=wanted.len().min(given.len()))
        .rev()
        .find(|count| given.ends_with(&wanted[..*count]))
        .unwrap_or(0);
    join(base.clone(), &wanted[shared..].join("/"))
}

/// Whether a model is asked by the Responses API: the caller says so (`responses/…`), or it has no
/// other.
pub(super) fn is_of_responses(name: &str) -> bool {
    if name.starts_with(RESPONSES_PREFIX) {
        return true;
    }
    let name = name.rsplit('/').next().unwrap_or(name);
    if RESPONSES_ALONE.iter().any(|start| name.starts_with(start)) {
        return true;
    }
    // gpt-5-pro, gpt-5.2-pro-2025-12-11, gpt-5.1-codex-max, …
    let version = name.strip_prefix("gpt-").unwrap_or_default();
    let is_reasoning = version.starts_with(|digit: char| ('5'..='9').contains(&digit));
    let mut parts = version.split('-');
    is_reasoning && parts.any(|part| part == "pro" || part == "codex")
}

/// `base` + `/responses`, query kept.
pub(super) fn responses_url(mut base: Url) -> Url {
    let path = base.path().trim_end_matches('/').to_owned();
    if path.ends_with("/responses") {
        base.set_path(&path);
        return base;
    }
    let start = path.strip_suffix("/chat/completions").unwrap_or(&path);
    base.set_path(start);
    join(base, "responses")
}

/// `base` + `/chat/completions`, query kept.
pub fn chat_completions_url(base: Url) -> Url {
    if base
        .path()
        .trim_end_matches('/')
        .ends_with("/chat/completions")
    {
        let path = base.path().trim_end_matches('/').to_owned();
        let mut url = base;
        url.set_path(&path);
        return url;
    }
    join(base, "chat/completions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_joined_once() {
        let url = |base| chat_completions_url(Url::parse(base).unwrap()).to_string();
        let wanted = "http://h/v1/chat/completions";
        assert_eq!(url("http://h/v1"), wanted);
        assert_eq!(url("http://h/v1//"), wanted);
        assert_eq!(url("http://h/v1/chat/completions"), wanted);
        assert_eq!(url("http://h"), "http://h/chat/completions");
        assert_eq!(url("http://h/v1?a=b"), "http://h/v1/chat/completions?a=b");
    }

    #[test]
    fn a_path_of_the_row_is_joined_without_what_the_base_has_of_it() {
        let url = |base, path| with_path(Url::parse(base).unwrap(), path).to_string();
        let path = "v1/chat/completions";
        assert_eq!(url("http://h", path), "http://h/v1/chat/completions");
        assert_eq!(url("http://h/v1/", path), "http://h/v1/chat/completions");
        assert_eq!(
            url("http://h/a/v1/chat/completions/", path),
            "http://h/a/v1/chat/completions/"
        );
        assert_eq!(
            url("http://h/xv1", path),
            "http://h/xv1/v1/chat/completions"
        );
        assert_eq!(
            url("http://h/api/v2?a=b", "api/v2/gateway/chat/completions/"),
            "http://h/api/v2/gateway/chat/completions/?a=b"
        );
    }
}
