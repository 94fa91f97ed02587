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

    fn url(&self, base: Url, _asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        Ok(chat_completions_url(base))
    }
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
}
