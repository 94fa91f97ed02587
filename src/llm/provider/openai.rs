//! OpenAI's API, and what is compatible with it: the path of the call, its headers.

use url::Url;

use super::service::{Asked, Service, join};
use crate::error::Error;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// Header of the organization.
pub const ORGANIZATION: &str = "openai-organization";
/// Header of the project.
pub const PROJECT: &str = "openai-project";

/// Chat completions at `{base}/chat/completions`.
#[derive(Debug)]
pub struct OpenAi;

impl Service for OpenAi {
    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Chat
    }

    fn url(&self, base: Url, asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        Ok(match asked.provider().path {
            Some(path) => with_path(base, path),
            None => chat_completions_url(base),
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
