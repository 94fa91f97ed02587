//! Mistral's API: <https://docs.mistral.ai/api>.

use url::Url;

use super::openai::chat_completions_url;
use super::service::{Asked, Service, join};
use crate::error::Error;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// Chat completions at `{base}/v1/chat/completions`.
#[derive(Debug)]
pub struct Mistral;

impl Service for Mistral {
    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Mistral
    }

    fn url(&self, base: Url, _asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let path = base.path().trim_end_matches('/');
        // Bases without the version are those of Azure, and of users of LiteLLM.
        let is_whole = path.ends_with("/v1") || path.ends_with("/chat/completions");
        let base = if is_whole { base } else { join(base, "v1") };
        Ok(chat_completions_url(base))
    }
}
