//! Ollama's own API: <https://docs.ollama.com/api/chat>.

use url::Url;

use super::service::{Asked, Service, join};
use crate::error::Error;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// Chats at `{base}/api/chat`.
#[derive(Debug)]
pub struct Ollama;

impl Service for Ollama {
    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Ollama
    }

    fn url(&self, base: Url, _asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let path = base.path().trim_end_matches('/').to_owned();
        // Bases that were written for its other paths.
        let start = ["/api/chat", "/api/generate", "/api", "/v1"]
            .iter()
            .find_map(|end| path.strip_suffix(end))
            .unwrap_or(&path)
            .to_owned();
        let mut url = base;
        url.set_path(&start);
        Ok(join(url, "api/chat"))
    }
}
