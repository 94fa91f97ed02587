//! Cohere's API, the second version: <https://docs.cohere.com/reference/chat>.

use url::Url;

use super::service::{Asked, Service, join};
use crate::error::Error;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// Chats at `{base}/v2/chat`.
#[derive(Debug)]
pub struct Cohere;

impl Service for Cohere {
    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Cohere
    }

    fn url(&self, base: Url, _asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let path = base.path().trim_end_matches('/').to_owned();
        // Users of LiteLLM give the whole URL, of either version.
        let start = ["/v2/chat", "/v1/chat", "/v2", "/v1"]
            .iter()
            .find_map(|end| path.strip_suffix(end))
            .unwrap_or(&path)
            .to_owned();
        let mut url = base;
        url.set_path(&start);
        Ok(join(url, "v2/chat"))
    }
}
