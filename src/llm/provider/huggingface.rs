//! The router of Hugging Face: <https://huggingface.co/docs/inference-providers>. OpenAI's chat
//! completions; who serves a model stands behind its name.

use url::Url;

use super::openai::chat_completions_url;
use super::service::{Asked, Service, join};
use crate::error::Error;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// Chat completions at `{base}/v1/chat/completions`.
#[derive(Debug)]
pub struct HuggingFace;

impl Service for HuggingFace {
    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Chat
    }

    /// `provider/organization/model` is `organization/model:provider` there.
    fn model_name(&self, name: &str) -> String {
        match name.split_once('/') {
            Some((provider, model)) if model.contains('/') => format!("{model}:{provider}"),
            _ => name.to_owned(),
        }
    }

    fn url(&self, base: Url, _asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let path = base.path().trim_end_matches('/');
        let is_whole = path.ends_with("/v1") || path.ends_with("/chat/completions");
        Ok(chat_completions_url(if is_whole {
            base
        } else {
            join(base, "v1")
        }))
    }
}
