//! `RAGFlow`: chat completions, with a path of its own for each chat and each agent.

use url::Url;

use super::openai::chat_completions_url;
use super::service::{Asked, Service};
use crate::error::{Error, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// `{base}/api/v1/chats_openai/{id}/chat/completions`, and the same with `agents_openai`.
#[derive(Debug)]
pub struct Ragflow;

impl Service for Ragflow {
    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Chat
    }

    fn url(&self, mut base: Url, asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let mut parts = asked.model.name.splitn(3, '/');
        let (Some(kind @ ("chat" | "agent")), Some(id), Some(model)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed(asked));
        };
        if matches!(id, "" | "." | "..") || model.is_empty() {
            return Err(malformed(asked));
        }
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path);
        let root = path.strip_suffix("/api").unwrap_or(path).to_owned();
        base.set_path(&root);
        // A segment of its own: what stands in the id cannot leave it.
        if let Ok(mut segments) = base.path_segments_mut() {
            segments.pop_if_empty();
            segments.extend(["api", "v1", &format!("{kind}s_openai"), id]);
        }
        Ok(chat_completions_url(base))
    }
}

fn malformed(asked: &Asked<'_>) -> Error {
    asked.refusal(
        ErrorKind::BadRequest,
        format!(
            "a model of ragflow names the chat or the agent that answers, not {:?}: \
             \"ragflow/chat/<id>/<model>\" or \"ragflow/agent/<id>/<model>\"",
            asked.model.given
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::provider::{Endpoint, Settings};

    fn resolved(model: &str, base: &str) -> Result<String, Error> {
        let model = ModelId::resolve(model, None, Some(""))?;
        let settings = Settings {
            api_key: Some("key-of-mine".to_owned()),
            api_base: Some(base.to_owned()),
            ..Settings::default()
        };
        Endpoint::resolve(&model, &settings, &|_| None).map(|endpoint| endpoint.url.to_string())
    }

    #[test]
    fn the_chat_or_the_agent_of_the_model_is_part_of_the_path() {
        let chat = "http://h/api/v1/chats_openai/one/chat/completions";
        for base in ["http://h", "http://h/", "http://h/v1", "http://h/api/v1/"] {
            assert_eq!(
                resolved("ragflow/chat/one/m", base).unwrap(),
                chat,
                "{base}"
            );
        }
        assert_eq!(
            resolved("ragflow/agent/two/a/b", "http://h").unwrap(),
            "http://h/api/v1/agents_openai/two/chat/completions"
        );
        assert_eq!(
            resolved("ragflow/chat/o?#/m", "http://h/sub").unwrap(),
            "http://h/sub/api/v1/chats_openai/o%3F%23/chat/completions"
        );
    }

    #[test]
    fn a_model_without_chat_or_agent_is_refused_with_the_form_that_is_accepted() {
        for name in [
            "m",
            "chat/one",
            "chat//m",
            "other/one/m",
            "chat/../m",
            "chat/one/",
        ] {
            let error = resolved(&format!("ragflow/{name}"), "http://h").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadRequest, "{name}");
            assert!(
                error.message().contains("ragflow/chat/<id>/<model>"),
                "{error}"
            );
        }
    }
}
